from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from auditlab.capture import check, create_partitions, track, untrack
from auditlab.connection import connect
from auditlab.errors import BadOption, CannotAudit, DatabaseError, NoSuchTable

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditlab.connection import Connection

    Log = Callable[..., list[tuple]]
    Replay = Callable[..., tuple[int, int]]

PARTS = """
CREATE SCHEMA s;
CREATE TABLE s.t (id int, region text, v text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE s.north PARTITION OF s.t FOR VALUES IN ('n');
CREATE TABLE s.south (v text, region text NOT NULL, gone int, id int NOT NULL);
ALTER TABLE s.south DROP COLUMN gone;
ALTER TABLE s.t ATTACH PARTITION s.south FOR VALUES IN ('s');
"""


def test_leaves_count_under_their_root_whichever_a_statement_names(
    captured: str, db: Connection, log: Log, replay_differs: Replay
):
    db.execute(PARTS)
    assert track(captured, "s.t")[0].level == "row"
    db.execute("INSERT INTO s.t VALUES (1, 'n', 'a'), (2, 's', 'b')")
    db.execute("INSERT INTO s.south (id, region, v) VALUES (3, 's', 'c')")
    db.execute("UPDATE s.north SET v = 'a2'")
    db.execute("CREATE TABLE s.east PARTITION OF s.t FOR VALUES IN ('e')")
    db.execute("INSERT INTO s.east VALUES (4, 'e', 'd')")
    db.execute("INSERT INTO s.t VALUES (5, 'e', 'e')")
    db.execute("DELETE FROM s.east WHERE id = 4")
    assert {row[0] for row in log("entity_type")} == {"s.t"}
    assert [row[0] for row in log("metadata ->> 'partition'")][:3] == ["s.north", "s.south", "s.south"]
    assert replay_differs("s.t") == (0, 4)


def test_a_move_between_leaves(captured: str, db: Connection, replay_differs: Replay):
    db.execute(PARTS)
    track(captured, "s.t")
    db.execute("INSERT INTO s.t SELECT i, 'n', 'v' FROM generate_series(1, 10) AS i")
    db.execute("UPDATE s.t SET region = 's', v = 'moved' WHERE id <= 5")
    assert replay_differs("s.t") == (0, 10)


def test_truncating_the_root_is_one_change_and_a_leaf_its_rows(
    captured: str, db: Connection, log: Log, replay_differs: Replay
):
    db.execute(PARTS)
    track(captured, "s.t")
    db.execute("INSERT INTO s.t VALUES (1, 'n', 'a'), (2, 's', 'b'), (3, 's', 'c')")
    db.execute("TRUNCATE s.south")
    assert [row[0] for row in log("operation")][3:] == ["DELETE", "DELETE"]
    assert replay_differs("s.t") == (0, 1)
    db.execute("TRUNCATE s.t")
    assert log("operation", "(metadata ->> 'rows')::int")[5:] == [("TRUNCATE", 1)]
    with connect(captured) as connection:
        connection.execute("INSERT INTO s.t VALUES (1, 'n', 'a')")
        connection.execute("TRUNCATE s.t")
        connection.execute("INSERT INTO s.t VALUES (2, 'n', 'a'), (3, 's', 'a')")
        connection.execute("TRUNCATE s.north")
    assert replay_differs("s.t") == (0, 1)


def test_a_new_leaf_is_reported_until_its_truncate_is_seen(captured: str, db: Connection):
    db.execute(PARTS)
    track(captured, "s.t")
    db.execute("CREATE TABLE s.east PARTITION OF s.t FOR VALUES IN ('e')")
    assert [(f.severity, f.subject) for f in check(captured) if f.kind == "triggers"] == [("error", "s.east")]
    assert track(captured, "s.t", baseline=False)[0].action == "renewed"
    assert [f.severity for f in check(captured) if f.kind == "triggers"] == ["ok"]


def test_tables_that_inherit_have_row_triggers(captured: str, db: Connection, log: Log):
    db.execute(
        "CREATE SCHEMA s; CREATE TABLE s.p (id int PRIMARY KEY); CREATE TABLE s.c (PRIMARY KEY (id)) INHERITS (s.p)"
    )
    assert [done.level for done in track(captured, ["s.p", "s.c"])] == ["row", "row"]
    db.execute("INSERT INTO s.p VALUES (1); INSERT INTO s.c VALUES (2); UPDATE s.p SET id = id + 10; DELETE FROM s.p")
    assert sorted(log("entity_type", "operation")) == [
        ("s.c", "DELETE"), ("s.c", "DELETE"), ("s.c", "INSERT"), ("s.c", "INSERT"),
        ("s.p", "DELETE"), ("s.p", "DELETE"), ("s.p", "INSERT"), ("s.p", "INSERT"),
    ]  # fmt: skip


def test_rows_of_a_table_that_inherits_are_its_own_alone(
    captured: str, db: Connection, log: Log, replay_differs: Replay
):
    db.execute(
        "CREATE SCHEMA s; CREATE TABLE s.p (id int PRIMARY KEY); CREATE TABLE s.c (PRIMARY KEY (id)) INHERITS (s.p);"
        "INSERT INTO s.p VALUES (1); INSERT INTO s.c VALUES (2), (3)"
    )
    assert [done.baseline_rows for done in track(captured, ["s.p", "s.c"], truncate_images=True)] == [1, 2]
    db.execute("UPDATE s.p SET id = id + 10")
    assert replay_differs("s.c") == (0, 2)
    db.execute("TRUNCATE ONLY s.p")
    assert log("entity_type", "operation", "metadata ->> 'rows'")[-2:] == [
        ("s.p", "DELETE", None),
        ("s.p", "TRUNCATE", "1"),
    ]
    assert replay_differs("s.c") == (0, 2)


def test_truncating_a_partition_of_partitions_deletes_each_row_once(captured: str, db: Connection, log: Log):
    db.execute(
        "CREATE SCHEMA s; CREATE TABLE s.t (id int PRIMARY KEY) PARTITION BY RANGE (id);"
        "CREATE TABLE s.low PARTITION OF s.t FOR VALUES FROM (0) TO (10) PARTITION BY RANGE (id);"
        "CREATE TABLE s.lower PARTITION OF s.low FOR VALUES FROM (0) TO (5); INSERT INTO s.t VALUES (1), (2)"
    )
    track(captured, "s.t")
    db.execute("TRUNCATE s.low")
    assert log("operation") == [("SNAPSHOT",), ("SNAPSHOT",), ("DELETE",), ("DELETE",)]


@pytest.mark.parametrize(
    ("table", "error", "words"),
    [
        ("s.nokey", CannotAudit, "s.nokey has no primary key"),
        ("s.view", CannotAudit, "s.view is no table"),
        ("s.north", CannotAudit, "s.north is a partition of s.t. Track that"),
        ("audit.entity_change_log", CannotAudit, "belongs to the change log itself"),
        ("pg_catalog.pg_class", CannotAudit, "belongs to PostgreSQL"),
        ("s.noth", NoSuchTable, "Near are s.north"),
        ("elsewhere.t", NoSuchTable, "Near are s.t"),
    ],
)
def test_what_cannot_be_tracked_says_why_and_leaves_nothing(
    captured: str, db: Connection, table: str, error: type[Exception], words: str
):
    db.execute(
        PARTS
        + "CREATE TABLE s.nokey (a int); CREATE VIEW s.view AS SELECT 1 AS a; CREATE TABLE s.good (id int PRIMARY KEY)"
    )
    with pytest.raises(error, match=words.replace(".", r"\.")):
        track(captured, ["s.good", table])
    assert db.rows("SELECT FROM pg_trigger WHERE tgname LIKE 'auditlab%'") == []


def test_no_tables_is_no_request(captured: str):
    with pytest.raises(BadOption):
        track(captured, [])


def test_untrack_ends_it_and_a_second_tracking_begins_with_what_is_there(
    captured: str, db: Connection, log: Log, replay_differs: Replay
):
    db.execute(
        "CREATE SCHEMA s; CREATE TABLE s.t (id int PRIMARY KEY, v text); INSERT INTO s.t VALUES (1, 'a'), (2, 'b')"
    )
    assert track(captured, "s.t")[0].baseline_rows == 2
    assert untrack(captured, "s.t") == ["s.t"]
    assert untrack(captured, "s.t") == []
    db.execute("DELETE FROM s.t WHERE id = 1; UPDATE s.t SET v = 'unseen'; INSERT INTO s.t VALUES (3, 'c')")
    track(captured, "s.t")
    assert replay_differs("s.t") == (0, 2)
    assert log("operation", "before_snapshot ->> 'v'", "metadata ->> 'gone'")[-1] == ("DELETE", "a", "true")


def test_a_baseline_misses_nothing_that_is_written_meanwhile(captured: str, db: Connection, replay_differs: Replay):
    from threading import Thread  # noqa: PLC0415 - beside its only use

    db.execute("CREATE SCHEMA s; CREATE TABLE s.t (id int PRIMARY KEY, n int DEFAULT 0)")
    db.execute("INSERT INTO s.t SELECT generate_series(1, 200)")

    def write(worker: int) -> None:
        with connect(captured, autocommit=True) as own:
            for turn in range(60):
                own.execute(f"UPDATE s.t SET n = n + 1 WHERE id = {worker * 60 + turn + 1}")
                own.execute(f"INSERT INTO s.t VALUES ({1000 * (worker + 1) + turn})")

    workers = [Thread(target=write, args=(worker,)) for worker in range(3)]
    for worker in workers:
        worker.start()
    track(captured, "s.t")
    for worker in workers:
        worker.join()
    assert replay_differs("s.t") == (0, 380)


def test_rows_move_out_of_the_default_partition(captured: str, db: Connection, log: Log):
    db.execute("CREATE SCHEMA s; CREATE TABLE s.t (id int PRIMARY KEY)")
    track(captured, "s.t")
    month = db.rows("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY_MM') AS m")[0]["m"]
    db.execute(f"DROP TABLE audit.entity_change_log_{month}")
    db.execute("INSERT INTO s.t VALUES (1), (2)")
    assert {(f.severity, f.subject) for f in check(captured) if f.kind == "partitions"} == {
        ("warning", f"audit.entity_change_log_{month}"),
        ("warning", "audit.entity_change_log_default"),
    }
    before = log("id", "entity_id", "changed_at", "after_snapshot")
    made = create_partitions(captured)
    assert [(p.name, p.rows_moved) for p in made] == [(f"audit.entity_change_log_{month}", 2)]
    assert create_partitions(captured) == []
    assert log("id", "entity_id", "changed_at", "after_snapshot") == before
    assert {row[0] for row in log("tableoid::regclass::text")} == {f"audit.entity_change_log_{month}"}
    with pytest.raises(DatabaseError):
        db.execute("DELETE FROM audit.entity_change_log_default")
    with pytest.raises(DatabaseError):
        db.execute(f"TRUNCATE audit.entity_change_log_{month}")


def test_partitions_are_made_ahead(captured: str, db: Connection):
    assert len(create_partitions(captured, ahead=6)) == 3  # three are there since the installation
    leaves = db.rows("SELECT FROM pg_partition_tree('audit.entity_change_log') WHERE isleaf")
    assert len(leaves) == 8  # seven months and the default
    with pytest.raises(DatabaseError):
        create_partitions(captured, ahead=-1)

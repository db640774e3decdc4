from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from auditlab.capture import track
from auditlab.connection import connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditlab.connection import Connection

    Tracked = Callable[..., None]
    Log = Callable[..., list[tuple]]
    Replay = Callable[..., tuple[int, int]]

INT = "CREATE SCHEMA s; CREATE TABLE s.t (id int PRIMARY KEY, v text, n int DEFAULT 0)"
UUID = "CREATE SCHEMA s; CREATE TABLE s.t (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), v text, n int DEFAULT 0)"


def test_each_operation_has_its_images(db: Connection, tracked: Tracked, log: Log):
    tracked(INT, "s.t")
    db.execute("INSERT INTO s.t VALUES (1, 'a')")
    db.execute("UPDATE s.t SET v = 'b'")
    db.execute("DELETE FROM s.t")
    first, second = '{"n": 0, "v": "a", "id": 1}', '{"n": 0, "v": "b", "id": 1}'
    assert log("operation", "before_snapshot", "after_snapshot", "changed_fields") == [
        ("INSERT", None, first, None),
        ("UPDATE", first, second, '{"v": "b"}'),
        ("DELETE", second, None, None),
    ]


def test_an_update_that_changes_nothing_is_recorded_as_such(db: Connection, tracked: Tracked, log: Log):
    tracked(INT, "s.t")
    db.execute("INSERT INTO s.t VALUES (1, 'a')")
    db.execute("UPDATE s.t SET v = v")
    assert log("operation", "changed_fields")[1] == ("UPDATE", "{}")


def test_null_and_absent_and_scale(db: Connection, tracked: Tracked, log: Log):
    tracked("CREATE SCHEMA s; CREATE TABLE s.t (id int PRIMARY KEY, a text, p numeric)", "s.t")
    db.execute("INSERT INTO s.t VALUES (1, 'x', 1.50)")
    db.execute("UPDATE s.t SET a = NULL, p = 1.5")
    assert log("changed_fields")[1] == ('{"a": null}',)  # 1.50 and 1.5 are one value
    assert log("after_snapshot ->> 'p'") == [("1.50",), ("1.5",)]  # and each as it was written


@pytest.mark.parametrize("ddl", [INT, UUID], ids=["int key", "uuid key"])
def test_a_statement_logs_every_row_it_touched(db: Connection, tracked: Tracked, replay_differs: Replay, ddl: str):
    tracked(ddl, "s.t")
    column = "id, v" if ddl is INT else "v"
    values = "i, 'v' || i" if ddl is INT else "'v' || i"
    db.execute(f"INSERT INTO s.t ({column}) SELECT {values} FROM generate_series(1, 500) AS i")
    db.execute("UPDATE s.t SET n = n + 1 WHERE right(v, 1) IN ('1', '3')")
    db.execute("DELETE FROM s.t WHERE right(v, 1) = '7'")
    assert replay_differs("s.t") == (0, 450)
    counts = db.rows("SELECT operation, count(*) AS n FROM audit.entity_change_log GROUP BY 1 ORDER BY 1")
    assert [(row["operation"], row["n"]) for row in counts] == [("DELETE", 50), ("INSERT", 500), ("UPDATE", 100)]


def test_every_before_image_is_the_after_image_before_it(db: Connection, tracked: Tracked):
    tracked(INT, "s.t")
    db.execute("INSERT INTO s.t SELECT i, 'v' FROM generate_series(1, 50) AS i")
    for _ in range(3):
        db.execute("UPDATE s.t SET n = n + id")
    broken = db.rows(
        "SELECT id FROM (SELECT id, operation, before_snapshot,"
        " lag(after_snapshot) OVER (PARTITION BY entity_id ORDER BY id) AS previous FROM audit.entity_change_log) AS l"
        " WHERE operation = 'UPDATE' AND before_snapshot <> previous"
    )
    assert broken == []


def test_statements_that_touch_no_row_log_nothing(db: Connection, tracked: Tracked, log: Log):
    tracked(INT, "s.t")
    db.execute("UPDATE s.t SET v = 'x'")
    db.execute("DELETE FROM s.t")
    db.execute("INSERT INTO s.t SELECT 1, 'a' WHERE false")
    assert log() == []


def test_copy_is_logged(tracked: Tracked, log: Log, program: Callable[[str], str], captured: str):
    tracked(INT, "s.t")
    done = subprocess.run(
        [program("psql"), "-q", "-v", "ON_ERROR_STOP=1", "-c", r"\copy s.t (id, v) FROM STDIN", captured],
        input="1\ta\n2\tb\n",
        text=True,
        check=False,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    assert log("operation", "after_snapshot ->> 'v'") == [("INSERT", "a"), ("INSERT", "b")]


def test_insert_on_conflict_logs_an_insert_or_an_update(
    db: Connection, tracked: Tracked, log: Log, replay_differs: Replay
):
    tracked(INT, "s.t")
    db.execute("INSERT INTO s.t VALUES (1, 'a')")
    db.execute("INSERT INTO s.t VALUES (1, 'b'), (2, 'c') ON CONFLICT (id) DO UPDATE SET v = excluded.v")
    db.execute("INSERT INTO s.t VALUES (1, 'z'), (3, 'd') ON CONFLICT DO NOTHING")
    assert sorted(log("operation", "after_snapshot ->> 'v'")) == [
        ("INSERT", "a"),
        ("INSERT", "c"),
        ("INSERT", "d"),
        ("UPDATE", "b"),
    ]
    assert replay_differs("s.t") == (0, 3)


def test_merge_logs_what_it_did(db: Connection, tracked: Tracked, log: Log, replay_differs: Replay, version: int):
    if version < 15:
        pytest.skip("MERGE came with PostgreSQL 15")
    tracked(INT, "s.t")
    db.execute("INSERT INTO s.t VALUES (1, 'a'), (2, 'b')")
    db.execute(
        "MERGE INTO s.t USING (VALUES (1, 'gone'), (2, 'b2'), (3, 'c')) AS w (id, v) ON w.id = t.id "
        "WHEN MATCHED AND w.v = 'gone' THEN DELETE WHEN MATCHED THEN UPDATE SET v = w.v "
        "WHEN NOT MATCHED THEN INSERT VALUES (w.id, w.v)"
    )
    assert sorted(row[0] for row in log("operation")[2:]) == ["DELETE", "INSERT", "UPDATE"]
    assert replay_differs("s.t") == (0, 2)


def test_a_rolled_back_savepoint_leaves_no_trace(captured: str, tracked: Tracked, log: Log):
    tracked(INT, "s.t")
    with connect(captured) as connection:
        connection.execute("INSERT INTO s.t VALUES (1, 'a')")
        connection.execute("SAVEPOINT p")
        connection.execute("UPDATE s.t SET v = 'never'")
        connection.execute("ROLLBACK TO SAVEPOINT p")
        connection.execute("UPDATE s.t SET v = 'b'")
    assert log("operation", "after_snapshot ->> 'v'") == [("INSERT", "a"), ("UPDATE", "b")]
    assert len({row[0] for row in log("transaction_id")}) == 1


def test_cascades_are_logged(db: Connection, tracked: Tracked, log: Log, replay_differs: Replay):
    tracked(
        "CREATE SCHEMA s; CREATE TABLE s.p (id int PRIMARY KEY);"
        "CREATE TABLE s.c (id int PRIMARY KEY, p int REFERENCES s.p ON DELETE CASCADE ON UPDATE CASCADE,"
        " q int REFERENCES s.p ON DELETE SET NULL ON UPDATE CASCADE);"
        "INSERT INTO s.p SELECT generate_series(1, 20);"
        "INSERT INTO s.c SELECT i, i, i FROM generate_series(1, 19) AS i",
        "s.p",
        "s.c",
    )
    db.execute("UPDATE s.p SET id = id + 100")  # each child is touched twice, once for each reference
    assert replay_differs("s.c") == (0, 19)
    db.execute("DELETE FROM s.p WHERE id <= 110")
    assert replay_differs("s.p") == (0, 10)
    assert replay_differs("s.c") == (0, 9)
    assert sum(row[0] == "DELETE" for row in log("operation", entity_type="s.c")) == 10


def test_a_trigger_that_updates_the_row_again(db: Connection, tracked: Tracked):
    tracked(
        INT + "; CREATE FUNCTION s.again() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN"
        " UPDATE s.t SET n = n + 1 WHERE id = NEW.id AND n < 3; RETURN NULL; END';"
        "CREATE TRIGGER zz_again AFTER INSERT OR UPDATE ON s.t FOR EACH ROW EXECUTE FUNCTION s.again()",
        "s.t",
    )
    db.execute("INSERT INTO s.t VALUES (1, 'a', 0)")
    live = db.rows("SELECT n FROM s.t")[0]["n"]
    states = {row["n"] for row in db.rows("SELECT (after_snapshot ->> 'n')::int AS n FROM audit.entity_change_log")}
    assert live == 3
    assert states == {0, 1, 2, 3}  # none is lost; their order is repaired by the images' links


def test_permuted_keys_are_paired_row_by_row(db: Connection, tracked: Tracked, log: Log, replay_differs: Replay):
    tracked("CREATE SCHEMA s; CREATE TABLE s.t (id int PRIMARY KEY DEFERRABLE, v text)", "s.t")
    db.execute("INSERT INTO s.t VALUES (1, 'one'), (2, 'two'), (3, 'three'), (4, 'four'), (9, 'nine')")
    db.execute("UPDATE s.t SET id = id % 4 + 1 WHERE id < 9")
    assert replay_differs("s.t") == (0, 5)
    changes = log("operation", "before_snapshot ->> 'v'", "after_snapshot ->> 'v'", "after_snapshot ->> 'id'")[5:]
    assert [row[0] for row in changes] == ["DELETE"] * 4 + ["INSERT"] * 4
    assert {(row[2], row[3]) for row in changes[4:]} == {("one", "2"), ("two", "3"), ("three", "4"), ("four", "1")}


def test_a_changed_key_ends_one_entity_and_begins_another_linked(
    db: Connection, tracked: Tracked, log: Log, replay_differs: Replay
):
    tracked(UUID, "s.t")
    db.execute("INSERT INTO s.t (v) VALUES ('a'), ('b')")
    db.execute("UPDATE s.t SET id = CASE v WHEN 'a' THEN gen_random_uuid() ELSE id END, n = 1")
    ended = db.rows(
        "SELECT entity_id::text AS id, metadata ->> 'rekeyed_to' AS link FROM audit.entity_change_log"
        " WHERE operation = 'DELETE'"
    )
    begun = db.rows(
        "SELECT entity_id::text AS id, metadata ->> 'rekeyed_from' AS link FROM audit.entity_change_log"
        " WHERE operation = 'INSERT' AND metadata ? 'rekeyed_from'"
    )
    assert [(ended[0]["id"], ended[0]["link"])] == [(begun[0]["link"], begun[0]["id"])]
    assert [row[0] for row in log("operation")].count("UPDATE") == 1
    assert replay_differs("s.t") == (0, 2)


def test_truncate_is_one_change_with_the_number_of_rows(db: Connection, tracked: Tracked, log: Log):
    tracked(INT, "s.t")
    db.execute("INSERT INTO s.t VALUES (1, 'a'), (2, 'b')")
    db.execute("TRUNCATE s.t")
    assert log("operation", "entity_id", "before_snapshot", "after_snapshot", "(metadata ->> 'rows')::int")[2:] == [
        ("TRUNCATE", None, None, None, 2)
    ]


def test_truncate_with_images_logs_the_rows_too(db: Connection, tracked: Tracked, log: Log, replay_differs: Replay):
    tracked(INT, "s.t", truncate_images=True)
    db.execute("INSERT INTO s.t VALUES (1, 'a'), (2, 'b')")
    db.execute("TRUNCATE s.t")
    db.execute("INSERT INTO s.t VALUES (3, 'c')")
    assert [row[0] for row in log("operation")] == ["INSERT", "INSERT", "DELETE", "DELETE", "TRUNCATE", "INSERT"]
    assert sorted(row[0] for row in log("before_snapshot ->> 'v'") if row[0]) == ["a", "b"]
    assert replay_differs("s.t") == (0, 1)


def test_ddl_in_a_session_that_has_written_before(db: Connection, tracked: Tracked, log: Log, replay_differs: Replay):
    tracked(INT, "s.t")
    db.execute("INSERT INTO s.t VALUES (1, 'a'), (2, 'b')")
    db.execute("UPDATE s.t SET n = 1")
    for ddl in (
        "ADD COLUMN extra numeric DEFAULT 1.10",
        "DROP COLUMN v",
        "RENAME COLUMN n TO number",
        "ALTER COLUMN number TYPE text",
        "ALTER COLUMN id TYPE bigint",
    ):
        db.execute(f"ALTER TABLE s.t {ddl}")
        db.execute("UPDATE s.t SET extra = 2.20" if "extra" in ddl or "v" in ddl else "UPDATE s.t SET number = number")
        db.execute("DELETE FROM s.t WHERE id = 2")
        db.execute("INSERT INTO s.t (id) VALUES (2)")
        assert replay_differs("s.t") == (0, 2), ddl
    assert json.loads(log("after_snapshot")[-1][0]) == {"id": 2, "extra": 1.10, "number": "0"}


def test_ddl_on_the_usual_table_in_a_session_that_has_written_before(
    db: Connection, tracked: Tracked, log: Log, replay_differs: Replay
):
    tracked("CREATE SCHEMA s; CREATE TABLE s.t (id uuid PRIMARY KEY, v text, other uuid)", "s.t")
    kept, gone = "6f1c0000-0000-4000-8000-000000000001", "6f1c0000-0000-4000-8000-000000000002"
    for ddl in (
        "RENAME COLUMN v TO w",
        "RENAME COLUMN id TO key",
        "RENAME COLUMN other TO id",  # the name of the key is another column's now
        "DROP COLUMN w",
        "ADD COLUMN v text",
        "ADD COLUMN doc json",
        "ALTER COLUMN key TYPE text",
        "DROP COLUMN doc",
        "ALTER COLUMN key TYPE uuid USING key::uuid",
    ):
        db.execute(f"INSERT INTO s.t VALUES ('{kept}'), ('{gone}')")
        db.execute(f"ALTER TABLE s.t {ddl}")
        key = "id" if "COLUMN v TO w" in ddl else "key"
        if "ADD COLUMN doc" in ddl:
            db.execute(f"""UPDATE s.t SET doc = '{{"a": "\\u0000"}}' WHERE key = '{kept}'""")
        begun = len(log())
        db.execute(f"UPDATE s.t SET {key} = {key} WHERE {key}::text = '{kept}'")
        db.execute(f"UPDATE s.t SET {key} = {key}")
        db.execute(f"DELETE FROM s.t WHERE {key}::text = '{gone}'")
        images = [json.loads(before)[key] for before in (row[1] for row in log()[begun:])]
        assert [row[0] for row in log()[begun:]] == ["UPDATE"] * 3 + ["DELETE"], ddl
        assert sorted(images) == [kept, kept, gone, gone], ddl
        if "TYPE text" not in ddl and "DROP COLUMN doc" not in ddl:  # between these the key is no uuid
            assert [str(row[0]) for row in log("entity_id")[begun:]] == images, ddl
        if "TYPE" not in ddl and "doc" not in ddl:  # when the live rows are no jsonb, or the ids not those of before
            assert replay_differs("s.t") == (0, 1), ddl
        db.execute("DELETE FROM s.t")


def test_a_plan_made_for_one_row_serves_many(db: Connection, tracked: Tracked, log: Log, replay_differs: Replay):
    tracked(INT + ";" + UUID.partition(";")[2].replace("s.t", "s.u"), "s.t", "s.u")
    db.execute("SET statement_timeout = '15s'")  # in quadratic time it would take minutes
    db.execute("INSERT INTO s.t VALUES (0, 'x'); INSERT INTO s.u (v) VALUES ('x')")
    for table in ("s.t", "s.u"):
        db.execute(f"UPDATE {table} SET v = 'y'")
    db.execute("INSERT INTO s.t SELECT i, 'x' FROM generate_series(1, 10000) AS i")
    db.execute("INSERT INTO s.u (v) SELECT 'x' FROM generate_series(1, 10000)")
    for table in ("s.t", "s.u"):
        db.execute(f"UPDATE {table} SET v = 'z'")
        assert replay_differs(table) == (0, 10001)
    assert [row[0] for row in log("operation")].count("UPDATE") == 2 * 10002


@pytest.mark.parametrize(
    "column",
    ["r", "keys", "is_uuid", "key", "context", "type_name", "old_rows", "new_rows", "capture", "unstorable", "image",
     "before", "after", "at", "entity", "who", "pair", "operation", "Odd \"Name\" % s'"],
)  # fmt: skip
def test_no_name_of_a_column_meets_a_name_of_ours(
    db: Connection, tracked: Tracked, log: Log, replay_differs: Replay, column: str
):
    quoted = '"' + column.replace('"', '""') + '"'
    tracked(f"CREATE SCHEMA s; CREATE TABLE s.t (id int PRIMARY KEY, {quoted} text)", "s.t")
    db.execute("INSERT INTO s.t VALUES (1, 'x'), (2, 'y')")
    db.execute(f"UPDATE s.t SET {quoted} = 'z'")
    db.execute("UPDATE s.t SET id = id + 2")
    db.execute("DELETE FROM s.t WHERE id = 3")
    assert replay_differs("s.t") == (0, 1)
    assert json.loads(log("after_snapshot")[2][0]) == {"id": 1, column: "z"}


def test_odd_table_names(captured: str, db: Connection, log: Log):
    db.execute("""CREATE SCHEMA "My 'Schema"; CREATE TABLE "My 'Schema"."T.""x" (id int PRIMARY KEY)""")
    done = track(captured, """"My 'Schema"."T.""x" """.strip())
    db.execute("""INSERT INTO "My 'Schema"."T.""x" VALUES (1)""")
    assert done[0].entity_type == """My 'Schema.T."x"""
    assert log("entity_type") == [("""My 'Schema.T."x""",)]

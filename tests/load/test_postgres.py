"""A log from a real PostgreSQL: whole, exact, in one snapshot, narrowed on the server."""

from __future__ import annotations

import random
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import auditlab as al
from auditlab.capture.track import track
from auditlab.connection import connect
from auditlab.errors import BadOption, NoData, SchemaMismatch, UndeterminedState, UnknownEntity
from auditlab.load.postgres import ChangeStream, read_postgres
from auditlab.schema import CHANGES

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditlab.load.source import Loaded

FIRST_USER, SECOND_USER = "00000000-0000-0000-0000-00000000000a", "00000000-0000-0000-0000-00000000000b"
RECORDED = """
SELECT id, entity_type, entity_id::text AS entity_id, operation, changed_by::text AS changed_by, changed_at,
       before_snapshot::text AS before_snapshot, after_snapshot::text AS after_snapshot,
       changed_fields::text AS changed_fields, metadata::text AS metadata, transaction_id,
       correlation_id::text AS correlation_id
FROM audit.entity_change_log ORDER BY id
"""


def recorded(dsn: str) -> pl.DataFrame:
    """The log as PostgreSQL itself prints it."""
    with connect(dsn) as connection:
        rows = connection.rows(RECORDED)
    return pl.DataFrame(rows, schema={name: dtype for name, dtype in CHANGES.items() if name != "committed_at"})


def newest_transaction(dsn: str) -> int:
    """The newest transaction in the log."""
    with connect(dsn) as connection:
        newest: int = connection.rows("SELECT max(transaction_id) AS id FROM audit.entity_change_log")[0]["id"]
        return newest


def by_type(loaded: Loaded) -> dict[str, int]:
    return dict(loaded.changes.group_by("entity_type").len().sort("entity_type").iter_rows())


def test_our_log_loads_as_recorded(shop: str):
    loaded = read_postgres(shop)
    fold = pl.col("entity_type").replace({"shop.events_eu": "shop.events", "shop.events_us": "shop.events"})
    assert_frame_equal(loaded.changes.drop("committed_at"), recorded(shop).with_columns(fold))
    assert loaded.changes.schema == pl.Schema(CHANGES)
    assert by_type(loaded) == {"shop.events": 4, "shop.lines": 27, "shop.orders": 22, "shop.users": 2}
    assert {"INSERT", "UPDATE", "DELETE", "TRUNCATE", "SNAPSHOT"} == set(loaded.changes["operation"])


def test_a_log_made_by_the_published_trigger_loads_as_it_stands(published: str, execute: Callable[[str, str], None]):
    execute(
        published,
        "INSERT INTO orders.orders (total) SELECT n * 1.10 FROM generate_series(1, 50) n;\n"
        "UPDATE orders.orders SET status = 'paid';\nDELETE FROM orders.orders WHERE total < 20",
    )
    loaded = read_postgres(published)
    assert_frame_equal(loaded.changes.drop("committed_at"), recorded(published))
    assert loaded.changes.height == 50 + 50 + 18


def test_facts_say_where_from_and_what_is_covered(shop: str):
    before = datetime.now(UTC)
    facts = read_postgres(shop).facts
    assert facts.source.endswith(" audit.entity_change_log")
    assert facts.system is not None
    assert facts.system.isdigit()
    assert facts.snapshot is not None
    assert newest_transaction(shop) < int(facts.snapshot.split(":")[1])
    assert facts.coverage.start == read_postgres(shop).changes[facts.clock].min()
    assert facts.timeline == 1
    assert facts.coverage.end is not None
    assert facts.coverage.end >= before - timedelta(seconds=5)
    assert facts.coverage.complete


def test_types_tracked_without_a_baseline_are_named(captured: str, execute: Callable[[str, str], None]):
    execute(
        captured,
        "CREATE SCHEMA s;\nCREATE TABLE s.a (id int PRIMARY KEY);\nCREATE TABLE s.b (id int PRIMARY KEY);\n"
        "INSERT INTO s.a VALUES (1);\nINSERT INTO s.b VALUES (1)",
    )
    track(captured, "s.a", baseline=False)
    track(captured, "s.b")
    execute(captured, "INSERT INTO s.a VALUES (2)")
    assert read_postgres(captured).facts.partial == ("s.a",)


def test_kinds_come_from_the_catalog(shop: str):
    kinds = read_postgres(shop).facts.kinds
    assert kinds["shop.users"] == {
        "name": "text",
        "admin": "bool",
        "born": "date",
        "tags": "array",
        "raw": "json",
        "at": "timestamp",
        "w": "float",
    }
    assert kinds["shop.orders"] == {"id": "uuid", "total": "decimal", "note": "text", "placed": "timestamptz"}
    assert kinds["shop.events"] == {"id": "int", "region": "text", "note": "text"}


def test_several_connections_give_the_same_rows(shop: str, plain_log: str):
    for dsn in (shop, plain_log):
        assert_frame_equal(read_postgres(dsn, connections=3).changes, read_postgres(dsn).changes)


def test_a_plain_table_is_split_by_its_blocks(plain_log: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("auditlab.load.stream._FEWEST_BLOCKS", 8)
    with ChangeStream(plain_log, connections=4) as stream:
        assert len(stream.queries) == 8
    assert read_postgres(plain_log, connections=4).changes["id"].to_list() == list(range(1, 6001))


def test_a_parallel_load_is_one_snapshot(plain_log: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("auditlab.load.stream._FEWEST_BLOCKS", 8)
    stop = threading.Event()

    def write() -> None:
        with connect(plain_log) as connection:
            while not stop.is_set():
                connection.execute(
                    "INSERT INTO audit.entity_change_log"
                    " (entity_type, entity_id, operation, changed_at, after_snapshot, transaction_id)"
                    " SELECT 'a.c', gen_random_uuid(), 'INSERT', now(), '{}', txid_current()"
                    " FROM generate_series(1, 7);"
                    " UPDATE audit.entity_change_log SET metadata = to_jsonb(n) FROM (SELECT txid_current() AS n) AS t"
                    " WHERE id IN (1, 3000, 6000)"
                )
                connection.commit()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(4):
            changes = read_postgres(plain_log, connections=4).changes
            counts = changes.filter(entity_type="a.c").group_by("transaction_id").len()
            assert set(counts["len"]) <= {7}
            assert changes.filter(pl.col("id").is_in([1, 3000, 6000]))["metadata"].n_unique() == 1
            assert changes["id"].n_unique() == changes.height
    finally:
        stop.set()
        writer.join()


def test_entity_types_are_filtered_on_the_server_and_partitions_fold(shop: str):
    assert by_type(read_postgres(shop, entity_types="shop.events")) == {"shop.events": 4}
    several = read_postgres(shop, entity_types=["shop.users", "shop.orders"])
    assert by_type(several) == {"shop.orders": 22, "shop.users": 2}
    assert several.facts.coverage.complete
    assert several.facts.filters == ("entity types shop.users, shop.orders",)


def test_picked_types_and_entities_are_known_from_where_the_log_begins(
    captured: str, execute: Callable[[str, str], None]
):
    execute(
        captured,
        "CREATE SCHEMA s;\nCREATE TABLE s.a (id int PRIMARY KEY);\nCREATE TABLE s.b (id int PRIMARY KEY)",
    )
    track(captured, ["s.a", "s.b"])
    execute(captured, "INSERT INTO s.a VALUES (1)")
    before = al.mark(captured, "before")
    execute(captured, "INSERT INTO s.b VALUES (1)")
    execute(captured, "INSERT INTO s.b VALUES (2)")
    whole = al.read_postgres(captured)
    for clock in ("committed_at", "changed_at"):
        begins = al.read_postgres(captured, clock=clock).facts.coverage.start
        for picked in (
            al.read_postgres(captured, entity_types="s.b", clock=clock),
            al.read_postgres(captured, entity=2, entity_types=["s.b"], clock=clock),
        ):
            assert picked.facts.coverage.start == begins
            assert_frame_equal(picked.as_of(mark="before"), whole.of("s.b").as_of(mark="before"))
            assert_frame_equal(picked.as_of(before.at), whole.of("s.b").as_of(before.at))
            assert "2" in picked.entity(2).why_not(2, before.at)
            with pytest.raises(NoData):
                picked.as_of(begins - timedelta(microseconds=1))


def test_a_user_filter_makes_a_log_of_changes_only(shop: str):
    loaded = read_postgres(shop, user=SECOND_USER)
    assert set(loaded.changes["changed_by"]) == {SECOND_USER}
    assert loaded.changes.height == 8
    assert not loaded.facts.coverage.complete
    assert loaded.facts.coverage.why == "loaded for one user"


@pytest.mark.parametrize(
    ("entity", "operations"),
    [
        ("zoe", ["SNAPSHOT"]),
        ({"name": "zoe"}, ["SNAPSHOT"]),
        ({"order_no": 1, "line": 1}, ["INSERT", "UPDATE", "TRUNCATE", "INSERT"]),
        ({"line": 6, "order_no": 1}, None),
        ("nobody", None),
    ],
)
def test_an_entity_is_found_by_its_key(shop: str, entity: str | dict[str, int], operations: list[str] | None):
    if operations is None:
        with pytest.raises(UnknownEntity):
            read_postgres(shop, entity=entity)
        return
    loaded = read_postgres(shop, entity=entity)
    assert loaded.changes["operation"].to_list() == operations
    assert loaded.facts.coverage.complete


def test_an_entity_is_found_by_its_id(shop: str):
    changes = recorded(shop)
    first = changes.filter(entity_type="shop.orders")["entity_id"][0]
    loaded = read_postgres(shop, entity=first)
    assert loaded.changes["id"].to_list() == changes.filter(entity_id=first)["id"].to_list()


def test_partitions_are_chosen_by_name_and_make_a_log_of_changes_only(shop: str):
    with connect(shop) as connection:
        names = connection.rows(
            "SELECT c.relname::text AS name, count(l.id) AS rows FROM pg_inherits AS i JOIN pg_class AS c"
            " ON c.oid = i.inhrelid LEFT JOIN audit.entity_change_log AS l ON l.tableoid = c.oid"
            " WHERE i.inhparent = 'audit.entity_change_log'::regclass GROUP BY 1"
        )
    for row in names:
        loaded = read_postgres(shop, partitions=row["name"])
        assert loaded.changes.height == row["rows"]
        assert not loaded.facts.coverage.complete
    together = read_postgres(shop, partitions=[row["name"] for row in names])
    assert together.changes.height == sum(row["rows"] for row in names) == 55


def test_partitions_that_may_not_be_read_directly_are_read_through_the_log(shop: str):
    auditor = f"{shop}{'&' if '?' in shop else '?'}options=-c%20role%3Dauditlab_auditor"
    with connect(shop) as connection:
        name = connection.rows("SELECT DISTINCT tableoid::regclass::text AS name FROM audit.entity_change_log")[0][
            "name"
        ]
    assert_frame_equal(read_postgres(auditor, partitions=name).changes, read_postgres(shop, partitions=name).changes)


def test_an_unknown_partition_is_answered_with_what_there_is(shop: str):
    with pytest.raises(BadOption, match=r"no partition 'p' in audit\.\w+\. It has .*_default"):
        read_postgres(shop, partitions="p")


def test_a_window_is_closed_at_its_start_and_open_at_its_end(plain_log: str):
    start, end = datetime(2024, 1, 2, tzinfo=UTC), datetime(2024, 1, 3, tzinfo=UTC)
    loaded = read_postgres(plain_log, start=start, end=end)
    assert loaded.changes["changed_at"].min() == start
    assert loaded.changes["changed_at"].max() == end - timedelta(minutes=1)
    assert loaded.changes.height == 24 * 60
    assert (loaded.facts.coverage.start, loaded.facts.coverage.end) == (start, end - timedelta(microseconds=1))
    assert loaded.facts.coverage.complete
    assert loaded.baseline is not None
    assert loaded.baseline["id"].to_list() == list(range(24 * 60 - 600 + 1, 24 * 60 + 1))


def test_without_a_baseline_a_window_is_a_log_of_changes_only(plain_log: str):
    loaded = read_postgres(plain_log, start="2024-01-02", baseline=False)
    assert loaded.baseline is None
    assert loaded.facts.coverage.why == "loaded from a start without a baseline"


def test_the_baseline_of_a_type_holds_its_last_truncate(shop: str):
    loaded = read_postgres(shop, start=datetime.now(UTC) + timedelta(days=1))
    assert loaded.changes.is_empty()
    assert loaded.baseline is not None
    lines = loaded.baseline.filter(entity_type="shop.lines").sort("id")
    assert lines["operation"].to_list()[-2:] == ["TRUNCATE", "INSERT"]


def test_naive_bounds_are_read_in_the_logs_zone(plain_log: str):
    loaded = read_postgres(plain_log, start="2024-01-02T09:00", end="2024-01-02T10:00", zone="Asia/Tokyo")
    assert loaded.changes["changed_at"].min() == datetime(2024, 1, 2, tzinfo=UTC)
    assert loaded.changes.height == 60


@pytest.mark.parametrize("seed", range(3))
def test_a_window_goes_by_effective_time(database: str, execute: Callable[[str, str], None], seed: int):
    """Rows whose own time lies behind an earlier row of their entity count by that row's time."""
    rng = random.Random(seed)  # noqa: S311 - test data
    rows = [(n, rng.randrange(6), rng.randrange(30)) for n in range(1, 121)]
    values = ", ".join(
        f"({n}, 's.t', md5('{entity}')::uuid, 'UPDATE',"
        f" timestamptz '2024-01-01 00:00+00' + {minute} * interval '1 minute', '{{}}', '{{}}', {n})"
        for n, entity, minute in rows
    )
    execute(
        database,
        "CREATE TABLE log (id bigint, entity_type text, entity_id uuid, operation text, changed_at timestamptz,"
        f" before_snapshot jsonb, after_snapshot jsonb, transaction_id bigint);\nINSERT INTO log VALUES {values}",
    )
    effective: dict[int, int] = {}
    reached: dict[int, int] = {}
    for n, entity, minute in rows:
        reached[entity] = effective[n] = max(reached.get(entity, 0), minute)
    for start, end in ((10, 20), (0, 15), (25, 40), (15, 16)):
        moment = [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=minute) for minute in (start, end)]
        loaded = read_postgres(database, table="log", start=moment[0], end=moment[1])
        assert loaded.changes["id"].to_list() == [n for n, _, _ in rows if start <= effective[n] < end]
        assert loaded.baseline is not None
        last = {entity: n for n, entity, _ in rows if effective[n] < start}
        assert loaded.baseline["id"].to_list() == sorted(last.values())


def test_a_log_of_changed_fields_loads_without_columns_for_images(database: str, execute: Callable[[str, str], None]):
    execute(
        database,
        "CREATE TABLE log (id bigint, entity_type text, entity_id text, operation text, changed_at timestamptz,"
        """ changed_fields jsonb); INSERT INTO log VALUES (1, 's.t', 'a', 'INSERT', '2024-01-01', '{"n": 1, "s": "x"}'),
        (2, 's.t', 'a', 'UPDATE', '2024-01-02', '{"n": 2}'), (3, 's.t', 'a', 'UPDATE', '2024-01-03', NULL)""",
    )
    with pytest.raises(SchemaMismatch, match="before_snapshot: missing; after_snapshot: missing"):
        al.read_postgres(database, table="log", progress=False)
    none = {"before_snapshot": None, "after_snapshot": None}
    log = al.read_postgres(database, table="log", columns=none, progress=False)
    states = log.history().select("n", "s", "origin").rows()
    assert states == [(1, "x", "derived"), (2, "x", "derived"), (2, "x", "derived")]
    later = al.read_postgres(database, table="log", columns=none, start="2024-01-03", progress=False)
    with pytest.warns(UndeterminedState):
        assert later.as_of().is_empty(), "from then on, nothing tells the whole state"


def test_images_of_before_that_are_not_read_are_not_sent_and_answers_stay_the_same(shop: str):
    none = {"before_snapshot": None}
    with ChangeStream(shop, columns=none) as stream:
        assert not any("l.before_snapshot" in query for query in stream.queries)
    whole, lean = (al.read_postgres(shop, columns=columns, progress=False) for columns in (None, none))
    assert lean.changes()["before_snapshot"].null_count() == len(lean)
    for entity_type in whole.entity_types:
        own, theirs = lean.of(entity_type), whole.of(entity_type)
        assert_frame_equal(own.as_of(), theirs.as_of())
        assert_frame_equal(own.diffs(), theirs.diffs())
        assert_frame_equal(own.history(), theirs.history())
    assert "missing images" in lean.evidence().findings["kind"].to_list()


def test_changed_fields_of_updates_tell_what_their_images_do(published: str, execute: Callable[[str, str], None]):
    execute(
        published,
        "INSERT INTO orders.orders (total) SELECT n * 1.10 FROM generate_series(1, 50) n;\n"
        "UPDATE orders.orders SET status = 'paid';\nUPDATE orders.orders SET total = total + 0.05 WHERE total < 40;\n"
        "DELETE FROM orders.orders WHERE total < 20",
    )
    whole = al.read_postgres(published, clock="changed_at", progress=False)
    query = """
        SELECT id, entity_type, entity_id, operation, changed_by, changed_at, NULL::jsonb AS before_snapshot,
               CASE WHEN operation <> 'UPDATE' THEN after_snapshot END AS after_snapshot,
               changed_fields, metadata, transaction_id, correlation_id
        FROM audit.entity_change_log"""
    lean = al.read_query(published, query, progress=False)
    assert lean.changes()["after_snapshot"].null_count() > len(lean) // 2
    for name in ("diffs", "as_of", "history"):
        own, theirs = (getattr(log.of("orders.orders"), name)() for log in (lean, whole))
        assert_frame_equal(own.drop("origin", strict=False), theirs.drop("origin", strict=False))


def test_the_baseline_is_the_last_in_order_not_by_id(database: str, execute: Callable[[str, str], None]):
    """Inside a transaction the images tell the order: here the change with the larger id came first."""
    execute(
        database,
        """CREATE TABLE log (id bigint, entity_type text, entity_id text, operation text, changed_at timestamptz,
    before_snapshot jsonb, after_snapshot jsonb, transaction_id bigint);
INSERT INTO log VALUES
    (1, 's.t', 'x', 'INSERT', '2024-01-01Z', NULL, '{"n": 0}', 1),
    (2, 's.t', 'x', 'UPDATE', '2024-01-02Z', '{"n": 1}', '{"n": 2}', 2),
    (3, 's.t', 'x', 'UPDATE', '2024-01-02Z', '{"n": 0}', '{"n": 1}', 2)""",
    )
    loaded = read_postgres(database, table="log", start="2024-06-01")
    assert loaded.baseline is not None
    assert loaded.baseline["after_snapshot"].to_list() == ['{"n": 2}']


def test_a_log_with_other_names_and_types_is_mapped(database: str, execute: Callable[[str, str], None], version: int):
    counted = "xid8" if version >= 13 else "bigint"
    execute(
        database,
        f"""CREATE SCHEMA "Odd ""Place";
CREATE TYPE op AS ENUM ('c', 'u');
CREATE TYPE kind AS ENUM ('s.t', 's.u');
CREATE TABLE "Odd ""Place"."The Log" ("N°" int, kind kind, row_key int, op op, "at" timestamp, old json,
        "new" text, who text, tx {counted});
INSERT INTO "Odd ""Place"."The Log" VALUES
        (1, 's.t', 42, 'c', '2024-07-01 12:00', NULL, '{{"a":  1.10}}', 'o''brien', '4294967297'::{counted})""",
    )
    names = {
        "id": "N°",
        "entity_type": "kind",
        "entity_id": "row_key",
        "operation": "op",
        "changed_at": "at",
        "before_snapshot": "old",
        "after_snapshot": "new",
        "changed_by": "who",
        "transaction_id": "tx",
    }
    table = '"Odd ""Place"."The Log"'
    loaded = read_postgres(database, table=table, zone="Europe/Berlin", columns=names)
    row = loaded.changes.row(0, named=True)
    narrow = read_postgres(
        database, table=table, zone="Europe/Berlin", columns=names, entity_types="s.t", user="o'brien"
    )
    assert narrow.changes.equals(loaded.changes)
    assert row["changed_at"] == datetime(2024, 7, 1, 10, tzinfo=UTC)
    assert (row["id"], row["entity_id"], row["operation"], row["changed_by"]) == (1, "42", "INSERT", "o'brien")
    assert (row["after_snapshot"], row["transaction_id"]) == ('{"a":  1.10}', 4294967297)


def test_a_view_of_a_log_is_a_log(plain_log: str, execute: Callable[[str, str], None]):
    execute(plain_log, "CREATE VIEW recent AS SELECT * FROM audit.entity_change_log WHERE id > 5000")
    assert read_postgres(plain_log, table="recent", connections=2).changes.height == 1000


def test_an_empty_log_covers_nothing(captured: str):
    loaded = read_postgres(captured)
    assert loaded.changes.schema == pl.Schema(CHANGES)
    assert str(loaded.facts.coverage) == "no changes"


BUSY = "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


def test_a_stream_can_be_left_and_the_server_is_free_again(plain_log: str):
    with ChangeStream(plain_log, connections=2, batch_bytes=1 << 16) as stream:
        next(iter(stream))
    with connect(plain_log) as connection:
        for _ in range(100):
            if not connection.rows(BUSY)[0]["n"]:
                break
            connection.rows("SELECT pg_sleep(0.05)::text")
        assert connection.rows(BUSY)[0]["n"] == 0


def test_progress_is_shown_only_when_asked_for(plain_log: str, capsys: pytest.CaptureFixture[str]):
    read_postgres(plain_log)
    assert capsys.readouterr().err == ""
    read_postgres(plain_log, progress=True)
    assert "audit.entity_change_log" in capsys.readouterr().err

"""A log from a real PostgreSQL: whole, exact, in one snapshot, narrowed on the server."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from postgres_log import by_type, newest_transaction, recorded

import auditlab as al
from auditlab.capture.track import track
from auditlab.connection import connect
from auditlab.errors import SchemaMismatch, UndeterminedState
from auditlab.load.postgres import ChangeStream, read_postgres
from auditlab.schema import CHANGES

if TYPE_CHECKING:
    from collections.abc import Callable


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

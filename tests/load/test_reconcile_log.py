"""A log that was loaded or archived earlier, held against the live tables and the live log of a real PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl
import pytest

import auditlab as al
from auditlab.capture import track
from auditlab.connection import connect
from auditlab.errors import BadOption, NotInstalled, SystemMismatch
from auditlab.recorded import Recorded
from auditlab.schema import CHANGES
from auditlab.selection import Selected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from auditlab.analytics.reconciliation import Reconciliation
    from auditlab.connection import Connection

UNGUARDED = "ALTER TABLE audit.entity_change_log DISABLE TRIGGER ALL"
WORK = """
UPDATE shop.orders SET note = 'later' WHERE id = md5('o3')::uuid;
DELETE FROM shop.users WHERE name = 'yan';
INSERT INTO shop.lines VALUES (2, 1, 8.50);
UPDATE shop.events SET region = 'us' WHERE id = 1;
TRUNCATE shop.users
"""
FORGE = """
INSERT INTO audit.entity_change_log
    (entity_type, entity_id, operation, before_snapshot, after_snapshot, changed_fields, transaction_id)
SELECT entity_type, entity_id, 'UPDATE', after_snapshot, jsonb_set(after_snapshot, '{note}', '"forged"'),
       '{"note": "forged"}', transaction_id
FROM audit.entity_change_log WHERE entity_id = md5('o5')::uuid ORDER BY id LIMIT 1
"""


@pytest.fixture
def db(shop: str) -> Iterator[Connection]:
    """A connection to the shop, each statement its own transaction."""
    with connect(shop, autocommit=True) as connection:
        yield connection


def read(dsn: str) -> al.ChangeLog:
    return al.read_postgres(dsn, progress=False)


def against(log: al.ChangeLog, dsn: str) -> Reconciliation:
    return al.reconcile(log, dsn, progress=False)


def found(log: al.ChangeLog, dsn: str) -> dict[str, int]:
    return dict(against(log, dsn).findings.select("kind", "count").iter_rows())


def kept(form: str, dsn: str, folder: Path) -> al.ChangeLog:
    """The log of the database, as one keeps it."""
    if form == "archive":
        al.archive_postgres(dsn, folder / "archive", progress=False)
        return al.scan_archive(folder / "archive")
    if form == "parquet":
        read(dsn).changes().write_parquet(folder / "log.parquet")
        return al.read_parquet(folder / "log.parquet")
    return read(dsn)


@pytest.mark.parametrize("form", ["memory", "archive", "parquet"])
def test_what_came_since_is_added(shop: str, execute: Callable[..., None], tmp_path: Path, form: str):
    log = kept(form, shop, tmp_path)
    before = against(log, shop)
    assert before.findings.is_empty(), before
    assert dict(before.tables.select("entity_type", "equal").iter_rows()) == {
        "shop.events": 2, "shop.lines": 1, "shop.orders": 19, "shop.users": 2,
    }  # fmt: skip
    execute(shop, WORK)
    after = against(log, shop)
    assert after.findings.is_empty(), after
    assert dict(after.tables.select("entity_type", "equal").iter_rows()) == {
        "shop.events": 2, "shop.lines": 2, "shop.orders": 19, "shop.users": 0,
    }  # fmt: skip
    execute(
        shop, "SET session_replication_role = replica;\nUPDATE shop.orders SET total = 0 WHERE id = md5('o3')::uuid"
    )
    result = against(log, shop)
    (row,) = result.rows("changed outside the log").to_dicts()
    assert (row["field"], row["logged"], row["live"]) == ("total", "3.30", "0")
    assert found(log.of("shop.lines"), shop) == {}
    assert found(log.of("shop.orders"), shop) == {"changed outside the log": 1}


@pytest.mark.parametrize("form", ["archive", "parquet"])
def test_a_row_deleted_from_the_live_log(shop: str, db: Connection, tmp_path: Path, form: str):
    log = kept(form, shop, tmp_path)
    db.execute(UNGUARDED)
    db.execute("DELETE FROM audit.entity_change_log WHERE entity_id = md5('o4')::uuid")
    result = against(log, shop)
    assert result.findings.select("kind", "severity", "count").rows() == [("log row gone", "error", 1)]
    (row,) = result.rows("log row gone").to_dicts()
    assert (row["operation"], '"total": 4.40' in row["logged"], row["live"]) == ("INSERT", True, None)


@pytest.mark.parametrize("form", ["archive", "parquet"])
def test_a_row_edited_in_the_live_log(shop: str, db: Connection, tmp_path: Path, form: str):
    log = kept(form, shop, tmp_path)
    db.execute(UNGUARDED)
    edit = "UPDATE audit.entity_change_log SET {} WHERE entity_id = md5('{}')::uuid AND operation = 'INSERT'"
    db.execute(edit.format("""after_snapshot = jsonb_set(after_snapshot, '{total}', '7.77')""", "o4"))
    db.execute(edit.format("changed_by = '00000000-0000-0000-0000-00000000000c'", "o5"))
    db.execute(
        edit.format("""after_snapshot = jsonb_set(after_snapshot, '{total}', '6.600')""", "o6")
    )  # an equal value
    result = against(log, shop)
    assert dict(result.findings.select("kind", "count").iter_rows()) == {"log row edited": 2}
    rows = {row["field"]: (row["logged"], row["live"]) for row in result.rows("log row edited").to_dicts()}
    assert rows == {
        "after_snapshot.total": ("4.40", "7.77"),
        "changed_by": ("00000000-0000-0000-0000-00000000000a", "00000000-0000-0000-0000-00000000000c"),
    }


def test_a_change_written_into_the_past(shop: str, db: Connection, tmp_path: Path):
    """Someone changes a row unseen, and writes the change into the log, with the id of an old transaction."""
    log = kept("archive", shop, tmp_path)
    db.execute("SET session_replication_role = replica")
    db.execute("UPDATE shop.orders SET note = 'forged' WHERE id = md5('o5')::uuid")
    db.execute("RESET session_replication_role")
    db.execute(FORGE)
    assert found(log, shop) == {"log row added": 1, "changed outside the log": 1}
    assert al.reconcile(None, shop, progress=False).findings.is_empty()  # of which the live log alone says nothing


def test_changes_that_retention_took_out_are_no_alarm(shop: str, db: Connection, tmp_path: Path):
    log = kept("archive", shop, tmp_path)
    db.execute(UNGUARDED)
    first = "SELECT min(transaction_id) FROM audit.entity_change_log WHERE operation = 'INSERT'"
    db.execute(f"DELETE FROM audit.entity_change_log WHERE transaction_id <= ({first})")
    result = against(log, shop)
    assert result.findings.select("kind", "severity").rows() == [("log pruned", "hint")]
    alone = al.reconcile(None, shop, progress=False).findings
    assert alone.select("kind", "severity").rows() == [("population incomplete", "warning")]


def test_types_that_are_new_since_and_those_that_were_left_out(shop: str, execute: Callable[..., None]):
    whole, part = read(shop), al.read_postgres(shop, entity_types="shop.orders", progress=False)
    execute(shop, "CREATE TABLE shop.late (id int PRIMARY KEY)")
    track(shop, "shop.late")
    execute(shop, "SET session_replication_role = replica;\nINSERT INTO shop.late VALUES (1)")
    assert found(whole, shop) == {"inserted outside the log": 1}
    assert found(part, shop) == found(whole.of("shop.orders"), shop) == {}
    assert against(part, shop).tables["entity_type"].to_list() == ["shop.orders"]


@pytest.mark.parametrize("entity", [1, {"order_no": 1, "line": 1}])
def test_a_log_of_one_entity(shop: str, execute: Callable[..., None], entity: object):
    kind = "shop.events" if entity == 1 else "shop.lines"
    chosen = {"id": 1, "region": "eu"} if entity == 1 else entity
    log = al.read_postgres(shop, entity=chosen, progress=False)  # type: ignore[arg-type]
    execute(shop, "SET session_replication_role = replica;\nUPDATE shop.orders SET note = 'x'")
    assert against(log, shop).findings.is_empty()
    assert against(log, shop).tables.rows() == [(kind, 1, 1, 1)]


def test_a_log_that_begins_with_a_baseline(shop: str, db: Connection):
    """Changes before its start are not in it, and are not missing from it."""
    start = db.rows("SELECT max(changed_at) AS at FROM audit.entity_change_log")[0]["at"]
    log = al.read_postgres(shop, start=start, progress=False)
    assert against(log, shop).findings.is_empty()
    db.execute("UPDATE shop.orders SET note = 'y'")
    assert against(log, shop).findings.is_empty()


def test_the_log_of_another_database_is_refused(shop: str, plain_log: str):
    log = read(plain_log)
    with pytest.raises(SystemMismatch, match="that is another log"):
        against(log, shop)
    mine = read(shop)
    assert mine.facts.system is not None
    moved = Recorded(mine.changes().select(*CHANGES), replace(mine.facts, system="1"))
    with pytest.raises(SystemMismatch, match="the log is of system 1 .* is system"):
        against(al.ChangeLog(Selected(moved, moved.entity_types)), shop)


def test_a_database_without_a_log_is_refused(shop: str, database: str):
    with pytest.raises(NotInstalled, match="auditlab init"):
        against(read(shop), database)


LEAVES = """
CREATE SCHEMA IF NOT EXISTS o;
CREATE TABLE o.parts (id uuid NOT NULL, region text, n int) PARTITION BY LIST (region);
CREATE TABLE o.parts_eu PARTITION OF o.parts FOR VALUES IN ('eu');
CREATE TABLE o.parts_us PARTITION OF o.parts FOR VALUES IN ('us');
CREATE TRIGGER trg_parts AFTER INSERT OR UPDATE OR DELETE ON o.parts
    FOR EACH ROW EXECUTE FUNCTION audit.log_entity_change();
INSERT INTO o.parts SELECT md5('p' || n)::uuid, 'eu', n FROM generate_series(1, 6) AS n;
UPDATE o.parts SET region = 'us', n = n + 10 WHERE n > 3
"""
AS_RECORDED = """
SELECT id, entity_type, entity_id::text AS entity_id, operation, changed_at, transaction_id,
       before_snapshot::text AS before_snapshot, after_snapshot::text AS after_snapshot
FROM audit.entity_change_log ORDER BY id
"""


def test_partitions_of_a_published_log_are_one_table(published: str, execute: Callable[..., None]):
    """The published trigger logs the partition's name: a log that was kept by others has those."""
    execute(published, LEAVES)
    with connect(published) as connection:
        log = al.from_arrow(pl.DataFrame(connection.rows(AS_RECORDED), infer_schema_length=None))
    assert log.entity_types == ("o.parts_eu", "o.parts_us")
    for one in (log, None):
        result = al.reconcile(one, published, progress=False)
        assert result.findings.is_empty(), result
        assert result.tables.rows() == [("o.parts", 6, 6, 6)]
    with pytest.raises(BadOption, match="o.parts_us and what is selected are partitions of o.parts"):
        against(log.of("o.parts_eu"), published)
    execute(published, "INSERT INTO o.parts SELECT id, 'us', 0 FROM o.parts WHERE n = 1")
    assert found(log, published) == {"shared entity id": 1}


def test_a_key_that_changed_under_the_published_trigger_is_no_finding(published: str, execute: Callable[..., None]):
    """The trigger names the new key alone; the images link the two."""
    execute(
        published,
        "INSERT INTO orders.orders (id) SELECT md5('k' || n)::uuid FROM generate_series(1, 3) AS n;\n"
        "UPDATE orders.orders SET id = md5('new')::uuid WHERE id = md5('k1')::uuid",
    )
    checked = al.reconcile(None, published, progress=False)
    assert checked.findings.is_empty()
    with connect(published, autocommit=True) as connection:
        connection.execute("ALTER TABLE orders.orders DISABLE TRIGGER USER")
        connection.execute("UPDATE orders.orders SET status = 'x' WHERE id = md5('new')::uuid")
    assert al.reconcile(None, published, progress=False).worst == "error"


HALVES = """
CREATE TABLE orders.codes (code uuid, ref uuid);
INSERT INTO orders.codes VALUES (md5('new')::uuid, md5('new')::uuid);
INSERT INTO audit.entity_change_log (entity_type, entity_id, operation, after_snapshot, transaction_id)
SELECT 'orders.codes', code, 'INSERT', jsonb_build_object('code', code, 'ref', code), txid_current()
FROM (SELECT md5('k1')::uuid AS code) AS k;
INSERT INTO audit.entity_change_log (entity_type, entity_id, operation, before_snapshot, after_snapshot, transaction_id)
SELECT 'orders.codes', code, 'UPDATE', jsonb_build_object('code', md5('k1')::uuid, 'ref', 'x'), to_jsonb(c.*),
       txid_current()
FROM orders.codes AS c
"""


def test_a_key_that_a_log_names_by_halves(published: str, execute: Callable[..., None]):
    """It names the new key alone, and its images do not tell the old one: the old row seems to be there still."""
    execute(published, HALVES)
    result = al.reconcile(None, published, progress=False)
    assert dict(result.findings.select("kind", "count").iter_rows()) == {"half-logged key change": 1}
    assert result.rows("half-logged key change")["entity_type"].to_list() == ["orders.codes"]


NESTED = """
BEGIN;
UPDATE orders.orders SET status = 'a', total = 1;
UPDATE orders.orders SET status = 'draft', total = 0;
UPDATE orders.orders SET status = 'a', total = 1;
COMMIT
"""


def test_a_row_of_which_the_order_is_not_known_is_uncertain_and_no_alarm(published: str, execute: Callable[..., None]):
    """Two changes of one transaction carry one id: as an edit or a bad copy leaves it, which came last is not known."""
    execute(published, f"INSERT INTO orders.orders (id, total) VALUES (md5('a')::uuid, 0);\n{NESTED}")
    with connect(published) as connection:
        rows = pl.DataFrame(connection.rows(AS_RECORDED), infer_schema_length=None)
    swapped = rows.with_columns(
        id=pl.col("id").replace({rows["id"][2]: rows["id"][3]}),
        before_snapshot=pl.lit(None, dtype=pl.String),
    ).reverse()
    with connect(published, autocommit=True) as connection:
        connection.execute("TRUNCATE audit.entity_change_log")
    kinds = found(al.from_arrow(swapped), published)
    assert kinds == {"log row gone": 4, "uncertain order": 1}


def test_states_that_changed_fields_tell_are_compared_and_unknown_ones_raise_no_alarm(
    published: str, execute: Callable[..., None]
):
    execute(published, "INSERT INTO orders.orders (id) VALUES (md5('a')::uuid), (md5('b')::uuid)")
    execute(published, "UPDATE orders.orders SET status = 'paid'")
    execute(
        published,
        "ALTER TABLE audit.entity_change_log DROP CONSTRAINT valid_snapshots; "
        "UPDATE audit.entity_change_log SET before_snapshot = NULL, after_snapshot = NULL WHERE operation = 'UPDATE'",
    )
    assert found(read(published), published) == {}
    execute(published, "ALTER TABLE orders.orders DISABLE TRIGGER USER; UPDATE orders.orders SET status = 'ghost'")
    assert found(read(published), published) == {"changed outside the log": 2}
    execute(published, "UPDATE audit.entity_change_log SET after_snapshot = NULL, changed_fields = NULL")
    assert set(found(read(published), published)) == {"not comparable"}, "no image tells the key, and no state"

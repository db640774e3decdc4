"""A log that is dealt out into buckets, held against live tables as the same log in memory is: finding for finding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from polars.testing import assert_frame_equal

import auditlab as al
from auditlab.analytics.outside import KINDS
from auditlab.buckets.bucketed import Bucketed
from auditlab.capture import track
from auditlab.connection import connect
from auditlab.errors import SystemMismatch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from auditlab.connection import Connection

pytestmark = pytest.mark.filterwarnings("error")

TABLES = """
CREATE SCHEMA s;
CREATE TABLE s.orders (id uuid PRIMARY KEY, total numeric(20, 2), note text, at timestamptz, w float8);
CREATE TABLE s.pairs ("b ü" int, a text, v text, PRIMARY KEY ("b ü", a));
CREATE TABLE s.users (name text PRIMARY KEY, raw json, v text);
CREATE TABLE s.parts (id int, region text, v text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE s.parts_eu PARTITION OF s.parts FOR VALUES IN ('eu');
CREATE TABLE s.parts_us PARTITION OF s.parts FOR VALUES IN ('us');
CREATE TABLE s.untouched (id int PRIMARY KEY)
"""
TRACKED = ["s.orders", "s.pairs", "s.users", "s.parts", "s.untouched"]
FILL = """
INSERT INTO s.orders SELECT md5('o' || n)::uuid, n * 1.10, 'n' || n, '2024-01-01 12:00+00', 0.1::float8 + 0.2::float8
    FROM generate_series(1, 30) AS n;
INSERT INTO s.pairs SELECT n, 'ü' || n, 'x' FROM generate_series(1, 15) AS n;
INSERT INTO s.users SELECT 'Zoë ' || n, '{"a": "\\u0000", "n": 1.10}', 'x' FROM generate_series(1, 15) AS n;
INSERT INTO s.parts SELECT n, CASE WHEN n < 8 THEN 'eu' ELSE 'us' END, 'x' FROM generate_series(1, 15) AS n;
UPDATE s.orders SET total = total + 1 WHERE total < 20;
UPDATE s.pairs SET a = 'other' WHERE a = 'ü3';
UPDATE s.parts SET region = 'us' WHERE id = 2;
DELETE FROM s.users WHERE name = 'Zoë 4'
"""
SINCE = """
UPDATE s.orders SET note = 'later' WHERE total > 20;
INSERT INTO s.orders SELECT md5('p' || n)::uuid, n, 'new', NULL, NULL FROM generate_series(1, 5) AS n;
DELETE FROM s.pairs WHERE a = 'ü5';
UPDATE s.pairs SET "b ü" = 100 WHERE a = 'ü6';
UPDATE s.parts SET region = 'eu' WHERE id > 12;
BEGIN; UPDATE s.users SET v = 'y' WHERE name = 'Zoë 1'; SAVEPOINT a; UPDATE s.users SET v = 'z'; COMMIT;
INSERT INTO s.untouched VALUES (1)
"""
UNSEEN = "SET session_replication_role = replica;\n{};\nRESET session_replication_role"
EDIT = "ALTER TABLE audit.entity_change_log DISABLE TRIGGER ALL;\n{}"
LAST = "(SELECT max(id) FROM audit.entity_change_log WHERE entity_id = md5('o{}')::uuid)"
OUTSIDE, GHOSTS, REMOVED = ("changed outside the log", "inserted outside the log", "removed outside the log")

FAULTS: dict[str, tuple[str, set[str]]] = {
    "nothing": ("SELECT 1", set()),
    "a trigger that was off": (
        "ALTER TABLE s.orders DISABLE TRIGGER USER;\nUPDATE s.orders SET total = 0, note = NULL WHERE total < 20",
        {OUTSIDE},
    ),
    "a replica's session": (
        UNSEEN.format(
            "UPDATE s.orders SET note = 'x' WHERE note LIKE 'n1%';\nDELETE FROM s.orders WHERE note LIKE 'n2%';\n"
            "INSERT INTO s.orders (id) SELECT md5('g' || n)::uuid FROM generate_series(1, 9) AS n;\n"
            "INSERT INTO s.untouched SELECT generate_series(5, 9);\nUPDATE s.parts SET v = 'x' WHERE id > 9"
        ),
        {OUTSIDE, GHOSTS, REMOVED},
    ),
    "keys of several columns, and keys that changed": (
        UNSEEN.format(
            "UPDATE s.pairs SET v = 'u' WHERE a IN ('other', 'ü6', 'ü7');\nUPDATE s.pairs SET a = 'k' WHERE a = 'ü9';\n"
            "UPDATE s.parts SET region = 'us' WHERE id = 1;\nDELETE FROM s.parts WHERE id = 2;\n"
            "UPDATE s.users SET name = 'Yan' WHERE name = 'Zoë 1'"
        ),
        {OUTSIDE, GHOSTS, REMOVED},
    ),
    "a TRUNCATE, and new rows after it": (
        UNSEEN.format("TRUNCATE s.orders")
        + ";\nINSERT INTO s.orders (id) SELECT md5('q' || n)::uuid FROM generate_series(1, 4) AS n;\n"
        "INSERT INTO s.orders (id) VALUES (md5('o3')::uuid)",
        {"possible TRUNCATE"},
    ),
    "a few rows gone": (UNSEEN.format('DELETE FROM s.pairs WHERE "b ü" < 5'), {REMOVED}),
    "rows that came back": (UNSEEN.format("INSERT INTO s.users VALUES ('Zoë 4', '1', 'x')"), {GHOSTS}),
    "a value that jsonb cannot hold": (
        UNSEEN.format("""UPDATE s.users SET raw = '{"a": "\\u0000", "n": 1.1}' WHERE name LIKE 'Zoë 1%'"""),
        {OUTSIDE},
    ),
    "a type without a table, and one that is a view": (
        "DROP TABLE s.users;\nALTER TABLE s.pairs RENAME TO old;\nCREATE VIEW s.pairs AS SELECT * FROM s.old",
        {"not comparable"},
    ),
    "a key of another name": ('ALTER TABLE s.pairs RENAME COLUMN "b ü" TO b', {"not comparable"}),
    "DDL, and a write beside it": (
        "ALTER TABLE s.orders ADD COLUMN colour text DEFAULT 'red';\n"
        "ALTER TABLE s.pairs ALTER COLUMN v TYPE int USING length(v);\n"
        "ALTER TABLE s.parts RENAME COLUMN v TO w;\nALTER TABLE s.orders ALTER COLUMN at TYPE text;\n"
        + UNSEEN.format("UPDATE s.orders SET colour = 'blue' WHERE note LIKE 'n1%';\nUPDATE s.users SET v = '7'"),
        {"schema drift", OUTSIDE},
    ),
    "an edited change": (
        EDIT.format(
            "UPDATE audit.entity_change_log SET after_snapshot = jsonb_set(after_snapshot, '{total}', '7.77') "
            f"WHERE id IN ({LAST.format(1)}, {LAST.format(2)})"
        ),
        {"log row edited"},
    ),
    "changes that are gone": (
        EDIT.format("DELETE FROM audit.entity_change_log WHERE entity_type = 's.pairs' AND id % 2 = 0"),
        {"log row gone"},
    ),
    "changes that retention took": (
        EDIT.format(
            "DELETE FROM audit.entity_change_log WHERE id <= (SELECT min(id) + 20 FROM audit.entity_change_log)"
        ),
        {"log pruned"},
    ),
    "a change written into the past": (
        UNSEEN.format(
            "UPDATE s.orders SET note = 'forged' WHERE id = md5('o5')::uuid;\nDELETE FROM s.users WHERE v = 'x'"
        )
        + ";\nINSERT INTO audit.entity_change_log (entity_type, entity_id, operation, before_snapshot, after_snapshot,"
        " changed_fields, transaction_id) SELECT entity_type, entity_id, 'UPDATE', after_snapshot, jsonb_set("
        "after_snapshot, '{note}', '\"forged\"'), '{\"note\": \"forged\"}', transaction_id "
        "FROM audit.entity_change_log WHERE id = " + LAST.format(5),
        {"log row added", OUTSIDE},
    ),
    "rows that are no changes": (
        EDIT.format(
            "ALTER TABLE audit.entity_change_log DROP CONSTRAINT entity_change_log_valid;\n"
            "INSERT INTO audit.entity_change_log (entity_type, entity_id, operation, after_snapshot, transaction_id) "
            "SELECT 's.orders', md5('m' || n)::uuid, 'UPDATE', NULL, txid_current() FROM generate_series(1, 6) AS n"
        ),
        set(),
    ),
    "a change that is missing from a transaction": (
        "BEGIN;\nUPDATE s.orders SET note = 'x' WHERE total < 20;\nINSERT INTO s.orders (id) "
        "SELECT md5('r' || n)::uuid FROM generate_series(1, 6) AS n;\nCOMMIT;\n"
        + EDIT.format(
            "DELETE FROM audit.entity_change_log WHERE transaction_id = (SELECT max(transaction_id) FROM "
            "audit.entity_change_log) AND mod(id, 3) > 0"
        ),
        {OUTSIDE, GHOSTS},
    ),
}
"""Faults, and kinds of findings that they are at least."""


def run(connection: Connection, script: str) -> None:
    for statement in script.split(";\n"):
        connection.execute(statement)


@pytest.fixture
def db(captured: str) -> Iterator[Connection]:
    """A connection to a database with tables that our capture records, each statement its own transaction."""
    with connect(captured, autocommit=True) as connection:
        run(connection, TABLES)
        track(captured, TRACKED)
        run(connection, FILL)
        yield connection


def pulled(dsn: str, folder: Path, *, memory: str = "200 kB") -> tuple[al.ChangeLog, al.ChangeLog]:
    """The log in an archive: in memory, and dealt out."""
    al.archive_postgres(dsn, folder, progress=False)
    dealt = al.scan_archive(folder, memory=memory)
    recorded = dealt.selected.recorded
    assert isinstance(recorded, Bucketed)
    assert recorded.count > 2
    return al.scan_archive(folder), dealt


def assert_alike(whole: al.ChangeLog, dealt: al.ChangeLog, dsn: str) -> set[str]:
    """That both find the same, word for word; the kinds."""
    one, two = (al.reconcile(log, dsn, progress=False) for log in (whole, dealt))
    assert_frame_equal(two.findings, one.findings)
    assert_frame_equal(two.tables, one.tables)
    for kind in KINDS:
        assert_frame_equal(two.rows(kind), one.rows(kind))
    return set(one.findings["kind"])


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_alike_at_once_and_behind_later_changes(
    db: Connection, captured: str, tmp_path: Path, name: str
):
    script, kinds = FAULTS[name]
    whole, dealt = pulled(captured, tmp_path / "log")
    run(db, script)
    assert assert_alike(whole, dealt, captured) >= kinds
    if kinds != {"not comparable"}:
        run(db, SINCE)
        found = assert_alike(whole, dealt, captured)
        assert kinds or found <= {"malformed change"}


def test_some_types_alike(db: Connection, captured: str, tmp_path: Path):
    for number, name in enumerate(("a replica's session", "changes that are gone", "a change written into the past")):
        whole, dealt = pulled(captured, tmp_path / str(number))
        run(db, FAULTS[name][0])
        for types in (["s.orders"], ["s.pairs", "s.parts"], ["s.users"]):
            assert_alike(whole.of(*types), dealt.of(*types), captured)


def test_one_entity_alike(db: Connection, captured: str, tmp_path: Path):
    whole, dealt = pulled(captured, tmp_path / "log")
    for since in ("SELECT 1", SINCE, UNSEEN.format("UPDATE s.pairs SET v = 'u'; DELETE FROM s.parts")):
        run(db, since)
        for key in ({"b ü": 7, "a": "ü7"}, {"b ü": 3, "a": "other"}, {"id": 2, "region": "us"}):
            assert_alike(whole.entity(key), dealt.entity(key), captured)


def test_types_that_came_since_and_those_that_were_left_out_alike(db: Connection, captured: str, tmp_path: Path):
    al.archive_postgres(captured, tmp_path / "part", entity_types=["s.orders", "s.pairs"], progress=False)
    whole, dealt = al.scan_archive(tmp_path / "part"), al.scan_archive(tmp_path / "part", memory="100 kB")
    run(db, SINCE)
    run(db, "CREATE TABLE s.late (id int PRIMARY KEY)")
    track(captured, "s.late")
    run(db, "INSERT INTO s.late VALUES (1), (2);\n" + UNSEEN.format("INSERT INTO s.late VALUES (3)"))
    assert assert_alike(whole, dealt, captured) == set()
    assert assert_alike(*pulled(captured, tmp_path / "log"), captured) == {GHOSTS}


def test_rows_of_before_the_log_alike(published: str, tmp_path: Path):
    """The published trigger sees no row before it began, and floats as the session writes them."""
    with connect(published, autocommit=True) as connection:
        run(connection, TABLES)
        run(connection, FILL)
        for table in ("orders", "users"):
            connection.execute(
                f"CREATE TRIGGER t AFTER INSERT OR UPDATE OR DELETE ON s.{table} "
                "FOR EACH ROW EXECUTE FUNCTION audit.log_entity_change()"
            )
        run(connection, "SET extra_float_digits = 0")
        for note in "abcdy":
            run(connection, f"UPDATE s.orders SET note = '{note}' WHERE total < 20")
        whole, dealt = pulled(published, tmp_path / "log")
        assert assert_alike(whole, dealt, published) == {"population incomplete", "lost float digits"}
        run(
            connection,
            UNSEEN.format("INSERT INTO s.orders (id) SELECT md5('g' || n)::uuid FROM generate_series(1, 9) AS n"),
        )
        assert GHOSTS in assert_alike(whole, dealt, published)
        run(
            connection,
            "UPDATE s.orders SET note = 'z' WHERE total > 25;\n"
            "ALTER TABLE s.orders ADD made uuid DEFAULT gen_random_uuid()",
        )
        assert assert_alike(whole, dealt, published) >= {"population incomplete", "schema drift"}


@pytest.mark.usefixtures("db")
def test_another_log_is_refused_alike(captured: str, published: str, tmp_path: Path):
    rows = "INSERT INTO orders.orders (id) SELECT md5('x' || n)::uuid FROM generate_series(1, 99) AS n"
    with connect(published, autocommit=True) as connection:
        connection.execute(rows)
    for log in pulled(captured, tmp_path / "log"):
        with pytest.raises(SystemMismatch, match="that is another log"):
            al.reconcile(log, published, progress=False)

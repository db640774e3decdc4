"""Every kind of value and key, written by sessions of other settings: what is logged is no finding, any other is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pytest

import auditlab as al
from auditlab.capture import track
from auditlab.connection import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from auditlab.connection import Connection

KINDS = {
    "id": "uuid PRIMARY KEY", "wide": "numeric", "money": "numeric(20, 2)", "ratio": "float8", "small": "float4",
    "flag": "boolean", "at": "timestamptz", "local": "timestamp", "day": "date", "clock": "time", "doc": "json",
    "docs": "jsonb", "tags": "text[]", "times": "timestamptz[]", "floats": "float8[]", "raw": "bytea",
    "raws": "bytea[]", "span": "interval", "spans": "interval[]", "cash": "money", "feel": "mood",
    "during": "tstzrange", "two": "pair", "code": "char(5)", "far": "timestamptz", "ever": "timestamptz",
    "nothing": "text", "made": "int GENERATED ALWAYS AS (7) STORED",
}  # fmt: skip
VALUES = r"""
    md5('k' || n)::uuid, 12345678901234567890.10 + n, n, 0.25 * n, 1.5, mod(n, 2) = 0, '2024-01-01 12:00:00.123456+02',
    '2024-01-01', '2024-02-29', '10:00', '{"b": 1.10, "a": [1e2, null]}', '{"n": 123456789012345678901234567890}',
    '{a,"b c",null}', '{2024-01-01 00:00+00}', '{1.5,NaN,-Infinity}', '\x00ff', '{"\\x00ff"}',
    interval '1 year 2 days 03:04:05.5', ARRAY[interval '1 day', '-2 hours'], 12.5, 'ok',
    '[2024-01-01 00:00+00,2024-02-01 00:00+00)', ROW(1, '2024-01-01 00:00+00')::pair, 'ab',
    '12024-01-01 00:00+00', 'infinity', NULL
"""
TYPES = "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TYPE pair AS (a int, at timestamptz);"
TABLE = f"{TYPES} CREATE TABLE kinds ({', '.join(f'{name} {kind}' for name, kind in KINDS.items())})"
INSERT = f"INSERT INTO kinds SELECT {VALUES} FROM generate_series(%d, %d) AS n"
SESSIONS = (
    "SET timezone = 'Asia/Tokyo'",
    "SET bytea_output = 'escape'",
    "SET intervalstyle = 'sql_standard'",
    "SET datestyle = 'SQL, MDY'",
    "SET search_path = public, pg_catalog",
)
PUBLISHED_TRIGGER = """
CREATE TRIGGER trg_kinds AFTER INSERT OR UPDATE OR DELETE ON kinds
    FOR EACH ROW EXECUTE FUNCTION audit.log_entity_change();
"""


@pytest.fixture(params=["ours", "published"])
def kinds(request: pytest.FixtureRequest) -> Iterator[tuple[str, Connection]]:
    """A database with a table of every kind of value, written by sessions of several settings; and a connection."""
    dsn: str = request.getfixturevalue("captured" if request.param == "ours" else "published")
    with connect(dsn, autocommit=True) as connection:
        connection.execute(TABLE)
        if request.param == "ours":
            track(dsn, "kinds")
        else:
            connection.execute(PUBLISHED_TRIGGER)
        connection.execute(INSERT % (1, 5))
        with connect(dsn, autocommit=True) as other:
            for setting in SESSIONS:
                other.execute(setting)
            other.execute(INSERT % (6, 20))
        yield dsn, connection


def found(dsn: str) -> dict[str, int]:
    return dict(al.reconcile(None, dsn, progress=False).findings.select("kind", "count").iter_rows())


def test_no_kind_of_value_and_no_session_is_found(kinds: tuple[str, Connection]):
    dsn, _ = kinds
    result = al.reconcile(None, dsn, progress=False)
    assert result.findings.is_empty(), result.rows(result.findings["kind"][0])
    assert result.tables.filter(pl.col("entity_type") == "public.kinds").rows() == [("public.kinds", 20, 20, 20)]


LEAST = [
    ("wide", "wide + 0.01", "12345678901234567896.10", "12345678901234567896.11"),
    ("docs", """'{"n": 123456789012345678901234567891}'""", None, '{"n": 123456789012345678901234567891}'),
    ("doc", """'{"a": [100, null], "b": 1.1, "c": 0}'""", None, '{"a": [100, null], "b": 1.1, "c": 0}'),
    ("times", "'{2024-01-01 00:00:01+00}'", None, '["2024-01-01T00:00:01+00:00"]'),
    ("during", "'[2024-01-01 00:00+00,2024-02-01 00:00:01+00)'", None, None),
    ("raws", r"""'{"\\x00fe"}'""", None, r'["\\x00fe"]'),
    ("spans", "ARRAY[interval '1 day', '-2 hours -1 second']", None, '["1 day", "-02:00:01"]'),
    ("two", "ROW(1, '2024-01-01 00:00:01+00')::pair", None, '{"a": 1, "at": "2024-01-01T00:00:01+00:00"}'),
    ("far", "far + interval '1 us'", None, "12024-01-01T00:00:00.000001+00:00"),
    ("cash", "12.51", "$12.50", "$12.51"),
    ("flag", "NULL", "true", None),
    ("nothing", "''", None, ""),
    ("small", "small + 0.25", "1.5", "1.75"),
]
"""Of every kind of value a change, the least there is: field, the new value, what the log and what the table has."""


def test_the_least_change_of_every_kind_of_value_is_found(kinds: tuple[str, Connection]):
    """Each in another row, that a session of other settings had written."""
    dsn, connection = kinds
    connection.execute("SET session_replication_role = replica")
    for number, (column, value, *_) in enumerate(LEAST, start=6):
        connection.execute(f"UPDATE kinds SET {column} = {value} WHERE id = md5('k' || {number})::uuid")
    result = al.reconcile(None, dsn, progress=False)
    assert dict(result.findings.select("kind", "count").iter_rows()) == {"changed outside the log": len(LEAST)}
    rows = {row["field"]: row for row in result.rows("changed outside the log").to_dicts()}
    for column, _, logged, live in LEAST:
        assert logged is None or rows[column]["logged"] == logged
        assert live is None or rows[column]["live"] == live


def test_a_float_that_a_session_recorded_with_fewer_digits_cannot_be_judged_beyond_them(published: str):
    with connect(published, autocommit=True) as connection:
        for statement in (TABLE, PUBLISHED_TRIGGER, "SET extra_float_digits = 0", INSERT % (1, 2)):
            connection.execute(statement)
        assert found(published) == {}
        connection.execute("UPDATE kinds SET ratio = 0.1 + 0.2::float8, small = 1.1::float8 / 3")
        assert found(published) == {"lost float digits": 2}
        connection.execute("SET session_replication_role = replica")
        connection.execute("UPDATE kinds SET ratio = 0.31 WHERE id = md5('k1')::uuid")
        assert found(published) == {"lost float digits": 2, "changed outside the log": 1}


def test_our_capture_records_every_digit_so_that_the_last_one_counts(captured: str):
    with connect(captured, autocommit=True) as connection:
        connection.execute(TABLE)
        track(captured, "kinds")
        for statement in ("SET extra_float_digits = 0", INSERT % (6, 6), "UPDATE kinds SET ratio = 1.5"):
            connection.execute(statement)
        assert found(captured) == {}
        connection.execute("SET session_replication_role = replica")
        connection.execute("UPDATE kinds SET ratio = 1.5000000000000002")
        assert found(captured) == {"changed outside the log": 1}


KEYS = r"""
CREATE TABLE numbers (no bigint PRIMARY KEY, v text);
CREATE TABLE exact (no numeric PRIMARY KEY, v text);
CREATE TABLE names ("the name" text PRIMARY KEY, v text);
CREATE TABLE moments (at timestamptz PRIMARY KEY, v text);
CREATE TABLE pairs ("b ü" int, a text, v text, PRIMARY KEY ("b ü", a));
CREATE TABLE refs (ref uuid PRIMARY KEY, id int, v text);
CREATE TABLE parts (id int, region text, v text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE parts_eu PARTITION OF parts FOR VALUES IN ('eu');
CREATE TABLE parts_us PARTITION OF parts FOR VALUES IN ('us');
CREATE TABLE texts (id int PRIMARY KEY, doc json, v text);
CREATE TABLE "odd "" Name" (id uuid PRIMARY KEY, "a.b" text, v text);
CREATE TABLE untouched (id int PRIMARY KEY, v text);
"""
FILL = r"""
INSERT INTO numbers SELECT n, 'x' FROM generate_series(1, 9) AS n;
INSERT INTO exact SELECT n * 1.10, 'x' FROM generate_series(1, 9) AS n;
INSERT INTO names SELECT 'Zoë ' || n, 'x' FROM generate_series(1, 9) AS n;
INSERT INTO moments SELECT timestamptz '2024-01-01' + n * interval '0.5 s', 'x' FROM generate_series(1, 9) AS n;
INSERT INTO pairs SELECT n, 'ü' || n, 'x' FROM generate_series(1, 9) AS n;
INSERT INTO refs SELECT md5('r' || n)::uuid, n, 'x' FROM generate_series(1, 9) AS n;
INSERT INTO parts SELECT n, CASE WHEN n < 5 THEN 'eu' ELSE 'us' END, 'x' FROM generate_series(1, 9) AS n;
INSERT INTO texts SELECT n, '{"a": "\u0000", "n": 1.10}', 'x' FROM generate_series(1, 9) AS n;
INSERT INTO "odd "" Name" SELECT md5('o' || n)::uuid, 'x', 'x' FROM generate_series(1, 9) AS n;
UPDATE parts SET region = 'us' WHERE id = 2;
UPDATE numbers SET no = no + 100 WHERE no = 3;
UPDATE pairs SET a = 'other' WHERE a = 'ü3';
"""
TABLES = ("numbers", "exact", "names", "moments", "pairs", "refs", "parts", "texts", '"odd "" Name"', "untouched")


@pytest.fixture
def keys(captured: str) -> Iterator[tuple[str, Connection]]:
    """A database of tables with keys of every kind, recorded by our capture; and a connection."""
    with connect(captured, autocommit=True) as connection:
        connection.execute(KEYS)
        track(captured, TABLES)
        for statement in FILL.split(";\n"):
            if statement.strip():
                connection.execute(statement)
        yield captured, connection


def test_no_kind_of_key_is_found(keys: tuple[str, Connection]):
    dsn, _ = keys
    result = al.reconcile(None, dsn, progress=False)
    assert result.findings.is_empty(), result.rows(result.findings["kind"][0])
    assert result.tables["equal"].to_list() == [9] * 9 + [0]
    log = al.read_postgres(dsn, progress=False)
    assert log.reconcile(dsn, progress=False).tables.equals(result.tables)
    assert log.of("public.parts").entity({"id": 2, "region": "us"}).reconcile(dsn, progress=False).tables.rows() == [
        ("public.parts", 1, 1, 1)
    ]


def test_a_write_past_the_log_is_found_under_every_kind_of_key(keys: tuple[str, Connection]):
    dsn, connection = keys
    connection.execute("SET session_replication_role = replica")
    for table in TABLES:
        connection.execute(f"UPDATE {table} SET v = 'unseen' WHERE ctid = (SELECT max(ctid) FROM {table})")
    connection.execute("INSERT INTO untouched VALUES (1, 'ghost')")
    connection.execute("DELETE FROM pairs WHERE a = 'ü1'")
    result = al.reconcile(None, dsn, progress=False)
    assert dict(result.findings.select("kind", "count").iter_rows()) == {
        "changed outside the log": 9,
        "inserted outside the log": 1,
        "removed outside the log": 1,
    }
    assert set(result.rows("changed outside the log")["field"]) == {"v"}


def test_a_json_value_that_jsonb_cannot_hold_is_compared_by_its_text(keys: tuple[str, Connection]):
    dsn, connection = keys
    connection.execute("SET session_replication_role = replica")
    connection.execute(r"""UPDATE texts SET doc = '{"a": "\u0000", "n": 1.1}' WHERE id = 1""")
    connection.execute("UPDATE texts SET doc = '1' WHERE id = 2")
    rows = al.reconcile(None, dsn, progress=False).rows("changed outside the log")
    assert sorted(rows["live"]) == ["1", r'{"a": "\u0000", "n": 1.1}']


def test_a_composite_key_with_another_name_cannot_be_compared_and_says_so(keys: tuple[str, Connection]):
    dsn, connection = keys
    connection.execute('ALTER TABLE pairs RENAME COLUMN "b ü" TO b')
    connection.execute("ALTER TABLE numbers RENAME COLUMN no TO number")
    connection.execute("ALTER TABLE refs RENAME COLUMN ref TO reference")
    result = al.reconcile(None, dsn, progress=False)
    kinds = dict(result.findings.select("kind", "count").iter_rows())
    assert kinds == {"not comparable": 1, "schema drift": 18}
    (told,) = result.rows("not comparable").to_dicts()
    assert told["note"] == "the log knows its rows by a, b ü, and its primary key is b, a now"

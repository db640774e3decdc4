"""A log from what a query gives: each value as the server writes it, one snapshot, and nothing but reading."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from polars.testing import assert_frame_equal

import auditlab as al
from auditlab.connection import connect
from auditlab.errors import (
    AccessDenied,
    BadOption,
    ConnectionFailed,
    DatabaseError,
    LogTooLarge,
    MalformedChange,
    NoSuchTable,
    SchemaMismatch,
)

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS = """
CREATE EXTENSION hstore;
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE TYPE pair AS (a int, b text);
CREATE TABLE history (
    n bigserial PRIMARY KEY, what text, who name, made timestamptz, key uuid,
    small smallint, amount numeric, odd numeric, ratio float8, part real, note text, code char(3), yes boolean,
    day date, local timestamp, zoned timestamptz, tod time, length interval, doc jsonb, told json, mood mood,
    address inet, span int4range, spans tstzrange, sizes int[], names text[], bytes bytea, price money, pair pair,
    bits bit(3), kv hstore
);
INSERT INTO history (what, who, made, key) VALUES ('I', 'bob', '2024-03-09 12:00+00', lpad('9', 32, '0')::uuid);
INSERT INTO history (what, who, made, key, small, amount, odd, ratio, part, note, code, yes, day, local, zoned, tod,
                     length, doc, told, mood, address, span, spans, sizes, names, bytes, price, pair, bits, kv)
SELECT 'I', 'ann', timestamptz '2024-03-10 12:00:00.123456+05' + n * interval '1 minute',
       lpad(n::text, 32, '0')::uuid, n, 12345678901234567890.1200 + n, 'NaN', 0.1, 0.1, E'quote " and \\\\ and é', 'x',
       true, date '2024-02-29', timestamp '2024-03-10 12:00:00.5', timestamptz '2024-03-10 12:00:00.500+01',
       time '01:02:03.5', interval '1 day 02:00', '{"a": 1.10}', '{"a" :1.10, "a": 2}', 'happy', '10.0.0.1/8', '[1,5)',
       tstzrange('2024-01-01 00:00+00', NULL), ARRAY[1, NULL], ARRAY['a', 'b"'], '\\xdead', 1.5, '(1,x)', B'101',
       'k=>"1.10", z=>NULL'
FROM generate_series(1, 3) AS n;
"""

COLUMNS = {
    "id": "n",
    "entity_id": "key",
    "operation": "what",
    "changed_by": "who",
    "changed_at": "made",
    "transaction_id": None,
}


OWN_WORDS = """
CREATE TABLE log (id bigint, entity_type text, entity_id text, operation text, changed_at timestamptz,
                  before_snapshot jsonb, after_snapshot jsonb);
INSERT INTO log VALUES (1, 'shop.t', 'a', 'new', '2024-03-09Z', NULL, '{"n": 1}'),
                       (2, 'shop.t', 'a', 'gone', '2024-03-10Z', '{"n": 1}', NULL);
"""


@pytest.fixture(scope="module")
def history(make_database: Callable[..., str]) -> str:
    dsn = make_database(prefix="history")
    with connect(dsn) as connection:
        connection.execute(ROWS)
    return dsn


def test_where_read_postgres_does_not_know_a_layout_it_names_the_call_that_takes_it(
    history: str, make_database: Callable[..., str]
):
    dsn, beside = make_database(prefix="own"), {"changed_by": None, "transaction_id": None}
    with connect(dsn) as connection:
        connection.execute(OWN_WORDS)
    with pytest.raises(MalformedChange) as caught:
        al.read_postgres(dsn, table="log")
    assert "operation 'new' in 1 rows (row id 1): want one of INSERT" in str(caught.value)
    assert str(caught.value).endswith(
        "A log of another layout is read by al.read_query(dsn, 'SELECT * FROM ...') or --query, which takes "
        "operations={'new': ..., 'gone': ...}"
    )
    log = al.read_query(dsn, "SELECT * FROM log", columns=beside, operations={"new": "INSERT", "gone": "DELETE"})
    assert log.changes()["operation"].to_list() == ["INSERT", "DELETE"]
    with pytest.raises(SchemaMismatch, match=r"entity_type.*A log of another layout is read by al\.read_query\(dsn, "):
        al.read_postgres(history, table="history", columns={"id": "n", "changed_at": "made"})


def test_each_field_is_what_a_trigger_would_have_written(history: str):
    log = al.read_query(history, "TABLE history", columns=COLUMNS, fields="rest", entity_type="shop.history")
    with connect(history) as connection:
        connection.set_local("TimeZone", "UTC")
        told = connection.rows(
            "SELECT (to_jsonb(h) - ARRAY['n', 'what', 'who', 'made', 'key'])::text AS state, told::text "
            "FROM history AS h ORDER BY n"
        )
    for state, row in zip(log.changes()["after_snapshot"], told, strict=True):
        found, wanted = (json.loads(text, parse_float=str, parse_int=str) for text in (state, row["state"]))
        assert found == wanted
        assert f'"told": {row["told"] or "null"}' in state  # json is kept to the letter, of both its keys


def test_what_rows_arrays_and_hstore_hold_are_documents(history: str):
    query = (
        "SELECT n AS id, 'shop.history' AS entity_type, key AS entity_id, 'INSERT' AS operation, made AS changed_at, "
        "h AS after_snapshot, kv AS metadata, names AS changed_fields, who AS changed_by, "
        "n::text::xid AS transaction_id FROM history AS h WHERE n = 2"
    )
    log = al.read_query(history, query, columns={"before_snapshot": None})
    (row,) = log.changes().iter_rows(named=True)
    assert json.loads(row["metadata"]) == {"k": "1.10", "z": None}
    assert json.loads(row["changed_fields"]) == ["a", 'b"']
    assert json.loads(row["after_snapshot"])["pair"] == {"a": 1, "b": "x"}
    assert '"amount": 12345678901234567891.1200' in row["after_snapshot"]
    assert (row["transaction_id"], row["entity_id"]) == (2, "00000000-0000-0000-0000-000000000001")
    assert row["changed_at"] == datetime(2024, 3, 10, 7, 1, 0, 123456, tzinfo=UTC)


def test_texts_are_what_fields_says_that_they_stand_for(history: str):
    query = "SELECT n, key, what, who, made, amount::text AS total, yes::text AS paid, note FROM history"
    kinds = {"total": "number", "paid": "boolean", "note": "text"}
    log = al.read_query(history, query, columns=COLUMNS, fields=kinds, entity_type="shop.history")
    assert log.changes()["after_snapshot"].to_list()[1:3] == [
        f'{{"total": 1234567890123456789{n}.1200, "paid": true, "note": "quote \\" and \\\\ and é"}}' for n in (1, 2)
    ]


def test_a_query_of_our_own_log_is_that_log(make_database: Callable[..., str], captured_template: str):
    dsn = make_database(prefix="own", template=captured_template)
    with connect(dsn) as connection:
        connection.execute("CREATE SCHEMA shop; CREATE TABLE shop.orders (id int PRIMARY KEY, total numeric(10, 2))")
    al.track(dsn, "shop.orders")
    with connect(dsn) as connection:
        connection.execute("INSERT INTO shop.orders SELECT n, n * 1.10 FROM generate_series(1, 50) AS n")
        connection.execute(
            "UPDATE shop.orders SET total = total + 1 WHERE id % 3 = 0; DELETE FROM shop.orders WHERE id = 7"
        )
    own = al.read_postgres(dsn)
    asked = al.read_query(dsn, "SELECT * FROM audit.entity_change_log;  ")
    assert_frame_equal(asked.changes().drop("committed_at"), own.changes().drop("committed_at"))
    assert_frame_equal(asked.as_of(), own.as_of())


DIVIDING = """SELECT 1 / (n - 3) AS id, 'a.b' AS entity_type, 'x' AS entity_id, 'I' AS operation, made AS changed_at,
    '{}' AS before_snapshot, '{}' AS after_snapshot FROM history"""


@pytest.mark.parametrize(
    ("query", "error", "words"),
    [
        ("", BadOption, "asks for nothing"),
        (" ; ", BadOption, "asks for nothing"),
        ("SELECT * FROM nothing", NoSuchTable, "nothing"),
        ("SELEC 1", DatabaseError, "syntax error"),
        ("DELETE FROM history", DatabaseError, "syntax error"),
        (DIVIDING.replace("1 / (n - 3)", "nextval('history_n_seq')"), DatabaseError, "read-only transaction"),
        ("SELECT 1 AS id; SELECT 2 AS id", DatabaseError, "syntax error"),
        ("SELECT 1 AS id, 2 AS id", SchemaMismatch, "'id': there are 2 columns of that name"),
        ("SELECT 1 AS id -- the first", SchemaMismatch, "entity_type: missing"),
        (DIVIDING, DatabaseError, "division by zero"),
    ],
)  # fmt: skip
def test_what_is_no_query_of_a_log_is_an_error(history: str, query: str, error: type[Exception], words: str):
    with pytest.raises(error, match=words):
        al.read_query(history, query)


def test_a_query_keeps_its_own_words(history: str):
    query = """SELECT n AS id, 'asked_columns, asked_query' AS entity_type, key AS entity_id, what AS operation,
        made AS changed_at, '{}'::jsonb AS after_snapshot, 1 AS "asked_query", 2 AS "odd "" name" FROM history -- all"""
    log = al.read_query(history, query, columns={"before_snapshot": None, "changed_by": None, "transaction_id": None})
    assert log.entity_types == ("asked_columns, asked_query",)


def test_columns_that_nothing_reads_are_told(history: str):
    query = (
        "SELECT n AS id, 'a.b' AS entity_type, key AS entity_id, what AS operation, made AS changed_at, who AS actor, "
        "doc AS after_snapshot, NULL AS before_snapshot FROM history WHERE n > 1"
    )
    with pytest.warns(al.errors.UnreadColumns, match="'actor' are not read") as told:
        al.read_query(history, query)
    assert told[0].filename == __file__


def test_rows_that_do_not_fit_are_refused(history: str):
    with pytest.raises(LogTooLarge, match="memory_limit= sets the room"):
        al.read_query(
            history,
            "SELECT h.* FROM history AS h, generate_series(1, 10000)",
            columns=COLUMNS, fields="rest", entity_type="a.b", memory_limit=100_000,
        )  # fmt: skip


def test_no_server_is_told_without_the_password():
    with pytest.raises(ConnectionFailed) as told:
        al.read_query("postgresql://ann:s3cret@127.0.0.1:1/none", "SELECT 1")
    assert "s3cret" not in str(told.value)


@pytest.mark.filterwarnings("ignore::auditlab.errors.IncompleteStates")
def test_what_changes_did_and_when_versions_held_is_read_as_the_server_writes_it(make_database: Callable[..., str]):
    dsn = make_database(prefix="made")
    with connect(dsn) as connection:
        connection.execute(
            "CREATE TABLE fields (n int, key text, name text, old numeric, new numeric, made timestamptz);"
            "INSERT INTO fields VALUES (1, 'a', 'x', 1.10, NULL, '2024-01-01 00:00+00'),"
            " (2, 'a', 'x', NULL, 2.50, '2024-01-02 00:00+00');"
            "CREATE TABLE held (key text, x numeric, t0 timestamptz, t1 timestamptz);"
            "INSERT INTO held VALUES ('a', 1.10, '2024-01-01 00:00+00', 'infinity')"
        )
    never = {"changed_by": None, "transaction_id": None}
    columns = {"id": "n", "entity_id": "key", "field": "name", "old": "old", "new": "new", "changed_at": "made"}
    log = al.read_query(dsn, "SELECT * FROM fields", columns=columns | never, entity_type="a.b")
    told = log.changes().select("before_snapshot", "changed_fields").rows()
    assert told == [('{"x": 1.10}', '{"x": null}'), (None, '{"x": 2.50}')]
    columns = {"valid_from": "t0", "valid_to": "t1"} | never
    log = al.read_query(dsn, "SELECT * FROM held", columns=columns, fields="rest", entity_type="a.b", key="key")
    assert log.changes().select("operation", "after_snapshot").rows() == [("INSERT", '{"key": "a", "x": 1.10}')]


def test_how_a_server_is_set_to_write_values_changes_none(history: str, make_database: Callable[..., str]):
    """A float of fewer digits is another number, and a day of another order another day."""
    with connect(history) as db:
        template = db.rows("SELECT current_database()::text AS name")[0]["name"]
    other = make_database(template, prefix="rendered")
    with connect(other, autocommit=True) as db:
        name = db.rows("SELECT current_database()::text AS name")[0]["name"]
        db.execute("UPDATE history SET ratio = 0.1::float8 + 0.2, part = 0.1::real + 0.2::real")
        for setting in ("DateStyle = 'SQL, DMY'", "IntervalStyle = iso_8601", "bytea_output = escape",
                        "extra_float_digits = 0", "TimeZone = 'Asia/Kolkata'"):  # fmt: skip
            db.execute(f"ALTER DATABASE {name} SET {setting}")
    with connect(history) as db:
        db.execute("UPDATE history SET ratio = 0.1::float8 + 0.2, part = 0.1::real + 0.2::real")
    options = {"columns": COLUMNS, "fields": "rest", "entity_type": "s.t", "operations": {"I": "INSERT"}}
    here, there = (
        al.read_query(dsn, "SELECT * FROM history ORDER BY n", **options, progress=False).changes()  # type: ignore[arg-type]
        for dsn in (history, other)
    )
    assert '"ratio": 0.30000000000000004' in here["after_snapshot"][1]
    assert_frame_equal(there, here)


def test_rows_that_row_security_would_hide_from_a_query_are_an_error(
    make_database: Callable[..., str], make_role: Callable[..., tuple[str, str]]
):
    dsn = make_database(prefix="hidden")
    reader, own = make_role(dsn, "querier")
    with connect(dsn) as db:
        db.execute(
            "CREATE TABLE versions (id int, row text, what text, made timestamptz, v int);"
            "INSERT INTO versions VALUES (1, 'a', 'INSERT', '2024-01-01Z', 1), (2, 'b', 'INSERT', '2024-01-02Z', 2);"
            "ALTER TABLE versions ENABLE ROW LEVEL SECURITY; CREATE POLICY few ON versions USING (id < 2);"
            f"GRANT SELECT ON versions TO {reader}"
        )
    told = {"id": "id", "entity_id": "row", "operation": "what", "changed_at": "made"}
    told |= {"changed_by": None, "transaction_id": None}  # type: ignore[dict-item]
    with pytest.raises(AccessDenied, match='query would be affected by row-level security policy for table "versions"'):
        al.read_query(own, "SELECT * FROM versions", columns=told, fields=["v"], entity_type="s.t", progress=False)

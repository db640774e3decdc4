from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from auditlab.capture import track
from auditlab.connection import connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditlab.connection import Connection

TYPES = """
CREATE SCHEMA s;
CREATE TABLE s.t (
    id int PRIMARY KEY, money numeric, wide numeric(40, 10), big numeric, ratio float8, small float4, bytes bytea,
    span interval, at timestamptz, day date, ranges tstzrange, tags text[], doc jsonb, odd text
)
"""
ROW = r"""
INSERT INTO s.t VALUES (
    1, 12345678901234567.89, 1.10, 9223372036854775809, 0.1::float8 + 0.2, 1.1, '\x00ff'::bytea,
    interval '1 year 2 days 03:04:05.5', timestamptz '2024-02-29 12:00:00.123456+00', date '2024-02-29',
    tstzrange('2024-01-01 00:00+00', '2024-02-01 00:00+00'), '{a,"b c",NULL}', '{"n": 123456789012345678901234567890}',
    E'tab\t"quote" \\ \u2603'
)
"""
WANTED = (
    '{"at": "2024-02-29T12:00:00.123456+00:00", "id": 1, "big": 9223372036854775809, "day": "2024-02-29", '
    '"doc": {"n": 123456789012345678901234567890}, "odd": "tab\\t\\"quote\\" \\\\ ☃", '
    '"span": "1 year 2 days 03:04:05.5", "tags": ["a", "b c", null], "wide": 1.1000000000, "bytes": "\\\\x00ff", '
    '"money": 12345678901234567.89, "ratio": 0.30000000000000004, "small": 1.1, '
    '"ranges": "[\\"2024-01-01 00:00:00+00\\",\\"2024-02-01 00:00:00+00\\")"}'
)
SESSIONS = {
    "as it comes": "SELECT 1",
    "float digits": "SET extra_float_digits = 0",
    "few float digits": "SET extra_float_digits = -5",
    "bytea": "SET bytea_output = 'escape'",
    "interval": "SET intervalstyle = 'sql_standard'",
    "zone": "SET timezone = 'Asia/Kolkata'",
    "dates": "SET datestyle = 'German, DMY'",
    "search path": "SET search_path = s, public",
    "strings": "SET standard_conforming_strings = off",
    "plans": "SET plan_cache_mode = force_custom_plan; SET enable_mergejoin = off; SET enable_hashjoin = off",
}


@pytest.mark.parametrize("session", SESSIONS)
def test_no_session_setting_changes_what_is_recorded(
    captured: str, tracked: Callable[..., None], log: Callable[..., list[tuple]], session: str
):
    tracked(TYPES, "s.t")
    with connect(captured) as connection:
        if session != "strings":  # which changes how the statement itself is read
            connection.execute(SESSIONS[session])
        connection.execute(ROW)
        connection.execute(SESSIONS[session])
        connection.execute("UPDATE s.t SET day = day")
        connection.execute("DELETE FROM s.t")
    assert log("before_snapshot", "after_snapshot") == [(None, WANTED), (WANTED, WANTED), (WANTED, None)]


def test_a_baseline_is_rendered_like_a_change(captured: str, db: Connection, log: Callable[..., list[tuple]]):
    db.execute(TYPES)
    db.execute(ROW)
    db.execute(
        "ALTER DATABASE "
        + db.rows("SELECT quote_ident(current_database()) AS n")[0]["n"]
        + " SET bytea_output = escape"
    )
    track(captured, "s.t")
    assert log() == [("SNAPSHOT", None, WANTED)]


@pytest.mark.parametrize("kind", ["json", "json[]", "s.wrapped", "s.composite"])
def test_what_jsonb_cannot_hold_is_kept_as_text(
    db: Connection, tracked: Callable[..., None], log: Callable[..., list[tuple]], kind: str
):
    tracked(
        "CREATE SCHEMA s; CREATE DOMAIN s.wrapped AS json; CREATE TYPE s.composite AS (doc json);"
        f"CREATE TABLE s.t (id int PRIMARY KEY, doc {kind}, other json)",
        "s.t",
    )
    value = {"json[]": "ARRAY[{}::json]", "s.composite": "ROW({}::json)::s.composite"}.get(kind, "{}")
    bad = value.format("'" + r'{"a": "\u0000", "b": "\\u0000", "n": 1.10}' + "'")
    good = value.format("""'{"n": 1.10}'""")
    db.execute(f"INSERT INTO s.t VALUES (1, {bad}, '[1.10]'), (2, {good}, NULL)")
    db.execute("UPDATE s.t SET other = '[2]'")
    db.execute("UPDATE s.t SET id = id + 10")
    db.execute("DELETE FROM s.t")
    changes = log("operation", "coalesce(after_snapshot, before_snapshot)", "metadata -> 'as_text'")
    assert [row[0] for row in changes] == [
        *["INSERT"] * 2, *["UPDATE"] * 2, *["DELETE"] * 2, *["INSERT"] * 2, *["DELETE"] * 2,
    ]  # fmt: skip
    for operation, image, as_text in changes:
        document = json.loads(image)
        if document["id"] in {1, 11}:
            assert r"\u0000" in document["doc"], operation  # the text of the value, digit for digit
            assert "1.10" in document["doc"]
            assert json.loads(as_text) == ["doc"]
        else:
            assert as_text is None
            assert not isinstance(document["doc"], str)


def test_a_truncated_table_with_such_values(
    db: Connection, tracked: Callable[..., None], log: Callable[..., list[tuple]]
):
    tracked("CREATE SCHEMA s; CREATE TABLE s.t (id int PRIMARY KEY, doc json)", "s.t", truncate_images=True)
    db.execute(r"""INSERT INTO s.t VALUES (1, '"\u0000"')""")
    db.execute("TRUNCATE s.t")
    assert [row[0] for row in log("operation")] == ["INSERT", "DELETE", "TRUNCATE"]


@pytest.mark.parametrize("kind", ["plain", "partitioned", "json"])
def test_generated_columns_are_as_they_are_or_absent_but_never_wrong(
    captured: str, db: Connection, log: Callable[..., list[tuple]], kind: str, version: int
):
    virtual = ", v int GENERATED ALWAYS AS (a * 2) VIRTUAL" if version >= 18 else ""
    extra = ", doc json" if kind == "json" else ""
    columns = f"id int PRIMARY KEY, a int{virtual}, s int GENERATED ALWAYS AS (a * 3) STORED{extra}"
    partitions = " PARTITION BY LIST (id); CREATE TABLE s.d PARTITION OF s.t DEFAULT" if kind == "partitioned" else ""
    db.execute(f"CREATE SCHEMA s; CREATE TABLE s.t ({columns}){partitions}")
    db.execute("INSERT INTO s.t (id, a) VALUES (1, 2)")
    track(captured, "s.t", truncate_images=True)
    db.execute("INSERT INTO s.t (id, a) VALUES (2, 3)")
    db.execute("UPDATE s.t SET a = 4 WHERE id = 2")
    db.execute("UPDATE s.t SET id = 3 WHERE id = 2")
    db.execute("TRUNCATE s.t")
    assert [row[0] for row in log()] == [
        "SNAPSHOT", "INSERT", "UPDATE", "DELETE", "INSERT", "DELETE", "DELETE", "TRUNCATE",
    ]  # fmt: skip
    images = [json.loads(image) for row in log() for image in row[1:] if image]
    assert all(image["s"] == image["a"] * 3 and "v" not in image for image in images)


def test_who_is_recorded_beside_what_the_application_claims(
    captured: str, tracked: Callable[..., None], log: Callable[..., list[tuple]]
):
    tracked("CREATE SCHEMA s; CREATE TABLE s.t (id int PRIMARY KEY)", "s.t")
    user, correlation = "6f1c0000-0000-4000-8000-000000000001", "6f1c0000-0000-4000-8000-000000000002"
    with connect(captured, application_name="the till") as connection:
        connection.set_local("app.current_user_id", user)
        connection.set_local("app.correlation_id", correlation)
        connection.execute("INSERT INTO s.t VALUES (1)")
        connection.commit()
        connection.execute("INSERT INTO s.t VALUES (2)")
    first, second = log("changed_by", "correlation_id", "metadata")
    assert (str(first[0]), str(first[1])) == (user, correlation)
    assert second[:2] == (None, None)
    metadata = json.loads(first[2])
    assert metadata["application_name"] == "the till"
    with connect(captured) as connection:
        assert metadata["session_user"] == connection.rows("SELECT session_user::text AS u")[0]["u"]
    assert "client_addr" in metadata


@pytest.mark.parametrize(
    "bad",
    [
        "42",
        "nobody",
        "6f1c0000-0000-4000-8000-00000000000",
        "{6f1c0000",
        "'; DROP TABLE s.t; --",
        "x" * 5000,
        "ünï\n\t",
    ],
    ids=lambda text: text[:12].encode("unicode_escape").decode(),
)
def test_a_bad_user_or_correlation_id_never_fails_the_write(
    captured: str, tracked: Callable[..., None], log: Callable[..., list[tuple]], bad: str
):
    tracked("CREATE SCHEMA s; CREATE TABLE s.t (id int PRIMARY KEY)", "s.t")
    with connect(captured) as connection:
        connection.set_local("app.current_user_id", bad)
        connection.set_local("app.correlation_id", bad)
        connection.execute("INSERT INTO s.t VALUES (1)")
    changed_by, correlation, metadata = log("changed_by", "correlation_id", "metadata")[0]
    assert (changed_by, correlation) == (None, None)
    assert json.loads(metadata)["app.current_user_id"] == bad[:1000]
    assert json.loads(metadata)["app.correlation_id"] == bad[:1000]

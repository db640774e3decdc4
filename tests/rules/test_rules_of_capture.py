"""The rules that our capture keeps, each under its number."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

import auditlab as al
from auditlab.connection import Connection, connect

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def table(captured: str) -> Iterator[Connection]:
    """A connection to a database whose table s.t is tracked, each statement a transaction of its own."""
    with connect(captured, autocommit=True) as db:
        db.execute("CREATE SCHEMA s; CREATE TABLE s.t (id int PRIMARY KEY, v text, at timestamptz, raw bytea)")
        al.track(captured, ["s.t"])
        yield db


def newest(db: Connection) -> dict[str, object]:
    (row,) = db.rows(
        "SELECT changed_by::text AS changed_by, correlation_id::text AS correlation_id, metadata::text AS metadata, "
        "after_snapshot::text AS after FROM audit.entity_change_log ORDER BY id DESC LIMIT 1"
    )
    return row


@pytest.mark.parametrize("name", ["current_user_id", "correlation_id"])
def test_rule_26_a_bad_context_value_never_fails_the_write(table: Connection, name: str):
    table.execute(f"SET app.{name} = 'no uuid, but O''Brien'")
    table.execute("INSERT INTO s.t VALUES (1, 'written')")
    assert table.rows("SELECT v FROM s.t") == [{"v": "written"}]
    row = newest(table)
    assert (row["changed_by"], row["correlation_id"]) == (None, None)
    assert "no uuid, but O'Brien" in json.dumps(json.loads(str(row["metadata"])))


def test_rule_27_the_session_s_rendering_does_not_reach_the_log(table: Connection):
    table.execute("SET TimeZone = 'Asia/Kolkata'; SET bytea_output = 'escape'; SET search_path = s")
    table.execute("INSERT INTO s.t VALUES (1, 'x', '2024-02-29 12:00:00+00', '\\x00ff')")
    after = json.loads(str(newest(table)["after"]))
    assert (after["at"], after["raw"]) == ("2024-02-29T12:00:00+00:00", "\\x00ff")


def test_rule_27_truncate_is_captured(captured: str, table: Connection, engine: str):
    table.execute("INSERT INTO s.t VALUES (1, 'x'), (2, 'y')")
    table.execute("TRUNCATE s.t")
    assert al.read_postgres(captured, progress=False).of("s.t").on(engine).as_of().is_empty()


def test_rule_28_who_it_was_stands_beside_what_the_application_claims(table: Connection):
    claimed = "00000000-0000-0000-0000-00000000000a"
    table.execute(f"SET app.current_user_id = '{claimed}'; SET application_name = 'billing'")
    table.execute("INSERT INTO s.t VALUES (1, 'x')")
    (who,) = table.rows("SELECT session_user::text AS name")
    row = newest(table)
    told = json.loads(str(row["metadata"]))
    assert row["changed_by"] == claimed
    assert (told["session_user"], told["application_name"]) == (who["name"], "billing")


def test_rule_29_what_bypasses_capture_is_found_against_the_live_table(captured: str, table: Connection):
    table.execute("INSERT INTO s.t VALUES (1, 'a'), (2, 'b'), (3, 'c')")
    assert al.reconcile(None, captured, progress=False).findings.is_empty()
    table.execute("SET session_replication_role = replica")
    table.execute("UPDATE s.t SET v = 'ghost' WHERE id = 1")
    table.execute("DELETE FROM s.t WHERE id = 2")
    table.execute("INSERT INTO s.t VALUES (9, 'new')")
    checked = al.reconcile(None, captured, progress=False)
    assert checked.worst == "error"
    assert checked.findings["count"].to_list() == [1, 1, 1]

"""The roles hold: whatever application, auditor and archiver try, only the two permitted reads succeed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from auditlab.capture import snapshot, track
from auditlab.connection import connect
from auditlab.errors import AuditlabError, DatabaseError

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditlab.connection import Connection

READ = "SELECT * FROM audit.entity_change_log"
KEPT = (
    "SELECT s.*, e.entity_id::text AS entity, e.snapshot_data::text AS state, e.last_change_id, e.last_transaction"
    " FROM audit.snapshot AS s FULL JOIN audit.entity_snapshots AS e ON e.snapshot_at = s.snapshot_at"
)
ATTACKS = {
    "read the log": READ,
    "forge a change": (
        "INSERT INTO audit.entity_change_log (entity_type, entity_id, operation, after_snapshot, transaction_id)"
        " VALUES ('s.t', gen_random_uuid(), 'INSERT', '{}', 1)"
    ),
    "forge a change in a partition": (
        "INSERT INTO audit.entity_change_log_default (entity_type, entity_id, operation, after_snapshot,"
        " transaction_id) VALUES ('s.t', gen_random_uuid(), 'INSERT', '{}', 1)"
    ),
    "update": "UPDATE audit.entity_change_log SET changed_by = NULL",
    "delete": "DELETE FROM audit.entity_change_log",
    "truncate": "TRUNCATE audit.entity_change_log",
    "truncate a partition": "TRUNCATE audit.entity_change_log_default",
    "disable the trigger": "ALTER TABLE s.t DISABLE TRIGGER auditlab_update",
    "drop the trigger": "DROP TRIGGER auditlab_update ON s.t",
    "disable the guard": "ALTER TABLE audit.entity_change_log DISABLE TRIGGER append_only",
    "act as a replica": "SET session_replication_role = replica",
    "call the trigger function": "SELECT audit.capture_insert()",
    "attach the trigger function": (
        "CREATE TEMP TABLE forged (id int PRIMARY KEY); CREATE TRIGGER f AFTER INSERT ON forged REFERENCING NEW TABLE"
        " AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION audit.capture_insert('1'); INSERT INTO forged VALUES (1)"
    ),
    "attach the row trigger function": (
        "CREATE TEMP TABLE forged (id int PRIMARY KEY); CREATE TRIGGER f AFTER INSERT ON forged"
        " FOR EACH ROW EXECUTE FUNCTION audit.capture_row('1'); INSERT INTO forged VALUES (1)"
    ),
    "take an id": "SELECT nextval('audit.entity_change_log_id_seq')",
    "set the ids back": "SELECT setval('audit.entity_change_log_id_seq', 1)",
    "drop": "DROP TABLE audit.entity_change_log",
    "alter": "ALTER TABLE audit.entity_change_log ADD COLUMN mine text",
    "become the owner": "SET ROLE auditlab_owner",
    "become the writer": "SET ROLE auditlab_writer",
    "write a baseline": "SELECT audit.write_baseline('s.t')",
    "end the tracking": "SELECT audit.untrack('s.t')",
    "make partitions": "SELECT audit.create_partitions(1)",
    "forge a state": (
        "INSERT INTO audit.entity_snapshots (entity_type, entity_id, snapshot_at, snapshot_data, last_change_id)"
        " VALUES ('s.t', gen_random_uuid(), now(), '{}', 1)"
    ),
    "change a state": "UPDATE audit.entity_snapshots SET snapshot_data = '{}'",
    "erase the states": "DELETE FROM audit.entity_snapshots",
    "truncate the states": "TRUNCATE audit.entity_snapshots",
    "forge a snapshot": (
        "INSERT INTO audit.snapshot SELECT mark + 1, now(), 0, 0, 0, '{}', '{}', 'me' FROM audit.snapshot"
    ),
    "erase the snapshots": "DELETE FROM audit.snapshot",
    "forge a mark": "INSERT INTO audit.mark SELECT * FROM audit.mark",
    "say which change is the last": "SELECT audit.last_linked('{1}', '{1}', '{{}}', '{{}}', NULL)",
    "plant a function": "CREATE FUNCTION audit.now() RETURNS timestamptz LANGUAGE sql RETURN '-infinity'::timestamptz",
    "rename the schema": "ALTER SCHEMA audit RENAME TO gone",
}
ROLES = {"app": "auditlab_app", "auditor": "auditlab_auditor", "archiver": "auditlab_archiver"}
PERMITTED = {("auditor", "read the log"), ("archiver", "read the log")}


@pytest.fixture
def login(captured: str, db: Connection, make_role: Callable[..., tuple[str, str]]) -> Callable[[str], str]:
    """The DSN of a fresh login role that holds one of auditlab's roles, on a database with one tracked table."""
    db.execute("CREATE SCHEMA s; CREATE TABLE s.t (id int PRIMARY KEY, v text)")
    track(captured, "s.t")
    db.execute("INSERT INTO s.t VALUES (1, 'a')")
    snapshot(captured)

    def make(role: str) -> str:
        user, dsn = make_role(captured, role, f"IN ROLE {ROLES[role]}")
        db.execute(f"GRANT USAGE ON SCHEMA s TO {user}; GRANT SELECT, INSERT, UPDATE, DELETE ON s.t TO {user}")
        return dsn

    return make


@pytest.mark.parametrize("role", ROLES)
def test_only_the_two_permitted_reads_succeed(login: Callable[[str], str], db: Connection, role: str):
    dsn = login(role)
    before = db.rows(f"{READ} ORDER BY id")
    kept = db.rows(KEPT)
    succeeded = set()
    for attack, sql in ATTACKS.items():
        try:
            with connect(dsn) as connection:
                connection.execute(sql)
        except AuditlabError:
            continue
        succeeded.add((role, attack))
    assert succeeded == {permitted for permitted in PERMITTED if permitted[0] == role}
    assert db.rows(f"{READ} ORDER BY id") == before
    assert db.rows(KEPT) == kept
    db.execute("UPDATE s.t SET v = 'still captured'")
    assert len(db.rows(READ)) == len(before) + 1


def test_the_application_writes_without_any_right_on_the_log(login: Callable[[str], str], db: Connection):
    with connect(login("app")) as connection:
        connection.execute("UPDATE s.t SET v = 'b'")
    last = db.rows(
        "SELECT operation, metadata ->> 'session_user' AS who FROM audit.entity_change_log ORDER BY id DESC"
    )[0]
    assert last["operation"] == "UPDATE"
    assert last["who"].startswith("auditlab_test_app")


def test_a_hijacked_search_path_reaches_nothing(login: Callable[[str], str], db: Connection):
    dsn = login("app")
    with connect(dsn) as connection:
        connection.execute(
            "CREATE TEMP TABLE entity_change_log (LIKE s.t); CREATE TEMP TABLE old_rows (v text);"
            "CREATE TEMP TABLE new_rows (id int, v text); INSERT INTO new_rows VALUES (666, 'forged');"
            "CREATE TEMP TABLE pg_attribute (attrelid oid, attnum smallint, attname name);"
            "CREATE FUNCTION pg_temp.to_jsonb(anyelement) RETURNS jsonb LANGUAGE sql AS 'SELECT ''{}''::jsonb';"
            "CREATE FUNCTION pg_temp.txid_current() RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint';"
            "CREATE FUNCTION pg_temp.count(bigint) RETURNS bigint LANGUAGE sql AS 'SELECT 0::bigint';"
            "SET search_path = pg_temp, pg_catalog"
        )
        connection.execute("UPDATE s.t SET v = 'b'")
    last = db.rows(
        "SELECT after_snapshot::text AS after, transaction_id FROM audit.entity_change_log ORDER BY id DESC LIMIT 1"
    )[0]
    assert last["after"] == '{"v": "b", "id": 1}'
    assert last["transaction_id"] > 1


def test_code_that_a_table_brings_along_cannot_alter_the_log(
    captured: str, login: Callable[[str], str], db: Connection
):
    """A cast to json runs inside the trigger, with the rights of the writer: which may only add."""
    login("app")
    db.execute(
        "CREATE TYPE s.evil AS ENUM ('x');"
        "CREATE FUNCTION s.strike(s.evil) RETURNS json LANGUAGE plpgsql AS $$ BEGIN"
        "  BEGIN ALTER TABLE audit.entity_change_log DISABLE TRIGGER append_only; EXCEPTION WHEN OTHERS THEN NULL; END;"
        "  BEGIN DELETE FROM audit.entity_change_log; EXCEPTION WHEN OTHERS THEN NULL; END;"
        "  BEGIN TRUNCATE audit.entity_change_log; EXCEPTION WHEN OTHERS THEN NULL; END;"
        "  BEGIN UPDATE audit.entity_change_log SET changed_by = NULL; EXCEPTION WHEN OTHERS THEN NULL; END;"
        "  RETURN '\"struck\"'; END $$;"
        "CREATE CAST (s.evil AS json) WITH FUNCTION s.strike(s.evil);"
        "CREATE TABLE s.trap (id int PRIMARY KEY, e s.evil)"
    )
    track(captured, "s.trap")
    before = db.rows(f"{READ} ORDER BY id")
    db.execute("GRANT USAGE ON SCHEMA s TO PUBLIC; INSERT INTO s.trap VALUES (1, 'x')")
    assert db.rows(f"{READ} ORDER BY id")[: len(before)] == before
    assert (
        db.rows("SELECT after_snapshot ->> 'e' AS e FROM audit.entity_change_log ORDER BY id DESC")[0]["e"] == "struck"
    )


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE audit.entity_change_log SET changed_by = NULL",
        "DELETE FROM audit.entity_change_log",
        "TRUNCATE audit.entity_change_log",
        "TRUNCATE audit.entity_change_log_default",
        "DELETE FROM audit.entity_change_log_default",
        "SET session_replication_role = replica; DELETE FROM audit.entity_change_log",
    ],
)
def test_not_even_a_superuser_changes_the_log_by_mistake(db: Connection, sql: str):
    with pytest.raises(DatabaseError, match="append-only"):
        db.execute(sql)


MALFORMED = {
    "insert without after": "('INSERT', gen_random_uuid(), NULL, NULL, NULL, 1, now())",
    "insert with before": "('INSERT', gen_random_uuid(), '{}', '{}', NULL, 1, now())",
    "update without before": "('UPDATE', gen_random_uuid(), NULL, '{}', '{}', 1, now())",
    "update without fields": "('UPDATE', gen_random_uuid(), '{}', '{}', NULL, 1, now())",
    "json null": "('UPDATE', gen_random_uuid(), 'null', 'null', '{}', 1, now())",
    "array": "('INSERT', gen_random_uuid(), NULL, '[]', NULL, 1, now())",
    "scalar": "('DELETE', gen_random_uuid(), '1', NULL, NULL, 1, now())",
    "delete with after": "('DELETE', gen_random_uuid(), '{}', '{}', NULL, 1, now())",
    "delete without before": "('DELETE', gen_random_uuid(), NULL, NULL, NULL, 1, now())",
    "no entity": "('INSERT', NULL, NULL, '{}', NULL, 1, now())",
    "truncate of an entity": "('TRUNCATE', gen_random_uuid(), NULL, NULL, NULL, 1, now())",
    "unknown operation": "('UPSERT', gen_random_uuid(), NULL, '{}', NULL, 1, now())",
    "no transaction": "('INSERT', gen_random_uuid(), NULL, '{}', NULL, NULL, now())",
    "negative transaction": "('INSERT', gen_random_uuid(), NULL, '{}', NULL, -1, now())",
    "infinite time": "('INSERT', gen_random_uuid(), NULL, '{}', NULL, 1, 'infinity')",
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_no_malformed_change_enters(db: Connection, kind: str):
    with pytest.raises(DatabaseError, match="entity_change_log_valid"):
        db.execute(
            "INSERT INTO audit.entity_change_log (entity_type, operation, entity_id, before_snapshot, after_snapshot,"
            " changed_fields, transaction_id, changed_at) SELECT 's.t', column1, column2::uuid, column3::jsonb,"
            " column4::jsonb, column5::jsonb, column6::bigint, column7::timestamptz"
            f" FROM (VALUES {MALFORMED[kind]}) AS v"
        )

"""Logs that triggers write, in the layouts of their tools, load as the README's table says and answer."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from coming_from import kinds, states

if TYPE_CHECKING:
    from collections.abc import Callable


LOGGED_ACTIONS = """
CREATE EXTENSION hstore;
CREATE SCHEMA audit;
CREATE TABLE audit.logged_actions (
    event_id bigserial primary key, schema_name text not null, table_name text not null, relid oid not null,
    session_user_name text, action_tstamp_tx timestamptz not null, action_tstamp_stm timestamptz not null,
    action_tstamp_clk timestamptz not null, transaction_id bigint, application_name text, client_addr inet,
    client_port integer, client_query text, action text not null check (action in ('I', 'D', 'U', 'T')),
    row_data hstore, changed_fields hstore, statement_only boolean not null
);
INSERT INTO audit.logged_actions
    (schema_name, table_name, relid, session_user_name, action_tstamp_tx, action_tstamp_stm, action_tstamp_clk,
     transaction_id, action, row_data, changed_fields, statement_only)
SELECT 'shop', 'orders', 1, who, at, at, at, tx, action, old::hstore, new::hstore, action = 'T'
FROM (VALUES
    ('ann', timestamptz '2024-03-10 12:00+00', 7, 'I', 'id=>7, total=>1.10, status=>draft', NULL),
    ('bob', timestamptz '2024-03-10 12:01+00', 8, 'U', 'id=>7, total=>1.10, status=>draft', 'status=>paid'),
    ('ann', timestamptz '2024-03-10 12:02+00', 9, 'I', 'id=>8, total=>5.00, status=>NULL', NULL),
    ('ann', timestamptz '2024-03-10 12:03+00', 10, 'D', 'id=>8, total=>5.00, status=>NULL', NULL),
    ('ann', timestamptz '2024-03-10 12:04+00', 11, 'T', NULL, NULL)
) AS rows (who, at, tx, action, old, new);
"""


def test_logged_actions(ask: Callable[[str, str], Any]):
    log = ask("2ndQuadrant's logged_actions", LOGGED_ACTIONS)
    assert states(log, "total", "status") == [
        ("7", "INSERT", "ann", "1.10", "draft"),
        ("7", "UPDATE", "bob", "1.10", "paid"),
        ("8", "INSERT", "ann", "5.00", None),
    ]
    assert log.as_of().is_empty()  # a TRUNCATE
    assert kinds(log) == []


RECORD_VERSION = """
CREATE SCHEMA audit;
CREATE TYPE audit.operation AS ENUM ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE');
CREATE TABLE audit.record_version (
    id bigserial PRIMARY KEY, record_id uuid, old_record_id uuid, op audit.operation NOT NULL, ts timestamptz NOT NULL,
    table_oid oid NOT NULL, table_schema name NOT NULL, table_name name NOT NULL, record jsonb, old_record jsonb
);
INSERT INTO audit.record_version (op, ts, table_oid, table_schema, table_name, record, old_record) VALUES
    ('INSERT', '2024-03-10 12:00+00', 1, 'public', 'account', '{"id": 1, "name": "Foo"}', NULL),
    ('UPDATE', '2024-03-10 12:01+00', 1, 'public', 'account', '{"id": 2, "name": "Foo"}', '{"id": 1, "name": "Foo"}'),
    ('DELETE', '2024-03-10 12:02+00', 1, 'public', 'account', NULL, '{"id": 2, "name": "Foo"}'),
    ('INSERT', '2024-03-10 12:03+00', 1, 'public', 'account', '{"id": 3, "name": "Bar"}', NULL),
    ('TRUNCATE', '2024-03-10 12:04+00', 1, 'public', 'account', NULL, NULL);
"""


def test_supa_audit(ask: Callable[[str, str], Any]):
    log = ask("supa_audit", RECORD_VERSION)
    assert log.entity_types == ("public.account",)
    assert states(log, "name") == [
        ("1", "INSERT", None, "Foo"), ("2", "UPDATE", None, "Foo"), ("3", "INSERT", None, "Bar"),
    ]  # fmt: skip
    assert log.key_changes().select("old_entity_id", "new_entity_id").rows() == [("1", "2")]
    assert log.as_of().is_empty()
    assert kinds(log) == ["key change"]


BEMI = """
CREATE TABLE changes (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), created_at timestamptz, database varchar, schema varchar,
    "table" varchar, primary_key varchar, operation text, before jsonb, after jsonb, context jsonb,
    committed_at timestamptz, queued_at timestamptz, transaction_id bigint, position bigint
);
INSERT INTO changes (schema, "table", primary_key, operation, before, after, context, committed_at, transaction_id,
                     position) VALUES
    ('public', 'todo', NULL, 'MESSAGE', '{}', '{}', '{"user_id": 3}', '2024-03-10 12:00+00', 7, 100),
    ('public', 'todo', '7', 'CREATE', '{}', '{"id": 7, "n": 1.10}', '{"user_id": 3}', '2024-03-10 12:00+00', 7, 104),
    ('public', 'todo', '7', 'UPDATE', '{"id": 7, "n": 1.10}', '{"id": 7, "n": 2}', '{}', '2024-03-10 12:01+00', 8, 204),
    ('public', 'todo', '7', 'DELETE', '{"id": 7, "n": 2}', '{}', '{"user_id": 4}', '2024-03-10 12:02+00', 9, 304),
    ('public', 'todo', '8', 'CREATE', '{}', '{"id": 8, "n": 5}', '{"user_id": 4}', '2024-03-10 12:02+00', 9, 305);
"""


def test_bemi(ask: Callable[[str, str], Any]):
    log = ask("Bemi", BEMI)
    assert states(log, "n") == [
        ("7", "INSERT", "3", Decimal("1.10")), ("7", "UPDATE", None, Decimal("2.00")),
        ("8", "INSERT", "4", Decimal("5.00")),
    ]  # fmt: skip
    assert log.as_of()["entity_id"].to_list() == ["8"]
    assert kinds(log) == ["id gaps"]


PGMEMENTO = """
CREATE SCHEMA pgmemento;
CREATE TABLE pgmemento.transaction_log (id serial PRIMARY KEY, txid bigint, txid_time timestamptz, user_name text);
CREATE TABLE pgmemento.table_event_log (
    id serial PRIMARY KEY, transaction_id int, stmt_time timestamptz, op_id smallint, table_operation text,
    table_name text, schema_name text, event_key text
);
CREATE TABLE pgmemento.row_log (
    id bigserial PRIMARY KEY, audit_id bigint, event_key text, old_data jsonb, new_data jsonb
);
INSERT INTO pgmemento.transaction_log (txid_time, user_name) VALUES
    ('2024-03-10 12:00+00', 'ann'), ('2024-03-10 12:01+00', 'bob'), ('2024-03-10 12:02+00', 'ann');
INSERT INTO pgmemento.table_event_log (transaction_id, op_id, table_name, schema_name, event_key) VALUES
    (1, 3, 'orders', 'shop', 'a'), (2, 4, 'orders', 'shop', 'b'), (2, 7, 'orders', 'shop', 'c'),
    (3, 8, 'orders', 'shop', 'd');
INSERT INTO pgmemento.row_log (audit_id, event_key, old_data, new_data) VALUES
    (70, 'a', NULL, '{"id": 7, "total": 1.10, "note": "x"}'), (71, 'a', NULL, '{"id": 8, "total": 5, "note": null}'),
    (70, 'b', '{"total": 1.10}', '{"total": 2.20}'), (71, 'c', '{"id": 8, "total": 5, "note": null}', NULL),
    (70, 'd', '{"id": 7, "total": 2.20, "note": "x"}', NULL);
"""


def test_pgmemento(ask: Callable[[str, str], Any]):
    log = ask("pgMemento", PGMEMENTO)
    assert states(log, "total", "note") == [
        ("70", "INSERT", "ann", Decimal("1.10"), "x"), ("70", "UPDATE", "bob", Decimal("2.20"), "x"),
        ("71", "INSERT", "ann", Decimal("5.00"), None),
    ]  # fmt: skip
    assert log.changes()["transaction_id"].to_list() == [1, 1, 2, 2, 3]
    assert log.as_of().is_empty()
    assert kinds(log) == []

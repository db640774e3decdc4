"""Logs of other tools, in the layouts that those write, load as the README's table says and answer."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

import auditlab as al
from auditlab.connection import connect

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parent.parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def call_of(tool: str) -> str:
    """The call in the tool's row of the table "Coming from"."""
    (found,) = re.findall(rf"^\| {re.escape(tool)}\b.*\| `(al\..*)` \|$", README, re.MULTILINE)
    return found


def loaded(tool: str, name: str, text: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> Any:  # noqa: ANN401
    """The log that the README's call makes of a file."""
    monkeypatch.chdir(folder)
    (folder / name).write_text(text, encoding="utf-8")
    return eval(call_of(tool), {"al": al})  # noqa: S307 - our own README


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str, str], Any]:
    return lambda tool, name, text: loaded(tool, name, text, monkeypatch, tmp_path)


@pytest.fixture
def ask(make_database: Callable[..., str]) -> Callable[[str, str], Any]:
    """The log that the README's call makes of a database, which a script fills."""

    def asked(tool: str, script: str) -> Any:  # noqa: ANN401
        dsn = make_database(prefix="theirs")
        with connect(dsn) as connection:
            connection.execute(script)
        return eval(call_of(tool), {"al": al, "dsn": dsn})  # noqa: S307 - our own README

    return asked


def states(log: Any, *fields: str) -> list[tuple[object, ...]]:  # noqa: ANN401
    return log.history().select("entity_id", "operation", "changed_by", *fields).rows()


def kinds(log: Any) -> list[str]:  # noqa: ANN401
    """What evidence finds, but for what is normal in such logs."""
    usual = {"no transaction ids", "missing images", "equal times"}
    return [kind for kind in log.evidence().findings["kind"].to_list() if kind not in usual]


VERSIONS = """
CREATE TABLE versions (
    id bigserial PRIMARY KEY, item_type varchar NOT NULL, item_id bigint NOT NULL, event varchar NOT NULL,
    whodunnit varchar, object jsonb, object_changes jsonb, created_at timestamp(6)
);
INSERT INTO versions (item_type, item_id, event, whodunnit, object, object_changes, created_at) VALUES
    ('Order', 7, 'create', '3', NULL, '{"id": [null, 7], "total": [null, 1.10]}', '2024-03-10 12:00:00.123456'),
    ('Order', 7, 'update', '4', '{"id": 7, "total": 1.10}', '{"total": [1.10, 12345678901234567.890]}',
     '2024-03-10 12:01'),
    ('Order', 8, 'create', '3', NULL, '{"id": [null, 8], "total": [null, 5.0]}', '2024-03-10 12:00:02'),
    ('Order', 8, 'destroy', '3', '{"id": 8, "total": 5.0}', '{"id": [8, null], "total": [5.0, null]}',
     '2024-03-10 12:02');
"""


def test_paper_trail(ask: Callable[[str, str], Any]):
    log = ask("paper_trail", VERSIONS)
    assert states(log, "total") == [
        ("7", "INSERT", "3", Decimal("1.10")),
        ("7", "UPDATE", "4", Decimal("12345678901234567.89")),
        ("8", "INSERT", "3", Decimal("5.00")),
    ]
    assert log.changes()["changed_fields"][1] == '{"total": 12345678901234567.890}'
    assert log.as_of()["entity_id"].to_list() == ["7"]
    assert kinds(log) == []


def test_laravel_auditing(load: Callable[[str, str, str], Any]):
    head = (
        "id,user_type,user_id,event,auditable_type,auditable_id,old_values,new_values,url,ip_address,user_agent,tags,"
        "created_at,updated_at\n"
    )
    end = "http://localhost,127.0.0.1,Symfony,,2024-03-10 12:00:0{0},2024-03-10 12:00:0{0}\n"
    user, order = r"App\Models\User", r"App\Models\Order"
    log = load(
        "Laravel auditing",
        "audits.csv",
        head
        + f'1,{user},3,created,{order},7,[],"{{""total"":""1.10"",""status"":""draft"",""id"":7}}",'
        + end.format(0)
        + f'2,{user},4,updated,{order},7,"{{""status"":""draft""}}","{{""status"":""paid""}}",'
        + end.format(1)
        + f'3,{user},4,deleted,{order},7,"{{""id"":7,""total"":""1.10"",""status"":""paid""}}",[],'
        + end.format(2),
    )
    assert log.entity_types == (order,)
    assert states(log, "total", "status") == [
        ("7", "INSERT", "3", "1.10", "draft"),
        ("7", "UPDATE", "4", "1.10", "paid"),
    ]
    assert log.as_of().is_empty()
    assert kinds(log) == []


def test_django_simple_history(load: Callable[[str, str, str], Any]):
    log = load(
        "django-simple-history",
        "history.csv",
        "id,name,price,history_id,history_date,history_change_reason,history_type,history_user_id\n"
        "7,Tea,1.10,1,2024-03-10 12:00:00.123456+00,,+,3\n"
        "7,Tea,2.20,2,2024-03-10 12:00:01+00,raise,~,4\n"
        "7,Tea,2.20,3,2024-03-10 12:00:02+00,,-,\n",
    )
    assert states(log, "name", "price") == [
        ("7", "INSERT", "3", "Tea", pl.Series(["1.10"]).cast(pl.Decimal(38, 2))[0]),
        ("7", "UPDATE", "4", "Tea", pl.Series(["2.20"]).cast(pl.Decimal(38, 2))[0]),
    ]
    assert log.changes()["before_snapshot"].to_list() == [None, None, '{"name": "Tea", "price": 2.20}']
    assert kinds(log) == []


ENVERS = """
CREATE TABLE revinfo (rev int PRIMARY KEY, revtstmp bigint);
CREATE TABLE orders_aud (id bigint, rev int, revtype smallint, status text, total numeric, PRIMARY KEY (id, rev));
INSERT INTO revinfo VALUES (1, 1710072000123), (2, 1710072001000), (3, 1710072002000);
INSERT INTO orders_aud VALUES
    (8, 3, 2, NULL, NULL), (7, 2, 1, 'paid', 1.10), (7, 1, 0, 'draft', 1.10), (8, 1, 0, 'draft', 5.00);
"""
"""A DEL has nothing but the key, unless store_data_at_delete is set."""


def test_envers(ask: Callable[[str, str], Any]):
    log = ask("Hibernate Envers", ENVERS)
    assert log.changes()["transaction_id"].to_list() == [1, 1, 2, 3]
    assert log.changes()["changed_at"][0] == datetime(2024, 3, 10, 12, 0, 0, 123000, tzinfo=UTC)
    assert states(log, "status", "total") == [
        ("7", "INSERT", None, "draft", Decimal("1.10")),
        ("7", "UPDATE", None, "paid", Decimal("1.10")),
        ("8", "INSERT", None, "draft", Decimal("5.00")),
    ]
    assert log.diffs().filter(kind="removed").select("field", "kind", "old").rows() == [
        ("status", "removed", "draft"),
        ("total", "removed", "5.00"),
    ]
    assert kinds(log) == []


def test_dms(load: Callable[[str, str, str], Any]):
    log = load(
        "AWS DMS",
        "LOAD00000001.csv",
        "Op,ts,id,name,city\n"
        "I,2024-03-10 12:00:00.000000,101,Smith,New York\n"
        "U,2024-03-10 12:00:01.000000,101,Smith,Los Angeles\n"
        "I,2024-03-10 12:00:01.000000,102,Jones,Oslo\n"
        "D,2024-03-10 12:00:02.000000,101,Smith,Los Angeles\n",
    )
    assert states(log, "name", "city") == [
        ("101", "INSERT", None, "Smith", "New York"),
        ("101", "UPDATE", None, "Smith", "Los Angeles"),
        ("102", "INSERT", None, "Jones", "Oslo"),
    ]
    assert log.as_of()["entity_id"].to_list() == ["102"]
    assert kinds(log) == []


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

"""Logs of other tools, in the layouts that those write, load as the README's table says and answer."""

from __future__ import annotations

import re
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


def states(log: Any, *fields: str) -> list[tuple[object, ...]]:  # noqa: ANN401
    return log.history().select("entity_id", "operation", "changed_by", *fields).rows()


def kinds(log: Any) -> list[str]:  # noqa: ANN401
    """What evidence finds, but for what is normal in such logs."""
    usual = {"no transaction ids", "missing images", "equal times"}
    return [kind for kind in log.evidence().findings["kind"].to_list() if kind not in usual]


VERSIONS = """id,item_type,item_id,event,whodunnit,object,created_at,changes
1,Order,7,create,3,,2024-03-10 12:00:00.123456,"{""id"": 7, ""total"": ""1.10"", ""status"": ""draft""}"
2,Order,7,update,4,"{""id"": 7, ""total"": ""1.10"", ""status"": ""draft""}",2024-03-10 12:01,"{""status"": ""paid""}"
3,Order,8,create,3,,2024-03-10 12:00:02,"{""id"": 8, ""total"": ""5.0"", ""status"": ""draft""}"
4,Order,8,destroy,3,"{""id"": 8, ""total"": ""5.0"", ""status"": ""draft""}",2024-03-10 12:00:03,"{""id"": null}"
"""


def test_paper_trail(load: Callable[[str, str, str], Any]):
    log = load("paper_trail", "versions.csv", VERSIONS)
    assert states(log, "total", "status") == [
        ("7", "INSERT", "3", "1.10", "draft"),
        ("7", "UPDATE", "4", "1.10", "paid"),
        ("8", "INSERT", "3", "5.0", "draft"),
    ]
    assert log.as_of()["entity_id"].to_list() == ["7"]
    assert kinds(log) == []


def test_paper_trail_s_export_is_what_the_readme_says(make_database: Callable[..., str]):
    (select,) = re.findall(r"\\copy \((SELECT id, item_type[^`]* FROM versions)\) TO\s'versions.csv'", README)
    with connect(make_database(prefix="paper")) as connection:
        connection.execute(
            "CREATE TABLE versions (id bigserial PRIMARY KEY, item_type varchar NOT NULL, item_id bigint NOT NULL, "
            "event varchar NOT NULL, whodunnit varchar, object jsonb, object_changes jsonb, created_at timestamp(6))"
        )
        connection.execute(
            "INSERT INTO versions (item_type, item_id, event, whodunnit, object, object_changes, created_at) VALUES "
            """('Order', 7, 'create', '3', NULL, '{"id": [null, 7], "total": [null, 1.10]}', '2024-03-10 12:00'), """
            """('Order', 7, 'update', '4', '{"id": 7, "total": 1.10}', '{"total": [1.10, 12345678901234567.890]}', """
            """'2024-03-10 12:01')"""
        )
        rows = connection.rows(select)
    assert [row["changes"] for row in rows] == ['{"id": 7, "total": 1.10}', '{"total": 12345678901234567.890}']
    assert [*rows[0]] == VERSIONS.splitlines()[0].split(",")


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


def test_envers(load: Callable[[str, str, str], Any]):
    log = load(
        "Hibernate Envers",
        "orders_aud.csv",
        "id,rev,revtype,status,total,changed_at\n"
        "7,1,0,draft,1.10,2024-03-10 12:00:00.123+00\n"
        "8,1,0,draft,5.00,2024-03-10 12:00:00.123+00\n"
        "7,2,1,paid,1.10,2024-03-10 12:00:01+00\n"
        "8,3,2,,,2024-03-10 12:00:02+00\n",  # a DEL has nothing but the key, unless store_data_at_delete is set
    )
    assert log.changes()["transaction_id"].to_list() == [1, 1, 2, 3]
    assert states(log, "status") == [
        ("7", "INSERT", None, "draft"), ("7", "UPDATE", None, "paid"), ("8", "INSERT", None, "draft"),
    ]  # fmt: skip
    assert log.diffs().filter(id=4).select("field", "kind", "old").rows() == [
        ("status", "removed", "draft"),
        ("total", "removed", "5.00"),
    ]
    assert kinds(log) == []


def test_envers_export_is_what_the_readme_says(make_database: Callable[..., str]):
    (select,) = re.findall(r"`(SELECT a\.[^`]* ORDER BY rev)`", README)
    with connect(make_database(prefix="envers")) as connection:
        connection.execute("CREATE TABLE revinfo (rev int PRIMARY KEY, revtstmp bigint)")
        connection.execute("CREATE TABLE orders_aud (id bigint, rev int, revtype smallint, status text, total numeric)")
        connection.execute("INSERT INTO revinfo VALUES (1, 1710072000123)")
        connection.execute("INSERT INTO orders_aud VALUES (7, 1, 0, 'draft', 1.10)")
        (row,) = connection.rows(select)
    assert [*row] == ["id", "rev", "revtype", "status", "total", "changed_at"]
    assert row["changed_at"].isoformat() == "2024-03-10T12:00:00.123000+00:00"


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


def test_logged_actions(make_database: Callable[..., str]):
    (view,) = re.findall(r"`(CREATE VIEW audit\.changes AS[^`]*)`", README)
    dsn = make_database(prefix="actions")
    with connect(dsn) as connection:
        for statement in [*LOGGED_ACTIONS.split(";\n")[:-1], view]:
            connection.execute(statement)
    log = eval(call_of("2ndQuadrant's logged_actions"), {"al": al, "dsn": dsn})  # noqa: S307 - our own README
    assert states(log, "total", "status") == [
        ("7", "INSERT", "ann", "1.10", "draft"),
        ("7", "UPDATE", "bob", "1.10", "paid"),
        ("8", "INSERT", "ann", "5.00", None),
    ]
    assert log.as_of().is_empty()  # a TRUNCATE
    assert kinds(log) == []

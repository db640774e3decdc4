"""Logs of applications, in the layouts of their tools, load as the README's table says and answer."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from coming_from import README, kinds, states

from auditlab.errors import IncompleteStates

if TYPE_CHECKING:
    from collections.abc import Callable


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
        ("id", "removed", "8"),
        ("status", "removed", "draft"),
        ("total", "removed", "5.00"),
    ]
    assert kinds(log) == []


AUDITS = """
CREATE TABLE audits (
    id bigserial PRIMARY KEY, auditable_id int, auditable_type varchar, associated_id int, associated_type varchar,
    user_id int, user_type varchar, username varchar, action varchar, audited_changes jsonb, version int,
    comment varchar, remote_address varchar, request_uuid varchar, created_at timestamp
);
INSERT INTO audits (auditable_id, auditable_type, user_id, action, audited_changes, request_uuid, created_at) VALUES
    (7, 'Order', 3, 'create', '{"total": "1.10", "status": 0, "tags": [1, 2]}', 'a', '2024-03-10 12:00'),
    (7, 'Order', 4, 'update', '{"status": [0, 1], "tags": [[1, 2], null]}', 'b', '2024-03-10 12:01'),
    (7, 'Order', 4, 'destroy', '{"total": "1.10", "status": 1, "tags": null}', 'c', '2024-03-10 12:02');
"""


def test_audited(ask: Callable[[str, str], Any]):
    log = ask("audited", AUDITS)
    assert states(log, "total", "status", "tags") == [
        ("7", "INSERT", "3", "1.10", 0, "[1, 2]"),
        ("7", "UPDATE", "4", "1.10", 1, None),
    ]
    assert log.changes()["correlation_id"].to_list() == ["a", "b", "c"]
    assert log.as_of().is_empty()
    assert kinds(log) == []


LOG_ENTRIES = """
CREATE TABLE django_content_type (id int PRIMARY KEY, app_label varchar, model varchar);
CREATE TABLE auditlog_logentry (
    id serial PRIMARY KEY, content_type_id int, object_pk varchar, object_id bigint, object_repr text,
    serialized_data jsonb, action smallint, changes_text text, changes jsonb, actor_id int, cid varchar,
    remote_addr inet, remote_port int, "timestamp" timestamptz, additional_data jsonb, actor_email varchar
);
INSERT INTO django_content_type VALUES (12, 'shop', 'order');
INSERT INTO auditlog_logentry (content_type_id, object_pk, action, changes, actor_id, "timestamp") VALUES
    (12, '7', 0, '{"id": ["None", "7"], "total": ["None", "1.10"]}', 3, '2024-03-10 12:00+00'),
    (12, '7', 1, '{"note": ["None", "x"]}', 4, '2024-03-10 12:01+00'),
    (12, '7', 3, NULL, 4, '2024-03-10 12:02+00'),
    (12, '7', 2, '{"id": ["7", "None"], "total": ["1.10", "None"], "note": ["x", "None"]}', 4, '2024-03-10 12:03+00');
"""


def test_django_auditlog(ask: Callable[[str, str], Any]):
    log = ask("django-auditlog", LOG_ENTRIES)
    assert log.entity_types == ("shop.order",)
    assert states(log, "total", "note") == [("7", "INSERT", "3", "1.10", None), ("7", "UPDATE", "4", "1.10", "x")]
    assert log.as_of().is_empty()
    assert kinds(log) == ["id gaps"]


EVENTS = """
CREATE TABLE shop_orderevent (
    pgh_id serial PRIMARY KEY, pgh_created_at timestamptz, pgh_label text, pgh_obj_id bigint, pgh_context_id uuid,
    id bigint, status text, total numeric
);
INSERT INTO shop_orderevent (pgh_created_at, pgh_label, pgh_obj_id, id, status, total) VALUES
    ('2024-03-10 12:00+00', 'insert', 7, 7, 'draft', 1.10),
    ('2024-03-10 12:01+00', 'update', 7, 7, 'paid', 1.10),
    ('2024-03-10 12:02+00', 'delete', 7, 7, 'paid', 1.10);
"""


def test_django_pghistory(ask: Callable[[str, str], Any]):
    log = ask("django-pghistory", EVENTS)
    assert states(log, "field.id", "status") == [("7", "INSERT", None, 7, "draft"), ("7", "UPDATE", None, 7, "paid")]
    assert log.as_of().is_empty()
    assert kinds(log) == []


CONTINUUM = """
CREATE TABLE transaction (id bigint PRIMARY KEY, issued_at timestamp, remote_addr varchar, user_id int);
CREATE TABLE orders_version (
    id int, status varchar, total numeric, transaction_id bigint, end_transaction_id bigint, operation_type smallint,
    PRIMARY KEY (id, transaction_id)
);
INSERT INTO transaction VALUES (1, '2024-03-10 12:00', NULL, 3), (2, '2024-03-10 12:01', NULL, 4),
    (3, '2024-03-10 12:02', NULL, 3);
INSERT INTO orders_version VALUES (8, NULL, NULL, 3, NULL, 2), (7, 'paid', 1.10, 2, NULL, 1),
    (7, 'draft', 1.10, 1, 2, 0), (8, 'draft', 5, 1, 3, 0);
"""


def test_sqlalchemy_continuum(ask: Callable[[str, str], Any]):
    log = ask("SQLAlchemy-Continuum", CONTINUUM)
    assert states(log, "status") == [
        ("7", "INSERT", "3", "draft"), ("7", "UPDATE", "4", "paid"), ("8", "INSERT", "3", "draft"),
    ]  # fmt: skip
    assert log.as_of()["entity_id"].to_list() == ["7"]
    assert log.changes()["transaction_id"].to_list() == [1, 1, 2, 3]
    assert kinds(log) == []


@pytest.mark.filterwarnings("ignore::auditlab.errors.IncompletePopulation")
@pytest.mark.filterwarnings("ignore::auditlab.errors.IncompleteStates")
def test_a_history_of_fields(load: Callable[[str, str, str], Any]):
    log = load(
        "Salesforce's field history",
        "OpportunityFieldHistory.csv",
        "OpportunityId,CreatedById,CreatedDate,Field,OldValue,NewValue\n"
        "006A,005X,2024-03-10T12:00:00.000+0000,StageName,Open,Won\n"
        "006A,005X,2024-03-10T12:00:00.000+0000,Amount,,1.10\n"
        "006A,005Y,2024-03-10T12:01:00.000+0000,StageName,Won,Lost\n",
    )
    assert states(log, "StageName", "Amount") == [
        ("006A", None, None, "Open", None), ("006A", "UPDATE", "005X", "Won", "1.10"),
        ("006A", "UPDATE", "005Y", "Lost", "1.10"),
    ]  # fmt: skip
    blamed = log.blame().sort("field").select("field", "set_by", "old").rows()
    assert blamed == [("Amount", "005X", None), ("StageName", "005Y", "Won")]


REVERSION = """
CREATE TABLE django_content_type (id int PRIMARY KEY, app_label varchar, model varchar);
CREATE TABLE reversion_revision (id int PRIMARY KEY, date_created timestamptz, comment text, user_id int);
CREATE TABLE reversion_version (
    id serial PRIMARY KEY, object_id varchar, format varchar, serialized_data text, object_repr text,
    content_type_id int, revision_id int, db varchar
);
INSERT INTO django_content_type VALUES (12, 'shop', 'order');
INSERT INTO reversion_revision VALUES (1, '2024-03-10 12:00+00', '', 3), (2, '2024-03-10 12:01+00', '', 4);
INSERT INTO reversion_version (object_id, format, serialized_data, content_type_id, revision_id) VALUES
    ('7', 'json', '[{"model": "shop.order", "pk": 7, "fields": {"total": "1.10", "lines": [1]}}]', 12, 1),
    ('8', 'json', '[{"model": "shop.order", "pk": 8, "fields": {"total": "5.00", "lines": []}}]', 12, 1),
    ('7', 'json', '[{"model": "shop.order", "pk": 7, "fields": {"total": "2.20", "lines": [1]}}]', 12, 2);
"""


def test_django_reversion(ask: Callable[[str, str], Any]):
    with pytest.warns(IncompleteStates, match="none was deleted"):
        log = ask("django-reversion", REVERSION)
    assert states(log, "total", "lines") == [
        ("7", "INSERT", "3", "1.10", "[1]"), ("7", "UPDATE", "4", "2.20", "[1]"), ("8", "INSERT", "3", "5.00", "[]"),
    ]  # fmt: skip
    assert log.entity_types == ("shop.order",)
    assert kinds(log) == []


MESSAGES = """
CREATE SCHEMA message_store;
CREATE TABLE message_store.messages (
    id uuid NOT NULL DEFAULT gen_random_uuid(), stream_name text, type text, position bigint,
    global_position bigserial, data jsonb, metadata jsonb, time timestamp
);
INSERT INTO message_store.messages (stream_name, type, position, data, metadata, time) VALUES
    ('order-7', 'OrderPlaced', 0, '{"total": 1.10, "status": "draft"}', '{"userId": "ann"}', '2024-03-10 12:00'),
    ('order-7', 'OrderPaid', 1, '{"status": "paid"}', '{"userId": "bob"}', '2024-03-10 12:01'),
    ('order-8', 'OrderPlaced', 0, '{"total": 5, "status": "draft"}', NULL, '2024-03-10 12:01'),
    ('order-8', 'OrderRemoved', 1, '{}', NULL, '2024-03-10 12:02');
"""


def test_events_of_an_event_store(ask: Callable[[str, str], Any]):
    log = ask("Event stores", MESSAGES)
    assert states(log, "total", "status") == [
        ("order-7", "INSERT", "ann", Decimal("1.10"), "draft"), ("order-7", "UPDATE", "bob", Decimal("1.10"), "paid"),
        ("order-8", "INSERT", None, Decimal("5.00"), "draft"),
    ]  # fmt: skip
    assert log.as_of()["entity_id"].to_list() == ["order-7"]
    assert kinds(log) == []


PAGE = """
{"issues": [{"key": "AB-1", "changelog": {"histories": [{"author": {"accountId": "ann"}, "created": "2024-03-10T12:00:00.000+0000", "items": [{"field": "status", "from": "1", "fromString": "Open", "to": "5", "toString": "Done"}, {"field": "assignee", "from": null, "fromString": null, "to": "b", "toString": "Bob"}]}, {"author": {"accountId": "bob"}, "created": "2024-03-10T12:01:00.000+0000", "items": [{"field": "status", "from": "5", "fromString": "Done", "to": "1", "toString": "Open"}]}]}}]}
"""  # noqa: E501 - a line is a page


@pytest.mark.filterwarnings("ignore::auditlab.errors.IncompletePopulation")
@pytest.mark.filterwarnings("ignore::auditlab.errors.IncompleteStates")
def test_jira(load: Callable[[str, str, str], Any]):
    log = load("Jira", "pages.jsonl", PAGE.lstrip())
    assert states(log, "status", "assignee") == [
        ("AB-1", None, None, "Open", None), ("AB-1", "UPDATE", "ann", "Done", "Bob"),
        ("AB-1", "UPDATE", "bob", "Open", "Bob"),
    ]  # fmt: skip


def test_every_tool_of_the_table_is_tried():
    named = re.findall(r"^\| ([^|]*?) \| .* \| `al\.", README, re.MULTILINE)
    files = Path(__file__).parent.glob("test_coming_from*.py")
    tried = "".join(path.read_text(encoding="utf-8") for path in files)
    named.remove("Debezium")  # its events have tests of their own
    assert [tool for tool in named if not any(f'"{start}' in tried for start in (tool.split(" (")[0], tool[:15]))] == []

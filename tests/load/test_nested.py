"""Names of columns that are paths: into objects, and into each object of a list."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from typer.testing import CliRunner

import auditlab as al
from auditlab.cli import app
from auditlab.errors import BadOption, SchemaMismatch, UnreadColumns

if TYPE_CHECKING:
    from pathlib import Path

NONE = {"changed_by": None, "transaction_id": None, "before_snapshot": None}
EVENT = {
    "id": {"of": 1}, "ns": {"db": "shop", "coll": "orders"}, "key": {"_id": {"$oid": "a7"}}, "op": "insert",
    "at": {"$date": "2024-03-10T12:00:00Z"}, "full": {"total": "?"},
}  # fmt: skip
COLUMNS = NONE | {
    "id": "id.of", "entity_type": ["ns.db", "ns.coll"], "entity_id": "key._id.$oid", "operation": "op",
    "changed_at": "at.$date", "after_snapshot": "full",
}  # fmt: skip


def lines(folder: Path, *rows: object) -> Path:
    path = folder / "log.jsonl"
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def test_a_name_of_a_member_of_an_object_is_a_path_and_values_stay_to_the_letter(tmp_path: Path):
    event = json.dumps(EVENT).replace('"?"', "1.10")
    log = al.read_jsonl(lines(tmp_path, event), columns=COLUMNS)
    assert log.changes()["after_snapshot"].to_list() == ['{"total": 1.10}']
    assert log.entity_types == ("shop.orders",)
    assert log.as_of()["entity_id"].to_list() == ["a7"]


def test_the_command_line_takes_paths(tmp_path: Path):
    told = {
        "entity_type": "ns.db+ns.coll",
        **{name: own or "" for name, own in COLUMNS.items() if name != "entity_type"},
    }
    words = [word for name, own in told.items() for word in ("--column", f"{name}={own}")]
    done = CliRunner().invoke(app, ["summary", str(lines(tmp_path, EVENT)), *words])
    assert (done.exit_code, "shop.orders" in done.output) == (0, True), done.output


def test_a_member_that_is_named_so_comes_before_a_path(tmp_path: Path):
    log = al.read_jsonl(lines(tmp_path, EVENT | {"key._id.$oid": "told"}, EVENT | {"id": {"of": 2}}), columns=COLUMNS)
    assert log.changes()["entity_id"].to_list() == ["told", "a7"]


@pytest.mark.parametrize("key", [None, "a7", {"_id": None}, {"_id": {"$uuid": "x"}}, {}])
def test_a_path_that_leads_to_nothing_is_null(tmp_path: Path, key: object):
    with pytest.raises(al.errors.MalformedChange, match="no entity id in 1 rows"):
        al.read_jsonl(lines(tmp_path, EVENT, EVENT | {"id": {"of": 2}, "key": key}), columns=COLUMNS)


def test_a_path_that_no_line_has_is_missing(tmp_path: Path):
    with pytest.raises(SchemaMismatch, match=r"entity_id \(from 'key.id'\): missing"):
        al.read_jsonl(lines(tmp_path, EVENT), columns=COLUMNS | {"entity_id": "key.id"})


def test_a_name_that_stands_twice_on_the_way_is_refused(tmp_path: Path):
    twice = json.dumps(EVENT).replace('"coll": "orders"', '"coll": "orders", "coll": "people"')
    with pytest.raises(SchemaMismatch, match="line 2: names 'coll' twice"):
        al.read_jsonl(lines(tmp_path, EVENT, twice), columns=COLUMNS)
    other = json.dumps(EVENT).replace('"coll": "orders"', '"x": 1, "coll": "orders", "x": 2')
    assert len(al.read_jsonl(lines(tmp_path, other), columns=COLUMNS).changes()) == 1


def test_objects_that_paths_lead_into_are_no_fields(tmp_path: Path):
    row = {"id": 7, "total": 1, "meta": {"op": "c", "at": "2024-03-10T12:00:00Z", "lsn": 3}}
    columns = {
        "id": "meta.lsn",
        "operation": "meta.op",
        "changed_at": "meta.at",
        "changed_by": None,
        "transaction_id": None,
    }
    asked: dict[str, Any] = {"columns": columns, "fields": "rest", "entity_type": "shop.orders", "key": "id"}
    log = al.read_jsonl(lines(tmp_path, row), **asked)
    assert log.changes()["after_snapshot"].to_list() == ['{"id": 7, "total": 1}']
    assert al.from_arrow(pl.DataFrame([row]), **asked).changes()["after_snapshot"].to_list() == [
        '{"id": 7, "total": 1}'
    ]
    asked["columns"] = columns | {"metadata": ["meta"]}
    log = al.read_jsonl(lines(tmp_path, row), **asked)
    assert log.changes()["metadata"].to_list() == ['{"meta": {"op": "c", "at": "2024-03-10T12:00:00Z", "lsn": 3}}']


def test_what_is_read_by_a_path_is_not_told_as_unread(tmp_path: Path):
    path, columns = lines(tmp_path, EVENT), {name: own for name, own in COLUMNS.items() if name != "changed_by"}
    assert len(al.read_jsonl(path, columns=columns).changes()) == 1
    with pytest.warns(UnreadColumns, match="and 'x' are not read"):
        al.read_jsonl(lines(tmp_path, EVENT | {"x": 1}), columns=columns)


def test_fields_of_structs_are_named_by_paths():
    frame = pl.DataFrame(
        {
            "id": [1, 2],
            "source": [
                {"table": "orders", "at": "2024-03-10T12:00:00Z"},
                {"table": "orders", "at": "2024-03-10T12:01:00Z"},
            ],
            "who": [{"name": "ann"}, None],
            "op": ["c", "u"],
            "key": ["k", "k"],
            "row": ['{"n": 1.10}', '{"n": 2}'],
        }
    )
    columns = NONE | {
        "entity_type": "source.table", "operation": "op", "changed_at": "source.at", "changed_by": "who.name",
        "after_snapshot": "row", "entity_id": "key",
    }  # fmt: skip
    log = al.from_arrow(frame, columns=columns)
    assert log.changes().select("entity_type", "changed_by").rows() == [("orders", "ann"), ("orders", None)]
    with pytest.raises(SchemaMismatch, match=r"changed_by \(from 'who.nme'\): missing"):
        al.from_arrow(frame, columns=columns | {"changed_by": "who.nme"})
    with pytest.raises(SchemaMismatch, match=r"changed_by \(from 'op.name'\): missing"):
        al.from_arrow(frame, columns=columns | {"changed_by": "op.name"})


JIRA = {
    "issues": [
        {"key": "AB-1", "changelog": {"histories": [
            {"author": {"accountId": "ann"}, "created": "2024-03-10T12:00:00.000+0000", "items": [
                {"field": "status", "fromString": "Open", "toString": "Done"},
                {"field": "assignee", "fromString": None, "toString": "Bob"},
            ]},
            {"author": {"accountId": "bob"}, "created": "2024-03-10T12:01:00.000+0000", "items": [
                {"field": "status", "fromString": "Done", "toString": "Open"},
            ]},
            {"author": {"accountId": "bob"}, "created": "2024-03-10T12:02:00.000+0000", "items": []},
        ]}},
        {"key": "AB-2", "changelog": None},
    ]
}  # fmt: skip
HISTORY = "issues[].changelog.histories[]"
JIRA_COLUMNS = {
    "id": None, "entity_id": "issues[].key", "changed_by": f"{HISTORY}.author.accountId",
    "changed_at": f"{HISTORY}.created", "field": f"{HISTORY}.items[].field", "old": f"{HISTORY}.items[].fromString",
    "new": f"{HISTORY}.items[].toString", "transaction_id": None,
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::auditlab.errors.IncompletePopulation", "ignore::auditlab.errors.IncompleteStates")
def test_each_object_of_a_list_is_a_row_also_of_lists_in_lists(tmp_path: Path):
    log = al.read_jsonl(lines(tmp_path, JIRA, {"issues": None}), columns=JIRA_COLUMNS, entity_type="jira.issue")
    assert log.diffs().select("entity_id", "field", "old", "new", "changed_by").rows() == [
        ("AB-1", "status", "Open", "Done", "ann"),
        ("AB-1", "assignee", None, "Bob", "ann"),
        ("AB-1", "status", "Done", "Open", "bob"),
    ]


def test_an_element_may_be_the_value_itself(tmp_path: Path):
    told = {"op": "c", "at": "2024-03-10T12:00:00Z", "rows": [{"id": 7, "n": 1.10}, {"id": 8, "n": 2}]}
    columns = NONE | {"id": None, "operation": "op", "changed_at": "at", "after_snapshot": "rows[]"}
    log = al.read_jsonl(lines(tmp_path, told), columns=columns, entity_type="a.b", key="id")
    assert log.changes()["after_snapshot"].to_list() == ['{"id": 7, "n": 1.1}', '{"id": 8, "n": 2}']
    assert log.changes()["id"].to_list() == [1, 2]


def test_two_lists_none_of_which_is_in_the_other_are_refused(tmp_path: Path):
    with pytest.raises(BadOption, match=r"lists in 'data\[\]' and 'old\[\]', and a row is one element of one list"):
        al.read_jsonl(
            lines(tmp_path, EVENT), columns=COLUMNS | {"after_snapshot": "data[]", "before_snapshot": "old[]"}
        )
    with pytest.raises(BadOption, match="a row is one element of one list"):
        al.read_jsonl(lines(tmp_path, EVENT), columns=COLUMNS | {"operation": "a.b[].c", "entity_id": "a.d[].e"})


def test_what_is_to_be_a_list_and_is_none_is_refused_and_so_is_a_file_that_has_no_such(tmp_path: Path):
    asked: dict[str, Any] = {"columns": JIRA_COLUMNS, "entity_type": "jira.issue"}
    with pytest.raises(SchemaMismatch, match=r"line 2: 'issues' is to be a list, as 'issues\[\]' in columns= says"):
        al.read_jsonl(lines(tmp_path, JIRA, {"issues": {"key": "AB-1"}}), **asked)
    with pytest.raises(SchemaMismatch, match="no line has anything in the list 'issues'"):
        al.read_jsonl(lines(tmp_path, {"issue": []}), **asked)


def test_wal2json_s_first_format_is_told_and_the_way_to_the_second(tmp_path: Path):
    change = {"kind": "insert", "schema": "shop", "table": "t", "columnnames": ["id"], "columnvalues": [1]}
    path = lines(
        tmp_path,
        {"xid": 6, "timestamp": "2024-03-10", "change": []},
        {"xid": 7, "timestamp": "2024-03-10", "change": [change]},
    )
    columns = {"id": None, "entity_type": ["schema", "table"], "operation": "action", "changed_at": "timestamp"}
    asked: dict[str, Any] = {"columns": columns | {"transaction_id": "xid", "old": "identity", "new": "columns"}}
    with pytest.raises(SchemaMismatch, match="line 2: is a transaction of wal2json's format 1: .*format-version=2"):
        al.read_jsonl(path, key="id", **asked)
    with pytest.raises(SchemaMismatch, match="line 1: is a transaction of wal2json's format 1: .*format-version=2"):
        al.read_jsonl(lines(tmp_path, {"change": [change]}))

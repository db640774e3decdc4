"""Logs that name an entity by the fields of its row alone: the option ``key``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

import auditlab as al
from auditlab.errors import BadOption, MalformedChange, SchemaMismatch

if TYPE_CHECKING:
    from pathlib import Path

AT = "2024-06-01T12:00Z"
NEVER: dict[str, Any] = {"changed_by": None, "transaction_id": None}


def log(*rows: tuple[str, str, object, object], **options: Any) -> al.ChangeLog[Any]:  # noqa: ANN401
    """Rows (type, operation, before, after) without an entity's id."""
    told = [
        {"id": number, "entity_type": entity_type, "operation": operation, "changed_at": AT,
         "before_snapshot": before and json.dumps(before), "after_snapshot": after and json.dumps(after)}
        for number, (entity_type, operation, before, after) in enumerate(rows, start=1)
    ]  # fmt: skip
    schema = dict.fromkeys(("before_snapshot", "after_snapshot"), pl.String)
    return al.from_arrow(pl.DataFrame(told, schema_overrides=schema), **({"columns": NEVER} | options))


def test_the_id_is_the_text_of_the_key_in_the_image_that_there_is():
    found = log(
        ("a.b", "c", None, {"no": 7}), ("a.b", "u", {"no": 7}, {"no": 7, "x": 1}),
        ("a.b", "d", {"no": 7, "x": 1}, None),
        ("a.b", "c", None, {"no": "é"}), ("a.b", "t", None, None), key="no",
    )  # fmt: skip
    assert found.changes()["entity_id"].to_list() == ["7", "7", "7", "é", None]


def test_a_key_of_several_columns_is_found_by_its_columns_and_followed_where_it_changes():
    first, second = {"a": 1, "b": "x", "n": 1}, {"a": 2, "b": "x", "n": 1}
    found = log(("a.b", "c", None, first), ("a.b", "u", first, second), key=["a", "b"])
    ids = [str(al.entity_uuid("a.b", {"a": a, "b": "x"})) for a in (1, 2)]
    assert found.changes()["entity_id"].to_list() == ids
    assert found.as_of()["entity_id"].to_list() == ids[1:]
    assert found.key_changes().select("old_entity_id", "new_entity_id").rows() == [tuple(ids)]
    assert found.entity({"a": 2, "b": "x"}).history()["n"].to_list() == [1]


def test_each_entity_type_may_have_its_own_key_and_leaves_that_of_their_table():
    rows = [("a.b", "c", None, {"id": 1}), ("a.items_1", "c", None, {"o": 1, "l": 2})]
    found = log(*rows, key={"a.b": "id", "a.items": ["o", "l"]}, partitions={"a.items_1": "a.items"})
    assert found.changes()["entity_id"].to_list() == ["1", str(al.entity_uuid("a.items", {"o": 1, "l": 2}))]
    with pytest.raises(SchemaMismatch, match=r"key= names no key of a.items_1. It has those of a.b; name all"):
        log(*rows, key={"a.b": "id"})


def test_a_key_that_is_in_no_image_and_one_that_is_null_are_told():
    with pytest.raises(SchemaMismatch, match=r"no image of a.b has 'nr', which key= names. The first .* has 'no', 'x'"):
        log(("a.b", "c", None, {"no": 7, "x": 1}), key="nr")
    with pytest.raises(MalformedChange, match=r"no entity id in 1 rows \(row id 2\)"):
        log(("a.b", "c", None, {"no": 7}), ("a.b", "c", None, {"no": None}), key="no")
    with pytest.raises(SchemaMismatch, match=r"row id 1: no key of a.b can be \[1\]"):
        log(("a.b", "c", None, {"a": [1], "b": 2}), key=["a", "b"])


def test_of_a_log_with_one_image_that_of_a_delete_is_what_was_there(tmp_path: Path):
    lines = [{"id": 1, "entity_type": "a.b", "operation": "c", "at": 1_717_243_200_123, "data": {"no": 7, "n": 1.5}}]
    lines += [lines[0] | {"id": 2, "operation": "d"}]
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, lines)))
    columns = NEVER | {"changed_at": "at", "after_snapshot": "data", "before_snapshot": None}
    found = al.read_jsonl(tmp_path / "log.jsonl", columns=columns, key="no", unit="ms").changes()
    assert found.select("entity_id", "before_snapshot", "after_snapshot").rows() == [
        ("7", None, '{"no": 7, "n": 1.5}'), ("7", '{"no": 7, "n": 1.5}', None),
    ]  # fmt: skip
    assert found["changed_at"][0].isoformat() == "2024-06-01T12:00:00.123000+00:00"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"key": 5}, "key=5: give a column"),
        ({"key": []}, r"key=\[\]: give a column"),
        ({"key": {"a.b": ""}}, "give a column"),
        ({"key": "no", "columns": {"entity_id": "no"}}, "key= makes that, and columns= gives entity_id"),
        ({"key": "no", "unit": "h"}, "unit='h': numbers tell times in one of s, ms, us"),
    ],
)
def test_options_that_name_no_key_are_refused(options: dict[str, Any], words: str):
    with pytest.raises(BadOption, match=words):
        log(("a.b", "c", None, {"no": 7}), **options)

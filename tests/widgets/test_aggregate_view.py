"""log.aggregate_view(): at every instant the members that aggregate() says, with what came, went and changed."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from test_embedding import unpacked

import auditlab as al
from auditlab.errors import BadOption, IncompleteLog, UnknownChange, UnknownEntity, UnknownEntityType
from auditlab.temporal.members import members
from auditlab.testing import make_log
from auditlab.widgets import aggregate_view as module

ORDER, ITEM, RETURN = ({"entity_type": f"shop.{name}"} for name in ("orders", "items", "returns"))
STEPS: list[tuple[Any, ...]] = [
    ("INSERT", "o1", {"id": 1, "total": 0}, ORDER),
    ("INSERT", "o2", {"id": 2, "total": 0}, ORDER),
    ("INSERT", "a", {"id": "a", "order_id": 1, "n": 1}, ITEM),
    ("INSERT", "b", {"id": "b", "order_id": "1", "n": 2}, ITEM | {"transaction_id": 5}),
    ("UPDATE", "o1", {"id": 1, "total": 12345678901234567890}, ORDER | {"transaction_id": 5}),
    ("INSERT", "r", {"id": "r", "item": "a"}, RETURN),
    ("UPDATE", "a", {"id": "a", "order_id": 2, "n": 1}, ITEM),
    ("UPDATE", "b", {"id": "b", "order_id": 1, "n": 3}, ITEM),
    ("UPDATE", "a", {"id": "a", "order_id": 1, "n": 1}, ITEM),
    ("DELETE", "b", ITEM),
    ("DELETE", "o1", ORDER),
    ("INSERT", "o1", {"id": 1, "total": 7}, ORDER),
]
NESTED = {"lines": ("shop.items", "order_id", {"returned": ("shop.returns", "item")})}


@pytest.fixture(params=["polars", "duckdb"])
def log(request: pytest.FixtureRequest) -> al.ChangeLog[pl.DataFrame]:
    return al.from_arrow(make_log(STEPS)).on(request.param)


def nested_ids(frame: pl.DataFrame) -> list[tuple[str, str]]:
    """The members in an answer of aggregate(), by kind and entity id."""
    found = []
    for parent in frame.iter_rows(named=True):
        found.append(("", parent["entity_id"]))
        for line in parent["lines"]:
            found.append(("lines", line["entity_id"]))
            found += [("lines.returned", back["entity_id"]) for back in line["returned"]]
    return sorted(found)


def test_the_members_at_every_instant_are_those_of_aggregate(log: al.ChangeLog[pl.DataFrame]):
    for entity in ("o1", "o2"):
        found = members(log.selected, "shop.orders", items=NESTED, entity=entity)
        for at in log.changes()["changed_at"]:
            expected = nested_ids(log.aggregate("shop.orders", items=NESTED, entity=entity, at=at))
            assert sorted(found.at(at).select("kind", "entity_id").rows()) == expected


def told(view: Any, change: int) -> dict[str, Any]:  # noqa: ANN401 - its points are taken apart
    row = view._points.rows.filter(pl.col("id") == change)["row"][0]  # noqa: SLF001
    found: dict[str, Any] = view.answer({"about": "aggregate", "row": row})
    return {kind["kind"]: {row["entity"]: row["status"] for row in kind["rows"]} for kind in found["kinds"]}


def test_children_come_go_and_change(log: al.ChangeLog[pl.DataFrame]):
    view: Any = log.aggregate_view("shop.orders", items=NESTED, entity="o1")
    assert told(view, 1) == {"parent": {"o1": "added"}, "lines": {}, "lines.returned": {}}
    assert told(view, 4)["lines"] == {"a": "", "b": "added"}
    assert told(view, 6)["lines.returned"] == {"r": "added"}
    assert told(view, 7) == {
        "parent": {"o1": ""},
        "lines": {"a": "removed", "b": ""},
        "lines.returned": {"r": "removed"},
    }
    assert told(view, 8)["lines"] == {"b": "modified"}
    assert told(view, 9)["lines"] == {"a": "added", "b": ""}
    assert told(view, 10)["lines"] == {"a": "", "b": "removed"}
    assert told(view, 11) == {
        "parent": {"o1": "removed"},
        "lines": {"a": "removed"},
        "lines.returned": {"r": "removed"},
    }
    assert told(view, 12) == {"parent": {"o1": "added"}, "lines": {"a": "added"}, "lines.returned": {"r": "added"}}


def test_values_are_the_recorded_text_with_the_old_beside_the_new(log: al.ChangeLog[pl.DataFrame]):
    view: Any = log.aggregate_view("shop.orders", items=NESTED, entity="o1")
    parent = view.answer({"about": "aggregate", "row": 3})["kinds"][0]
    assert dict(zip(parent["fields"], parent["rows"][0]["cells"], strict=True))["total"] == [
        "12345678901234567890", True, True, "0", True,
    ]  # fmt: skip


def test_the_frame_and_the_code_are_those_of_aggregate(log: al.ChangeLog[pl.DataFrame]):
    view = log.aggregate_view("shop.orders", items=NESTED, entity="o1", cursor=8)
    names: dict[str, Any] = {"log": log}
    exec(view.code, names)  # noqa: S102 - the code that a view shows is meant to be run
    assert names["rows"].equals(view.frame)
    assert names["view"].selection == view.selection
    assert view.selection["members"] == {"shop.orders": ["o1"], "lines": ["b"], "lines.returned": []}


def test_an_export_holds_every_instant_or_says_which(log: al.ChangeLog[pl.DataFrame], monkeypatch: pytest.MonkeyPatch):
    view: Any = log.aggregate_view("shop.orders", items=NESTED, entity="o1")
    packed = view.to_html().split('id="model-1">')[1].split("</script>")[0]
    instants = unpacked(packed)["data"]["instants"]
    assert len(instants["told"]) == len(set(instants["of"]))
    monkeypatch.setattr(module, "EMBEDDED", 2)
    cut = view.embedded_data()["instants"]
    assert len(cut["told"]) == 2
    assert "This file holds the last 2 of" in cut["note"]
    assert "<svg" in view.to_svg()


def test_what_is_not_there_is_an_error(log: al.ChangeLog[pl.DataFrame]):
    with pytest.raises(UnknownEntity, match="no entity 'o9'"):
        log.aggregate_view("shop.orders", items=NESTED, entity="o9")
    with pytest.raises(UnknownEntityType, match="no entity type 'shop.order'"):
        log.aggregate_view("shop.order", items=NESTED, entity="o1")
    with pytest.raises(UnknownChange, match="no change 2 in this aggregate"):
        log.aggregate_view("shop.orders", items=NESTED, entity="o1", cursor=2)
    with pytest.raises(BadOption, match="items= takes"):
        log.aggregate_view("shop.orders", items=("shop.items",), entity="o1")
    with pytest.raises(IncompleteLog, match="whole histories"):
        log.by("ann").aggregate_view("shop.orders", items=NESTED, entity="o1")

"""Aggregates of several levels: each child under the parent that it had then, whatever became of either."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from soak import generated

import auditlab as al
from auditlab.errors import BadOption, NoData, UncertainTime, UnknownEntityType, UnknownField
from auditlab.testing import Oracle, make_log
from auditlab.testing.families import KINDS, family, nested
from auditlab.testing.logs import START

ENGINES = ("polars", "duckdb")
FEW = 6
ORDER, ITEM, RETURN = ({"entity_type": f"orders.{name}"} for name in ("orders", "order_items", "returns"))
ITEMS = {"items": ("orders.order_items", "order_id", {"returns": ("orders.returns", "item_id")})}


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def tree(rows: list[dict[str, Any]], kinds: dict[str, Any]) -> dict[str, Any]:
    """The entity ids of an aggregate, level by level."""
    return {
        row["entity_id"]: {
            name: tree(row[name], (kind[2] if len(kind) > 2 else None) or {}) for name, kind in kinds.items()
        }
        for row in rows
    }


STEPS = [
    ("INSERT", "o1", {"id": 1}, ORDER),
    ("INSERT", "o2", {"id": 2}, ORDER),
    ("INSERT", "i1", {"id": "a", "order_id": 1}, ITEM),
    ("INSERT", "r1", {"item_id": "a", "why": "torn"}, RETURN),
    ("UPDATE", "i1", {"id": "a", "order_id": 2}, ITEM),
    ("DELETE", "r1", RETURN),
    ("INSERT", "r2", {"item_id": "a", "why": "late"}, RETURN),
    ("DELETE", "o2", ORDER),
    ("INSERT", "o2", {"id": 2}, ORDER),
    ("DELETE", "i1", ITEM),
]


def test_a_child_moves_with_its_own_children_and_goes_with_its_parent(engine: str):
    log = al.from_arrow(make_log(STEPS)).on(engine)

    def then(second: int) -> dict[str, Any]:
        shown = log.aggregate("orders.orders", items=ITEMS, at=START + timedelta(seconds=second))
        return {
            order: {item: list(below["returns"]) for item, below in each["items"].items()}
            for order, each in tree(shown.to_dicts(), ITEMS).items()
        }

    assert then(0) == {"o1": {}}
    assert then(3) == {"o1": {"i1": ["r1"]}, "o2": {}}
    assert then(4) == {"o1": {}, "o2": {"i1": ["r1"]}}
    assert then(5) == {"o1": {}, "o2": {"i1": []}}
    assert then(6) == {"o1": {}, "o2": {"i1": ["r2"]}}
    assert then(7) == {"o1": {}}
    assert log.of("orders.order_items").as_of(START + timedelta(seconds=7))["entity_id"].to_list() == [
        "i1"
    ]  # an orphan
    assert then(8) == {"o1": {}, "o2": {"i1": ["r2"]}}
    assert then(9) == {"o1": {}, "o2": {}}


def test_columns_are_those_of_as_of_at_every_level_also_where_there_is_no_child(engine: str):
    log = al.from_arrow(make_log(STEPS)).on(engine)
    shown = log.aggregate("orders.orders", items=ITEMS, at=START)
    full = log.aggregate("orders.orders", items=ITEMS, at=START + timedelta(seconds=4))
    assert shown.schema == full.schema
    (item,) = full["items"][1].to_list()
    assert item == {
        "entity_id": "i1", "certain": True, "id": "a", "order_id": 2,
        "returns": [{"entity_id": "r1", "certain": True, "item_id": "a", "why": "torn"}],
    }  # fmt: skip
    one = log.aggregate("orders.orders", items=ITEMS, at=START + timedelta(seconds=4), entity="o2")
    assert one.equals(full[1:])


def test_a_child_whose_change_may_not_have_been_seen_is_not_certain_at_any_level(engine: str):
    log = al.from_arrow(make_log(STEPS)).on(engine).with_marks((), visible_within=2.5)
    with pytest.warns(UncertainTime, match=r"absent from this answer may have been there: 1 of orders.returns"):
        shown = log.aggregate("orders.orders", items=ITEMS, at=START + timedelta(seconds=6))
    (item,) = shown["items"][1].to_list()
    assert (shown["certain"].to_list(), item["certain"]) == ([True, True], False)
    assert [each["certain"] for each in item["returns"]] == [False]


def test_a_key_that_was_a_number_once_and_is_a_text_now_is_one_key(engine: str):
    uuid = "6F1C0000-0000-4000-8000-00000000000A"
    keys = [5, "6", Decimal("7.0"), uuid, "2024-06-01T12:00:00+02:00", 10**30, "x", Decimal("1E+2")]
    refer = ["5", 6, 7, uuid.lower(), "2024-06-01 10:00:00+00", "1" + "0" * 30, None, 100, "07", "5.0"]
    steps = [("INSERT", f"p{place}", {"id": key}, {"entity_type": "p"}) for place, key in enumerate(keys)]
    steps += [("INSERT", f"c{place}", {"p": key}, {"entity_type": "c"}) for place, key in enumerate(refer)]
    shown = al.from_arrow(make_log(steps)).on(engine).aggregate("p", items=("c", "p"))
    found = {row["entity_id"]: [child["entity_id"] for child in row["c"]] for row in shown.to_dicts()}
    assert found == {
        "p0": ["c0"], "p1": ["c1"], "p2": ["c2"], "p3": ["c3"], "p4": ["c4"], "p5": ["c5"], "p6": [], "p7": ["c7"],
    }  # fmt: skip


def test_keys_of_several_fields(engine: str):
    parent, child = {"entity_type": "p"}, {"entity_type": "c"}
    steps = [
        ("INSERT", "p1", {"tenant": "a", "no": 1}, parent),
        ("INSERT", "p2", {"tenant": "a,1", "no": 1}, parent),
        ("INSERT", "p3", {"tenant": None, "no": 1}, parent),
        ("INSERT", "c1", {"tenant": "a", "no": "1"}, child),
        ("INSERT", "c2", {"tenant": "a,1", "no": 1}, child),
        ("INSERT", "c3", {"tenant": None, "no": 1}, child),
    ]
    log = al.from_arrow(make_log(steps)).on(engine)
    want = {"p1": ["c1"], "p2": ["c2"], "p3": []}
    for options in ({}, {"key": ("tenant", "no")}):
        shown = log.aggregate("p", items=("c", ("tenant", "no")), **options)
        assert {row["entity_id"]: [each["entity_id"] for each in row["c"]] for row in shown.to_dicts()} == want
    with pytest.raises(
        BadOption, match=r"c refers to p by 'tenant', 'no': say by key= which 2 fields .* got \('no',\)"
    ):
        log.aggregate("p", items=("c", ("tenant", "no")), key="no")


def test_without_an_id_children_refer_to_the_entity_or_to_the_key_behind_it(engine: str):
    parent, child = {"entity_type": "p"}, {"entity_type": "c"}
    steps = [("INSERT", str(al.entity_uuid("p", 7)), {"no": 7}, parent), ("INSERT", "8", {"no": 8}, parent)]
    steps += [("INSERT", f"c{place}", {"p": key}, child) for place, key in enumerate((7, 8, 9, "7"))]
    shown = al.from_arrow(make_log(steps)).on(engine).aggregate("p", items=("c", "p"))
    found = {row["no"]: [each["entity_id"] for each in row["c"]] for row in shown.to_dicts()}
    assert found == {7: ["c0", "c3"], 8: ["c1"]}


def test_children_of_a_level_may_refer_to_another_field_than_id(engine: str):
    steps = [
        ("INSERT", "p1", {"id": 1}, {"entity_type": "p"}),
        ("INSERT", "c1", {"id": 5, "p": 1, "code": "x"}, {"entity_type": "c"}),
        ("INSERT", "d1", {"c": "x"}, {"entity_type": "d"}),
    ]
    log = al.from_arrow(make_log(steps)).on(engine)
    (row,) = log.aggregate("p", items={"cs": ("c", "p", {"ds": ("d", "c")}, "code")}).to_dicts()
    assert [each["entity_id"] for each in row["cs"][0]["ds"]] == ["d1"]
    (row,) = log.aggregate("p", items=("c", "p", ("d", "c"), "code")).to_dicts()
    assert [each["entity_id"] for each in row["c"][0]["d"]] == ["d1"]


def test_a_type_may_be_its_own_parent_and_names_never_collide(engine: str):
    steps = [("INSERT", str(key), {"id": key, "up": up, "items": "mine"}) for key, up in ((1, None), (2, 1), (3, 2))]
    log = al.from_arrow(make_log(steps)).on(engine)
    shown = log.aggregate("t", items={"items": ("t", "up", {"items": ("t", "up")})}, entity=1)
    (row,) = shown.to_dicts()
    assert (row["items"], row["items.items"][0]["items"]) == ("mine", "mine")
    assert row["items.items"][0]["items.items"][0]["entity_id"] == "3"


def test_what_cannot_be_asked_is_said(engine: str):
    log = al.from_arrow(make_log(STEPS)).on(engine)
    for items in (
        "orders.order_items",
        ("orders.order_items",),
        ("a", "b", {}, "c", "d"),
        {"x": "orders.returns"},
        (1, 2),
    ):
        with pytest.raises(BadOption, match="items= takes|a key is the name"):
            log.aggregate("orders.orders", items=items)
    with pytest.raises(UnknownEntityType, match="no entity type 'orders.gone'"):
        log.aggregate("orders.orders", items=("orders.order_items", "order_id", ("orders.gone", "x")))
    with pytest.raises(UnknownField, match="orders.returns never had a field 'x'. It has 'item_id', 'why'"):
        log.aggregate("orders.orders", items=("orders.order_items", "order_id", ("orders.returns", "x")))
    with pytest.raises(NoData):
        log.aggregate("orders.orders", items=ITEMS, at=datetime(2023, 1, 1, tzinfo=UTC))


def test_both_engines_agree_with_the_oracle_over_histories():
    keys = {"shop.tags": ("tenant", "no")}
    checked: Counter[str] = Counter()
    lines, tags = ({name: KINDS[name]} for name in ("lines", "tags"))

    @generated(400, few=FEW)
    @given(st.integers(0, 2**32))
    def agree(seed: int) -> None:
        frame = family(Random(seed))  # noqa: S311 - no secret
        types = set(frame["entity_type"])
        if not {"shop.orders", "shop.lines", "shop.tags", "shop.returns", "shop.notes"} <= types:
            return
        oracle = Oracle(frame.to_dicts())
        for log in (al.from_arrow(frame).on(engine) for engine in ENGINES):
            fields = {name: set(log.of(name).fields()["field"]) for name in types}
            if "line_id" not in fields["shop.returns"] & fields["shop.notes"]:
                return
            for moment in (None, *frame["changed_at"].unique().sort()[::5]):
                states = oracle.as_of(moment)
                shown = log.aggregate("shop.orders", items=lines, at=moment)
                assert tree(shown.to_dicts(), lines) == nested(states, "shop.orders", lines, keys=keys)
                tagged = log.aggregate("shop.orders", items=tags, at=moment, key=keys["shop.tags"])
                assert tree(tagged.to_dicts(), tags) == nested(states, "shop.orders", tags, keys=keys)
                weights = {
                    row["entity_id"]: row["weight"] for row in shown["lines"].list.explode().drop_nulls().to_list()
                }
                checked.update({"lines": len(weights), "tags": tagged["tags"].list.len().sum()})
                assert weights == {line: states["shop.lines", line]["weight"].decoded for line in weights}

    agree()
    assert min(checked["lines"], checked["tags"]) > FEW

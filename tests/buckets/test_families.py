"""Aggregates of a log in buckets: parents and children meet from whichever buckets they are in, as in memory."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from dealt import dealt_out
from same_answers import assert_same
from soak import SOAK

import auditlab as al
from auditlab.errors import LogTooLarge, UncertainTime
from auditlab.testing import make_log
from auditlab.testing.families import KINDS, family

if TYPE_CHECKING:
    from same_answers import Verbs

pytestmark = pytest.mark.filterwarnings("error")


@pytest.mark.parametrize("seed", range(40 if SOAK else 1))
@pytest.mark.parametrize("engine", ["polars", "duckdb"])
def test_generated_families_meet_as_in_memory(seed: int, engine: str):
    frame = family(Random(seed))  # noqa: S311 - no secret
    log = al.from_arrow(frame).on(engine)
    lines, tags = ({name: KINDS[name]} for name in ("lines", "tags"))
    one = frame.filter(entity_type="shop.orders")["entity_id"][0]
    verbs: Verbs = {}
    for at in (None, *frame["changed_at"].unique().sort()[::25]):
        verbs |= {
            f"lines at {at}": lambda log, at=at: log.aggregate("shop.orders", items=lines, at=at),
            f"both at {at}": lambda log, at=at: log.aggregate(
                "shop.orders", items=lines | tags, at=at, key=("tenant", "no")
            ),
            f"tags at {at}": lambda log, at=at: log.aggregate("shop.orders", items=tags, at=at, key=("tenant", "no")),
            f"one at {at}": lambda log, at=at: log.aggregate("shop.orders", items=lines, at=at, entity=one),
        }
    assert_same(log, dealt_out(log, 5), verbs)


def kept(steps: list[tuple[Any, ...]], verbs: Verbs) -> None:
    """The same of a log of its own in memory and in buckets, on both engines."""
    for engine in ("polars", "duckdb"):
        log = al.from_arrow(make_log(steps)).on(engine)
        assert_same(log, dealt_out(log, 4), verbs)


def test_a_warning_counts_types_in_one_order_whichever_bucket_tells_first():
    parent, child = ({"entity_type": name} for name in ("p", "c"))
    steps: list[tuple[Any, ...]] = []
    for no in range(6):
        steps += [("INSERT", f"p{no}", {"id": no}, parent), ("INSERT", f"c{no}", {"p": no}, child)]
    steps += [("DELETE", f"p{no}", parent) for no in range(6)] + [("DELETE", f"c{no}", child) for no in range(5)]

    def doubted(log: al.ChangeLog[Any]) -> Any:  # noqa: ANN401 - a frame, or one that is lazy
        asked = log.with_marks([], visible_within=600)
        return asked.aggregate("p", items=("c", "p"), at=log.facts.coverage.end)

    kept(steps, {"aggregate": doubted})
    with pytest.warns(UncertainTime, match="may have been there: 5 of c, 6 of p"):
        doubted(al.from_arrow(make_log(steps)))


def test_many_parents_that_are_met_by_another_key_come_by_their_entity_id():
    parent, child = ({"entity_type": name} for name in ("p", "c"))
    steps: list[tuple[Any, ...]] = []
    for no in range(120):
        steps += [("INSERT", f"p{no * 7919 % 1000}", {"no": no}, parent), ("INSERT", f"c{no}", {"p": no}, child)]
    kept(steps, {"aggregate": lambda log: log.aggregate("p", items=("c", "p"), key="no")})


def test_children_that_refer_to_the_entity_id_or_to_the_key_behind_it_meet_their_parent():
    parent, child, more = ({"entity_type": name} for name in ("p", "c", "d"))
    steps: list[tuple[Any, ...]] = []
    for no in range(30):
        steps += [("INSERT", str(al.entity_uuid("p", no)) if no % 2 else str(no), {"no": no}, parent)]
        steps += [("INSERT", f"c{no}", {"p": no, "id": f"x{no}"}, child), ("INSERT", f"d{no}", {"c": f"x{no}"}, more)]
    steps += [
        ("UPDATE", "c3", {"p": 4, "id": "x3"}, child),
        ("DELETE", "4", parent),
        ("INSERT", "4", {"no": 4}, parent),
    ]
    kept(
        [*steps, ("INSERT", "lost", {"p": 99, "id": None}, child), ("INSERT", "none", {"p": None, "id": "y"}, child)],
        {
            "now": lambda log: log.aggregate("p", items=("c", "p", {"ds": ("d", "c")})),
            "then": lambda log: log.aggregate("p", items=("c", "p"), at="2024-01-01T00:00:40Z"),
            "one": lambda log: log.aggregate("p", items=("c", "p"), entity="4"),
            "several kinds": lambda log: log.aggregate("p", items={"cs": ("c", "p"), "ds": ("d", "c")}, key="no"),
        },
    )


def test_a_type_may_be_its_own_parent_and_names_never_collide_in_buckets():
    steps = [("INSERT", str(key), {"id": key, "up": key // 3 or None, "items": "mine"}) for key in range(1, 40)]
    kept(
        steps,
        {
            "three levels": lambda log: log.aggregate("t", items={"items": ("t", "up", {"items": ("t", "up")})}),
            "one": lambda log: log.aggregate("t", items={"items": ("t", "up")}, entity=1),
            "none": lambda log: log.aggregate("t", items={"items": ("t", "up")}, entity="39"),
        },
    )


def test_what_cannot_be_asked_is_said_of_buckets_as_in_memory():
    steps = [("INSERT", f"e{n}", {"n": n, "nul\x00": 1}) for n in range(12)]
    kept(
        steps,
        {
            "no such type": lambda log: log.aggregate("t", items=("gone", "n")),
            "no such field": lambda log: log.aggregate("t", items=("t", "gone")),
            "no such key": lambda log: log.aggregate("t", items=("t", ("n", "m"))),
            "no items": lambda log: log.aggregate("t", items="t"),
            "no entity": lambda log: log.aggregate("t", items=("t", "n"), entity="nobody"),
            "picked": lambda log: log.where(operation="UPDATE").aggregate("t", items=("t", "n")),
            "before": lambda log: log.aggregate("t", items=("t", "n"), at="2023-01-01"),
        },
    )
    with pytest.raises(LogTooLarge, match="whose names hold NUL needs all 12 changes"):
        dealt_out(al.from_arrow(make_log(steps)), 3).aggregate("t", items=("t", "n"))

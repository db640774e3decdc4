"""Missing images are completed in buckets as they are in memory: what all changes decide, each bucket knows."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from dealt import ENOUGH, asked_of, dealt_out
from hypothesis import given
from same_answers import assert_same, of_changes, some_of
from soak import generated

import auditlab as al
from auditlab.testing import histories, make_log

if TYPE_CHECKING:
    import polars as pl

pytestmark = pytest.mark.filterwarnings("error")


@pytest.mark.parametrize("missing", ["before", "after", "images", "all", "some"])
@pytest.mark.parametrize("more", [{}, {"rekeyed": True, "unavailable": True}], ids=["plain", "with keys that change"])
def test_images_that_are_missing_are_completed_in_buckets_as_in_memory(missing: str, more: dict[str, bool]):
    turns = count(len(missing) + len(more))

    @generated(40, few=1)
    @given(histories(missing=missing, max_steps=24, **more).filter(lambda frame: len(frame) >= ENOUGH))
    def run(frame: pl.DataFrame) -> None:
        frame = of_changes(frame)
        turn = next(turns)
        whole = al.from_arrow(frame).on(("polars", "duckdb")[turn % 2])
        assert_same(whole, dealt_out(whole, 3), some_of(asked_of(whole), turn, one_in=10))

    run()


STEPS: dict[str, list[tuple[Any, ...]]] = {
    "the first hundred lists are pairs": [
        *(("UPDATE", f"a{n}", None, {"changed_fields": {"n": [1, 2]}}) for n in range(100)),
        ("UPDATE", "late", None, {"changed_fields": {"n": 3}}),
    ],
    "one of the first hundred lists is a value": [
        *(("UPDATE", f"a{n}", None, {"changed_fields": {"n": [1, 2]}}) for n in range(99)),
        ("UPDATE", "late", None, {"changed_fields": {"n": 3}}),
    ],
    "a field is first told by a list that comes to nothing": [
        ("UPDATE", "a0", None, {"changed_fields": {"late": 1, "n": 1}}),
        *(("INSERT", f"b{n}", {"n": n, "early": n}) for n in range(30)),
        *(("UPDATE", f"b{n}", None, {"changed_fields": {"late": n}}) for n in range(0, 30, 7)),
    ],
}


@pytest.mark.parametrize("place", range(len(STEPS)), ids=list(STEPS))
def test_what_lists_of_changed_fields_say_is_told_by_the_whole_log(place: int):
    log = al.from_arrow(make_log(list(STEPS.values())[place]))
    verbs = {
        "history": lambda log: log.history(),
        "diffs": lambda log: log.diffs(),
        "as of": lambda log: log.as_of(),
    }
    assert_same(log, dealt_out(log, 6), verbs)

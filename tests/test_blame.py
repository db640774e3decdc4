"""Blame by its rules: who set a value, never who merely carried it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import auditlab as al
from auditlab.errors import NoData, UnknownEntity
from auditlab.temporal.blame import BLAME
from auditlab.testing import make_log
from auditlab.testing.logs import START

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.filterwarnings("ignore::auditlab.errors.IncompletePopulation")


@pytest.fixture(params=["polars", "duckdb"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def told(engine: str, steps: Sequence[Sequence[Any]], *columns: str, field: str = "x") -> list[tuple[Any, ...]]:
    """The columns of the latest blame, by entity, of one field."""
    rows = al.from_arrow(make_log(steps)).on(engine).blame().filter(pl.col("field") == field)
    return rows.select(*columns).rows()


def test_every_column_of_a_field_that_an_update_set(engine: str):
    steps = [
        ("INSERT", "a", {"x": 1, "y": 1}, {"changed_by": "ann", "transaction_id": 70}),
        ("UPDATE", "a", {"x": 1.50, "y": 1}, {"changed_by": "bob", "transaction_id": 71}),
    ]
    frame = make_log(steps)
    ann, bob = frame["changed_at"]
    want = [
        ("t", "a", "x", "1.5", "bob", bob, 2, 71, "UPDATE", "1", True, 1, "observed", 2, True),
        ("t", "a", "y", "1", "ann", ann, 1, 70, "INSERT", None, False, 1, "observed", 1, True),
    ]
    assert_frame_equal(al.from_arrow(frame).on(engine).blame(), pl.DataFrame(want, schema=BLAME, orient="row"))


def test_the_same_value_in_other_words_is_nobodys_work_and_shown_as_recorded(engine: str):
    steps = [("INSERT", "a", '{"x": 1.5}'), ("UPDATE", "a", '{"x": 1.50}'), ("UPDATE", "a", '{"x": 1.500}')]
    assert told(engine, steps, "value", "id", "operation", "old") == [("1.500", 1, "INSERT", None)]


def test_a_new_life_blames_its_insert(engine: str):
    steps = [("INSERT", "a", {"x": 1}), ("DELETE", "a"), ("INSERT", "a", {"x": 1}), ("TRUNCATE",)]
    again = [*steps, ("INSERT", "a", {"x": 1})]
    assert told(engine, steps, "id") == []
    assert told(engine, steps[:3], "id", "life", "old_present") == [(3, 2, False)]
    assert told(engine, again, "id", "life", "old_present") == [(5, 3, False)]


def test_set_to_null_is_set_and_a_removed_field_is_not_there(engine: str):
    steps = [("INSERT", "a", {"x": 1, "y": 1}), ("UPDATE", "a", {"x": None})]
    assert told(engine, steps, "value", "id", "old") == [(None, 2, "1")]
    assert told(engine, steps, "value", field="y") == []
    added = [*steps, ("UPDATE", "a", {"x": None, "y": None})]
    assert told(engine, added, "value", "id", "old", "old_present", field="y") == [(None, 3, None, False)]


def test_a_value_from_before_the_log_is_of_unknown_origin(engine: str):
    steps = [("UPDATE", "a", {"x": 1, "y": 2}, {"before_snapshot": {"x": 1, "y": 1}})]
    unknown = (None, None, None, None, None, None, None, "unknown", 1)
    columns = ("set_by", "set_at", "id", "transaction_id", "operation", "old", "old_present", "origin", "seen_in")
    assert told(engine, steps, *columns) == [unknown]
    assert told(engine, steps, "id", "old", "origin", field="y") == [(1, "1", "observed")]


def test_an_unlogged_change_is_never_blamed_on_the_change_that_carried_it(engine: str):
    steps = [
        ("INSERT", "a", {"x": 1, "y": 1}),
        ("UPDATE", "a", {"x": 9, "y": 2}, {"before_snapshot": {"x": 9, "y": 1}, "changed_by": "ann"}),
    ]
    columns = ("value", "id", "set_by", "old", "old_present", "origin", "seen_in")
    assert told(engine, steps, *columns) == [("9", None, None, "1", True, "unlogged", 2)]
    assert told(engine, steps, *columns, field="y") == [("2", 2, "ann", "1", True, "observed", 2)]


def test_a_change_that_sets_back_what_an_unlogged_one_did_is_blamed(engine: str):
    steps = [("INSERT", "a", {"x": 1}), ("UPDATE", "a", {"x": 1}, {"before_snapshot": {"x": 2}})]
    assert told(engine, steps, "value", "id", "old", "origin") == [("1", 2, "2", "observed")]


def test_an_unlogged_insert_after_a_delete_is_unlogged(engine: str):
    steps = [
        ("INSERT", "a", {"x": 1}),
        ("DELETE", "a"),
        ("UPDATE", "a", {"x": 1, "y": 2}, {"before_snapshot": {"x": 1}}),
    ]
    assert told(engine, steps, "id", "old", "old_present", "origin", "life") == [(None, None, False, "unlogged", 2)]


def test_a_snapshot_is_nobodys_change(engine: str):
    same = [("INSERT", "a", {"x": 1}), ("SNAPSHOT", "a", {"x": 1})]
    other = [("INSERT", "a", {"x": 1}), ("SNAPSHOT", "a", {"x": 2})]
    columns = ("value", "id", "old", "origin", "seen_in")
    assert told(engine, same, *columns) == [("1", 1, None, "observed", 1)]
    assert told(engine, other, *columns) == [("2", None, "1", "unlogged", 2)]
    assert told(engine, other[1:], *columns) == [("2", None, None, "unknown", 1)]
    assert told(engine, [("TRUNCATE",), *other[1:]], *columns) == [("2", None, None, "unlogged", 2)]


def test_a_before_image_that_is_missing_is_the_state_before_or_not_known(engine: str):
    first = [("UPDATE", "a", {"x": 1, "y": 1})]
    after = [("INSERT", "a", {"x": 1, "y": 1}), ("UPDATE", "a", {"x": 2, "y": 1}, {"before_snapshot": None})]
    assert told(engine, first, "id", "old_present", "origin") == [(None, None, "unknown")]
    assert told(engine, after, "id", "old", "origin") == [(2, "1", "derived")]
    assert told(engine, after, "id", "origin", field="y") == [(1, "observed")]


def test_of_ties_the_last_in_the_logs_order_counts(engine: str):
    at = {"changed_at": START}
    steps = [("INSERT", "a", {"x": 1}, at), ("UPDATE", "a", {"x": 2}, at), ("UPDATE", "a", {"x": 3}, at)]
    log = al.from_arrow(make_log(steps)).on(engine)
    assert_frame_equal(log.blame(at=START), log.blame())
    assert log.blame()["id"].to_list() == [3]


def test_an_ambiguous_order_is_not_certain(engine: str):
    one = {"transaction_id": 7}
    steps = [
        ("INSERT", "a", {"x": 1}),
        ("UPDATE", "a", {"x": 2}, {**one, "before_snapshot": {"x": 8}}),
        ("UPDATE", "a", {"x": 3}, {**one, "before_snapshot": {"x": 9}}),
    ]
    assert told(engine, steps, "id", "certain") == [(3, False)]


def test_one_entity_whole_types_and_the_coverage(engine: str):
    other = {"entity_type": "u"}
    steps = [("INSERT", "a", {"x": 1}), ("INSERT", "b", {"x": 1}), ("INSERT", "a", {"x": 1}, other)]
    log = al.from_arrow(make_log(steps)).on(engine)
    assert log.blame().select("entity_type", "entity_id").rows() == [("t", "a"), ("t", "b"), ("u", "a")]
    assert_frame_equal(log.of("t").blame("b"), log.blame()[1:2])
    assert_frame_equal(log.of("t").entity("b").blame(), log.blame()[1:2])
    with pytest.raises(NoData, match="the log covers"):
        log.blame(at="2023-01-01")


def test_the_query_can_be_shown():
    assert "field_origins" in al.from_arrow(make_log([])).sql("blame")


def test_a_time_in_the_place_of_an_entity_says_how_a_time_is_given():
    log = al.from_arrow(make_log([("INSERT", "a", {"x": 1})]))
    with pytest.raises(UnknownEntity, match=r"no entity datetime.* A time is given by its name: at=\."):
        log.blame(log.facts.coverage.end)
    with pytest.raises(UnknownEntity, match=r"no entity '2024-01-01'.* A time is given by its name: at=\."):
        log.blame("2024-01-01")

"""Selectors: what narrows a log, and what is said of values that no change has."""

from __future__ import annotations

import re
import warnings
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING
from uuid import UUID

import pandas as pd
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from small_shop import STATE_VERBS, rows

import auditlab as al
from auditlab.buckets.bucketed import Bucketed, Rows
from auditlab.errors import (
    BadOption,
    BadTime,
    IncompleteInterval,
    IncompleteLog,
    NoData,
    UnknownChange,
    UnknownEntity,
    UnknownEntityType,
    UnknownValue,
)
from auditlab.recorded import Recorded
from auditlab.schema import Coverage, LogFacts
from auditlab.selection import Selected
from auditlab.testing import make_log
from auditlab.testing.logs import START

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(params=["polars", "duckdb"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def log(engine: str) -> al.ChangeLog[pl.DataFrame]:
    return al.from_arrow(rows(), source="a test").on(engine)


def test_of_and_entity_keep_whole_histories(log):
    assert log.of("orders").as_of()["id"].to_list() == ["o1", "o2"]
    assert log.entity("o1").history()["total"].to_list() == [Decimal("1.10"), Decimal("2.50")]
    assert log.history("o1").height == 2
    assert log.of("orders", "items").entity_types == ("items", "orders")


@pytest.mark.parametrize("key", [7, "7", 7.0, Decimal("7.00"), {"id": 7}, {"id": "7"}, {"number": Decimal(7)}], ids=str)
@pytest.mark.parametrize("recorded", ["7", str(al.entity_uuid("t", 7))])
def test_a_key_names_its_entity_whether_the_log_records_it_or_its_uuid(key, recorded, engine: str):
    log = al.from_arrow(make_log([("INSERT", recorded, {"x": 1}), ("INSERT", "8", {"x": 2})])).on(engine)
    assert log.entity(key).history()["x"].to_list() == [1]
    spine = pl.DataFrame({"entity_id": [key], "at": [START]})
    assert log.pit_join(spine)["x"].to_list() == [1]


@pytest.mark.parametrize("finer", ["2024-01-01T00:00:00.0000009", "2024-01-01 00:00:00.000000001Z", "ns"])
def test_a_bound_finer_than_microseconds_has_what_is_recorded_on_its_side(log, finer: str):
    bound = pd.Timestamp("2024-01-01T00:00:00.0000005", tz="UTC") if finer == "ns" else finer
    assert log.between("2024-01-01", bound).changes()["changed_at"].to_list() == [START]
    assert START not in log.between(bound, "2024-01-02").changes()["changed_at"].to_list()
    assert len(log.between(bound, "2024-01-02").changes()) == len(log.changes()) - 1
    assert_frame_equal(log.of("orders").as_of(bound), log.of("orders").as_of(START))
    exact = log.between("2024-01-01T00:00:00.0000000", "2024-01-01T00:00:00.000001000")
    assert exact.changes()["changed_at"].to_list() == [START]


def test_an_unknown_type_or_entity_names_what_there_is(log):
    with pytest.raises(UnknownEntityType, match="no entity type 'order' in this log. It has 'items', 'orders'"):
        log.of("order")
    with pytest.raises(UnknownEntity, match="no entity 'o9' among 'orders'"):
        log.entity("o9", "orders")
    with pytest.raises(UnknownChange, match="no transaction 99 in this log. It has 3 to 7"):
        log.as_of(transaction=99)


def test_an_entity_id_of_several_types_must_say_which():
    both = make_log([("INSERT", "1", {"x": 1}, {"entity_type": name}) for name in ("a", "b")])
    with pytest.raises(BadOption, match="in several types: 'a', 'b'"):
        al.from_arrow(both).entity("1")
    assert al.from_arrow(both).entity(1, "b").entity_types == ("b",)


@pytest.mark.parametrize(
    ("pick", "ids"),
    [
        (lambda log: log.by("ann"), [1, 2]),
        (lambda log: log.by(None), [4, 5, 6, 7]),
        (lambda log: log.transaction(7), [1, 2, 7]),
        (lambda log: log.correlation("c"), [3]),
        (lambda log: log.between(START + timedelta(seconds=1), START + timedelta(seconds=3)), [2, 3]),
        (lambda log: log.where(pl.col("id") > 4, operation="UPDATE"), [6]),
        (lambda log: log.where(operation="DELETE").by("ann"), []),
    ],
)
def test_picks_select_changes_whose_diffs_were_computed_before(log, pick, ids):
    picked = pick(log)
    assert picked.changes()["id"].to_list() == ids
    assert len(picked) == len(ids)
    whole = log.diffs()
    assert picked.diffs().equals(whole.filter(pl.col("id").is_in(ids)))
    assert set(picked.timeline()["id"]) == set(ids)
    assert picked.summary().totals["changes"].to_list() == [len(ids)]


def _in_buckets(rows: pl.DataFrame, facts: LogFacts) -> Bucketed:
    def batches(entity_types: tuple[str, ...]) -> Iterator[tuple[pl.DataFrame, bool]]:
        yield rows.filter(pl.col("entity_type").is_in(entity_types)), False

    return Bucketed(Rows(batches, len(rows), 10**6), facts, entity_types=("items", "orders"), room=10**6)


RECORDED = {
    "in memory": Recorded,
    "read at the first question": lambda rows, facts: Recorded(rows.lazy(), facts, entity_types=("items", "orders")),
    "in buckets": _in_buckets,
}
HOUR = timedelta(hours=1)


@pytest.mark.parametrize("form", RECORDED)
def test_an_interval_wholly_outside_the_coverage_is_an_error_and_one_partly_outside_is_answered(form: str):
    facts = LogFacts(coverage=Coverage(START, START + timedelta(seconds=6)))
    log = al.ChangeLog(Selected(RECORDED[form](rows(), facts), ("items", "orders")), lazy=True)
    asked = [(START - HOUR, START), (START - 2 * HOUR, START - HOUR), (START + HOUR, START + 2 * HOUR)]
    for start, end in asked:
        words = f"the log covers {START} to .*; asked for changes from {start} up to {end}"
        for pick in (log, log.by("ann"), log.of("orders")):
            with pytest.raises(NoData, match=re.escape(words).replace(r"\.\*", ".*")):
                pick.between(start, end)
    for start, end, found in ((START - HOUR, START + HOUR, 7), (START + timedelta(seconds=6), START + HOUR, 1)):
        assert len(log.between(start, end)) == found  # a warning would be an error
    for at in (START - HOUR, START + HOUR):
        assert len(log.between(at, at)) == 0


@pytest.mark.parametrize("form", RECORDED)
def test_changes_outside_of_what_is_known_whole_are_told_all_the_same(form: str):
    facts = LogFacts(coverage=Coverage(START + timedelta(seconds=3), START + timedelta(seconds=4)))
    log = al.ChangeLog(Selected(RECORDED[form](rows(), facts), ("items", "orders")), lazy=True)
    assert len(log.between(START, START + timedelta(seconds=2))) == 2
    assert len(log.between(START + timedelta(seconds=5), START + HOUR)) == 2
    with pytest.raises(NoData):
        log.of("orders").between(START - HOUR, START)


@pytest.mark.parametrize("why", ["1 partition was dropped from it", ""])
def test_an_interval_that_begins_before_a_log_that_had_earlier_changes_warns(why: str):
    cut = START + timedelta(seconds=2)
    facts = LogFacts(coverage=Coverage(START + timedelta(seconds=4), START + timedelta(seconds=6), why=why, cut=cut))
    log = al.ChangeLog(Selected(Recorded(rows().tail(5), facts), ("items", "orders")))
    told = f"the log has all changes only from {cut} on. {why or 'It was loaded from then on'}."
    with pytest.warns(IncompleteInterval, match=re.escape(told)):
        picked = log.between(START, START + HOUR)
    assert picked.diffs().equals(log.diffs())
    assert len(log.between(cut, START + HOUR)) == 5  # a warning would be an error
    assert len(log.between(cut, START + timedelta(seconds=3))) == 1
    with pytest.raises(NoData, match=re.escape(why) if why else "load it with coverage="):
        log.between(START, cut)


def test_a_log_without_any_change_has_none_in_any_interval():
    assert al.from_arrow(rows().clear()).between(START, START + HOUR).diffs().is_empty()


@pytest.mark.parametrize("verb", STATE_VERBS)
def test_state_verbs_refuse_a_pick_and_say_why(log, verb):
    with pytest.raises(IncompleteLog, match=rf"{verb}\(\) needs whole histories.*by ann"):
        STATE_VERBS[verb](log.by("ann"))


@pytest.mark.parametrize(
    "ask",
    [
        lambda log: log.transaction("x"),
        lambda log: log.as_of(id="x"),
        lambda log: log.as_of(id=1.5),
        lambda log: log.as_of(id=True),
        lambda log: log.as_of(transaction="x"),
        lambda log: log.where(id="x"),
        lambda log: log.where(operation=5),
        lambda log: log.where("id"),
        lambda log: log.where(nothing=1),
        lambda log: log.where(pl.col("nothing") == 1),
    ],
)
def test_a_value_of_another_type_is_a_clear_error(log, ask):
    with pytest.raises(BadOption, match=r"whole number|takes|has no column"):
        ask(log)


def test_times_in_where_are_read_like_all_times(log):
    assert log.where(changed_at="2024-01-01T00:00:02").changes()["id"].to_list() == [3]
    with pytest.raises(BadTime):
        log.where(changed_at="2024-13-01")


@pytest.fixture(params=["polars", "duckdb"])
def named(request: pytest.FixtureRequest) -> al.ChangeLog[pl.DataFrame]:
    steps = [
        ("INSERT", "a", {"x": 1}, {"changed_by": "ann", "transaction_id": 7, "correlation_id": "c1"}),
        ("DELETE", "a", {"changed_by": "bob", "transaction_id": 9}),
    ]
    return al.from_arrow(make_log(steps)).on(request.param)


@pytest.mark.parametrize(
    ("pick", "told"),
    [
        (lambda log: log.by("amn"), "no change of t has changed_by 'amn'. There is 'ann' and more."),
        (lambda log: log.by("nobody"), "no change of t has changed_by 'nobody'. There is 'ann', 'bob'."),
        (lambda log: log.transaction(8), "no change of t has transaction_id 8. There are 7 to 9."),
        (lambda log: log.correlation("c2"), "no change of t has correlation_id 'c2'. There is 'c1'."),
        (lambda log: log.where(entity_id="b"), "no change of t has entity_id 'b'. There is 'a'."),
    ],
)
def test_a_value_that_no_change_has_is_said_beside_the_empty_answer(named, pick, told: str):
    picked = pick(named)
    for ask in (picked.changes, picked.diffs, picked.timeline, lambda: picked.summary().recent):
        with pytest.warns(UnknownValue) as caught:
            assert ask().is_empty()
        assert str(caught[0].message) == told


@pytest.mark.parametrize("engine", ["polars", "duckdb"])
def test_a_value_is_also_missed_where_no_change_has_any(engine: str):
    log = al.from_arrow(make_log([("INSERT", "a", {"x": 1}, {"transaction_id": None, "changed_by": None})])).on(engine)
    for picked, told in [
        (log.by("ann"), "no change of t has changed_by 'ann'. None has any."),
        (log.transaction(5), "no change of t has transaction_id 5. None has any."),
        (log.where(correlation_id="c"), "no change of t has correlation_id 'c'. None has any."),
    ]:
        with pytest.warns(UnknownValue, match=f"^{re.escape(told)}$"):
            assert picked.diffs().is_empty()


def test_nothing_is_said_where_the_value_is_there_or_none_was_asked_for(named):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert named.by("ann").where(operation="DELETE").changes().is_empty()
        assert named.by(None).diffs().is_empty()
        assert named.where(pl.col("id") > 9).changes().is_empty()
        assert named.by("bob").diffs().height == 1


def test_a_user_and_a_correlation_are_one_value_however_it_is_given(engine: str):
    told = make_log([("INSERT", "a", {"x": 1}), ("INSERT", "b", {"x": 2})])
    one = UUID(int=7)
    told = told.with_columns(changed_by=pl.Series([str(one), "8"]), correlation_id=pl.Series(["5", str(one)]))
    log = al.from_arrow(told).on(engine)
    assert [log.by(user).changes()["entity_id"].to_list() for user in (one, str(one), 8)] == [["a"], ["a"], ["b"]]
    assert [log.correlation(number).changes()["entity_id"].to_list() for number in (5, one)] == [["a"], ["b"]]
    for pick in (log.by, log.correlation):
        with pytest.raises(BadOption, match=r"takes one text, number or uuid, got \['8'\]\. Several: log\.where"):
            pick(["8"])

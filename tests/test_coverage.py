"""Coverage: what a log refuses because it cannot tell, and how it reads times."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from small_shop import STATE_VERBS, rows

import auditlab as al
from auditlab.errors import (
    BadTime,
    IncompleteLog,
    IncompletePopulation,
    NoData,
    UndeterminedState,
)
from auditlab.recorded import Recorded
from auditlab.schema import Coverage, LogFacts
from auditlab.selection import Selected
from auditlab.testing import make_log
from auditlab.testing.logs import START


@pytest.fixture(params=["polars", "duckdb"])
def log(request: pytest.FixtureRequest) -> al.ChangeLog[pl.DataFrame]:
    return al.from_arrow(rows(), source="a test").on(request.param)


@pytest.mark.parametrize("verb", STATE_VERBS)
def test_state_verbs_refuse_a_log_of_changes_only_and_say_why(verb):
    facts = LogFacts(coverage=Coverage(START, START, complete=False, why="loaded with user='ann'"))
    log = al.ChangeLog(Selected(Recorded(rows(), facts), ("items", "orders")))
    with pytest.raises(IncompleteLog, match=r"changes only: loaded with user='ann'"):
        STATE_VERBS[verb](log)
    assert log.diffs().height > 0


@pytest.mark.parametrize("moment", [START - timedelta(microseconds=1), START + timedelta(days=1)])
def test_a_time_outside_the_coverage_is_an_error_and_not_a_plausible_answer(log, moment):
    for ask in (log.as_of, log.replay, lambda at: log.compare(START, at) if at > START else log.compare(at, START)):
        with pytest.raises(NoData, match="the log covers 2024-01-01 00:00:00"):
            ask(moment)
    with pytest.raises(NoData, match="changes 1 to 7"):
        log.as_of(id=8)


def test_a_baseline_makes_states_whole_and_counts_in_no_activity():
    early, late = rows().head(2), rows().tail(5)
    facts = LogFacts(coverage=Coverage(START + timedelta(seconds=2), START + timedelta(seconds=9)))
    log = al.ChangeLog(Selected(Recorded(late, facts, baseline=early), ("items", "orders")))
    assert log.of("orders").as_of(START + timedelta(seconds=2))["total"].to_list() == [Decimal("2.50")]
    assert log.entity("i1").as_of(START + timedelta(seconds=5)).height == 1
    assert log.changes()["id"].to_list() == [3, 4, 5, 6, 7]
    assert set(log.diffs()["id"]) == {3, 4, 5, 6, 7}
    assert log.summary().totals["changes"].to_list() == [5]
    with pytest.raises(NoData):
        log.as_of(START)


def test_changes_before_a_baseline_are_not_known_whole_and_the_baseline_is_no_missing_population():
    rows = make_log(
        [("INSERT", "a", {"x": 1}), ("INSERT", "b", {"x": 1}), *(("UPDATE", "b", {"x": n}) for n in (2, 3, 4))]
    )
    coverage = Coverage(START + timedelta(seconds=3), START + timedelta(seconds=9))
    facts = LogFacts(coverage=coverage, filters=("changes from then on",))
    baseline = rows.filter(pl.col("id").is_in([1, 3]))
    log = al.ChangeLog(Selected(Recorded(rows.tail(2), facts, baseline=baseline), ("t",)))
    assert log.as_of()["x"].to_list() == [1, 4]  # a warning would be an error
    assert log.as_of(id=3)["x"].to_list() == [1, 2]
    assert log.as_of(transaction=4)["x"].to_list() == [1, 3]
    for early in ({"id": 1}, {"id": 2}, {"transaction": 1}, {"transaction": 3}):
        with pytest.raises(NoData, match="t since change 3"):
            log.as_of(**early)


def test_naive_times_are_read_in_the_logs_zone():
    log = al.from_arrow(rows(), zone="Europe/Berlin", coverage=("2023-12-31", "2024-01-02"))
    assert "Europe/Berlin" in repr(log)
    assert log.of("orders").as_of("2024-01-01T00:59:59").is_empty()
    assert log.of("orders").as_of("2024-01-01T01:00:00").height == 1
    assert log.of("orders").as_of(date(2024, 1, 1)).is_empty()
    assert log.of("orders").as_of(datetime(2024, 1, 1, tzinfo=UTC)).height == 1


@pytest.mark.parametrize(
    "moment", ["yesterday", "2024-03-31T02:30:00", "2024-10-27T02:30:00", 5, "0001-01-01T00:00+14:00"]
)
def test_a_time_that_cannot_be_read_or_is_ambiguous_is_an_error(moment):
    with pytest.raises(BadTime):
        al.from_arrow(rows(), zone="Europe/Berlin").as_of(moment)


def test_an_answer_about_a_type_that_had_rows_before_its_log_says_so():
    rows = make_log([("INSERT", "a", {"x": 1}), ("UPDATE", "e", {"x": 2}, {"before_snapshot": {"x": 3}})])
    log = al.from_arrow(rows)
    for ask in (log.as_of, log.replay, lambda: log.aggregate("t", items=("t", "x"))):
        with pytest.warns(IncompletePopulation, match=r"rows of t \(1 of them were changed later\) were there before"):
            ask()
    assert log.entity("e").as_of()["x"].to_list() == [2]
    assert "incomplete: rows of t" in repr(log)


def test_a_type_tracked_without_a_baseline_says_so_from_the_start():
    facts = LogFacts(coverage=Coverage(START, START + timedelta(days=1)), partial=("t",))
    log = al.ChangeLog(Selected(Recorded(make_log([("INSERT", "a", {"x": 1})]), facts), ("t",)))
    with pytest.warns(IncompletePopulation):
        log.as_of()


def test_before_its_baseline_a_type_is_not_known_and_other_types_are():
    steps = [("INSERT", "a", {"x": 1}), ("SNAPSHOT", "b", {"x": 1}, {"entity_type": "later"}), ("DELETE", "a")]
    log = al.from_arrow(make_log(steps))
    assert log.of("t").as_of(START).height == 1
    assert log.of("later").as_of(START + timedelta(seconds=1)).height == 1
    for early in (log, log.of("later"), log.entity("b")):
        with pytest.raises(NoData, match="later since 2024-01-01 00:00:01"):
            early.as_of(START)


def test_a_change_before_a_types_baseline_is_no_empty_answer():
    later = {"entity_type": "later", "transaction_id": 9}
    steps = [("INSERT", "a", {"x": 1}), ("SNAPSHOT", "b", {"x": 1}, later), ("SNAPSHOT", "c", {"x": 1}, later)]
    frame = make_log([*steps, ("DELETE", "a")]).with_columns(
        changed_at=pl.when(pl.col("entity_type") == "later")
        .then(pl.lit(START + timedelta(seconds=1)))
        .otherwise("changed_at")
    )
    log = al.from_arrow(frame)
    assert log.of("t").as_of(id=1).height == 1
    assert log.of("later").as_of(id=3).height == log.of("later").as_of(transaction=9).height == 2
    for asked in ({"id": 1}, {"id": 2}, {"transaction": 1}):
        with pytest.raises(NoData, match="later since change 3"):
            log.of("later").as_of(**asked)


def test_a_log_of_some_types_answers_as_of_any_change_and_one_that_was_cut_does_not():
    facts = LogFacts(coverage=Coverage(START, START), filters=("entity types orders",))
    log = al.ChangeLog(Selected(Recorded(rows().filter(entity_type="orders"), facts), ("orders",)))
    assert log.as_of(id=7).height == 2
    cut = LogFacts(coverage=Coverage(START, START), filters=("changes before 2024-01-01T00:00:03+00:00",))
    with pytest.raises(NoData, match="changes 1 to 3"):
        al.ChangeLog(Selected(Recorded(rows().head(3), cut), ("items", "orders"))).as_of(id=5)


@pytest.mark.parametrize("engine", ["polars", "duckdb"])
def test_after_a_prune_a_change_or_transaction_before_what_is_known_whole_is_refused_as_a_time_is(engine: str):
    """Rows recorded shortly after what was dropped are there, and what others did meanwhile may not be."""
    begun = START + timedelta(seconds=2)
    facts = LogFacts(coverage=Coverage(begun, START + timedelta(days=1), why="2 partitions were dropped from it"))
    log = al.ChangeLog(Selected(Recorded(rows(), facts), ("items", "orders"))).on(engine)
    for moment in ({"at": begun - timedelta(seconds=1)}, {"id": 2}, {"id": 1}):
        with pytest.raises(NoData, match="2 partitions were dropped from it"):
            log.as_of(**moment)
    with pytest.raises(NoData, match="states from 2024-01-01 00:00:02.* on; asked for the state as of change 2, up to"):
        log.as_of(id=2)
    assert log.of("orders").as_of(id=3)["total"].to_list() == [Decimal("2.50")]
    assert log.of("orders").as_of(begun)["total"].to_list() == [Decimal("2.50")]
    early = al.ChangeLog(Selected(Recorded(rows().head(2), facts), ("items", "orders"))).on(engine)
    with pytest.raises(NoData, match="asked for the state as of transaction 7"):
        early.as_of(transaction=7)


@pytest.mark.parametrize("engine", ["polars", "duckdb"])
def test_as_of_a_change_has_what_was_there_before_the_log_and_is_first_changed_later(engine):
    steps = [
        ("INSERT", "a", {"x": 1}),
        ("UPDATE", "b", {"x": 3}, {"before_snapshot": {"x": 2}}),
        ("DELETE", "c", {"before_snapshot": {"x": 4}}),
        ("INSERT", "d", {"x": 5}),
        ("UPDATE", "b", {"x": 6}, {"before_snapshot": {"x": 3}}),
        ("TRUNCATE",),
        ("UPDATE", "e", {"x": 8}, {"before_snapshot": {"x": 7}}),
    ]
    log = al.from_arrow(make_log(steps)).on(engine)
    states = [[1, 2, 4], [1, 3, 4], [1, 3], [1, 3, 5], [1, 6, 5], [], [8]]
    said = pytest.warns(IncompletePopulation, match="Those that no change touched since are not in it, and not in this")
    for number, state in enumerate(states, start=1):
        with said:
            shown = log.as_of(id=number)
        assert shown["x"].to_list() == state
        with said:
            assert_frame_equal(log.as_of(transaction=number), shown)
        with said:
            assert_frame_equal(log.as_of(mark=al.Mark(log.facts.coverage.end, f"{number + 1}:{number + 1}:")), shown)
    with said:
        assert log.as_of(START)["x"].to_list() == states[0]
    assert [log.entity("b").as_of(id=number)["x"].to_list() for number in (1, 2, 5, 6)] == [[2], [3], [6], []]


@pytest.mark.parametrize("engine", ["polars", "duckdb"])
def test_as_of_any_moment_says_how_many_entities_no_image_tells(engine):
    steps = [("INSERT", "a", {"x": 1}), ("UPDATE", "b", {"x": 3}), ("SNAPSHOT", "c", {"x": 4})]
    log = al.from_arrow(make_log(steps)).on(engine)
    for number, untold in ((1, 2), (2, 1)):
        mark = al.Mark(log.facts.coverage.end, f"{number + 1}:{number + 1}:")
        moments = {"id": number}, {"transaction": number}, {"mark": mark}, {"at": START + timedelta(seconds=number - 1)}
        for moment in moments:
            some_untold = pytest.warns(UndeterminedState, match=f"entities there: {untold} of t")
            with pytest.warns(IncompletePopulation), some_untold:
                assert log.as_of(**moment)["x"].to_list() == [1, 3][:number]


@pytest.mark.parametrize("engine", ["polars", "duckdb"])
def test_as_of_a_mark_has_what_is_first_changed_later_though_it_missed_a_truncate(engine):
    """As no server makes it: the rows after a TRUNCATE are seen, and the TRUNCATE is not."""
    steps = [("UPDATE", "a", {"x": 2}, {"before_snapshot": {"x": 1}}), ("TRUNCATE",), ("INSERT", "b", {"x": 3})]
    log = al.from_arrow(make_log(steps)).on(engine)
    mark = al.Mark(log.facts.coverage.end, "1:4:1,2")
    with pytest.warns(IncompletePopulation):
        assert log.as_of(mark=mark)["x"].to_list() == [1, 3]
    with pytest.warns(IncompletePopulation):
        assert log.blame(mark=mark).select("entity_id", "origin").rows() == [("a", "unknown"), ("b", "observed")]

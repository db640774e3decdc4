"""As of a mark and as of a time, against simulated interleavings that know what a reader saw; and what is refused."""

from __future__ import annotations

import warnings
from collections import Counter
from datetime import datetime, timedelta
from itertools import takewhile
from random import Random
from typing import TYPE_CHECKING

import polars as pl
import pytest
from hypothesis import given
from oracle_frames import assert_blame
from polars.testing import assert_frame_equal
from soak import SOAK, generated

import auditlab as al
from auditlab.errors import BadMark, BadOption, BadTime, IncompleteLog, NoData, UncertainTime, UndeterminedState
from auditlab.testing import Oracle, assert_states, histories, make_log
from auditlab.testing.equality import differences
from auditlab.testing.schedules import START, schedule
from auditlab.visibility import seen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from auditlab.testing.schedules import Schedule

ENGINES = ("polars", "duckdb")
SEEDS = range(1000 if SOAK else 12)
TICK = timedelta(microseconds=1)


def log_of(happened: Schedule, rows: pl.DataFrame | None = None) -> al.ChangeLog:
    rows = happened.log if rows is None else rows
    return al.from_arrow(rows.sample(fraction=1, shuffle=True, seed=1), coverage=(START, happened.end))


def states(frame: pl.DataFrame) -> dict[str, int]:
    return dict(frame.select("entity_id", "n").iter_rows()) if "n" in frame.columns else {}


def judged(log: al.ChangeLog, happened: Schedule, moment: datetime) -> Counter[str]:
    """How many entities are right, right and flagged, wrong and flagged, wrong and not flagged at a moment."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UncertainTime)
        told = log.as_of(moment)
    doubted = log.doubtful(moment)
    answer, truth = states(told), happened.at(moment)
    flagged = set(told.filter(~pl.col("certain"))["entity_id"]) | set(doubted.filter(~pl.col("present"))["entity_id"])
    assert set(doubted.filter("present")["entity_id"]) <= flagged
    count: Counter[str] = Counter()
    for key in answer.keys() | truth.keys():
        right = answer.get(key) == truth.get(key)
        count[f"{'right' if right else 'wrong'}{', flagged' if key in flagged else ''}"] += 1
    return count


def moments(happened: Schedule, seed: int) -> list[datetime]:
    """Some times: at random, and around those where something became visible or was marked."""
    edges = [*happened.moments, *(mark.at for mark in happened.marks), *(mark.since for mark in happened.marks)]
    edges += happened.log["changed_at"].unique().to_list()
    near = [edge + step * TICK for edge in edges for step in (-1, 0, 1)]
    span = (happened.end - START) // TICK
    random = Random(seed)  # noqa: S311 - times, not a secret
    every = [moment for moment in near if START <= moment <= happened.end]
    return random.sample(every, min(12, len(every))) + [START + random.randrange(span) * TICK for _ in range(4)]


@pytest.mark.parametrize("engine", ENGINES)
def test_as_of_a_mark_is_exactly_what_was_seen(engine: str):
    checks = 0
    for seed in SEEDS if engine == "polars" else SEEDS[:4]:
        happened = schedule(seed)
        log = log_of(happened).on(engine).with_marks(happened.marks)
        begun = happened.log["changed_at"].min()
        for mark, truth in zip(happened.marks, happened.seen, strict=True):
            if begun is not None and mark.at >= begun:
                assert states(log.as_of(mark=mark)) == truth, (seed, mark)
                assert_frame_equal(log.as_of(mark=mark, fields=[]), log.as_of(mark=mark)["entity_id", "certain"])
                checks += len(truth)
    assert checks > 100


@pytest.mark.parametrize("clock", ["changed_at", "committed_at"])
def test_as_of_a_time_is_never_wrong_without_saying_so(clock: str):
    """With all marks, with every fourth, with none; as long as no transaction lasted longer than was said."""
    totals: dict[str, Counter[str]] = {}
    for seed in SEEDS:
        happened = schedule(seed)
        rows = happened.log if clock == "changed_at" else happened.committed()
        within = (happened.longest if clock == "changed_at" else happened.slowest) + TICK
        plain = log_of(happened, rows)
        assert plain.facts.clock == clock
        for name, marks in (("all", happened.marks), ("few", happened.marks[::4]), ("none", ())):
            log = plain.with_marks(marks, visible_within=within.total_seconds())
            for moment in moments(happened, seed):
                count = judged(log, happened, moment)
                assert not count["wrong"], (seed, name, moment)
                totals.setdefault(name, Counter()).update(count)
        for moment in moments(happened, seed):
            totals.setdefault("taken as the truth", Counter()).update(judged(plain, happened, moment))
    assert totals["taken as the truth"]["wrong"] > 0, "the schedules must put the plain cut in the wrong"
    flagged = {name: count["right, flagged"] + count["wrong, flagged"] for name, count in totals.items()}
    assert flagged["all"] < flagged["few"] < flagged["none"]
    assert totals["all"]["wrong, flagged"] < totals["taken as the truth"]["wrong"]


def snapshots(ids: list[int], random: Random) -> Iterator[tuple[str, set[int]]]:
    """Some snapshots of these transactions, whatever rows they wrote: the text, and those that it sees."""
    for _ in range(3):
        xmax = random.choice(ids) + random.randrange(2)
        running = sorted(one for one in set(ids) if one < xmax and not random.randrange(3))
        text = f"{running[0] if running else xmax}:{xmax}:{','.join(map(str, running))}"
        yield text, {one for one in ids if one < xmax and one not in running}


def answers_any_set(frame: pl.DataFrame) -> None:
    """What is no prefix of an entity's changes, as no server makes it, too: those entities are ordered anew."""
    log, oracle = al.from_arrow(frame), Oracle(frame.to_dicts())
    end = log.facts.coverage.end
    ids = frame["transaction_id"].to_list()
    if end is None or not all(one is not None and one > 0 for one in ids):
        if end is not None:
            with pytest.raises(IncompleteLog, match="have none"):
                log.as_of(mark=al.Mark(end, "1:1:"))
        return
    for text, visible in snapshots(ids, Random(len(ids))):  # noqa: S311 - sets, not a secret
        mark, states_, blamed = al.Mark(end, text), oracle.seen(visible), oracle.blame_seen(visible)
        for name in log.entity_types:
            own = {entity: state for (entity_type, entity), state in states_.items() if entity_type == name}
            for engine in ENGINES:
                if begins_unseen(oracle, name, visible):
                    with pytest.raises(NoData, match="a baseline"):
                        log.of(name).on(engine).as_of(mark=mark)
                    continue
                assert_states(log.of(name).on(engine).as_of(mark=mark), own)
                shown = log.of(name).on(engine).blame(mark=mark)
                assert_blame(shown, oracle, [each for each in blamed if each.entity_type == name])
                last = al.Mark(end, f"{max(ids) + 1}:{max(ids) + 1}:")
                net = log.of(name).on(engine).compare(marks=(mark, last)).sort("entity_id", "field")
                assert net.select("entity_id", "field", "kind").rows() == changed(oracle, name, visible)


@pytest.mark.filterwarnings("ignore::auditlab.errors.IncompletePopulation")
@pytest.mark.filterwarnings("ignore::auditlab.errors.UndeterminedState")
@pytest.mark.filterwarnings("ignore::auditlab.errors.UnlinkedKeys")
@pytest.mark.parametrize("kind", [{}, {"rekeyed": True, "unavailable": True}], ids=["plain", "with keys that change"])
def test_any_set_of_transactions_is_answered_as_the_oracle_does(kind: dict[str, bool]):
    generated(1000, few=20)(given(histories(**kind))(answers_any_set))()


def changed(oracle: Oracle, entity_type: str, visible: set[int]) -> list[tuple[str, str, str]]:
    """What differs between what some transactions left and the end: entity id, field and kind."""
    then, now = oracle.seen(visible), oracle.as_of()
    seen_of = {row["entity_id"] for row in oracle.rows if row["transaction_id"] in visible}
    emptied = {row["entity_type"] for row in oracle.rows if row["entity_id"] is None}
    found = []
    for entity in sorted({entity for entity in (*then, *now) if entity[0] == entity_type}):
        first = oracle.presences(*entity)[0][1]
        if entity[1] not in seen_of and entity_type not in emptied and first == "not recorded":
            continue  # it may have been there
        told = differences(then.get(entity, {}), now.get(entity, {}))
        found += [(entity[1], name, kind) for name, kind, _, _ in told]
    return found


def begins_unseen(oracle: Oracle, entity_type: str, visible: set[int]) -> bool:
    """Whether a type begins with SNAPSHOTs that were read together, and not all of them are seen."""
    own = [row for row in oracle.rows if row["entity_type"] == entity_type]
    first = ("SNAPSHOT", own[0]["transaction_id"], own[0]["changed_at"])
    read = takewhile(lambda row: (row["operation"], row["transaction_id"], row["changed_at"]) == first, own)
    return any(row["transaction_id"] not in visible for row in read)


def test_two_marks_are_compared_exactly_and_not_with_times():
    log = al.from_arrow(make_log([("INSERT", "a", {"x": 1}), ("UPDATE", "a", {"x": 2}), ("DELETE", "a")]))
    end = log.facts.coverage.end
    assert end is not None
    one, two, three = (al.Mark(end, text) for text in ("2:2:", "3:3:", "4:4:"))
    for engine in ENGINES:
        net = log.on(engine).compare(marks=(one, two))
        assert net.select("field", "kind", "old", "new").rows() == [("x", "modified", "1", "2")]
        assert log.on(engine).compare(marks=(two, three))["kind"].to_list() == ["removed"]
        assert log.on(engine).compare(marks=(two, two)).is_empty()
    with pytest.raises(BadOption, match="second mark did not see transaction 2, which"):
        log.compare(marks=(two, one))
    both = (one, two)
    for wrong in (
        {"marks": (one,)},
        {"marks": 5},
        {"marks": (one, None)},
        {"marks": both, "steps": True},
        {"start": end, "end": end, "marks": both},
    ):
        with pytest.raises(BadOption, match="takes two marks"):
            log.compare(**wrong)
    with pytest.raises(BadOption, match="takes two times, or marks"):
        log.compare(end)
    for ask in (log.blame, log.replay):
        with pytest.raises(BadTime, match="As of a mark answer as_of"):
            ask(at=one)
    with pytest.raises(BadOption, match="takes one of at, mark and snapshot"):
        log.blame(at=end, mark=one)


def test_as_of_a_mark_says_which_states_are_not_known():
    none = {"before_snapshot": None}
    steps = [("INSERT", "a", None), ("UPDATE", "a", None, {"before_snapshot": {"x": 1}}), ("INSERT", "b", None, none)]
    log = al.from_arrow(make_log(steps))
    end = log.facts.coverage.end
    assert end is not None
    assert log.as_of(mark=al.Mark(end, "2:2:"))["x"].to_list() == [1]
    for engine in ENGINES:
        with pytest.warns(UndeterminedState, match="1 of t"):
            assert log.on(engine).as_of(mark=al.Mark(end, "3:3:")).is_empty()
        with pytest.warns(UndeterminedState, match="2 of t"):
            net = log.on(engine).compare(marks=(al.Mark(end, "2:2:"), al.Mark(end, "4:4:")))
        assert net.is_empty(), "that the row is gone is not told"


def test_one_entity_as_of_a_mark_and_a_torn_order():
    steps = [("INSERT", "a", {"x": 1}), ("UPDATE", "a", {"x": 2}), ("UPDATE", "a", {"x": 3}), ("INSERT", "b", {"x": 9})]
    log = al.from_arrow(make_log(steps))
    end = log.facts.coverage.end
    assert end is not None
    for engine in ENGINES:
        one = log.on(engine).entity("a")
        for text, x in (("2:2:", [1]), ("2:4:2,3", [1]), ("3:3:", [2]), ("2:5:2", [3]), ("1:2:1", [])):
            assert one.as_of(mark=al.Mark(end, text))["x"].to_list() == x, text
    assert log.as_of(mark=al.Mark(end, "2:5:2"))["x"].to_list() == [3, 9]


def test_a_snapshot_without_its_time_needs_to_know_what_the_log_has():
    log = al.from_arrow(make_log([("INSERT", "a", {"x": 1}), ("UPDATE", "a", {"x": 2})]))
    with pytest.raises(IncompleteLog, match="Give a Mark"):
        log.as_of(snapshot="2:2:")
    with pytest.raises(NoData, match="asked for the mark"):
        log.as_of(mark=al.Mark(START + timedelta(days=1), "2:2:"))
    with pytest.raises(NoData, match="asked for the mark"):
        log.as_of(mark=al.Mark(START - TICK, "2:2:"))
    with pytest.raises(BadMark, match="aware datetime"):
        al.Mark(datetime(2024, 1, 1), "2:2:")  # noqa: DTZ001 - that is the fault


def test_between_which_moments_marks_place_a_transaction_also_where_their_clocks_disagree():
    """Two marks taken side by side: what one sees more than the other tells which was first, not their clocks."""

    def second(number: int) -> datetime:
        return START + timedelta(seconds=number)

    first = al.Mark(at=second(5), began=second(1), snapshot="4:6:4")
    then = al.Mark(at=second(4), began=second(2), snapshot="5:8:5")
    last = al.Mark(at=second(9), snapshot="5:9:5")
    told = seen(pl.Series([2, 4, 5, 6, 8, 10]), (last, then, first))
    assert told.rows() == [
        (2, None, second(4)),  # all see it: the earliest of their times
        (4, second(1), second(4)),
        (5, second(9), None),  # at work all the while
        (6, second(1), second(4)),
        (8, second(2), second(9)),
        (10, second(9), None),
    ]

"""As of a mark and as of a time, against simulated interleavings that know what a reader saw; and what is refused."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING

import polars as pl
import pytest

import auditlab as al
from auditlab.errors import UncertainTime
from auditlab.testing.schedules import START, schedule

if TYPE_CHECKING:
    from datetime import datetime

    from auditlab.testing.schedules import Schedule

ENGINES = ("polars", "duckdb")
SEEDS = range(1000 if os.environ.get("AUDITLAB_HYPOTHESIS") == "nightly" else 12)
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
        for mark, seen in zip(happened.marks, happened.seen, strict=True):
            if begun is not None and mark.at >= begun:
                assert states(log.as_of(mark=mark)) == seen, (seed, mark)
                checks += len(seen)
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

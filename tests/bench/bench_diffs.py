"""Diffs of a table of 100,000 rows and 200 transactions: ours, a loop over the changes in Python, and deepdiff.

Run it alone: ``pytest -m bench -s tests/bench/bench_diffs.py``. ``AUDITLAB_BENCH_ROWS`` sets the number of changes.
"""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from deepdiff import DeepDiff
from figures import faster, parts_of, record
from made_log import made_log
from stopwatch import timed

import auditlab as al
from auditlab import documents, order
from auditlab.field_changes import field_changes
from auditlab.temporal.views import View

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS = int(os.environ.get("AUDITLAB_BENCH_ROWS", "500000")) // 5
SAMPLE = 3_000
"""UPDATEs that deepdiff compares: all of them would take it minutes."""
ROUNDS = 3
LOOP, DEEP = "a loop in Python", f"deepdiff, of {SAMPLE:,} UPDATEs"
FIRST, SPLIT, AGAIN = "first question", "first question, documents split before", "further questions"
PARTS = {
    "the documents split": [documents.split],
    "the log's order": [order.sequence],
    "what each change did": [field_changes],
    "shown part by part": [View.of],
}


def by_hand(frame: pl.DataFrame) -> list[tuple[Any, ...]]:
    """What each change did, field by field: id, field, kind, old, new."""
    told: list[tuple[Any, ...]] = []
    for row in frame.iter_rows(named=True):
        before = json.loads(row["before_snapshot"]) if row["before_snapshot"] else {}
        after = json.loads(row["after_snapshot"]) if row["after_snapshot"] else {}
        for name, value in after.items():
            if name not in before:
                told.append((row["id"], name, "added", None, value))
            elif before[name] != value:
                told.append((row["id"], name, "modified", before[name], value))
        told += [(row["id"], name, "removed", value, None) for name, value in before.items() if name not in after]
    return told


def as_told(found: pl.DataFrame) -> list[tuple[Any, ...]]:
    """Ours with values as Python has them."""
    texts = {"customer", "status", "currency", "created_at", "channel", "note"}

    def value(field: str, text: str | None) -> object:
        return text if text is None or field in texts else json.loads(text)

    columns = zip(*(found[name] for name in ("id", "field", "kind", "old", "new")), strict=True)
    return [(number, field, kind, value(field, old), value(field, new)) for number, field, kind, old, new in columns]


def by_deepdiff(pairs: list[tuple[str, str]]) -> list[DeepDiff]:
    return [DeepDiff(json.loads(before), json.loads(after)) for before, after in pairs]


def sample(frame: pl.DataFrame) -> pl.DataFrame:
    """Some UPDATEs, in the log's order."""
    return frame.filter(operation="UPDATE").sample(SAMPLE, seed=7).sort("id")


def pairs(frame: pl.DataFrame) -> list[tuple[str, str]]:
    return frame.select("before_snapshot", "after_snapshot").rows()


def asked(frame: pl.DataFrame, *, paths: bool, split: bool) -> Callable[[], pl.DataFrame]:
    """The question, to a log just loaded, or to one whose documents were split."""
    log = al.from_arrow(frame)
    if split:
        log.history()
    return lambda: log.diffs(paths=paths)


def ours(frame: pl.DataFrame, *, paths: bool) -> tuple[dict[str, float], pl.DataFrame]:
    """Seconds that the question takes, and the answer."""
    taken: dict[str, float] = {}
    for _ in range(ROUNDS):
        found, cold = timed(asked(frame, paths=paths, split=False))
        question = asked(frame, paths=paths, split=True)
        _, warm = timed(question)
        _, again = timed(question)
        for name, seconds in ((FIRST, cold), (SPLIT, warm), (AGAIN, again)):
            taken[name] = min(taken.get(name, seconds), seconds)
    return taken, found


def parts(frame: pl.DataFrame, *, paths: bool) -> dict[str, dict[str, float]]:
    return {name: parts_of(asked(frame, paths=paths, split=name == SPLIT), PARTS) for name in (FIRST, SPLIT)}


def pointers(found: DeepDiff) -> list[str]:
    """Where two documents differ, as JSON Pointers."""
    return sorted(re.sub(r"\['?([^']+?)'?\]", r"/\1", path.removeprefix("root")) for path in found.affected_paths)


def each(taken: dict[str, float], changes: int) -> dict[str, float]:
    """Microseconds a change."""
    return {name: seconds / changes * 1e6 for name, seconds in taken.items()}


@pytest.mark.bench
def test_diffs_against_a_loop_and_deepdiff():
    frame = made_log(rows=ROWS, transactions=200, each=ROWS // 50)
    looped, hand = timed(lambda: by_hand(frame))
    taken, found = ours(frame, paths=False)
    assert as_told(found) == looped
    some = sample(frame)
    deep, seconds = timed(lambda: by_deepdiff(pairs(some)))
    own = (
        found.filter(pl.col("id").is_in(some["id"].implode()))
        .group_by("id", maintain_order=True)
        .agg(pl.col("field").sort())
    )
    assert own["field"].to_list() == [sorted(one.affected_root_keys) for one in deep]
    record(
        f"diffs, {len(found):,} changed fields, a change",
        ours=each(taken, len(frame)),
        rivals=each({LOOP: hand}, len(frame)) | each({DEEP: seconds}, SAMPLE),
        unit="us",
        goals=[faster(name, times, rival) for name in (FIRST, SPLIT) for rival, times in ((LOOP, 10), (DEEP, 100))],
        changes=len(frame),
        parts=parts(frame, paths=False),
    )


def with_addresses(frame: pl.DataFrame) -> pl.DataFrame:
    """The log with an object in each document, of which each update moves one text and one number of a list."""

    def nested(name: str) -> pl.Expr:
        total = pl.col(name).str.extract_groups(r'"total": ([0-9]+)\.([0-9])').struct
        address = pl.format(
            ', "address": {{"street": "Main Street {}", "zip": "12345", "lines": [1, 2, {}]}}}}',
            total.field("1"),
            total.field("2"),
        )
        return pl.concat_str(pl.col(name).str.strip_suffix("}"), address).alias(name)

    return frame.with_columns(map(nested, ("before_snapshot", "after_snapshot")))


@pytest.mark.bench
def test_diffs_by_path_against_deepdiff():
    frame = with_addresses(made_log(rows=ROWS, transactions=200, each=ROWS // 50))
    taken, found = ours(frame, paths=True)
    some = sample(frame)
    deep, seconds = timed(lambda: by_deepdiff(pairs(some)))
    paths = pl.concat_str(pl.lit("/"), "field", "path")
    own = (
        found.filter(pl.col("id").is_in(some["id"].implode()))
        .group_by("id", maintain_order=True)
        .agg(paths=paths.sort())
    )
    assert own["paths"].to_list() == list(map(pointers, deep))
    record(
        f"diffs by path, {len(found):,} changed parts, a change",
        ours=each(taken, len(frame)),
        rivals=each({DEEP: seconds}, SAMPLE),
        unit="us",
        goals=[faster(name, 100, DEEP) for name in (FIRST, SPLIT)],
        changes=len(frame),
        parts=parts(frame, paths=True),
    )

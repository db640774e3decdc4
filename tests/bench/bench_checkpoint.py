"""What a question takes from an archive's checkpoint, after 3, 12 and 24 months, and of one entity.

A table of constant size changes twice over each month; each month is a pull, and checkpoints are written when due. What
a live row takes, and what a change since takes beside it, is told apart on a larger table.
CPU seconds, of a log that was just opened (its files are proven by then). Run it alone:
``pytest -m bench -s tests/bench/bench_checkpoint.py``. ``AUDITLAB_BENCH_ROWS`` sets the size.
"""

from __future__ import annotations

import os
import statistics
import time
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import pytest
from figures import Goal, below, faster, parts_of, record
from made_log import TYPE, made_log
from polars.testing import assert_frame_equal

import auditlab as al
from auditlab import documents, order
from auditlab.archive import decode, plain
from auditlab.archive.manifest import read_chain
from auditlab.archive.shredded import shredded_in
from auditlab.archive.write import ArchiveWriter
from auditlab.buckets.types import Types
from auditlab.engines.duckdb import ParquetFiles
from auditlab.load.source import batches
from auditlab.temporal import asof

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    import polars as pl

    from auditlab.schema import LogFacts

T = TypeVar("T")

ROWS = int(os.environ.get("AUDITLAB_BENCH_ROWS", "1_000_000"))
MONTHS, EACH, LOOKS = 24, 50, 20
LIVE = max(EACH, ROWS // (2 * MONTHS + 1))
MEASURED = (3, 12, MONTHS)
MANY = max(4 * EACH, ROWS // (8 * EACH) * 4 * EACH)
TIMES = 3


def spent(work: Callable[[], T]) -> tuple[T, float]:
    """What it gives, and the CPU seconds that it took."""
    begin = time.process_time()
    done = work()
    return done, time.process_time() - begin


def add(folder: Path, rows: pl.DataFrame, facts: LogFacts) -> None:
    with ArchiveWriter(folder, chain=read_chain(folder) if folder.exists() else ()) as writer:
        for batch in batches(rows):
            writer.write(batch)
        writer.commit(facts)


def size(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.iterdir()) / 1e6


@pytest.mark.bench
def test_checkpoints(tmp_path: Path):
    folder = tmp_path / "archive"
    monthly = 2 * LIVE // EACH
    frame = made_log(rows=LIVE, transactions=monthly * MONTHS, each=EACH)
    facts = al.from_arrow(frame.head(10)).facts
    facts = replace(facts, coverage=replace(facts.coverage, end=frame["changed_at"].max()))
    month = (frame["transaction_id"] - frame["transaction_id"].min() - 1) // monthly  # type: ignore[operator]
    live: dict[str, float] = {}
    writing = 0.0
    for number in range(MONTHS):
        add(folder, frame.filter((month == number) | (number == 0) & (month < 0)), facts)
        if number + 1 in MEASURED:
            middle = frame.filter(month == number)["changed_at"].median()
            for name, at in ((f"month {number + 1}", None), (f"the middle of month {number + 1}", middle)):
                log = al.scan_archive(folder).of(TYPE)
                rows, seconds = spent(lambda log=log, at=at: log.as_of(at).collect())
                assert len(rows) == LIVE
                live[name] = seconds / LIVE * 1e6
        if number + 1 < MONTHS:
            writing += spent(lambda: al.checkpoint(folder, due=True))[1]
    log, whole = (al.scan_archive(folder).of(TYPE) for _ in range(2))
    whole.selected.recorded.shortcuts = None
    answer, seconds = spent(lambda: whole.as_of().collect())
    assert_frame_equal(log.as_of().collect(), answer)
    record(
        f"as of now and of before, {LIVE:,} live rows, per live row: from the last checkpoint",
        ours=live,
        rivals={"the whole log": seconds / LIVE * 1e6},
        unit="us",
        goals=[
            faster(f"month {MONTHS}", 3, "the whole log"),
            *(
                Goal(f"{of}month {MONTHS}", None, 1.0, "flat: at most 1.5x that of month 3", live[f"{of}month 3"] * 1.5)
                for of in ("", "the middle of ")
            ),
        ],
        changes=len(frame),
        parts={f"month {MONTHS}": parts_now(folder)},
    )
    record(
        "an archive with its checkpoints",
        ours={"log and checkpoints": size(folder / "data") + size(folder / "checkpoints")},
        rivals={"the log": size(folder / "data")},
        unit="MB",
        goals=[Goal("log and checkpoints", "the log", 0.5, "at most 2x the log")],
        changes=len(frame),
    )
    record("write all checkpoints that are due", ours={"CPU": writing}, rivals={}, changes=len(frame))
    keys = answer["entity_id"].sample(LOOKS, seed=7)
    log = al.scan_archive(folder).of(TYPE)
    _, first = spent(lambda: log.entity(keys[0]).history().collect())
    looks = []
    for key in keys[1:]:
        begin = time.perf_counter()
        found, seconds = spent(lambda key=key: log.entity(key).history().collect())
        looks.append((seconds * 1e3, (time.perf_counter() - begin) * 1e3))
        assert_frame_equal(found, whole.entity(key).history().collect())
    anew = al.scan_archive(folder).of(TYPE)
    anew.entity(keys[0]).history().collect()
    cpu, wall = (statistics.median(side) for side in zip(*looks, strict=True))
    record(
        "one entity's history, the archive opened: the first, which reads what came since; each further",
        ours={"first, CPU": first * 1e3, "further, CPU": cpu, "further": wall},
        rivals={"the whole log": spent(lambda: _again(folder, keys[0]))[1] * 1e3},
        unit="ms",
        goals=[below("further", 50, "ms")],
        changes=len(frame),
        parts={
            "further": parts_of(
                lambda: [anew.entity(key).history().collect() for key in keys[1:]],
                {
                    "files looked into": [ParquetFiles.having, ParquetFiles.rows],
                    "texts of its changes": [decode.recorded_rows],
                    "documents split": [documents.split],
                    "values typed": [Types.typed],
                    "order": [order.sequence],
                },
            )
        },
    )


def parts_now(folder: Path, at: datetime | None = None) -> dict[str, float]:
    """What the state of now, or of a time, is made of."""
    return parts_of(
        lambda: al.scan_archive(folder).of(TYPE).as_of(at).collect(),
        {
            "the columns of the live rows, and of the changes since, read": [shredded_in],
            "the changes put in their entities' order": [plain.steps_of],
            "each compared with the one before it": [plain.plainly],
            "the types of fields": [Types.take, Types.learn_field],
            "the answer put together, and in order": [asof.as_of],
            "the manifests": [read_chain],
        },
    )


@pytest.mark.bench
def test_live_rows_and_changes_since(tmp_path: Path):
    folder = tmp_path / "archive"
    frame = made_log(rows=MANY, transactions=5 * MANY // 4 // EACH, each=EACH)
    facts = al.from_arrow(frame.head(10)).facts
    facts = replace(facts, coverage=replace(facts.coverage, end=frame["changed_at"].max()))
    begun = 5 * MANY // 4
    bounds = {"nothing since": 0, "a change for every fourth since": MANY // 4, "as many changes since": MANY}
    taken: dict[str, float] = {}
    then: dict[str, float] = {}
    parts: dict[str, dict[str, float]] = {}
    add(folder, frame[:begun], facts)
    al.checkpoint(folder)
    come = 0
    for name, since in bounds.items():
        if since:
            add(folder, frame[begun + come : begun + since], facts)
        come = since
        each = [spent(lambda: al.scan_archive(folder).of(TYPE).as_of().collect()) for _ in range(TIMES)]
        assert {len(rows) for rows, _ in each} == {MANY}
        taken[name] = statistics.median(seconds for _, seconds in each)
        parts[name] = parts_now(folder)
        if since:
            middle = frame[begun : begun + since]["changed_at"].median()
            each = [spent(lambda at=middle: al.scan_archive(folder).of(TYPE).as_of(at).collect()) for _ in range(TIMES)]
            then[f"{name}, as of a time among them"] = statistics.median(seconds for _, seconds in each)
            parts[f"{name}, as of a time among them"] = parts_now(folder, middle)
    nothing, *_, most = taken.values()
    record(
        f"as of now and of before from a checkpoint, {MANY:,} live rows: a live row; a change since beside it",
        ours={name: seconds / MANY * 1e6 for name, seconds in (taken | then).items()}
        | {"a change since": (most - nothing) / MANY * 1e6},
        unit="us",
        goals=[below(name, 1, "us") for name in (*bounds, *then)],
        parts=parts,
    )


def _again(folder: Path, key: str) -> pl.DataFrame:
    """One entity's history by the whole log."""
    log = al.scan_archive(folder).of(TYPE)
    log.selected.recorded.shortcuts = None
    return log.entity(key).history().collect()

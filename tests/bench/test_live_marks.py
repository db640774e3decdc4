"""What ``bench_marks.py`` measures, as a test under writers at work: short, or in a soak in full."""

from __future__ import annotations

from typing import TYPE_CHECKING

from live_marks import judge, run
from soak import SOAK

if TYPE_CHECKING:
    from pathlib import Path


SIZE = {"copies": 520, "entities": 250, "mark_every": 0.5, "longest": 4.0}
"""What ``bench_marks.py`` takes: over 100,000 answers of each kind."""
SHORT = {"copies": 25, "entities": 40, "mark_every": 0.1, "longest": 0.5}


def test_marks_are_exact_and_times_say_what_they_leave_open(recorded_orders: tuple[str, str], tmp_path: Path):
    _, dsn = recorded_orders
    verdicts, _ = judge(run(dsn, **(SIZE if SOAK else SHORT), file=tmp_path / "marks.jsonl"))
    assert verdicts["as of a mark"].checks > (100_000 if SOAK else 500)
    assert verdicts["as of a mark"].wrong == 0
    for name in ("changed_at", "changed_at and marks", "committed_at", "committed_at and marks"):
        if name in verdicts:
            assert verdicts[name].unflagged == 0, (name, verdicts[name])
    if SOAK:
        for name in ("the published query", "changed_at, taken for the truth"):
            assert verdicts[name].wrong > 0, (name, "the run must put it in the wrong, or it shows nothing")

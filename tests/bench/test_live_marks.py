"""A short live run of what ``bench_marks.py`` measures: marks and flagged times hold under writers at work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from live_marks import judge, run

if TYPE_CHECKING:
    from pathlib import Path


def test_marks_are_exact_and_times_say_what_they_leave_open(recorded_orders: tuple[str, str], tmp_path: Path):
    _, dsn = recorded_orders
    live = run(dsn, copies=25, entities=40, mark_every=0.1, longest=0.5, file=tmp_path / "marks.jsonl")
    verdicts, _ = judge(live)
    assert verdicts["as of a mark"].checks > 500
    assert verdicts["as of a mark"].wrong == 0
    for name in ("changed_at", "changed_at and marks", "committed_at", "committed_at and marks"):
        if name in verdicts:
            assert verdicts[name].unflagged == 0, (name, verdicts[name])

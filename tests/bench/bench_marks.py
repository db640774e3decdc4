"""As of a mark, of a time, by the published query: every answer against copies taken while eight writers worked.

Run it alone: ``pytest -m bench -s tests/bench/bench_marks.py``. ``AUDITLAB_BENCH_COPIES`` sets how many copies.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from live_marks import judge, run

import auditlab as al

if TYPE_CHECKING:
    from pathlib import Path

COPIES = int(os.environ.get("AUDITLAB_BENCH_COPIES", "520"))
ENTITIES = 250


@pytest.mark.bench
def test_marks_and_times_under_writers(recorded_orders: tuple[str, str], tmp_path: Path):
    trigger, dsn = recorded_orders
    live = run(dsn, copies=COPIES, entities=ENTITIES, mark_every=0.5, longest=4.0, file=tmp_path / "marks.jsonl")
    verdicts, seconds = judge(live)
    changes = len(al.read_postgres(dsn, progress=False))
    print(f"\n{trigger} trigger: {changes:,} changes, {len(live.copies)} copies, {len(live.marks)} marks")
    print(f"an as-of of a mark took {seconds * 1000:.1f} ms")
    print(f"{'':36}{'checks':>9}{'wrong':>9}{'not flagged':>13}{'flagged in vain':>17}")
    for name, verdict in verdicts.items():
        shares = (verdict.wrong / verdict.checks, verdict.in_vain / verdict.checks)
        print(f"{name:36}{verdict.checks:>9,}{shares[0]:>9.3%}{verdict.unflagged:>13,}{shares[1]:>17.3%}")
    assert verdicts["as of a mark"].wrong == 0

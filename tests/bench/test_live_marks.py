"""A short live run of what ``bench_marks.py`` measures: marks and flagged times hold under writers at work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from live_marks import ORDERS, judge, run

import auditlab as al
from auditlab.connection import connect

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TABLE = "CREATE SCHEMA orders; CREATE TABLE orders.orders (id uuid PRIMARY KEY, total numeric(20, 2), status text)"


@pytest.mark.parametrize("trigger", ["ours", "published"])
def test_marks_are_exact_and_times_say_what_they_leave_open(
    trigger: str, make_database: Callable[..., str], request: pytest.FixtureRequest, tmp_path: Path
):
    template = request.getfixturevalue(f"{'captured' if trigger == 'ours' else 'published'}_template")
    dsn = make_database(template)
    if trigger == "ours":
        with connect(dsn, autocommit=True) as connection:
            connection.execute(TABLE)
        al.track(dsn, ORDERS)
    live = run(dsn, copies=25, entities=40, mark_every=0.1, longest=0.5, file=tmp_path / "marks.jsonl")
    verdicts, _ = judge(live)
    assert verdicts["as of a mark"].checks > 500
    assert verdicts["as of a mark"].wrong == 0
    for name in ("changed_at", "changed_at and marks", "committed_at", "committed_at and marks"):
        if name in verdicts:
            assert verdicts[name].unflagged == 0, (name, verdicts[name])

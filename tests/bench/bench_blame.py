"""Blame over a table of 100,000 rows and 200 transactions: ours, and a loop over the rows in Python.

Run it alone: ``pytest -m bench -s tests/bench/bench_blame.py``. ``AUDITLAB_BENCH_ROWS`` sets the table's rows.
"""

from __future__ import annotations

import json
import os
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from figures import faster, parts_of, record
from made_log import made_log
from stopwatch import timed

import auditlab as al
from auditlab import documents, order, origins

if TYPE_CHECKING:
    import polars as pl

ROWS = int(os.environ.get("AUDITLAB_BENCH_ROWS", "500000")) // 5
TRANSACTIONS = 200
GOAL = 10


def by_hand(frame: pl.DataFrame) -> dict[tuple[str, str], tuple[Any, ...]]:
    """Who last set each field, change by change: numbers exact, as in any careful loop."""
    blame: dict[str, dict[str, tuple[Any, ...]]] = {}
    for row in frame.iter_rows(named=True):
        if row["operation"] == "DELETE":
            blame.pop(row["entity_id"], None)
            continue
        before = json.loads(row["before_snapshot"], parse_float=Decimal) if row["before_snapshot"] else {}
        after = json.loads(row["after_snapshot"], parse_float=Decimal)
        fields = blame.setdefault(row["entity_id"], {})
        for name, value in after.items():
            if name not in before or before[name] != value:
                fields[name] = (
                    row["changed_by"],
                    row["changed_at"],
                    row["id"],
                    row["transaction_id"],
                    before.get(name),
                )
    return {(entity, name): setting for entity, fields in blame.items() for name, setting in fields.items()}


@pytest.mark.bench
def test_blame_against_a_loop_over_the_rows():
    frame = made_log(rows=ROWS, transactions=TRANSACTIONS, each=ROWS // 50)
    looped, hand = timed(lambda: by_hand(frame))
    log, load = timed(lambda: al.from_arrow(frame))
    found, cold = timed(log.blame)
    log.history()
    _, warm = min((timed(log.blame) for _ in range(3)), key=lambda one: one[1])
    _, past = timed(lambda: log.blame(at=frame["changed_at"][len(frame) // 2]))
    keys = zip(found["entity_id"], found["field"], strict=True)
    told = zip(*(found[name] for name in ("set_by", "set_at", "id", "transaction_id")), strict=True)
    assert dict(zip(keys, told, strict=True)) == {key: setting[:4] for key, setting in looped.items()}
    record(
        f"blame, {len(found):,} fields",
        ours={
            "load and first question": load + cold,
            "first question": cold,
            "further questions": warm,
            "a time in the past": past,
        },
        rivals={"a loop in Python": hand},
        goals=[faster(ours, GOAL, than="a loop in Python") for ours in ("further questions", "first question")],
        changes=len(frame),
        parts={
            "first question": parts_of(
                al.from_arrow(frame).blame,
                {
                    "the documents split": [documents.split],
                    "the log's order": [order.sequence],
                    "who set what": [origins.Origins.at],
                },
            )
        },
    )

"""As-of over a large log: ours, pandas by hand, and the published SQL made to answer for a whole table.

Run it alone: ``pytest -m bench -s tests/bench/bench_asof.py``. ``AUDITLAB_BENCH_ROWS`` sets the size.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pandas as pd
import polars as pl
import pytest
from big_log import ROWS, fill
from figures import below, faster, parts_of, record, within
from stopwatch import best_of, timed

import auditlab as al
from auditlab import documents, order
from auditlab.connection import connect
from auditlab.temporal import asof, doubt
from auditlab.temporal.undetermined import untold_at

if TYPE_CHECKING:
    from auditlab.demo.server import Server

WIDTH = 456
TYPE = "orders.orders"
WHEN = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=ROWS / 3 * 0.95)
PUBLISHED = """
SELECT DISTINCT ON (entity_id) entity_id, after_snapshot
FROM audit.entity_change_log
WHERE entity_type = 'orders.orders' AND changed_at <= '{when}' AND operation <> 'DELETE'
ORDER BY entity_id, changed_at DESC
"""
HELD = (pl.col("valid_from") <= WHEN) & (pl.col("valid_to").is_null() | (pl.col("valid_to") > WHEN))
ROUNDS = 3


def by_hand(frame: pd.DataFrame) -> pd.DataFrame:
    """The last change of each order up to the time, deletes left out, its document in columns."""
    seen = frame[(frame["entity_type"] == TYPE) & (frame["changed_at"] <= WHEN)]
    last = seen.sort_values("id").groupby("entity_id").tail(1)
    live = last[last["operation"] != "DELETE"]
    return pd.DataFrame([json.loads(text) for text in live["after_snapshot"]], index=live["entity_id"])


@pytest.mark.bench
def test_as_of_against_pandas_and_the_published_sql(server: Server, database: str):
    fill(server, database, rows=ROWS, width=WIDTH)
    log = al.read_postgres(database, visible_within=0)  # its times are made up
    frame = log.changes().to_pandas()
    # The log that gave the frame was put in order for it; a first question is one to a log that was not.
    fresh, anew = (al.from_arrow(log.changes()).with_marks([], visible_within=0).of(TYPE) for _ in range(2))
    orders = log.of(TYPE)
    first, cold = timed(lambda: fresh.as_of(WHEN))
    orders.as_of(WHEN)
    again, warm = best_of(lambda: orders.as_of(WHEN - timedelta(hours=1)))
    assert len(again) > 0
    pandas, hand = best_of(lambda: by_hand(frame))
    with connect(database) as connection:
        query = PUBLISHED.format(when=WHEN.isoformat())
        _, published = best_of(lambda: sum(batch.num_rows for batch in connection.stream(query)))
    assert sorted(first["entity_id"]) == sorted(pandas.index)
    record(
        f"as of one instant, {len(first):,} live rows with all their columns",
        ours={"first question": cold, "further questions": warm},
        rivals={"pandas by hand": hand, "the published SQL": published},
        goals=[
            within("first question", 1, of="pandas by hand"),
            faster("further questions", 20, than="pandas by hand"),
        ],
        changes=ROWS,
        parts={
            "first question": parts_of(
                lambda: anew.as_of(WHEN),
                {"all the type's documents split": [documents.split], "the log's order": [order.sequence]},
            )
        },
    )
    times = orders.history().select("valid_from", "valid_to")
    held, scan = best_of(lambda: times.select(HELD.sum()).item())
    keys, narrow = best_of(lambda: orders.as_of(WHEN, fields=[]))
    assert len(keys) == held
    record(
        f"as of one instant, the keys of {held:,} live rows",
        ours={"further questions": narrow},
        rivals={"its versions' two columns of times, scanned": scan},
        goals=[within("further questions", 5, of="its versions' two columns of times, scanned")],
        changes=ROWS,
        parts={
            "further questions": parts_of(
                lambda: orders.as_of(WHEN, fields=[]),
                {
                    "the live rows found": [asof.live],
                    "what was not certain then": [doubt.flagged, doubt.warn_absent],
                    "what the log does not tell": [untold_at],
                },
            )
        },
    )
    record_index(log.changes())


def record_index(changes: pl.DataFrame) -> None:
    """What it takes to find when each version was valid, of a log just loaded, without its documents."""
    ordered = valid = float("inf")
    for _ in range(ROUNDS):
        recorded = al.from_arrow(changes).selected.recorded
        _, seconds = timed(lambda recorded=recorded: recorded.sequence)
        ordered = min(ordered, seconds)
        shapes = [recorded.shape(entity_type) for entity_type in recorded.entity_types]
        _, seconds = timed(lambda shapes=shapes: [shape.versions for shape in shapes])
        valid = min(valid, seconds)
    whole = ordered + valid
    record(
        "when each version was valid, a change",
        ours={"the validity index": whole / len(changes) * 1e6},
        unit="us",
        goals=[below("the validity index", 0.3, "us")],
        changes=len(changes),
        parts={"the validity index": {"the log's order": ordered / whole, "versions": valid / whole}},
    )

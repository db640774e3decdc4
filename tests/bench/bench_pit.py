"""Point-in-time join: ours, and Polars' own join_asof by entity over the versions, in one run.

Run it alone: ``pytest -m bench -s tests/bench/bench_pit.py``. ``AUDITLAB_BENCH_ROWS`` sets the log's changes.
"""

from __future__ import annotations

import os
from datetime import timedelta

import polars as pl
import pytest
from figures import faster, parts_of, record
from made_log import START, made_log
from stopwatch import best_of, timed

import auditlab as al
from auditlab.engines import DuckDBEngine
from auditlab.spans import found_at
from auditlab.temporal.spine import spine_entities

CHANGES = int(os.environ.get("AUDITLAB_BENCH_ROWS", "3000000"))
SPINE = 100_000
GOAL = 5


@pytest.mark.bench
def test_point_in_time_join_against_join_asof():
    rows, transactions = CHANGES // 10, 600
    frame = made_log(rows=rows, transactions=transactions, each=rows * 9 // transactions, note=20)
    log = al.from_arrow(frame)
    versions = log.history()
    last = frame["changed_at"].max()
    span = (last - START) // timedelta(microseconds=1)
    since = pl.int_range(SPINE, eager=True).shuffle(2) * span // SPINE
    entities = frame["entity_id"].sample(SPINE, with_replacement=True, seed=1)
    spine = pl.DataFrame({"entity_id": entities, "at": since.cast(pl.Duration("us")) + START})
    first, cold = timed(lambda: log.pit_join(spine, fields=["total"]))
    narrow, warm = best_of(lambda: log.pit_join(spine, fields=["total"]), rounds=5)
    _, wide = best_of(lambda: log.pit_join(spine), rounds=5)
    by_query, duckdb = best_of(lambda: log.on("duckdb").pit_join(spine, fields=["total"]), rounds=5)
    right = (
        versions.select("entity_id", "valid_from", "version", "total")
        .sort("valid_from", "version")
        .set_sorted("valid_from")
    )

    def asof() -> pl.DataFrame:
        left = spine.with_row_index("nr").sort("at")
        joined = left.join_asof(right, left_on="at", right_on="valid_from", by="entity_id", check_sortedness=False)
        return joined.sort("nr")

    theirs, polars = best_of(asof, rounds=5)
    assert first["total"].equals(narrow["total"])
    assert narrow["total"].equals(theirs["total"])
    assert by_query.equals(narrow)
    rival = "Polars join_asof, log sorted before"
    record(
        f"point-in-time join of {SPINE:,} rows",
        ours={
            "first join": cold,
            "further joins": warm,
            "further joins, all fields": wide,
            "further joins, DuckDB": duckdb,
        },
        rivals={rival: polars},
        goals=[faster(ours, GOAL, than=rival) for ours in ("further joins", "further joins, DuckDB")],
        changes=len(frame),
        parts={
            "further joins, DuckDB": parts_of(
                lambda: log.on("duckdb").pit_join(spine, fields=["total"]),
                {
                    "the spine's entities found": [spine_entities],
                    "DuckDB, joining the spans by entity and time": [DuckDBEngine.run],
                    "its answer put in the spine's order": [found_at],
                },
            )
        },
    )

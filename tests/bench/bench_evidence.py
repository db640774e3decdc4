"""Evidence against the chain check in SQL: whether each before image is the previous after image.

Run it alone: ``pytest -m bench -s tests/bench/bench_evidence.py``. ``AUDITLAB_BENCH_ROWS`` sets the size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
import pytest
from big_log import ROWS, fill
from figures import faster, parts_of, record
from stopwatch import best_of, timed

import auditlab as al
from auditlab import order
from auditlab.connection import connect

if TYPE_CHECKING:
    import polars as pl

    from auditlab.demo.server import Server

WIDTH = 456
ROUNDS = 5
GOAL = 10
"""How many times faster than PostgreSQL's check the evidence of a log just loaded shall be, its order included."""

CHECK = """
SELECT count(*) AS breaks
FROM (
    SELECT l.operation, l.before_snapshot,
           lag(l.after_snapshot) OVER (PARTITION BY l.entity_type, l.entity_id ORDER BY l.id) AS state
    FROM {log} AS l
) AS linked
WHERE operation <> 'INSERT' AND before_snapshot IS DISTINCT FROM state
"""


def first_evidence(changes: pl.DataFrame, *, documents: bool) -> float:
    """Seconds that the first question to a log just loaded takes: its order is found for it, too."""
    log = al.from_arrow(changes)
    found, seconds = timed(lambda: log.evidence(documents=documents))
    assert found.worst in (None, "hint")
    return seconds


@pytest.mark.bench
def test_evidence_against_the_check_in_sql(server: Server, database: str):
    fill(server, database, rows=ROWS, width=WIDTH)
    changes = al.read_postgres(database, progress=False).changes()

    quick = min(first_evidence(changes, documents=False) for _ in range(ROUNDS))
    whole = min(first_evidence(changes, documents=True) for _ in range(ROUNDS))
    log = al.from_arrow(changes)
    assert log.evidence().worst in (None, "hint")
    _, again = best_of(lambda: log.evidence(documents=False), rounds=ROUNDS)
    _, asked = best_of(log.evidence, rounds=ROUNDS)
    anew = al.from_arrow(changes)
    with connect(database) as connection:
        found, postgres = best_of(
            lambda: connection.rows(CHECK.format(log="audit.entity_change_log"))[0]["breaks"], rounds=ROUNDS
        )
    assert found == 0
    with duckdb.connect() as duck:
        duck.register("changes", changes.to_arrow())
        duck.execute("CREATE TABLE log AS SELECT * FROM changes")
        _, out_of_core = best_of(lambda: duck.execute(CHECK.format(log="log")).fetchall(), rounds=ROUNDS)
    record(
        "does every change go on from the one before it",
        ours={
            "evidence without documents, the ordering included": quick,
            "evidence without documents, on a log in order": again,
            "whole evidence, every document split": whole,
            "whole evidence, documents split before": asked,
        },
        rivals={"SQL, PostgreSQL": postgres, "SQL, DuckDB": out_of_core},
        goals=[faster("evidence without documents, the ordering included", GOAL, than="SQL, PostgreSQL")],
        changes=ROWS,
        parts={
            "evidence without documents, the ordering included": parts_of(
                lambda: anew.evidence(documents=False),
                {"the log's order": [order.sequence]},
            )
        },
    )

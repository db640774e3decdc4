"""A change log for benchmarks, made in memory: a table inserted at once, then transactions that update some of it."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import polars as pl

from auditlab.schema import CHANGES, TIME

__all__ = ["START", "TYPE", "made_log"]

TYPE = "orders.orders"
START = datetime(2024, 1, 1, tzinfo=UTC)


def made_log(*, rows: int, transactions: int, each: int, note: int = 240) -> pl.DataFrame:
    """``rows`` INSERTs in one transaction, then ``transactions`` of ``each`` UPDATEs; ties in changed_at throughout.

    An update moves one order's status and total; seven other fields stay as they are, among them a note of ``note``
    characters. Some rows are updated often, most of them seldom.
    """
    draw = random.Random(7)  # noqa: S311 - no secret
    updates = transactions * each
    entity = list(range(rows))
    for _ in range(transactions):
        chosen: set[int] = set()
        while len(chosen) < each:
            chosen.add(int(rows * draw.random() ** 2))
        entity += chosen
    frame = pl.DataFrame({"entity": pl.Series(entity, dtype=pl.Int64)}).with_row_index("n")
    number = pl.int_range(pl.len()).over("entity")
    transaction = pl.when(pl.col("n") < rows).then(0).otherwise((pl.col("n").cast(pl.Int64) - rows) // each + 1)
    frame = frame.with_columns(version=number, transaction=transaction)

    def document(version: pl.Expr) -> pl.Expr:
        return pl.format(
            '{{"id": {}, "customer": "customer {}", "status": "state {}", "total": {}.{}0, "currency": "EUR", '
            '"created_at": "2024-01-01T00:00:00+00:00", "channel": "web", "note": "{}", "paid": false}}',
            pl.col("entity"), pl.col("entity") % 977, version % 7, version * 13 + pl.col("entity") % 90,
            version % 10, pl.lit("x" * note),
        )  # fmt: skip

    frame = frame.with_columns(after=document(pl.col("version")), before=document(pl.col("version") - 1))
    first = pl.col("version") == 0
    columns = {
        "id": (pl.col("n") + 1).cast(pl.Int64),
        "entity_type": pl.lit(TYPE),
        "entity_id": pl.format("00000000-0000-4000-8000-{}", pl.col("entity").cast(pl.String).str.zfill(12)),
        "operation": pl.when(first).then(pl.lit("INSERT")).otherwise(pl.lit("UPDATE")),
        "changed_by": pl.format("user {}", pl.col("transaction") % 40),
        "changed_at": (pl.lit(START) + pl.duration(seconds=pl.col("transaction") // 2)).cast(TIME),
        "before_snapshot": pl.when(~first).then("before"),
        "after_snapshot": pl.col("after"),
        "transaction_id": pl.col("transaction") + 1000,
    }
    made = frame.select(**{name: columns.get(name, pl.lit(None, dtype=dtype)) for name, dtype in CHANGES.items()})
    assert len(made) == rows + updates
    return made.cast(dict(CHANGES))

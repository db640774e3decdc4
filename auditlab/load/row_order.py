"""Rows that are numbered as they stand must stand in the order of what happened: their times are what tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from auditlab.errors import BadOption

if TYPE_CHECKING:
    from datetime import datetime

    from auditlab.schema import LogFacts

__all__ = ["check_row_order"]

_ENTITY = ("entity_type", "entity_id")
_ALL = pl.col("operation") == "TRUNCATE"
"""Rows that are of every entity of their type."""


def check_row_order(changes: pl.DataFrame, facts: LogFacts) -> None:
    """Refuse rows whose numbers are their places where those of one entity run backwards in time.

    A TRUNCATE is of every entity of its type. Equal times are in order, and those of different entities need not be:
    they are of transactions that ran side by side, and no state hangs on it.

    Args:
        changes: The columns of ``schema.CHANGES``, sorted by ``id``, which is the row's place from 1 on.
        facts: Which time is the log's clock.

    Raises:
        BadOption: with the first such row, the one before it that is later, and both times.
    """
    if changes[facts.clock].is_sorted():
        return
    rows = changes.select("id", *_ENTITY, "operation", pl.col(facts.clock).alias("at"))
    late = _backwards(rows)
    if late.is_empty():
        return
    place, entity_type, entity_id, operation, at = late.row(0)
    own = (pl.col("entity_id") == entity_id) | _ALL if operation != "TRUNCATE" else pl.lit(value=True)
    before = rows.filter(pl.col("entity_type") == entity_type, pl.col("id") < place, pl.col("at") > at, own).row(-1)
    whose = f"all {entity_type}" if operation == "TRUNCATE" else f"{entity_type} {entity_id!r}"
    what = "the data" if facts.source == "memory" else facts.source
    raise BadOption(
        f"columns={{'id': None}} numbers the rows of {what} in the order in which they stand, and that is not "
        f"the order of what happened: row {place} ({operation} of {whose}) has {facts.clock}={_spoken(at)}, and row "
        f"{before[0]}, which stands before it, has {_spoken(before[-1])}; {late.height:,} rows stand behind a later "
        "one of their entity. Sort the rows by time, those of one time as they happened; or name a column that numbers "
        "them as they happened: columns={'id': 'name there'}."
    )


def _backwards(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows behind which time had already gone further, of the same entity."""
    late = rows.filter(pl.col("at") < pl.col("at").cum_max().over(_ENTITY))
    cuts = rows.filter(_ALL)["entity_type"].unique().to_list()
    if not cuts:
        return late
    last = pl.when(_ALL).then(pl.col("at")).cum_max().forward_fill()
    known = pl.when(_ALL).then(pl.col("at").cum_max()).otherwise(last)
    more = rows.filter(pl.col("entity_type").is_in(cuts)).filter(pl.col("at") < known.over("entity_type"))
    return pl.concat([late, more]).unique().sort("id")


def _spoken(at: datetime) -> str:
    return at.isoformat(sep=" ")

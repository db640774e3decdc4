"""The place of each change in its entity, by number: what a mark's question goes by, which has no time."""

from __future__ import annotations

import polars as pl

from auditlab.spans import running_sum

__all__ = ["PLACES", "places", "version_places"]

PLACES: dict[str, pl.DataType] = {
    "entity": pl.UInt32(),
    "entity_id": pl.String(),
    "transaction_id": pl.Int64(),
    "made": pl.UInt32(),
    "found": pl.UInt32(),
    "place": pl.Int64(),
}
"""One row a change of an entity, by entity and place (from 1). ``made`` is the row in ``versions`` of the state that
the change left, ``found`` that of a state that was there before the log began; null where there is none."""


def places(steps: pl.DataFrame, versions: pl.DataFrame) -> pl.DataFrame:
    """``PLACES``' columns.

    Args:
        steps: The type's steps, in the order of each entity, with ``transaction_id``.
        versions: :attr:`auditlab.shape.Shape.versions`.
    """
    key = ["entity", "position"]
    own = versions.with_row_index("row").select(*key, "row", "valid_from", unseen=pl.col("origin") == "unknown")
    made = own.filter(~pl.col("unseen")).select(*key, made="row")
    found = own.filter(pl.col("unseen") & pl.col("valid_from").is_null()).select(*key, found="row")
    told = steps.select("entity", "entity_id", "position", "transaction_id")
    for part in (made, found):
        told = told.join(part, on=key, how="left", maintain_order="left")
    return told.with_columns(place=running_sum(told["entity"], pl.repeat(1, len(told), eager=True))).select(*PLACES)


def version_places(placed: pl.DataFrame, rows: int) -> pl.Series:
    """By row of ``versions``: the place of the change that left it; 0 of one older than the log; else null.

    Args:
        placed: ``PLACES``' columns.
        rows: How many versions there are.
    """
    made = placed.filter(pl.col("made").is_not_null()).select(row="made", place="place")
    found = placed.filter(pl.col("found").is_not_null()).select(row="found", place=pl.lit(0, dtype=pl.Int64))
    every = pl.DataFrame({"row": pl.int_range(rows, dtype=pl.UInt32, eager=True)})
    return every.join(pl.concat([made, found]), on="row", how="left", maintain_order="left")["place"]

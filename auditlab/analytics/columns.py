"""How a field runs through the images of a table: where it appears, vanishes or changes its type for all rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from auditlab.values import Column

__all__ = ["MOST_RUNS", "presence_runs", "runs_of", "seen", "value_shape"]

MOST_RUNS = 12
"""Runs above which a field comes and goes by row: a key that is optional, not a column that DDL added or dropped."""

_SHAPES = {'"': "string", "{": "object", "[": "array", "t": "boolean", "f": "boolean"}
_PLAIN = {"bool": "boolean", "int": "number", "decimal": "number", "float": "number", "json": "object or array"}


def value_shape(column: Column, text: pl.Series) -> pl.Series:
    """The JSON type of a field's texts in words: of a field of one type always the same; null for null and missing."""
    if column.kind != "mixed":
        word = _PLAIN.get(column.kind, "number" if "numbers" in column.note else "string")
        return pl.select(pl.when(text.is_not_null()).then(pl.lit(word))).to_series()
    return text.str.head(1).replace_strict(_SHAPES, default="number", return_dtype=pl.String).set(text.is_null(), None)


def presence_runs(
    images: pl.DataFrame, column: Column, *, types: bool = False, states: bool = False
) -> pl.DataFrame | None:
    """The runs of images, in the log's order, that have a field, or do not; None where it comes and goes by row.

    Args:
        images: ``Shape.images``.
        column: The field.
        types: Runs of the JSON type of its values instead, nulls left out.
        states: Look at the after images alone: at what the log's changes made, not at what they found.

    Returns:
        One row a run: run (its number), slot (twice the position of its first image, and 1 more for an after image),
        value (Boolean, or the type in words) and doubtful (a single change between others: no DDL, but one odd row).
    """
    found = seen(images, column, types=types, states=states)
    return runs_of(
        found.with_columns(run=pl.col("value").rle_id())
        .group_by("run", maintain_order=True)
        .agg(pl.first("slot"), pl.first("value"), pl.col("position").n_unique().alias("changes"))
    )


def seen(images: pl.DataFrame, column: Column, *, types: bool = False, states: bool = False) -> pl.DataFrame:
    """What ``presence_runs`` looks at, in the log's order: position, slot and value, one row an image."""
    value = value_shape(column, column.text) if types else column.code.is_not_null()
    slots = images.select("position", "before", "after").unique("position", keep="any")
    sides = [
        slots.select("position", slot=pl.col("position").cast(pl.Int64) * 2 + late, doc=pl.col(name))
        for late, name in enumerate(("before", "after"))
        if late or not states
    ]
    found = pl.concat(sides).filter(pl.col("doc").is_not_null()).sort("slot")
    found = found.with_columns(value=value.gather(found["doc"])).drop("doc")
    return found.filter(pl.col("value").is_not_null())


def runs_of(runs: pl.DataFrame) -> pl.DataFrame | None:
    """Runs with how many ``changes`` each is of, as ``presence_runs`` tells them."""
    if runs.height > MOST_RUNS:
        return None
    inner = (pl.col("run") > 0) & (pl.col("run") < runs.height - 1)
    return runs.with_columns(doubtful=(pl.col("changes") == 1) & inner)

"""Untouched: what no change up to a moment touched, and was there before the log began: its first change shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from auditlab.selection import Selected
    from auditlab.shape import Shape

__all__ = ["there_before", "untold_until"]


def there_before(shape: Shape, until: Shape) -> pl.DataFrame:
    """The states from before the log of those entities that none of the changes up to a moment touched.

    Args:
        shape: The derived tables of the type, of the whole log.
        until: The same of those changes alone.

    Returns:
        Rows of ``versions``, as they were then: nothing had ended them.
    """
    early = _untouched(shape.versions.filter((pl.col("origin") == "unknown") & pl.col("valid_from").is_null()), until)
    return early.with_columns(pl.lit(None).cast(early.schema[name]).alias(name) for name in ("valid_to", "ended_by"))


def untold_until(selected: Selected, shape: Shape, until: Shape) -> pl.Series:
    """The ids of the entities of which the log does not tell what they were after the changes up to a moment.

    Args:
        selected: The log, or a part of it.
        shape: As in :func:`there_before`.
        until: As in :func:`there_before`.
    """
    since_ever = pl.col("position").is_null() & pl.col("valid_from").is_null()
    inside = until.untold.filter(~since_ever & pl.col("valid_to").is_null())
    before = _untouched(shape.untold.filter(since_ever), until)
    ids = pl.concat([inside["entity_id"], before["entity_id"]]).unique()
    return ids if selected.entity_id is None else ids.filter(ids == selected.entity_id)


def _untouched(rows: pl.DataFrame, until: Shape) -> pl.DataFrame:
    """The rows (with ``entity_id``) of entities that none of the changes touched; of most logs there are none."""
    if rows.is_empty():
        return rows
    return rows.filter(~pl.col("entity_id").is_in(until.places["entity_id"].unique().implode()))

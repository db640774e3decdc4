"""Lanes: the rows of a timeline, one a field, a user, an operation, an entity type or an entity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from auditlab.errors import BadOption
from auditlab.schema import OPERATIONS

if TYPE_CHECKING:
    from auditlab.widgets.points import Points

__all__ = ["BY", "MOST", "Lanes", "lanes"]

BY = ("field", "user", "operation", "type", "entity")
"""What lanes can be."""

MOST = 24
"""The most lanes; what does not fit is put together into one more, which says how many it is."""

NOTHING = {"field": "(no field)", "user": "(no user)", "entity": "(every one)"}


@dataclass(frozen=True, slots=True)
class Lanes:
    """The lanes of points.

    Args:
        names: Their names, upper first.
        rows: ``row`` (of the points) and ``lane``; a change of several fields stands in several.
        folded: How many more values the last lane holds; 0 where each has a lane of its own.
    """

    names: list[str]
    rows: pl.DataFrame
    folded: int


def lanes(points: Points, by: str) -> Lanes:
    """The points dealt out to lanes.

    Raises:
        BadOption: there are no such lanes.
    """
    if by not in BY:
        raise BadOption(f"no lanes by {by!r}. There are {', '.join(BY)}.")
    column = {"user": "changed_by", "operation": "operation", "type": "entity_type", "entity": "entity_id"}.get(by)
    if column is None:
        told = points.rows.select("row").join(points.fields, on="row", how="left", maintain_order="left")
        told = told.rename({"field": "value"})
    else:
        told = points.rows.select("row", value=_entity(points) if by == "entity" else pl.col(column))
    counts = told.group_by("value").len().sort(pl.col("len"), "value", descending=[True, False], nulls_last=True)
    if by == "operation":
        order = {name: place for place, name in enumerate(OPERATIONS)}
        counts = counts.sort(pl.col("value").replace_strict(order, return_dtype=pl.Int64))
    values = counts["value"].to_list()
    folded = max(0, len(values) - MOST)
    place = counts.select("value", lane=pl.int_range(pl.len(), dtype=pl.UInt32).clip(upper_bound=MOST))
    rows = told.join(place, on="value", how="left", maintain_order="left", nulls_equal=True).select("row", "lane")
    names = [NOTHING.get(by, "") if value is None else value for value in values[:MOST]]
    return Lanes([*names, f"{folded:,} more"] if folded else names, rows, folded)


def _entity(points: Points) -> pl.Expr:
    """An entity's id, with its type's short name where there are several types."""
    short = pl.col("entity_type").str.split(".").list.last()
    if len(points.entity_types) == 1:
        return pl.col("entity_id")
    return pl.concat_str([short, pl.col("entity_id").fill_null(NOTHING["entity"])], separator=" ")

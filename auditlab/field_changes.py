"""Field changes: what each change did, image against image, whether these were recorded or are derived."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from auditlab.rows import interleaved
from auditlab.schema import FIELD_CHANGES
from auditlab.spans import running_sum
from auditlab.threads import side_by_side

if TYPE_CHECKING:
    from auditlab.values import Column

__all__ = ["field_changes"]

_FACTS = "id", "entity_id", "version", "life", "changed_by", "changed_at", "transaction_id", "position", "effective"
_CHANGED = {"row": pl.UInt32(), "place": pl.UInt32(), "kind": pl.UInt8(), "old": pl.String(), "new": pl.String()}
_KINDS = pl.Series([None, "removed", "added", "modified"])
"""The kinds of change by what is present: 1 for the old value, 2 for the new one."""


def field_changes(entity_type: str, steps: pl.DataFrame, columns: tuple[Column, ...]) -> pl.DataFrame:
    """``FIELD_CHANGES``' columns with ``position``, ``effective`` and ``place``, by position, entity id and place.

    Args:
        entity_type: Its name.
        steps: The type's steps with the numbers of their documents, ``before`` and ``after``, by entity and turn.
        columns: The type's fields over its documents.
    """
    rows = _in_order(steps)
    images = steps.select(
        old=pl.when(pl.col("operation") != "INSERT").then("before"), new=pl.when(~pl.col("ends")).then("after")
    )
    old, new = (image.gather(rows) for image in images)
    every = range(len(columns))
    parts = side_by_side(lambda place: _of_field(old, new, columns[place], place), every, len(rows))
    order = interleaved([part["row"] for part in parts], len(rows))
    found = pl.concat([pl.DataFrame(schema=_CHANGED), *parts], rechunk=True)[order]
    names = pl.Series([column.name for column in columns], dtype=pl.String)
    version = running_sum(steps["entity"], _states(steps))
    changes = steps.with_columns(version=version).select(_FACTS)[rows.gather(found["row"])].hstack(found)
    return changes.with_columns(
        entity_type=pl.lit(entity_type),
        field=names.gather(found["place"]),
        kind=_KINDS.gather(found["kind"].cast(pl.UInt32)),
        old_present=(pl.col("kind") & 1) > 0,
        new_present=(pl.col("kind") & 2) > 0,
        place=pl.col("place").cast(pl.Int64),
    ).select(*FIELD_CHANGES, "position", "effective", "place")


def _states(steps: pl.DataFrame) -> pl.Series:
    """How many versions each step makes."""
    left = ~pl.col("ends") & pl.col("after").is_not_null()
    found = pl.col("unseen") & pl.col("before").is_not_null()
    return steps.select(left.cast(pl.Int64) + found.cast(pl.Int64)).to_series()


def _in_order(steps: pl.DataFrame) -> pl.Series:
    """The rows (UInt32) of the steps that tell what a change did, by position and entity id."""
    told = (
        (pl.col("operation") != "SNAPSHOT")
        & ~(pl.col("ends") & pl.col("link").is_not_null())
        & (pl.col("ends") | pl.col("after").is_not_null())
        & (pl.col("operation").is_in(["INSERT", "DELETE", "TRUNCATE"]) | pl.col("before").is_not_null())
    )
    rows = steps.select(told).to_series().arg_true()
    position = steps["position"].gather(rows)
    most: int = position.max() or 0  # type: ignore[assignment]  # whole numbers
    at = pl.Series([None], dtype=pl.UInt32).new_from_index(0, most + 1).scatter(position, rows)
    if (at.gather(position) == rows).all():
        return at.drop_nulls()
    return rows.gather(
        steps.select("position", "entity_id")[rows].select(pl.arg_sort_by("position", "entity_id")).to_series()
    )


def _of_field(old: pl.Series, new: pl.Series, column: Column, place: int) -> pl.DataFrame:
    """``_CHANGED``'s columns of the changes that changed a field; ``row`` is theirs among the images."""
    if column.alike:  # then it comes and goes with the image
        differs = old.is_null() != new.is_null()
    else:
        differs = column.code.gather(old).ne_missing(column.code.gather(new))
    rows = differs.arg_true()
    was, became = column.of(old.gather(rows)), column.of(new.gather(rows))
    present = was.code.is_not_null().cast(pl.UInt8) + 2 * became.code.is_not_null().cast(pl.UInt8)
    cells = {
        "row": rows,
        "place": pl.repeat(place, len(rows), dtype=pl.UInt32, eager=True),
        "kind": present,
        "old": was.text,
        "new": became.text,
    }
    return pl.DataFrame(cells)

"""Undetermined: states that a log does not tell, because it has no image of them and nothing that one follows from."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import polars as pl

from auditlab.errors import UndeterminedState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from auditlab.selection import Selected
    from auditlab.shape import Shape

__all__ = ["untold_at", "warn_left_out", "warn_untold"]


def warn_untold(
    selected: Selected,
    shapes: Iterable[Shape],
    moments: Sequence[datetime | None],
    *,
    stacklevel: int = 4,
) -> None:
    """Warn where an answer leaves out entities because the log does not tell what they were at one of the moments.

    Args:
        selected: The log, or a part of it.
        shapes: The derived tables of the types that the question is about.
        moments: The instants that it is about; None is the end of the log.
        stacklevel: As ``warnings.warn`` takes it.
    """
    told = {shape.entity_type: untold_at(selected, shape, moments) for shape in shapes}
    warn_left_out(told, stacklevel=stacklevel + 1)


def untold_at(selected: Selected, shape: Shape, moments: Sequence[datetime | None]) -> int:
    """How many entities of a type the log does not tell at one of the moments."""
    rows = shape.untold
    if selected.entity_id is not None:
        rows = rows.filter(pl.col("entity_id") == selected.entity_id)
    return rows.filter(pl.any_horizontal(map(_holds, moments)))["entity_id"].n_unique()


def warn_left_out(told: dict[str, int], *, stacklevel: int = 4) -> None:
    """Warn that an answer leaves out so many entities of each type; nothing where there are none."""
    told = {name: count for name, count in told.items() if count}
    if told:
        message = UndeterminedState(
            "the log does not tell the state of some entities there",
            told,
            "No image of it was recorded, and none follows from the changes around it. They are not in this answer; "
            "log.evidence() has the changes.",
        )
        warnings.warn(message, stacklevel=stacklevel)


def _holds(at: datetime | None) -> pl.Expr:
    if at is None:
        return pl.col("valid_to").is_null()
    begun = pl.col("valid_from").is_null() | (pl.col("valid_from") <= at)
    return begun & (pl.col("valid_to").is_null() | (pl.col("valid_to") > at))

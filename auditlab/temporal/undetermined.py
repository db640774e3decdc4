"""Undetermined: states that a log does not tell, because it has no image of them and nothing that one follows from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from auditlab.callers import warn_caller
from auditlab.errors import UndeterminedState
from auditlab.set_aside import interrupted
from auditlab.spans import holds

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from auditlab.selection import Selected
    from auditlab.shape import Shape

__all__ = ["untold_at", "warn_interrupted", "warn_left_out", "warn_untold"]


def warn_untold(
    selected: Selected,
    shapes: Iterable[Shape],
    moments: Sequence[datetime | None],
) -> None:
    """Warn where an answer leaves out entities because the log does not tell what they were at one of the moments.

    Args:
        selected: The log, or a part of it.
        shapes: The derived tables of the types that the question is about.
        moments: The instants that it is about; None is the end of the log.
    """
    told = {shape.entity_type: untold_at(selected, shape, moments) for shape in shapes}
    warn_left_out(told)


def untold_at(selected: Selected, shape: Shape, moments: Sequence[datetime | None]) -> int:
    """How many entities of a type the log does not tell at one of the moments."""
    rows = shape.untold
    if rows.is_empty():
        return 0
    if selected.entity_id is not None:
        rows = rows.filter(pl.col("entity_id") == selected.entity_id)
    return rows.filter(pl.any_horizontal(holds(at, None) for at in moments))["entity_id"].n_unique()


def warn_interrupted(selected: Selected, moments: Sequence[datetime | None] = ()) -> None:
    """Warn where rows were set apart that may have changed the states of entities, and the answer cannot flag those.

    Args:
        selected: The log, or a part of it.
        moments: The instants that the answer is about, as in :func:`warn_untold`; without any, at whatever time.
    """
    told = {}
    for shape in selected.shapes():
        if len(shape.aside):
            rows = shape.versions.filter(interrupted(shape.versions, shape.aside))
            rows = rows.filter(pl.any_horizontal(holds(at, None) for at in moments)) if moments else rows
            rows = rows if selected.entity_id is None else rows.filter(pl.col("entity_id") == selected.entity_id)
            told[shape.entity_type] = rows["entity_id"].n_unique()
    if any(told.values()):
        message = UndeterminedState(
            "rows were set apart that may have changed entities in this answer",
            {name: count for name, count in told.items() if count},
            "log.malformed has them; as_of() flags the states behind them as not certain.",
        )
        warn_caller(message)


def warn_left_out(told: dict[str, int]) -> None:
    """Warn that an answer leaves out so many entities of each type; nothing where there are none."""
    told = {name: count for name, count in told.items() if count}
    if told:
        message = UndeterminedState(
            "the log does not tell the state of some entities there",
            told,
            "No image of it was recorded and none follows from the changes around it, or a row that would tell was set "
            "apart (log.malformed). They are not in this answer; log.evidence() has the changes.",
        )
        warn_caller(message)

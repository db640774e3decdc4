"""Values that a source did not send because they had not changed: carried forward, never shown as an edit."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import polars as pl

from auditlab.documents import raw_fields

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["UNAVAILABLE", "carry_forward"]

UNAVAILABLE = '"__debezium_unavailable_value"'
"""What Debezium writes for an unchanged TOAST value, as raw JSON text."""


def carry_forward(changes: pl.DataFrame, steps: pl.DataFrame) -> pl.DataFrame:
    """``changes`` with each placeholder replaced by the value that the field had; without one, ``changes`` itself.

    A placeholder whose value the log never held is left out of the document: the field's value is not known.

    Args:
        changes: One entity type's changes, with ``position``.
        steps: The type's steps, by entity and position.
    """
    images = ("before_snapshot", "after_snapshot")
    holds = pl.any_horizontal(
        pl.col(name).str.contains(UNAVAILABLE, literal=True).fill_null(value=False) for name in images
    )
    touched = changes.filter(holds)
    if touched.is_empty():
        return changes
    entities = touched["entity_id"].unique()
    told = steps.filter(pl.col("entity_id").is_in(entities.implode())).join(
        changes.select("position", *images), on="position", how="left", maintain_order="left"
    )
    mended: dict[int, tuple[str | None, str | None]] = {}
    state: dict[str, str] = {}
    entity = None
    for row in told.iter_rows(named=True):
        if row["entity"] != entity:
            entity, state = row["entity"], {}
        before, after = row["before_snapshot"], row["after_snapshot"]
        known = state
        if before is not None:
            fields = _resolved(raw_fields(before), state)
            before = _written(before, fields)
            known = {**state, **fields}
        if after is not None:
            state = _resolved(raw_fields(after), known)
            after = _written(after, state)
        elif row["ends"]:
            state = {}
        mended[row["position"]] = (before, after)
    patch = pl.DataFrame(
        {"position": list(mended), **{name: [pair[i] for pair in mended.values()] for i, name in enumerate(images)}},
        schema={"position": pl.UInt32, **dict.fromkeys(images, pl.String)},
    )
    return changes.update(patch, on="position", how="left")


def _resolved(fields: Mapping[str, str], known: Mapping[str, str]) -> dict[str, str]:
    pairs = ((name, known.get(name) if raw == UNAVAILABLE else raw) for name, raw in fields.items())
    return {name: raw for name, raw in pairs if raw is not None}


def _written(text: str, fields: Mapping[str, str]) -> str:
    if UNAVAILABLE not in text:
        return text
    return "{" + ", ".join(f"{json.dumps(name, ensure_ascii=False)}: {raw}" for name, raw in fields.items()) + "}"

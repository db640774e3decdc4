"""Timeline: the human view of a history; who did what when, field by field."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from auditlab import queries
from auditlab.engines.base import params_frame
from auditlab.schema import TIME

if TYPE_CHECKING:
    from auditlab.selection import Selected

__all__ = ["TIMELINE", "timeline"]

TIMELINE = {
    "changed_at": TIME,
    "changed_by": pl.String(),
    "operation": pl.String(),
    "entity_type": pl.String(),
    "entity_id": pl.String(),
    "field": pl.String(),
    "kind": pl.String(),
    "old": pl.String(),
    "new": pl.String(),
    "id": pl.Int64(),
    "transaction_id": pl.Int64(),
}
"""A timeline's columns, all of them recorded text but the times and ids."""


def timeline(selected: Selected) -> pl.DataFrame:
    """Who did what when: one row a changed field, in the log's order.

    A change that changed no field (a no-op UPDATE, a SNAPSHOT) has one row, its ``field`` null.

    Returns:
        ``TIMELINE``'s columns.
    """
    selected.warn_withheld(*selected.entity_types)
    selected.warn_gone(*selected.entity_types, changes=True)
    params = params_frame(entity_id=(selected.entity_id, pl.String()))
    frames = [pl.DataFrame(schema={**TIMELINE, "position": pl.UInt32()})]
    for shape in selected.shapes():
        tables = {
            "entity_changes": selected.of_picked(shape.entity_changes),
            "field_changes": shape.field_changes,
            "params": params,
        }
        rows = selected.engine.run(queries.text("analysis", "timeline"), tables, {})
        frames.append(rows.select(*TIMELINE, "position"))
    ordered = pl.concat(frames).sort("position", maintain_order=True)
    return selected.in_order(ordered.drop("position"), ordered["position"])

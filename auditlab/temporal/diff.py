"""Diffs: what each change did, field by field; and changes, the canonical rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from auditlab import queries
from auditlab.engines.base import params_frame
from auditlab.schema import CHANGES, FIELD_CHANGES

if TYPE_CHECKING:
    from auditlab.selection import Selected

__all__ = ["changes", "diffs"]


def changes(selected: Selected) -> pl.DataFrame:
    """The selected changes as recorded: ``auditlab.schema.CHANGES``' columns, one row a change, in the log's order."""
    return selected.changes().select(*CHANGES)


def diffs(selected: Selected) -> pl.DataFrame:
    """What each selected change did: one row a changed field, in the log's order.

    The images are compared as values, so a number written otherwise or an instant in another zone is no change; the
    stored ``changed_fields`` is not used. Set to null is ``modified``, a key that is gone is ``removed``. A DELETE
    removes every field, and so does a TRUNCATE of every entity that it ended. A SNAPSHOT changes nothing.

    Returns:
        ``auditlab.schema.FIELD_CHANGES``' columns; ``old`` and ``new`` are the recorded text.
    """
    params = params_frame(entity_id=(selected.entity_id, pl.String()))
    frames = [pl.DataFrame(schema={**FIELD_CHANGES, "position": pl.UInt32()})]
    for shape in selected.shapes():
        tables = {"field_changes": selected.of_picked(shape.field_changes), "params": params}
        rows = selected.engine.run(queries.text("analysis", "diffs"), tables, {})
        frames.append(rows.select(*FIELD_CHANGES, "position"))
    return pl.concat(frames).sort("position", maintain_order=True).drop("position")

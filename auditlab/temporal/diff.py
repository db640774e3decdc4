"""Diffs: what each change did, field by field; and changes, the canonical rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from auditlab import queries
from auditlab.engines.base import params_frame
from auditlab.schema import CHANGES, FIELD_CHANGES
from auditlab.temporal.views import view, with_path

if TYPE_CHECKING:
    from collections.abc import Mapping

    from auditlab.selection import Selected
    from auditlab.temporal.patterns import Patterns
    from auditlab.temporal.tolerance import Tolerance

__all__ = ["changes", "diffs"]


def changes(selected: Selected) -> pl.DataFrame:
    """The selected changes as recorded: ``auditlab.schema.CHANGES``' columns, one row a change, in the log's order."""
    rows = selected.changes()
    return selected.in_order(rows.select(*CHANGES), rows["position"])


def diffs(
    selected: Selected,
    *,
    paths: bool = False,
    ignore: Patterns = (),
    tolerance: Tolerance | None = None,
    list_keys: Mapping[str, str] | None = None,
) -> pl.DataFrame:
    """What each selected change did: one row a changed field, in the log's order.

    The images are compared as values, so a number written otherwise or an instant in another zone is no change; the
    stored ``changed_fields`` is not used. Set to null is ``modified``, a key that is gone is ``removed``. A DELETE
    removes every field, and so does a TRUNCATE of every entity that it ended. A SNAPSHOT changes nothing.

    With ``paths``, a field whose old and new value are both JSON objects, or both arrays, has a row for each part that
    differs, and ``path`` says where: a JSON Pointer (RFC 6901), empty for the field itself. A ``removed`` part's path
    leads into the old value, every other into the new. Parts are JSON text as recorded, texts with their quotes; a
    part that is JSON null is null and present. Lists are compared as sequences: an element put into the middle is one
    ``added``. A part that was added or removed is one row, however much it holds. Values of more than 4 MiB together,
    and lists that would take seconds to match, stay one row.

    ``ignore`` and ``tolerance`` are views: they leave rows out, and change nothing that is recorded. A nested value
    makes a row where any part of it does.

    Args:
        selected: The log, or a part of it.
        paths: Tell nested values part by part.
        ignore: Fields and parts that make no row; see :func:`auditlab.temporal.views.view`.
        tolerance: How far JSON numbers may be apart and make no row, for all fields or for each.
        list_keys: For lists of objects, the key by which their elements are matched: ``{"lines": "id"}``.

    Returns:
        ``auditlab.schema.FIELD_CHANGES``' columns, with ``paths`` also ``path`` (String) behind ``field``; ``old`` and
        ``new`` are the recorded text.

    Raises:
        UnknownField: an option names a field that no selected type has.
        UnknownEntityType: ``ignore`` names a type that is not selected.
        BadOption: an option's value that it does not take.
    """
    selected.warn_withheld(*selected.entity_types)
    selected.warn_gone(*selected.entity_types, changes=True)
    shown = view(selected, paths=paths, ignore=ignore, tolerance=tolerance, list_keys=list_keys)
    columns = with_path(FIELD_CHANGES) if paths else FIELD_CHANGES
    params = params_frame(entity_id=(selected.entity_id, pl.String()))
    frames = [pl.DataFrame(schema={**columns, "position": pl.UInt32()})]
    for shape in selected.shapes():
        rows = selected.of_picked(shape.field_changes)
        if not selected.engine.on_frames:
            rows = selected.engine.run(queries.text("analysis", "diffs"), {"field_changes": rows, "params": params}, {})
        elif selected.entity_id is not None:  # what diffs.sql says: the rows stand in its order
            rows = rows.filter(pl.col("entity_id") == selected.entity_id)
        frames.append(shown.of(rows, shape).select(*columns, "position"))
    rows = pl.concat(frames)
    if len(selected.entity_types) > 1:
        rows = rows.sort("position", maintain_order=True)
    return selected.in_order(rows.drop("position"), rows["position"])

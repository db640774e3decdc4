"""Compare: two instants against each other, net or with every step between."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from auditlab import queries
from auditlab.engines.base import params_frame
from auditlab.errors import BadOption
from auditlab.schema import FIELD_CHANGES, TIME
from auditlab.temporal import doubt
from auditlab.temporal.undetermined import warn_untold
from auditlab.temporal.views import view, with_path

if TYPE_CHECKING:
    from collections.abc import Mapping

    from auditlab.clock import Moment
    from auditlab.selection import Selected
    from auditlab.temporal.patterns import Patterns
    from auditlab.temporal.tolerance import Tolerance

__all__ = ["NET", "compare"]

NET = {
    "entity_type": pl.String(),
    "entity_id": pl.String(),
    "field": pl.String(),
    "kind": pl.String(),
    "old": pl.String(),
    "new": pl.String(),
}
"""The columns of a net comparison: one row a field that differs."""


def compare(
    selected: Selected,
    start: Moment,
    end: Moment,
    *,
    steps: bool = False,
    paths: bool = False,
    ignore: Patterns = (),
    tolerance: Tolerance | None = None,
    list_keys: Mapping[str, str] | None = None,
) -> pl.DataFrame:
    """What differs between two instants.

    Being absent is a state: an entity that is there only at the end has all its fields ``added``, one that is there
    only at the start has them ``removed``.

    Args:
        selected: The log, or a part of it that keeps whole histories.
        start: The earlier instant; its own changes count as done.
        end: The later instant, inclusive.
        steps: Every change between instead of the net difference.
        paths: Tell nested values part by part, as :func:`auditlab.temporal.diff.diffs` does.
        ignore: Fields and parts that make no row; see :func:`auditlab.temporal.views.view`.
        tolerance: How far JSON numbers may be apart and make no row: net from start to end, or at each step.
        list_keys: For lists of objects, the key by which their elements are matched.

    Returns:
        Net: ``entity_type, entity_id, field, kind, old, new``, all String, by entity and field. Steps:
        ``auditlab.schema.FIELD_CHANGES``' columns in the log's order. With ``paths`` also ``path`` behind ``field``.

    Raises:
        UnknownField: an option names a field that no selected type has.
        BadOption: end lies before start.
        NoData: an instant is outside what the log covers.
        IncompleteLog: the selection or the log does not hold whole histories.

    Warns:
        UndeterminedState: entities are left out.
        UncertainTime: what was visible at an instant is open for some entities (as in ``as_of``).
    """
    selected.require_states("compare")
    start_at, end_at = selected.instant(start), selected.instant(end)
    if end_at < start_at:
        raise BadOption(
            f"compare() goes from the earlier to the later: {start_at.isoformat()} is after {end_at.isoformat()}."
        )
    doubt.warn_unflagged(selected, (start_at, end_at), *selected.entity_types)
    shown = view(selected, paths=paths, ignore=ignore, tolerance=tolerance, list_keys=list_keys)
    columns = FIELD_CHANGES if steps else NET
    columns = with_path(columns) if paths else columns
    params = params_frame(start_at=(start_at, TIME), end_at=(end_at, TIME), entity_id=(selected.entity_id, pl.String()))
    if steps:
        frames = [pl.DataFrame(schema={**columns, "position": pl.UInt32()})]
        for shape in selected.shapes():
            tables = {"field_changes": shape.field_changes, "params": params}
            rows = selected.engine.run(queries.text("analysis", "compare_steps"), tables, {})
            frames.append(shown.of(rows, shape).select(*columns, "position"))
        ordered = pl.concat(frames).sort("position", maintain_order=True)
        return selected.in_order(ordered.drop("position"), ordered["position"])
    warn_untold(selected, selected.shapes(), (start_at, end_at), inside=False)
    frames = [pl.DataFrame(schema=columns)]
    for shape in selected.shapes():
        tables = {"field_states": shape.field_states, "untold": shape.untold, "params": params}
        rows = selected.engine.run(queries.text("analysis", "compare"), tables, {})
        rows = shown.of(rows, shape).with_columns(pl.lit(shape.entity_type).alias("entity_type"))
        frames.append(rows.select(list(columns)))
    return pl.concat(frames)

"""Compare: two instants against each other, net or with every step between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import polars as pl

from auditlab import queries
from auditlab.engines.base import params_frame
from auditlab.errors import BadOption
from auditlab.field_states import FIELD_STATES
from auditlab.marks import Mark
from auditlab.schema import FIELD_CHANGES, TIME
from auditlab.temporal import doubt, marked
from auditlab.temporal.undetermined import warn_interrupted, warn_left_out, warn_untold
from auditlab.temporal.views import view, with_path

if TYPE_CHECKING:
    from collections.abc import Mapping

    from auditlab.clock import Moment
    from auditlab.selection import Selected
    from auditlab.shape import Shape
    from auditlab.temporal.patterns import Patterns
    from auditlab.temporal.tolerance import Tolerance
    from auditlab.temporal.views import View

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
    start: Moment | None = None,
    end: Moment | None = None,
    *,
    marks: tuple[Mark | str, Mark | str] | None = None,
    steps: bool = False,
    paths: bool = False,
    ignore: Patterns = (),
    tolerance: Tolerance | None = None,
    list_keys: Mapping[str, str] | None = None,
) -> pl.DataFrame:
    """What differs between two instants, or between what two marks saw.

    Being absent is a state: an entity that is there only at the end has all its fields ``added``, one that is there
    only at the start has them ``removed``.

    Args:
        selected: The log, or a part of it that keeps whole histories.
        start: The earlier instant; its own changes count as done.
        end: The later instant, inclusive.
        marks: In place of both, two marks or their names, the earlier first: exactly what was committed at each.
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
        BadOption: end lies before start; or not two instants, and not two marks without ``steps``.
        NoData: an instant is outside what the log covers.
        IncompleteLog: the selection or the log does not hold whole histories.
        UnknownMark, BadMark, MarkMismatch: there is no such mark, or it says nothing about this log.

    Warns:
        UndeterminedState: entities are left out.
        UncertainTime: what was visible at an instant is open for some entities (as in ``as_of``).
    """
    selected.require_states("compare")
    selected.warn_withheld(*selected.entity_types)
    selected.warn_nameless(*selected.entity_types)
    shown = view(selected, paths=paths, ignore=ignore, tolerance=tolerance, list_keys=list_keys)
    if marks is not None:
        two = isinstance(marks, Sequence) and [isinstance(one, str | Mark) for one in marks] == [True, True]
        if steps or start is not None or end is not None or isinstance(marks, str) or not two:
            raise BadOption("compare(marks=(EARLIER, LATER)) takes two marks or their names, no times and no steps.")
        return _between_marks(selected, marks, shown, with_path(NET) if paths else NET)
    if start is None or end is None:
        raise BadOption("compare() takes two times, or marks=(EARLIER, LATER).")
    start_at, end_at = selected.instant(start), selected.instant(end)
    if end_at < start_at:
        raise BadOption(
            f"compare() goes from the earlier to the later: {start_at.isoformat()} is after {end_at.isoformat()}."
        )
    doubt.warn_unflagged(selected, (start_at, end_at), *selected.entity_types)
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
    warn_untold(selected, selected.shapes(), (start_at, end_at))
    warn_interrupted(selected, (start_at, end_at))
    frames = [pl.DataFrame(schema=columns)]
    for shape in selected.shapes():
        tables = {"field_states": shape.field_states, "untold": shape.untold, "params": params}
        rows = selected.engine.run(queries.text("analysis", "compare"), tables, {})
        rows = shown.of(rows, shape).with_columns(pl.lit(shape.entity_type).alias("entity_type"))
        frames.append(rows.select(list(columns)))
    return pl.concat(frames)


def _between_marks(
    selected: Selected, marks: tuple[Mark | str, Mark | str], shown: View, columns: Mapping[str, pl.DataType]
) -> pl.DataFrame:
    """The net difference between what two marks saw."""
    seen = [marked.view(selected, mark, None) for mark in marks]
    missed = seen[1].unseen_of(seen[0])
    if missed is not None:
        raise BadOption(
            "compare() goes from the earlier to the later: the second mark did not see transaction "
            f"{missed}, which the first may have seen."
        )
    frames = [pl.DataFrame(schema=columns)]
    untold: dict[str, int] = {}
    for shape in selected.shapes():
        left_out = pl.concat([marked.untold_seen(selected, shape, one) for one in seen]).unique()
        untold[shape.entity_type] = len(left_out)
        sides = [marked.docs_seen(selected, shape, one) for one in seen]
        at_start, at_end = (
            _cells(shape, side.filter(~pl.col("entity_id").is_in(left_out.implode()))) for side in sides
        )
        tables = {"at_start": at_start, "at_end": at_end}
        rows = selected.engine.run(queries.text("analysis", "compare_marks"), tables, {})
        rows = shown.of(rows, shape).with_columns(pl.lit(shape.entity_type).alias("entity_type"))
        frames.append(rows.select(list(columns)))
    warn_left_out(untold)
    warn_interrupted(selected)
    return pl.concat(frames)


def _cells(shape: Shape, states: pl.DataFrame) -> pl.DataFrame:
    """Each field of some states: entity_id, field, place, code and text."""
    parts = [
        states.select(
            "entity_id",
            pl.lit(column.name).alias("field"),
            pl.lit(place, dtype=pl.Int64).alias("place"),
            pl.lit(column.code.gather(states["doc"])).cast(pl.Int64).alias("code"),
            pl.lit(column.text.gather(states["doc"])).alias("text"),
        )
        for place, column in enumerate(shape.columns)
    ]
    schema = {name: FIELD_STATES[name] for name in ("entity_id", "field", "place", "code", "text")}
    return pl.concat([pl.DataFrame(schema=schema), *parts]).filter(pl.col("code").is_not_null())

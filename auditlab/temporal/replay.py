"""Replay: the changes folded in their order into a state, at once or step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from auditlab import queries
from auditlab.engines.base import params_frame
from auditlab.schema import TIME
from auditlab.temporal import doubt
from auditlab.temporal.undetermined import warn_interrupted, warn_untold

if TYPE_CHECKING:
    from auditlab.clock import Moment
    from auditlab.selection import Selected

__all__ = ["replay"]

STEP = ("id", "entity_id", "life", "operation", "changed_by", "changed_at", "transaction_id", "live")


def replay(selected: Selected, at: Moment | None = None, *, steps: bool = False) -> pl.DataFrame:
    """The state that the changes up to an instant make, folded change by change.

    It answers what ``as_of`` answers by another way: the last change of each entity, not the versions' times. That
    makes it a proof of ``as_of``, and, with ``steps``, a way to watch a state come to be.

    Args:
        selected: The log, or a part of it that keeps whole histories.
        at: Up to this time, inclusive; without one, to the end.
        steps: One row a change of each entity, with the state after it.

    Returns:
        One row a live entity, by entity_id: ``entity_id`` and the typed fields. Steps: ``id, entity_id, life,
        operation, changed_by, changed_at, transaction_id, live`` and the typed fields (null after a DELETE), in the
        log's order; ``live`` is null where the log does not tell the state after a change. Over several types
        ``entity_type`` first and ``state``, the recorded JSON text, for the fields.

    Raises:
        NoData: the time is outside what the log covers.
        IncompleteLog: the selection or the log does not hold whole histories.

    Warns:
        IncompletePopulation: rows were there before the log began, so the log may not know all of them.
        UndeterminedState: entities are left out whose state the log does not tell.
        UncertainTime: what was visible at the time is open for some entities (as in ``as_of``).
    """
    selected.require_states("replay")
    when = selected.instant(at) if at is not None else None
    if not steps:
        selected.warn_partial(*selected.entity_types)
        warn_untold(selected, selected.shapes(), (when,))
        warn_interrupted(selected, (when,))
    doubt.warn_unflagged(selected, (when,), *selected.entity_types)
    params = params_frame(at=(when, TIME), entity_id=(selected.entity_id, pl.String()))
    query = queries.text("analysis", "replay_steps" if steps else "replay")
    columns = STEP if steps else ("entity_id",)
    frames = []
    for shape in selected.shapes():
        rows = selected.engine.run(query, {"steps": shape.steps, "params": params}, {})
        if len(selected.entity_types) == 1:
            fields = (f"f{place}" for place in range(len(shape.columns)))
            answer = shape.public(rows.select(*columns, *fields), columns)
            return selected.in_order(answer, rows["position"]) if steps else answer
        kept = rows.select(pl.lit(shape.entity_type).alias("entity_type"), *columns, "state", "position")
        frames.append(kept)
    if not frames:
        return pl.DataFrame(schema={"entity_type": pl.String(), "entity_id": pl.String(), "state": pl.String()})
    every = pl.concat(frames)
    if not steps:
        return every.drop("position")
    every = every.sort("position", maintain_order=True)
    return selected.in_order(every.drop("position"), every["position"])

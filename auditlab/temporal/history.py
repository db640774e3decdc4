"""History: every version of every entity, with the time that it held."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from auditlab import queries
from auditlab.engines.base import params_frame
from auditlab.schema import HISTORY

if TYPE_CHECKING:
    from auditlab.selection import Selected

__all__ = ["history"]


def history(selected: Selected) -> pl.DataFrame:
    """Every version, by entity and version.

    A version is a state; the change that ended it (also a DELETE, which has no state) is ``ended_by``. A version that
    was replaced at the same instant is kept, with no length. ``valid_from`` is null where the state was there before
    the log began (``origin`` is ``unknown``). Where a change left no image of its state, and the changes around it or
    its changed fields tell it, ``origin`` is ``derived``; where they do not, there is no version for that time.

    Returns:
        ``auditlab.schema.HISTORY``'s columns, then the typed fields; a field whose name collides with a column is
        ``field.<name>``. Over several entity types ``entity_type`` first, and ``state``, the recorded JSON text.

    Raises:
        IncompleteLog: the selection or the log does not hold whole histories.

    Warns:
        IncompletePopulation: of some types the log has no change any more.
    """
    selected.require_states("history")
    selected.warn_withheld(*selected.entity_types)
    selected.warn_nameless(*selected.entity_types)
    selected.warn_gone(*selected.entity_types)
    params = params_frame(entity_id=(selected.entity_id, pl.String()))
    frames = []
    for shape in selected.shapes():
        if selected.engine.on_frames:
            # As history.sql says it, over the narrow versions, which stand by entity and version.
            own = shape.versions if selected.entity_id is None else shape.versions.filter(entity_id=selected.entity_id)
            rows = shape.with_fields(own.sort("entity_id", maintain_order=True))
        else:
            tables = {"history": shape.history, "params": params}
            rows = selected.engine.run(queries.text("analysis", "history"), tables, {})
        if len(selected.entity_types) == 1:
            rows = rows.select(*HISTORY, *(f"f{place}" for place in range(len(shape.columns))))
            return shape.public(rows, HISTORY)
        frames.append(rows.select(pl.lit(shape.entity_type).alias("entity_type"), *HISTORY, "state"))
    return pl.concat([pl.DataFrame(schema={"entity_type": pl.String(), **HISTORY, "state": pl.String()}), *frames])

"""Blame: for each field of each live entity who last set it, when, in which change, and from what."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from auditlab import queries
from auditlab.engines.base import params_frame
from auditlab.errors import BadOption
from auditlab.origins import FIELD_ORIGINS
from auditlab.schema import TIME
from auditlab.temporal import doubt
from auditlab.temporal.marked import origins_seen, untold_seen, view
from auditlab.temporal.undetermined import warn_left_out, warn_untold

if TYPE_CHECKING:
    from collections.abc import Mapping

    from auditlab.clock import Moment
    from auditlab.marks import Mark
    from auditlab.selection import Selected

__all__ = ["BLAME", "blame"]

_WITHIN = {"place", "valid_from", "valid_to", "first_version", "last_version"}
"""What ``field_origins`` says beside it: where a field stands, and how long its value was held."""

BLAME: dict[str, pl.DataType] = {
    "entity_type": pl.String(),
    **{name: dtype for name, dtype in FIELD_ORIGINS.items() if name not in _WITHIN},
}
"""The columns of a blame: one row a field of a live entity; ``value`` and ``old`` are the recorded text."""


def blame(
    selected: Selected, at: Moment | None = None, *, mark: Mark | str | None = None, snapshot: str | None = None
) -> pl.DataFrame:
    """For each field of each live entity at an instant (inclusive), as a mark saw it, else now: who last set it.

    A change sets a field where its own images differ in it as values; the same value in other words, and a field that
    a change merely carried along, are nobody's work. A life's INSERT sets all of its fields, so a row that was deleted
    and inserted again blames the new INSERT. A SNAPSHOT sets nothing.

    Args:
        selected: The log, or a part of it that keeps whole histories.
        at: A time; a bare date is 00:00, naive times are read in the log's zone. Without one, the latest state.
        mark: A mark, or the name of one beside the log: the last setting among the changes that were committed then.
        snapshot: The same by the text of a transaction snapshot (``pg_current_snapshot()``).

    Returns:
        ``BLAME``'s columns, by entity type and entity id. ``value`` is the recorded text at the instant (null for JSON
        null); ``set_by``, ``set_at``, ``id``, ``transaction_id`` and ``operation`` are the setting change's
        ``changed_by``, ``changed_at`` (UTC) and so on; ``old`` is the recorded text before it, ``old_present`` false
        where the field was not there before. ``origin`` says how it is known:

        - ``observed``: the change ``id`` set it.
        - ``derived``: the same, told by an image that was not recorded and follows from the changes around it.
        - ``unlogged``: it was set between two logged changes by something that was not logged. ``id`` and who and when
          are null; ``seen_in`` is the change that found it so.
        - ``unknown``: it was set before the log began, or the log has no image that tells; ``old_present`` is null,
          too, and ``seen_in`` is the change that first showed it.

        ``certain`` is false where that change's order in its transaction is ambiguous, where a row of the entity that
        was set apart stood behind its last change, and where it is open what was visible at the time (as in ``as_of``).

    Raises:
        NoData: the time, or the mark, is outside what the log covers.
        IncompleteLog: the selection or the log does not hold whole histories.
        BadOption: more than one of at, mark and snapshot.
        UnknownMark, BadMark, MarkMismatch: there is no such mark, or it says nothing about this log.

    Warns:
        IncompletePopulation: rows were there before the log began, so the log may not know all of them.
        UndeterminedState: entities are left out whose state the log does not tell.
        UncertainTime: entities that are absent may have been there at that time.
    """
    if sum(option is not None for option in (at, mark, snapshot)) > 1:
        raise BadOption("blame() takes one of at, mark and snapshot.")
    selected.require_states("blame")
    when = selected.instant(at) if at is not None else None
    seen = view(selected, mark, snapshot) if mark is not None or snapshot is not None else None
    selected.warn_partial(*selected.entity_types)
    if seen is not None:
        shapes = {shape.entity_type: shape for shape in selected.shapes()}
        warn_left_out({name: len(untold_seen(selected, shape, seen)) for name, shape in shapes.items()})
        return _told({name: origins_seen(selected, shape, seen) for name, shape in shapes.items()})
    warn_untold(selected, selected.shapes(), (when,))
    if when is not None:
        doubt.warn_absent(selected, when, *selected.entity_types)
    answers = {}
    for shape in selected.shapes():
        if selected.engine.on_frames:
            rows = shape.origins.at(when, selected.entity_id)
        else:
            params = params_frame(at=(when, TIME), entity_id=(selected.entity_id, pl.String()))
            tables = {"field_origins": shape.field_origins, "params": params}
            rows = selected.engine.run(queries.text("analysis", "blame"), tables, {})
        if when is not None:
            rows = doubt.flagged(selected.recorded, shape.entity_type, rows, when)
        answers[shape.entity_type] = rows
    return _told(answers)


def _told(answers: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """What the query found in each entity type, as ``BLAME``'s columns."""
    parts = [rows.select(pl.lit(name).alias("entity_type"), *list(BLAME)[1:]) for name, rows in answers.items()]
    return pl.concat([pl.DataFrame(schema=BLAME), *parts])

"""Drift: which fields of a table appeared, vanished, changed type or name; when, and in which transaction."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import polars as pl

from auditlab.analytics.ids import Ids
from auditlab.analytics.running import Running
from auditlab.analytics.turns import Sums, json_types, transaction, turns, turns_of, with_state
from auditlab.buckets.bucketed import Bucketed
from auditlab.schema import TIME

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from auditlab.analytics.turns import Place, Turn
    from auditlab.selection import Selected
    from auditlab.shape import Shape

__all__ = ["DRIFT", "drift", "likely_renames"]

DRIFT: dict[str, pl.DataType] = {
    "entity_type": pl.String(),
    "kind": pl.String(),
    "field": pl.String(),
    "old": pl.String(),
    "new": pl.String(),
    "rows": pl.Int64(),
    "share": pl.Float64(),
    "logged": pl.Boolean(),
    "id": pl.Int64(),
    "transaction_id": pl.Int64(),
    "changed_at": TIME,
    "changed_by": pl.String(),
}
"""The columns of a drift report: one row a field that appeared, vanished, was retyped or was renamed."""

_WAITING = 64
"""The part (1 in ...) of a question's room that images may take before they are written."""

ALIKE = 0.5
"""The share of rows whose value moved from one field to the other from which on that was likely a renaming."""


def drift(selected: Selected) -> pl.DataFrame:
    """Which fields appeared, vanished, changed their type or were likely renamed, in the log's order.

    A field counts where it turned for a table as a whole. A key that comes and goes from row to row is no column, and
    neither is one that a single change has between others that have not: that is a finding of the evidence. The report
    is about the log as it was recorded, whatever renames and upcasters it is read with; :func:`likely_renames` makes
    of its renamings what ``renamed()`` takes.

    Args:
        selected: The log, or some of its types.

    Returns:
        ``entity_type``; ``kind`` (appeared, vanished, retyped, renamed); ``field``, of a renaming the new name;
        ``old`` and ``new``: JSON types in words, several by name (null where the field is missing), of a renaming the
        names;
        ``rows`` (Int64): how many rows the transaction took over; ``share`` (Float64): of a renaming, the share of rows
        whose value is the same under both names; ``logged`` (Boolean): whether changes of the log did it, or DDL beside
        it; then the first change that shows it: id, transaction_id (Int64), changed_at (UTC) and changed_by.

    Raises:
        IncompleteLog: single changes are picked, here or as the log was loaded.

    >>> from auditlab import from_arrow
    >>> from auditlab.testing import make_log
    >>> log = from_arrow(make_log([("INSERT", "a", {"name": "x"}), ("UPDATE", "a", {"title": "x"})]))
    >>> log.drift().select("kind", "old", "new", "transaction_id").row(0)
    ('renamed', 'name', 'title', 2)
    """
    selected.require_chains("drift")
    selected.warn_gone(*selected.entity_types, changes=True)
    selected = selected.as_recorded()
    recorded = selected.recorded
    if isinstance(recorded, Bucketed):
        found, changes, sums = _dealt(recorded, selected)
    else:
        found, changes, sums = [], {}, Sums()
        for shape in selected.shapes():
            images = with_state(shape.images)
            own = list(turns(shape, images))
            changes |= {turn.place: _facts(recorded.changes, turn.place[0]) for turn in own}
            sums.add(shape, images, own, changes, {turn.place: turn.place[0] for turn in own})
            found += own
    told = [row | changes[place] for place, row in _report(found, changes, sums)]
    return pl.DataFrame([{name: row[name] for name in DRIFT} for row in told], schema=DRIFT, orient="row")


def likely_renames(selected: Selected, *, share: float = 0.9) -> dict[str, dict[str, str]]:
    """The renamings of the drift report as ``renamed()`` takes them: to be read by a person, and then declared.

    A field renamed twice is named by its last name; one that was renamed back, by the name that it has again. The
    report goes by values: where two columns often hold the same, it can be wrong.

    Args:
        selected: The log, or some of its types.
        share: The least share of rows whose value is the same under both names.

    Returns:
        entity type -> old name -> the name at the end of the log; nothing for a type without renamings.

    Raises:
        IncompleteLog: single changes are picked, here or as the log was loaded.

    >>> from auditlab import from_arrow
    >>> from auditlab.testing import make_log
    >>> log = from_arrow(make_log([("INSERT", "a", {"name": "x"}), ("UPDATE", "a", {"title": "x"})]))
    >>> log.likely_renames()
    {'t': {'name': 'title'}}
    >>> log.renamed(log.likely_renames()).drift().height, log.renamed(log.likely_renames()).fields()["field"].to_list()
    (1, ['title'])
    """
    told = drift(selected).filter((pl.col("kind") == "renamed") & (pl.col("share") >= share))
    found: dict[str, dict[str, str]] = {}
    for entity_type, old, new in told.select("entity_type", "old", "new").iter_rows():
        names = found.setdefault(entity_type, {})
        names.update({earlier: new for earlier, later in names.items() if later == old})
        names[old] = new
        names.pop(new, None)
    return {entity_type: names for entity_type, names in found.items() if names}


def _report(
    turns: list[Turn], changes: Mapping[Place, Mapping[str, Any]], sums: Sums
) -> Iterator[tuple[Place, dict[str, Any]]]:
    """The rows of the report without what ``changes`` has of each, in the log's order."""
    rows = []
    for entity_type in dict.fromkeys(turn.entity_type for turn in turns):
        left = [turn for turn in turns if turn.entity_type == entity_type]
        gone = [turn for turn in left if turn.now is None]
        for new in [turn for turn in left if turn.was is None]:
            together = [old for old in gone if transaction(changes, old) == transaction(changes, new)]
            share, old = max(
                ((sums.share(old, new), old) for old in together), key=lambda one: one[0], default=(0.0, None)
            )
            if old is not None and share >= ALIKE:
                gone.remove(old)
                left = [turn for turn in left if turn not in (old, new)]
                rows.append(
                    (new.place, sums.row(new, "renamed") | {"old": old.field, "new": new.field, "share": share})
                )
        for turn in left:
            kind = "appeared" if turn.was is None else "vanished" if turn.now is None else "retyped"
            rows.append((turn.place, sums.row(turn, kind)))
    yield from sorted(rows, key=lambda one: (one[0], one[1]["entity_type"]))


def _facts(changes: pl.DataFrame, position: int) -> dict[str, Any]:
    change = changes.row(position, named=True)
    return {name: change[name] for name in ("id", "transaction_id", "changed_at", "changed_by")}


def _dealt(recorded: Bucketed, selected: Selected) -> tuple[list[Turn], dict[Place, dict[str, Any]], Sums]:
    """The turns of a log that is dealt out, the changes in which they are, and what its images tell of them."""
    running = Running(recorded.count, Ids(recorded, 0).range_of, recorded.room // _WAITING)
    held: dict[tuple[str, str], set[str]] = {}
    for part in recorded.parts():
        for shape in replace(selected, recorded=part).shapes():
            for column in shape.columns:
                held.setdefault((shape.entity_type, column.name), set()).update(json_types(column))
            _ask(running, shape)
    for part in recorded.parts() if running.asked else ():
        running.take(part)
    running.judge()
    found: list[Turn] = []
    for about, types in held.items():
        runs = [running.runs(*about, types=by_type, states=True) for by_type in (False, True)]
        found += turns_of(*about, types, *runs)
    places = list(dict.fromkeys(turn.place for turn in found))
    changes: dict[Place, dict[str, Any]] = {}
    for part in recorded.parts() if found else ():
        here = ((place, part.place_of(*place)) for place in places)
        changes |= {place: _facts(part.changes, position) for place, position in here if position is not None}
    sums = Sums()
    for part in recorded.parts() if found else ():
        positions = {place: part.place_of(*place) for place in places}
        for shape in replace(selected, recorded=part).shapes():
            own = [turn for turn in found if turn.entity_type == shape.entity_type]
            sums.add(shape, with_state(shape.images), own, changes, positions)
    return found, changes, sums


def _ask(running: Running, shape: Shape) -> None:
    """Ask about the fields that some documents of a bucket lack, or that hold several JSON types."""
    for column in shape.columns:
        if column.code.null_count():
            running.ask(shape.entity_type, column.name, types=False, states=True)
        if column.kind == "mixed":
            running.ask(shape.entity_type, column.name, types=True, states=True)

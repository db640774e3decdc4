"""Doubt: what a recorded time leaves open. A transaction begins, and is seen by others only when it is committed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from auditlab import queries
from auditlab.callers import warn_caller
from auditlab.engines.base import params_frame
from auditlab.errors import UncertainTime
from auditlab.schema import TIME

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from auditlab.clock import Moment
    from auditlab.recorded import Recorded
    from auditlab.selection import Selected

__all__ = ["DOUBTFUL", "doubtful", "flagged", "in_doubt", "in_words", "warn_absent", "warn_unflagged"]

DOUBTFUL: dict[str, pl.DataType] = {
    "entity_type": pl.String(),
    "entity_id": pl.String(),
    "present": pl.Boolean(),
    "id": pl.Int64(),
    "operation": pl.String(),
    "transaction_id": pl.Int64(),
    "since": TIME,
    "until": TIME,
    "reason": pl.String(),
}
"""The columns of ``doubtful``: one row a change of an entity."""


def doubtful(selected: Selected, at: Moment) -> pl.DataFrame:
    """The changes of which it is not known whether others saw them at an instant: why states are not ``certain`` there.

    A log records when a transaction began (or when its commit was written down); others saw its changes later. Marks
    tell between which moments; without them a change is taken to have been visible ``visible_within`` seconds after
    its time (``log.facts``). What was recorded shorter before the instant is in the answers, and is listed here. More
    marks (``auditlab mark --every``) make this list shorter; as of a mark there is none.

    Args:
        selected: The log, or a part of it that keeps whole histories.
        at: A time; a bare date is 00:00, naive times are read in the log's zone.

    Returns:
        ``DOUBTFUL``'s columns, by entity type, entity id and the log's order. ``present`` says whether ``as_of(at)``
        has the entity, whose row is then not ``certain`` there; one that is absent in it may have been there.
        ``since`` and ``until`` bound the time for which this is so; a null ``until`` is the end of the log.

    Raises:
        NoData: the time is outside what the log covers.
        IncompleteLog: the selection or the log does not hold whole histories.
    """
    selected.require_states("doubtful")
    when = selected.instant(at)
    params = params_frame(at=(when, TIME), entity_id=(selected.entity_id, pl.String()))
    frames = [pl.DataFrame(schema=DOUBTFUL)]
    for entity_type in selected.entity_types:
        tables = {"doubts": selected.recorded.doubts(entity_type), "params": params}
        rows = selected.engine.run(queries.text("analysis", "doubtful"), tables, {})
        own = {
            "entity_type": pl.lit(entity_type),
            "present": pl.col("entity_id").is_in(_live(selected.recorded, entity_type, when).implode()),
            "reason": _reason(selected.recorded),
        }
        frames.append(rows.with_columns(**own).select(*DOUBTFUL))
    return pl.concat(frames)


def _reason(recorded: Recorded) -> pl.Expr:
    clock = {"changed_at": "its transaction began", "committed_at": "its commit was written down"}
    told = clock.get(recorded.facts.clock, "it was recorded")
    number = pl.col("transaction_id").cast(pl.String)
    known = (
        pl.when(pl.col("until").is_null())
        .then(pl.lit("and nothing tells when it was seen"))
        .otherwise(
            pl.format("and it is known to have been seen by {}", pl.col("until").dt.to_string("%Y-%m-%d %H:%M:%S%.6f"))
        )
    )
    return pl.format(
        "{} of transaction {}: {}, or a mark did not see it, at {}, {} UTC",
        "operation",
        number.fill_null("without a number"),
        pl.lit(told),
        pl.col("since").dt.to_string("%Y-%m-%d %H:%M:%S%.6f"),
        known,
    )


def in_words(recorded: Recorded, entity_type: str, entity_id: str | None, at: datetime) -> str:
    """Where a change of the entity is in doubt at the instant, a sentence that says so; else nothing."""
    if entity_id not in _at(recorded, entity_type, at):
        return ""
    return " That is not certain: a change recorded shortly before may not have been visible yet (log.doubtful(at))."


def flagged(recorded: Recorded, entity_type: str, rows: pl.DataFrame, at: datetime) -> pl.DataFrame:
    """``rows`` with ``certain`` false for the entities that a change in doubt at the instant belongs to."""
    ids = _at(recorded, entity_type, at)
    if ids.is_empty():
        return rows
    return rows.with_columns(pl.col("certain") & ~pl.col("entity_id").is_in(ids.implode()))


def in_doubt(recorded: Recorded, entity_type: str, asked: pl.DataFrame) -> pl.Series:
    """Boolean: for each row of ``asked`` (entity_id, at) whether a change of its entity is in doubt at its time."""
    doubts = recorded.doubts(entity_type)
    if doubts.is_empty():
        return pl.repeat(value=False, n=len(asked), eager=True, dtype=pl.Boolean)
    rows = asked.select("entity_id", "at").with_row_index("line").drop_nulls().sort("at")
    counts = []
    for edge in ("since", "until"):
        edges = doubts.select("entity_id", at=edge).drop_nulls().sort("at")
        edges = edges.with_columns(number=pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("entity_id"))
        found = rows.join_asof(edges, on="at", by="entity_id", strategy="backward", check_sortedness=False)
        counts.append(found["number"].fill_null(0))
    lines = rows["line"].filter(counts[0] > counts[1])
    return pl.int_range(len(asked), dtype=pl.UInt32, eager=True).is_in(lines.implode())


def warn_absent(selected: Selected, at: datetime, *entity_types: str) -> None:
    """Warn where an entity that is absent at the instant may have been there: no row can carry its flag."""
    told: dict[str, int] = {}
    for name in entity_types:
        ids = _own(selected, _at(selected.recorded, name, at))
        absent = int((~ids.is_in(_live(selected.recorded, name, at).implode())).sum()) if len(ids) else 0
        if selected.beside is not None:
            absent += len(_own(selected, selected.beside.absent(name)))
        told |= {name: absent} if absent else {}
    _warn(told, at, "that are absent from this answer may have been there")


def warn_unflagged(selected: Selected, moments: Iterable[datetime | None], *entity_types: str) -> None:
    """Warn where states at the instants are not certain, and the answer has no column to say so."""
    for at in moments:
        if at is not None:
            counts = {name: len(_own(selected, _at(selected.recorded, name, at))) for name in entity_types}
            told = {name: count for name, count in counts.items() if count}
            _warn(told, at, "are not certain, and this answer does not flag them")


def _warn(told: dict[str, int], at: datetime, words: str) -> None:
    if told:
        listed = (
            "Transactions were, or may have been, at work: log.doubtful(at) lists them; as of a mark there is no doubt."
        )
        message = UncertainTime(f"as of {at.isoformat(sep=' ')}, entities {words}", told, listed)
        warn_caller(message)


def _at(recorded: Recorded, entity_type: str, at: datetime) -> pl.Series:
    """The ids of the entities with a change in doubt at the instant, each once."""
    doubts = recorded.doubts(entity_type)
    if doubts.is_empty():
        return doubts["entity_id"]
    open_still = pl.col("until").is_null() | (pl.col("until") > at)
    return doubts.filter((pl.col("since") <= at) & open_still)["entity_id"].unique(maintain_order=True)


def _own(selected: Selected, ids: pl.Series) -> pl.Series:
    return ids if selected.entity_id is None else ids.filter(ids == selected.entity_id)


def _live(recorded: Recorded, entity_type: str, at: datetime) -> pl.Series:
    """The ids of the entities that are live at the instant."""
    begun = pl.col("valid_from").is_null() | (pl.col("valid_from") <= at)
    holds = begun & (pl.col("valid_to").is_null() | (pl.col("valid_to") > at))
    return recorded.shape(entity_type).versions.filter(holds)["entity_id"]

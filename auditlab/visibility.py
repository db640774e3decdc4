"""When a change became visible: between which moments, by the marks, the recorded time, and how long that may lag.

A transaction's changes carry the time at which it began, or at which its commit was written down; others see them
later. Marks say of each transaction which saw it and which did not, so its changes became visible after the last that
did not and before the first that did. Elsewhere a change is taken to be visible within ``LogFacts.visible_within`` of
its effective time.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl

from auditlab.errors import MarkMismatch
from auditlab.marks import in_order
from auditlab.schema import TIME

if TYPE_CHECKING:
    from auditlab.marks import Mark
    from auditlab.schema import LogFacts

__all__ = ["COMMIT_LAG", "DOUBTS", "LONGEST_TRANSACTION", "VISIBLE_FROM", "dated", "doubts", "same_system", "seen"]

VISIBLE_FROM = "visible_from"
"""The column by which ``dated`` says when a change can have been visible at the earliest."""

COMMIT_LAG = timedelta(seconds=60)
"""How long after its recorded time a commit may become visible: the log is flushed, a standby may have to confirm."""

LONGEST_TRANSACTION = 3600.0
"""Seconds that a transaction is taken to be open at the most, where nobody said and no mark tells."""

_TICK = timedelta(microseconds=1)

DOUBTS: dict[str, pl.DataType] = {
    "entity_id": pl.String(),
    "position": pl.UInt32(),
    "id": pl.Int64(),
    "operation": pl.String(),
    "transaction_id": pl.Int64(),
    "since": TIME,
    "until": TIME,
}
"""One row a change of an entity and the time, closed-open, in which it may have been visible or not."""


def same_system(facts: LogFacts, mark: Mark) -> None:
    """Raise ``MarkMismatch`` where the transaction ids that a mark knows are not those of the log."""
    if facts.system is not None and mark.system is not None and facts.system != mark.system:
        raise MarkMismatch(
            f"the mark ({mark}) is of system {mark.system}, the log of {facts.system}: transaction ids of one "
            "mean nothing in the other."
        )
    known = facts.timeline is not None and mark.timeline is not None and mark not in facts.marks
    if known and mark.timeline != facts.timeline:
        raise MarkMismatch(
            f"the mark ({mark}) is of timeline {mark.timeline}, the log of {facts.timeline}: after a failover or a "
            "restore, transactions that it saw may be gone. Marks that the database keeps (audit.mark) go with it."
        )


def seen(transaction_ids: pl.Series, marks: tuple[Mark, ...]) -> pl.DataFrame:
    """Of each transaction: ``unseen_at`` (the last moment that did not see it) and ``seen_at`` (the first that did).

    Args:
        transaction_ids: Int64, distinct, without nulls.
        marks: Of one system.

    Returns:
        transaction_id, unseen_at and seen_at; null where no mark says.
    """
    ordered = in_order(marks)
    views = [mark.sees for mark in ordered]
    running = [(one, place) for place, view in enumerate(views) for one in view.running]
    latest = pl.DataFrame(running, schema={"transaction_id": pl.Int64, "ran_at": pl.Int64}, orient="row")
    latest = latest.group_by("transaction_id").agg(pl.max("ran_at"))
    known = pl.DataFrame({"transaction_id": transaction_ids}).join(
        latest, on="transaction_id", how="left", maintain_order="left"
    )
    before_it = pl.Series([view.xmax for view in views], dtype=pl.Int64).search_sorted(
        known["transaction_id"], side="right"
    )
    last = pl.max_horizontal(pl.lit(before_it).cast(pl.Int64) - 1, pl.col("ran_at").fill_null(-1))
    times = pl.DataFrame(
        {"at": [mark.at for mark in ordered], "since": [mark.since for mark in ordered]},
        schema={"at": TIME, "since": TIME},
    ).select(
        place=pl.int_range(pl.len(), dtype=pl.Int64),
        since=pl.col("since").cum_max(),  # clocks of marks taken side by side may disagree with what they saw
        at=pl.col("at").cum_min(reverse=True),
    )
    return (
        known.with_columns(last=last, next=last + 1)
        .join(times.select(last="place", unseen_at="since"), on="last", how="left", maintain_order="left")
        .join(times.select(next="place", seen_at="at"), on="next", how="left", maintain_order="left")
        .select("transaction_id", "unseen_at", "seen_at")
    )


def dated(rows: pl.DataFrame, facts: LogFacts) -> pl.DataFrame:
    """The rows with ``VISIBLE_FROM``: the recorded time or, where a mark later than that saw nothing of it, after that.

    A mark that would make a transaction last longer than ``visible_within`` moves nothing: the ids may be of another
    system (a restored log). ``doubts`` tells of those.
    """
    moved = _bounds(rows, facts).select(
        pl.when(_late(facts)).then(pl.col("unseen_at") + _TICK).otherwise(pl.col("recorded"))
    )
    return rows.with_columns(moved.to_series().alias(VISIBLE_FROM))


def doubts(steps: pl.DataFrame, changes: pl.DataFrame, facts: LogFacts) -> pl.DataFrame:
    """``DOUBTS``' columns, by entity and position: when each change may have been visible or not.

    Args:
        steps: One row a change of an entity: ``entity_id``, ``position``, ``id``, ``operation``, ``transaction_id`` and
            ``effective``.
        changes: The canonical columns with ``position``.
        facts: The log's.
    """
    within = timedelta(seconds=facts.visible_within)
    if not facts.marks and not within:
        return pl.DataFrame(schema=DOUBTS)
    columns = [name for name in DOUBTS if name not in ("since", "until")]
    own = steps.select(*columns, pl.col("effective").alias("since"))
    times = _bounds(changes, facts).with_columns(position=changes["position"])
    own = own.join(times, on="position", how="left", maintain_order="left")
    overlong = (pl.col("unseen_at") >= pl.col("recorded") + within).fill_null(value=False)
    assumed = pl.when(~overlong).then(pl.col("since") + within)
    until = pl.min_horizontal("seen_at", assumed, pl.col("committed_at") + COMMIT_LAG)
    own = own.with_columns(until=until)
    return own.filter(pl.col("until").is_null() | (pl.col("until") > pl.col("since"))).select(*DOUBTS)


def _late(facts: LogFacts) -> pl.Expr:
    within = timedelta(seconds=facts.visible_within)
    late = (pl.col("unseen_at") >= pl.col("recorded")) & (pl.col("unseen_at") < pl.col("recorded") + within)
    return late.fill_null(value=False)


def _bounds(rows: pl.DataFrame, facts: LogFacts) -> pl.DataFrame:
    """The times of each row: recorded, committed_at, unseen_at and seen_at."""
    times = rows.select("transaction_id", "committed_at", pl.col(facts.clock).alias("recorded"))
    if not facts.marks:
        nothing = pl.lit(None, dtype=TIME)
        return times.with_columns(unseen_at=nothing, seen_at=nothing)
    ids = times["transaction_id"].drop_nulls().unique()
    return times.join(seen(ids, facts.marks), on="transaction_id", how="left", maintain_order="left")

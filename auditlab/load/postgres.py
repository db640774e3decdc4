"""A log from PostgreSQL: into memory, or as a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from auditlab import malformed
from auditlab.load.catalog import DEFAULT_TABLE
from auditlab.load.estimate import refuse_too_large
from auditlab.load.source import Loaded, frame
from auditlab.load.stream import ChangeStream
from auditlab.order import sequence
from auditlab.schema import CHANGES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from auditlab.clock import Moment
    from auditlab.load.filters import Entity
    from auditlab.marks import Mark
    from auditlab.schema import LogFacts

__all__ = ["ChangeStream", "read_postgres"]


def read_postgres(
    dsn: str,
    *,
    table: str = DEFAULT_TABLE,
    entity_types: str | Sequence[str] | None = None,
    start: Moment | None = None,
    end: Moment | None = None,
    partitions: str | Sequence[str] | None = None,
    user: str | UUID | int | None = None,
    entity: Entity | None = None,
    baseline: bool = True,
    columns: Mapping[str, str | None] | None = None,
    zone: str = "UTC",
    connections: int = 1,
    progress: bool | None = None,
    strict: bool = True,
    memory_limit: int | None = None,
    allow_unsafe_order: bool = False,
    clock: str | None = None,
    visible_within: float | None = None,
    since: Moment | Mark | None = None,
) -> Loaded:
    """The log in a PostgreSQL database, all of it or the part that the filters name, as of one snapshot.

    Where the server tracks when transactions commit (``track_commit_timestamp``), the changes of an ordinary table get
    their commit times, and those are the log's clock if every change has one. The marks that the database keeps
    (:func:`auditlab.mark`) come along.

    Filters run on the server. Changes at exactly ``start`` are loaded, those at exactly ``end`` are not. A change
    counts by its effective time: one that its entity's order puts after a later time goes with that time.

    Args:
        dsn: A libpq URL or ``key=value`` text.
        table: The log's name as SQL writes it.
        entity_types: One or several entity types (``schema.table``); partitions of a table count as the table.
        start: The first instant; without ``baseline=False`` the last change of each entity before it comes too.
        end: The instant after the last.
        partitions: Names of partitions of the log; makes a log of changes only, which ``evidence`` does not judge.
        user: Who made the changes; the same.
        entity: One entity: its id, its key's only value, or its key's columns and values.
        baseline: Whether to load what was there before ``start``; without it the log is of changes only.
        columns: Canonical name to the log's own, for columns that are called otherwise; None for an image that it does
            not have, or that is not to be read: the server does not send it then, and what the others tell of it is
            derived. A before image is nearly always what the change before left; that ``evidence`` cannot judge then,
            and says so.
        zone: The time zone in which times without one are read.
        connections: How many connections read at once, all in the same snapshot.
        progress: Whether to show progress on stderr; None shows it where that is a terminal.
        strict: Whether rows that are no changes are an error; else they are set aside in ``Loaded.malformed``.
        memory_limit: Bytes that the rows may take; None asks the system.
        allow_unsafe_order: Whether to load a log whose ids were handed out in batches (sequence CACHE above 1).
        clock: ``changed_at`` or ``committed_at``: which times date the log. None takes the commits' where every change
            has one and neither ``start`` nor ``end`` is given, which are times of ``changed_at``.
        visible_within: Seconds from a change's time to the moment at which others saw it, at the most: the longest that
            a transaction was open, or a commit under way. What was recorded so shortly before a time is not ``certain``
            there, unless marks tell. None is an hour for ``changed_at``, a minute for ``committed_at``; 0 takes the
            times for that moment.
        since: Begin with the states of the last snapshot of the entities that was taken by this time, or of the one
            whose mark has this name, and load only what came after it: the log then answers from that snapshot's moment
            on, exactly as the whole log would, at the cost of the states and what came since. What was before (who last
            set a field, earlier versions) it does not know, and says so. Goes together with ``entity_types``, not with
            the other filters.

    Raises:
        ConnectionFailed: no connection, or none any more; nothing is returned.
        NotInstalled, NoSuchTable: there is no such table.
        AccessDenied, IncompleteRead: the role may not read it, or would not see all of it.
        SchemaMismatch: columns are missing, mistyped, or null where they must not be; all of them are named.
        BadTime: a recorded time is infinite or beyond the years 1 to 9999; ``since`` is neither a time nor the name of
            a snapshot, of which the message says what there are.
        MalformedChange: rows that are no changes, by kind.
        UnsafeOrder: the log's ids do not tell an order.
        LogTooLarge: the rows would not fit in memory.
        UnknownEntityType: the log has no change of such a type; the message names those it has.
        UnknownEntity: the log has no change of ``entity``.
        IncompleteLog: commit times are to be the clock, and changes have none; or changes that came after the snapshot
            of the entities were dropped from the log.
        NoData: no snapshot of the entities was taken by ``since``; or all that was asked for, up to ``end``, was
            dropped from the log (``prune``).
        BadOption: options that do not go together.

    Warns:
        IncompleteInterval: changes from ``start`` on were dropped from the log.
    """
    with ChangeStream(
        dsn,
        table=table,
        entity_types=entity_types,
        start=start,
        end=end,
        partitions=partitions,
        user=user,
        entity=entity,
        baseline=baseline,
        columns=columns,
        zone=zone,
        connections=connections,
        progress=progress,
        allow_unsafe_order=allow_unsafe_order,
        clock=clock,
        visible_within=visible_within,
        since=since,
    ) as stream:
        refuse_too_large(stream.expected_bytes(), limit=memory_limit, rows=stream.expected, label=stream.log.label)
        before = None
        if stream.has_baseline:
            before, _ = malformed.split(frame(stream.baseline()), strict=strict, whole=False)
        changes, aside = malformed.split(frame(stream), strict=strict)
        stream.check_asked()
        facts = stream.facts
    if before is not None:
        before = _last_changes(before, facts)
    return Loaded(changes=changes, facts=facts, baseline=before, malformed=aside)


def _last_changes(before: pl.DataFrame, facts: LogFacts) -> pl.DataFrame:
    """Of the rows before a start, each entity's last in the log's order; of a type's TRUNCATEs the last."""
    if facts.clock == "committed_at":  # of states that were read: when
        before = before.with_columns(committed_at=pl.coalesce("committed_at", "changed_at"))
    ordered = sequence(before, clock=facts.clock, kinds=facts.kinds).changes
    last = ordered.unique(["entity_type", "entity_id"], keep="last", maintain_order=True)
    return last.select(*CHANGES).sort("id", maintain_order=True)

"""What a load covers: by what was asked for, what was read, and what was dropped from the log before."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from auditlab.callers import warn_caller
from auditlab.clock import instant
from auditlab.errors import IncompleteInterval, NoData
from auditlab.load import snapshots
from auditlab.load.commit_times import CLOCKS
from auditlab.load.filters import compose
from auditlab.schema import Coverage
from auditlab.visibility import LONGEST_TRANSACTION

if TYPE_CHECKING:
    from collections.abc import Iterable

    from auditlab.connection import Connection
    from auditlab.load.catalog import LogTable
    from auditlab.load.commit_times import Clock
    from auditlab.load.filters import Filters
    from auditlab.load.retention import Dropped
    from auditlab.schema import Beginning

__all__ = ["begun", "check_asked", "covered"]


def begun(connection: Connection, log: LogTable, filters: Filters, zone: str) -> dict[str, datetime]:
    """When a log begins, by each of its clocks, of which types or an entity are picked: what they have begins later.

    Empty where all is read, where changes are picked that tell no states, and where no transaction ids tell it without
    all of the log being read.
    """
    if filters.types is None or filters.partial or log.column("transaction_id").theirs is None:
        return {}
    try:
        rows = connection.rows(compose("first", log))
    except (OverflowError, ValueError):  # a time beyond the years 1 to 9999, of a row that is not asked for
        return {}
    times = {name: rows[0].get(name) for name in CLOCKS} if rows else {}
    return {name: instant(time, zone) for name, time in times.items() if isinstance(time, datetime)}


def covered(
    clock: Clock,
    *,
    start: datetime | None,
    begun: datetime | None,
    known: datetime | None,
    filters: Filters,
    dropped: Dropped | None,
    gone: Iterable[str],
    since: Beginning | None,
) -> Coverage:
    """What a load covers.

    Args:
        clock: Which saw the rows that were read.
        start: The first instant that was asked for; None where there is none.
        begun: When the whole log begins, by its clock, of which a part was read; None where that is not known.
        known: Up to when all is known that was committed.
        filters: What part of the log was asked for.
        dropped: What was dropped from the beginning of the log; None for nothing.
        gone: The entity types of which all changes were dropped.
        since: The snapshot of the entities with which the load begins; None where it begins by itself.
    """
    first, last = clock.span
    if first is not None and begun is not None:
        first = min(first, begun)
    end = max((time for time in (known, last) if time is not None), default=None)
    if since is not None:
        return snapshots.covered(since, end, dropped=dropped is not None)
    why = filters.partial
    coverage = Coverage(start=start or first, end=end, complete=not why, why=why, cut=start, gaps=filters.gaps)
    if coverage.start is None:
        coverage = replace(coverage, end=None)
    return coverage if dropped is None else _without(coverage, dropped, clock.first_recorded, clock.name, gone)


def _without(coverage: Coverage, dropped: Dropped, first: datetime | None, clock: str, gone: Iterable[str]) -> Coverage:
    """What a log covers from whose beginning partitions were dropped.

    What was dropped may have become visible to others a while after its time; states are known from then on, and so is
    each change by the time of its commit.
    """
    whole = first is None or first >= dropped.until
    why = dropped.words(gone)
    if not whole:
        why = f"changes from before are still there, and {why}"
    if coverage.why:
        why = f"{coverage.why}; {why}"
    seen = dropped.until + timedelta(seconds=LONGEST_TRANSACTION)
    cut = max(dropped.until if clock == "changed_at" else seen, coverage.cut or dropped.until)
    if coverage.start is None or coverage.end is None:
        return replace(coverage, why=why, cut=cut)
    start = min(max(seen, cut), coverage.end)
    complete, gaps = coverage.complete and whole, coverage.gaps or not whole
    return replace(coverage, start=start, cut=cut, complete=complete, why=why, gaps=gaps)


def check_asked(dropped: Dropped | None, clock: Clock, *, start: datetime | None, end: datetime | None) -> None:
    """Check that what was asked for was not dropped from the log: it was read, and ``clock`` saw its rows.

    Raises:
        NoData: all of it was dropped.

    Warns:
        IncompleteInterval: its beginning was.
    """
    if dropped is None:
        return
    if end is not None and end <= dropped.until and clock.first_recorded is None:
        raise NoData(f"the log has no change from before {end.isoformat(sep=' ')} any more: {dropped.words()}.")
    if start is not None and start < dropped.until:
        warn_caller(
            f"asked for changes from {start.isoformat(sep=' ')} on. Those of before "
            f"{dropped.until.isoformat(sep=' ')} are not all in the log: {dropped.words()}.",
            IncompleteInterval,
        )

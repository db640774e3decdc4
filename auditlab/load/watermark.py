"""The low watermark of a live log: below which transaction id nothing new can appear, who holds it, and what waits.

Ids and times are no place to read on from: a change with a lower id, or an earlier time, can be committed later. Of
transactions below the oldest one that is still open, a snapshot shows all that will ever be there.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from auditlab.errors import AccessDenied, NotDurable, UntrackableChanges
from auditlab.load.filters import compose
from auditlab.queries import text

if TYPE_CHECKING:
    from auditlab.connection import Connection
    from auditlab.load.catalog import LogTable

__all__ = ["Held", "Watermark", "check_trackable", "has_transactions", "held", "wait_until_durable", "watermark"]

FIRST_TRANSACTION = 3
"""The least id that PostgreSQL gives to a transaction."""

PAUSE = 0.02
"""Seconds between two looks at how far the server's disk is."""


@dataclass(frozen=True, slots=True)
class Watermark:
    """A place up to which a log can be read once and for all.

    Args:
        transaction: All changes of transactions below this id are visible in the snapshot, and none can be added.
        next: The id that the next transaction will have, at least.
        timeline: The server's timeline; another one begins where a standby was promoted or a backup restored.
        lsn: The place in the server's own log behind everything that the snapshot shows; None on a standby, which
            shows only what is on its primary's disk.
    """

    transaction: int
    next: int
    timeline: int
    lsn: str | None


@dataclass(frozen=True, slots=True)
class Held:
    """What a pull left for the next one.

    Args:
        rows: Changes that are committed, at or above the watermark.
        holder: The oldest open transaction, in words; None where it is not known or there is none.
        since: When that transaction began, UTC.
        before: What is left was begun at this time or later, UTC; None where nothing is left.
    """

    rows: int
    holder: str | None
    since: datetime | None
    before: datetime | None

    def __str__(self) -> str:
        if self.holder is None and not self.rows:
            return ""
        since = "" if self.since is None else f" since {self.since:%Y-%m-%d %H:%M:%S} UTC"
        who = f"{self.holder} has a transaction open{since}" if self.holder else "a transaction was open"
        return f"{who}; {self.rows:,} rows wait for the next pull"


def has_transactions(connection: Connection, log: LogTable) -> bool:
    """Whether a log tells which transaction made a change."""
    if log.column("transaction_id").theirs is None:
        return False
    return bool(connection.rows(compose("has_transactions", log))[0]["found"])


def watermark(connection: Connection) -> Watermark:
    """The watermark of the snapshot that the connection's transaction (REPEATABLE READ) reads."""
    return Watermark(**connection.rows(text("load", "watermark"))[0])


def check_trackable(connection: Connection, log: LogTable, mark: Watermark) -> None:
    """Check that a reader by transaction sees every change.

    Raises:
        UntrackableChanges: changes have no transaction id, or one that cannot be; counted by kind.
    """
    connection.set_local("auditlab.first_transaction", str(FIRST_TRANSACTION))
    connection.set_local("auditlab.next_transaction", str(mark.next))
    given = frozenset({"first_transaction", "next_transaction"})
    found = connection.rows(compose("untrackable", log, given=given))
    if found:
        told = "; ".join(f"{row['rows']:,} {row['kind']} (first id {row['first']})" for row in found)
        raise UntrackableChanges(
            f"{log.label} has changes that reading on by transaction id would miss: {told}. Ids are of no use where a "
            "log was restored or replicated from another server: archive it as a whole (once=True, --once)."
        )


def held(connection: Connection, log: LogTable, mark: Watermark) -> Held:
    """What is committed and must wait, and for whom."""
    connection.set_local("auditlab.to_transaction", str(mark.transaction))
    waiting = connection.rows(compose("waiting", log, given=frozenset({"to_transaction"})))[0]
    holder = next(iter(connection.rows(text("load", "holder"))), None)
    times = [waiting["first"], *([holder["since"], holder["earliest"]] if holder else [])]
    first, since, earliest = (None if time is None else time.astimezone(UTC) for time in (*times, None, None)[:3])
    return Held(
        rows=waiting["rows"],
        holder=holder["what"] if holder else None,
        since=since,
        before=min((time for time in (first, earliest) if time is not None), default=None),
    )


def wait_until_durable(connection: Connection, mark: Watermark, *, seconds: float = 60.0) -> None:
    """Wait until all that the snapshot showed is on the server's disk, as asynchronous commits are a little later.

    Args:
        connection: One of its own, each statement its own transaction.
        mark: The place.
        seconds: How long to wait.

    Raises:
        NotDurable: it is not after so many seconds.
    """
    if mark.lsn is None or _flushed(connection, mark.lsn):
        return
    with suppress(AccessDenied):
        connection.rows(text("load", "nudge"))
    give_up = time.monotonic() + seconds
    while not _flushed(connection, mark.lsn):
        if time.monotonic() > give_up:
            raise NotDurable(
                f"{connection.label}: what was committed is not on the server's disk after {seconds:.0f} s "
                f"(up to {mark.lsn}). Nothing was archived; try again."
            )
        time.sleep(PAUSE)


def _flushed(connection: Connection, lsn: str) -> bool:
    return bool(connection.rows(text("load", "flushed"), (lsn,))[0]["flushed"])

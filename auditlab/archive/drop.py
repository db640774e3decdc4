"""Drop one partition: what came into it since it was proven is proven, too, in the transaction that drops it."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from auditlab.archive.presence import missing
from auditlab.connection import connect
from auditlab.errors import DatabaseError, DropRefused
from auditlab.load.filters import compose
from auditlab.load.retention import bounds, kept_beside
from auditlab.load.snapshot import pin
from auditlab.queries import quote_identifier, text

if TYPE_CHECKING:
    from auditlab.archive.presence import Against, Proof
    from auditlab.connection import Connection
    from auditlab.load.retention import Bound

__all__ = ["drop"]

_ATTEMPTS = 8
_PAUSE = 0.5
"""Seconds between two attempts to get a lock: what waited behind the last one goes on meanwhile."""

_PARTITION_SECONDS = 3.0
"""How long to wait for the partition's own lock, behind which only those wait who write into that old month."""

_LOCKED = ("55P03", "40P01")
_LOG, _LEAF, _RECORD = (
    "audit.entity_change_log",
    "audit.entity_change_log_leaf",
    "audit.entity_change_log_pruned",
)
"""What stands in the statements for a log, its partition, and the record of what was dropped."""


def drop(dsn: str, against: Against, part: Bound, proof: Proof, *, owner: str, lock_timeout: float, before: str) -> int:
    """Drop a partition that was proven: in one transaction, or not at all. Returns how many changes it had.

    Its own lock keeps writers out of it while the rest is proven. The log's lock, which keeps out all writers, is taken
    last, for as long as detaching and dropping take.

    Args:
        dsn: Where.
        against: What it is held against.
        part: The partition.
        proof: The proof of all that was in it at the earlier moment.
        owner: The role that owns the log.
        lock_timeout: How long the log's own lock may be waited for, each time: other writers wait behind.
        before: What to say of what was dropped before, where this fails.

    Raises:
        DropRefused: rows that came since are not in the archive, or are under a hold; or the locks were not to be had.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with connect(dsn, isolation="read committed", lock_timeout=_PARTITION_SECONDS) as connection:
                pin(connection)
                connection.execute(f"SET LOCAL ROLE {quote_identifier(owner)}")
                return _dropped(connection, against, part, proof, lock_timeout=lock_timeout, before=before)
        except DatabaseError as exc:
            if isinstance(exc, DropRefused) or not any(state in str(exc) for state in _LOCKED):
                raise
            refused = exc
        if attempt < _ATTEMPTS:
            time.sleep(_PAUSE)
    raise DropRefused(
        f"{part.name} was not dropped: its lock, or that of {against.log.label}, was not to be had in {_ATTEMPTS} "
        f"attempts. {_holders(dsn, against, part)}. {before} Try again when they have ended."
    ) from refused


def _dropped(
    connection: Connection, against: Against, part: Bound, proof: Proof, *, lock_timeout: float, before: str
) -> int:
    log, leaf, record = against.log, part.leaf.relation, kept_beside(against.log)
    connection.execute(text("archive", "lock_partition").replace(_LEAF, leaf))
    there = {(one.leaf.oid, one.start, one.end) for one in bounds(connection, log)}
    if (part.leaf.oid, part.start, part.end) not in there:
        raise DropRefused(f"{part.name} is not the partition any more that was proven. {before}")
    connection.set_local("auditlab.since", str(against.since % 2**32))
    query = compose("newer", log, leaf=part.leaf).replace(_LEAF, leaf)
    since = against.proof(part, against.rows(connection, query))
    if since.missing:
        raise DropRefused(f"{missing(since, part)}: written since it was proven. {before} Pull, then try again.")
    if since.under:
        raise DropRefused(f"{part.name}: changes came in since it was proven that are under a hold. {before}")
    connection.set_local("lock_timeout", str(max(1, round(lock_timeout * 1000))))
    connection.execute(text("archive", "drop_partition").replace(_LEAF, leaf).replace(_LOG, log.relation))
    connection.set_local("auditlab.log", log.relation)
    connection.set_local("auditlab.dropped", record)
    connection.execute(text("archive", "keep_dropped"))
    told = (
        part.leaf.name,
        part.start.isoformat() if part.start else None,
        part.end.isoformat() if part.end else None,
        max(proof.rows, since.rows),
        _last(proof.last_id, since.last_id),
        _last(proof.last_transaction, since.last_transaction),
        against.archive,
        json.dumps(dict(sorted((proof.types | since.types).items()))),
    )
    connection.rows(text("archive", "add_dropped").replace(_RECORD, record), told)
    return max(proof.rows, since.rows)


def _last(*numbers: int | None) -> int | None:
    return max((one for one in numbers if one is not None), default=None)


def _holders(dsn: str, against: Against, part: Bound) -> str:
    with connect(dsn, autocommit=True) as connection:
        found = connection.rows(text("archive", "lockers"), (json.dumps([against.log.oid, part.leaf.oid]),))
    if not found:
        return "Whoever held it has ended by now"
    return "Locks on them are held by " + "; ".join(row["what"] for row in found)

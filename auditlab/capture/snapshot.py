"""Snapshot: write down the state of every live entity, so that a load need not begin where the log does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from auditlab.capture.mark import require_unused
from auditlab.capture.partitions import LOCK_SECONDS
from auditlab.connection import connect
from auditlab.errors import AccessDenied, BadOption, NotInstalled, OnStandby
from auditlab.marks import MARKS, Mark
from auditlab.queries import text

__all__ = ["EntitySnapshot", "snapshot"]


@dataclass(frozen=True, slots=True)
class EntitySnapshot:
    """What ``snapshot`` found and did.

    Args:
        mark: The mark of the moment whose states were written; None where it was not worth it.
        entities: How many live entities it has; where none was written, those of the last one.
        changes: How many changes came since the one before it; where none was written, since the last one.
        removed: How many older snapshots were removed.
    """

    mark: Mark | None
    entities: int
    changes: int
    removed: int

    @property
    def taken(self) -> bool:
        """Whether a snapshot was written."""
        return self.mark is not None

    def __str__(self) -> str:
        if self.mark is None:
            told = f"not taken: {self.changes:,} changes since the last one, which has {self.entities:,} entities"
        else:
            told = (
                f"{self.entities:,} entities as of the mark {self.mark}, {self.changes:,} changes after the one before"
            )
        return told + (f"; {self.removed:,} older ones removed" if self.removed else "")


def snapshot(dsn: str, name: str | None = None, *, always: bool = False, keep: int | None = None) -> EntitySnapshot:
    """Write the state of every live entity into ``audit.entity_snapshots``, all as of one mark that is taken with it.

    ``read_postgres(since=...)`` loads the states of the nearest one and what came after, instead of the whole log; and
    a log whose old partitions were dropped answers from it on. Each begins where the one before it ends, so that it
    costs what changed since and what is there, however long the log is. It is written only where more changed since
    the last one than that has entities.

    Args:
        dsn: Where; the role must be a member of ``auditlab_archiver``.
        name: What to call its mark: a name that no mark of the database has.
        always: Write it also where few changes came.
        keep: Leave so many snapshots, and remove older ones; None leaves all.

    Raises:
        IncompleteLog: partitions were dropped with changes that no snapshot saw, or states are not in the log.
        UntrackableChanges: the log was restored or replicated: its transaction ids are not this server's.
        NotInstalled, AccessDenied, OnStandby: it cannot be written here.
        BadMark: a mark of that name was made before; the message says when.
        BadOption: ``keep`` is less than 1.
    """
    if keep is not None and keep < 1:
        raise BadOption(f"keep={keep}: the last snapshot stays; give 1 or more.")
    with connect(dsn, autocommit=True, isolation="read committed", lock_timeout=LOCK_SECONDS) as connection:
        label = connection.label
        place = next(iter(connection.rows(text("capture", "snapshot_place"))))
        if place["standby"]:
            raise OnStandby(f"{label} is a standby. Take the snapshot on the primary.")
        if not place["there"]:
            raise NotInstalled(f"{label}: no snapshots are installed here. Run: auditlab init DSN")
        if not place["allowed"]:
            role = place["role"]
            raise AccessDenied(f"{label}: role {role} may not take snapshots. Run: GRANT auditlab_archiver TO {role}")
        require_unused(connection, name)
        row: dict[str, Any] = connection.rows(text("capture", "take_snapshot"), (name, always, keep))[0]
    mark = Mark(**{column: row[column] for column in MARKS}) if row["snapshot"] is not None else None
    return EntitySnapshot(mark, row["entities"], row["changes"], row["removed"])

"""The log's monthly partitions: made ahead, and rows of the default partition moved to where they belong."""

from __future__ import annotations

from dataclasses import dataclass

from auditlab.connection import connect
from auditlab.errors import DatabaseError
from auditlab.queries import text

__all__ = ["Partition", "create_partitions"]

LOCK_SECONDS = 5.0
"""How long maintenance waits for a lock before it steps aside: whoever waits behind it waits too."""
ATTEMPTS = 5
LOCK_NOT_AVAILABLE = "55P03"


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition that was made.

    Args:
        name: ``audit.entity_change_log_2024_01``.
        action: What happened, in words.
        rows_moved: How many rows came out of the default partition.
    """

    name: str
    action: str
    rows_moved: int


def create_partitions(dsn: str, *, ahead: int = 3) -> list[Partition]:
    """Make the partitions of this month and of ``ahead`` more, and of every month with rows in the default partition.

    Writers go on meanwhile, but for those whose rows lie in the default partition. Where a lock is not to be had
    within a few seconds, steps aside and tries again. Returns what was made: nothing, where all was there.

    Raises:
        AccessDenied: the role is no member of ``auditlab_owner``.
        DatabaseError: the lock was not to be had in several attempts.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with connect(dsn, lock_timeout=LOCK_SECONDS, isolation="read committed") as connection:
                from_rows = connection.rows(text("capture", "make_partitions"), (ahead,))
        except DatabaseError as exc:
            if LOCK_NOT_AVAILABLE not in str(exc) or attempt == ATTEMPTS:
                raise
        else:
            return [Partition(row["partition"], row["action"], row["rows_moved"]) for row in from_rows]
    return []

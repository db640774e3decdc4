"""Where an archive goes on: the place in the database up to which it has every change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from auditlab.errors import AccessDenied, CursorMismatch
from auditlab.queries import text

if TYPE_CHECKING:
    from typing import Self

    from auditlab.connection import Connection

__all__ = ["Cursor"]

_RECORD = "audit.installation"
"""Where ``auditlab init`` records that it adopted a log."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in a log. Transaction ids mean something only in the system, timeline, database and table they are of.

    Args:
        system: The database system's identifier.
        timeline: Its timeline: another one begins where a standby is promoted or a backup restored.
        database: The database's name.
        table: The log's name.
        oid: The log's number in the catalog: another table of that name has another one. A log that ``auditlab init``
            adopted has another one as well, and is the same.
        transaction: All changes of transactions below this id were read. None where a log has no transaction ids.
        id: Then: the highest id that was read; None where there was no change.
        read_at: Then: the server's time at which it was read, ISO 8601 in UTC.
    """

    system: str
    timeline: int
    database: str
    table: str
    oid: int
    transaction: int | None
    id: int | None = None
    read_at: str | None = None

    def check(self, here: Self, connection: Connection) -> None:
        """Check that this is a place in the log that is read now.

        It is, too, where ``auditlab init`` adopted the log since: its table keeps its rows and its number, as a
        partition. Nobody writes to it while it is adopted, and what comes then is of transactions that were not over
        before: what the cursor has of the table, it has of the log.

        Args:
            here: A place in that log.
            connection: Sees what is read.

        Raises:
            CursorMismatch: it is not; the message names what differs, and what to do.
            AccessDenied: the role may not read whether the log was adopted.
        """
        if self.system != here.system:
            differs = f"is for system {self.system}; connected to {here.system}"
            why = "Another cluster, or one restored from a dump or upgraded, counts its transactions anew"
        elif self.database != here.database:
            differs = f"is for database {self.database!r}; connected to {here.database!r}"
            why = "Each database has a log of its own"
        elif self.table != here.table or not (self.oid == here.oid or self._adopted_by(here, connection)):
            differs = f"is for {self.table} (oid {self.oid}); read is {here.table} (oid {here.oid})"
            why = (
                "The log was made anew since, or another one is named. One that auditlab init adopted goes on as long "
                "as the table that it was is its partition, neither dropped nor detached since"
            )
        elif self.timeline != here.timeline:
            differs = f"is for timeline {self.timeline}; connected to {here.timeline}"
            why = "A standby was promoted or a backup restored: what was read last may never have reached this server"
        elif self.transaction is not None and here.transaction is not None and self.transaction > here.transaction:
            differs = f"is at transaction {self.transaction}; the server's watermark is at {here.transaction}"
            why = "The server was set back"
        else:
            return
        raise CursorMismatch(f"the cursor {differs}. {why}. Nothing was read; begin a new archive in another folder.")

    def _adopted_by(self, here: Self, connection: Connection) -> bool:
        """Whether the table that this is a place in was the log until ``auditlab init`` adopted it."""
        record = connection.rows(text("load", "relation"), (_RECORD,))
        if not record:
            return False
        if not record[0]["readable"]:
            role = record[0]["role"]
            raise AccessDenied(
                f"{connection.label}: role {role} may not read {_RECORD}, which says whether auditlab init adopted "
                f"{here.table} since it was archived. Grant it: GRANT SELECT ON {_RECORD} TO {role}"
            )
        return bool(connection.rows(text("load", "adopted"), (self.oid, here.oid))[0]["found"])

"""One moment of a database, seen by several connections at once."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from auditlab.connection import Connection, connect
from auditlab.errors import AccessDenied, DatabaseError
from auditlab.queries import quote_identifier, quote_literal, text

if TYPE_CHECKING:
    from datetime import datetime
    from types import TracebackType

__all__ = ["Snapshot", "pin"]

_LOCK_SECONDS = 15.0


class Snapshot:
    """A read-only transaction that stays open, and others that see exactly what it sees.

    A context manager. ``holder`` is its connection; row security that would shorten a result is an error in it.
    ``standby`` tells whether the server is one, and ``replayed`` when the last transaction was committed that it had
    replayed before this moment: what was committed later, the snapshot need not see.

    Args:
        dsn: Where.
        table: A log that is going to be read: where it is partitioned, it is locked (ACCESS SHARE) before the moment is
            taken, so that no partition is dropped between the two, of which the snapshot could not tell.
    """

    def __init__(self, dsn: str, table: str | None = None) -> None:
        self.dsn = dsn
        self._stack = ExitStack()
        self._exported: str | None = None
        self.holder = self._open()
        told = self.holder.rows(text("load", "replayed"))[0]
        self.standby: bool = told["standby"]
        self.replayed: datetime | None = told["replayed"]
        if self.standby:
            self.holder.rollback()  # a snapshot taken before that question was answered could see less
        if table is not None:
            _keep(self.holder, table)
        pin(self.holder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._stack.close()

    def another(self) -> Connection:
        """One more connection that sees the same moment."""
        if self._exported is None:
            self._exported = str(self.holder.rows(text("load", "export_snapshot"))[0]["snapshot"])
        opened = self._open()
        opened.execute(f"SET TRANSACTION SNAPSHOT {quote_literal(self._exported)}")
        pin(opened)
        return opened

    def _open(self) -> Connection:
        opened = connect(self.dsn, read_only=True, isolation="repeatable read", lock_timeout=_LOCK_SECONDS)
        self._stack.callback(opened.close)
        return opened


def _keep(connection: Connection, table: str) -> None:
    """Lock a partitioned log in the connection's next transaction, before anything is read in it."""
    try:
        found = connection.rows(text("load", "relation"), (table,))
    except DatabaseError:
        found = []  # what is wrong with the name, the reader of the log says
    connection.rollback()
    if found and found[0]["kind"] == "p" and found[0]["readable"]:
        log = f"{quote_identifier(found[0]['schema'])}.{quote_identifier(found[0]['name'])}"
        keep = text("load", "keep_partitions").replace("audit.entity_change_log", log)
        try:
            connection.execute(keep)
        except AccessDenied:  # PostgreSQL 12 wants rights on each partition, too: the log's own lock keeps them as well
            connection.rollback()
            connection.execute(keep.replace("LOCK TABLE", "LOCK TABLE ONLY"))


def pin(connection: Connection) -> None:
    """Fix how values are written, and make row security an error, to the end of the connection's transaction."""
    connection.set_local("row_security", "off")
    connection.set_local("TimeZone", "UTC")
    connection.set_local("IntervalStyle", "postgres")
    connection.set_local("DateStyle", "ISO, MDY")
    connection.set_local("bytea_output", "hex")
    connection.set_local("extra_float_digits", "1")

"""One moment of a database, seen by several connections at once."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from auditlab.connection import Connection, connect
from auditlab.queries import quote_literal, text

if TYPE_CHECKING:
    from datetime import datetime
    from types import TracebackType

__all__ = ["Snapshot"]

_LOCK_SECONDS = 15.0


class Snapshot:
    """A read-only transaction that stays open, and others that see exactly what it sees.

    A context manager. ``holder`` is its connection; row security that would shorten a result is an error in it.
    ``standby`` tells whether the server is one, and ``replayed`` when the last transaction was committed that it had
    replayed before this moment: what was committed later, the snapshot need not see.

    Args:
        dsn: Where.
    """

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self._stack = ExitStack()
        self._exported: str | None = None
        self.holder = self._open()
        told = self.holder.rows(text("load", "replayed"))[0]
        self.standby: bool = told["standby"]
        self.replayed: datetime | None = told["replayed"]
        if self.standby:
            self.holder.rollback()  # a snapshot taken before that question was answered could see less
        _pin(self.holder)

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
        _pin(opened)
        return opened

    def _open(self) -> Connection:
        opened = connect(self.dsn, read_only=True, isolation="repeatable read", lock_timeout=_LOCK_SECONDS)
        self._stack.callback(opened.close)
        return opened


def _pin(connection: Connection) -> None:
    connection.set_local("row_security", "off")
    connection.set_local("TimeZone", "UTC")
    connection.set_local("IntervalStyle", "postgres")
    connection.set_local("DateStyle", "ISO, MDY")
    connection.set_local("bytea_output", "hex")
    connection.set_local("extra_float_digits", "1")

"""Interleavings of several sessions on a real PostgreSQL, step by step, with copies of the tables taken in between."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from auditlab.connection import Connection, connect
from auditlab.testing.copies import Copy, copy_tables

if TYPE_CHECKING:
    from concurrent.futures import Future
    from types import TracebackType

__all__ = ["ORDERS", "Planted", "key"]

ORDERS = "orders.orders"
WAITING = "SELECT count(*) AS n FROM pg_stat_activity WHERE application_name = $1 AND wait_event_type = 'Lock'"


def key(number: int) -> str:
    """The id of an order."""
    return f"00000000-0000-4000-8000-{number:012d}"


@dataclass(slots=True)
class Planted:
    """Named sessions, each on a connection of its own, that do one statement at a time in the order of the calls."""

    dsn: str
    copies: list[Copy] = field(default_factory=list)
    _sessions: dict[str, Connection] = field(default_factory=dict)
    _waiting: dict[str, Future[None]] = field(default_factory=dict)
    _stack: ExitStack = field(default_factory=ExitStack)
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(4))

    def __enter__(self) -> Self:
        self._stack.enter_context(self._pool)
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._stack.close()

    def do(self, session: str, *statements: str) -> None:
        """Statements of one session; BEGIN and COMMIT are its own to say."""
        for statement in statements:
            self._of(session).execute(statement)

    def set(self, session: str, number: int, status: str) -> None:
        """A session writes an order's status."""
        self.do(session, self._update(number, status))

    def wait_to_set(self, session: str, number: int, status: str) -> None:
        """The same, where another holds the row: comes back as soon as the server says that the session waits."""
        self._waiting[session] = self._pool.submit(self._of(session).execute, self._update(number, status))
        with connect(self.dsn, autocommit=True) as watcher:
            while not watcher.rows(WAITING, (self._name(session),))[0]["n"]:
                assert not self._waiting[session].done(), f"{session} does not wait"

    def go(self, session: str) -> None:
        """The statement that waited is done."""
        self._waiting.pop(session).result()

    def copy(self) -> None:
        """Copy the orders as they are for a reader now."""
        self.copies.append(copy_tables(self.dsn, {ORDERS: "id"}))

    def two_phases(self) -> bool:
        """Whether the server takes prepared transactions."""
        return bool(
            self._of("watcher").rows("SELECT current_setting('max_prepared_transactions')::int > 0 AS yes")[0]["yes"]
        )

    @staticmethod
    def _update(number: int, status: str) -> str:
        return f"UPDATE orders.orders SET status = '{status}' WHERE id = '{key(number)}'"

    @staticmethod
    def _name(session: str) -> str:
        return f"planted {session}"

    def _of(self, session: str) -> Connection:
        if session not in self._sessions:
            opened = connect(self.dsn, autocommit=True, application_name=self._name(session))
            self._sessions[session] = self._stack.enter_context(opened)
        return self._sessions[session]

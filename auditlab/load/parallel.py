"""Batches from several queries at once, each on its own connection, a bounded number of them waiting."""

from __future__ import annotations

import queue
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from auditlab.errors import AuditlabError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pyarrow as pa

    from auditlab.connection import Connection

__all__ = ["batches"]

_WAITING = 2
"""Batches that wait for each connection: enough to overlap fetching with what is done with them."""

_POLL = 0.1


def batches(
    connections: Sequence[Connection],
    queries: Sequence[str],
    *,
    prepare: Callable[[pa.RecordBatch], pa.RecordBatch],
    batch_bytes: int,
) -> Iterator[pa.RecordBatch]:
    """The batches of all queries, each prepared, in the order in which they arrive.

    Closing the iterator, or an error in any query, cancels the others.

    Args:
        connections: As many queries run at once; a connection takes the next query when it is done with one.
        queries: SELECTs without parameters.
        prepare: What is done with each batch, beside the fetching.
        batch_bytes: About how large a batch may become.

    Raises:
        AuditlabError: whatever a query or ``prepare`` raised first.
    """
    crew = _Crew(connections, queries, prepare=prepare, batch_bytes=batch_bytes)
    try:
        yield from crew.arrivals()
    finally:
        crew.dismiss()


class _Crew:
    """Threads that fetch, one a connection, and the queue that they fill."""

    def __init__(
        self,
        connections: Sequence[Connection],
        queries: Sequence[str],
        *,
        prepare: Callable[[pa.RecordBatch], pa.RecordBatch],
        batch_bytes: int,
    ) -> None:
        self._prepare, self._batch_bytes = prepare, batch_bytes
        self._left: queue.SimpleQueue[str] = queue.SimpleQueue()
        for query in queries:
            self._left.put(query)
        self._arrived: queue.Queue[pa.RecordBatch | BaseException | None] = queue.Queue(_WAITING * len(connections))
        self._stop = threading.Event()
        self._members = [
            (threading.Thread(target=self._work, args=(one,), name="auditlab-load", daemon=True), one)
            for one in connections
        ]
        for thread, _ in self._members:
            thread.start()

    def arrivals(self) -> Iterator[pa.RecordBatch]:
        """Batches as they arrive; raises what a member raised."""
        working = len(self._members)
        while working:
            try:
                item = self._arrived.get(timeout=_POLL)  # without end it would not notice Ctrl-C
            except queue.Empty:
                continue
            if item is None:
                working -= 1
            elif isinstance(item, BaseException):
                raise item
            else:
                yield item

    def dismiss(self) -> None:
        """Cancel what still runs, and wait for its end."""
        self._stop.set()
        for thread, connection in self._members:
            if thread.is_alive():
                with suppress(AuditlabError):  # gone already, which is what was wanted
                    connection.cancel()
        for thread, _ in self._members:
            thread.join()

    def _work(self, connection: Connection) -> None:
        try:
            while (query := self._next()) is not None:
                for batch in connection.stream(query, batch_bytes=self._batch_bytes):
                    if not self._hand_over(self._prepare(batch)):
                        return
            self._hand_over(None)
        except BaseException as exc:  # noqa: BLE001 - handed to the thread that waits, which raises it
            self._hand_over(exc)

    def _next(self) -> str | None:
        if self._stop.is_set():
            return None
        try:
            return self._left.get_nowait()
        except queue.Empty:
            return None

    def _hand_over(self, item: pa.RecordBatch | BaseException | None) -> bool:
        while not self._stop.is_set():
            try:
                self._arrived.put(item, timeout=_POLL)
            except queue.Full:
                continue
            return True
        return False

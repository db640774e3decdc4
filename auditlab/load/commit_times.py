"""Commit times: when the transaction of each change committed, where the server tracks it."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

import pyarrow.compute as pc

from auditlab.errors import BadOption, IncompleteLog
from auditlab.visibility import COMMIT_LAG, LONGEST_TRANSACTION

if TYPE_CHECKING:
    from datetime import datetime

    import pyarrow as pa

__all__ = ["CLOCKS", "COMMITTED_AT", "Clock"]

CLOCKS = ("changed_at", "committed_at")

COMMITTED_AT = """CASE
    WHEN {transaction_id}
        BETWEEN (SELECT greatest(3, txid_snapshot_xmax(txid_current_snapshot()) - 2147483647))
        AND (SELECT txid_snapshot_xmax(txid_current_snapshot()))
    THEN CASE
        WHEN l.writer = {short_id}
            OR pg_xact_commit_timestamp(l.writer) = pg_xact_commit_timestamp({short_id})
        THEN CASE WHEN pg_xact_commit_timestamp(l.writer) >= l.changed_at THEN pg_xact_commit_timestamp(l.writer) END
    END
END AS committed_at"""
"""The commit time of a change, for a SELECT list; ``l.writer`` is the row's ``xmin``.

The server is asked by an id of 32 bits: one that is 2^31 transactions old would be taken for a newer one, so older ones
have none. The row itself must have been written by that transaction, or by one inside it (which has the same time): the
rows of a restored log were not, and its ids may be those of other transactions here. Nor does a transaction commit
before it begins: one that replays another server's has that one's time.
"""


class Clock:
    """Which of its times dates a log, found while its rows go by: the commit's only where every change has one.

    Args:
        wanted: ``changed_at`` or ``committed_at``; None chooses.
        by_time: Whether the load is limited to a time: the server does that by ``changed_at``, which then is the clock.

    Raises:
        BadOption: no such clock, or commit times for a load that is limited to a time.
    """

    def __init__(self, wanted: str | None, *, by_time: bool) -> None:
        if wanted is not None and wanted not in CLOCKS:
            raise BadOption(f"clock={wanted!r}: there are {' and '.join(map(repr, CLOCKS))}.")
        if wanted == "committed_at" and by_time:
            raise BadOption("clock='committed_at' and start= or end= do not go together: those are of changed_at.")
        self._wanted = wanted
        self._by_time = by_time
        self._rows = self._without = 0
        self._spans: dict[str, tuple[datetime, datetime]] = {}

    def see(self, batch: pa.RecordBatch) -> None:
        """Take a batch of the canonical columns into account."""
        self._rows += batch.num_rows
        self._without += batch.column("committed_at").null_count
        for name in CLOCKS:
            first, last = (value.as_py() for value in pc.min_max(batch.column(name)).values())
            if first is not None and last is not None:
                first, last = first.astimezone(UTC), last.astimezone(UTC)
                known = self._spans.get(name, (first, last))
                self._spans[name] = min(known[0], first), max(known[1], last)

    @property
    def name(self) -> str:
        """The clock.

        Raises:
            IncompleteLog: commit times were asked for, and changes have none.
        """
        if self._wanted == "committed_at" and self._without:
            raise IncompleteLog(
                f"clock='committed_at': {self._without:,} of {self._rows:,} changes have no commit time. The server "
                "keeps them only while track_commit_timestamp is on, and for some hundred million transactions."
            )
        complete = self._rows > 0 and not self._without and not self._by_time
        return self._wanted or ("committed_at" if complete else "changed_at")

    @property
    def span(self) -> tuple[datetime | None, datetime | None]:
        """The first and the last time by the clock, UTC."""
        return self._spans.get(self.name, (None, None))

    @property
    def first_recorded(self) -> datetime | None:
        """The earliest ``changed_at``, UTC, whatever the clock."""
        return self._spans.get("changed_at", (None, None))[0]

    @property
    def visible_within(self) -> float:
        """Seconds from a time by the clock to the moment at which others saw the change, at the most, by default."""
        return COMMIT_LAG.total_seconds() if self.name == "committed_at" else LONGEST_TRANSACTION

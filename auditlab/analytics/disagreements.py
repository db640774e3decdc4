"""The rows behind what a log and the live tables disagree about, by kind; on disk where the log is beyond memory."""

from __future__ import annotations

import polars as pl

from auditlab.analytics.outside import KINDS, ROWS, shaped
from auditlab.buckets.compartments import Compartments
from auditlab.buckets.spill import compact

__all__ = ["Disagreements"]

_ABOUT = ("entity_type", "entity_id", "id")
_KINDS = tuple(KINDS)
_WAITING = 64
"""The part (1 in ...) of a question's room that rows may take before they are written."""


class Disagreements:
    """Takes rows in pieces, and gives those of a kind.

    Args:
        room: Bytes of memory that a question may take; None of a log in memory, where nothing is written.
    """

    def __init__(self, room: int | None) -> None:
        self._in_memory = room is None
        self._rows = Compartments(len(_KINDS), room=None if room is None else room // _WAITING, schema=ROWS)
        self.counts: dict[str, int] = {}
        """How many rows of tables, or changes of the log, each kind is about."""

    def add(self, kind: str, rows: pl.DataFrame) -> None:
        """Take rows of a kind, what they have of ``outside.ROWS``: all fields of an entity, or of a change, at once."""
        if rows.is_empty():
            return
        rows = shaped(rows)
        fields = rows.filter(pl.col("field").is_not_null())
        about = fields.select(_ABOUT).n_unique() + len(rows) - len(fields)
        self.counts[kind] = self.counts.get(kind, 0) + about
        self._rows.add(_KINDS.index(kind), rows if self._in_memory else compact(rows))

    def read(self, kind: str) -> pl.DataFrame:
        """The rows of a kind: ``outside.ROWS``, by entity type, entity, change and field."""
        return self._rows.read(_KINDS.index(kind)).sort(*_ABOUT, "field", maintain_order=True)

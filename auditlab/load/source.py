"""What every loader hands over: the rows of a log in its one shape, and the facts beside them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa

from auditlab.schema import CHANGES, Coverage, LogFacts, check_columns

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

__all__ = ["ARROW_CHANGES", "Loaded", "batches", "frame", "spanning"]

_ARROW_TYPES = {
    pl.Int64(): pa.int64(),
    pl.String(): pa.string(),
    pl.Datetime("us", "UTC"): pa.timestamp("us", "UTC"),
}

ARROW_CHANGES: pa.Schema = pa.schema([(name, _ARROW_TYPES[dtype]) for name, dtype in CHANGES.items()])
"""A change log's canonical columns as an Arrow schema: what streams between loaders and archives."""


_SLICE = 16_384
"""Rows that are turned into one batch: a batch's texts must stay below 2 GB."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A log as it was loaded.

    Args:
        changes: One row a change, exactly the columns of ``schema.CHANGES``, sorted by ``id``.
        baseline: Of a load that begins at a time: the last change before it, one row an entity (and one row a
            TRUNCATE of a type), same columns. None where the load has no beginning.
        facts: Where the rows came from and what they cover.
        malformed: Rows that are no changes, with their ``kind``; None or empty where there are none.
    """

    changes: pl.DataFrame
    facts: LogFacts
    baseline: pl.DataFrame | None = None
    malformed: pl.DataFrame | None = None

    def __repr__(self) -> str:
        types = self.changes["entity_type"].n_unique()
        before = "" if self.baseline is None else f" ({self.baseline.height:,} baseline rows)"
        rows = f"{self.changes.height:,} changes of {types} entity types{before}"
        return f"Loaded({rows}, {self.facts.coverage}, from {self.facts.source})"


def frame(batches: Iterable[pa.RecordBatch], made: Mapping[str, Sequence[str]] | None = None) -> pl.DataFrame:
    """The canonical batches as one frame, sorted by ``id`` (rows of equal id keep their order).

    ``made`` has the source's columns that a column was made of, for the message.

    Raises:
        SchemaMismatch: a column that must have a value is null somewhere; all such columns are named.
    """
    parts = [pl.DataFrame(pl.from_arrow(batch, rechunk=False)) for batch in batches if batch.num_rows]
    changes = pl.concat(parts, rechunk=False) if parts else pl.DataFrame(schema=CHANGES)
    check_columns(changes, made)
    if changes["id"].is_sorted():
        return changes
    return changes.sort("id", maintain_order=True)


def batches(changes: pl.DataFrame) -> Iterator[pa.RecordBatch]:
    """The canonical rows as Arrow batches in ``ARROW_CHANGES``."""
    for rows in changes.iter_slices(_SLICE):
        yield from rows.to_arrow().cast(ARROW_CHANGES).to_batches()


def spanning(changes: pl.DataFrame, facts: LogFacts) -> LogFacts:
    """``facts`` with the log's clock, and a coverage from its first to its last time.

    The clock is the commit's where every change has one: a log has one clock.
    """
    committed = changes.height > 0 and changes["committed_at"].null_count() == 0
    clock = "committed_at" if committed else "changed_at"
    first: datetime | None = changes[clock].min()  # type: ignore[assignment]  # a time column's least is a time
    last: datetime | None = changes[clock].max()  # type: ignore[assignment]  # the same
    if first is None or last is None:
        return replace(facts, clock=clock, coverage=Coverage())
    return replace(facts, clock=clock, coverage=Coverage(start=first.astimezone(UTC), end=last.astimezone(UTC)))

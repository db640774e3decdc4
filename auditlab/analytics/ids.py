"""The ids of a log that is dealt out: which of them come twice, which are missing, and how many lie between two."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from auditlab.analytics.records import gaps
from auditlab.buckets.compartments import Compartments

if TYPE_CHECKING:
    from collections.abc import Iterator

    from auditlab.buckets.bucketed import Bucketed

__all__ = ["Ids"]


class Ids:
    """The ids of all changes, dealt out by range, so that few are in memory at a time.

    Args:
        recorded: The log.
        room: Bytes of ids that may wait in memory.
    """

    def __init__(self, recorded: Bucketed, room: int) -> None:
        aside = recorded.malformed
        self._aside = pl.Series("id", [], dtype=pl.Int64) if aside is None else aside["id"]
        known = [*(recorded.whole_log.id_span or ()), *self._aside]
        self._low = min(known, default=0)
        self._width = (max(known, default=0) - self._low) // recorded.count + 1
        self._ids = Compartments(recorded.count, room=room)

    def range_of(self, ids: pl.Series) -> pl.Series:
        """The number of the range of each id."""
        low, width = (pl.lit(number, dtype=pl.Int128) for number in (self._low, self._width))
        return ids.to_frame().select(((pl.first().cast(pl.Int128) - low) // width).cast(pl.UInt32)).to_series()

    def take(self, ids: pl.Series) -> None:
        """Take in the ids of a bucket's changes."""
        self._ids.deal(ids.to_frame(), self.range_of(ids))

    def repeated(self) -> pl.Series:
        """Ids that more than one change has."""
        return pl.concat([ids.filter(ids.is_duplicated()).unique() for ids in self._ranges()])

    def gaps(self) -> Iterator[pl.DataFrame]:
        """``records.gaps``, range by range, of changes and of rows that were set apart."""
        last = self._aside.clear()
        aside = self._aside.sort()
        ranges = self.range_of(aside)
        for number, own in enumerate(self._ranges()):
            ids = pl.concat([last, own, aside.filter(ranges == number)]).sort()
            yield gaps(ids)
            last = ids.tail(1)

    def places(self, wanted: pl.Series) -> pl.DataFrame:
        """How many different ids of changes come before each wanted id: id and place."""
        parts, before = [], 0
        ranges = self.range_of(wanted)
        for number, own in enumerate(self._ranges()):
            ids = own.unique()
            numbered = ids.sort().to_frame().with_row_index("place", offset=before)
            parts.append(numbered.join(wanted.filter(ranges == number).to_frame(), on="id", how="semi"))
            before += len(ids)
        return pl.concat(parts).select("id", pl.col("place").cast(pl.Int64))

    def _ranges(self) -> Iterator[pl.Series]:
        for number in range(len(self._ids)):
            yield self._ids.read(number)["id"].sort()

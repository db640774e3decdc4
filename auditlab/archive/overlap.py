"""What of a log is not in its archive yet, where no transaction id tells: rows are looked up by what they say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from auditlab.archive.row_digests import DIGESTS, recorded_digests
from auditlab.schema import TIME

if TYPE_CHECKING:
    from datetime import datetime

    import pyarrow as pa

__all__ = ["Unseen"]


class Unseen:
    """Lets through the rows that an archive does not have.

    Args:
        changes: The archive's rows, as ``scan_archive`` gives them; of those that are looked at 24 bytes a row stay.
        window: The time from which rows are read again, and the id above which all are; None where all are read.
        columns: The columns by which rows are known.
    """

    def __init__(
        self, changes: pl.LazyFrame, window: tuple[datetime, int | None] | None, columns: tuple[str, ...]
    ) -> None:
        self._columns = columns
        if window is not None:
            since, last = window
            again = pl.col("changed_at") >= pl.lit(since, dtype=TIME)
            changes = changes.filter(again if last is None else again | (pl.col("id") > last))
        parts = (recorded_digests(rows, columns) for rows in changes.collect_batches())
        self._known = pl.concat([pl.DataFrame(schema=DIGESTS), *parts])

    def of(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The rows of a batch that the archive does not have."""
        if not batch.num_rows:
            return batch
        rows = pl.DataFrame(pl.from_arrow(batch, rechunk=False))
        near = self._known.filter(pl.col("id").is_between(rows["id"].min(), rows["id"].max()))
        told = recorded_digests(rows, self._columns).with_row_index("n")
        new = told.join(near, on=list(DIGESTS), how="anti")["n"].sort()
        return batch.take(new.to_arrow())

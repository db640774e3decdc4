"""A digest of each row: what it says, text for text, so that a row here can be found among millions there."""

from __future__ import annotations

import hashlib
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from auditlab.load.source import ARROW_CHANGES
from auditlab.schema import CHANGES

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["DIGESTS", "recorded_digests", "row_digests"]

DIGESTS: dict[str, pl.DataType] = {"id": pl.Int64(), "high": pl.UInt64(), "low": pl.UInt64()}
"""A row's id and the first 128 bits of the SHA-256 of what it says."""

_WIDE = pa.schema(
    [(column.name, pa.large_string() if pa.types.is_string(column.type) else column.type) for column in ARROW_CHANGES]
)
"""The canonical columns with texts of any length together."""

_SLICE = 16_384
_KEPT = 16


def recorded_digests(rows: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """The digests of changes in the canonical columns, as they were recorded: ``DIGESTS``.

    A change of a partition of a table is archived under the table's name, its own beside it; it was recorded under its
    own.
    """
    if "partition" not in columns:
        rows = rows.with_columns(entity_type=pl.coalesce("partition", "entity_type"))
    told = rows.select(*CHANGES).to_arrow().cast(_WIDE).to_batches()
    return pl.concat([pl.DataFrame(schema=DIGESTS), *(row_digests(batch, columns) for batch in told)])


def row_digests(rows: pa.RecordBatch, columns: Sequence[str]) -> pl.DataFrame:
    """The digests of rows, in their order: ``DIGESTS``.

    Each value stands behind its length, and null has none, so that null is not ``''`` and ``('ab', 'c')`` is not
    ``('a', 'bc')``; times are microseconds in UTC, numbers their decimal text.

    Args:
        rows: Rows with at least those columns, and ``id``.
        columns: The columns that are told, in this order.
    """
    parts = [_digests(rows.slice(start, _SLICE), columns) for start in range(0, rows.num_rows, _SLICE)]
    return pl.concat(parts) if parts else pl.DataFrame(schema=DIGESTS)


def _digests(rows: pa.RecordBatch, columns: Sequence[str]) -> pl.DataFrame:
    told = pc.binary_join_element_wise(*(_told(rows.column(name)) for name in columns), _text("")).cast(
        pa.large_binary()
    )
    _, offsets, data = told.buffers()
    ends = np.frombuffer(offsets, dtype=np.int64)[told.offset : told.offset + len(told) + 1].tolist()
    content = memoryview(data)
    hashed = b"".join(hashlib.sha256(content[first:last]).digest()[:_KEPT] for first, last in pairwise(ends))
    halves = np.frombuffer(hashed, dtype="<u8").reshape(-1, 2)
    ids = pl.Series("id", pl.from_arrow(rows.column("id")), pl.Int64)
    return pl.DataFrame({"id": ids, "high": halves[:, 0].copy(), "low": halves[:, 1].copy()}, schema=DIGESTS)


def _told(column: pa.Array) -> pa.Array:
    """Each value behind its length in bytes; null as ``-``."""
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us", "UTC")).cast(pa.int64())
    text = column.cast(pa.large_string())
    length = pc.binary_length(text).cast(pa.large_string())
    return pc.fill_null(pc.binary_join_element_wise(length, text, _text(":")), "-")


def _text(value: str) -> pa.Scalar:
    return pa.scalar(value, pa.large_string())

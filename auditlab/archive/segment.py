"""One data file of an archive while it is being written: row groups of one entity type, and what is in them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from auditlab.archive.digest import RowDigest
from auditlab.archive.files import HashingFile
from auditlab.archive.form import FORM
from auditlab.archive.manifest import Part
from auditlab.archive.shred import Shredder
from auditlab.errors import ArchiveError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["PartFile", "Written"]

ROW_GROUP = 32 << 20
"""Bytes of rows that make a row group."""

AT_ONCE = 8 << 20
"""Bytes of rows whose documents become columns at once."""

BUFFER = 96
"""Bytes of small pieces (headers, columns without a value) that are gathered before they are written."""

FILE = 256 << 20
"""Bytes of file after which a new one begins, so that the ranges in the manifest prune."""

_OPTIONS = {
    "compression": "zstd",
    "compression_level": 3,
    "store_decimal_as_integer": True,
    "write_page_checksum": True,
}
_STATISTICS = ("id", "entity_type", "entity_id", "entity_uuid", "changed_at", "transaction_id", "committed_at")
SHORT = 18
"""Digits of a decimal that fit a whole number of 64 bits."""
_REPEATING = 0.125
"""The share of distinct values up to which a column is written with a dictionary; zstd does as well on the others."""
_ODDS = 0.01
"""How often a Bloom filter says of an entity that it may be in a row group, and it is not."""


@dataclass(frozen=True, slots=True)
class Written:
    """A finished file, still under its temporary name."""

    path: Path
    part: Part


class PartFile:
    """A Parquet file of one entity type that takes rows until it is finished or discarded.

    Args:
        folder: The archive's folder of data files.
        entity_type: Whose rows.
        role: ``changes``, ``baseline`` or ``checkpoint``.
    """

    def __init__(self, folder: Path, *, entity_type: str, role: str) -> None:
        self._entity_type, self._role = entity_type, role
        self.beside: dict[bytes, bytes] = {}
        """What else stands in the file's metadata, by its key."""
        self._file = HashingFile(folder)
        self._sink = pa.BufferedOutputStream(pa.PythonFile(self._file, "w"), BUFFER)
        self._writer: pq.ParquetWriter | None = None
        self._shredder: Shredder | None = None
        self._batches: list[pa.RecordBatch] = []
        self._ranges: dict[str, tuple[int, int]] = {}
        self.rows = 0
        self._digest = RowDigest()
        self.waiting = 0

    @property
    def full(self) -> bool:
        """Whether the next rows should go into another file."""
        return self._sink.tell() >= FILE or (self._shredder is not None and self._shredder.stale)

    def add(self, rows: pa.RecordBatch) -> None:
        """Take rows, and write a row group when enough wait."""
        self._batches.append(rows)
        self.rows += rows.num_rows
        self.waiting += rows.nbytes
        for name in ("id", "transaction_id", "changed_at"):
            self._widen(name, rows.column(name))
        if self.waiting >= ROW_GROUP:
            self.flush()

    def flush(self) -> None:
        """Write the rows that wait as one row group."""
        if self._batches:
            table = self._shredded()
            if self._writer is None:
                self._writer = pq.ParquetWriter(self._sink, table.schema, **_OPTIONS, **_encodings(table))
            self._writer.write_table(table, row_group_size=table.num_rows)

    def _shredded(self) -> pa.Table:
        """The rows that wait, in the columns of the file; some at a time, as that takes several times their size."""
        if self._shredder is None:
            self._shredder = Shredder(pl.concat(map(_frame, self._batches)))
        tables = []
        waiting, self._batches, self.waiting = self._batches[::-1], [], 0
        while waiting:
            frames, size = [], 0
            while waiting and size < AT_ONCE:
                batch = waiting.pop()
                self._digest.update(batch)
                frames.append(_frame(batch))
                size += batch.nbytes
            tables.append(self._shredder.table(pl.concat(frames)))
        self._shredder.judge()
        return pa.concat_tables(tables)

    def finish(self) -> Written:
        """Write what waits, force it to disk, read it back.

        Raises:
            ArchiveError: the disk gives back something else.
        """
        self.flush()
        if self._writer is not None and self._shredder is not None:
            self._writer.add_key_value_metadata({FORM: self._shredder.form.render(), **self.beside})
            self._writer.close()
        self._sink.close()
        sha256 = self._file.finish()
        rows = pq.read_metadata(self._file.path).num_rows
        if rows != self.rows:
            raise ArchiveError(f"{self._file.path} reads back with {rows} rows, {self.rows} were written.")
        times = self._ranges.get("changed_at")
        part = Part(
            name=f"{sha256}.parquet",
            sha256=sha256,
            bytes=self._file.size,
            rows=rows,
            entity_types=(self._entity_type,),
            role=self._role,
            id=self._ranges.get("id"),
            transaction_id=self._ranges.get("transaction_id"),
            changed_at=None if times is None else (_iso(times[0]), _iso(times[1])),
            digest=self._digest.hexdigest(),
        )
        return Written(path=self._file.path, part=part)

    def discard(self) -> None:
        """Remove the unfinished file."""
        self._batches.clear()
        if self._writer is not None:
            with suppress(OSError, pa.ArrowException):
                self._writer.close()
        with suppress(OSError, pa.ArrowException):
            self._sink.close()
        self._file.discard()

    def _widen(self, name: str, column: pa.Array) -> None:
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.int64())
        least, most = (value.as_py() for value in pc.min_max(column).values())
        if least is not None:
            low, high = self._ranges.get(name, (least, most))
            self._ranges[name] = (min(low, least), max(high, most))


def _frame(batch: pa.RecordBatch) -> pl.DataFrame:
    return pl.DataFrame(pl.from_arrow(batch, rechunk=False))


def _encodings(table: pa.Table) -> dict[str, Any]:
    """How the columns of a file are written, by what its first rows hold."""
    distinct = {name: _distinct(table.column(name)) for name in table.schema.names}
    numbers = [column.name for column in table.schema if _is_number(column.type)]
    repeating = [
        name for name, count in distinct.items() if name not in numbers and count <= table.num_rows * _REPEATING
    ]
    texts = [column.name for column in table.schema if pa.types.is_string(column.type) and column.name not in repeating]
    return {
        "use_dictionary": repeating,
        "column_encoding": dict.fromkeys(numbers, "DELTA_BINARY_PACKED")
        | dict.fromkeys(texts, "DELTA_LENGTH_BYTE_ARRAY"),
        "write_statistics": [name for name in _STATISTICS if name in distinct],
        "bloom_filter_options": {
            name: {"ndv": distinct[name], "fpp": _ODDS} for name in ("entity_id", "entity_uuid") if distinct[name]
        },
    }


def _distinct(column: pa.ChunkedArray) -> int:
    return 0 if column.null_count == len(column) else int(pc.count_distinct(column, mode="only_valid").as_py())


def _is_number(dtype: pa.DataType) -> bool:
    """Whether a column is written as whole numbers of at most 64 bits."""
    if pa.types.is_decimal(dtype):
        return bool(dtype.precision <= SHORT)
    return bool(pa.types.is_integer(dtype) or pa.types.is_timestamp(dtype))


def _iso(ticks: int) -> str:
    text: str = pa.scalar(ticks, pa.timestamp("us", "UTC")).as_py().isoformat()
    return text

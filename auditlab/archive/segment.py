"""One data file of an archive while it is being written: row groups of one entity type, and what is in them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from auditlab.archive.digest import RowDigest
from auditlab.archive.files import HashingFile
from auditlab.archive.manifest import Part
from auditlab.errors import ArchiveError
from auditlab.load.source import ARROW_CHANGES

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["PartFile", "Written"]

ROW_GROUP = 32 << 20
"""Bytes of rows that make a row group."""

FILE = 256 << 20
"""Bytes of file after which a new one begins, so that the ranges in the manifest prune."""

_NUMBERS = ("id", "transaction_id", "changed_at", "committed_at")
_REPEATING = ["entity_type", "operation", "changed_by", "metadata", "correlation_id"]
_OPTIONS = {
    "compression": "zstd",
    "compression_level": 3,
    "use_dictionary": _REPEATING,
    "column_encoding": dict.fromkeys(_NUMBERS, "DELTA_BINARY_PACKED"),
    "write_page_checksum": True,
    "write_statistics": ["id", "entity_type", "entity_id", "changed_at", "transaction_id", "committed_at"],
}


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
        role: ``changes`` or ``baseline``.
    """

    def __init__(self, folder: Path, *, entity_type: str, role: str) -> None:
        self._entity_type, self._role = entity_type, role
        self._file = HashingFile(folder)
        self._writer = pq.ParquetWriter(self._file, ARROW_CHANGES, **_OPTIONS)
        self._batches: list[pa.RecordBatch] = []
        self._ranges: dict[str, tuple[int, int]] = {}
        self._rows = 0
        self._digest = RowDigest()
        self.waiting = 0

    @property
    def full(self) -> bool:
        """Whether the next rows should go into another file."""
        return self._file.size >= FILE

    def add(self, rows: pa.RecordBatch) -> None:
        """Take rows, and write a row group when enough wait."""
        self._batches.append(rows)
        self._rows += rows.num_rows
        self.waiting += rows.nbytes
        for name in ("id", "transaction_id", "changed_at"):
            self._widen(name, rows.column(name))
        if self.waiting >= ROW_GROUP:
            self.flush()

    def flush(self) -> None:
        """Write the rows that wait as one row group."""
        if self._batches:
            table = pa.Table.from_batches(self._batches)
            for rows in self._batches:
                self._digest.update(rows)
            self._batches, self.waiting = [], 0
            self._writer.write_table(table, row_group_size=table.num_rows)

    def finish(self) -> Written:
        """Write what waits, force it to disk, read it back.

        Raises:
            ArchiveError: the disk gives back something else.
        """
        self.flush()
        self._writer.close()
        sha256 = self._file.finish()
        rows = pq.read_metadata(self._file.path).num_rows
        if rows != self._rows:
            raise ArchiveError(f"{self._file.path} reads back with {rows} rows, {self._rows} were written.")
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
        with suppress(OSError, pa.ArrowException):
            self._writer.close()
        self._file.discard()

    def _widen(self, name: str, column: pa.Array) -> None:
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.int64())
        least, most = (value.as_py() for value in pc.min_max(column).values())
        if least is not None:
            low, high = self._ranges.get(name, (least, most))
            self._ranges[name] = (min(low, least), max(high, most))


def _iso(ticks: int) -> str:
    text: str = pa.scalar(ticks, pa.timestamp("us", "UTC")).as_py().isoformat()
    return text

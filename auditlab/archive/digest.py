"""A digest of rows: what they say, text for text, whatever file holds them and however it is encoded."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from auditlab.archive.rows import frames
from auditlab.load.source import ARROW_CHANGES, batches

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

__all__ = ["RowDigest", "digest_of_rows", "read_rows"]

_RULE = b"auditlab rows 1\0"
"""Names the rule below, so that another one can never give the same digest for other rows."""


class RowDigest:
    """Takes changes in their order and knows the SHA-256 of what they say, in the canonical columns.

    Each column is hashed by itself, in two streams: for texts their lengths in bytes (-1 for null), then the bytes;
    for numbers and times one byte each that says whether there is one, then the values. Both streams together give the
    column back, so no two logs have one digest: null is not ``''``, and ``('ab', 'c')`` is not ``('a', 'bc')``. It does
    not matter in what batches the rows come; their order does. A column without any value is left out, so that one
    which a later auditlab adds changes no digest.

    >>> import pyarrow as pa
    >>> rows = pa.RecordBatch.from_pylist([{"id": 1, "entity_type": ""}, {"id": 2}], schema=ARROW_CHANGES)
    >>> one, other = RowDigest(), RowDigest()
    >>> one.update(rows)
    >>> other.update(rows[:1])
    >>> other.update(rows[1:])
    >>> one.hexdigest() == other.hexdigest()
    True
    """

    def __init__(self) -> None:
        self.rows = 0
        self._streams = {name: (hashlib.sha256(), hashlib.sha256()) for name in ARROW_CHANGES.names}
        self._told: set[str] = set()

    def update(self, rows: pa.RecordBatch) -> None:
        """Take further rows, in the canonical columns (``load.source.ARROW_CHANGES``)."""
        self.rows += rows.num_rows
        for name, (shapes, values) in self._streams.items():
            column = rows.column(name)
            if column.null_count < len(column):
                self._told.add(name)
            if pa.types.is_string(column.type):
                lengths = pc.fill_null(pc.binary_length(column), -1)
                shapes.update(lengths.to_numpy(zero_copy_only=False).astype("<i4", copy=False))
                values.update(_bytes(column))
            else:
                shapes.update(column.is_valid().to_numpy(zero_copy_only=False).astype("u1"))
                numbers = pc.fill_null(column.cast(pa.int64()), 0)
                values.update(numbers.to_numpy(zero_copy_only=False).astype("<i8", copy=False))

    def hexdigest(self) -> str:
        """The digest of the rows so far, hexadecimal."""
        whole = hashlib.sha256(_RULE + self.rows.to_bytes(8, "little"))
        for name, streams in self._streams.items():
            if name not in self._told:
                continue
            whole.update(len(name).to_bytes(1, "little") + name.encode())
            for stream in streams:
                whole.update(stream.digest())
        return whole.hexdigest()


def digest_of_rows(rows: Iterable[pa.RecordBatch]) -> str:
    """The digest of all rows of these batches, in their order."""
    digest = RowDigest()
    for batch in rows:
        digest.update(batch)
    return digest.hexdigest()


def read_rows(path: Path) -> Iterator[pa.RecordBatch]:
    """The rows of a data file in the canonical columns, in the order of the file, in bounded memory.

    Raises:
        ArchiveError: it is not there any more.
        ArchiveCorrupt: it cannot be read, or its pages are not what was written.
        ValueError: it is no such file.
    """
    for frame in frames(path):
        yield from batches(frame)


def _bytes(texts: pa.StringArray) -> memoryview:
    """The bytes of all texts, one after the other; what may lie behind a null is not among them."""
    if texts.null_count:
        texts = pc.drop_null(texts)
    if not len(texts):
        return memoryview(b"")
    _, offsets, data = texts.buffers()
    ends = np.frombuffer(offsets, dtype=np.int32)
    return memoryview(data)[ends[texts.offset] : ends[texts.offset + len(texts)]] if data else memoryview(b"")

"""The rows of data files as a lazy frame: decoded some at a time, of the columns and rows that are asked for."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
from polars.io.plugins import register_io_source

from auditlab.archive.decode import recorded_rows, stored_columns
from auditlab.archive.form import DOCUMENTS, form_of
from auditlab.errors import ArchiveCorrupt, ArchiveError
from auditlab.schema import CHANGES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import polars as pl

__all__ = ["decoded", "dictionary_columns", "frames", "lazy_rows", "opened"]

_BATCH = 16_384
"""Rows that are decoded at a time."""


def lazy_rows(files: Sequence[Path], prove: Callable[[Path], object]) -> pl.LazyFrame:
    """The canonical rows of data files of any format, in the order of the files, read when they are collected.

    Args:
        files: The files.
        prove: Raises where a file is not what it must be; called before a row of it is used.
    """

    def source(
        columns: list[str] | None, predicate: pl.Expr | None, rows: int | None, _batch: int | None
    ) -> Iterator[pl.DataFrame]:
        wanted = [name for name in CHANGES if columns is None or name in columns]
        for file in files:
            prove(file)
            for found in _file_rows(file, wanted, predicate):
                if rows is None:
                    yield found
                    continue
                yield found[:rows]
                rows -= min(rows, len(found))
                if not rows:
                    return

    return register_io_source(source, schema=dict(CHANGES), is_pure=True)


def frames(file: Path) -> Iterator[pl.DataFrame]:
    """The canonical columns of one data file of any format, some rows at a time, in the order of the file.

    Raises:
        ArchiveError: it is not there any more.
        ArchiveCorrupt: it cannot be read, or its pages are not what was written.
        ValueError: it is no such file.
    """
    with opened(file) as parquet:
        form = form_of(parquet.metadata.metadata)
        for batch in parquet.iter_batches(_BATCH):
            yield recorded_rows(pa.Table.from_batches([batch]), form)


@contextmanager
def opened(file: Path, *, read_dictionary: Sequence[str] = ()) -> Iterator[pq.ParquetFile]:
    """A data file that was proven; what becomes of it while it is read is told.

    Args:
        file: The file.
        read_dictionary: Its columns of texts that are read as dictionaries.
    """
    try:
        with pq.ParquetFile(
            file, page_checksum_verification=True, read_dictionary=list(read_dictionary) or None
        ) as parquet:
            yield parquet
    except FileNotFoundError as exc:
        raise ArchiveError(
            f"{file}: is gone since the archive was opened; a compaction puts other files in place of old ones. "
            "Open the archive again."
        ) from exc
    except (OSError, pa.ArrowException) as exc:
        raise ArchiveCorrupt(f"{file}: cannot be read: {exc}") from exc


def dictionary_columns(parquet: pq.ParquetFile) -> list[str]:
    """The columns of texts that were written with a dictionary: they are read several times faster as such."""
    if not parquet.num_row_groups:
        return []
    group = parquet.metadata.row_group(0)
    chunks = [group.column(place) for place in range(group.num_columns)]
    texts = {field.name for field in parquet.schema_arrow if pa.types.is_string(field.type)}
    return [one.path_in_schema for one in chunks if "RLE_DICTIONARY" in one.encodings and one.path_in_schema in texts]


def decoded(table: pa.Table) -> pa.Table:
    """The table without dictionaries."""
    fields = [pa.field(one.name, pa.string()) if pa.types.is_dictionary(one.type) else one for one in table.schema]
    return table.cast(pa.schema(fields))


def _file_rows(file: Path, wanted: list[str], predicate: pl.Expr | None) -> Iterator[pl.DataFrame]:
    """The wanted columns of the rows of a file that the predicate picks; of others no document is put together."""
    roots = [] if predicate is None else predicate.meta.root_names()
    narrow = bool(roots) and not set(roots).intersection(DOCUMENTS)
    every = [name for name in CHANGES if name in wanted or name in roots]
    with opened(file) as parquet:
        form = form_of(parquet.metadata.metadata)
        there = parquet.schema_arrow.names
        needed = stored_columns(form, every, there)
        for batch in parquet.iter_batches(_BATCH, columns=needed):
            table = pa.Table.from_batches([batch])
            if predicate is None:
                yield recorded_rows(table, form, wanted)
            elif narrow:
                own = recorded_rows(table, form, roots).select(predicate).to_series()
                if own.any():
                    yield recorded_rows(table.filter(own.to_arrow()), form, wanted)
            else:
                yield recorded_rows(table, form, every).filter(predicate).select(wanted)

"""The rows of one entity in data files, without reading the others: by the Bloom filters on its id."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import polars as pl
import pyarrow as pa

from auditlab.archive.decode import recorded_rows
from auditlab.archive.form import form_of, schema_of
from auditlab.archive.rows import decoded, dictionary_columns, lazy_rows, opened
from auditlab.engines.duckdb import PLACE, ParquetFiles
from auditlab.errors import ArchiveError
from auditlab.load.uuids import uuid_bytes
from auditlab.schema import CHANGES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from auditlab.archive.form import Form

__all__ = ["PLACE", "EntityRows"]

_PLACED = {**CHANGES, PLACE: pl.UInt32()}

_SMALL = 1024
"""Bytes of a column in a row group, uncompressed, up to which it is looked at whether it holds one value only."""

_FEW = 32
"""Entities that are looked for one by one; for more, the files are read."""


class EntityRows:
    """Finds the rows of entities in some data files of an archive.

    Args:
        files: The data files, in one folder.
        prove: Raises where a file is not what it must be; called before a row of it is used.
    """

    def __init__(self, files: Sequence[Path], prove: Callable[[Path], object]) -> None:
        self._files, self._prove = files, prove

    def of(self, ids: list[str]) -> pl.DataFrame:
        """All rows of some entities: ``CHANGES`` and ``PLACE`` (UInt32), that of their file; each one's in their order.

        Raises:
            ArchiveCorrupt: a file is not what its manifest says.
            ArchiveError: a file is gone.
        """
        if not self._files or not ids:
            return pl.DataFrame(schema=_PLACED)
        if len(ids) > _FEW or not ParquetFiles.is_plain(self._files[0].parent.absolute()):
            own = pl.col("entity_id").is_in(ids)
            return pl.concat(
                lazy_rows([file], self._prove).filter(own).collect().with_columns(pl.lit(place, pl.UInt32).alias(PLACE))
                for place, file in enumerate(self._files)
            )
        for file in self._files:
            self._prove(file)
        return pl.concat([self._found(entity_id) for entity_id in ids])

    def _found(self, entity_id: str) -> pl.DataFrame:
        """The rows of an entity; files of one form are looked into, and their rows decoded, at once."""
        folder = self._files[0].parent
        parquet = ParquetFiles(folder)
        uuid = uuid_bytes(pa.array([entity_id], pa.string()))[0].as_py()
        rows: list[pl.DataFrame] = []
        for group in self._groups:
            as_uuid = group.form is not None and uuid is not None
            column, value = ("entity_uuid", uuid) if as_uuid else ("entity_id", entity_id)
            turns = {self._files[place].name: turn for turn, place in enumerate(group.places)}
            names = list(turns)
            with _told(folder):
                if len(self._groups) > 1:
                    names = parquet.having(names, column, value)
                if not names or not (table := parquet.rows(names, column, value, group.several)).num_rows:
                    continue
            turn = pl.Series([turns[name] for name in names], dtype=pl.UInt32)[pl.Series(table[PLACE])]
            told = recorded_rows(group.whole(table.drop_columns([PLACE]), turn), group.form)
            rows.append(told.with_columns(pl.Series(PLACE, group.places, dtype=pl.UInt32)[turn]))
        if not rows:
            return pl.DataFrame(schema=_PLACED)
        return rows[0] if len(rows) == 1 else pl.concat(rows).sort(PLACE, maintain_order=True)

    @cached_property
    def _groups(self) -> list[_Group]:
        """The files, those together whose columns and layouts are the same."""
        groups: dict[tuple[object, ...], list[tuple[int, _File]]] = {}
        for place, path in enumerate(self._files):
            file = _File.of(path)
            key = tuple(file.columns) if file.form is None else (file.form.fields, *file.form.layouts)
            groups.setdefault(key, []).append((place, file))
        return [_Group.of(files) for files in groups.values()]


class _File(NamedTuple):
    """What a data file says of itself: its form, its columns, and one row of those that hold one value only."""

    form: Form | None
    columns: list[str]
    single: pa.Table

    @classmethod
    def of(cls, path: Path) -> _File:
        with opened(path) as parquet:
            form, columns = form_of(parquet.metadata.metadata), parquet.schema_arrow.names
            texts = dictionary_columns(parquet)
            groups = [parquet.metadata.row_group(number) for number in range(parquet.num_row_groups)]
        small = [
            name
            for place, name in enumerate(columns)
            if form is not None and all(group.column(place).total_uncompressed_size <= _SMALL for group in groups)
        ]
        single = pa.table({})
        with opened(path, read_dictionary=texts) as parquet:
            for number in range(len(groups)):
                rows = parquet.read_row_group(number, columns=small)
                here = decoded(rows.select([name for name in small if _is_single(rows.column(name))]).slice(0, 1))
                small = [name for name in here.column_names if not number or here[name].equals(single[name])]
                single = here.select(small)
        return cls(form, columns, single)


def _is_single(column: pa.ChunkedArray) -> bool:
    """Whether a column is known to hold one value, or null, in every row; without rows it holds none."""
    if column.null_count or not len(column):
        return bool(column.null_count == len(column) > 0)
    if not pa.types.is_dictionary(column.type):
        return False
    values = [chunk.dictionary for chunk in column.chunks]
    return all(len(one) == 1 and one.equals(values[0]) for one in values)


class _Group(NamedTuple):
    """Files of one form, by their places; the columns of which one has several values, and of the others theirs."""

    form: Form | None
    places: list[int]
    several: list[str]
    single: pa.Table

    @classmethod
    def of(cls, files: list[tuple[int, _File]]) -> _Group:
        """The files of one form, each with its place."""
        first = files[0][1]
        names = [name for name in first.columns if all(name in file.single.column_names for _, file in files)]
        single = pa.concat_tables(file.single.select(names) for _, file in files)
        several = [name for name in first.columns if name not in names]
        return cls(first.form, [place for place, _ in files], several, single)

    def whole(self, rows: pa.Table, turn: pl.Series) -> pa.Table:
        """Rows of ``several`` with all columns; ``turn`` (UInt32) says of each which of the files it is in."""
        if self.form is None:
            return rows.combine_chunks()
        single, schema = self.single.take(turn.to_arrow()), schema_of(self.form)
        columns = [(single if name in self.single.column_names else rows).column(name) for name in schema.names]
        return pa.table(columns, schema.names).cast(schema).combine_chunks()


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """A file that cannot be read any more, though it was proven, is told."""
    try:
        yield
    except OSError as exc:
        raise ArchiveError(
            f"{folder}: {exc}. Where the archive was compacted since it was opened, open it again."
        ) from exc

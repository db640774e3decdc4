"""The rows of one entity in data files, without reading the others: by the Bloom filters on its id."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from auditlab.archive.decode import recorded_rows
from auditlab.archive.form import form_of, schema_of
from auditlab.archive.rows import lazy_rows
from auditlab.engines.duckdb import PLACE, ParquetFiles
from auditlab.errors import ArchiveError
from auditlab.load.uuids import uuid_bytes
from auditlab.schema import CHANGES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from auditlab.archive.form import Form

__all__ = ["EntityRows"]

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
        self._groups: list[tuple[Form | None, list[int]]] = []

    def of(self, ids: list[str]) -> pl.DataFrame:
        """All rows of some entities: ``CHANGES``, those of each in the order of the files.

        Raises:
            ArchiveCorrupt: a file is not what its manifest says.
            ArchiveError: a file is gone.
        """
        if not self._files or not ids:
            return pl.DataFrame(schema=CHANGES)
        if len(ids) > _FEW or not ParquetFiles.is_plain(self._files[0].parent.absolute()):
            return lazy_rows(self._files, self._prove).filter(pl.col("entity_id").is_in(ids)).collect()
        for file in self._files:
            self._prove(file)
        return pl.concat([self._found(entity_id) for entity_id in ids])

    def _found(self, entity_id: str) -> pl.DataFrame:
        """The rows of an entity; files of one form are looked into, and their rows decoded, at once."""
        folder = self._files[0].parent
        parquet = ParquetFiles(folder)
        uuid = uuid_bytes(pa.array([entity_id], pa.string()))[0].as_py()
        rows: list[pl.DataFrame] = []
        for form, places in self._by_form():
            as_uuid = form is not None and uuid is not None
            column, value = ("entity_uuid", uuid) if as_uuid else ("entity_id", entity_id)
            there = {self._files[place].name: place for place in places}
            names = list(there)
            with _told(folder):
                if len(self._by_form()) > 1:
                    names = parquet.having(names, column, value)
                if not names or not (table := parquet.rows(names, column, value)).num_rows:
                    continue
            own = pl.Series(PLACE, [there[name] for name in names], dtype=pl.UInt32).gather(pl.Series(table[PLACE]))
            table = table.drop_columns([PLACE])
            if form is not None:
                schema = schema_of(form)
                table = table.select(schema.names).cast(schema)
            rows.append(recorded_rows(table.combine_chunks(), form).with_columns(own))
        if not rows:
            return pl.DataFrame(schema=CHANGES)
        return (rows[0] if len(rows) == 1 else pl.concat(rows).sort(PLACE, maintain_order=True)).drop(PLACE)

    def _by_form(self) -> list[tuple[Form | None, list[int]]]:
        """The files by their places, those together whose columns and layouts are the same."""
        if not self._groups:
            groups: dict[tuple[object, ...], tuple[Form | None, list[int]]] = {}
            for place, file in enumerate(self._files):
                metadata = pq.read_metadata(file)
                form = form_of(metadata.metadata)
                key = tuple(metadata.schema.names) if form is None else (form.fields, *form.layouts)
                groups.setdefault(key, (form, []))[1].append(place)
            self._groups = list(groups.values())
        return self._groups


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """A file that cannot be read any more, though it was proven, is told."""
    try:
        yield
    except OSError as exc:
        raise ArchiveError(
            f"{folder}: {exc}. Where the archive was compacted since it was opened, open it again."
        ) from exc

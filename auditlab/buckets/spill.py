"""A private folder for what does not fit in memory, and frames in its files as Arrow streams."""

from __future__ import annotations

import tempfile
import weakref
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa

from auditlab.errors import SpillFailed
from auditlab.temporary import PrivateFolder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Folder", "Stored", "compact"]

_WRITTEN = pa.ipc.IpcWriteOptions(compression="lz4")


class Folder:
    """A new folder under the system's temporary one (``TMPDIR`` names it), with files that hold frames.

    It is readable by its owner alone, and removed when this is no longer used, or when the process ends; what a
    process that was killed left is removed by the next that makes one.
    """

    def __init__(self) -> None:
        with _reported(Path(tempfile.gettempdir())):
            private = PrivateFolder()
        self._path = private.path
        self._remove = weakref.finalize(self, private.remove)

    def append(self, name: str, rows: pl.DataFrame) -> Stored:
        """Write a frame behind what a file holds."""
        table = _table(rows)
        with _reported(self._path), (self._path / name).open("ab") as file:
            start = file.tell()
            with pa.ipc.new_stream(file, table.schema, options=_WRITTEN) as stream:
                stream.write_table(table)
        return Stored(self, name, start, tuple(rows.columns))

    def frames(self, name: str, schema: pl.Schema, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """The frames of a file, all of one schema: some of their columns, in the schema's order."""
        path = self._path / name
        if not path.exists():
            return
        every = list(schema)
        places = sorted(every.index(column) for column in set(columns))
        options = pa.ipc.IpcReadOptions(included_fields=places)
        with _reported(self._path), pa.OSFile(str(path)) as file:
            while file.tell() < file.size():
                yield _named(pa.ipc.open_stream(file, options=options).read_all(), [every[place] for place in places])

    def read(self, stored: Stored) -> pl.DataFrame:
        """A frame that was written."""
        with _reported(self._path), pa.OSFile(str(self._path / stored.name)) as file:
            file.seek(stored.start)
            return _named(pa.ipc.open_stream(file).read_all(), stored.columns)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        with _reported(self._path):
            (self._path / name).unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Stored:
    """Where a frame is: the folder and the file, where it begins there, and what its columns are called."""

    folder: Folder
    name: str
    start: int
    columns: tuple[str, ...]

    def read(self) -> pl.DataFrame:
        """The frame."""
        return self.folder.read(self)


def compact(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows without what they were taken from: some rows of a frame else keep all of its texts in memory."""
    return _named(_table(rows), rows.columns)


def _table(rows: pl.DataFrame) -> pa.Table:
    """The rows as a table whose columns are called by their numbers: a name may hold NUL, which Arrow's may not."""
    numbered = pl.DataFrame([column.alias(str(place)) for place, column in enumerate(rows)])
    return numbered.to_arrow(compat_level=pl.CompatLevel.oldest())


def _named(table: pa.Table, names: Sequence[str]) -> pl.DataFrame:
    rows = pl.DataFrame(pl.from_arrow(table))
    rows.columns = list(names)
    return rows


@contextmanager
def _reported(folder: Path) -> Iterator[None]:
    """Turn what the file system refuses into ``SpillFailed``."""
    try:
        yield
    except OSError as exc:
        raise SpillFailed(
            f"cannot use the temporary folder {folder}: {exc.strerror or exc}. A log larger than memory is dealt out "
            "there. TMPDIR names another folder; memory= more memory, so that less is needed on disk."
        ) from exc

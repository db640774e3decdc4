"""Rows dealt out into compartments on disk: a private folder that is removed with the last that uses it."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa

from auditlab.errors import SpillFailed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Compartments", "compact"]

_WRITTEN = pa.ipc.IpcWriteOptions(compression="lz4")


class Compartments:
    """Compartments of rows of one schema, in a new folder under the system's temporary one (``TMPDIR`` names it).

    The folder is readable by its owner alone, and removed when this is no longer used, or when the process ends.

    Args:
        count: How many; they are numbered from 0.
        room: Bytes of rows that may wait in memory for others of their compartments: few large pieces are written and
            read many times faster than many small ones.
    """

    def __init__(self, count: int, *, room: int = 0) -> None:
        with _reported(Path(tempfile.gettempdir())):
            self._folder = Path(tempfile.mkdtemp(prefix="auditlab-"))
        self._remove = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self.sizes = [0] * count
        """Bytes in memory of each compartment's rows, those that wait left out."""
        self._room = room
        self._waiting: list[pl.DataFrame] = []
        self._held = 0
        self._schema: pl.Schema | None = None

    def __len__(self) -> int:
        return len(self.sizes)

    def deal(self, rows: pl.DataFrame, numbers: pl.Series) -> None:
        """Put each row into the compartment of its number (an integer by row), in the order in which rows come."""
        if self._schema is None:
            self._schema = rows.schema
        if not len(rows):
            return
        self._waiting.append(rows.with_columns(numbers.cast(pl.UInt32).alias(_NUMBER)))
        self._held += int(rows.estimated_size())
        if self._held >= self._room:
            self.settle()

    def add(self, number: int, rows: pl.DataFrame) -> None:
        """Put rows into one compartment, behind those that it has."""
        self.deal(rows, pl.Series([number], dtype=pl.UInt32).new_from_index(0, len(rows)))

    def settle(self) -> None:
        """Write the rows that wait."""
        if not self._waiting:
            return
        placed = pl.concat(self._waiting).sort(_NUMBER, maintain_order=True)
        self._waiting, self._held = [], 0
        start = 0
        for number, length in placed.select(pl.col(_NUMBER).rle()).unnest(_NUMBER).select("value", "len").iter_rows():
            self._write(number, placed[start : start + length].drop(_NUMBER))
            start += length

    def read(self, number: int, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """The rows of one compartment in the order in which they came, or some of their columns."""
        self.settle()
        if self._schema is None:
            return pl.DataFrame()
        every = list(self._schema)
        places = sorted(every.index(name) for name in (every if columns is None else set(columns)))
        names = [every[place] for place in places]
        frames = [pl.DataFrame(schema={name: self._schema[name] for name in names})]
        path = self._path(number)
        if path.exists():
            options = pa.ipc.IpcReadOptions(included_fields=places)
            with _reported(self._folder), pa.OSFile(str(path)) as file:
                while file.tell() < file.size():
                    rows = pl.DataFrame(pl.from_arrow(pa.ipc.open_stream(file, options=options).read_all()))
                    rows.columns = names
                    frames.append(rows)
        rows = pl.concat(frames)
        return rows if columns is None else rows[list(columns)]  # a column may be called "*"

    def _write(self, number: int, rows: pl.DataFrame) -> None:
        self.sizes[number] += int(rows.estimated_size())
        table = _table(rows)
        with (
            _reported(self._folder),
            self._path(number).open("ab") as file,
            pa.ipc.new_stream(file, table.schema, options=_WRITTEN) as stream,
        ):
            stream.write_table(table)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number}.arrows"


_NUMBER = "\x00number"


def compact(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows without what they were taken from: some rows of a frame else keep all of its texts in memory."""
    copied = pl.DataFrame(pl.from_arrow(_table(rows)))
    copied.columns = rows.columns
    return copied


def _table(rows: pl.DataFrame) -> pa.Table:
    """The rows as a table whose columns are called by their numbers: a name may hold NUL, which Arrow's may not."""
    numbered = pl.DataFrame([column.alias(str(place)) for place, column in enumerate(rows)])
    return numbered.to_arrow(compat_level=pl.CompatLevel.oldest())


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

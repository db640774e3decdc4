"""Rows dealt out into compartments on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from auditlab.buckets.spill import Folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["Compartments"]


class Compartments:
    """Compartments of rows of one schema, in a private folder that goes when this is no longer used.

    Args:
        count: How many; they are numbered from 0.
        room: Bytes of rows that may wait in memory for others of their compartments: few large pieces are written and
            read many times faster than many small ones. None, of a log in memory, writes nothing.
        schema: That of the rows; without it the first that are dealt say it.
    """

    def __init__(self, count: int, *, room: int | None = 0, schema: Mapping[str, pl.DataType] | None = None) -> None:
        self._folder = None if room is None else Folder()
        self.sizes = [0] * count
        """Bytes in memory of each compartment's rows, those that wait left out."""
        self._room = room
        self._waiting: list[pl.DataFrame] = []
        self._held = 0
        self._schema = None if schema is None else pl.Schema(schema)
        self.dealt = 0
        """How many rows were put in."""

    def __len__(self) -> int:
        return len(self.sizes)

    def deal(self, rows: pl.DataFrame, numbers: pl.Series) -> None:
        """Put each row into the compartment of its number (an integer by row), in the order in which rows come."""
        if self._schema is None:
            self._schema = rows.schema
        if not len(rows):
            return
        self.dealt += len(rows)
        self._waiting.append(rows.with_columns(numbers.cast(pl.UInt32).alias(_NUMBER)))
        if self._room is not None:
            self._held += int(rows.estimated_size())
            if self._held >= self._room:
                self.settle()

    def add(self, number: int, rows: pl.DataFrame) -> None:
        """Put rows into one compartment, behind those that it has."""
        self.deal(rows, pl.Series([number], dtype=pl.UInt32).new_from_index(0, len(rows)))

    def settle(self) -> None:
        """Write the rows that wait."""
        if self._folder is None or not self._waiting:
            return
        placed, self._waiting, self._held = self._placed(), [], 0
        start = 0
        for number, length in placed.select(pl.col(_NUMBER).rle()).unnest(_NUMBER).select("value", "len").iter_rows():
            rows = placed[start : start + length].drop(_NUMBER)
            self.sizes[number] += int(rows.estimated_size())
            self._folder.append(str(number), rows)
            start += length

    def read(self, number: int, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """The rows of one compartment in the order in which they came, or some of their columns."""
        if self._schema is None:
            return pl.DataFrame()
        wanted = list(self._schema if columns is None else columns)
        # Chosen by [], not select: a column may be called "*".
        return pl.concat([pl.DataFrame(schema=self._schema)[wanted], *self.frames(number, wanted)])

    def frames(self, number: int, columns: Sequence[str] | None = None) -> Iterator[pl.DataFrame]:
        """The same rows, some at a time."""
        self.settle()
        if self._schema is None:
            return
        wanted = list(self._schema if columns is None else columns)
        if self._folder is not None:
            yield from (frame[wanted] for frame in self._folder.frames(str(number), self._schema, wanted))
        elif self._waiting:
            placed = self._placed()
            self._waiting = [placed]
            start, end = (placed[_NUMBER].search_sorted(number, side) for side in ("left", "right"))
            yield placed[start:end][wanted]

    def clear(self, number: int) -> None:
        """Forget the rows of one compartment."""
        self.settle()
        if self._folder is not None:
            self._folder.remove(str(number))
        elif self._waiting:
            self._waiting = [self._placed().filter(pl.col(_NUMBER) != number)]

    def _placed(self) -> pl.DataFrame:
        """The rows that wait, by compartment."""
        rows = pl.concat(self._waiting)
        return rows if rows[_NUMBER].is_sorted() else rows.sort(_NUMBER, maintain_order=True)


_NUMBER = "\x00number"

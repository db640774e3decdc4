"""Texts as numbers: where texts repeat, each distinct one is looked at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow.compute as pc

__all__ = ["Coded", "Texts", "by_number", "codes", "hash_codes", "held", "repeated"]

OFTEN = 4
"""How often a text must stand in a column, on average, for a dictionary to cost less than it saves."""

SELDOM = 32
"""How often a text must stand in a column, on average, for a dictionary of texts to be as fast as one of hashes."""

SHORT = 10_000
"""A column of so few texts takes longer to hash than a dictionary of texts."""

FEWEST = 100
"""A column of fewer texts is not numbered to look at each distinct one once: that takes longer than to look at all."""

SAMPLED = 16
"""Of so many texts one is looked at to choose a dictionary: texts that stand there seldom show in one of them, too."""


def codes(texts: pl.Series) -> pl.Series:
    """A number for each text (UInt32, from 0 without gaps), the same for equal texts; null stays null."""
    return _codes(texts, texts.gather_every(SAMPLED).approx_n_unique())  # type: ignore[arg-type]  # a count


def _codes(texts: pl.Series, few: int) -> pl.Series:
    """The codes of texts of which about ``few`` are distinct."""
    numbers = _by_hash(texts.rechunk()) if few * SELDOM > len(texts) > SHORT else None
    if numbers is None:  # the dictionary is this column's own
        return texts.cast(pl.Categorical(pl.Categories.random())).to_physical()
    return numbers


def _by_hash(texts: pl.Series) -> pl.Series | None:
    """The codes of texts by their hashes, three times faster where many are distinct; None where two share a hash."""
    hashes = _hashes(texts)
    if texts.null_count():
        hashes = hashes.zip_with(texts.is_not_null(), hashes.clear().extend_constant(None, len(texts)))
    found, count = hash_codes(hashes)
    numbers = found.alias(texts.name)
    present = numbers.is_not_null().arg_true().to_numpy()
    one = np.empty(count, dtype=np.uint32)  # a place of each text
    one[numbers.drop_nulls().to_numpy()] = present
    alike = texts.gather(pl.Series(one)).gather(numbers) == texts
    return numbers if alike.all() else None


def hash_codes(hashes: pl.Series) -> tuple[pl.Series, int]:
    """A number for each hash (UInt32) by first appearance, from 0 without gaps; null stays null. And how many."""
    found = pc.dictionary_encode(hashes.to_arrow())
    return pl.Series(found.indices, dtype=pl.UInt32), len(found.dictionary)


def _hashes(texts: pl.Series) -> pl.Series:
    return texts.hash()


@dataclass(frozen=True, slots=True)
class Coded:
    """A column of texts of which most stand there often.

    Args:
        numbers: UInt32; each cell's number, null as the cell.
        distinct: String; each distinct text, by number.
    """

    numbers: pl.Series
    distinct: pl.Series

    @property
    def texts(self) -> pl.Series:
        """String; the column."""
        return self.distinct.gather(self.numbers)


class Texts(Mapping[str, pl.Series]):
    """Columns of texts by name. One whose texts repeat is held by number, and its texts are made when asked for."""

    def __init__(self, columns: Mapping[str, pl.Series | Coded]) -> None:
        self.columns = columns

    def __getitem__(self, name: str) -> pl.Series:
        column = self.columns[name]
        return column.texts if isinstance(column, Coded) else column

    def distinct(self) -> Iterator[pl.Series]:
        """What stands in each column: once, where it is held by number."""
        return (column.distinct if isinstance(column, Coded) else column for column in self.columns.values())

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)


def held(columns: Mapping[str, pl.Series], name: str) -> pl.Series | Coded:
    """A column of texts, by number where it is held so."""
    return columns.columns[name] if isinstance(columns, Texts) else columns[name]


def repeated(texts: pl.Series) -> Coded | None:
    """The texts by number, by first appearance; None where most texts stand there once or twice."""
    sample = texts.gather_every(SAMPLED)
    few: int = sample.approx_n_unique()  # type: ignore[assignment]  # a count
    if few * OFTEN > len(sample):  # texts that stand there sixteen times show but once in the sample
        few = texts.approx_n_unique()  # type: ignore[assignment]
        if few * OFTEN > len(texts):
            return None
    numbers = _codes(texts, few).rechunk()
    firsts = numbers.arg_unique()
    of_firsts = numbers.gather(firsts)
    firsts = firsts.filter(of_firsts.is_not_null()).gather(of_firsts.drop_nulls().arg_sort())
    return Coded(numbers, texts.gather(firsts))


def by_number(column: pl.Series | Coded) -> tuple[pl.Series, pl.Series | None]:
    """What stands in a column, and of each cell the number of it (UInt32); None where it stands there by cell."""
    if isinstance(column, pl.Series):
        found = repeated(column) if len(column) >= FEWEST else None
        if found is None:
            return column, None
        column = found
    return column.distinct, column.numbers

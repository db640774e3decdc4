"""Texts as numbers: where texts repeat, each distinct one is looked at once."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

__all__ = ["Coded", "codes", "repeated"]

OFTEN = 4
"""How often a text must stand in a column, on average, for a dictionary to cost less than it saves."""


def codes(texts: pl.Series) -> pl.Series:
    """A number for each text (UInt32, from 0 without gaps), the same for equal texts; null stays null."""
    return texts.cast(pl.Categorical(pl.Categories.random())).to_physical()  # the dictionary is this column's own


@dataclass(frozen=True, slots=True)
class Coded:
    """A column of texts of which most stand there often.

    Args:
        texts: String; the column.
        numbers: UInt32; each cell's number, null as the cell.
        distinct: String; each distinct text, by number.
    """

    texts: pl.Series
    numbers: pl.Series
    distinct: pl.Series


def repeated(texts: pl.Series) -> Coded | None:
    """The texts by number, by first appearance; None where most texts stand there once or twice."""
    few: int = texts.approx_n_unique()  # type: ignore[assignment]  # a count
    if few * OFTEN > len(texts):
        return None
    numbers = codes(texts).rechunk()
    firsts = numbers.arg_unique()
    of_firsts = numbers.gather(firsts)
    firsts = firsts.filter(of_firsts.is_not_null()).gather(of_firsts.drop_nulls().arg_sort())
    return Coded(texts, numbers, texts.gather(firsts))

"""Texts as numbers: where texts repeat, each distinct one is looked at once."""

from __future__ import annotations

import polars as pl

__all__ = ["codes", "repeated"]

OFTEN = 4
"""How often a text must stand in a column, on average, for a dictionary to cost less than it saves."""


def codes(texts: pl.Series) -> pl.Series:
    """A number for each text (UInt32, from 0 without gaps), the same for equal texts; null stays null."""
    return texts.cast(pl.Categorical(pl.Categories.random())).to_physical()  # the dictionary is this column's own


def repeated(texts: pl.Series) -> tuple[pl.Series, pl.Series] | None:
    """The texts' :func:`codes` and the distinct texts by code; None where most texts stand there once or twice."""
    few: int = texts.approx_n_unique()  # type: ignore[assignment]  # a count
    if few * OFTEN > len(texts):
        return None
    numbers = codes(texts)
    firsts = numbers.arg_unique()
    of_firsts = numbers.gather(firsts)
    firsts = firsts.filter(of_firsts.is_not_null()).gather(of_firsts.drop_nulls().arg_sort())
    return numbers, texts.gather(firsts)

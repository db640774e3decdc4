"""Work side by side: Polars lets other threads of Python run while it works on a column."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["in_pieces", "side_by_side"]

A = TypeVar("A")
B = TypeVar("B")

WORTH = 20_000
"""Cells below which a thread costs more than it saves."""


def side_by_side(work: Callable[[A], B], items: Sequence[A], cells: int) -> list[B]:
    """What ``work`` makes of each item, in their order; in threads, as many as Polars has, where that is worth it.

    Args:
        work: Must be at ease with being called several times at once.
        items: What is worked on.
        cells: About how many cells each of them has.
    """
    if len(items) < 2 or cells < WORTH:  # noqa: PLR2004 - one has nothing beside it
        return [work(item) for item in items]
    with ThreadPoolExecutor(pl.thread_pool_size()) as pool:
        return list(pool.map(work, items))


def in_pieces(work: Callable[[pl.Series], pl.Series], column: pl.Series) -> pl.Series:
    """What ``work`` makes of a column, cell by cell: of each piece of it in a thread, where that is worth it."""
    size = -(-len(column) // pl.thread_pool_size())
    if size < WORTH:
        return work(column)
    pieces = side_by_side(lambda start: work(column[start : start + size]), range(0, len(column), size), size)
    return pl.concat(pieces, rechunk=True)

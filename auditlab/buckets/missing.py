"""After images that are missing from a log that is dealt out: what all of its changes tell of them.

Whether changed fields are new values, and whether a missing image is a fault, all changes of an entity type decide.
What a change left is then told by those of its own entity, which are all in one bucket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from auditlab import malformed
from auditlab.buckets.part import Silent, sound
from auditlab.changed_fields import new_values, silent_lists

if TYPE_CHECKING:
    from collections.abc import Iterator

    from auditlab.buckets.compartments import Compartments

__all__ = ["Missing"]

_LEAVES = pl.col("operation").is_in(["INSERT", "UPDATE"])


class Missing:
    """Takes in a log's rows, and then its buckets.

    Args:
        read: Whether rows with images that are no JSON are set apart, too.
        judged: Whether those that are no changes were set apart before.
    """

    def __init__(self, *, read: bool, judged: bool = False) -> None:
        self._read, self._judged = read, judged
        self._recorded: dict[bool, set[str]] = {True: set(), False: set()}
        self._lists = dict.fromkeys((True, False), False)

    def note(self, rows: pl.DataFrame) -> None:
        """Take in some rows (``part.ROWS``)."""
        has = rows.filter(_LEAVES & pl.col("after_snapshot").is_not_null())
        for name, early in has.select("entity_type", "baseline").unique().iter_rows():
            self._recorded[early].add(name)
        silent = rows.filter(_LEAVES & pl.col("after_snapshot").is_null())  # few: the texts of the others are not read
        for early in silent.filter(silent_lists())["baseline"].unique():
            self._lists[early] = True

    def found(self, dealt: Compartments) -> Silent:
        """What was found, from rows (``part.ROWS``) that are dealt out by entity."""
        sides = {} if self._judged else {early: self._images(dealt, early=early) for early in (True, False)}
        if not any(self._lists.values()):
            return Silent(sides, frozenset())
        return Silent(
            sides,
            new_values(lambda: (sound(dealt.read(number), sides, read=self._read)[0] for number in range(len(dealt)))),
        )

    def _images(self, dealt: Compartments, *, early: bool) -> malformed.Images:
        """What the rows of one side tell of missing images: those of the baseline, or the others."""

        def rows() -> Iterator[pl.DataFrame]:
            for number in range(len(dealt)):
                yield malformed.without_copies(dealt.read(number).filter(pl.col("baseline") == early))[0]

        return malformed.Images(self._recorded[early], new_values(rows) if self._lists[early] else frozenset())

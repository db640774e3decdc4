"""After images that are missing from a log that is dealt out: what all of its changes tell of them.

Whether changed fields are new values, and whether a missing image is a fault, all changes of an entity type decide.
What a change left is then told by those of its own entity, which are all in one bucket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from auditlab import malformed
from auditlab.buckets.part import ARRIVAL, Silent, sound
from auditlab.buckets.spill import compact
from auditlab.completion import SAMPLE, lists_values, silent_lists

if TYPE_CHECKING:
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
        self._lists = False

    def note(self, rows: pl.DataFrame) -> None:
        """Take in some rows (``part.ROWS``)."""
        has = rows.filter(_LEAVES & pl.col("after_snapshot").is_not_null())
        for name, early in has.select("entity_type", "baseline").unique().iter_rows():
            self._recorded[early].add(name)
        silent = rows.filter(_LEAVES & pl.col("after_snapshot").is_null())  # few: the texts of the others are not read
        self._lists = self._lists or bool(silent.select(silent_lists().any()).item())

    def found(self, dealt: Compartments) -> Silent:
        """What was found, from rows (``part.ROWS``) that are dealt out by entity."""
        numbers = range(len(dealt) if self._lists else 0)
        samples = {early: _Lists((ARRIVAL,)) for early in (True, False)}
        for number in numbers:
            rows = dealt.read(number)
            for early, sample in samples.items():
                sample.add(malformed.without_copies(rows.filter(pl.col("baseline") == early))[0])
        sides = {early: malformed.Images(self._recorded[early], lists.values()) for early, lists in samples.items()}
        sides = {} if self._judged else sides
        every = _Lists(("id", ARRIVAL))
        for number in numbers:
            every.add(sound(dealt.read(number), sides, read=self._read)[0])
        return Silent(sides, every.values())


class _Lists:
    """The first lists of changed fields of each entity type, in some order of the changes."""

    def __init__(self, order: tuple[str, ...]) -> None:
        self._order = order
        self._first: pl.DataFrame | None = None

    def add(self, changes: pl.DataFrame) -> None:
        """Take in some changes."""
        own = changes.filter(silent_lists()).select("entity_type", "changed_fields", *self._order)
        own = own if self._first is None else pl.concat([self._first, own])
        self._first = compact(own.sort(self._order).group_by("entity_type", maintain_order=True).head(SAMPLE))

    def values(self) -> set[str]:
        """The types of which they are new values."""
        if self._first is None:
            return set()
        groups = self._first.sort(self._order).group_by("entity_type", maintain_order=True)
        return {str(name) for (name,), own in groups if lists_values(own["changed_fields"])}

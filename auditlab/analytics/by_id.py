"""A loaded log and the live log, held against each other by id; and the two as one log up to now.

Of a log larger than memory both are dealt out by id, and each compartment is checked by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from auditlab.analytics.log_check import Loaded, LogCheck, of_entities
from auditlab.analytics.told import AT, places
from auditlab.buckets.bucketed import Bucketed, Rows
from auditlab.buckets.compartments import Compartments
from auditlab.buckets.dealing import AMPLIFIED, SHARE
from auditlab.buckets.missing import Missing
from auditlab.buckets.part import ARRIVAL, ROWS, sound
from auditlab.buckets.spill import compact
from auditlab.recorded import Recorded
from auditlab.schema import CHANGES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from datetime import datetime

    from auditlab.analytics.disagreements import Disagreements
    from auditlab.schema import LogFacts
    from auditlab.selection import Selected

__all__ = ["ById"]

_WAITING = 12
"""The part (1 in ...) of a question's room that the rows of one log may take while they are dealt out."""


class ById:
    """Takes in the live log, and then tells what is not as it was, and what came since.

    Args:
        selected: The loaded log, or some types of it; changes of other types are taken as they come.
        folds: Partitions of live tables and the type that each belongs to.
        only: The entities that are looked at; None for all.
    """

    def __init__(self, selected: Selected, folds: Mapping[str, str], only: pl.Series | None = None) -> None:
        recorded, aside = selected.recorded, selected.recorded.malformed
        self._count, self._room = recorded.count, recorded.room
        self._loaded = Loaded(recorded.facts, pl.Series("id", [], pl.Int64) if aside is None else aside["id"])
        self._only = only
        self._names = {leaf: folds[leaf] for leaf in recorded.entity_types if leaf in folds}
        self._held, self._live, self._since = (self._compartments(self._count) for _ in range(3))
        self._tail = self._compartments(self._count)
        self._missing = Missing(read=True)
        self._arrived = self._rows = self._size = 0
        for part in recorded.parts():
            self._hold(part, selected.entity_types)
        self._check = self._checking(0) if self._count == 1 else None
        self.common = 0
        self.kin = False
        self.left_out: set[str] = set()
        """Types that were in the live log already when the log was loaded: it was loaded without them."""
        self.new_types: set[str] = set()
        """The types of the changes that came since."""
        self.aside: list[pl.DataFrame] = []
        """Rows that came since and that are no changes."""

    def expect(self, size: int) -> None:
        """Make ready for a live log that takes about so many bytes in memory, and of which all may have come since."""
        if self._room is not None:
            self._tail = self._compartments(max(self._count, -(-size * AMPLIFIED * SHARE // self._room)))

    def take(self, live: pl.DataFrame) -> None:
        """Take in some rows of the live log: the canonical columns, each row once."""
        live = live.with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias(ARRIVAL) + self._arrived)
        self._arrived += len(live)
        if self._check is None:
            self._deal(self._live, live)
        else:
            self._came(self._check.take(live))

    def judge(self, found: Disagreements, oldest: Callable[[], tuple[int | None, datetime | None]]) -> None:
        """Tell what is not as it was: ``LogCheck.faults``."""
        for number in range(self._count):
            check = self._check or self._checking(number)
            for rows in self._live.frames(number):
                self._came(check.take(rows))
            self._live.clear(number)
            self.common += check.common
            self.kin |= check.kin
            self.left_out |= check.left_out
            for kind, rows in check.faults(oldest).items():
                found.add(kind, rows)

    def settle(self, left_out: Collection[str]) -> None:
        """Tell the changes that came since, those of some types left out, from rows that are none."""
        silent = self._missing.found(self._tail)
        for number in range(len(self._tail)):
            rows = self._tail.read(number)
            if rows.is_empty():
                continue
            changes, aside = sound(rows, silent.sides, read=True)
            self._tail.clear(number)
            changes = changes.filter(~pl.col("entity_type").is_in(list(left_out)))
            self._deal(self._since, changes)
            self.new_types.update(changes["entity_type"].unique())
            self.aside.append(aside.select("kind", *CHANGES))

    @property
    def as_it_was(self) -> bool:
        """Whether nothing came since, and all types are called as they were."""
        return not self.new_types and not self._names

    def together(self, facts: LogFacts) -> Recorded:
        """The loaded log and what came since as one log."""
        types = tuple(sorted({*self._loaded.entity_types, *self.new_types}))
        if self._room is None:
            return Recorded(pl.concat([rows for rows, _ in self._batches(types)]), facts)
        source = Rows(self._batches, self._rows, self._size, judged=True)
        return Bucketed(source, facts, entity_types=types, room=self._room)

    def _batches(self, entity_types: tuple[str, ...]) -> Iterator[tuple[pl.DataFrame, bool]]:
        """As ``Rows`` gives them: rows of one id in their order, and what came since behind all others."""
        own = pl.col("entity_type").is_in(entity_types)
        for number in range(self._count):
            yield self._held_rows(number).filter(own).select(*CHANGES), False
        for number in range(self._count):
            rows = self._since.read(number)
            if len(rows):
                yield rows.sort("id", ARRIVAL).filter(own).select(*CHANGES), False

    def _hold(self, part: Recorded, entity_types: tuple[str, ...]) -> None:
        """Take in a part of the loaded log: its own changes of some types, partitions as their tables."""
        own = pl.col("entity_type").is_in(entity_types) & ~pl.col("position").is_in(part.echoes.implode())
        rows = part.changes.filter(own).select(*CHANGES, "baseline", "position")
        if self._names:
            rows = rows.with_columns(pl.col("entity_type").replace(self._names))
        if self._only is not None:
            rows = rows.filter(of_entities(self._only))
        self._loaded.learn(rows)
        if self._room is not None:
            rows = compact(rows.hstack(places(part, rows["position"])))
        self._deal(self._held, rows.drop("position"))

    def _held_rows(self, number: int) -> pl.DataFrame:
        rows = self._held.read(number)
        return rows if self._room is None else rows.sort(AT).drop(AT)

    def _checking(self, number: int) -> LogCheck:
        return LogCheck(self._held_rows(number), self._loaded, self._only)

    def _came(self, rows: pl.DataFrame) -> None:
        """Take in rows that came since."""
        if rows.is_empty():
            return
        rows = rows.with_columns(baseline=pl.lit(value=False)).select(*ROWS)
        self._missing.note(rows)
        self._tail.deal(rows, rows["entity_id"].fill_null("").hash() % len(self._tail))

    def _compartments(self, count: int) -> Compartments:
        return Compartments(count, room=None if self._room is None else self._room // _WAITING)

    def _deal(self, compartments: Compartments, rows: pl.DataFrame) -> None:
        if compartments is not self._live:
            self._rows += len(rows)
            self._size += int(rows.estimated_size())
        compartments.deal(rows, rows["id"].hash() % self._count)

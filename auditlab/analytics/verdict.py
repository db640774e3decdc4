"""What the parts of a log show about the live tables, and what only all of them together show.

Most findings are about one entity, and one part has all of its changes. What the whole log decides waits until every
part was held against its rows: who wrote a row, which rows the log must have, whether a table was emptied.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from auditlab.analytics.outside import ROWS
from auditlab.analytics.told import AT
from auditlab.buckets.compartments import Compartments
from auditlab.buckets.part import ARRIVAL
from auditlab.buckets.spill import compact

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from auditlab.analytics.disagreements import Disagreements
    from auditlab.recorded import Recorded

__all__ = ["EVER", "Population", "Verdict"]

EVER = (-(2**63), 0)
"""Before any place in a log: where the life of a row begins that was there before."""

MANY = 3
"""Rows gone from which on a TRUNCATE is suspected."""
SHOWN = 10_000
"""Rows of one type that the log never saw and that are shown whole."""
_WAITING = 64
"""The part (1 in ...) of a question's room that rows of one sort may take before they are written."""
_MISSING_CHANGE = "its transaction is in the log, but not this change"
_SAME_WRITER = (
    "the last change's own transaction wrote the row: the log was edited, or the transaction went on without it"
)
_UNSEEN = {
    "entity_type": pl.String(),
    "entity_id": pl.String(),
    "live": pl.String(),
    "written_by": pl.Int64(),
    ARRIVAL: pl.Int64(),
}


@dataclass(frozen=True, slots=True)
class Population:
    """Which rows of a type the log must have.

    Args:
        whole: All of them: it began with the rows that were there, or when there were none.
        since: Else those written by this transaction or a later one; None where rows and log cannot be compared so.
    """

    whole: bool
    since: int | None = None


class Verdict:
    """Takes what each part of a log shows about each table.

    Args:
        recorded: The log.
        entity_types: The types that are held against their tables.
        found: Takes the findings.
        population: Tells which rows of a type the log must have, once one is there that it never saw.
    """

    def __init__(
        self,
        recorded: Recorded,
        entity_types: Sequence[str],
        found: Disagreements,
        population: Callable[[str], Population],
    ) -> None:
        self._recorded, self._found, self._population = recorded, found, population
        self._types = list(entity_types)
        self.counts = dict.fromkeys(entity_types, (0, 0, 0))
        """Of each type how many rows the log says there are, how many there are, and how many are as it says."""
        self._changed = self._compartments(recorded.count, ROWS)
        self._unseen = self._compartments(recorded.count, _UNSEEN)
        self._rewrites = self._compartments(recorded.count, {"entity_type": pl.String(), "written_by": pl.Int64()})
        self._removed = self._compartments(len(self._types), {**ROWS, **dict.fromkeys(AT, pl.Int64())})
        self._owing: dict[str, Population] = {}
        self._shown: dict[str, pl.Series] = {}
        self._alive = dict.fromkeys(entity_types, 0)
        self._least: dict[str, tuple[int, int]] = {}

    def counted(self, entity_type: str, *counts: int) -> None:
        """Take how many rows of a type a part of the log says there are, how many there are, and are as it says."""
        known = self.counts[entity_type]
        self.counts[entity_type] = (known[0] + counts[0], known[1] + counts[1], known[2] + counts[2])

    def found(self, kind: str, rows: pl.DataFrame) -> None:
        """Take a finding that stands: rows as ``outside.ROWS``."""
        self._found.add(kind, rows)

    def changed(self, rows: pl.DataFrame) -> None:
        """Take rows that were changed outside the log."""
        self._by_writer(self._changed, rows)

    def never_seen(self, entity_type: str, live: pl.DataFrame) -> None:
        """Take live rows of which the log never saw a change (``table_check.LIVE_ROWS``)."""
        if live.is_empty():
            return
        first = pl.concat([self._shown.get(entity_type, live[ARRIVAL].clear()), live[ARRIVAL]]).bottom_k(SHOWN)
        self._shown[entity_type] = first
        image = pl.when(pl.col(ARRIVAL).is_in(first.implode())).then("image")
        rows = live.select(pl.lit(entity_type).alias("entity_type"), "entity_id", image, "written", ARRIVAL)
        self._by_writer(self._unseen, rows.rename({"image": "live", "written": "written_by"}))

    def rewritten(self, entity_type: str, writers: pl.Series) -> None:
        """Take transactions that wrote rows of a type and left them as the log says they are."""
        self._by_writer(
            self._rewrites,
            writers.alias("written_by").to_frame().select(entity_type=pl.lit(entity_type), written_by="written_by"),
        )

    def staying(self, entity_type: str, alive: int, first: tuple[int, int] | None) -> None:
        """Take how many rows of a type are there by a part of the log, and where the first of those that stay began."""
        self._alive[entity_type] += alive
        if first is not None:
            self._least[entity_type] = min(first, self._least.get(entity_type, first))

    def removed(self, rows: pl.DataFrame) -> None:
        """Take rows that are not there any more (``outside.ROWS``), and where their last change stands (``AT``)."""
        self._removed.add(self._types.index(rows["entity_type"][0]), self._own(rows))

    def judge(self) -> None:
        """Tell what all parts show together."""
        for entity_type in self._types:
            self._gone(entity_type)
        if self._changed.dealt or self._unseen.dealt:
            self._judge_by_writer()

    def _gone(self, entity_type: str) -> None:
        """Rows that are not there any more: a TRUNCATE explains them where they are most, and older than all others."""
        number, least = self._types.index(entity_type), self._least.get(entity_type)
        at, arrival = (pl.col(name) for name in AT)
        older = pl.lit(value=True)
        if least is not None:
            older = (at < least[0]) | ((at == least[0]) & (arrival < least[1]))
        many = sum(len(rows.filter(older)) for rows in self._removed.frames(number))
        older &= pl.lit(many >= MANY and 2 * many >= self._alive[entity_type])
        for rows in self._removed.frames(number):
            self._found.add("possible TRUNCATE", rows.filter(older))
            self._found.add("removed outside the log", rows.filter(~older))

    def _judge_by_writer(self) -> None:
        """Rows that a transaction wrote which the log does not name for them: it may name it elsewhere."""
        known = self._compartments(self._recorded.count, {"written_by": pl.Int64()})
        for part in self._recorded.parts():
            self._by_writer(known, part.changes.select(written_by="transaction_id").drop_nulls().unique())
        for number in range(self._recorded.count):
            here = pl.col("written_by").is_in(known.read(number)["written_by"].implode())
            own = pl.col("written_by") == pl.col("transaction_id")
            by_whom = pl.when(own).then(pl.lit(_SAME_WRITER)).when(here).then(pl.lit(_MISSING_CHANGE))
            for rows in self._changed.frames(number):
                self._found.add("changed outside the log", rows.with_columns(note=by_whom))
            rewrites = self._rewrites.read(number)
            note = pl.when(here).then(pl.lit(_MISSING_CHANGE))
            for frame in self._unseen.frames(number):
                for (name,), rows in frame.group_by("entity_type", maintain_order=True):
                    entity_type = str(name)
                    writers = rewrites.filter(pl.col("entity_type") == entity_type)["written_by"]
                    owed = self._owed(entity_type, rows, writers)
                    shown = pl.when(pl.col(ARRIVAL).is_in(self._shown[entity_type].implode())).then("live")
                    inserted = rows.filter(owed).with_columns(shown.alias("live"), note=note)
                    self._found.add("inserted outside the log", inserted)
                    self._found.add("population incomplete", rows.filter(~owed).drop("live"))

    def _owed(self, entity_type: str, unseen: pl.DataFrame, rewrites: pl.Series) -> pl.Series:
        """Which rows that the log never saw it should have seen."""
        if entity_type not in self._owing:
            self._owing[entity_type] = self._population(entity_type)
        owed = self._owing[entity_type]
        if owed.whole or owed.since is None:
            return pl.Series([owed.whole]).new_from_index(0, len(unseen))
        late = unseen["written_by"] >= owed.since
        return (late & ~unseen["written_by"].is_in(rewrites.implode())).fill_null(value=False)

    def _by_writer(self, compartments: Compartments, rows: pl.DataFrame) -> None:
        if len(rows):
            compartments.deal(self._own(rows), rows["written_by"].hash() % self._recorded.count)

    def _own(self, rows: pl.DataFrame) -> pl.DataFrame:
        return rows if self._recorded.room is None else compact(rows)

    def _compartments(self, count: int, schema: dict[str, pl.DataType]) -> Compartments:
        room = self._recorded.room
        return Compartments(count, room=None if room is None else room // _WAITING, schema=schema)

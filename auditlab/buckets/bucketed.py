"""A log larger than memory: dealt out into buckets once, and then read bucket by bucket."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NoReturn

import polars as pl

from auditlab import malformed
from auditlab.buckets.dealing import AMPLIFIED, Dealt, deal
from auditlab.buckets.part import ARRIVAL, ROWS, Bucket, Key, Part, Whole
from auditlab.buckets.survey import Survey
from auditlab.errors import LogTooLarge, UnknownChange
from auditlab.printable import megabytes
from auditlab.recorded import Recorded
from auditlab.schema import CHANGES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    from auditlab.buckets.links import Links
    from auditlab.buckets.types import Types
    from auditlab.marks import TransactionSnapshot
    from auditlab.schema import LogFacts

__all__ = ["Bucketed", "Rows"]


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a log that are read when they are asked for.

    Args:
        batches: Gives frames of the canonical columns, and of each whether it is of the baseline; that comes first.
        count: How many rows there are.
        size: How many bytes they take in memory, about.
        judged: Whether those that are no changes were set apart before.
    """

    batches: Callable[[tuple[str, ...]], Iterator[tuple[pl.DataFrame, bool]]]
    count: int
    size: int
    judged: bool = False


class Bucketed(Recorded):
    """A log that is asked bucket by bucket. What needs all of its rows at once raises ``LogTooLarge``.

    Args:
        rows: The rows.
        facts: What stands beside them.
        entity_types: The entity types that they are of.
        room: Bytes of memory that a question may take.
        strict: Whether rows that are no changes are an error when they are read; else they are set apart.
    """

    def __init__(
        self, rows: Rows, facts: LogFacts, *, entity_types: tuple[str, ...], room: int, strict: bool = True
    ) -> None:
        super().__init__(pl.LazyFrame(schema=CHANGES), facts, entity_types=entity_types, strict=strict)
        self._source = rows
        self.room: int = room
        self._logs: dict[tuple[str, ...], Bucketed] = {}
        self._latest: dict[str, datetime | None] = {}
        self._saw_any: dict[TransactionSnapshot, bool] = {}
        self._unseen_starts: dict[TransactionSnapshot, dict[str, int]] = {}
        self._unnumbered: dict[tuple[str, ...], tuple[int, int]] = {}
        self._partings: dict[int | None, tuple[Key, bool, pl.Series]] = {}

    @property
    def needed(self) -> int:
        """Bytes of memory that a question takes which needs all rows at once."""
        return self._source.size * AMPLIFIED

    @cached_property
    def _read(self) -> tuple[pl.DataFrame, pl.DataFrame | None]:
        self.refuse()

    def refuse(self, asked: str = "this question") -> NoReturn:
        """Raise ``LogTooLarge``: what is asked for, in words, needs all rows at once."""
        raise LogTooLarge(
            f"{asked} needs all {self._source.count:,} changes in memory at once, about {megabytes(self.needed)}, and "
            f"may take {megabytes(self.room)}. Ask it of fewer entity types (log.of(...)), see one entity by history() "
            f'or explore(), or allow more: scan_archive(folder, memory="{-(-self.needed // 10**6)}MB").'
        )

    @property
    def malformed(self) -> pl.DataFrame | None:
        """See ``Recorded.malformed``."""
        return self.whole_log.malformed

    def part(self, entity_types: tuple[str, ...]) -> Bucketed:
        """The log of some entity types: if it was dealt out already, all of it; else only those are read."""
        if entity_types == self.entity_types or "_dealt" in vars(self):
            return self
        if entity_types not in self._logs:
            part = Bucketed(self._source, self.facts, entity_types=entity_types, room=self.room, strict=self._strict)
            self._logs[entity_types] = self._within(part)
        return self._logs[entity_types]

    def with_facts(self, facts: LogFacts) -> Bucketed:
        """The same rows with other facts beside them."""
        other = Bucketed(self._source, facts, entity_types=self.entity_types, room=self.room, strict=self._strict)
        if "_dealt" in vars(self):
            vars(other)["_dealt"] = self._dealt
        return self._alike(other)

    def batches(self, entity_types: tuple[str, ...], *, early: bool) -> Iterator[pl.DataFrame]:
        """The rows of some types as they were recorded and come, those set apart too: of the baseline, or the others.

        Raises:
            MalformedChange: rows are no changes, and that is an error.
        """
        if self._strict:
            _ = self.malformed
        for rows, of_baseline in self._source.batches(entity_types):
            if of_baseline == early:
                yield rows
            elif early:
                return

    def parts(self) -> Iterator[Part]:
        """The buckets, one after the other."""
        return map(self.bucket, range(self.count))

    def bucket(self, number: int) -> Part:
        """One bucket."""
        return self._part(number, self.whole_log)

    def holding(self, entity_id: str) -> Part:
        """The bucket with the entities of that id, of whichever type."""
        return self._part(self.numbers_of(pl.Series([entity_id]))[0], self.whole_log, alone=True)

    def numbers_of(self, entity_ids: pl.Series) -> pl.Series:
        """The number of the bucket that holds, or would hold, the entities of each id, of whichever type."""
        numbers = entity_ids.hash() % self.count
        moves = self._dealt.moves
        if moves is None:
            return numbers
        moved = entity_ids.alias("entity_id").to_frame().join(moves, on="entity_id", how="left", maintain_order="left")
        return moved.select(pl.col("to").fill_null(numbers)).to_series()

    def known_id(self, entity_type: str, candidates: Iterable[str]) -> str | None:
        """See ``Recorded.known_id``."""
        if entity_type not in self.entity_types:
            return None
        candidates = list(candidates)
        known = None if self.shortcuts is None else self.shortcuts.known(self.facts, entity_type, candidates)
        if known is not None:
            return next(iter(known), None)
        asked = (self.holding(candidate).known_id(entity_type, [candidate]) for candidate in candidates)
        return next((found for found in asked if found is not None), None)

    @property
    def count(self) -> int:
        """How many buckets there are."""
        return len(self._dealt.rows)

    @cached_property
    def whole_log(self) -> Whole:
        """What the whole log tells, found out bucket by bucket."""
        survey = Survey()
        for number in range(self.count):
            part = self._part(number, None)
            part.learn()
            survey.add(part)
            self._dealt.forget(number)
        whole = survey.whole()
        if self._strict and whole.malformed is not None:
            malformed.refuse(whole.malformed)
        return whole

    @property
    def surveyed(self) -> bool:
        """Whether what the whole log tells was found out."""
        return "whole_log" in vars(self.original)

    def starts(self) -> dict[str, tuple[int, Key]]:
        """Of types whose log begins with states that were read: the highest id, and the last place, of those."""
        return self._starts

    @cached_property
    def _starts(self) -> dict[str, tuple[int, Key]]:
        found: dict[str, tuple[int, Key]] = {}
        for part in self.parts():
            for name, (last, key) in part.started(self.whole_log).items():
                most = found.get(name, (last, key))
                found[name] = max(most[0], last), max(most[1], key)
        return found

    def parted(self, transaction: int | None) -> tuple[Key, bool, pl.Series]:
        """Where a transaction's last change stands, whether one is of the baseline, and which go on behind it.

        Raises:
            UnknownChange: the log has no such transaction.
        """
        if transaction not in self._partings:
            self._partings[transaction] = self._parted(transaction)
        return self._partings[transaction]

    def _parted(self, transaction: int | None) -> tuple[Key, bool, pl.Series]:
        keys: list[Key] = []
        early = False
        known: list[int] = []
        for part in self.parts():
            changes = part.changes
            own = changes.filter(pl.col("transaction_id") == transaction)
            if len(own):
                early |= bool(own["baseline"].any())
                keys.append(part.keys_of(own["position"].sort().tail(1)).row(0))
            ids = changes["transaction_id"].drop_nulls()
            known += [ids.min(), ids.max()] if len(ids) else []  # type: ignore[list-item]  # whole numbers
        if not keys:
            raise UnknownChange.transaction(transaction, (min(known), max(known)) if known else None)
        sides: list[pl.Series] = [pl.Series("transaction_id", [], dtype=pl.Int64)] * 2
        for part in self.parts():
            ids = part.changes["transaction_id"]
            last = part.position_of(max(keys)) + 1
            halves = (ids[:last], ids[last:])
            sides = [pl.concat([old, new.drop_nulls()]).unique() for old, new in zip(sides, halves, strict=True)]
        return max(keys), early, sides[0].filter(sides[0].is_in(sides[1].implode()))

    def unnumbered(self, entity_types: tuple[str, ...]) -> tuple[int, int]:
        """How many changes of some types have no transaction id, and how many there are."""
        if entity_types not in self._unnumbered:
            counts = [Recorded.unnumbered(part, entity_types) for part in self.parts()]
            self._unnumbered[entity_types] = sum(none for none, _ in counts), sum(every for _, every in counts)
        return self._unnumbered[entity_types]

    def latest(self, own: pl.Expr) -> datetime | None:
        """See ``Recorded.latest``."""
        key = str(own)
        if key not in self._latest:
            times = [Recorded.latest(part, own) for part in self.parts()]
            self._latest[key] = max((one for one in times if one is not None), default=None)
        return self._latest[key]

    def saw_any(self, seen: TransactionSnapshot) -> bool:
        """Whether a transaction snapshot saw any change of the log."""
        if seen not in self._saw_any:
            self._saw_any[seen] = any(Recorded.saw_any(part, seen) for part in self.parts())
        return self._saw_any[seen]

    def unseen_starts(self, seen: TransactionSnapshot) -> dict[str, int]:
        """See ``Recorded.unseen_starts``."""
        if seen not in self._unseen_starts:
            counts = Counter[str]()
            for part in self.parts():
                counts.update(Recorded.unseen_starts(part, seen))
            self._unseen_starts[seen] = dict(counts)
        return self._unseen_starts[seen]

    @cached_property
    def begun(self) -> dict[str, datetime]:
        """See ``Recorded.begun``."""
        return self.whole_log.begun

    @cached_property
    def unseen(self) -> dict[str, int]:
        """See ``Recorded.unseen``."""
        return self.whole_log.unseen

    @cached_property
    def unlinked_keys(self) -> pl.DataFrame:
        """See ``Recorded.unlinked_keys``."""
        return self.whole_log.unlinked_keys

    @property
    def types(self) -> Types:
        """The fields of all types, as far as the log was surveyed."""
        return self._dealt.types

    @property
    def finder(self) -> Links:
        """What found the changes of keys."""
        return self._dealt.finder

    def _part(self, number: int, whole: Whole | None, *, alone: bool = False) -> Part:
        dealt = self._dealt
        part = Bucket(
            self,
            number,
            None if number in dealt.shelf else dealt.of(number),
            facts=self.facts,
            entity_types=self.entity_types,
            types=dealt.types,
            links=dealt.links,
            silent=dealt.silent,
            whole=whole,
            shelf=dealt.shelf,
            alone=alone,
            read=not self._strict,
        )
        part.spans_its_ids, part.archived, part.larger = self.spans_its_ids, self.archived, self.larger
        return part

    @cached_property
    def _dealt(self) -> Dealt:
        """The rows by bucket."""
        source = self._source
        rows, read = self._arriving(), not self._strict
        return deal(rows, self.facts, size=source.size, room=self.room, read=read, judged=source.judged)

    def _arriving(self) -> Iterator[pl.DataFrame]:
        """``ROWS`` as they come."""
        arrival = 0
        for batch, early in self._source.batches(self.entity_types):
            frame = batch.select(*CHANGES, pl.lit(early).alias("baseline")).with_row_index(ARRIVAL, offset=arrival)
            yield frame.with_columns(pl.col(ARRIVAL).cast(pl.Int64)).select(*ROWS)
            arrival += len(frame)

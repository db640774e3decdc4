"""A log larger than memory: dealt out into buckets once, and then read bucket by bucket."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NoReturn

import polars as pl

from auditlab import malformed
from auditlab.buckets.compartments import Compartments
from auditlab.buckets.links import Links, linked
from auditlab.buckets.part import ARRIVAL, ROWS, Key, Part, Whole
from auditlab.buckets.shelf import Shelf
from auditlab.buckets.survey import Survey
from auditlab.buckets.types import Types
from auditlab.errors import LogTooLarge, UnknownChange
from auditlab.recorded import Recorded
from auditlab.schema import CHANGES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    from auditlab.marks import TransactionSnapshot
    from auditlab.schema import LogFacts

__all__ = ["Bucketed", "Rows"]

AMPLIFIED = 10
"""How many times the bytes of its rows a log takes while it is asked, about."""

SHARE = 5
"""The part (1 in ...) of a question's room that one bucket may take: the rest is for Python and its libraries, and for
a bucket's answer beside the next bucket."""

ALWAYS = 64 << 20
"""Bytes that a bucket may take however little memory was allowed: entities are not of one size."""

WAITING = 6
"""The part (1 in ...) of a question's room that rows may take while they are dealt out: nothing else does then."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a log that are read when they are asked for.

    Args:
        batches: Gives frames of the canonical columns, and of each whether it is of the baseline; that comes first.
        count: How many rows there are.
        size: How many bytes they take in memory, about.
    """

    batches: Callable[[tuple[str, ...]], Iterator[tuple[pl.DataFrame, bool]]]
    count: int
    size: int


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
        self.room = room
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

    def refuse(self) -> NoReturn:
        """Raise ``LogTooLarge``: what is asked for needs all rows at once."""
        raise LogTooLarge(
            f"this question needs all {self._source.count:,} changes in memory at once, about "
            f"{self.needed / 1e9:,.1f} GB, and may take {self.room / 1e9:,.1f} GB. Ask it of fewer entity types "
            '(log.of(...)) or of one entity, or allow more: scan_archive(folder, memory="64GB").'
        )

    @property
    def malformed(self) -> pl.DataFrame | None:
        """See ``Recorded.malformed``."""
        return self.whole_log.malformed

    def part(self, entity_types: tuple[str, ...]) -> Recorded:
        """The log of some entity types: if it was dealt out already, all of it; else only those are read."""
        if entity_types == self.entity_types or "_dealt" in vars(self):
            return self
        if entity_types not in self._parts:
            part = Bucketed(self._source, self.facts, entity_types=entity_types, room=self.room, strict=self._strict)
            self._parts[entity_types] = self._within(part)
        return self._parts[entity_types]

    def with_facts(self, facts: LogFacts) -> Recorded:
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
        number = pl.Series([entity_id]).hash()[0] % self.count
        moves = self._dealt.moves
        if moves is not None:
            to = moves.filter(pl.col("entity_id") == entity_id)["to"]
            number = to[0] if len(to) else number
        return self._part(number, self.whole_log, alone=True)

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
        part = Part(
            number,
            None if number in dealt.shelf else dealt.of(number),
            self.facts,
            entity_types=self.entity_types,
            types=dealt.types,
            links=dealt.links,
            log=self,
            whole=whole,
            shelf=dealt.shelf,
            alone=alone,
            read=not self._strict,
        )
        part.spans_its_ids, part.archived, part.larger = self.spans_its_ids, self.archived, self.larger
        return part

    @cached_property
    def _dealt(self) -> _Dealt:
        """The rows by bucket: an entity's are all in one, a TRUNCATE is in each."""
        count = max(1, -(-self.needed * SHARE // max(1, self.room)))
        rows = Compartments(count, room=self.room // WAITING)
        links = Links(self.facts.keys, read=not self._strict)
        for frame in self._arriving():
            self._whole_images(frame)
            links.sample(frame)
            rows.deal(*_to_all(frame, count))
        rows.settle()
        largest = max(rows.sizes)
        if largest * AMPLIFIED > max(2 * self.room, ALWAYS):
            raise LogTooLarge(
                f"single entities of this log have histories that take about {largest * AMPLIFIED / 1e9:,.1f} GB, and "
                f"a question may take {self.room / 1e9:,.1f} GB. Allow more: scan_archive(folder, memory=...)."
            )
        found = links.found(rows, self.facts.clock)
        moves = linked(found, count)
        types, shelf = Types(self.facts.kinds), Shelf()
        if moves is None:
            return _Dealt(rows, found, None, None, types, shelf, links)
        moved = Compartments(count, room=self.room // WAITING)
        for number in range(count):
            goes = rows.read(number).join(moves, on="entity_id", how="inner", maintain_order="left")
            moved.deal(goes.drop("to"), goes["to"])
        return _Dealt(rows, found, moves, moved, types, shelf, links)

    def _whole_images(self, frame: pl.DataFrame) -> None:
        """Refuse changes without the state that they left: all changes of the type decide what follows of it."""
        silent = pl.col("operation").is_in(["INSERT", "UPDATE"]) & pl.col("after_snapshot").is_null()
        without = frame.filter(silent)
        if len(without):
            raise LogTooLarge(
                f"changes of {without['entity_type'][0]} (id {without['id'][0]}) have no after image. What they left "
                f"is told by all changes together, which take about {self.needed / 1e9:,.1f} GB; a question may take "
                f"{self.room / 1e9:,.1f} GB. Allow more: scan_archive(folder, memory=...)."
            )

    def _arriving(self) -> Iterator[pl.DataFrame]:
        """``ROWS`` as they come."""
        arrival = 0
        for batch, early in self._source.batches(self.entity_types):
            frame = batch.select(*CHANGES, pl.lit(early).alias("baseline")).with_row_index(ARRIVAL, offset=arrival)
            yield frame.with_columns(pl.col(ARRIVAL).cast(pl.Int64)).select(*ROWS)
            arrival += len(frame)


@dataclass(frozen=True, slots=True)
class _Dealt:
    """The log by bucket.

    Args:
        rows: The rows, until their bucket has learned.
        links: The changes of keys (``LINKED``).
        moves: What ``linked`` tells of entities that left their bucket.
        moved: The rows of those, by the bucket that they go to.
        types: The fields of all types.
        shelf: What each bucket worked out.
        finder: What found the changes of keys.
    """

    rows: Compartments
    links: pl.DataFrame
    moves: pl.DataFrame | None
    moved: Compartments | None
    types: Types
    shelf: Shelf
    finder: Links

    def of(self, number: int) -> pl.DataFrame:
        """The rows of a bucket (``ROWS``), in no promised order."""
        rows = self.rows.read(number)
        if self.moves is None or self.moved is None:
            return rows
        return pl.concat(
            [rows.join(self.moves, on="entity_id", how="anti", maintain_order="left"), self.moved.read(number)]
        )

    def forget(self, number: int) -> None:
        """Remove the rows of a bucket that is kept."""
        for each in (self.rows, self.moved):
            if each is not None:
                each.clear(number)


def _to_all(frame: pl.DataFrame, count: int) -> tuple[pl.DataFrame, pl.Series]:
    """The rows with each TRUNCATE once for every bucket, and the numbers of the buckets."""
    numbers = frame["entity_id"].hash().rename("number") % count
    numbers = numbers.zip_with(frame["entity_id"].is_not_null(), numbers.clear().extend_constant(0, len(frame)))
    truncates = frame.filter(pl.col("operation") == "TRUNCATE")
    if truncates.is_empty():
        return frame, numbers
    own = frame["operation"] != "TRUNCATE"
    everywhere = pl.concat([truncates] * count)
    each = pl.Series("number", [number for number in range(count) for _ in range(len(truncates))], dtype=numbers.dtype)
    return pl.concat([frame.filter(own), everywhere]), pl.concat([numbers.filter(own), each])

"""One bucket of a log as a log of its own: it holds whole histories, and is told what the whole log knows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import polars as pl

from auditlab import malformed
from auditlab.buckets.types import firsts
from auditlab.completion import completed
from auditlab.cut import Cut
from auditlab.errors import SnapshotTooLarge
from auditlab.recorded import Recorded
from auditlab.rekeys import LINKS, NO_LINKS
from auditlab.schema import CHANGES, check_columns
from auditlab.set_aside import nameless

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from collections.abc import Set as AbstractSet
    from datetime import datetime

    from auditlab.buckets.shelf import Shelf
    from auditlab.buckets.types import First, Types
    from auditlab.documents import Documents, Split
    from auditlab.marks import TransactionSnapshot
    from auditlab.order import Sequence
    from auditlab.schema import LogFacts
    from auditlab.selection import Beside
    from auditlab.values import Column

__all__ = ["ARRIVAL", "LINKED", "ROWS", "Bucket", "Key", "Part", "Silent", "Whole", "sound"]

Key = tuple[int, int]
"""What orders the rows of all buckets: an id and an arrival."""

ARRIVAL = "arrival"
"""The number of a row in the order in which the log's rows came: of equal ids, the first to come is first."""

ROWS = {**CHANGES, "baseline": pl.Boolean(), ARRIVAL: pl.Int64()}
"""What is dealt out into buckets."""

LINKED = {**LINKS, "left": pl.Int64(), "came": pl.Int64()}
"""``auditlab.rekeys.LINKS``, the changes by their arrival."""

_UNREAD = pl.LazyFrame(schema=CHANGES)


@dataclass(frozen=True, slots=True)
class Silent:
    """What all changes of a log tell of after images that are missing.

    Args:
        sides: Of the baseline (true) and of the others (false): where a missing image is a fault. Empty where all rows
            were judged before, and nothing is set apart.
        values: The entity types whose changes without an after image list the new values.
    """

    sides: Mapping[bool, malformed.Images]
    values: AbstractSet[str]


@dataclass(frozen=True, slots=True)
class Whole:
    """What the whole log tells that no bucket can know by itself.

    Args:
        begun: As ``Recorded.begun``; so are ``unseen``, ``unlinked_keys`` and ``id_span``.
        unseen: Entity types that had rows before their log began, with the number of those that a change showed.
        unlinked_keys: Changes of keys that cannot be linked, in the log's order; their ``position`` means nothing.
        id_span: The least and the largest id.
        opened: Of each entity type with which row it begins: where that stands, and its transaction and time.
        changed: Of each entity type where the first row stands that is a change, and no state that was read.
        struck: Arrivals of the TRUNCATEs that ended an entity in any bucket.
        malformed: Rows that were set apart.
    """

    begun: dict[str, datetime]
    unseen: dict[str, int]
    unlinked_keys: pl.DataFrame
    id_span: tuple[int, int] | None
    opened: dict[str, tuple[Key, int | None, datetime]]
    changed: dict[str, Key]
    struck: pl.Series
    malformed: pl.DataFrame | None


class Log(Protocol):
    """What a bucket asks of the log that it is of, where all of its buckets must be looked at."""

    def starts(self) -> dict[str, tuple[int, Key]]:
        """``Recorded.whole``, with the place over all buckets for the position."""

    def unnumbered(self, entity_types: tuple[str, ...]) -> tuple[int, int]:
        """``Recorded.unnumbered``."""

    def latest(self, own: pl.Expr) -> datetime | None:
        """``Recorded.latest``."""

    def saw_any(self, seen: TransactionSnapshot) -> bool:
        """``Recorded.saw_any``."""

    def unseen_starts(self, seen: TransactionSnapshot) -> dict[str, int]:
        """``Recorded.unseen_starts``."""


class Part(Recorded):
    """One bucket.

    Args:
        number: Which; the first tells of what is in every bucket, the TRUNCATEs.
        rows: ``ROWS``, in any order; None of a bucket that is kept.
        facts: The whole log's.
        entity_types: The whole log's.
        types: The fields of the whole log.
        links: ``LINKED``: the changes of keys, in the whole log.
        log: The log that it is of.
        silent: What the whole log tells of missing images; None where all are there.
        whole: What the whole log tells; None while that is found out.
        shelf: Where a bucket that has learned is kept; None to keep nothing.
        alone: Whether no other bucket is asked, so that this one tells of the TRUNCATEs.
        read: Whether rows with images that are no JSON are set apart, too.
    """

    def __init__(
        self,
        number: int,
        rows: pl.DataFrame | None,
        facts: LogFacts,
        *,
        entity_types: tuple[str, ...],
        types: Types,
        links: pl.DataFrame,
        log: Log,
        silent: Silent | None = None,
        whole: Whole | None = None,
        shelf: Shelf | None = None,
        alone: bool = False,
        read: bool = False,
    ) -> None:
        super().__init__(_UNREAD, facts, entity_types=entity_types, strict=False)
        self.number = number
        self._tells = alone or number == 0
        self._log = log
        self._types = types
        self._silent = silent
        self._shelf = shelf
        self._texts: pl.Series | None = None
        self.reading: Callable[[Part, str], Documents | None] | None = None
        """Gives a type's documents where they are read otherwise than recorded; None for the others."""
        self._splits: dict[str, tuple[Split, pl.DataFrame, pl.DataFrame]] = {}
        """The documents of a bucket that is not kept: they are learned from, and typed after."""
        self.beside: Beside | None = None
        """The live entities of which it has no row, where it goes on from a position."""
        if rows is not None:
            changes, aside = sound(rows, None if silent is None else silent.sides, read=read)
            self.aside = aside.filter((pl.col("operation") != "TRUNCATE") | (number == 0))  # those are in every bucket
            changes = changes.with_row_index("row")
        elif shelf is not None:
            changes, self.aside, self._texts = shelf.rows(number)
        self.arrivals = changes[ARRIVAL]
        self._links = _here(links, self.arrivals)
        known_rows = changes.drop(ARRIVAL).set_sorted("id"), self.aside.drop("baseline", ARRIVAL)
        vars(self)["_read"] = known_rows  # a cached property is told what it is
        if whole is not None:
            told = ("begun", "unseen", "unlinked_keys", "id_span")
            known: dict[str, Any] = {name: getattr(whole, name) for name in told}
            known["nameless"] = nameless(whole.malformed)
            known |= {"echoes": self._echoes(), "struck": self._struck(whole.struck)}
            vars(self).update(known)

    @cached_property
    def sequence(self) -> Sequence:
        """The bucket in its order; which keys changed is known from the whole log."""
        return self._in_order(self._rows, self._links)

    def part(self, entity_types: tuple[str, ...]) -> Recorded:  # noqa: ARG002 - the bucket is read already
        """Itself."""
        return self

    def keys_of(self, positions: pl.Series) -> pl.DataFrame:
        """What orders positions over all buckets: the id and the arrival (Int64) at which each stands."""
        return pl.DataFrame({"id": self._rows["id"].gather(positions), ARRIVAL: self.arrivals.gather(positions)})

    @property
    def by_id(self) -> pl.DataFrame:
        """The rows by id: ``CHANGES`` with ``baseline`` and ``row``, a row's number, which ``links`` tell."""
        return self._rows

    def taken(self, wanted: pl.Expr) -> pl.DataFrame:
        """The changes that meet a predicate over ``changes``, as ``ROWS``, in the order in which they came."""
        rows = self.changes.filter(wanted)
        return rows.with_columns(self.arrivals.gather(rows["row"]).alias(ARRIVAL)).select(*ROWS).sort(ARRIVAL)

    @cached_property
    def whole(self) -> dict[str, tuple[int, int]]:
        """See ``Recorded.whole``; the position is that of the last row here that is none behind it, or -1."""
        return {name: (last, self.position_of(key)) for name, (last, key) in self._log.starts().items()}

    def unnumbered(self, entity_types: tuple[str, ...]) -> tuple[int, int]:
        """See ``Recorded.unnumbered``."""
        return self._log.unnumbered(entity_types)

    def latest(self, own: pl.Expr) -> datetime | None:
        """See ``Recorded.latest``."""
        return self._log.latest(own)

    def saw_any(self, seen: TransactionSnapshot) -> bool:
        """See ``Recorded.saw_any``."""
        return self._log.saw_any(seen)

    def unseen_starts(self, seen: TransactionSnapshot) -> dict[str, int]:
        """See ``Recorded.unseen_starts``."""
        return self._log.unseen_starts(seen)

    def started(self, whole: Whole) -> dict[str, tuple[int, Key]]:
        """Of each type the highest id, and the last place, of the rows here with which the whole log begins."""
        columns = ["entity_type", "id", "position", "transaction_id", "changed_at", "baseline", "operation"]
        rows = self.changes.select(columns)
        found: dict[str, tuple[int, Key]] = {}
        for name, (_, transaction, at) in whole.opened.items():
            same = pl.col("transaction_id").eq_missing(pl.lit(transaction, dtype=pl.Int64)) & (
                pl.col("changed_at") == at
            )
            before = (
                pl.col("position") <= self.position_of(whole.changed[name])
                if name in whole.changed
                else pl.lit(value=True)
            )
            leading = (pl.col("operation") == "SNAPSHOT") & same & before
            own = rows.filter((pl.col("entity_type") == name) & (pl.col("baseline") | leading))
            if len(own):
                last: int = own["id"].max()  # type: ignore[assignment]  # a column of whole numbers
                found[name] = last, self.keys_of(own["position"].sort().tail(1)).row(0)
        return found

    def position_of(self, key: Key) -> int:
        """The position of the last row that does not stand behind a place over all buckets; -1 where all do."""
        ids, arrivals = self._rows["id"], self.arrivals
        return int(((ids < key[0]) | ((ids == key[0]) & (arrivals <= key[1]))).sum()) - 1

    def place_of(self, at: int, arrival: int) -> int | None:
        """The position that stands at a place over all buckets; None where that is in another bucket."""
        position = self.position_of((at, arrival))
        here = pl.Series([position] if position >= 0 else [], dtype=pl.UInt32)
        return position if (at, arrival) in self.keys_of(here).rows() else None

    def _echoes(self) -> pl.Series:
        rows = self._rows
        return rows.filter((pl.col("operation") == "TRUNCATE") & (not self._tells))["row"]

    def _struck(self, struck: pl.Series) -> pl.Series:
        truncates = self._rows["operation"] == "TRUNCATE"
        if self._tells:
            truncates &= self.arrivals.is_in(struck.implode())
        return self._rows["row"].filter(truncates)

    def learn(self) -> None:
        """Teach the types what its documents hold, and keep what was worked out; nothing if it is kept."""
        if self._texts is not None:
            return
        splits: dict[str, Split] = {}
        first = 0
        for name in self.entity_types:
            try:
                parts, derived, learned = self._learned(name)
            except SnapshotTooLarge as exc:  # it concerns those who ask about this type
                self._types.note(name, self.number, exc)
                continue
            if self._shelf is not None:
                self._shelf.keep_documents(self.number, name, parts, derived, learned, first=first)
            splits[name] = replace(parts, fields={})
            first += len(parts.texts)
        if self._shelf is not None:
            self._shelf.keep_rows(self.number, self._rows.with_columns(self.arrivals), self.aside, splits)

    def _parts_of(self, entity_type: str) -> tuple[Split, pl.DataFrame, pl.DataFrame]:
        if self._shelf is not None:
            return super()._parts_of(entity_type)
        if entity_type not in self._splits:
            self._splits[entity_type] = super()._parts_of(entity_type)
        return self._splits[entity_type]

    def _learned(self, entity_type: str) -> tuple[Split, pl.Series, list[Column]]:
        """A type's documents, completed; which after images were not recorded (by row); and the fields."""
        parts, own, steps, first = self.documents_of(entity_type)
        whole = completed(parts, own, steps)
        return whole.parts, whole.derived, self._types.learn(entity_type, whole.parts, first)

    def documents_of(self, entity_type: str) -> tuple[Split, pl.DataFrame, pl.DataFrame, dict[str, First]]:
        """A type's documents, split; its changes by row; its steps; and where each field appears first."""
        parts, own, steps = self._parts_of(entity_type)
        return parts, own, steps, firsts(parts, own["id"], self.arrivals[own["row"]])

    def _faulty(self, entity_type: str) -> Callable[[pl.DataFrame], object]:
        return lambda faults: self._types.note(entity_type, self.number, faults)

    def _split(self, entity_type: str) -> Documents:
        self._types.refuse(entity_type)
        if self.reading is not None and entity_type not in self._documents and entity_type in self.entity_types:
            told = self.reading(self, entity_type)
            if told is not None:
                self._documents[entity_type] = told
        if self._shelf is not None and self._texts is not None and entity_type in self.entity_types:
            known = self._documents.get(entity_type)
            while known is None:
                known = self._shelf.documents(self.number, entity_type, self._types, self._texts)
                if known is None:  # its fields have other types by now
                    self._shelf.keep_documents(self.number, entity_type, *self._learned(entity_type))
            self._documents[entity_type] = known
        return super()._split(entity_type)

    def _typed(self, entity_type: str, parts: Split, own: pl.DataFrame, steps: pl.DataFrame) -> Documents:
        whole = completed(parts, own, steps)
        return self._types.typed(entity_type, whole.parts, whole.derived)

    def _lists_values(self, entity_type: str, own: pl.DataFrame) -> bool:
        return super()._lists_values(entity_type, own) if self._silent is None else entity_type in self._silent.values


class Parting(Log, Protocol):
    """What a bucket asks of a log that is dealt out."""

    def parted(self, transaction: int | None) -> tuple[Key, bool, pl.Series]:
        """``Recorded.cut``, with the place over all buckets for the position."""


class Bucket(Part):
    """One bucket of a log that is dealt out.

    Args:
        log: The log.
        number: As in :class:`Part`, like the others.
        rows: See ``number``.
        others: See ``number``.
    """

    def __init__(self, log: Parting, number: int, rows: pl.DataFrame | None, **others: Any) -> None:  # noqa: ANN401
        super().__init__(number, rows, log=log, **others)
        self._dealt = log

    def cut(self, transaction: int | None) -> Cut:
        """See ``Recorded.cut``."""
        key, early, ongoing = self._dealt.parted(transaction)
        return Cut(self.position_of(key), early, ongoing, key[0])


def sound(
    rows: pl.DataFrame, sides: Mapping[bool, malformed.Images] | None = None, *, read: bool
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows of a bucket (``ROWS``) that are changes, by id and arrival, and those set apart with their ``kind``.

    Args:
        rows: The rows, in any order.
        sides: As in ``Silent``; None where these are all rows of their log.
        read: Whether rows with images that are no JSON are set apart, too.
    """
    rows = _by_place(rows)
    if sides is not None and not sides:
        return rows.select(*CHANGES, "baseline", ARRIVAL).rechunk(), rows.clear().select(
            pl.lit("").alias("kind"), pl.all()
        )
    parts = []
    for early in (True, False) if rows["baseline"].any() else (False,):
        side, images = rows.filter(pl.col("baseline") == early), None if sides is None else sides[early]
        parts.append(malformed.split(side, strict=False, read=read, images=images))
    changes = _by_place(pl.concat([side for side, _ in parts]))
    check_columns(changes)
    return changes.select(*CHANGES, "baseline", ARRIVAL).rechunk(), pl.concat([side for _, side in parts])


def _by_place(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows by id, those of one id as they came; nearly always they are in that order."""
    rows = rows if rows[ARRIVAL].is_sorted() else rows.sort(ARRIVAL)
    return rows if rows["id"].is_sorted() else rows.sort("id", maintain_order=True)


def _here(links: pl.DataFrame, arrivals: pl.Series) -> pl.DataFrame:
    """The links whose changes are in this bucket, by their rows."""
    if links.is_empty():
        return NO_LINKS
    rows = pl.DataFrame({"at": arrivals}).with_row_index("row")
    for side in ("left", "came"):
        links = links.join(rows.rename({"at": side, "row": f"{side}_row"}), on=side, how="inner").drop(side)
    return links.rename({"left_row": "left", "came_row": "came"}).select(*LINKS).sort("came", "left")

"""What is kept of one entity type at a position of its log, so that later questions need not read what lies before it.

Two things: what the whole log tells that no part of it can know by itself (``Kept``), and the rows that decide the
states from there on. Those are the last change of each entity that is live, and the whole history of the few whose
changes do not tell one plain story: rows that do not follow from each other, changes of keys, ids out of order.
"""

from __future__ import annotations

import zlib
from base64 import b85decode, b85encode
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
import polars as pl

from auditlab.buckets.bucketed import Bucketed, Rows
from auditlab.buckets.part import ARRIVAL, Key
from auditlab.buckets.types import Types
from auditlab.errors import MalformedChange
from auditlab.keyfields import KeyFields
from auditlab.placeholders import UNAVAILABLE
from auditlab.schema import CHANGES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from auditlab.buckets.part import Part, Whole
    from auditlab.buckets.types import Told
    from auditlab.schema import LogFacts

__all__ = ["MOST", "Dated", "Kept", "Linked", "Untold", "is_untold", "keep", "last_changes"]

MOST = 10_000
"""Whole histories, links or TRUNCATEs above which a type is not kept: its log is no plain one."""

Row = tuple[int | None, datetime, datetime | None]
"""transaction_id, changed_at and committed_at of a change."""

Linked = tuple[int, str, int, str, str, str, str]
"""A change of a key: the id and entity_id of the row that ended the old one and of the row that began the new one, the
two entity ids, and how it is told."""

Dated = tuple[int, int, int | None, datetime]
"""Where a row stands (id, arrival), its transaction and its time."""


class Untold(Exception):
    """Why nothing is kept of an entity type, in words."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What a log up to a position tells of one entity type.

    Args:
        entity_type: Its name.
        rows: How many changes and baseline rows it has.
        ids: The least and the largest id.
        transactions: The least and the largest transaction id; None where no change has one.
        unnumbered: How many changes have no transaction id, or none that PostgreSQL gives.
        nulls: How many have no transaction id.
        changed_at: The latest recorded time.
        committed_at: The latest time of a commit; None where a change has none.
        fields: The fields and what they hold (``types.Types.told``).
        begun: Where its log begins with a state that was read, that row.
        opened: Its first row; ``changed``: where its first change stands; ``starts``: as ``recorded.Recorded.whole``.
        changed: See ``opened``.
        starts: See ``opened``.
        unseen: As ``recorded.Recorded.unseen``; None where all began in it.
        truncates: Of each TRUNCATE, in the order of the log, whether it ended an entity.
        links: The changes of keys.
        sample: ``keyfields.key_sample`` of it.
        usual: ``keyfields.KeyFields.usual`` of it.
        consulted: Whether all changes had to be looked at, to tell by which fields its key is told.
        overlong: Whether by its marks a transaction was at work for longer than the log's facts allow.
        whole: The entities whose whole history is among the rows.
        dropped: No less than the largest id of the entities that are not among the rows: they are gone; 0 where there
            is none.
    """

    entity_type: str
    rows: int
    ids: tuple[int, int]
    transactions: tuple[int, int] | None
    unnumbered: int
    nulls: int
    changed_at: datetime
    committed_at: datetime | None
    fields: tuple[tuple[str, tuple[int, int, int, int], tuple[str, ...]], ...]
    begun: Row | None
    opened: Dated
    changed: Key | None
    starts: tuple[int, Key] | None
    unseen: int | None
    truncates: tuple[bool, ...]
    links: tuple[Linked, ...]
    sample: tuple[tuple[int, str, str], ...]
    usual: str | None
    consulted: bool
    overlong: bool
    whole: tuple[str, ...]
    dropped: int

    def render(self) -> bytes:
        """It as JSON, compressed by zlib and written in base 85; ``parse`` reads it."""
        return b85encode(zlib.compress(msgspec.json.encode(self)))

    @classmethod
    def parse(cls, told: bytes) -> Kept:
        """What ``render`` told.

        Raises:
            ValueError: it is nothing like that.
        """
        try:
            return msgspec.json.decode(zlib.decompress(b85decode(told)), type=cls)
        except zlib.error as exc:
            raise ValueError(str(exc)) from exc

    @property
    def begins(self) -> int:
        """The largest id of the rows with which the type's log begins."""
        told = [self.opened[0], *(key[0] for key in (self.changed,) if key)]
        return max([*told, *([self.starts[0], self.starts[1][0]] if self.starts else [])])

    def tells_as(self, other: Kept, facts: LogFacts) -> bool:
        """Whether the other tells the same; which texts witness a type, and which rows are a sample, may differ.

        Its ``dropped`` may be larger, as where an entity that was gone came back.
        """
        if not self.dropped <= other.dropped <= self.ids[1]:
            return False
        told = []
        for one in (self, other):
            types = Types(facts.kinds)
            types.take(one.entity_type, one.fields)
            firsts = {name: first[:-1] for name, first, _ in one.fields}  # the place counts the fields of its bucket
            fields = list(types.fields(one.entity_type).items())
            told.append((firsts, fields, replace(one, fields=(), sample=(), dropped=0)))
        return told[0] == told[1]


def is_untold(rows: pl.DataFrame, facts: LogFacts, entity_type: str) -> bool:
    """Whether rows leave out a state, or values, that only other changes tell."""
    silent = pl.col("operation").is_in(["INSERT", "UPDATE"]) & pl.col("after_snapshot").is_null()
    if facts.kinds.get(entity_type):
        return bool(rows.select(silent.any()).item())
    texts = (pl.col(name).str.contains(UNAVAILABLE, literal=True) for name in ("before_snapshot", "after_snapshot"))
    return bool(rows.select((silent | pl.any_horizontal(texts)).any()).item())


def keep(rows: Rows, facts: LogFacts, entity_type: str, *, room: int, take: Callable[[pl.DataFrame], None]) -> Kept:
    """What a log tells of one entity type, found in bounded memory; ``take`` gets the rows that are kept.

    Args:
        rows: The log's rows.
        facts: What stands beside them.
        entity_type: The type.
        room: Bytes of memory that may be taken.
        take: Takes ``CHANGES`` some at a time, by entity_id; an entity's rows in the order in which they came.

    Raises:
        Untold: the type's log is not such that anything can be kept of it; what ``take`` got then is void.
        LogTooLarge: single entities have histories that are larger than the room.
    """

    def batches(entity_types: tuple[str, ...]) -> Iterator[tuple[pl.DataFrame, bool]]:
        for frame, early in rows.batches(entity_types):
            if is_untold(frame, facts, entity_type):
                raise Untold("changes leave out values that only other changes tell")
            yield frame, early

    log = Bucketed(Rows(batches, rows.count, rows.size), facts, entity_types=(entity_type,), room=room)
    try:
        whole = log.whole_log
        log.types.refuse(entity_type)
    except MalformedChange as exc:
        raise Untold("rows of it are no changes, or copies of others") from exc
    if whole.malformed is not None and len(whole.malformed):
        raise Untold("rows of it are no changes, or copies of others")
    if len(whole.unlinked_keys):
        raise Untold("keys were changed in a way that the log does not tell for certain")
    if entity_type not in whole.opened:
        raise Untold("it has no changes")
    keeper = _Keeper(entity_type, take)
    for part in log.parts():
        keeper.add(part, whole)
    if not keeper.taken:
        raise Untold("none of its rows is live")
    usual = KeyFields(entity_type, log.finder.sample_of(entity_type), list, facts.keys.get(entity_type, ())).usual()
    key, transaction, at = whole.opened[entity_type]
    return keeper.kept(
        fields=log.types.told(entity_type),
        ids=whole.id_span or (0, 0),
        opened=(*key, transaction, at),
        changed=whole.changed.get(entity_type),
        begun=keeper.first if entity_type in whole.begun else None,
        unseen=whole.unseen.get(entity_type),
        struck=whole.struck,
        sample=tuple(log.finder.sample_of(entity_type).iter_rows()),
        usual=usual,
        consulted=entity_type in log.finder.consulted,
    )


class _Keeper:
    """Sees every bucket once: counts, and takes what is kept of each."""

    def __init__(self, entity_type: str, take: Callable[[pl.DataFrame], None]) -> None:
        self._type, self._take = entity_type, take
        self.rows = self.taken = self.unnumbered = self.nulls = self.dropped = 0
        self.starts: tuple[int, Key] | None = None
        self.first: Row | None = None
        self._first_key: Key | None = None
        self._transactions: list[int] = []
        self._changed_at: list[datetime] = []
        self._committed_at: list[datetime | None] = []
        self._whole: list[str] = []
        self._truncates: list[tuple[int, int]] = []
        self._links: list[Linked] = []
        self._overlong = False

    def add(self, part: Part, whole: Whole) -> None:
        """Take in a bucket."""
        changes = part.changes.filter(~pl.col("position").is_in(part.echoes.implode()))
        truncated = part.changes.filter(pl.col("operation") == "TRUNCATE")["id"]
        if part.changes["id"].is_in(truncated.implode()).sum() > len(truncated):
            raise Untold("a TRUNCATE has the id of another change")
        if changes.is_empty():
            return
        self._count(changes)
        self._note_first(part)
        if (start := part.started(whole).get(self._type)) is not None:
            most = self.starts or start
            self.starts = max(most[0], start[0]), max(most[1], start[1])
        if part.facts.marks:
            longest = pl.col("since") + timedelta(seconds=part.facts.visible_within)
            late = pl.col("until").is_null() | (pl.col("until") > longest)
            self._overlong |= bool(part.doubts(self._type).select(late.any()).item())
        self._note_links(part)
        last = last_changes(part, self._type)
        odd = last.filter("odd")["entity_id"]
        live = last.filter(~pl.col("odd") & ~pl.col("ends"))["position"]
        gone = last.filter(~pl.col("odd") & pl.col("ends"))["most"]
        self.dropped = max([self.dropped, *gone.top_k(1).to_list()])
        self._whole += odd.to_list()
        truncate = (pl.col("operation") == "TRUNCATE") & (part.number == 0)
        if part.number == 0:
            self._truncates = list(part.taken(truncate).select("id", ARRIVAL).iter_rows())
        if max(len(self._whole), len(self._links), len(self._truncates)) > MOST:
            raise Untold(f"more than {MOST:,} of its entities have no plain history")
        kept = pl.col("position").is_in(live.implode()) | pl.col("entity_id").is_in(odd.implode()) | truncate
        rows = part.taken(kept).sort("entity_id", maintain_order=True).select(*CHANGES)
        self.taken += len(rows)
        self._take(rows)

    def kept(
        self,
        *,
        fields: tuple[Told, ...],
        ids: tuple[int, int],
        opened: Dated,
        changed: Key | None,
        begun: Row | None,
        unseen: int | None,
        struck: pl.Series,
        sample: tuple[tuple[int, str, str], ...],
        usual: str | None,
        consulted: bool,
    ) -> Kept:
        """What was found, and what the whole log told beside."""
        ended = set(struck)
        stamps = [at for at in self._committed_at if at is not None]
        return Kept(
            entity_type=self._type,
            rows=self.rows,
            ids=ids,
            transactions=(min(self._transactions), max(self._transactions)) if self._transactions else None,
            unnumbered=self.unnumbered,
            nulls=self.nulls,
            changed_at=max(self._changed_at),
            committed_at=max(stamps) if len(stamps) == len(self._committed_at) else None,
            fields=fields,
            begun=begun,
            opened=opened,
            changed=changed,
            starts=self.starts,
            unseen=unseen,
            truncates=tuple(arrival in ended for _, arrival in sorted(self._truncates)),
            links=tuple(sorted(set(self._links))),
            sample=sample,
            usual=usual,
            consulted=consulted,
            overlong=self._overlong,
            whole=tuple(sorted(self._whole)),
            dropped=self.dropped,
        )

    def _count(self, changes: pl.DataFrame) -> None:
        self.rows += len(changes)
        ids = changes["transaction_id"]
        self.nulls += ids.null_count()
        self.unnumbered += ids.null_count() + int((ids < 1).sum())
        self._transactions += [*ids.drop_nulls().bottom_k(1), *ids.drop_nulls().top_k(1)]
        self._changed_at += changes["changed_at"].top_k(1).to_list()
        stamps = changes["committed_at"]
        self._committed_at.append(None if stamps.null_count() else stamps.max())  # type: ignore[arg-type]  # times

    def _note_first(self, part: Part) -> None:
        """The row of the first step of all buckets: where it is a state that was read, the log begins with that."""
        first = part.sequence.steps["position"].min()
        if isinstance(first, int):
            key = part.keys_of(pl.Series([first], dtype=pl.UInt32)).row(0)
            if self._first_key is None or key < self._first_key:
                row = part.changes.row(first, named=True)
                self._first_key = key
                self.first = row["transaction_id"], row["changed_at"], row["committed_at"]

    def _note_links(self, part: Part) -> None:
        """The links of a bucket by the ids of their rows."""
        links = part.sequence.links.filter("linked")
        if links.is_empty():
            return
        rows = part.by_id.select("id", "entity_id")
        for left, came, *told in links.select("left", "came", "old", "new", "how").iter_rows():
            self._links.append((*rows.row(left), *rows.row(came), *told))
        if rows.is_duplicated().any():
            raise Untold("keys were changed, and changes of one entity have one id")


def last_changes(part: Part, entity_type: str) -> pl.DataFrame:
    """The entities of a bucket: entity_id, position of the last change, ends, most and odd.

    ``ends`` says whether the last change ended it, ``most`` is its largest id, and it is ``odd`` where its last change
    alone does not decide its states from there on.
    """
    changes = part.changes.select("position", "id", "transaction_id")
    steps = part.sequence.steps.join(changes, on="position", how="left", maintain_order="left")
    versions = part.shape(entity_type).versions
    unsure = versions.filter(~pl.col("certain"))["entity"].unique()
    unordered = pl.col("position").is_in(part.sequence.unordered.implode())
    last = steps.group_by("entity", maintain_order=True).agg(
        pl.last("entity_id", "position", "ends", "id", "transaction_id"),
        most=pl.max("id"),
        latest=pl.max("transaction_id"),
        several=(pl.col("id") == pl.col("id").max()).sum() > 1,
        mixed=pl.any_horizontal(pl.col("link", "before_at").is_not_null()).any() | unordered.any(),
    )
    behind = (pl.col("id") < pl.col("most")) | pl.col("transaction_id").ne_missing(pl.col("latest"))
    odd = pl.col("mixed") | pl.col("several") | behind | pl.col("entity").is_in(unsure.implode())
    return last.select("entity_id", "position", "ends", "most", odd=odd)

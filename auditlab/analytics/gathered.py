"""Evidence of a log that is dealt out: what each bucket shows by itself, and what only all of them together show.

Most findings are about one entity, and its bucket has all of it. The others are noted bucket by bucket and judged
together: ids, transactions, columns that came or went for a whole table, tables that were emptied, rows that went on
under another key.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl

from auditlab.analytics import records
from auditlab.analytics.breaks import classified, gap_note
from auditlab.analytics.chain import MANY, chain, chain_faults, emptied, life_spans
from auditlab.analytics.findings import ROWS
from auditlab.analytics.ids import Ids
from auditlab.analytics.images import idle_by_text, image_faults, missing_images
from auditlab.analytics.moves import (
    FACTS,
    doubtful_links,
    held_under,
    key_changes,
    keys_by_images,
    last_live,
    partition_moves,
    replaced,
    strangers,
)
from auditlab.analytics.running import Running
from auditlab.analytics.told import AT, Told, told_rows
from auditlab.buckets.compartments import Compartments
from auditlab.buckets.part import ARRIVAL
from auditlab.buckets.spill import compact
from auditlab.schema import CHANGES

if TYPE_CHECKING:
    from auditlab.buckets.bucketed import Bucketed
    from auditlab.buckets.part import Part
    from auditlab.selection import Selected

__all__ = ["gathered"]

_WAITING = 64
"""The part (1 in ...) of a question's room that rows of one sort may take before they are written."""


def gathered(recorded: Bucketed, selected: Selected, *, documents: bool) -> tuple[dict[str, int], int, Told]:
    """How many changes each kind of finding is about, how many were looked at, and the rows by kind."""
    found = _Gathered(recorded, selected, documents=documents)
    for part in recorded.parts():
        found.take(part)
    found.judge()
    return found.told.counts(), found.changes, found.told


class _Gathered:
    """What the buckets show, one after the other; then what they show together."""

    def __init__(self, recorded: Bucketed, selected: Selected, *, documents: bool) -> None:
        self._recorded, self._selected, self._documents = recorded, selected, documents
        room = recorded.room // _WAITING
        self.told = Told(room)
        self.changes = 0
        self._ids = Ids(recorded, room)
        self._moved = Compartments(recorded.count, room=room)
        self._running = Running(recorded.count, self._ids.range_of, room)
        self._deferred: list[int] = []
        self._again: list[pl.DataFrame] = []
        self._strangers: list[pl.DataFrame] = []
        whole = recorded.spans_its_ids and selected.entity_types == recorded.entity_types
        self._whole = whole and not recorded.facts.filters
        self._numbered = False
        self._rows = 0
        self._unread: pl.DataFrame | None = None

    def take(self, part: Part) -> None:
        """Take in a bucket."""
        own = replace(self._selected, recorded=part)
        told = part.changes.filter(~pl.col("position").is_in(part.echoes.implode()))
        self.changes += len(own.changes())
        self._whole &= not told["baseline"].any()
        self._rows += len(told)
        self._numbered |= told["transaction_id"].null_count() < len(told)
        self._ids.take(told["id"])
        halves = pl.col("operation").is_in(["DELETE", "INSERT"]) & pl.col("transaction_id").is_not_null()
        rows = compact(_placed(part, told.filter(halves)).select(*_HALVES))
        self._moved.deal(rows, rows["transaction_id"].hash() % self._recorded.count)
        links = chain(own)
        faults = chain_faults(own, links, alone=False) | self._classified(part, own, links)
        self._again.append(_keyed(part, faults["missing delete"]))
        self._strangers.append(compact(_placed(part, strangers(own, links))))
        half = doubtful_links(own)
        for kind in _NOT_HALVES:
            faults[kind] = faults[kind].join(half, on="position", how="anti", maintain_order="left")
        faults[_HALF] = half
        faults["key change"] = keys_by_images(own)
        faults["time inversions"] = records.inversions(own, links)
        faults["no-op updates"] = idle_by_text(own)
        faults |= missing_images(own)
        faults |= records.order_faults(own)
        faults |= image_faults(own) if self._documents else {}
        self._unread = faults.pop(_UNREAD, None)  # each bucket tells it of the whole log
        faults[_UNTRACKABLE] = records.untrackable(told)
        faults[_NO_NUMBERS] = told.filter(pl.col("transaction_id").is_null()).select("position")
        for kind, fault in faults.items():
            self._add(part, own, kind, fault)

    def _add(self, part: Part, own: Selected, kind: str, fault: pl.DataFrame) -> None:
        if len(fault):
            self.told.of_part(part, kind, fault.filter(pl.col("position").is_in(own.positions().implode())))

    def _classified(self, part: Part, own: Selected, links: pl.DataFrame) -> dict[str, pl.DataFrame]:
        """The breaks of a bucket's chains; none yet where it must be known how a field runs through the whole log."""
        asked: list[tuple[str, str, bool]] = []
        found = classified(own, links, lambda *about: asked.append(about))
        for about in asked:
            self._running.ask(*about)
        if not asked:
            return found
        self._deferred.append(part.number)
        return {}

    def judge(self) -> None:
        """Tell what the buckets show together."""
        again, odd = pl.concat(self._again), pl.concat(self._strangers)
        lives, held = [], []
        if len(again) >= MANY or len(odd) or self._running.asked:
            for part in self._recorded.parts():
                own = replace(self._selected, recorded=part)
                links = chain(own)
                if len(again) >= MANY:
                    lives.append(_lives(part, links))
                if len(odd):
                    held.append(_held(part, odd, last_live(own, links)))
                self._running.take(part)
        if lives:
            self._emptied(pl.concat(lives), again)
        if held:
            self._half_logged(pl.concat(held))
        self._running.judge()
        for number in self._deferred:
            part = self._recorded.bucket(number)
            own = replace(self._selected, recorded=part)
            for kind, fault in classified(own, chain(own), self._running.of(part)).items():
                self._add(part, own, kind, fault)
        self._by_transaction()
        self._by_id()
        none = _NO_NUMBERS if self._numbered or not self._rows else _UNTRACKABLE
        self.told.rewrite(none, pl.DataFrame.clear)
        faults = records.load_faults(self._recorded.facts)
        faults |= records.malformed_faults(replace(self._selected, recorded=self._recorded))
        faults |= {} if self._unread is None else {_UNREAD: self._unread}
        for kind, fault in faults.items():
            self.told.add(kind, told_rows(fault, fault.clear()))

    def _emptied(self, lives: pl.DataFrame, again: pl.DataFrame) -> None:
        """Of rows that were inserted again, those that a TRUNCATE explains are no missing deletes."""
        places = [lives.select(_place(name)) for name in ("begins", "ends_at")]
        places += [again.select(_place(name)) for name in ("position", "previous")]
        ranks = pl.concat(places).drop_nulls().unique().sort(AT).with_row_index("rank")
        lives, again = (_ranked(rows, ranks) for rows in (lives, again))
        lives = lives.with_columns(pl.col("begins").fill_null(-1))
        found = emptied(lives, again).join(ranks, left_on="position", right_on="rank", how="left").select(*AT)
        rows = self.told.leave_out("missing delete", found)
        self.told.add("possible TRUNCATE", rows.select(*ROWS), rows.select(*AT))

    def _half_logged(self, held: pl.DataFrame) -> None:
        """UPDATEs whose before image is what another entity was left as are halves of a change of a key."""
        held = held.sort(*AT, "was_at", "was_arrival").unique(AT, keep="first", maintain_order=True)
        missing = [pl.lit(None, dtype=dtype).alias(name) for name, dtype in ROWS.items() if name not in held.columns]
        for kind in (*_NOT_HALVES, _HALF):
            self.told.leave_out(kind, held)
        self.told.add(_HALF, held.with_columns(missing).select(*ROWS), held.select(*AT))

    def _by_transaction(self) -> None:
        """Rows that went on under another key or in another partition, in each transaction."""
        chosen = pl.col("entity_type").is_in(self._selected.entity_types) & ~pl.col("baseline")
        if self._selected.entity_id is not None:
            chosen &= pl.col("entity_id") == self._selected.entity_id
        for number in range(len(self._moved)):
            rows = self._moved.read(number).sort(AT).with_row_index("position")
            pairs = replaced(rows)
            own = rows.filter(chosen)["position"].implode()
            for kind, fault in (("key change", key_changes(*pairs)), ("partition move", partition_moves(*pairs))):
                told = fault.filter(pl.col("position").is_in(own)).sort("position")
                self.told.add(kind, told_rows(told, rows), rows.select(*AT)[told["position"]])

    def _by_id(self) -> None:
        """Ids that come twice, that are missing, and how many are missing between two changes."""
        repeated = self._ids.repeated()
        if len(repeated):
            for part in self._recorded.parts():
                own = replace(self._selected, recorded=part)
                twice = part.changes.filter(
                    pl.col("id").is_in(repeated.implode()) & ~pl.col("position").is_in(part.echoes.implode())
                )
                self._add(part, own, "duplicate ids", twice.select("position"))
        if self._whole:
            for found in self._ids.gaps():
                self.told.add("id gaps", told_rows(found, found.clear()))
        self.told.rewrite("unlogged change", self._with_gaps)

    def _with_gaps(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Unlogged changes with how many ids are missing before each, in the whole log."""
        places = self._ids.places(pl.concat([rows["id"], rows["previous_id"].rename("id")]).drop_nulls().unique())
        missing = pl.col("id") - pl.col("previous_id")
        for name, sign in (("id", -1), ("previous_id", 1)):
            place = places.rename({"id": name, "place": f"{name} place"})
            rows = rows.join(place, on=name, how="left", maintain_order="left")
            missing += sign * pl.col(f"{name} place")
        return rows.with_columns(note=gap_note(missing))


_HALF = "half-logged key change"
_NOT_HALVES = ("unknown origin", "missing insert")
"""What an UPDATE is that is the first of its entity, if it is no half-logged change of a key."""

_UNTRACKABLE, _NO_NUMBERS = "untrackable transaction ids", "no transaction ids"
_UNREAD = "unreadable documents"

_HALVES = tuple(dict.fromkeys([*FACTS, *(name for name in ROWS if name in CHANGES), "baseline", *AT]))[1:]
"""What is looked at of DELETEs and INSERTs by transaction; ``FACTS`` begins with the position."""


def _placed(part: Part, rows: pl.DataFrame) -> pl.DataFrame:
    """Rows with ``position``, and where each stands over all buckets (``AT``)."""
    return rows.hstack(part.keys_of(rows["position"]).rename({"id": AT[0]}))


def _named(part: Part, positions: pl.Series, name: str) -> pl.DataFrame:
    """Where positions stand over all buckets, as columns of that name; null where a position is none."""
    known = pl.select(pl.when(pl.lit(positions) >= 0).then(pl.lit(positions)).cast(pl.UInt32)).to_series()
    return part.keys_of(known).rename({"id": f"{name} 0", ARRIVAL: f"{name} 1"})


def _place(name: str) -> list[pl.Expr]:
    return [pl.col(f"{name} {number}").alias(key) for number, key in enumerate(AT)]


def _keyed(part: Part, again: pl.DataFrame) -> pl.DataFrame:
    """Rows that were inserted again, with the places of position and previous over all buckets."""
    types = part.changes["entity_type"].gather(again["position"])
    parts = [_named(part, again[name], name) for name in ("position", "previous")]
    return compact(pl.concat([types.to_frame(), *parts], how="horizontal"))


def _lives(part: Part, links: pl.DataFrame) -> pl.DataFrame:
    """The lives of a bucket's entities, with places over all buckets."""
    lives = life_spans(links)
    parts = [_named(part, lives[name], name) for name in ("begins", "ends_at")]
    return compact(pl.concat([lives.select("entity_type"), *parts], how="horizontal"))


def _ranked(rows: pl.DataFrame, ranks: pl.DataFrame) -> pl.DataFrame:
    """Rows with the ranks of places for places: they order as positions do."""
    names = dict.fromkeys(name.rpartition(" ")[0] for name in rows.columns if name != "entity_type")
    for name in names:
        own = [f"{name} {number}" for number in range(len(AT))]
        rows = rows.join(ranks.rename({"rank": name}), left_on=own, right_on=AT, how="left", maintain_order="left")
        rows = rows.drop(own).with_columns(pl.col(name).cast(pl.Int64))
    return rows


def _held(part: Part, rows: pl.DataFrame, old: pl.DataFrame) -> pl.DataFrame:
    """Half-logged changes of keys whose row still seems to live in a bucket."""
    old = old.hstack(part.keys_of(old["previous"]).rename({"id": "was_at", ARRIVAL: "was_arrival"}))
    at, arrival = (pl.col(name) for name in AT)
    earlier = (pl.col("was_at") < at) | ((pl.col("was_at") == at) & (pl.col("was_arrival") < arrival))
    return compact(held_under(rows, old, earlier))

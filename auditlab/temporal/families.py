"""Families: the aggregates of a log larger than memory, whose parents and children lie in different buckets.

Each bucket tells which of its rows are live. Those are dealt out anew by the key that links them, children by the one
that they refer to, so that a parent and all its children meet in one compartment; from the last level up to the first.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl

from auditlab.buckets.answers import asked, in_order
from auditlab.buckets.compartments import Compartments
from auditlab.keys import entity_uuid
from auditlab.temporal.aggregate import asked_when, places, referred, whole_of
from auditlab.temporal.asof import META, live
from auditlab.temporal.references import key_texts, same_ids

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from auditlab.buckets.bucketed import Bucketed
    from auditlab.clock import Moment
    from auditlab.selection import Selected
    from auditlab.temporal.aggregate import Fields, Items, Kind

__all__ = ["families"]

_REFERS = "\x00refers"
"""The column with the key that a child refers to; no field is called so."""

_WAITING = 64
"""The part (1 in ...) of a question's room that rows of one level may take before they are written."""


def families(
    recorded: Bucketed,
    selected: Selected,
    parent: str,
    *,
    items: Items,
    at: Moment | None = None,
    entity: str | None = None,
    key: Fields | None = None,
) -> pl.LazyFrame:
    """What ``aggregate`` answers, of a log that is dealt out: a lazy frame over files that are kept as long as it is.

    Args:
        recorded: The log.
        selected: The selection of it.
        parent: As in ``aggregate``, like the others.
        items: See ``parent``.
        at: See ``parent``.
        entity: See ``parent``.
        key: See ``parent``.

    Raises:
        LogTooLarge: children have fields whose names hold NUL, which no file takes inside of a list.
        AuditlabError: all that ``aggregate`` raises.
    """
    selected.require_states("aggregate")
    whole = whole_of(parent, items, key)
    top = _Level(whole, recorded)

    def take(own: Selected) -> pl.DataFrame:
        when = asked_when(own, whole, at)
        shape = own.recorded.shape(parent)
        rows = live(own, shape, when)
        top.take(own, when, rows if entity is None else rows.filter(pl.col("entity_id") == entity))
        return pl.DataFrame()

    for _ in asked(recorded, selected, take, recorded.parts()):
        pass
    return in_order(recorded, top.whole(), pl.col("entity_id"))


class _Level:
    """The live rows of one kind, dealt out, and the levels of its children.

    Args:
        kind: What they are.
        recorded: The log.
    """

    def __init__(self, kind: Kind, recorded: Bucketed) -> None:
        self.kind, self._log = kind, recorded
        self.below = {name: _Level(own, recorded) for name, own in kind.items.items()}
        self.rows, self.ids = self._compartments(), self._compartments()
        self.by_id: set[str] = set()
        """The names of the children that refer to the entity id."""

    def take(self, selected: Selected, at: datetime | None, rows: pl.DataFrame) -> None:
        """Take in the live rows of a bucket with the typed fields ``f0``, ``f1``, ..., and those of its children."""
        shape = selected.recorded.shape(self.kind.entity_type)
        linking = []
        for name, own in self.below.items():
            fields = referred(shape, self.kind.key, selected.recorded.shape(own.kind.entity_type), own.kind)
            if fields:
                keys = key_texts([(shape.columns[place], rows[f"f{place}"]) for place in fields])
            else:
                self.by_id.add(name)
                keys = same_ids(rows["entity_id"])
            linking.append(keys.alias(_key(name)))
        if self.kind.refers:
            told = [(shape.columns[place], rows[f"f{place}"]) for place in places(shape, self.kind.refers)]
            linking.append(key_texts(told).alias(_REFERS))
            if any("\x00" in column.name for column in shape.columns):
                self._log.refuse(f"aggregate() with fields of {shape.entity_type} whose names hold NUL")
        if self.by_id:
            ids = same_ids(shape.span_index.codes.entity_ids).unique().alias("id")
            self.ids.deal(ids.to_frame(), self._numbers(ids))
        fields_ = (f"f{place}" for place in range(len(shape.columns)))
        frame = shape.public(rows.select(*META, *fields_), META).hstack(linking)
        if self.kind.refers:
            frame = frame.filter(pl.col(_REFERS).is_not_null())
        self.rows.deal(frame, self._numbers(frame[linking[0].name] if linking else frame["entity_id"]))
        for own in self.below.values():
            children = selected.recorded.shape(own.kind.entity_type)
            own.take(selected, at, live(replace(selected, entity_id=None), children, at))

    def whole(self) -> Iterator[pl.DataFrame]:
        """The rows with their children as lists, some at a time."""
        for frame in self._with_children():
            yield frame.drop(*map(_key, self.below), _REFERS, strict=False)

    def _with_children(self) -> Iterator[pl.DataFrame]:
        frames: Iterable[pl.DataFrame] = self._read(self.rows)
        for turn, (name, own) in enumerate(self.below.items()):
            if turn:
                rows = self._compartments()
                for frame in frames:
                    rows.deal(frame, self._numbers(frame[_key(name)]))
                frames = self._read(rows)
            children = own.by_parent()
            if name in self.by_id:
                children = self._as_entity_ids(children)
            frames = self._joined(frames, children, name)
        yield from frames

    def by_parent(self) -> Compartments:
        """The rows with their children, dealt out by the key that they refer to (``_REFERS``)."""
        if not self.below:
            return self.rows
        rows = self._compartments()
        for frame in self._with_children():
            own = frame.drop([*map(_key, self.below)])
            rows.deal(own, self._numbers(own[_REFERS]))
        return rows

    def _joined(self, frames: Iterable[pl.DataFrame], children: Compartments, name: str) -> Iterator[pl.DataFrame]:
        """The rows of each compartment with a column of lists of their children."""
        for number, frame in enumerate(frames):
            found = children.read(number).sort("entity_id")
            items = pl.DataFrame({"parent": found[_REFERS], "items": found.drop(_REFERS).to_struct("items")})
            lists = items.group_by("parent", maintain_order=True).agg(pl.col("items"))
            parents = frame.select(parent=_key(name))
            own = parents.join(lists, on="parent", how="left", maintain_order="left")["items"]
            given = name
            while given in frame.columns:
                given = f"items.{given}"
            yield frame.with_columns(own.fill_null(pl.Series([[]], dtype=lists.schema["items"])).alias(given))

    def _as_entity_ids(self, children: Compartments) -> Compartments:
        """Children of rows that are told by their entity ids, dealt out by these: see ``references.as_entity_ids``."""
        derived, known, moved = self._compartments(), self._compartments(), self._compartments()
        for number, rows in enumerate(self._read(children)):
            strange = rows[_REFERS].unique().rename("key")
            strange = strange.filter(~strange.is_in(self.ids.read(number)["id"].implode()))
            ids = pl.Series("id", [str(entity_uuid(self.kind.entity_type, key)) for key in strange], dtype=pl.String)
            derived.deal(pl.DataFrame([strange, ids]), self._numbers(ids))
        for number, pairs in enumerate(self._read(derived)):
            there = pairs.join(self.ids.read(number), on="id", how="semi")
            known.deal(there, self._numbers(there["key"]))
        for number, rows in enumerate(self._read(children)):
            keys = rows[_REFERS].rename("key").to_frame()
            told = keys.join(known.read(number), on="key", how="left", maintain_order="left")
            own = rows.with_columns(told.select(pl.coalesce("id", "key").alias(_REFERS)).to_series())
            moved.deal(own, self._numbers(own[_REFERS]))
        return moved

    def _compartments(self) -> Compartments:
        return Compartments(self._log.count, room=self._log.room // _WAITING)

    def _numbers(self, keys: pl.Series) -> pl.Series:
        return keys.hash() % self._log.count

    @staticmethod
    def _read(rows: Compartments) -> Iterator[pl.DataFrame]:
        return (rows.read(number) for number in range(len(rows)))


def _key(name: str) -> str:
    """The column with the key that children of a name refer to."""
    return f"\x00key {name}"

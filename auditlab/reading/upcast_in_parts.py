"""Upcast of a log that is read part by part: what all parts tell of documents is known before a step takes any."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from auditlab.documents import MOST_FIELDS
from auditlab.errors import UpcastError
from auditlab.reading.faults import Fault
from auditlab.reading.images import DOC
from auditlab.reading.readings import Stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from auditlab.reading.images import Images
    from auditlab.reading.steps import Fields, Told
    from auditlab.reading.upcast import Upcast

__all__ = ["UpcastInParts", "too_many"]

Place = tuple[int, ...]
"""Where something comes among all that the parts have of its kind."""


def too_many(entity_type: str, version: str, fields: int) -> UpcastError:
    """The error that a step makes too many fields."""
    return UpcastError(f"the step of {entity_type} from version {version} makes {fields:,} fields.")


class UpcastInParts:
    """Upcasters of one entity type, of a log that is read part by part.

    A function sees the fields of a document in the order in which all documents have them, and expressions see columns
    of the types that all documents tell. So the parts are seen once to begin with, once more for each version that
    documents were brought to and that is not the current one, and then once in the end.

    Args:
        upcast: The upcasters.
        entity_type: The type.
    """

    partial = False
    """See ``Upcast``."""

    def __init__(self, upcast: Upcast, entity_type: str) -> None:
        self._upcast, self._type = upcast, entity_type
        self._chain = upcast.chains[entity_type]
        self._turns = self._chain.turns()
        self._stop = -1
        """The turn before which parts stop, so that its documents are known; -1: the first time that parts are seen."""
        self._fault: Fault | None = None
        self._given: set[str] = set()
        self._names: list[str] = []
        """The type's fields in their order, before."""
        self._own: dict[str, set[str]] = {version: set() for version in self._turns}
        """The fields of documents that were of a version from the beginning."""
        self._seen: set[str] = set()
        """The versions that documents are of, or were brought to."""
        self._made: dict[int, dict[str, Place]] = {}
        """By turn, the fields that the step made, and where each comes among those."""
        self.told: dict[str, Told] = {}
        """By version, what its documents tell a step that looks at all of them."""
        for version, step in self._chain.steps.items():
            told = step.told()
            if told is not None:
                self.told[version] = told

    def read(self, images: Images) -> Images:
        """The images of a part with every document in the current version.

        Raises:
            Stopped: all parts must be seen first, or a fault was found, which ``ordered`` raises.
        """
        try:
            return self._upcast.taken(images, self)
        except Fault as fault:
            self._fault = fault.joined(self._fault)
            raise Stopped from fault

    def kinds(self, declared: Mapping[str, str]) -> Mapping[str, str]:
        """As declared: a field's kind is trusted only where its values fit it."""
        return declared

    def ordered(self, names: Sequence[str]) -> list[str] | None:
        """See ``InParts``.

        Raises:
            UpcastError: see ``Upcast.read``.
        """
        if self._fault is not None:
            raise self._fault.error from self._fault.cause
        for turn, made in self._made.items():
            if len(made) > MOST_FIELDS:
                raise too_many(self._type, self._turns[turn], len(made))
        if self._stop == len(self._turns) - 1:
            return self._order(self._turns[-1])
        if self._stop < 0:
            self._names = [name for name in names if name in self._given]
        self._stop += 1
        while self._stop < len(self._turns) - 1 and self._seen.isdisjoint(self._chain.before(self._turns[self._stop])):
            self._stop += 1
        return None

    def begin(self, images: Images, first: Mapping[str, pl.DataFrame]) -> None:
        """Take in a part's documents by the version that they are of.

        Raises:
            Stopped: it is the first time that parts are seen.
        """
        if self._stop >= 0:
            return
        self._given.update(images.fields)
        for version, rows in first.items():
            if len(rows):
                self._seen.add(version)
                self._own[version].update(name for name in rows.columns if name != DOC)
                self._learn(version, rows)
        raise Stopped

    def fields(self, turn: int, rows: pl.DataFrame) -> tuple[Fields, Fields]:
        """The fields of documents that a step is to take, and those that they lack, as all parts have them.

        Raises:
            Stopped: all parts must tell first of which types they are.
        """
        version = self._turns[turn]
        if turn == self._stop:
            self._learn(version, rows)
            raise Stopped
        nothing = pl.Series([None], dtype=pl.String).new_from_index(0, len(rows))
        order = self._order(version)
        fields = {name: rows[name] if name in rows.columns else nothing for name in order}
        return fields, {name: nothing for name in self._names if name not in fields}

    def take(self, turn: int, made: Fields, place: Callable[[int], Place]) -> None:
        """Take in what a step made; ``place`` tells where a row comes among the documents of all parts.

        Raises:
            Stopped: it makes too many fields, which ``ordered`` raises.
        """
        version = self._turns[turn]
        self._seen.add(self._chain.steps[version].to)
        known = self._made.setdefault(turn, {})
        for number, (name, raw) in enumerate(made.items()):
            if raw.null_count() == len(raw):
                continue
            # A step over all documents makes the same fields of each part, one of a document what that tells.
            row = None if version in self.told else int(raw.is_not_null().arg_max() or 0)
            found = (number,) if row is None else (*place(row), number)
            known[name] = min(known.get(name, found), found)
        if len(known) > MOST_FIELDS:
            raise Stopped

    def _learn(self, version: str, rows: pl.DataFrame) -> None:
        if version in self.told:
            self.told[version].learn({name: rows[name] for name in rows.columns if name != DOC})

    def _order(self, version: str) -> list[str]:
        """The fields of the documents that wait for a version's step, in order."""
        found: dict[str, None] = {}
        for turn, start in enumerate(self._turns):
            if turn in self._made and self._chain.steps[start].to == version:
                found.update(dict.fromkeys(sorted(self._made[turn], key=self._made[turn].__getitem__)))
        found.update(dict.fromkeys(name for name in self._names if name in self._own[version]))
        return list(found)

"""Readings of a log larger than memory: each bucket is read by itself, and types as the whole reading makes them."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from auditlab.buckets.bucketed import Bucketed
from auditlab.buckets.shelf import Shelf
from auditlab.buckets.spill import Folder
from auditlab.buckets.types import Types
from auditlab.reading.readings import Read, Stopped, read_through
from auditlab.schema import CHANGES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import polars as pl

    from auditlab.buckets.dealing import Dealt
    from auditlab.buckets.part import Part, Whole
    from auditlab.buckets.spill import Stored
    from auditlab.buckets.types import First
    from auditlab.documents import Documents
    from auditlab.reading.readings import InParts, Reading
    from auditlab.recorded import Recorded
    from auditlab.schema import LogFacts

__all__ = ["ReadBuckets", "read"]


def read(recorded: Recorded, reading: Reading) -> Recorded:
    """A log read through one reading more.

    Raises:
        LogTooLarge: it is larger than memory, and the reading must see all of its changes at once.
    """
    if not isinstance(recorded, Bucketed):
        return Read.of(recorded, reading)
    original, through = (recorded.original, recorded.through) if isinstance(recorded, ReadBuckets) else (recorded, ())
    if any(reading.in_parts(name, tuple) is None for name in reading.entity_types):
        original.refuse("upcast() by a version that the expression may tell of several changes together")
    return ReadBuckets(original, (*through, reading))


class ReadBuckets(Bucketed):
    """A log in buckets that is read through readings; it shares everything but documents with the original.

    Args:
        original: The log as recorded.
        through: The readings, first to last; each can read part by part.
    """

    def __init__(self, original: Bucketed, through: tuple[Reading, ...]) -> None:
        vars(self).update({name: value for name, value in vars(original).items() if name != "_dealt"})
        self._original, self.through = original, through
        larger = original.larger
        self.larger = ReadBuckets(larger, through) if isinstance(larger, Bucketed) else None
        self.shortcuts = None  # what is kept beside an archive is as it was recorded
        self._logs = {}
        self._types_read: dict[str, _TypeRead] = {}

    @property
    def original(self) -> Bucketed:
        """The log as recorded."""
        return self._original

    @property
    def readings(self) -> tuple[str, ...]:
        """How the documents are read, in words."""
        return tuple(reading.words for reading in self.through)

    def known_id(self, entity_type: str, candidates: Iterable[str]) -> str | None:
        """As the original: no reading tells of another entity."""
        return self._original.known_id(entity_type, candidates)

    def part(self, entity_types: tuple[str, ...]) -> Bucketed:
        """The same reading of a part of the original."""
        original = self._original.part(entity_types)
        if original is self._original:
            return self
        return self._logs.setdefault(entity_types, ReadBuckets(original, self.through))

    def with_facts(self, facts: LogFacts) -> Bucketed:
        """The same reading of the same rows, with other facts beside them."""
        return ReadBuckets(self._original.with_facts(facts), self.through)

    @property
    def whole_log(self) -> Whole:
        """What the whole log tells; no reading changes that."""
        return self._original.whole_log

    @property
    def _dealt(self) -> Dealt:
        return self._original._dealt  # noqa: SLF001 - its own class

    def _part(self, number: int, whole: Whole | None, *, alone: bool = False) -> Part:
        part = self._original._part(number, whole, alone=alone)  # noqa: SLF001 - its own class
        part.reading = self._documents_of
        return part

    def _documents_of(self, part: Part, entity_type: str) -> Documents | None:
        through = [reading for reading in self.through if entity_type in reading.entity_types]
        if not through:
            return None
        if entity_type not in self._types_read:
            self._types_read[entity_type] = _TypeRead(self._original, entity_type, through)
        return self._types_read[entity_type].documents(part)


class _TypeRead:
    """The documents of one entity type as readings read them, by bucket.

    Args:
        log: The log as recorded.
        entity_type: The type.
        through: The readings of it, first to last.
    """

    def __init__(self, log: Bucketed, entity_type: str, through: list[Reading]) -> None:
        log.types.refuse(entity_type)
        self._type = entity_type

        def changes() -> Iterator[pl.DataFrame]:
            return (part.changes.select(*CHANGES) for part in log.parts())

        found = (reading.in_parts(entity_type, changes) for reading in through)
        self._through: list[InParts] = [each for each in found if each is not None]
        self._declared = log.facts.kinds.get(entity_type, {})
        kinds: Mapping[str, str] = self._declared
        for reading in self._through:
            kinds = reading.kinds(kinds)
        self._types = Types({entity_type: kinds})
        self._shelf, self._folder = Shelf(), Folder()
        self._texts: dict[int, Stored] = {}
        self._firsts: dict[str, First] = {}
        while not self._seen(log.parts()):
            pass

    def _seen(self, parts: Iterable[Part]) -> bool:
        """Read all parts once; whether they are read through all readings by now."""
        for part in parts:
            with suppress(Stopped):
                self._learn(part)
        names = sorted(self._firsts, key=self._firsts.__getitem__)
        for reading in self._through:
            told = reading.ordered(names)
            if told is None:
                return False
            names = told
        self._types.arrange(self._type, names)
        return True

    def documents(self, part: Part) -> Documents:
        """Those of a bucket."""
        number = part.number
        while True:
            found = self._shelf.documents(number, self._type, self._types, self._texts[number].read().to_series())
            if found is not None:
                return found
            self._learn(part)  # its fields have other types by now

    def _learn(self, part: Part) -> None:
        parts, own, steps, firsts = part.documents_of(self._type)
        for name, first in firsts.items():
            self._firsts[name] = min(self._firsts.get(name, first), first)
        own = own.with_columns(part.arrivals.gather(own["row"]))
        images = read_through(self._through, self._type, parts, own, steps, self._declared)
        made = images.split()
        learned = self._types.learn(self._type, made)
        self._shelf.keep_documents(part.number, self._type, made, images.derived, learned, first=0)
        self._texts[part.number] = self._folder.append(str(part.number), made.texts.to_frame())

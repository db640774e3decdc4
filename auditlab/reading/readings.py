"""Readings: a log whose documents are read otherwise than recorded, through renames or upcasters.

A reading works on the distinct documents of an entity type after they were split and before they are typed. The rows,
their order and all that is said about the log itself (evidence, drift, an archive) stay those of the original.
"""

from __future__ import annotations

from functools import cached_property
from itertools import takewhile
from typing import TYPE_CHECKING, Protocol

import polars as pl

from auditlab.reading.images import Images
from auditlab.recorded import Recorded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from auditlab import order
    from auditlab.documents import Documents, Split
    from auditlab.schema import LogFacts
    from auditlab.shape import Shape

__all__ = ["InParts", "Read", "Reading", "Stopped", "read_through"]


class Stopped(Exception):
    """A part of a log that cannot be read further before all of its parts were seen; what it tells was taken in."""


class Reader(Protocol):
    """What reads images otherwise."""

    @property
    def partial(self) -> bool:
        """Whether it can read documents that hold some of their fields, too."""

    def read(self, images: Images) -> Images:
        """The images as they are to be read."""


class Reading(Reader, Protocol):
    """One way to read the documents of some entity types."""

    @property
    def words(self) -> str:
        """The reading in words."""

    @property
    def entity_types(self) -> tuple[str, ...]:
        """The entity types whose documents it reads otherwise."""

    def in_parts(self, entity_type: str, changes: Callable[[], Iterable[pl.DataFrame]]) -> InParts | None:
        """The same of one of those types, for a log that is read part by part; None where it must see all at once.

        Args:
            entity_type: The type.
            changes: Gives the changes of all parts: the canonical columns.
        """


class InParts(Reader, Protocol):
    """One way to read the documents of one entity type, part by part; the same object reads all parts.

    ``read`` raises ``Stopped`` for a part that cannot be read before the others were seen, or at all.
    """

    def kinds(self, declared: Mapping[str, str]) -> Mapping[str, str]:
        """The catalog's kinds after this reading."""

    def ordered(self, names: Sequence[str]) -> list[str] | None:
        """The type's fields in their order after this reading, where each part was read up to it; ``names``: before it.

        None where parts stopped and must be read again. Raises what the parts together show to be wrong.
        """


class Read(Recorded):
    """A log that is read through renames or upcasters; it shares everything but documents with the original.

    Args:
        original: The log as recorded.
        through: The readings, first to last.
    """

    def __init__(self, original: Recorded, through: tuple[Reading, ...]) -> None:
        vars(self).update(vars(original))
        self.larger = None if original.larger is None else Read(original.larger, through)
        self._original = original
        self._through = through
        self._parts: dict[tuple[str, ...], Recorded] = {}
        self._documents: dict[str, Documents] = {}
        self._shapes: dict[str, Shape] = {}

    @classmethod
    def of(cls, recorded: Recorded, reading: Reading) -> Read:
        """``recorded``, which is in memory, read through one reading more."""
        through = recorded._through if isinstance(recorded, Read) else ()  # noqa: SLF001 - its own class
        return cls(recorded.original, (*through, reading))

    @property
    def original(self) -> Recorded:
        """The log as recorded."""
        return self._original

    @property
    def readings(self) -> tuple[str, ...]:
        """How the documents are read, in words."""
        return tuple(reading.words for reading in self._through)

    @property
    def unread(self) -> None:
        """Nothing answers in its place: what is kept beside an archive is as it was recorded."""

    def known_id(self, entity_type: str, candidates: Iterable[str]) -> str | None:
        """As the original: no reading tells of another entity."""
        return self._original.known_id(entity_type, candidates)

    @cached_property
    def _read(self) -> tuple[pl.DataFrame, pl.DataFrame | None]:
        return self._original._read  # noqa: SLF001 - its own class

    @cached_property
    def sequence(self) -> order.Sequence:
        """The original's order: images link as they were recorded."""
        return self._original.sequence

    @cached_property
    def changes(self) -> pl.DataFrame:
        """The original's changes."""
        return self._original.changes

    def part(self, entity_types: tuple[str, ...]) -> Recorded:
        """The same reading of a part of the original."""
        original = self._original.part(entity_types)
        if original is self._original:
            return self
        if entity_types not in self._parts:
            self._parts[entity_types] = Read(original, self._through)
        return self._parts[entity_types]

    def with_facts(self, facts: LogFacts) -> Recorded:
        """The same reading of the same rows, with other facts beside them."""
        return Read(self._original.with_facts(facts), self._through)

    def _typed(self, entity_type: str, parts: Split, own: pl.DataFrame, steps: pl.DataFrame) -> Documents:
        through = [reading for reading in self._through if entity_type in reading.entity_types]
        if not through:
            return super()._typed(entity_type, parts, own, steps)
        kinds = self.facts.kinds.get(entity_type, {})
        return read_through(through, entity_type, parts, own, steps, kinds).documents()


def read_through(
    through: Sequence[Reader],
    entity_type: str,
    parts: Split,
    own: pl.DataFrame,
    steps: pl.DataFrame,
    kinds: Mapping[str, str],
) -> Images:
    """The images of one entity type as some readings of it, first to last, read them, completed.

    Args:
        through: The readings.
        entity_type: The type.
        parts: Its documents as they were split.
        own: Its changes by row, with ``position``.
        steps: Its steps.
        kinds: field -> kind, as the source's catalog declares them.
    """
    recorded = pl.repeat(value=False, n=len(own), eager=True)
    images = Images(
        entity_type,
        own,
        _previous(own, steps),
        parts.fields,
        parts.texts,
        kinds,
        parts.before,
        parts.after,
        parts.told,
        recorded,
        recorded,
    )
    partial = list(takewhile(lambda reading: reading.partial, through))
    for reading in partial:
        images = reading.read(images)
    images = images.completed(steps)
    for reading in through[len(partial) :]:
        images = reading.read(images)
    return images


def _previous(own: pl.DataFrame, steps: pl.DataFrame) -> pl.Series:
    """By row of ``own``: the row of the change that left what its before image shows; null where none is known.

    A change of a key stands in two entities: what it found was left by the last change of the one that it ended.
    """
    rows = own.select("position").with_row_index("row")
    comes = pl.col("link").is_not_null() & ~pl.col("ends")  # from another entity: what it found was not left here
    told = steps.select(
        "entity", "ends", "position", image=pl.coalesce("before_at", "position"),
        own=~comes & (pl.col("operation") != "TRUNCATE"),
    )  # fmt: skip
    for at, name in (("position", "row"), ("image", "shown")):
        places = rows.select(pl.col("position").alias(at), pl.col("row").alias(name))
        told = told.join(places, on=at, how="left", maintain_order="left")
    same = (pl.col("entity") == pl.col("entity").shift()) & ~pl.col("ends").shift()
    told = told.select("own", row="shown", previous=pl.when(same).then(pl.col("row").shift()))
    left = told.filter(pl.col("own") & pl.col("previous").is_not_null()).drop("own")
    return rows.select("row").join(left, on="row", how="left", maintain_order="left")["previous"]

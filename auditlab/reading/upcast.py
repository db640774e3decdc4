"""Upcast: the documents of a log brought to the current version of their entity type, step by step."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import polars as pl

from auditlab.documents import MOST_FIELDS
from auditlab.reading.faults import Fault
from auditlab.reading.images import DOC
from auditlab.reading.steps import StepFault
from auditlab.reading.upcast_in_parts import UpcastInParts, too_many
from auditlab.reading.versions import STAGES, looks_at_one, source_words, versions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from auditlab.reading.images import Images, Where
    from auditlab.reading.steps import Fields, Step
    from auditlab.reading.versions import Source

__all__ = ["Chain", "Upcast"]

LOST, MERGED, STEPS = range(STAGES, STAGES + 3)
"""Stages of faults, behind those of versions; a step's is behind the last of these by its turn."""


@dataclass(frozen=True, slots=True)
class Chain:
    """The steps of one entity type.

    Args:
        steps: version -> the step from it.
        current: The version that they lead to.
        default: The version of documents that say none.
    """

    steps: Mapping[str, Step]
    current: str
    default: str | None

    def turns(self) -> list[str]:
        """The versions that lead to the current one, each right behind those that lead to it; that is the last."""
        found: list[str] = []
        ends = [self.current]
        while ends:  # from the end, and so from the last of those that lead to it
            found.append(ends.pop())
            ends += self.before(found[-1])
        return found[::-1]

    def before(self, version: str) -> list[str]:
        """The versions that one step leads from to a version, as they were registered."""
        return [start for start, step in self.steps.items() if step.to == version and start != self.current]

    @property
    def words(self) -> str:
        """The steps in words."""
        return ", ".join(f"{start} to {step.to}" for start, step in self.steps.items())


@dataclass(frozen=True, slots=True)
class Upcast:
    """Entity types whose documents are read as of their current versions.

    Args:
        source: Where a document's version stands.
        chains: entity type -> its steps.
    """

    source: Source
    chains: Mapping[str, Chain]

    @property
    def entity_types(self) -> tuple[str, ...]:
        """The types that have upcasters."""
        return tuple(self.chains)

    @property
    def partial(self) -> bool:
        """It takes whole documents only: a step may need fields that are not there."""
        return False

    @property
    def words(self) -> str:
        """The reading in words."""
        told = (f"{name}: version {chain.current} (from {chain.words})" for name, chain in self.chains.items())
        return "; ".join(told)

    def in_parts(self, entity_type: str, changes: object) -> UpcastInParts | None:  # noqa: ARG002 - needs none of others
        """The same of one type, of a log that is read part by part; None where a version may hang on other changes."""
        return UpcastInParts(self, entity_type) if looks_at_one(self.source) else None

    def read(self, images: Images) -> Images:
        """The images with every document in the current version.

        Raises:
            UpcastError: documents without a version, with one that does not lead to the current one, or that a step
                cannot take.
        """
        try:
            return self.taken(images, None)
        except Fault as fault:
            raise fault.error from fault.cause

    def taken(self, images: Images, parts: UpcastInParts | None) -> Images:
        """The images with every document in the current version.

        Documents are taken as they appear, those of a version behind those that were brought to it; fields come as the
        first documents have them.

        Args:
            images: The images.
            parts: What is known of all parts, of which these images are one; None where they are all there are.

        Raises:
            Fault: documents without a version, with one that does not lead to the current one, or that a step cannot
                take.
            Stopped: all parts must tell something before a step can take this one.
        """
        chain = self.chains[images.entity_type]
        images, found = versions(images, self.source, chain.default)
        turns = chain.turns()
        self._check(images, found, chain, turns)
        self._check_merged(images, found)
        places = images.places()
        docs = places.arg_sort()
        own = found.gather(docs)
        every = pl.DataFrame({DOC: docs} | {name: raw.gather(docs) for name, raw in images.fields.items()})
        first = {version: _held(every.filter(own == version)) for version in turns}
        if parts is not None:
            parts.begin(images, first)

        def place(numbers: pl.Series, row: int) -> tuple[int, ...]:
            doc = numbers[row]
            return turns.index(found[doc]), *images.place(places[doc])

        made: dict[str, list[pl.DataFrame]] = {version: [] for version in turns}
        for turn, version in enumerate(turns[:-1]):
            rows = pl.concat([*made.pop(version), first[version]], how="diagonal")
            fields, absent = _fields(rows, images) if parts is None else parts.fields(turn, rows)
            if rows.is_empty():
                continue
            numbers, step = rows[DOC], chain.steps[version]
            try:
                new = step.take(fields, absent, len(rows), None if parts is None else parts.told.get(version))
            except StepFault as fault:
                failed = numbers if fault.places is None else numbers.gather(fault.places)
                where = images.where(pl.int_range(len(found), dtype=pl.UInt32, eager=True).is_in(failed.implode()))
                words = f"the step of {images.entity_type} from version {version} to {step.to} {fault}"
                raise Fault(
                    STEPS + turn, {"": where}, partial(_in_the_way, words), place=place(failed, 0), cause=fault.cause
                ) from fault
            if parts is not None:
                parts.take(turn, new, partial(place, numbers))
            elif len(new) > MOST_FIELDS:
                raise too_many(images.entity_type, version, len(new))
            made[step.to].append(_held(pl.DataFrame({DOC: numbers} | new)))
        done = pl.concat([*made[chain.current], first[chain.current]], how="diagonal").sort(DOC)
        return images.made(_fields(done, images)[0], found != chain.current)

    def _check(self, images: Images, found: pl.Series, chain: Chain, turns: Sequence[str]) -> None:
        lost = found.filter(~found.is_in(turns)).unique()
        if len(lost):

            def words(where: Mapping[str, Where]) -> str:
                told = "; ".join(f"{version!r}: {where[version]}" for version in sorted(where))
                return (
                    f"{images.entity_type} has versions in {source_words(self.source)} with no path to the current "
                    f"one, {chain.current!r}: {told}. Registered is {chain.words}."
                )

            raise Fault(LOST, {version: images.where(found == version) for version in lost}, words)

    def _check_merged(self, images: Images, found: pl.Series) -> None:
        """Refuse states put together of two versions: a field may mean something else in each."""
        if not images.merged.any():
            return
        left = images.after.gather(images.previous)
        base = images.before.zip_with(images.before.is_not_null(), left)
        mixed = images.merged & (found.gather(images.after) != found.gather(base)).fill_null(value=False)
        if mixed.any():
            docs = pl.int_range(len(found), dtype=pl.UInt32, eager=True).is_in(images.after.filter(mixed).implode())

            def words(where: Mapping[str, Where]) -> str:
                return (
                    f"changes of {images.entity_type} list changed fields of another version than the state that they "
                    f"changed, and have no image: {where['']}. What they left cannot be told."
                )

            raise Fault(MERGED, {"": images.where(docs)}, words)


def _in_the_way(words: str, where: Mapping[str, Where]) -> str:
    return f"{words} It stands in the way of {where['']}."


def _fields(rows: pl.DataFrame, images: Images) -> tuple[Fields, Fields]:
    """The fields of some documents, and those that the type has, but none of these."""
    fields = {name: rows[name] for name in rows.columns if name != DOC}
    nothing = pl.Series([None], dtype=pl.String).new_from_index(0, len(rows))
    return fields, {name: nothing for name in images.fields if name not in fields}


def _held(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows without the fields that none of them has."""
    return pl.DataFrame({raw.name: raw for raw in rows if raw.name == DOC or raw.null_count() < len(rows)})

"""Upcast: the documents of a log brought to the current version of their entity type, step by step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from auditlab.documents import MOST_FIELDS
from auditlab.errors import UpcastError
from auditlab.reading.readings import DOC
from auditlab.reading.steps import StepFault
from auditlab.reading.versions import source_words, versions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from auditlab.reading.readings import Images
    from auditlab.reading.steps import Step
    from auditlab.reading.versions import Source

__all__ = ["Chain", "Upcast"]


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

    def distances(self) -> dict[str, int]:
        """Of each version that leads to the current one, how many steps that takes."""
        found = {self.current: 0}
        arriving = {start: step.to for start, step in self.steps.items() if start != self.current}
        reached = [self.current]
        while reached:
            end = reached.pop()
            for start in [start for start, to in arriving.items() if to == end]:
                found[start] = found[end] + 1
                reached.append(start)
        return found

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

    def in_parts(self, entity_type: str, changes: object) -> None:
        """No: which types the fields have that a step takes, and how they are ordered, all documents tell together."""

    def read(self, images: Images) -> Images:
        """The images with every document in the current version.

        Raises:
            UpcastError: documents without a version, with one that does not lead to the current one, or that a step
                cannot take.
        """
        chain = self.chains[images.entity_type]
        images, found = versions(images, self.source, chain.default)
        distances = chain.distances()
        self._check(images, found, chain, distances)
        self._check_merged(images, found)
        docs = pl.DataFrame({DOC: pl.int_range(len(found), dtype=pl.UInt32, eager=True)})
        every = docs.hstack([raw.alias(name) for name, raw in images.fields.items()])
        waiting: dict[str, list[pl.DataFrame]] = {}
        for (version,), rows in every.group_by(found.alias("version"), maintain_order=True):
            waiting[str(version)] = [_held(rows)]
        for version in sorted(waiting.keys() | distances.keys(), key=lambda one: -distances[one]):
            if version == chain.current or version not in waiting:
                continue
            rows = pl.concat(waiting.pop(version), how="diagonal")
            step = chain.steps[version]
            fields = {name: rows[name] for name in rows.columns if name != DOC}
            nothing = pl.repeat(None, len(rows), dtype=pl.String, eager=True)
            absent = {name: nothing for name in images.fields if name not in fields}
            try:
                made = step.take(fields, absent, len(rows))
            except StepFault as fault:
                raise self._failed(images, fault, rows[DOC], f"from version {version} to {step.to}") from fault.cause
            new = rows.select(DOC).hstack([raw.alias(name) for name, raw in made.items()])
            if len(made) > MOST_FIELDS:
                raise UpcastError(
                    f"the step of {images.entity_type} from version {version} makes {len(made):,} fields."
                )
            waiting.setdefault(step.to, []).insert(0, _held(new))  # fields come as the older documents have them
        done = pl.concat([docs.clear(), *waiting.get(chain.current, [])], how="diagonal").sort(DOC)
        fields = {name: done[name] for name in done.columns if name != DOC}
        return images.made(fields, found != chain.current)

    def _check(self, images: Images, found: pl.Series, chain: Chain, distances: Mapping[str, int]) -> None:
        lost = found.filter(~found.is_in(list(distances))).unique().sort()
        if len(lost):
            told = "; ".join(f"{version!r}: {images.where(found == version)}" for version in lost)
            raise UpcastError(
                f"{images.entity_type} has versions in {source_words(self.source)} with no path to the current one, "
                f"{chain.current!r}: {told}. Registered is {chain.words}."
            )

    def _check_merged(self, images: Images, found: pl.Series) -> None:
        """Refuse states put together of two versions: a field may mean something else in each."""
        if not images.merged.any():
            return
        left = images.after.gather(images.previous)
        base = images.before.zip_with(images.before.is_not_null(), left)
        mixed = images.merged & (found.gather(images.after) != found.gather(base)).fill_null(value=False)
        if mixed.any():
            docs = pl.int_range(len(found), dtype=pl.UInt32, eager=True).is_in(images.after.filter(mixed).implode())
            raise UpcastError(
                f"changes of {images.entity_type} list changed fields of another version than the state that they "
                f"changed, and have no image: {images.where(docs)}. What they left cannot be told."
            )

    def _failed(self, images: Images, fault: StepFault, docs: pl.Series, step: str) -> UpcastError:
        numbers = docs if fault.places is None else docs.gather(fault.places)
        mask = pl.int_range(len(images.texts), dtype=pl.UInt32, eager=True).is_in(numbers.implode())
        return UpcastError(
            f"the step of {images.entity_type} {step} {fault} It stands in the way of {images.where(mask)}."
        )


def _held(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows without the fields that none of them has."""
    return pl.DataFrame({raw.name: raw for raw in rows if raw.name == DOC or raw.null_count() < len(rows)})

"""One checkpoint of an archive: what it keeps, and the files on both sides of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from auditlab.archive.entity_rows import PLACE, EntityRows
from auditlab.archive.held import covered_names, held_parts
from auditlab.archive.kept import KeptRows, kept_in
from auditlab.archive.roll_forward import rolling
from auditlab.archive.rows import frames, lazy_rows
from auditlab.buckets.near import Near, Since
from auditlab.schema import CHANGES

if TYPE_CHECKING:
    from pathlib import Path

    from auditlab.archive.manifest import Checkpoint, Part
    from auditlab.archive.read import Scanned
    from auditlab.archive.roll_forward import Rolling
    from auditlab.buckets.checkpoint import Kept
    from auditlab.schema import LogFacts
    from auditlab.shortcuts import Question

__all__ = ["Point", "points"]


_NO_TRUNCATES = pl.DataFrame(schema={**CHANGES, "baseline": pl.Boolean()})
_NOT_FOUND = pl.DataFrame(schema={**CHANGES, "baseline": pl.Boolean(), PLACE: pl.UInt32()})


def points(scanned: Scanned) -> list[Point]:
    """The checkpoints that part an archive's files, the newest first."""
    chain = scanned.chain
    found = [
        Point(scanned, manifest.checkpoint, chain[manifest.checkpoint.covers - 1][0].facts)
        for manifest, _ in chain
        if manifest.checkpoint is not None
    ]
    return sorted((point for point in found if point.parts_files), key=lambda one: -one.checkpoint.covers)


class Point:
    """One checkpoint: what it keeps, and the files on both sides of it."""

    def __init__(self, scanned: Scanned, checkpoint: Checkpoint, facts: LogFacts) -> None:
        self.checkpoint, self.facts = checkpoint, facts
        self._scanned = scanned
        self.parts: dict[str, Part] = {part.entity_types[0]: part for part in checkpoint.parts}
        covered = covered_names(scanned.chain, checkpoint)
        self._before: list[Part] = []
        self._after: list[Part] = []
        self.parts_files = True
        """Whether each file is wholly on one side, and what came since is no baseline."""
        counted = [source.name for part in held_parts(scanned.chain) for source in part.written_as]
        if len(set(counted)) < len(counted):
            self.parts_files = False  # a file that was added twice
        for part in scanned.parts:
            own = {source.name for source in part.written_as}
            (self._before if own <= covered else self._after).append(part)
            self.parts_files &= own <= covered or (own.isdisjoint(covered) and part.role == "changes")
        self._finders: dict[str, EntityRows] = {}
        self._kept: dict[str, Kept] = {}
        self._rolling: dict[str, tuple[LogFacts, Rolling | None]] = {}

    def since(self, entity_type: str) -> int:
        """How many rows of a type came since."""
        return sum(part.rows for part in self._after if entity_type in part.entity_types)

    def kept(self, entity_type: str) -> Kept:
        """What the log up to here tells of a type."""
        if entity_type not in self._kept:
            path = self._path(self.parts[entity_type])
            self._scanned.prove(path)
            self._kept[entity_type] = kept_in(path)
        return self._kept[entity_type]

    def near(self, entity_type: str, facts: LogFacts) -> Near:
        """What was kept of a type, and what came since, with the log's facts as they are now.

        Raises:
            Untold: what the whole log tells does not follow from these.
        """
        since = Since(self.kept(entity_type), self.facts, self.rows_since(entity_type))
        return Near(since, facts, self._rows(entity_type))

    def rolled_forward(self, entity_type: str, facts: LogFacts, question: Question) -> Near | None:
        """As ``near``, for the states as of a question: of what came since, only what does not plainly follow.

        None where that is no more than ``near`` tells.

        Raises:
            Untold: see ``near``.
        """
        own = [part for part in self._after if entity_type in part.entity_types]
        if not own or any(len(part.entity_types) > 1 for part in own):
            return None
        before, rolls = self._rolling.get(entity_type, (None, None))
        if before != facts:
            paths = [self._path(part) for part in own]
            rolls = rolling(self.kept(entity_type), self._rows(entity_type), paths, self._scanned.prove, facts)
            self._rolling[entity_type] = (facts, rolls)
        rolled = None if rolls is None else rolls.to(question)
        if rolled is None:
            return None
        near = Near(Since(rolled.kept, self.facts, rolled.rows), facts, rolled.left)
        return None if len(near.links) else near  # of the entities that these lead from, all changes must be known

    def _rows(self, entity_type: str) -> KeptRows:
        return KeptRows(self._path(self.parts[entity_type]), self._scanned.prove)

    def rows_since(self, entity_type: str) -> pl.DataFrame:
        """The rows of a type that came since: ``CHANGES``."""
        found = [pl.DataFrame(schema=CHANGES)]
        for part in self._after:
            if entity_type in part.entity_types:
                path = self._path(part)
                self._scanned.prove(path)
                found += frames(path)
        return pl.concat(found)

    def truncates(self, kept: Kept) -> pl.DataFrame:
        """The TRUNCATEs up to here: ``CHANGES`` and ``baseline``, in their order."""
        if not kept.truncates:
            return _NO_TRUNCATES
        path = self._path(self.parts[kept.entity_type])
        rows = lazy_rows([path], self._scanned.prove).filter(pl.col("operation") == "TRUNCATE").collect()
        return rows.sort("id", maintain_order=True).with_columns(baseline=pl.lit(value=False))

    def rows_of(self, entity_type: str, ids: list[str]) -> pl.DataFrame:
        """The rows of entities up to here: ``CHANGES`` and ``baseline``, each one's in the order in which they came."""
        return self._found("before", self._before, entity_type, ids)

    def all_rows_of(self, entity_type: str, ids: list[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
        """``rows_of``, and the rows of the same entities that came since: ``CHANGES``."""
        rows = self._found("all", [*self._before, *self._after], entity_type, ids)
        since = pl.col(PLACE) >= len(self._before)
        return rows.filter(~since), rows.filter(since).select(*CHANGES)

    def _found(self, where: str, parts: list[Part], entity_type: str, ids: list[str]) -> pl.DataFrame:
        """The rows of entities in some files: ``CHANGES``, ``baseline`` and ``PLACE``, that of their file."""
        found = [_NOT_FOUND]
        for role in ("baseline", "changes"):
            key = f"{role} {where} {entity_type}"
            own = [place for place, part in enumerate(parts) if part.role == role and entity_type in part.entity_types]
            if not own:
                continue
            if key not in self._finders:
                self._finders[key] = EntityRows([self._path(parts[place]) for place in own], self._scanned.prove)
            rows = self._finders[key].of(ids).filter(pl.col("entity_type") == entity_type)
            place = pl.Series(own, dtype=pl.UInt32)[rows[PLACE]].alias(PLACE)
            found.append(rows.select(*CHANGES, pl.lit(role == "baseline").alias("baseline"), place))
        return pl.concat(found)

    def _path(self, part: Part) -> Path:
        return self._scanned.folder / part.path

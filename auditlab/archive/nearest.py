"""The checkpoints of an archive at work: questions that need not read what lies before them."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import polars as pl

from auditlab.archive.checkpoint import kept_in
from auditlab.archive.entity_rows import EntityRows
from auditlab.archive.held import covered_names, held_parts
from auditlab.archive.rows import frames, lazy_rows
from auditlab.buckets.checkpoint import Untold
from auditlab.buckets.near import Near, Since, settled, settled_snapshot
from auditlab.buckets.onwards import onwards
from auditlab.schema import CHANGES

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from auditlab.archive.manifest import Checkpoint, Part
    from auditlab.archive.read import Scanned
    from auditlab.buckets.checkpoint import Kept
    from auditlab.recorded import Recorded
    from auditlab.schema import LogFacts
    from auditlab.shortcuts import Question

__all__ = ["Nearest"]

_POINTS = 2
"""Checkpoints whose rows, and what came since, are kept in memory."""

_ENTITIES = 64
"""Entities whose rows are kept in memory, once they were asked for."""


class Nearest:
    """What the checkpoints of an archive answer instead of the whole log (``recorded.Shortcuts``).

    Args:
        scanned: The archive.
        least: Bytes that a change takes while it is asked about.
        room: Bytes that a question may take.
    """

    def __init__(self, scanned: Scanned, *, least: int, room: int) -> None:
        self._scanned, self._most = scanned, max(1, room // least)
        self._nears: dict[tuple[str, int], Near | None] = {}
        self._facts: LogFacts | None = None
        self._entities: dict[tuple[str, str], Recorded | None] = {}
        self._onwards: dict[tuple[tuple[str, int], ...], Recorded | None] = {}

    @cached_property
    def _points(self) -> list[_Point]:
        """The checkpoints that part the archive's files, the newest first."""
        chain = self._scanned.chain
        points = [
            _Point(self._scanned, manifest.checkpoint, chain[manifest.checkpoint.covers - 1][0].facts)
            for manifest, _ in chain
            if manifest.checkpoint is not None
        ]
        return sorted((point for point in points if point.parts_files), key=lambda one: -one.checkpoint.covers)

    def of_entity(self, facts: LogFacts, entity_type: str, entity_id: str) -> Recorded | None:
        """One entity as a part of the log; None where the whole log must be asked."""
        self._with(facts)
        key = (entity_type, entity_id)
        if key not in self._entities:
            while len(self._entities) >= _ENTITIES:
                self._entities.pop(next(iter(self._entities)))
            self._entities[key] = self._of_entity(facts, entity_type, entity_id)
        return self._entities[key]

    def known(self, facts: LogFacts, entity_type: str, candidates: Iterable[str]) -> list[str] | None:
        """The first candidate that is, or was, an id of the type, if any; None where the whole log must be asked."""
        for candidate in candidates:
            part = self.of_entity(facts, entity_type, candidate)
            if part is None:
                return None
            if part.known_id(entity_type, [candidate]) is not None:
                return [candidate]
        return []

    def _with(self, facts: LogFacts) -> None:
        """Forget what was worked out with other facts beside the log."""
        if self._facts != facts:
            self._facts, self._nears, self._entities, self._onwards = facts, {}, {}, {}

    def onwards(self, facts: LogFacts, entity_types: tuple[str, ...], question: Question) -> Recorded | None:
        """Some types as a part of the log that has their states as of the question; None where the whole is asked."""
        self._with(facts)
        chosen = [self._nearest(facts, name, question) for name in entity_types]
        points = [point for point in chosen if point is not None]
        if len(points) < len(chosen) or not chosen:
            return None
        pairs = list(zip(entity_types, points, strict=True))
        if sum(point.parts[name].rows + point.since(name) for name, point in pairs) > self._most:
            return None
        key = tuple((name, point.checkpoint.covers) for name, point in pairs)
        if key not in self._onwards:
            while len(self._onwards) >= _POINTS:
                self._onwards.pop(next(iter(self._onwards)))
            self._onwards[key] = self._onwards_from(facts, pairs)
        return self._onwards[key]

    def _onwards_from(self, facts: LogFacts, pairs: list[tuple[str, _Point]]) -> Recorded | None:
        where = dict(pairs)
        nears = [near for name, point in pairs if (near := self._near(facts, point, name)) is not None]
        if len(nears) < len(pairs):
            return None
        try:
            return onwards(nears, lambda name, ids: where[name].rows_of(name, ids))
        except Untold:
            return None

    def _nearest(self, facts: LogFacts, entity_type: str, question: Question) -> _Point | None:
        """The newest checkpoint of a type before all that matters to a question."""
        for point in self._points:
            if entity_type in point.parts and _is_before(point.kept(entity_type), point.facts, facts, question):
                return point
        return None

    def _of_entity(self, facts: LogFacts, entity_type: str, entity_id: str) -> Recorded | None:
        for point in self._points:
            if entity_type not in point.parts or point.since(entity_type) > self._most:
                continue
            near = self._near(facts, point, entity_type)
            if near is None:
                continue
            try:
                ids = sorted(near.family(entity_id))
                return near.of_entities(ids, point.rows_of(entity_type, ids), point.truncates(near.kept))
            except Untold:
                continue
        return None

    def _near(self, facts: LogFacts, point: _Point, entity_type: str) -> Near | None:
        key = (entity_type, point.checkpoint.covers)
        if key not in self._nears:
            while len(self._nears) >= _POINTS * len(point.parts):
                self._nears.pop(next(iter(self._nears)))
            try:
                since = Since(point.kept(entity_type), point.facts, point.rows_since(entity_type))
                self._nears[key] = Near(since, facts, lambda: point.rows(entity_type))
            except Untold:
                self._nears[key] = None
        return self._nears[key]


class _Point:
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

    def rows(self, entity_type: str) -> pl.DataFrame:
        """The rows that were kept: ``CHANGES``."""
        return self._frame([self.parts[entity_type]])

    def rows_since(self, entity_type: str) -> pl.DataFrame:
        """The rows of a type that came since: ``CHANGES``."""
        return self._frame([part for part in self._after if entity_type in part.entity_types])

    def truncates(self, kept: Kept) -> pl.DataFrame:
        """The TRUNCATEs up to here: ``CHANGES`` and ``baseline``, in their order."""
        if not kept.truncates:
            return pl.DataFrame(schema={**CHANGES, "baseline": pl.Boolean})
        path = self._path(self.parts[kept.entity_type])
        rows = lazy_rows([path], self._scanned.prove).filter(pl.col("operation") == "TRUNCATE").collect()
        return rows.sort("id", maintain_order=True).with_columns(baseline=pl.lit(value=False))

    def rows_of(self, entity_type: str, ids: list[str]) -> pl.DataFrame:
        """The rows of entities up to here: ``CHANGES`` and ``baseline``, each one's in the order in which they came."""
        found = [pl.DataFrame(schema={**CHANGES, "baseline": pl.Boolean})]
        for role in ("baseline", "changes"):
            key = f"{role} {entity_type}"
            if key not in self._finders:
                own = [part for part in self._before if part.role == role and entity_type in part.entity_types]
                self._finders[key] = EntityRows([self._path(part) for part in own], self._scanned.prove)
            rows = self._finders[key].of(ids).filter(pl.col("entity_type") == entity_type)
            found.append(rows.with_columns(baseline=pl.lit(role == "baseline")))
        return pl.concat(found)

    def _frame(self, parts: list[Part]) -> pl.DataFrame:
        found = [pl.DataFrame(schema=CHANGES)]
        for part in parts:
            path = self._path(part)
            self._scanned.prove(path)
            found += frames(path)
        return pl.concat(found)

    def _path(self, part: Part) -> Path:
        return self._scanned.folder / part.path


def _is_before(kept: Kept, before: LogFacts, facts: LogFacts, question: Question) -> bool:
    """Whether all changes up to a checkpoint count in what a question is about, for certain."""
    if question.at is not None:
        return settled(kept, before, facts, question.at)
    if question.seen is not None:
        return settled_snapshot(kept, facts, question.seen)
    return question.id is None or question.id >= kept.ids[1]

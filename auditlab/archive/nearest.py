"""The checkpoints of an archive at work: questions that need not read what lies before them."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from auditlab.archive.point import points
from auditlab.buckets.checkpoint import Untold
from auditlab.buckets.near import settled, settled_snapshot
from auditlab.buckets.onwards import onwards
from auditlab.shortcuts import Question

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from auditlab.archive.point import Point
    from auditlab.archive.read import Scanned
    from auditlab.buckets.checkpoint import Kept
    from auditlab.buckets.near import Near
    from auditlab.buckets.part import Part
    from auditlab.recorded import Recorded
    from auditlab.schema import LogFacts

__all__ = ["Nearest"]

_POINTS = 2
"""Checkpoints whose rows, and what came since, are kept in memory."""

_DEARER = 10
"""How much dearer it is to put a change since together than to read the columns of a row that a checkpoint keeps."""

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
        self._onwards: dict[tuple[tuple[tuple[str, int], ...], Question | None], Part | None] = {}
        """By the types with their checkpoints, and the question where it answers that alone."""

    @cached_property
    def _points(self) -> list[Point]:
        """The checkpoints that part the archive's files, the newest first."""
        return points(self._scanned)

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

    def onwards(self, facts: LogFacts, entity_types: tuple[str, ...], question: Question) -> Part | None:
        """Some types as a part of the log that has their states as of the question; None where the whole is asked."""
        self._with(facts)
        chosen = [self._nearest(facts, name, question) for name in entity_types]
        nearest = [point for point in chosen if point is not None]
        if len(nearest) < len(chosen) or not chosen:
            return None
        pairs = list(zip(entity_types, nearest, strict=True))
        if sum(point.parts[name].rows + point.since(name) for name, point in pairs) > self._most:
            return None
        told = tuple((name, point.checkpoint.covers) for name, point in pairs)
        for key in ((told, question), (told, None)):
            if key in self._onwards:
                return self._onwards[key]
        alone = question if question.states else None
        part = None if alone is None else self._onwards_from(pairs, self._rolled(facts, pairs, alone))
        if part is None:
            part, alone = self._onwards_from(pairs, self._nears_of(facts, pairs)), None
        while len(self._onwards) >= _POINTS:
            self._onwards.pop(next(iter(self._onwards)))
        self._onwards[told, alone] = part
        return part

    def _onwards_from(self, pairs: list[tuple[str, Point]], nears: list[Near] | None) -> Part | None:
        where = dict(pairs)
        if nears is None:
            return None
        try:
            return onwards(nears, lambda name, ids: where[name].rows_of(name, ids))
        except Untold:
            return None

    def _nears_of(self, facts: LogFacts, pairs: list[tuple[str, Point]]) -> list[Near] | None:
        nears = [near for name, point in pairs if (near := self._near(facts, point, name)) is not None]
        return None if len(nears) < len(pairs) else nears

    def _rolled(self, facts: LogFacts, pairs: list[tuple[str, Point]], question: Question) -> list[Near] | None:
        """What tells of the types' states as of a question; None where nothing is saved over ``_nears_of``."""
        try:
            rolled = [point.rolled_forward(name, facts, question) for name, point in pairs]
        except Untold:
            return None
        if all(near is None for near in rolled):
            return None
        nears = [
            self._near(facts, point, name) if near is None else near
            for near, (name, point) in zip(rolled, pairs, strict=True)
        ]
        known = [near for near in nears if near is not None]
        return None if len(known) < len(nears) else known

    def _nearest(self, facts: LogFacts, entity_type: str, question: Question) -> Point | None:
        """The newest checkpoint of a type before all that matters to a question."""
        for point in self._points:
            if entity_type in point.parts and _is_before(point.kept(entity_type), point.facts, facts, question):
                return point
        return None

    def _of_entity(self, facts: LogFacts, entity_type: str, entity_id: str) -> Recorded | None:
        for point in self._points:
            if entity_type not in point.parts or point.since(entity_type) > self._most:
                continue
            for near, rolled in self._tellers(facts, point, entity_type):
                try:
                    ids = sorted(near.family(entity_id))
                    rows, since = (
                        point.all_rows_of(entity_type, ids) if rolled else (point.rows_of(entity_type, ids), None)
                    )
                    return near.of_entities(ids, rows, point.truncates(near.kept), since)
                except Untold:
                    continue
        return None

    def _tellers(self, facts: LogFacts, point: Point, entity_type: str) -> Iterator[tuple[Near, bool]]:
        """What tells of a type's entities, and whether it lacks rows that came since; the cheaper one first."""
        rows = point.parts[entity_type].rows
        if (entity_type, point.checkpoint.covers) not in self._nears and point.since(entity_type) * _DEARER > rows:
            rolled = self._rolled(facts, [(entity_type, point)], Question())
            if rolled is not None:
                yield rolled[0], True
        near = self._near(facts, point, entity_type)
        if near is not None:
            yield near, False

    def _near(self, facts: LogFacts, point: Point, entity_type: str) -> Near | None:
        key = (entity_type, point.checkpoint.covers)
        if key not in self._nears:
            while len(self._nears) >= _POINTS * len(point.parts):
                self._nears.pop(next(iter(self._nears)))
            try:
                self._nears[key] = point.near(entity_type, facts)
            except Untold:
                self._nears[key] = None
        return self._nears[key]


def _is_before(kept: Kept, before: LogFacts, facts: LogFacts, question: Question) -> bool:
    """Whether all changes up to a checkpoint count in what a question is about, for certain."""
    if question.at is not None:
        return settled(kept, before, facts, question.at)
    if question.seen is not None:
        return settled_snapshot(kept, facts, question.seen)
    return question.id is None or question.id >= kept.ids[1]

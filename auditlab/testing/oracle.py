"""The oracle: what a log means, worked out row by row in plain Python, to hold every engine against.

It shares no code with the engines, keeps to the rules as they are written, and is slow. Use it in tests of your own::

    from auditlab.testing import Oracle, make_log

    log = make_log([("INSERT", "a", {"x": 1}), ("UPDATE", "a", {"x": 2})])
    Oracle(log.to_dicts()).as_of()
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

from auditlab.testing.equality import differences
from auditlab.testing.repair import ABSENT, ENDS, UNKNOWN, Known, Written, repaired, resolved
from auditlab.testing.settings import Blamed, Settings, settings_after, settings_found

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from auditlab.testing.equality import Exact, State

__all__ = ["FieldChange", "NetChange", "Oracle", "Version"]

Entity = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Version:
    """One state of one entity. The columns are those of ``history``; ``state`` holds the fields."""

    entity_type: str
    entity_id: str
    version: int
    life: int
    valid_from: datetime | None
    valid_to: datetime | None
    operation: str | None
    ended_by: int | None
    changed_by: str | None
    changed_at: datetime | None
    transaction_id: int | None
    id: int | None
    origin: str
    state: State

    def holds_at(self, moment: datetime) -> bool:
        """Whether this was the state at that moment: from is inclusive, to is not, and null has no limit."""
        began = self.valid_from is None or self.valid_from <= moment
        return began and (self.valid_to is None or moment < self.valid_to)


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field that one change set, with the recorded text on both sides. The columns are those of ``diffs``."""

    id: int
    entity_type: str
    entity_id: str
    version: int
    life: int
    field: str
    kind: str
    old_present: bool
    new_present: bool
    old: str | None
    new: str | None
    changed_by: str | None
    changed_at: datetime
    transaction_id: int | None
    effective: datetime


@dataclass(frozen=True, slots=True)
class NetChange:
    """One field that differs between two instants. The columns are those of ``compare``."""

    entity_type: str
    entity_id: str
    field: str
    kind: str
    old: str | None
    new: str | None


class Oracle:
    """What a log means.

    Args:
        rows: The canonical change rows, each a mapping of column to value; the snapshots are JSON text.
    """

    def __init__(self, rows: Iterable[Mapping[str, Any]]) -> None:
        self.rows = sorted((dict(row) for row in rows), key=lambda row: row["id"])
        every = all(row.get("committed_at") is not None for row in self.rows)
        self.clock = "committed_at" if self.rows and every else "changed_at"
        self._versions: list[Version] = []
        self._diffs: list[FieldChange] = []
        self._touched: list[tuple[int, str, str]] = []
        self._settings: dict[tuple[str, str, int], Settings] = {}
        self._presences: dict[Entity, list[tuple[datetime | None, str, int | None]]] = {}
        for entity, written in self._entities().items():
            entity_type, entity_id = entity
            walk = _Walk(entity_type, entity_id, self.clock)
            for change in in_order(written):
                walk.take(change)
            self._versions += walk.versions
            self._diffs += walk.diffs
            self._settings |= {(*entity, place): found for place, found in enumerate(walk.settled, 1)}
            self._presences[entity] = walk.presences
            self._touched += [(change, entity_type, entity_id) for change in walk.taken]
        self._versions.sort(key=lambda version: (version.entity_type, version.entity_id, version.version))
        self._diffs.sort(key=lambda diff: (diff.id, diff.entity_type, diff.entity_id, diff.field))

    def _entities(self) -> dict[Entity, list[Written]]:
        """Each entity's rows by id, with every TRUNCATE of its type among them."""
        members: dict[str, set[str]] = defaultdict(set)
        for row in self.rows:
            if row["entity_id"] is not None:
                members[row["entity_type"]].add(row["entity_id"])
        entities: dict[Entity, list[Written]] = defaultdict(list)
        for row in self.rows:
            change = Written.of(row)
            named = [row["entity_id"]] if row["entity_id"] is not None else sorted(members[row["entity_type"]])
            for entity_id in named:
                entities[row["entity_type"], entity_id].append(change)
        return dict(entities)

    def history(self, entity_type: str | None = None, entity_id: str | None = None) -> list[Version]:
        """Every version, sorted by entity type, entity id and version."""
        return [
            version
            for version in self._versions
            if entity_type in (None, version.entity_type) and entity_id in (None, version.entity_id)
        ]

    def as_of(
        self,
        at: datetime | None = None,
        *,
        id: int | None = None,  # noqa: A002 - the column's name
        transaction: int | None = None,
    ) -> dict[Entity, State]:
        """The state of each entity that is there: at a time, after a change, after a transaction, or now.

        A time is inclusive. ``id`` takes the changes up to it and orders those alone; ``transaction`` is the last
        change of that transaction by id.
        """
        if transaction is not None:
            id = max(row["id"] for row in self.rows if row["transaction_id"] == transaction)  # noqa: A001 - as above
        if id is not None:
            return Oracle(row for row in self.rows if row["id"] <= id).as_of()
        return {
            (version.entity_type, version.entity_id): version.state
            for version in self._versions
            if (version.valid_to is None if at is None else version.holds_at(at))
        }

    def diffs(self) -> list[FieldChange]:
        """What each change did, by id, entity and field. A SNAPSHOT did nothing: it was read."""
        return list(self._diffs)

    def touched(self) -> list[tuple[int, str, str]]:
        """Which change touched which entity: id, type and entity id, sorted. A TRUNCATE touches what it ended."""
        return sorted(self._touched)

    def compare(self, start: datetime, end: datetime) -> list[NetChange]:
        """What differs between two instants, by entity and field; an absent entity is a state without fields."""
        earlier, later = self.as_of(start), self.as_of(end)
        found = []
        for entity_type, entity_id in sorted(earlier.keys() | later.keys()):
            entity = (entity_type, entity_id)
            for name, kind, old, new in differences(earlier.get(entity, {}), later.get(entity, {})):
                found.append(NetChange(entity_type, entity_id, name, kind, _text(old), _text(new)))
        return found

    def steps(self, start: datetime, end: datetime) -> list[FieldChange]:
        """Every field change after ``start`` and up to ``end``, that moment included."""
        return [diff for diff in self._diffs if start < diff.effective <= end]

    def blame(self, at: datetime | None = None) -> list[Blamed]:
        """Who last set each field of each entity that is there, by entity and field."""
        found = []
        for version in self._versions:
            if version.valid_to is None if at is None else version.holds_at(at):
                settings = self._settings[version.entity_type, version.entity_id, version.version]
                for name in sorted(version.state):
                    setting = settings[name]
                    change = setting.change or {}
                    found.append(
                        Blamed(
                            entity_type=version.entity_type,
                            entity_id=version.entity_id,
                            field=name,
                            value=version.state[name].text,
                            set_by=change.get("changed_by"),
                            set_at=change.get("changed_at"),
                            id=change.get("id"),
                            transaction_id=change.get("transaction_id"),
                            operation=change.get("operation"),
                            old=_text(setting.old),
                            old_present=setting.old_present,
                            life=version.life,
                            origin=setting.origin,
                            seen_in=setting.seen_in,
                        )
                    )
        return found

    def presence(self, entity_type: str, entity_id: str, at: datetime) -> tuple[str, State | None]:
        """Whether an entity was there at a time (live, deleted, not yet, not recorded, unknown entity); its state."""
        steps = self.presences(entity_type, entity_id)
        words = [word for since, word, _ in steps if since is None or since <= at]
        if not words:
            return "unknown entity", None
        states = [each.state for each in self.history(entity_type, entity_id) if each.holds_at(at)]
        return words[-1], states[0] if states else None

    def presences(self, entity_type: str, entity_id: str) -> list[tuple[datetime | None, str, int | None]]:
        """What an entity was before its first change (null), and after each: since when, the word, the change's id."""
        return list(self._presences.get((entity_type, entity_id), ()))

    def fields(self) -> dict[str, set[str]]:
        """The fields that each entity type ever had in any image."""
        found: dict[str, set[str]] = defaultdict(set)
        for row in self.rows:
            change = Written.of(row)
            for image in (change.before, change.after):
                if isinstance(image, dict):
                    found[row["entity_type"]] |= image.keys()
        return dict(found)


def in_order(written: Iterable[Written]) -> Iterator[Written]:
    """One entity's changes (by id) in the order in which they were done.

    Only neighbours of one transaction change places, and never across a TRUNCATE.
    """
    state: Known = UNKNOWN
    for (transaction, truncates), neighbours in groupby(
        written, key=lambda change: (change.row["transaction_id"], change.row["operation"] == "TRUNCATE")
    ):
        group = list(neighbours)
        for change in group if truncates or transaction is None else repaired(group, state):
            state = change.leaves(state)
            yield change


def _text(value: Exact | None) -> str | None:
    return None if value is None else value.text


class _Walk:
    """One entity's changes, taken one after the other."""

    def __init__(self, entity_type: str, entity_id: str, clock: str) -> None:
        self.entity_type, self.entity_id, self.clock = entity_type, entity_id, clock
        self.versions: list[Version] = []
        self.diffs: list[FieldChange] = []
        self.taken: list[int] = []
        self.settings: Settings = {}
        self.settled: list[Settings] = []
        self.presences: list[tuple[datetime | None, str, int | None]] = []
        self.state: Known = UNKNOWN
        self.life = 0
        self.effective: datetime | None = None

    def take(self, change: Written) -> None:
        """One more change: it ends the state that is, and begins the one that it leaves."""
        row, operation, alive = change.row, change.row["operation"], isinstance(self.state, dict)
        if operation == "TRUNCATE" and not alive:
            self.state = ABSENT
            return
        self.effective = row[self.clock] if self.effective is None else max(self.effective, row[self.clock])
        self.taken.append(row["id"])
        before = self.state if alive and change.before == UNKNOWN else resolved(change.before, self.state)
        after = change.leaves(self.state)
        if not self.presences:
            self.presences.append((None, self._first(operation, before), None))
        ends = "deleted" if operation in ENDS else "not recorded"
        self.presences.append((self.effective, "live" if isinstance(after, dict) else ends, row["id"]))
        if operation != "INSERT":
            self.settings = settings_found(self.settings, self.state, before, after, row)
        if operation == "INSERT" or (not alive and (isinstance(before, dict) or isinstance(after, dict))):
            self.life += 1
        if not alive and isinstance(before, dict):
            since = None if self.state == UNKNOWN else self.effective
            self._begin(before, {"valid_from": since, "origin": "unknown"})
            alive = True
        if alive:
            self.versions[-1] = replace(self.versions[-1], valid_to=self.effective, ended_by=row["id"])
        self.settings = settings_after(self.settings, before, after, row)
        if isinstance(after, dict):
            self._begin(after, {"valid_from": self.effective, "origin": "observed", **row})
        if operation != "SNAPSHOT":
            self._compare(row, before, after)
        self.state = after

    def _first(self, operation: str, before: Known) -> str:
        """Whether the entity was there before its first change."""
        if self.state == UNKNOWN and isinstance(before, dict):
            return "live"
        return "not yet" if self.state == ABSENT or operation == "INSERT" else "not recorded"

    def _begin(self, state: State, columns: Mapping[str, Any]) -> None:
        self.settled.append(self.settings)
        own = ("operation", "changed_by", "changed_at", "transaction_id", "id")
        self.versions.append(
            Version(
                entity_type=self.entity_type,
                entity_id=self.entity_id,
                version=len(self.versions) + 1,
                life=self.life,
                valid_from=columns["valid_from"],
                valid_to=None,
                ended_by=None,
                origin=columns["origin"],
                state=state,
                **{name: columns.get(name) for name in own},
            )
        )

    def _compare(self, row: Mapping[str, Any], before: Known, after: Known) -> None:
        if before == UNKNOWN or self.effective is None:
            return
        old = before if isinstance(before, dict) else {}
        new = after if isinstance(after, dict) else {}
        for name, kind, was, now in differences(old, new):
            self.diffs.append(
                FieldChange(
                    id=row["id"],
                    entity_type=self.entity_type,
                    entity_id=self.entity_id,
                    version=self.versions[-1].version,
                    life=self.life,
                    field=name,
                    kind=kind,
                    old_present=was is not None,
                    new_present=now is not None,
                    old=_text(was),
                    new=_text(now),
                    changed_by=row["changed_by"],
                    changed_at=row["changed_at"],
                    transaction_id=row["transaction_id"],
                    effective=self.effective,
                )
            )

"""The oracle: what a log means, worked out row by row in plain Python, to hold every engine against.

It shares no code with the engines, keeps to the rules as they are written, and is slow. Use it in tests of your own::

    from auditlab.testing import Oracle, make_log

    log = make_log([("INSERT", "a", {"x": 1}), ("UPDATE", "a", {"x": 2})])
    Oracle(log.to_dicts()).as_of()
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

from auditlab.testing.completing import completed, found, listing, told_by
from auditlab.testing.equality import differences
from auditlab.testing.keyed import KeyChange, folded, halves, key_changes
from auditlab.testing.repair import UNKNOWN, Known, Written, repaired
from auditlab.testing.settings import Blamed, Settings
from auditlab.testing.walk import NOTHING, FieldChange, Left, Version, Walk, text_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from datetime import datetime

    from auditlab.testing.equality import State

__all__ = ["NetChange", "Oracle"]

Entity = tuple[str, str]
Reader = Callable[[str, str, Written], Written]
"""Gives a change of an entity (type and id) with its images as they are read."""


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
        changed: The changes of keys, where more rows than these told them.
        reading: How the images are read, where not as they were recorded: makes a reader of one log's changes, which
            takes each entity's changes in their order. It reads what was recorded and what follows from it.
        partial: The same, of what was recorded alone, be it an image or some fields: before anything follows from it.
        derived: The states that changes left without saying so, where more rows than these told them.
    """

    def __init__(
        self,
        rows: Iterable[Mapping[str, Any]],
        changed: Iterable[KeyChange] | None = None,
        *,
        reading: Callable[[], Reader] | None = None,
        partial: Callable[[], Reader] | None = None,
        derived: Mapping[tuple[str, str, int], State] | None = None,
    ) -> None:
        self._told = derived
        self.derived: dict[tuple[str, str, int], State] = {}
        self._reading = reading
        self._partial = partial
        self.images: list[tuple[str, State]] = []
        self.rows = sorted((dict(row) for row in rows), key=lambda row: row["id"])
        every = all(row.get("committed_at") is not None for row in self.rows)
        self.clock = "committed_at" if self.rows and every else "changed_at"
        self._versions: list[Version] = []
        self._diffs: list[FieldChange] = []
        self._touched: list[tuple[int, str, str]] = []
        self._operations: dict[tuple[int, str | None], str] = {}
        self._settings: dict[tuple[str, str, int], Settings] = {}
        self._presences: dict[Entity, list[tuple[datetime | None, str, int | None]]] = {}
        ids = {row["id"] for row in self.rows}
        told = key_changes(self.rows) if changed is None else changed
        self._by_id = {row["id"]: row for row in self.rows}
        self._lists = listing(self.rows)
        self.changed = [change for change in told if {change.ended_by, change.begun_by} <= ids]
        for entity, walk in self._walked().items():
            self._versions += walk.versions
            self._diffs += walk.diffs
            self._settings |= {(*entity, place): found for place, found in enumerate(walk.settled, 1)}
            self._presences[entity] = walk.presences
            self._touched += [(change, *entity) for change in walk.taken]
            self._operations |= {(change, entity[1]): operation for change, operation in walk.taken.items()}
        self._versions.sort(key=lambda version: (version.entity_type, version.entity_id, version.version))
        self._diffs.sort(key=lambda diff: (diff.id, diff.entity_type, diff.entity_id, diff.field))

    def _entities(self) -> dict[Entity, list[Written]]:
        """Each entity's rows by id, every TRUNCATE of its type among them, and both halves of a change of a key."""
        members: dict[str, set[str]] = defaultdict(set)
        for row in self.rows:
            if row["entity_id"] is not None:
                members[row["entity_type"]].add(row["entity_id"])
        for change in self.changed:
            members[change.entity_type].add(change.old)
        passing = halves(self.changed, self.rows)
        ends = {
            (change.entity_type, change.begun_by): change.old
            for change in self.changed
            if change.ended_by == change.begun_by
        }
        entities: dict[Entity, list[Written]] = defaultdict(list)
        for row in self.rows:
            entity_type, number = row["entity_type"], row["id"]
            named = [row["entity_id"]] if row["entity_id"] is not None else sorted(members[entity_type])
            named += [ends[entity_type, number]] if (entity_type, number) in ends else []
            for entity_id in named:
                written = passing.get((entity_type, entity_id, number)) or Written.of(row)
                entities[entity_type, entity_id].append(written)
        return dict(entities)

    def _walked(self) -> dict[Entity, Walk]:
        """Each entity's changes taken in their order, with what they left completed, and read."""
        ready = {
            entity: [self._listing(change) for change in folded(in_order(written))]
            for entity, written in self._entities().items()
        }
        if self._partial is not None:
            ready = self._read_as_recorded(ready, self._partial())
        walks = {entity: Walk(*entity, self.clock) for entity in ready}
        left: dict[KeyChange, Left] = {}
        states: dict[Entity | KeyChange, Known] = {}
        read = self._reading() if self._reading is not None else None
        for entity, taken, following in self._in_turn(ready):
            change = self._completed(entity, taken, following, states)
            change = change if read is None else read(entity[0], entity[1], change)
            shown = (change.before, change.after, change.goes_on_from)
            self.images += [(entity[0], image) for image in shown if isinstance(image, dict)]
            found = walks[entity].take(change, left.get(change.link, NOTHING))
            if change.ends:
                left[change.link] = found
        return walks

    def _listing(self, change: Written) -> Written:
        """The change with the fields that it says it set, where it says nothing else of what it left."""
        if change.after != UNKNOWN or change.ends or change.row["operation"] == "SNAPSHOT":
            return change
        return replace(change, told=told_by(self._by_id[change.row["id"]], self._lists))

    def _read_as_recorded(self, ready: Mapping[Entity, list[Written]], read: Reader) -> dict[Entity, list[Written]]:
        """The changes with what they recorded read, each as of the change that recorded it."""
        found: dict[Entity, list[Written]] = {entity: [] for entity in ready}
        for entity, change, _ in self._in_turn(ready):
            found[entity].append(read(entity[0], entity[1], change))
        return found

    def _in_turn(self, ready: Mapping[Entity, list[Written]]) -> Iterator[tuple[Entity, Written, Written | None]]:
        """Each entity's changes, each with the next; one that goes on from another entity waits for its end there."""
        waiting = {entity: list(changes) for entity, changes in ready.items()}
        ended: set[KeyChange] = set()
        while any(waiting.values()):
            moved = False
            for entity, changes in waiting.items():
                while changes and (changes[0].link is None or changes[0].ends or changes[0].link in ended):
                    change = changes.pop(0)
                    yield entity, change, changes[0] if changes else None
                    if change.ends:
                        ended.add(change.link)
                    moved = True
            if not moved:  # they wait for one another: none of those goes on from anywhere
                ended.update(self._waiting_in_circles(waiting))

    def _completed(
        self, entity: Entity, change: Written, following: Written | None, states: dict[Entity | KeyChange, Known]
    ) -> Written:
        """The change with the state that it left where that is determined.

        Args:
            entity: The entity's type and id.
            change: Its next change.
            following: The one after that.
            states: What each entity, and each row under its old key, was left as: by what was recorded.
        """
        key = (*entity, change.row["id"])
        state = states.get(change.link if change.link is not None and not change.ends else entity, UNKNOWN)
        if self._told is not None:
            told = self._told.get(key) if change.after == UNKNOWN else None
            change = change if told is None else replace(change, after=told, derived=True)
        else:
            change = completed(change, state, following)
        if change.derived:
            self.derived[key] = change.after  # type: ignore[assignment]  # what is derived is a state
        if change.ends:
            states[change.link] = found(change, state)
        states[entity] = change.leaves(found(change, state))
        return change

    @staticmethod
    def _waiting_in_circles(ready: Mapping[Entity, list[Written]]) -> list[KeyChange]:
        waits = {entity: changes[0].link for entity, changes in ready.items() if changes}
        found = []
        for entity, link in waits.items():
            place = entity
            for _ in waits:
                place = (waits[place].entity_type, waits[place].old)
            around = {place}
            while (after := (waits[place].entity_type, waits[place].old)) not in around:
                around.add(after)
                place = after
            found += [link] if entity in around else []
        return found

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

        A time is inclusive. ``id`` takes the changes up to it and orders those alone, as ``seen`` does those of
        transactions; ``transaction`` is the last change of that transaction by id.
        """
        if transaction is not None:
            id = max(row["id"] for row in self.rows if row["transaction_id"] == transaction)  # noqa: A001 - as above
        if id is not None:
            return self._states_of({row["id"] for row in self.rows if row["id"] <= id})
        return {
            (version.entity_type, version.entity_id): version.state
            for version in self._versions
            if (version.valid_to is None if at is None else version.holds_at(at))
        }

    def seen(self, transactions: Collection[int]) -> dict[Entity, State]:
        """The state of each entity that is there after the changes of some transactions alone, put in order anew.

        An entity that none of them changed is there if it was before the log began.
        """
        return self._states_of(self._ids_of(transactions))

    def blame_seen(self, transactions: Collection[int]) -> list[Blamed]:
        """Who last set each field of each entity that is there then, by entity and field: as ``seen`` has them."""
        now, before = self._part(self._ids_of(transactions))
        found = [*now.blame(), *(blamed for version in before for blamed in self._blamed(version))]
        return sorted(found, key=lambda each: (each.entity_type, each.entity_id, each.field))

    def _ids_of(self, transactions: Collection[int]) -> set[int]:
        return {row["id"] for row in self.rows if row["transaction_id"] in transactions}

    def _states_of(self, own: Collection[int]) -> dict[Entity, State]:
        """The state of each entity that is there after some changes alone, by their ids."""
        now, before = self._part(own)
        return now.as_of() | {(version.entity_type, version.entity_id): version.state for version in before}

    def _part(self, own: Collection[int]) -> tuple[Oracle, list[Version]]:
        """The log of some changes alone; and the states from before the log of entities that none of them touched."""
        rows = (row for row in self.rows if row["id"] in own)
        now = Oracle(rows, self.changed, reading=self._reading, partial=self._partial, derived=self.derived)
        touched = [*self._touched, *now._touched]
        changed = {(entity_type, entity_id) for change, entity_type, entity_id in touched if change in own}
        before = [
            version
            for version in self._versions
            if (version.entity_type, version.entity_id) not in changed
            and version.origin == "unknown"
            and version.valid_from is None
        ]
        return now, before

    def diffs(self) -> list[FieldChange]:
        """What each change did, by id, entity and field. A SNAPSHOT did nothing: it was read."""
        return list(self._diffs)

    def operations(self) -> list[tuple[int, str | None, str]]:
        """What each change was to each entity that it touched: id, entity id and operation.

        A DELETE and an INSERT that are one UPDATE are that, at the INSERT.
        """
        told = dict(self._operations)
        touched = {change for change, _ in told}
        rest = {(row["id"], row["entity_id"]): row["operation"] for row in self.rows if row["id"] not in touched}
        return [(*change, operation) for change, operation in (told | rest).items()]

    def touched(self) -> list[tuple[int, str, str]]:
        """Which change touched which entity: id, type and entity id, sorted. A TRUNCATE touches what it ended."""
        return sorted(self._touched)

    def compare(self, start: datetime, end: datetime) -> list[NetChange]:
        """What differs between two instants, by entity and field; an absent entity is a state without fields.

        One of which the log does not tell what it was at one of the two is left out.
        """
        earlier, later = self.as_of(start), self.as_of(end)
        found = []
        for entity_type, entity_id in sorted(earlier.keys() | later.keys()):
            entity = (entity_type, entity_id)
            if "not recorded" in (self.presence(*entity, start)[0], self.presence(*entity, end)[0]):
                continue
            for name, kind, old, new in differences(earlier.get(entity, {}), later.get(entity, {})):
                found.append(NetChange(entity_type, entity_id, name, kind, text_of(old), text_of(new)))
        return found

    def steps(self, start: datetime, end: datetime) -> list[FieldChange]:
        """Every field change after ``start`` and up to ``end``, that moment included."""
        return [diff for diff in self._diffs if start < diff.effective <= end]

    def blame(self, at: datetime | None = None) -> list[Blamed]:
        """Who last set each field of each entity that is there, by entity and field."""
        return [
            blamed
            for version in self._versions
            if (version.valid_to is None if at is None else version.holds_at(at))
            for blamed in self._blamed(version)
        ]

    def _blamed(self, version: Version) -> list[Blamed]:
        settings = self._settings[version.entity_type, version.entity_id, version.version]
        found = []
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
                    old=text_of(setting.old),
                    old_present=setting.old_present,
                    life=version.life,
                    origin=setting.origin,
                    seen_in=setting.seen_in,
                )
            )
        return found

    def presences(self, entity_type: str, entity_id: str) -> list[tuple[datetime | None, str, int | None]]:
        """What an entity was before its first change (null), and after each: since when, the word, the change's id."""
        return list(self._presences.get((entity_type, entity_id), ()))

    def presence(self, entity_type: str, entity_id: str, at: datetime) -> tuple[str, State | None]:
        """Whether an entity was there at a time (live, deleted, not yet, not recorded, unknown entity); its state."""
        steps = self.presences(entity_type, entity_id)
        words = [word for since, word, _ in steps if since is None or since <= at]
        if not words:
            return "unknown entity", None
        states = [each.state for each in self.history(entity_type, entity_id) if each.holds_at(at)]
        return words[-1], states[0] if states else None

    def fields(self) -> dict[str, set[str]]:
        """The fields that each entity type ever had in any image."""
        found: dict[str, set[str]] = defaultdict(set)
        for entity_type, image in self.images:
            found[entity_type] |= image.keys()
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

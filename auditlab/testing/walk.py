"""One entity's changes, taken one after the other in plain Python: its versions, diffs, settings and presence."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from auditlab.testing.equality import differences
from auditlab.testing.repair import ABSENT, ENDS, UNKNOWN, Known, Written, resolved
from auditlab.testing.settings import Settings, settings_after, settings_found

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from auditlab.testing.equality import Exact, State

__all__ = ["NOTHING", "FieldChange", "Left", "Version", "Walk", "text_of"]


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


class Left(NamedTuple):
    """What a row had when its key was changed: it goes on with that as another entity."""

    state: Known
    settings: Settings
    effective: datetime | None


NOTHING = Left(UNKNOWN, {}, None)


def text_of(value: Exact | None) -> str | None:
    """The recorded text; None where there is no value."""
    return None if value is None else value.text


class Walk:
    """One entity's changes, taken one after the other."""

    def __init__(self, entity_type: str, entity_id: str, clock: str) -> None:
        self.entity_type, self.entity_id, self.clock = entity_type, entity_id, clock
        self.versions: list[Version] = []
        self.diffs: list[FieldChange] = []
        self.taken: dict[int, str] = {}
        self.settings: Settings = {}
        self.settled: list[Settings] = []
        self.presences: list[tuple[datetime | None, str, int | None]] = []
        self.state: Known = UNKNOWN
        self.there = False
        self.life = 0
        self.effective: datetime | None = None

    def take(self, change: Written, source: Left = NOTHING) -> Left:
        """One more change: it ends the state that is, and begins the one that it leaves.

        Args:
            change: The change.
            source: Of one that goes on from another entity, what the row had there.
        """
        row, operation = change.row, change.row["operation"]
        there, self.there = self.there, operation not in ENDS and not change.ends
        if operation == "TRUNCATE" and not there:
            self.state = ABSENT
            return NOTHING
        comes = change.link is not None and not change.ends
        times = [row[self.clock], self.effective, source.effective if comes else None]
        self.effective = max(time for time in times if time is not None)
        self.taken[row["id"]] = operation
        state = source.state if comes else self.state
        image = change.goes_on_from if comes else change.before
        before = state if isinstance(state, dict) and image == UNKNOWN else resolved(image, state)
        after = resolved(change.after, before, state)
        if not self.presences:
            self.presences.append((None, "not yet" if comes else self._first(operation, before), None))
        ends = "deleted" if operation in ENDS or change.ends else "not recorded"
        self.presences.append((self.effective, "live" if isinstance(after, dict) else ends, row["id"]))
        held = Left(self.state, self.settings, self.effective)
        if comes:
            self.settings = settings_found(source.settings, source.state, before, after, row)
        elif operation != "INSERT":
            self.settings = settings_found(self.settings, self.state, before, after, row)
        left = Left(before, self.settings, self.effective)
        self.life += operation == "INSERT" or comes or not there
        known = isinstance(self.state, dict)
        if not there and not comes and isinstance(before, dict):
            since = None if self.state == UNKNOWN else self.effective
            self._begin(before, {"valid_from": since, "origin": "unknown"})
            known = True
        if known:
            self.versions[-1] = replace(self.versions[-1], valid_to=self.effective, ended_by=row["id"])
        carried = image == UNKNOWN and isinstance(before, dict)
        told = "derived" if change.derived or carried else "observed"
        self.settings = settings_after(self.settings, before, after, row, told)
        if isinstance(after, dict):
            origin = "derived" if change.derived else "observed"
            self._begin(after, {"valid_from": self.effective, "origin": origin, **row})
        if operation != "SNAPSHOT" and not change.ends:
            self._compare(row, before, after)
        self.state = after
        return held if isinstance(held.state, dict) else left

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
        if UNKNOWN in (before, after) or self.effective is None:
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
                    old=text_of(was),
                    new=text_of(now),
                    changed_by=row["changed_by"],
                    changed_at=row["changed_at"],
                    transaction_id=row["transaction_id"],
                    effective=self.effective,
                )
            )

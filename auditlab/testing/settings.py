"""Who set each field, worked out change by change in plain Python: what a blame has to say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from auditlab.testing.equality import differences
from auditlab.testing.repair import UNKNOWN, Known

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from auditlab.testing.equality import Exact, State

__all__ = ["Blamed", "Setting", "Settings", "settings_after", "settings_found"]


@dataclass(frozen=True, slots=True)
class Setting:
    """What set one field: a change (``observed``, ``derived``), something between two changes, or nothing known."""

    origin: str
    seen_in: int
    change: Mapping[str, Any] | None = None
    old: Exact | None = None
    old_present: bool | None = None


Settings = dict[str, Setting]


@dataclass(frozen=True, slots=True)
class Blamed:
    """One field of one live entity. The columns are those of ``blame``; texts are JSON."""

    entity_type: str
    entity_id: str
    field: str
    value: str
    set_by: str | None
    set_at: datetime | None
    id: int | None
    transaction_id: int | None
    operation: str | None
    old: str | None
    old_present: bool | None
    life: int
    origin: str
    seen_in: int


def settings_found(settings: Settings, state: Known, before: Known, after: Known, row: Mapping[str, Any]) -> Settings:
    """The settings just before a change that is no INSERT, from those that the change before it left.

    Args:
        settings: What the change before it left.
        state: The state that it left.
        before: What this change says was there.
        after: What this change leaves.
        row: This change.
    """
    read = row["operation"] == "SNAPSHOT"
    shown = after if read or not isinstance(before, dict) else before
    if isinstance(state, dict):
        return _moved(settings, state, shown, "unlogged", row) if isinstance(shown, dict) else settings
    if not isinstance(shown, dict):
        return {}
    if state == UNKNOWN or (shown is after and not read):
        return {name: Setting("unknown", row["id"]) for name in shown}
    return {name: Setting("unlogged", row["id"], old_present=False) for name in shown}


def settings_after(
    settings: Settings, before: Known, after: Known, row: Mapping[str, Any], origin: str = "observed"
) -> Settings:
    """The settings that a change leaves: those that it found, and itself where its images differ.

    Args:
        settings: What it found.
        before: What was there before it.
        after: What it left.
        row: The change.
        origin: ``derived`` where one of the two images was not recorded.
    """
    if not isinstance(after, dict):
        return {}
    if row["operation"] == "INSERT":
        return _moved({}, {}, after, origin, row)
    if row["operation"] == "SNAPSHOT" or not isinstance(before, dict):
        return settings
    return _moved(settings, before, after, origin, row)


def _moved(settings: Settings, old: State, new: State, origin: str, row: Mapping[str, Any]) -> Settings:
    moved = {name: setting for name, setting in settings.items() if name in new}
    change = row if origin in ("observed", "derived") else None
    for name, _, was, now in differences(old, new):
        if now is not None:
            moved[name] = Setting(origin, row["id"], change, was, was is not None)
    return moved

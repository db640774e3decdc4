"""States that a log did not record, where what it did record tells them: found change by change in plain Python."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from auditlab.testing.equality import State, read_document
from auditlab.testing.repair import ABSENT, UNKNOWN, Known, Written, resolved

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["completed", "found", "listing", "told_by"]

Row = dict[str, Any]


def listing(rows: Iterable[Row]) -> set[str]:
    """The entity types in which some change without an after image lists the new values of what it changed."""
    return {row["entity_type"] for row in rows if _silent(row) and _object(row)}


def found(change: Written, state: Known) -> Known:
    """What was there before a change: what it says itself, else what the change before it left."""
    image = change.goes_on_from if change.link is not None and not change.ends else change.before
    return state if image == UNKNOWN else resolved(image, state)


def completed(change: Written, state: Known, following: Written | None) -> Written:
    """The change with the state that it left, where it does not say so itself but that is determined.

    It is what the fields that it lists make of the state before it; else what the entity's next change found; where
    nothing tells, an UPDATE without a list in a type whose changes have lists left what was there.

    Args:
        change: The change.
        state: What the change before it left, under whatever key.
        following: The entity's next change.
    """
    if change.after != UNKNOWN or change.ends or change.row["operation"] == "SNAPSHOT":
        return change
    before: Known = found(change, state)
    before = {} if before == ABSENT and change.row["operation"] == "INSERT" else before
    shown = _shown(following)
    thought_idle = shown is not None and not _object(change.row)
    if change.told is not None and isinstance(before, dict) and not thought_idle:
        return replace(change, after={**before, **change.told}, derived=True)
    return change if shown is None else replace(change, after=shown, derived=True)


def _shown(following: Written | None) -> State | None:
    """What a change says was there before it; a SNAPSHOT what it read."""
    if following is None or (following.link is not None and not following.ends):
        return None
    image = following.after if following.row["operation"] == "SNAPSHOT" else following.before
    return image if isinstance(image, dict) else None


def _silent(row: Mapping[str, Any]) -> bool:
    return row["operation"] in ("INSERT", "UPDATE") and row["after_snapshot"] is None


def _object(row: Mapping[str, Any]) -> bool:
    return bool(row["changed_fields"]) and row["changed_fields"].lstrip().startswith("{")


def told_by(row: Mapping[str, Any], lists: set[str]) -> State | None:
    """The fields that a change says it set; of a type whose changes list them, one without a list set none."""
    if row["entity_type"] not in lists:
        return None
    if _object(row):
        return read_document(row["changed_fields"])
    return {} if row["operation"] == "UPDATE" and row["changed_fields"] in (None, "null", "[]") else None

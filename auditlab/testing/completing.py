"""States that a log did not record, where what it did record tells them: found change by change in plain Python."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from auditlab.testing.equality import Exact, State, read_document
from auditlab.testing.repair import ABSENT, UNKNOWN, Known, Written, resolved

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["completed", "found", "listing", "told_by"]

Row = dict[str, Any]
IMAGES = ("before_snapshot", "after_snapshot")


def listing(rows: Iterable[Row]) -> set[str]:
    """The entity types in which changes without an after image list the new values of what they changed.

    Some list is surely one of new values, and every one that may be of old and new values together is explained: of
    each of its fields an image, or a sure list, has such a value, too.
    """
    rows = list(rows)
    lists: dict[str, list[State]] = {}
    for row in rows:
        if _silent(row) and _object(row):
            lists.setdefault(row["entity_type"], []).append(read_document(row["changed_fields"]))
    found = set()
    for name, own in lists.items():
        sure = [fields for fields in own if not all(_both(value) for value in fields.values())]
        texts = [row[side] for row in rows if row["entity_type"] == name for side in IMAGES]
        shown = {
            (field, _shape(value))
            for fields in [*sure, *(read_document(text) for text in texts if text is not None)]
            for field, value in fields.items()
        }
        null = {field for fields in sure for field, value in fields.items() if value.decoded is None}
        asked = [item for fields in own if fields not in sure for item in fields.items()]
        if sure and all(field in null or (field, _shape(value)) in shown for field, value in asked):
            found.add(name)
    return found


def _both(value: Exact) -> bool:
    """Whether a value may be an old and a new value together."""
    match value.decoded:
        case [_, _]:
            return True
        case dict() as sides:
            return set(sides) in ({"old", "new"}, {"from", "to"}, {"before", "after"})
    return False


def _shape(value: Exact) -> Any:  # noqa: ANN401 - a depth, or names
    """How deep an array's arrays go; the names of an object; 0 of what is neither."""

    def depth(inner: Any) -> int:  # noqa: ANN401 - a JSON value is anything
        return 1 + max(map(depth, inner), default=0) if isinstance(inner, list) else 0

    decoded = value.decoded
    return frozenset(decoded) if isinstance(decoded, dict) else depth(decoded)


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
    """Whether a change has a list with fields."""
    return bool(row["changed_fields"]) and row["changed_fields"].lstrip().startswith("{") and not _empty(row)


def _empty(row: Mapping[str, Any]) -> bool:
    return row["changed_fields"] is None or "".join(row["changed_fields"].split()) in ("null", "[]", "{}")


def told_by(row: Mapping[str, Any], lists: set[str]) -> State | None:
    """The fields that a change says it set; of a type whose changes list them, one without a list set none."""
    if row["entity_type"] not in lists:
        return None
    if _object(row):
        return read_document(row["changed_fields"])
    return {} if row["operation"] == "UPDATE" and _empty(row) else None

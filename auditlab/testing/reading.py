"""Renames and upcasters, worked out change by change in plain Python: what a reading of a log has to show."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from auditlab.testing.equality import Exact, State, canonical
from auditlab.testing.logs import json_text
from auditlab.testing.repair import UNKNOWN, Known, Written, resolved

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

__all__ = ["BothNames", "NoPath", "by_document", "renaming", "upcasting"]

Document = dict[str, Any]


class BothNames(Exception):
    """An image has a field under two of its names, with different values."""


class NoPath(Exception):
    """An image is of a version from which no steps lead to the current one."""


def renaming(
    names: Mapping[str, str], entity_type: str, before: int | None = None
) -> Callable[[Iterable[Written]], Iterator[Written]]:
    """A reader of one entity's changes under other names.

    Args:
        names: Old name -> new name.
        entity_type: The type that they are about.
        before: Only images written before the change with this id.
    """

    def renamed(state: State, early: Any) -> State:  # noqa: ANN401 - whatever marks the stage
        found: State = {}
        for name, value in state.items():
            new = name
            while early and new in names:
                new = names[new]
                if before is not None:
                    break
            if new in found and found[new] != value:
                raise BothNames(new)
            if new not in found or new == name:
                found[new] = value
        return found

    def read(changes: Iterable[Written]) -> Iterator[Written]:
        return _read(changes, entity_type, lambda row, _: before is None or row["id"] < before, renamed)

    return read


def upcasting(
    steps: Mapping[int, Callable[[State], State]],
    entity_type: str,
    current: int,
    version_of: Callable[[Mapping[str, Any], State], Any],
) -> Callable[[Iterable[Written]], Iterator[Written]]:
    """A reader of one entity's changes in the current version.

    Args:
        steps: version -> what makes a document of the next version.
        entity_type: The type that they are about.
        current: The version to read.
        version_of: The version that a row, or one of its images, says.
    """

    def upcast(state: State, version: Any) -> State:  # noqa: ANN401 - whatever marks the stage
        while version != current:
            if version not in steps:
                raise NoPath(version)
            state = steps[version](state)
            version += 1
        return state

    def read(changes: Iterable[Written]) -> Iterator[Written]:
        return _read(changes, entity_type, version_of, upcast)

    return read


def by_document(function: Callable[[Document], Document]) -> Callable[[State], State]:
    """A step on states from a function of one decoded document."""

    def step(state: State) -> State:
        made = function({name: value.decoded for name, value in state.items()})
        return {name: _exact(value, state.get(name)) for name, value in made.items()}

    return step


def _exact(value: Any, old: Exact | None) -> Exact:  # noqa: ANN401 - a JSON value is anything
    """The value with its text: the recorded one where the field's value is still the same."""
    same = old is not None and type(old.decoded) is type(value) and old.decoded == value
    return old if old is not None and same else Exact(json_text(value), canonical(value))


def _read(
    changes: Iterable[Written],
    entity_type: str,
    stage_of: Callable[[Mapping[str, Any], State], Any],
    made: Callable[[State, Any], State],
) -> Iterator[Written]:
    """Each change with both images made of those of their stages.

    A before image is of the stage of the change that left it, if it shows what that change left.
    """
    state: Known = UNKNOWN
    left: Any = None
    for change in changes:
        if change.row["entity_type"] != entity_type:
            yield change
            continue
        before = resolved(change.before, state)
        after = change.leaves(state)
        new_left = None
        if isinstance(before, dict):
            shown = left if before == state else stage_of(change.row, before)
            change = replace(change, before=made(before, shown))  # noqa: PLW2901 - the same change, read
        if isinstance(after, dict):
            new_left = stage_of(change.row, after)
            change = replace(change, after=made(after, new_left))  # noqa: PLW2901 - the same change, read
        state, left = after, new_left
        yield change

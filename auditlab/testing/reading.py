"""Renames and upcasters, worked out change by change in plain Python: what a reading of a log has to show."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from auditlab.testing.equality import Exact, State, canonical
from auditlab.testing.logs import json_text
from auditlab.testing.repair import UNKNOWN, Known, Written, resolved

__all__ = ["BothNames", "NoPath", "Reading", "by_document", "one_after_another", "renaming", "upcasting"]

Document = dict[str, Any]


class BothNames(Exception):
    """An image has a field under two of its names, with different values."""


class NoPath(Exception):
    """An image is of a version from which no steps lead to the current one."""


Reader = Callable[[str, str, Written], Written]
Reading = Callable[[], Reader]


def renaming(names: Mapping[str, str], entity_type: str, before: int | None = None) -> Reading:
    """A reading under other names.

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

    return lambda: _Stages(entity_type, lambda row, _: before is None or row["id"] < before, renamed).read


def upcasting(
    steps: Mapping[int, Callable[[State], State]],
    entity_type: str,
    current: int,
    version_of: Callable[[Mapping[str, Any], State], Any],
) -> Reading:
    """A reading in the current version.

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

    return lambda: _Stages(entity_type, version_of, upcast).read


def one_after_another(*readings: Reading) -> Reading:
    """A reading of what another reading gives."""

    def started() -> Reader:
        readers = [reading() for reading in readings]

        def read(entity_type: str, entity_id: str, change: Written) -> Written:
            for reader in readers:
                change = reader(entity_type, entity_id, change)
            return change

        return read

    return started


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


class _Stages:
    """Reads each image by its stage.

    A before image is of the stage of the change that left it, if it shows what that change left; a row whose key was
    changed was left by the last change under its old key.
    """

    def __init__(
        self,
        entity_type: str,
        stage_of: Callable[[Mapping[str, Any], State], Any],
        made: Callable[[State, Any], State],
    ) -> None:
        self._entity_type, self._stage_of, self._made = entity_type, stage_of, made
        self._left: dict[str, tuple[Known, Any]] = {}
        self._passed_on: dict[Any, tuple[Known, Any]] = {}

    def read(self, entity_type: str, entity_id: str, change: Written) -> Written:
        """The change with its images read."""
        if entity_type != self._entity_type:
            return change
        comes = change.link is not None and not change.ends
        own = self._left.get(entity_id, (UNKNOWN, None))
        state, stage = self._passed_on.get(change.link, (UNKNOWN, None)) if comes else own
        image = change.goes_on_from if comes else change.before
        before = resolved(image, state)
        after = resolved(change.after, before, state)
        if isinstance(before, dict):
            shown = stage if before == state else self._stage_of(change.row, before)
            told = self._made(before, shown)
            change = replace(change, goes_on_from=told) if comes else replace(change, before=told)
        if change.told is not None:
            change = replace(change, told=self._made(change.told, self._stage_of(change.row, change.told)))
        if change.ends:
            self._passed_on[change.link] = own
        self._left[entity_id] = after, None
        if isinstance(after, dict):
            left = self._stage_of(change.row, after)
            self._left[entity_id] = after, left
            change = replace(change, after=self._made(after, left))
        return change

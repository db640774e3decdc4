"""Put the changes of one entity inside one transaction in the order in which their images link.

A trigger that updates its own row again logs the inner change before the outer one, so ids can run against the truth.
Each change leads from its before image to its after image; the order is sound where exactly one walk takes every
change once. Where several walks do, all of them end in the same state if the state before the group is known: the one
nearest to the ids is taken, and the group is reported as ambiguous. Where none does, the order by id stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from auditlab.documents import raw_fields
from auditlab.placeholders import UNAVAILABLE
from auditlab.values import canonical

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["ABSENT", "State", "Step", "canonical_document", "link", "links_otherwise"]

State = tuple[tuple[str, str], ...] | None
"""An entity's fields in canonical form, by name; None where nothing is known of it."""

ABSENT: State = (("absent", ""),)
"""The state of an entity that is not there, before an INSERT and after a DELETE: no field's value is empty."""

MOST_TRIALS = 200_000
"""Comparisons of a search after which a group counts as ambiguous."""


class Step(NamedTuple):
    """One change: the states before and after it; None where the image was not recorded."""

    before: State
    after: State


def canonical_document(text: str | None, kinds: Mapping[str, str]) -> State:
    """A snapshot as its fields in canonical form: equal documents, equal states. None stays None."""
    if text is None:
        return None
    try:
        fields = raw_fields(text)
    except ValueError:
        return (("", f"?{text}"),)
    values = ((name, raw if raw == UNAVAILABLE else canonical(raw, kinds.get(name))) for name, raw in fields.items())
    return tuple(sorted(values))


def link(steps: Sequence[Step], start: State) -> tuple[list[int], bool, State]:
    """The order of the steps as indices into ``steps`` (which come by id), whether it is certain, and where it ends.

    Args:
        steps: The group's changes by id.
        start: The entity's state before the group, None where it is not known.
    """
    by_id = list(range(len(steps)))
    unrecorded = any(step.before is None or step.after is None for step in steps)
    for anchor in (start, None) if start is not None else (None,):
        if (end := _end(steps, anchor)) is not None:
            return by_id, not unrecorded, end
        walks = _walks(steps, anchor)
        order = next(walks, None)
        if order is not None:
            alone = next(walks, None) is None
            order = order if alone or anchor is not None else by_id
            return order, alone and not unrecorded, _end([steps[place] for place in order], anchor)
    return by_id, False, _leaves(steps[-1], None)


def links_otherwise(steps: Sequence[Step]) -> bool:
    """Whether the steps link in more than one order, where nothing is known of the state before them."""
    walks = _walks(steps, None)
    return next(walks, None) is not None and next(walks, None) is not None


def _end(steps: Sequence[Step], state: State) -> State:
    """The state after the steps in this order; None where they do not link."""
    for step in steps:
        if not _follows(step, state):
            return None
        state = _leaves(step, state)
    return state


def _resolved(image: State, *earlier: State) -> State:
    """The image with each value that the source did not send taken from the first earlier state that has it."""
    if image is None or all(value != UNAVAILABLE for _, value in image):
        return image
    known: dict[str, str] = {}
    for state in reversed(earlier):
        known.update((name, value) for name, value in state or () if value != UNAVAILABLE)
    return tuple((name, known.get(name, value) if value == UNAVAILABLE else value) for name, value in image)


def _follows(step: Step, state: State) -> bool:
    """Whether the step can come next in that state; what is not known hinders nothing."""
    if state is None or step.before is None:
        return True
    return _resolved(step.before, state) == _resolved(state, step.before)


def _leaves(step: Step, state: State) -> State:
    return _resolved(step.after, _resolved(step.before, state), state)


def _walks(steps: Sequence[Step], anchor: State) -> Iterator[list[int]]:
    """Orders that link, the one nearest to the ids first; of equal steps the lower id comes first.

    A search that takes too long yields what it found last, or the ids' order, twice: ambiguous.
    """
    trials = 0
    path: list[int] = []
    states = [anchor]
    choices = [iter(_next_steps(steps, path, anchor))]
    found = list(range(len(steps)))
    while choices:
        if trials > MOST_TRIALS:
            yield from (found, found)
            return
        place = next(choices[-1], None)
        if place is None:
            choices.pop()
            states.pop()
            if path:
                path.pop()
            continue
        path.append(place)
        if len(path) == len(steps):
            found = list(path)
            yield found
            path.pop()
            continue
        trials += len(steps) - len(path)
        states.append(_leaves(steps[place], states[-1]))
        choices.append(iter(_next_steps(steps, path, states[-1])))


def _next_steps(steps: Sequence[Step], path: Sequence[int], state: State) -> list[int]:
    """The steps not yet taken that can come next, one of each kind of equal ones."""
    taken = set(path)
    kinds: dict[Step, int] = {}
    for place, step in enumerate(steps):
        if place not in taken and _follows(step, state):
            kinds.setdefault(Step(_resolved(step.before, state), _leaves(step, state)), place)
    return list(kinds.values())

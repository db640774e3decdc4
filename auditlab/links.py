"""Put the changes of one entity inside one transaction in the order in which their images link.

A trigger that updates its own row again logs the inner change before the outer one, so ids can run against the truth.
Each change is a step from its before image to its after image; the order is sound where exactly one walk takes every
step once. Where several walks do, or none, the order by id stays and the group is reported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from auditlab.documents import raw_fields
from auditlab.values import canonical

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["ABSENT", "Step", "canonical_document", "link"]

ABSENT = "absent"
"""The state of an entity that is not there: before an INSERT, after a DELETE."""

MOST_TRIALS = 20_000
"""Steps of the search after which a group counts as ambiguous."""


class Step(NamedTuple):
    """One change: the states before and after it, as canonical texts; None where the image was not recorded."""

    before: str | None
    after: str | None


def canonical_document(text: str | None, kinds: Mapping[str, str]) -> str | None:
    """A snapshot as one canonical text: equal documents, equal texts. None stays None."""
    if text is None:
        return None
    try:
        fields = raw_fields(text)
    except ValueError:
        return f"?{text}"
    return repr(sorted((name, canonical(raw, kinds.get(name))) for name, raw in fields.items()))


def link(steps: Sequence[Step], start: str | None) -> tuple[list[int], bool]:
    """The order of the steps as indices into ``steps`` (which come by id), and whether it is certain.

    Args:
        steps: The group's changes by id.
        start: The entity's state before the group, None where it is not known.
    """
    by_id = list(range(len(steps)))
    if any(step.before is None or step.after is None for step in steps):
        return by_id, False
    for anchor in (start, None) if start is not None else (None,):
        if _links(steps, anchor):
            return by_id, True
        walks = _walks(steps, anchor)
        first = next(walks, None)
        if first is None:
            continue
        if next(walks, None) is None:
            return first, True
        return by_id, False
    return by_id, False


def _links(steps: Sequence[Step], anchor: str | None) -> bool:
    state = anchor if anchor is not None else steps[0].before
    for step in steps:
        if step.before != state:
            return False
        state = step.after
    return True


def _walks(steps: Sequence[Step], anchor: str | None) -> Iterator[list[int]]:
    """Walks that take every step once, two at the most; equal steps are taken in the order of their ids.

    A search that takes too long yields the order by id twice: ambiguous.
    """
    waiting: dict[str | None, dict[str | None, list[int]]] = {}
    for number, step in enumerate(steps):
        waiting.setdefault(step.before, {}).setdefault(step.after, []).append(number)
    trials = 0
    for origin in [anchor] if anchor is not None else _origins(steps):
        path: list[int] = []
        stack = [iter(list(waiting.get(origin, {})))]
        states = [origin]
        while stack:
            trials += 1
            if trials > MOST_TRIALS:
                yield list(range(len(steps)))
                yield list(range(len(steps)))
                return
            after = next(stack[-1], None)
            if after is None:
                stack.pop()
                state = states.pop()
                if path:
                    waiting[states[-1]][state].insert(0, path.pop())
                continue
            if not waiting[states[-1]][after]:
                continue
            path.append(waiting[states[-1]][after].pop(0))
            if len(path) == len(steps):
                yield list(path)
                waiting[states[-1]][after].insert(0, path.pop())
                continue
            stack.append(iter(list(waiting.get(after, {}))))
            states.append(after)


def _origins(steps: Sequence[Step]) -> list[str | None]:
    return list(dict.fromkeys(step.before for step in steps))

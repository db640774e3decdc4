"""The order of the changes of one transaction on one entity, found by trying: plain and slow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from auditlab.testing.equality import State, read_document

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ABSENT", "UNKNOWN", "Absent", "Known", "Unknown", "Written", "repaired"]


@dataclass(frozen=True, slots=True)
class Absent:
    """The entity is known not to be there: that is a state, too."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nothing is known of the entity: the log has not yet said anything about it."""


ABSENT, UNKNOWN = Absent(), Unknown()

Known = State | Absent | Unknown
Signature = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Written:
    """One row of a log with its images read.

    Args:
        row: The row's columns.
        before: What the row says was there before; UNKNOWN where it does not say.
        after: What the row says is there afterwards.
        link: The change of a key that this is one half of.
        ends: Whether it is the half that ends the old entity.
        goes_on_from: Of the other half, what the row says was there before, under the old key.
        derived: Whether ``after`` is not what the row says, but follows from others.
        told: Of a row that does not say what is there afterwards, the fields that it says it set.
    """

    row: dict[str, Any]
    before: Known
    after: Known
    link: Any = None
    ends: bool = False
    goes_on_from: Known = UNKNOWN
    derived: bool = False
    told: State | None = None

    @classmethod
    def of(cls, row: dict[str, Any]) -> Written:
        """Read one row's images."""
        before, after = (None if row[side] is None else read_document(row[side]) for side in IMAGES)
        operation = row["operation"]
        return cls(
            row,
            before=ABSENT if operation == "INSERT" else UNKNOWN if before is None else before,
            after=ABSENT if operation in ENDS else UNKNOWN if after is None else after,
        )

    def follows(self, state: Known) -> bool:
        """Whether this change can be the next one in that state; what is not known hinders nothing."""
        if isinstance(state, Unknown) or isinstance(self.before, Unknown):
            return True
        if isinstance(state, dict) and isinstance(self.before, dict):
            return resolved(self.before, state) == resolved(state, self.before)
        return isinstance(state, Absent) and isinstance(self.before, Absent)

    def leaves(self, state: Known) -> Known:
        """The state after this change, where it was ``state``: unavailable values are carried forward."""
        return resolved(self.after, resolved(self.before, state), state)


IMAGES = ("before_snapshot", "after_snapshot")
ENDS = ("DELETE", "TRUNCATE")


def resolved(image: Known, *earlier: Known) -> Known:
    """The image with each unavailable value taken from the first earlier state that has it."""
    if not isinstance(image, dict):
        return image
    fields = dict(image)
    for name, value in image.items():
        if value.unavailable:
            held = (state[name] for state in earlier if isinstance(state, dict) and name in state)
            fields[name] = next((other for other in held if not other.unavailable), value)
    return fields


def repaired(group: Sequence[Written], state: Known) -> list[Written]:
    """The group (by id) in the order in which it was done: each before image is the previous after image.

    The id order is kept where it links up. Otherwise it is the order that does, starting from ``state``, of several
    the one whose ids come first: they all end in the same state. Where none does, it is the one that links up from any
    start; where that is not one either, the id order.
    """
    by_id = list(group)
    for start in (state, UNKNOWN):
        if _links(by_id, start):
            return by_id
        orders: dict[Signature, list[Written]] = {}
        _collect(by_id, start, [], orders)
        if orders:
            sure = len(orders) == 1 or not isinstance(start, Unknown)
            return next(iter(orders.values())) if sure else by_id
    return by_id


def _links(order: Sequence[Written], state: Known) -> bool:
    for change in order:
        if not change.follows(state):
            return False
        state = change.leaves(state)
    return True


def _collect(
    left: list[Written], state: Known, taken: list[tuple[Written, Signature]], orders: dict[Signature, list[Written]]
) -> None:
    """Gather the orders that link up, until two are found that differ in more than which of two equal rows is first."""
    if len(orders) > 1:
        return
    if not left:
        orders.setdefault(tuple(signature for _, signature in taken), [change for change, _ in taken])
        return
    tried = set()
    for position, change in enumerate(left):
        after = change.leaves(state)
        signature = (change.row["operation"], _frozen(resolved(change.before, state)), _frozen(after))
        if signature in tried or not change.follows(state):
            continue
        tried.add(signature)
        _collect(left[:position] + left[position + 1 :], after, [*taken, (change, signature)], orders)


def _frozen(state: Known) -> Any:  # noqa: ANN401 - a hashable stand-in
    return frozenset(state.items()) if isinstance(state, dict) else state

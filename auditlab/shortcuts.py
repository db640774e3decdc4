"""Shortcuts: questions to a log that was not read yet, answered from what was kept of it, exactly as the log would."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from auditlab.buckets.rowwise import is_rowwise
from auditlab.clock import instant
from auditlab.engines import PolarsEngine
from auditlab.errors import AuditlabError
from auditlab.marks import Mark, TransactionSnapshot, named

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from auditlab.buckets.part import Part
    from auditlab.clock import Moment
    from auditlab.recorded import Recorded
    from auditlab.schema import LogFacts
    from auditlab.selection import Selected

__all__ = ["Question", "Shortcuts", "alone", "onwards"]


@dataclass(frozen=True, slots=True)
class Question:
    """As of what a question is: a time, a change id or a transaction snapshot; the latest where all are None.

    ``states`` says whether the states alone are asked for, and not the changes that led to them.
    """

    at: datetime | None = None
    id: int | None = None
    seen: TransactionSnapshot | None = None
    states: bool = True


class Shortcuts(Protocol):
    """What answers in place of a log; None where the log itself must be asked."""

    def of_entity(self, facts: LogFacts, entity_type: str, entity_id: str) -> Recorded | None:
        """One entity, with all that its answers take, as a part of the log."""

    def known(self, facts: LogFacts, entity_type: str, candidates: Iterable[str]) -> list[str] | None:
        """The first of the candidates that is, or once was, the id of an entity of the type, if there is one."""

    def onwards(self, facts: LogFacts, entity_types: tuple[str, ...], question: Question) -> Part | None:
        """Some types, with all that their states take as of what the question is about, as a part of the log."""


def alone(selected: Selected) -> Selected | None:
    """The selection of one entity, of a log that is that entity alone; None where the log itself must be asked."""
    recorded = selected.recorded
    if selected.entity_id is None or recorded.unread is None or not all(map(is_rowwise, selected.picks)):
        return None
    return _of(selected, recorded.unread.of_entity(recorded.facts, selected.entity_types[0], selected.entity_id))


def onwards(
    selected: Selected,
    *,
    at: Moment | None = None,
    id: int | None = None,  # noqa: A002 - the column's own name
    mark: Mark | str | None = None,
    snapshot: str | None = None,
    states: bool = True,
) -> Selected | None:
    """The selection, of a log that has the states as of a question; None where the log itself must be asked.

    Args:
        selected: The log, or a part of it that keeps whole histories.
        at: As in ``as_of``, like the others; one at the most.
        id: See ``at``.
        mark: See ``at``.
        snapshot: See ``at``.
        states: Whether the states alone are asked for, and not the changes that led to them.
    """
    recorded = selected.recorded
    if recorded.unread is None or selected.picks:
        return None
    try:
        seen = None if snapshot is None else TransactionSnapshot.of(snapshot)
        if mark is not None:
            seen = (named(recorded.facts.marks, mark) if isinstance(mark, str) else mark).sees
        question = Question(None if at is None else instant(at, recorded.facts.zone), id, seen, states)
    except (AuditlabError, AttributeError):
        return None  # the verb says what is wrong with its options
    part = recorded.unread.onwards(recorded.facts, selected.entity_types, question)
    found = _of(selected, part)
    return None if found is None or part is None else replace(found, beside=part.beside)


def _of(selected: Selected, part: Recorded | None) -> Selected | None:
    if part is None:
        return None
    part.spans_its_ids, part.larger = selected.recorded.spans_its_ids, selected.in_larger().recorded
    return replace(selected, recorded=part, engine=PolarsEngine())  # its rows are in memory

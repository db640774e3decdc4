"""What a report asks of a log, and which changes it is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from auditlab.clock import instant
from auditlab.widgets.code import log_code

if TYPE_CHECKING:
    from datetime import datetime

    from auditlab.changelog import ChangeLog
    from auditlab.clock import Moment
    from auditlab.widgets.hidden import Hidden

__all__ = ["Question"]

_FIRST, _LAST = "0001-01-01T00:00:00+00:00", "9999-12-31T23:59:59+00:00"


@dataclass(frozen=True, slots=True)
class Question:
    """What a report asks.

    Args:
        log: The log, whole.
        start: Changes from this time on; None from the first.
        end: Changes before this time; None to the last.
        by: Changes by this user alone; None by all.
        hidden: Fields that are not shown.
        rows: The most rows of a table.
        documents: Whether evidence looks into every document.
    """

    log: ChangeLog[Any]
    start: Moment | None
    end: Moment | None
    by: str | None
    hidden: Hidden
    rows: int
    documents: bool

    @property
    def span(self) -> tuple[datetime | None, datetime | None]:
        """Both times as instants in UTC."""
        zone = self.log.facts.zone
        start, end = (None if one is None else instant(one, zone, bound=True) for one in (self.start, self.end))
        return start, end

    def picked(self) -> ChangeLog[Any]:
        """The changes that are asked about."""
        log = self.log if self.by is None else self.log.by(self.by)
        start, end = self.span
        return log if start is None and end is None else log.between(start or _FIRST, end or _LAST)

    @property
    def code(self) -> str:
        """The code of the log."""
        return log_code(self.log.selected)

    @property
    def picked_code(self) -> str:
        """The code that picks them."""
        return log_code(self.picked().selected)

    @property
    def words(self) -> list[str]:
        """In words which changes are asked about, and what is hidden."""
        told = [] if self.by is None else [f"Changes by {self.by} alone."]
        start, end = self.span
        if start is not None:
            told.append(f"Changes from {start:%Y-%m-%d %H:%M:%S} UTC on.")
        if end is not None:
            told.append(f"Changes before {end:%Y-%m-%d %H:%M:%S} UTC.")
        if told:
            told.append("Evidence, histories and blame are of the whole log.")
        if self.hidden.any:
            told += self.hidden.words
            told.append(
                "Entity ids and users are no fields: they stand as recorded. The digests are of everything that was "
                "recorded: with them, somebody can check a guess of a hidden value."
            )
        return told

"""What a mark of a picture stands for: rows of the log, with the code that gives them again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from auditlab.changelog import ChangeLog

__all__ = ["Pick", "collected"]

Step = tuple[str, "Callable[[Any], Any]"]

_DONE = 'pl.col("operation") != "SNAPSHOT"'


def collected(frame: pl.DataFrame | pl.LazyFrame) -> pl.DataFrame:
    """The rows of a verb's answer, whether it is lazy or not."""
    return frame.collect() if isinstance(frame, pl.LazyFrame) else frame


@dataclass(frozen=True, slots=True)
class Pick:
    """Some changes of a log: selectors, step by step, each as code and as what it does.

    Args:
        said: The selection as plain Python values.
        steps: What narrows the log.
        answer: What is asked of the narrowed log; its changes where nothing else is.
    """

    said: dict[str, object] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    answer: Step = ("changes()", lambda log: log.changes())

    def code(self, log: str) -> str:
        """The Python code that gives the rows; ``log`` is the code of the log that is looked at."""
        return ".".join([log, *(text for text, _ in self.steps), self.answer[0]])

    def rows(self, log: ChangeLog[Any]) -> pl.DataFrame:
        """The rows."""
        narrowed: Any = log
        for _, narrow in self.steps:
            narrowed = narrow(narrowed)
        return collected(self.answer[1](narrowed))

    def _and(self, said: dict[str, object], text: str, narrow: Callable[[Any], Any]) -> Pick:
        return Pick({**self.said, **said}, (*self.steps, (text, narrow)), self.answer)

    def _answered(self, said: dict[str, object], text: str, ask: Callable[[Any], Any]) -> Pick:
        return Pick({**self.said, **said}, self.steps, (text, ask))

    def done(self) -> Pick:
        """Those that somebody made: all but what was only read (SNAPSHOT)."""
        return self._and({}, f"where({_DONE})", lambda log: log.where(pl.col("operation") != "SNAPSHOT"))

    def operation(self, name: str) -> Pick:
        """Those of one operation."""
        return self._and({"operation": name}, f"where(operation={name!r})", lambda log: log.where(operation=name))

    def user(self, name: str | None) -> Pick:
        """Those of one user; None: of no user."""
        return self._and({"changed_by": name}, f"by({name!r})", lambda log: log.by(name))

    def other_users(self, named: Sequence[str]) -> Pick:
        """Those of every user but these."""
        return self._and(
            {"changed_by_none_of": list(named)},
            f'where(~pl.col("changed_by").is_in({list(named)!r}))',
            lambda log: log.where(~pl.col("changed_by").is_in(list(named))),
        )

    def between(self, start: datetime, end: datetime) -> Pick:
        """Those from ``start`` up to, not including, ``end``."""
        first, last = start.isoformat(), end.isoformat()
        return self._and(
            {"start": start, "end": end}, f"between({first!r}, {last!r})", lambda log: log.between(start, end)
        )

    def hour(self, weekday: int, hour: int, *, clock: str, zone: str) -> Pick:
        """Those in one hour of one weekday (1 is Monday) of a time zone."""
        local = pl.col(clock).dt.convert_time_zone(zone)
        text = f"pl.col({clock!r}).dt.convert_time_zone({zone!r}).dt"
        return self._and(
            {"weekday": weekday, "hour": hour},
            f"where({text}.weekday() == {weekday}, {text}.hour() == {hour})",
            lambda log: log.where(local.dt.weekday() == weekday, local.dt.hour() == hour),
        )

    def entity(self, entity_type: str, entity_id: str) -> Pick:
        """Those of one entity."""
        return self._and(
            {"entity_type": entity_type, "entity_id": entity_id},
            f"of({entity_type!r}).where(entity_id={entity_id!r})",
            lambda log: log.of(entity_type).where(entity_id=entity_id),
        )

    def edits(self, entity_type: str, name: str) -> Pick:
        """What UPDATEs did to one field: rows of ``diffs()``."""
        narrow: Step = (
            f"of({entity_type!r}).where(operation='UPDATE')",
            lambda log: log.of(entity_type).where(operation="UPDATE"),
        )
        ask: Step = (
            f'diffs().filter(pl.col("field") == {name!r})',
            lambda log: log.diffs().filter(pl.col("field") == name),
        )
        said = {"entity_type": entity_type, "operation": "UPDATE", "field": name}
        return Pick({**self.said, **said}, (*self.steps, narrow), ask)

    def size(self, least: int, most: int | None) -> Pick:
        """Those in transactions of so many changes."""
        count = pl.len().over("transaction_id")
        inside = count >= least if most is None else count.is_between(least, most)
        shown = f">= {least}" if most is None else f".is_between({least}, {most})"
        text = f'pl.len().over("transaction_id"){" " if most is None else ""}{shown}'
        return self._answered(
            {"at_least": least, "at_most": most},
            f'changes().filter({_DONE}, pl.col("transaction_id").is_not_null()).filter({text})',
            lambda log: (
                log.changes()
                .filter(pl.col("operation") != "SNAPSHOT", pl.col("transaction_id").is_not_null())
                .filter(inside)
            ),
        )

    def finding(self, kind: str, *, documents: bool) -> Pick:
        """The rows of a kind of evidence."""
        option = "" if documents else "documents=False"
        return self._answered(
            {"finding": kind},
            f"evidence({option}).rows({kind!r})",
            lambda log: log.evidence(documents=documents).rows(kind),
        )

"""The overview of a log: its activity and its evidence as pictures, each mark with the rows that it stands for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import polars as pl

from auditlab.analytics.activity import SIZES, period_ends
from auditlab.analytics.findings import FINDINGS
from auditlab.errors import IncompleteLog
from auditlab.widgets.hidden import NOTHING
from auditlab.widgets.palette import OPERATIONS
from auditlab.widgets.picks import Pick
from auditlab.widgets.pictures import BLUE, Bar, Cell, Lane, Picture, Span, bars, lanes, week

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from auditlab.analytics.activity import Activity
    from auditlab.analytics.evidence import Evidence
    from auditlab.changelog import ChangeLog
    from auditlab.widgets.hidden import Hidden

__all__ = ["OTHERS", "Mark", "Overview", "overview"]

OTHERS = "\x00others"
"""The lane of the users that have none of their own; no user is called so, for PostgreSQL has no such text."""

GREY = "#777777"
_SEVERITIES = {"error": "#D55E00", "warning": BLUE, "hint": GREY}
_SIGNS = {"INSERT": "+ ", "UPDATE": "~ ", "DELETE": "- "}
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

_PERIODS = {
    "second": "%a %d %b %Y, %H:%M:%S",
    "minute": "%a %d %b %Y, %H:%M",
    "day": "%a %d %b %Y",
    "week": "the week of %a %d %b %Y",
    "month": "%B %Y",
    "year": "%Y",
}
"""How a bar's span of time is said; an hour has both its ends."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One bar or cell: what it says, and what it stands for.

    Args:
        picture: The title of its picture.
        words: What it says.
        changes: How many changes (of a finding: how many times it was found).
        transactions: How many transactions; None of a finding.
        family: ``operation``, ``user``, ``hour``, ``entity``, ``field``, ``size`` or ``finding``.
        key: What tells it from the others of its family.
        pick: The rows.
    """

    picture: str
    words: str
    changes: int
    transactions: int | None
    family: str
    key: tuple[Any, ...]
    pick: Pick


@dataclass(frozen=True, slots=True)
class Overview:
    """The pictures of a log and their marks, by the names that the marks have in the pictures.

    Args:
        activity: What happened, counted.
        evidence: The findings; None where they cannot be told of what is selected.
        users: The users that have a lane of their own.
        pictures: The pictures.
        marks: The marks by name.
        why: Why there is no evidence; else empty.
    """

    activity: Activity
    evidence: Evidence | None
    users: tuple[str | None, ...]
    pictures: tuple[Picture, ...]
    marks: dict[str, Mark]
    why: str


def overview(
    log: ChangeLog[Any], *, period: str | None, top: int, documents: bool, hiding: Hidden = NOTHING
) -> Overview:
    """The pictures of a log, and the rows behind each mark of them.

    Args:
        log: The log, or any part of it.
        period: hour, day, week, month or year; None for what suits the log's length.
        top: How many entities, fields and users have a bar or a lane of their own.
        documents: Whether evidence looks into every document.
        hiding: Fields that have no bar.
    """
    activity = log.activity(period=period)
    shown = ~pl.col("field").is_in(list(hiding.omitted))
    activity = replace(activity, by_field=activity.by_field.filter(shown))
    evidence, why = None, ""
    try:
        evidence = log.evidence(documents=documents)
    except IncompleteLog as exc:
        why = str(exc)
    marks: dict[str, Mark] = {}
    drawing = _Drawing(log.facts.zone, log.facts.clock, activity, top, marks)
    by_operation = drawing.by_operation()
    users, by_user = drawing.by_user()
    pictures = [by_operation, by_user, drawing.by_hour(), drawing.by_size()]
    pictures += [drawing.by_entity(), drawing.by_field()]
    if evidence is not None:
        pictures.append(drawing.findings(evidence, documents=documents))
    return Overview(activity, evidence, users, tuple(pictures), marks, why)


@dataclass(frozen=True, slots=True)
class _Drawing:
    """The pictures of one log, drawn one after the other; their marks gather in ``marks``."""

    zone: str
    clock: str
    activity: Activity
    top: int
    marks: dict[str, Mark]

    def _named(self, mark: Mark) -> str:
        name = f"m{len(self.marks)}"
        self.marks[name] = mark
        return name

    def by_operation(self) -> Picture:
        title = f"Changes by {self.activity.period} and operation"
        rows = self.activity.by_operation
        present = [name for name in OPERATIONS if (rows["operation"] == name).any()]
        found = []
        for name in present:
            own = rows.filter(pl.col("operation") == name)
            spans = list(self._spans(title, own, "operation", name, Pick().operation(name), name))
            found.append(Lane(f"{_SIGNS.get(name, 'x ')}{name}", OPERATIONS[name].colour, spans))
        return lanes(title, found, self.zone)

    def by_user(self) -> tuple[tuple[str | None, ...], Picture]:
        title = f"Changes by {self.activity.period} and user"
        rows = self.activity.by_user
        sums = rows.group_by("changed_by").agg(pl.sum("changes"))
        named = sums.drop_nulls().sort("changes", "changed_by", descending=[True, False])["changed_by"].to_list()
        own: list[str | None] = named[: self.top]
        if len(named) == self.top + 1:
            own = list(named)  # a lane of one other user might as well have its name
        others = [name for name in named if name not in own]
        found = []
        for name in [*own, *([None] if sums["changed_by"].has_nulls() else [])]:
            part = rows.filter(pl.col("changed_by").eq_missing(pl.lit(name, dtype=pl.String)))
            words = "no user" if name is None else name
            colour = GREY if name is None else BLUE
            pick = Pick().user(name).done()
            found.append(Lane(words, colour, list(self._spans(title, part, "user", name, pick, words))))
        if others:
            part = rows.filter(pl.col("changed_by").is_in(others)).group_by("period").agg(pl.sum("changes"))
            part = part.sort("period").with_columns(transactions=pl.lit(None, dtype=pl.Int64))
            words, pick = f"{len(others):,} others", Pick().other_users([name for name in own if name]).done()
            spans = list(self._spans(title, part, "user", OTHERS, pick, words))
            found.append(Lane(words, GREY, spans, several=True))
        return tuple(own), lanes(title, found, self.zone)

    def _spans(
        self, title: str, rows: pl.DataFrame, family: str, key: str | None, pick: Pick, words: str
    ) -> Iterator[Span]:
        ends = period_ends(rows["period"], self.activity.period)
        for (start, changes, transactions), end in zip(
            rows.select("period", "changes", "transactions").iter_rows(), ends, strict=True
        ):
            said = f"{words}, {self._when(start, end)}: {_counted(changes, transactions)}"
            mark = Mark(title, said, changes, transactions, family, (start, key), pick.between(start, end))
            yield Span(start, end, changes, self._named(mark), said)

    def _when(self, start: datetime, end: datetime) -> str:
        if self.activity.period == "hour":
            return f"{start:%a %d %b %Y, %H:%M} to {end:%H:%M}"
        return f"{start:{_PERIODS[self.activity.period]}}"

    def by_hour(self) -> Picture:
        title = f"Changes by weekday and hour ({self.zone})"
        cells = []
        for weekday, hour, changes, transactions in self.activity.by_hour.iter_rows():
            words = f"{_WEEKDAYS[weekday - 1]}s, {hour:02}:00 to {hour + 1:02}:00: {_counted(changes, transactions)}"
            pick = Pick().done().hour(weekday, hour, clock=self.clock, zone=self.zone)
            mark = Mark(title, words, changes, transactions, "hour", (weekday, hour), pick)
            cells.append(Cell(weekday, hour, changes, self._named(mark), words))
        return week(title, cells)

    def by_size(self) -> Picture:
        title = "Transactions by the number of their changes"
        found = []
        for least, largest, transactions, changes in self.activity.by_size.iter_rows():
            most = SIZES[least]
            label = f"{least:,} changes" if least > 1 else "1 change"
            if most != least:
                label = f"{least:,} to {most:,} changes" if most else f"{least:,} changes and more"
            words = f"Transactions of {label}: {_counted(changes, transactions)}; the largest has {largest:,}"
            mark = Mark(title, words, changes, transactions, "size", (least,), Pick().size(least, most))
            note = f"{changes:,} in all" if least > 1 else ""
            found.append(Bar(label, transactions, self._named(mark), words, note=note))
        return bars(title, found)

    def by_entity(self) -> Picture:
        rows = self.activity.by_entity
        title = f"Most changed entities{_of(rows, self.top)}"
        found = []
        for kind, entity, changes, transactions in (
            rows.head(self.top).select("entity_type", "entity_id", "changes", "transactions").iter_rows()
        ):
            words = f"{kind} {entity}: {_counted(changes, transactions)}"
            pick = Pick().entity(kind, entity).done()
            mark = Mark(title, words, changes, transactions, "entity", (kind, entity), pick)
            found.append(Bar(entity, changes, self._named(mark), words, note=kind))
        return bars(title, found)

    def by_field(self) -> Picture:
        rows = self.activity.by_field
        title = f"Most changed fields, by updates{_of(rows, self.top)}"
        found = []
        for kind, name, changes, transactions, entities in rows.head(self.top).iter_rows():
            words = f"{name} of {kind}: {_counted(changes, transactions)}, {entities:,} entities"
            mark = Mark(title, words, changes, transactions, "field", (kind, name), Pick().edits(kind, name))
            found.append(Bar(name, changes, self._named(mark), words, note=kind))
        return bars(title, found)

    def findings(self, evidence: Evidence, *, documents: bool) -> Picture:
        depth = "" if documents else ", documents not looked into"
        title = f"Evidence: what was found about the log itself{depth}"
        found = []
        for kind, severity, count, meaning in evidence.findings.select(*FINDINGS).iter_rows():
            words = f"{severity}: {kind}, {count:,}. {meaning}"
            pick = Pick().finding(kind, documents=documents)
            mark = Mark(title, words, count, None, "finding", (kind,), pick)
            colour = _SEVERITIES[severity]
            found.append(Bar(f"{severity}: {kind}", count, self._named(mark), words, colour=colour))
        return bars(title, found)


def _counted(changes: int, transactions: int | None) -> str:
    told = f"{changes:,} change{'s' if changes != 1 else ''}"
    return told + (f" in {transactions:,} transaction{'s' if transactions != 1 else ''}" if transactions else "")


def _of(rows: pl.DataFrame, top: int) -> str:
    return f" ({top:,} of {rows.height:,})" if rows.height > top else ""

"""The dashboard: a log's activity and evidence as pictures; every bar and cell leads to the rows behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from auditlab.errors import BadOption
from auditlab.widgets.behind import behind
from auditlab.widgets.code import call, log_code
from auditlab.widgets.hidden import NOTHING, hidden
from auditlab.widgets.overview import overview
from auditlab.widgets.picks import Pick
from auditlab.widgets.pictures import sheet
from auditlab.widgets.tables import table
from auditlab.widgets.view import WidgetView

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditlab.changelog import ChangeLog
    from auditlab.widgets.hidden import Hidden
    from auditlab.widgets.overview import Overview

__all__ = ["Dashboard", "dashboard"]

FRAME = {
    "name": pl.String(),
    "picture": pl.String(),
    "words": pl.String(),
    "changes": pl.Int64(),
    "transactions": pl.Int64(),
    "code": pl.String(),
}
"""The columns of a dashboard's frame: one row a mark."""


def dashboard(
    log: ChangeLog[Any],
    *,
    period: str | None = None,
    top: int = 6,
    rows: int = 25,
    documents: bool = True,
    mask: Sequence[str] = (),
    omit: Sequence[str] = (),
) -> Dashboard:
    """What happened in a log, and what was found about it, as pictures.

    Changes over time by operation and by user, by weekday and hour of the log's zone, transactions by size, the most
    changed entities and fields, and the findings of evidence. A SNAPSHOT is nobody's change and is in no picture.

    Args:
        log: The log, or any part of it. Evidence is told of whole histories alone.
        period: second, minute, hour, day, week, month or year; without one, what suits the log's length.
        top: How many entities, fields and users are shown, the most changed and busiest first.
        rows: How many of the rows behind each mark the page holds; ``Dashboard.rows`` has all of them.
        documents: Whether evidence looks into every document.
        mask: Fields whose values the page does not show.
        omit: Fields that the page does not tell of.

    Raises:
        UnknownField: ``mask`` or ``omit`` names a field that the log does not have.
        BadOption: no such period, or a number that cannot be.
    """
    if top < 1 or rows < 1:
        raise BadOption(f"top and rows count from 1: {top} and {rows} cannot be.")
    hiding = hidden(log, mask=mask, omit=omit)
    shown = overview(log, period=period, top=top, documents=documents, hiding=hiding)
    options: dict[str, tuple[object, object]] = {
        "period": (period, None),
        "top": (top, 6),
        "rows": (rows, 25),
        "documents": (documents, True),
        "mask": (tuple(mask), ()),
        "omit": (tuple(omit), ()),
    }
    return Dashboard(log, shown, rows=rows, options=options, hiding=hiding)


class Dashboard(WidgetView):
    """A dashboard; :func:`dashboard` makes it.

    Args:
        log: What it is about.
        shown: Its pictures and their marks.
        rows: How many rows behind each mark the page holds.
        options: What it was made with, each with what it is otherwise.
        hiding: Fields that its page does not show; ``rows`` has them all the same.
    """

    scripts = ("pictures", "dashboard")
    styles = ("dashboard",)

    def __init__(
        self,
        log: ChangeLog[Any],
        shown: Overview,
        *,
        rows: int,
        options: dict[str, tuple[object, object]],
        hiding: Hidden = NOTHING,
    ) -> None:
        self._log = log
        self._shown = shown
        given = {name: value for name, (value, usual) in options.items() if value != usual}
        selected = log_code(log.selected)
        self._own_code = selected + call("dashboard", **given)
        self._codes = {name: mark.pick.code(selected) for name, mark in shown.marks.items()}
        summary = log.summary(users=0, recent=0)
        totals = summary.totals.row(0, named=True)
        facts = log.facts
        self._totals = {name: f"{totals[name]:,}" for name in ("changes", "transactions", "entities", "users")}
        self._notes = [
            f"{facts.source}; {facts.coverage}; by {facts.clock}, times are {facts.zone}",
            *([summary.not_counted] if summary.not_counted else []),
            *(["Findings are not shown here: " + shown.why] if shown.why else []),
            *hiding.words,
        ]
        data = {
            "totals": self._totals,
            "notes": self._notes,
            "code": self._own_code,
            "pictures": [
                {"title": one.title, "width": one.width, "height": one.height, "nodes": list(one.nodes)}
                for one in shown.pictures
            ],
            "marks": {name: {"words": mark.words, "code": self._codes[name]} for name, mark in shown.marks.items()},
            "behind": behind(log, shown, limit=rows, hiding=hiding),
        }
        types = log.entity_types
        about = ", ".join(types) if len(types) <= 3 else f"{len(types)} entity types"  # noqa: PLR2004 - what fits
        super().__init__(f"Audit summary of {about or 'an empty log'}", data, {"mark": ""})

    @property
    def frame(self) -> pl.DataFrame:
        """One row a mark: ``FRAME``'s columns. Of a finding, ``changes`` is how often it was found."""
        rows = [
            (name, mark.picture, mark.words, mark.changes, mark.transactions, self._codes[name])
            for name, mark in self._shown.marks.items()
        ]
        return pl.DataFrame(rows, schema=FRAME, orient="row")

    @property
    def selection(self) -> dict[str, object]:
        """What is selected: the mark's ``name``, ``picture`` and ``words``, and what it picks. Empty: nothing is."""
        name = self._selected()
        if not name:
            return {}
        mark = self._shown.marks[name]
        return {"name": name, "picture": mark.picture, "words": mark.words, **mark.pick.said}

    @property
    def code(self) -> str:
        """The code of the dashboard, and under it that of the selected rows."""
        name = self._selected()
        return f"{self._own_code}\n{self._codes[name]}" if name else self._own_code

    def rows(self) -> pl.DataFrame:
        """All rows behind the selected mark; every counted change where none is selected."""
        name = self._selected()
        return (self._shown.marks[name].pick if name else Pick().done()).rows(self._log)

    def select(self, name: str) -> None:
        """Select the mark of that name (``frame`` has them); the empty text selects nothing.

        Raises:
            BadOption: there is no such mark.
        """
        if name and name not in self._shown.marks:
            raise BadOption(f"no mark {name!r}. There are 'm0' to 'm{len(self._shown.marks) - 1}': see frame.")
        self.state = {"mark": name}

    def _selected(self) -> str:
        name = self.state.get("mark")
        return name if name in self._shown.marks else ""

    def picture(self) -> str:
        """All pictures on one sheet."""
        totals = ", ".join(f"{number} {name}" for name, number in self._totals.items())
        return sheet(self._shown.pictures, title=self.title, notes=[totals, *self._notes])

    def table_html(self) -> str:
        """The marks as a table."""
        names = {"picture": "Picture", "words": "What it says", "changes": "Changes", "transactions": "Transactions"}
        return table(self.frame.select(list(names)), "What the bars and cells say", names=names)

"""The sections of a report: each is one question to the log, its answer, and what was run for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

import polars as pl

from auditlab.analytics.findings import SEVERITIES, tally
from auditlab.errors import BadOption, IncompleteLog
from auditlab.printable import printable
from auditlab.schema import HISTORY
from auditlab.widgets.code import log_code
from auditlab.widgets.dashboard import Dashboard, dashboard
from auditlab.widgets.picks import collected
from auditlab.widgets.sides import warned
from auditlab.widgets.tables import table

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditlab.report.question import Question

__all__ = ["SECTIONS", "Section", "answered"]


@dataclass(slots=True)
class Section:
    """An answered question.

    Args:
        title: Its heading.
        parts: What stands under it: HTML, and views.
        asked: What was run: the code, and the verb whose SQL answered, or None where no SQL did.
    """

    title: str
    parts: list[str | Dashboard] = field(default_factory=list)
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    def note(self, words: str) -> None:
        """Add a visible note."""
        self.parts.append(f'<p class="al-note">{escape(printable(words))}</p>')

    def table(self, question: Question, rows: pl.DataFrame, caption: str, code: str, verb: str | None) -> None:
        """Add a table, and a note where it is longer than the report's tables are."""
        self.asked.append((code, verb))
        if rows.is_empty():
            self.note(f"{caption}: none.")
            return
        shown = rows.head(question.rows)
        self.parts.append(table(shown, caption, limit=question.rows, zone=question.log.facts.zone))
        if rows.height > shown.height:
            self.note(f"The first {shown.height:,} of {rows.height:,} rows. {code} gives all of them.")


def answered(name: str, question: Question) -> Section:
    """The section of that name; what the answer warns of stands in it.

    Raises:
        BadOption: there is no such section.
        AuditlabError: the log cannot answer it.
    """
    if name not in SECTIONS:
        raise BadOption(f"a report has no section {name!r}. There are {', '.join(SECTIONS)}.")
    title, write = SECTIONS[name]
    section = Section(title)
    _, notes = warned(lambda: write(question, section))
    for words in notes:
        section.parts.insert(0, f'<p class="al-warning" role="note">{escape(printable(words))}</p>')
    return section


def _summary(question: Question, section: Section) -> None:
    picked, code = question.picked(), question.picked_code
    hiding = question.hidden
    view = dashboard(picked, documents=question.documents, mask=sorted(hiding.masked), omit=sorted(hiding.omitted))
    section.parts.append(view)
    section.asked.append((view.code, "activity"))
    users = len(picked.activity().by_user) or 1  # no fewer than there are
    counted = picked.summary(users=users)
    for caption, rows in (
        ("Totals", counted.totals),
        ("By operation", counted.by_operation),
        ("By entity type", counted.by_type),
        ("By user, the busiest first", counted.by_user),
    ):
        section.table(question, rows, caption, f"{code}.summary(users={users})", "summary")


def _evidence(question: Question, section: Section) -> None:
    code = f"{question.code}.evidence({'' if question.documents else 'documents=False'})"
    try:
        found = question.log.evidence(documents=question.documents)
    except IncompleteLog as exc:
        section.note(f"No evidence: {exc}")
        return
    depth = "" if question.documents else " Documents were not looked into."
    section.note(f"{tally(found.findings).capitalize()} found in {found.changes:,} changes.{depth}")
    section.parts.append(
        "<ul>" + "".join(f"<li><strong>{name}</strong>: {words}.</li>" for name, words in SEVERITIES.items()) + "</ul>"
    )
    section.table(question, found.findings, "Findings, the worst first", code, None)
    for kind, severity, meaning in found.findings.select("kind", "severity", "meaning").iter_rows():
        section.parts.append(f"<h3>{escape(severity)}: {escape(printable(kind))}</h3><p>{escape(meaning)}</p>")
        rows = question.hidden.finding(found.rows(kind))
        rows = rows.select([column.name for column in rows if column.null_count() < rows.height])
        section.table(question, rows, f"Rows behind {kind}", f"{code}.rows({kind!r})", None)


def _timeline(question: Question, section: Section) -> None:
    rows = question.hidden.rows(collected(question.picked().timeline()))
    done = rows.filter(pl.col("operation") != "SNAPSHOT")
    code = f"{question.picked_code}.timeline()"
    section.table(question, done, "Who did what when", code, "timeline")
    if done.height < rows.height:
        section.note(f"{rows.height - done.height:,} rows of SNAPSHOT, states that were read, are nobody's change.")


def _diffs(question: Question, section: Section) -> None:
    rows = question.hidden.rows(collected(question.picked().diffs())).drop("old_present", "new_present")
    section.table(question, rows, "What each change did", f"{question.picked_code}.diffs()", "diffs")


def _compare(question: Question, section: Section) -> None:
    start, end = question.span
    coverage = question.log.facts.coverage
    start, end = start or coverage.start, end or coverage.end
    if start is None or end is None:
        section.note("The log holds no change.")
        return
    rows = question.hidden.rows(collected(question.log.compare(start, end)))
    code = f"{question.code}.compare({start.isoformat()!r}, {end.isoformat()!r})"
    caption = f"{start:%Y-%m-%d %H:%M:%S} against {end:%Y-%m-%d %H:%M:%S} UTC, net"
    section.table(question, rows, caption, code, "compare")


def _history(question: Question, section: Section) -> None:
    for name in question.log.entity_types:
        log = question.log.of(name)
        rows = collected(log.history())
        own = log.fields()["field"].to_list()
        rows = question.hidden.columns(rows, own)
        if rows.height:
            rows = rows.drop([one for one in HISTORY if one in ("ended_by", "origin") and rows[one].null_count()])
        section.table(question, rows, f"Versions of {name}", f"{log_code(log.selected)}.history()", "history")


def _blame(question: Question, section: Section) -> None:
    _, end = question.span
    rows = question.hidden.rows(collected(question.log.blame(at=end)))
    at = "" if end is None else f"at={end.isoformat()!r}"
    words = "Who last set each field" + ("" if end is None else f", as of {end:%Y-%m-%d %H:%M:%S} UTC")
    rows = rows.drop("old_present")
    section.table(question, rows, words, f"{question.code}.blame({at})", "blame")


SECTIONS: dict[str, tuple[str, Callable[[Question, Section], None]]] = {
    "summary": ("Summary", _summary),
    "evidence": ("Evidence", _evidence),
    "compare": ("What differs", _compare),
    "timeline": ("What happened", _timeline),
    "diffs": ("Changes field by field", _diffs),
    "history": ("Histories", _history),
    "blame": ("Blame", _blame),
}
"""The sections by name, in the order in which they stand: heading, and what writes it."""

"""The command report: one HTML file for the audit's folder."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from auditlab.archive.files import digest, is_url
from auditlab.cli import options as opt
from auditlab.cli.ask import PANEL
from auditlab.cli.output import warn
from auditlab.cli.question import Question, asks_without
from auditlab.cli.source import is_dsn
from auditlab.errors import BadOption
from auditlab.written import whole

__all__ = ["Part", "add_to"]

_SHOWN = "What it shows"


class Part(StrEnum):
    """A section of a report."""

    SUMMARY = "summary"
    EVIDENCE = "evidence"
    COMPARE = "compare"
    TIMELINE = "timeline"
    DIFFS = "diffs"
    HISTORY = "history"
    BLAME = "blame"


def add_to(app: typer.Typer) -> None:
    """Add the command of this group."""
    app.command(rich_help_panel=PANEL)(report)


@asks_without("set_aside", "form", "file", "raw", "wide", "limit", "sql")
def report(
    question: Question,
    *,
    file: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            parser=opt.place,
            metavar="FILE",
            help="The HTML file: it appears whole, or not at all.",
        ),
    ],
    start: opt.From = None,
    end: opt.To = None,
    by: opt.By = None,
    include: Annotated[
        list[Part] | None,
        typer.Option(
            "--include",
            rich_help_panel=_SHOWN,
            help="Only this section. Repeatable. Without it: those that suit the other options.",
        ),
    ] = None,
    mask: Annotated[
        list[str] | None,
        typer.Option(
            "--mask", metavar="FIELD", rich_help_panel=_SHOWN, help="Show that it changed, not its values. Repeatable."
        ),
    ] = None,
    omit: Annotated[
        list[str] | None,
        typer.Option("--omit", metavar="FIELD", rich_help_panel=_SHOWN, help="Tell nothing of it. Repeatable."),
    ] = None,
    rows: Annotated[
        int, typer.Option("--rows", min=1, metavar="N", rich_help_panel=_SHOWN, help="The most rows of a table.")
    ] = 500,
    quick: Annotated[
        bool,
        typer.Option("--quick", rich_help_panel=_SHOWN, help="Evidence does not look into every document."),
    ] = False,
    title: Annotated[str, typer.Option("--title", rich_help_panel=_SHOWN, help="The heading.")] = "Audit report",
) -> None:
    """One HTML file for the audit's folder: summary, evidence with its rows, and chosen answers.

    It says what was asked, of what (the source without its password, coverage, clock, digests) and with which
    versions, opens without a network, and prints. The rows behind each bar are one click away.

    [bold]Examples[/bold]

      auditlab report SOURCE -o report.html

      auditlab report SOURCE -o june.html --from 2024-06-01 --to 2024-07-01 --title 'June'

      auditlab report SOURCE -o order.html -t orders.orders --entity 6f1c... --mask remark

      auditlab report SOURCE -o ann.html --by ann --include summary --include timeline
    """
    database = is_dsn(question.source)
    afar = is_url(question.source) and not database
    source = None if afar or database else Path(question.source)
    if source is not None and file.exists() and source.exists() and file.samefile(source):
        raise BadOption(f"{file} is the source itself; a report does not overwrite it. Name another file: -o FILE.")
    before = digest(source.resolve()) if source is not None and source.is_file() else None
    log = question.log(strict=False)
    text = log.report(
        include=None if include is None else [str(part) for part in include],
        start=question.moment(log, start, bound=True),
        end=question.moment(log, end, bound=True),
        by=by,
        mask=mask or (),
        omit=omit or (),
        rows=rows,
        documents=not quick,
        read_from=question.source if afar else source,
        title=title,
    )
    if before is not None and source is not None and digest(source.resolve()) != before:
        raise BadOption(f"{source} changed while it was read: the report's digest would be of something else.")
    with whole(file) as path:
        path.write_text(text, encoding="utf-8", newline="")
    warn(f"report written to {file}")

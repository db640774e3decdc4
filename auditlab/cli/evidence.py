"""The commands that judge a log: evidence and drift."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import polars as pl
import typer

from auditlab.analytics.findings import SEVERITIES
from auditlab.cli.ask import PANEL
from auditlab.cli.output import Format, say
from auditlab.cli.question import Question, asks_as_recorded, asks_without
from auditlab.errors import BadOption

if TYPE_CHECKING:
    from auditlab.analytics.evidence import Evidence

__all__ = ["FOUND", "STYLE", "Severity", "add_to", "severe"]

FOUND = 1
STYLE = {"error": "bold red", "warning": "yellow", "hint": "dim"}


class Severity(StrEnum):
    """The severity of a finding from which on the exit code is 1."""

    ERROR = "error"
    WARNING = "warning"
    HINT = "hint"
    NEVER = "never"


class Drifts(StrEnum):
    """The drift at which the exit code is 1."""

    ANY = "any"
    UNLOGGED = "unlogged"
    NEVER = "never"


def add_to(app: typer.Typer) -> None:
    """Add the commands of this group."""
    app.command(rich_help_panel=PANEL)(evidence)
    app.command(rich_help_panel=PANEL)(drift)


@asks_without("renames", "set_aside")
def evidence(
    question: Question,
    *,
    kind: Annotated[
        str | None,
        typer.Option("--rows", metavar="KIND", help="The rows behind one kind of finding, e.g. 'unlogged change'."),
    ] = None,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Do not look into every document, only into those that break a chain."),
    ] = False,
    fail_on: Annotated[
        Severity, typer.Option("--fail-on", help="Exit with 1 from this severity up.")
    ] = Severity.WARNING,
) -> None:
    """Whether the log can be trusted: what contradicts itself, what is missing, what is only unusual.

    An [bold]error[/bold] says that the log contradicts itself or lacks a change, a [bold]warning[/bold] that an answer
    may be incomplete, a [bold]hint[/bold] what is normal in many logs. Rows that are no changes are set apart and
    listed. Exits with 1 from a warning up, so that cron can act on it.

    [bold]Examples[/bold]

      auditlab evidence SOURCE

      auditlab evidence SOURCE --rows 'unlogged change' --limit 0           the rows behind a finding

      auditlab evidence SOURCE --quick --fail-on error -f jsonl >> nightly.jsonl
    """
    if question.sql:
        raise BadOption("evidence is no query: there is no SQL to show.")
    found = question.log(strict=False).evidence(documents=not quick)
    if kind is not None:
        question.output.write(found.rows(kind), title=kind)
    elif question.output.form is Format.TABLE and question.output.file is None:
        _say(found)
    else:
        question.output.write(found.findings)
    if found.worst in severe(fail_on):
        raise typer.Exit(FOUND)


def severe(fail_on: Severity) -> list[str]:
    """The severities at which a command fails."""
    return list(SEVERITIES)[: list(Severity).index(fail_on) + 1] if fail_on is not Severity.NEVER else []


def _say(found: Evidence) -> None:
    head, *lines = repr(found).splitlines()
    for line, severity in zip(lines, found.findings["severity"], strict=True):
        say(line, style=STYLE[severity])
    say(head)


@asks_as_recorded
def drift(
    question: Question,
    *,
    fail_on: Annotated[
        Drifts,
        typer.Option("--fail-on", help="Exit with 1 where there is any drift, or one that no change of the log made."),
    ] = Drifts.NEVER,
) -> None:
    """Which fields appeared, vanished, changed their type or were likely renamed: when, and in which transaction.

    Where [bold]logged[/bold] is false, DDL did it beside the log, and the change shown is the first that has it. The
    asking commands read through a renaming with --rename OLD=NEW.

    [bold]Examples[/bold]

      auditlab drift SOURCE -t orders.orders

      auditlab drift SOURCE --fail-on unlogged -f csv -o drift.csv
    """
    if question.sql:
        raise BadOption("drift is no query: there is no SQL to show.")
    result = question.log().drift()
    rows = result.collect() if isinstance(result, pl.LazyFrame) else result
    question.output.write(rows, title="Drift")
    unlogged = not rows["logged"].all()
    if (fail_on is Drifts.ANY and rows.height) or (fail_on is Drifts.UNLOGGED and unlogged):
        raise typer.Exit(FOUND)

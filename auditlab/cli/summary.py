"""The command summary: what a log holds, counted."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import polars as pl
import typer

from auditlab.cli import options as opt
from auditlab.cli.ask import PANEL, picked
from auditlab.cli.output import Format, warn
from auditlab.cli.question import Question, asks_as_recorded
from auditlab.errors import BadOption

__all__ = ["PARTS", "add_to"]


class Period(StrEnum):
    """The length of a period."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class Part(StrEnum):
    """One part of a summary."""

    TOTALS = "totals"
    BY_OPERATION = "by_operation"
    BY_TYPE = "by_type"
    BY_USER = "by_user"
    BY_PERIOD = "by_period"
    RECENT = "recent"


PARTS = {
    Part.TOTALS: "Totals",
    Part.BY_OPERATION: "By operation",
    Part.BY_TYPE: "By entity type",
    Part.BY_USER: "By user",
    Part.BY_PERIOD: "By period",
    Part.RECENT: "Most recent",
}
"""The parts in the order in which they are read, with their titles."""


def add_to(app: typer.Typer) -> None:
    """Add the command of this group."""
    app.command(rich_help_panel=PANEL)(summary)


@asks_as_recorded
def summary(
    question: Question,
    *,
    by: opt.By = None,
    start: opt.From = None,
    end: opt.To = None,
    transaction: opt.Transaction = None,
    correlation: opt.Correlation = None,
    users: Annotated[int, typer.Option("--users", min=1, help="How many users to show, the busiest first.")] = 10,
    recent: Annotated[int, typer.Option("--recent", min=0, help="How many of the latest changes to show.")] = 10,
    period: Annotated[Period, typer.Option("--period", help="The length of a period.")] = Period.DAY,
    part: Annotated[
        Part | None,
        typer.Option("--part", help="Only this part. CSV, JSON lines and Parquet hold one table, so they need it."),
    ] = None,
) -> None:
    """Changes and transactions counted: in all, by operation, type, user and period; and the most recent ones.

    The rows that were there when tracking began (SNAPSHOT) are nobody's change: they are in the log, and not counted.

    [bold]Examples[/bold]

      auditlab summary SOURCE

      auditlab summary SOURCE --from 2024-06-01 --period hour

      auditlab summary SOURCE --part by_user --users 1000 -f csv -o users.csv
    """
    if part is None and question.output.form is not Format.TABLE and not question.sql:
        raise BadOption(f"--format {question.output.form} writes one table: add --part {' | '.join(PARTS)}.")
    if question.sql:
        question.show_sql("summary")
        return
    counted = picked(
        question, question.log(), by=by, start=start, end=end, transaction=transaction, correlation=correlation
    ).summary(users=users, recent=recent, period=period)
    frames: dict[Part, pl.DataFrame] = {name: getattr(counted, name) for name in PARTS if part in (None, name)}
    question.output.write_all({PARTS[name]: frame for name, frame in frames.items()})
    if counted.snapshots:
        warn(counted.not_counted)

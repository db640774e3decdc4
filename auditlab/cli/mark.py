"""The command that saves moments: mark."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from auditlab.capture.mark import take
from auditlab.cli import options as opt
from auditlab.cli.output import say
from auditlab.connection import Connection, connect
from auditlab.marks import append_mark

__all__ = ["add_to", "next_due"]

PANEL = "Record"


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel=PANEL)(mark)


def mark(
    dsn: opt.Dsn,
    *,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="What to call it, for as-of --mark NAME.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", metavar="FILE", help="Add it to this file too; where nothing is installed, only there."),
    ] = None,
    every: Annotated[
        float | None,
        typer.Option("--every", min=0.01, metavar="SECONDS", help="Go on taking marks, this often, until interrupted."),
    ] = None,
) -> None:
    """Save this moment of a database, so that as-of it is exact: what was committed now, and nothing else.

    A log's times tell when transactions began, not when others saw what they did. A mark keeps what was committed at
    a moment; between two marks only what was at work then is uncertain. Where the capture is installed, the database
    keeps its marks itself (role auditlab_archiver may add them), and every later reading of the log has them.

    [bold]Examples[/bold]

      auditlab mark DSN --name "month end"            then: auditlab as-of DSN --mark "month end"

      auditlab mark DSN --every 60                    a mark a minute, as a service; from cron: auditlab mark DSN

      auditlab mark DSN --file marks.jsonl            for a log that others capture: --with-marks marks.jsonl
    """
    with connect(dsn, autocommit=True, isolation="read committed") as connection:
        _take(connection, name, file)
        due = time.monotonic()
        while every is not None:
            due, seconds = next_due(due, every, time.monotonic())
            time.sleep(seconds)
            _take(connection, name, file)


def next_due(due: float, every: float, now: float) -> tuple[float, float]:
    """When the next mark is due, and the seconds until then: none where it is late already, and nothing is made up for.

    Args:
        due: When the last one was due.
        every: The seconds between two.
        now: By the same clock.
    """
    return (due + every, due + every - now) if due + every > now else (now, 0.0)


def _take(connection: Connection, name: str | None, file: Path | None) -> None:
    taken, kept = take(connection, name, elsewhere=file is not None)
    if file is not None:
        append_mark(file, taken)
    places = (["audit.mark"] if kept else []) + ([str(file)] if file is not None else [])
    say(f"mark {taken}: {taken.snapshot}, kept in {' and '.join(places)}")

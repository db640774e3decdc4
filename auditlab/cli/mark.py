"""The commands that save moments: mark, and snapshot, which keeps the states with it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from auditlab import capture as recording
from auditlab.capture.mark import take
from auditlab.cli import options as opt
from auditlab.cli.output import say
from auditlab.connection import Connection, connect
from auditlab.errors import BadOption

__all__ = ["add_to", "next_due"]

PANEL = "Record"


def add_to(app: typer.Typer) -> None:
    """Add the commands of this group."""
    app.command(rich_help_panel=PANEL)(mark)
    app.command(rich_help_panel=PANEL)(snapshot)


def mark(
    dsn: opt.Dsn,
    *,
    name: Annotated[
        str | None,
        typer.Option(
            "--name", metavar="NAME", help="What to call it, for as-of --mark NAME: a name that no other mark has."
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file",
            parser=opt.place,
            metavar="FILE",
            help="Add it to this file too; where nothing is installed, only there.",
        ),
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

      auditlab mark DSN --name "month end"            to ask for it: auditlab as-of DSN --mark "month end"

      auditlab mark DSN --every 60                    a mark a minute, as a service; from cron: auditlab mark DSN

      auditlab mark DSN --file marks.jsonl            for a log that others capture: --with-marks marks.jsonl
    """
    if name is not None and every is not None:
        raise BadOption("--name is for one mark: no two have the same, and --every goes on taking them.")
    with connect(dsn, autocommit=True, isolation="read committed") as connection:
        _take(connection, name, file)
        due = time.monotonic()
        while every is not None:
            due, seconds = next_due(due, every, time.monotonic())
            time.sleep(seconds)
            _take(connection, name, file)


def snapshot(
    dsn: opt.Dsn,
    *,
    name: Annotated[
        str | None,
        typer.Option(
            "--name", metavar="NAME", help="What to call the mark it is taken with: no two have the same name."
        ),
    ] = None,
    always: Annotated[
        bool, typer.Option("--always", help="Also where no more changed since the last one than it has entities.")
    ] = False,
    keep: Annotated[
        int | None, typer.Option("--keep", min=1, metavar="N", help="Leave the last N, and remove older ones.")
    ] = None,
) -> None:
    """Write down the state of every live entity, so that a load need not begin where the log does.

    With [bold]--since TIME[/bold], commands read the states of the nearest snapshot and what came after it instead of
    the whole log; after [bold]auditlab prune[/bold] the log goes on to answer from its last snapshot on. Each begins
    where the one before it ends. Run it from cron: it is written when more changed since the last one than that has
    entities.

    [bold]Examples[/bold]

      auditlab snapshot DSN --keep 3                  role auditlab_archiver may take them

      auditlab as-of DSN -t orders.orders --since 2024-06-01 --at 2024-06-02
    """
    say(f"snapshot {recording.snapshot(dsn, name, always=always, keep=keep)}")


def next_due(due: float, every: float, now: float) -> tuple[float, float]:
    """When the next mark is due, and the seconds until then: none where it is late already, and nothing is made up for.

    Args:
        due: When the last one was due.
        every: The seconds between two.
        now: By the same clock.
    """
    return (due + every, due + every - now) if due + every > now else (now, 0.0)


def _take(connection: Connection, name: str | None, file: Path | None) -> None:
    taken, kept = take(connection, name, file, elsewhere=file is not None)
    places = (["audit.mark"] if kept else []) + ([str(file)] if file is not None else [])
    say(f"mark {taken}: {taken.snapshot}, kept in {' and '.join(places)}")

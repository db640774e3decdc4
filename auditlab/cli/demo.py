"""The command demo."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auditlab.cli.interruption import interrupted_by
from auditlab.cli.options import place
from auditlab.cli.output import say, width
from auditlab.cli.table import shown
from auditlab.demo.run import run_demo

if TYPE_CHECKING:
    import polars as pl

__all__ = ["add_to"]

INDENT = "   "
WRONG = 1
"""Exit code: the demo ran, and something that must be equal was not."""


def add_to(app: typer.Typer) -> None:
    """Add the command of this group."""
    app.command(rich_help_panel="Start")(demo)


def demo(
    *,
    folder: Annotated[
        Path,
        typer.Option(
            "--folder", parser=place, metavar="FOLDER", help="Where to leave the log, the archive and a notebook."
        ),
    ] = Path("auditlab-demo"),
    sample: Annotated[
        bool, typer.Option("--sample", help="Start no server; run on the log that the package ships.")
    ] = False,
) -> None:
    """See all of it: a shop on a PostgreSQL of its own is audited, questioned, proven and archived.

    It starts a server that listens on no network, runs several writers at once, loads their change log, answers what
    an auditor would ask, compares the log with the live tables value by value, and writes an archive. Nothing stays
    but the folder. Where there is no PostgreSQL it runs on a log that the package ships, and says so.

    [bold]Examples[/bold]

      auditlab demo

      auditlab demo --folder /tmp/shop
    """
    with interrupted_by(signal.SIGTERM, signal.SIGHUP):  # the server would go on without it
        done = run_demo(folder, _Terminal(), server=not sample)
    if not done.holds:
        raise typer.Exit(WRONG)


class _Terminal:
    """The demo's voice in a terminal."""

    def __init__(self) -> None:
        self._parts = 0

    def heading(self, text: str) -> None:
        self._parts += 1
        say()
        say(f"{self._parts}. {text}", style="bold cyan")

    def line(self, text: str) -> None:
        say(INDENT + text)
        sys.stdout.flush()

    def code(self, text: str) -> None:
        say(f"{INDENT}>>> {text}", style="green")

    def table(self, frame: pl.DataFrame, *, limit: int = 0) -> None:
        result = shown(frame, width=width() - len(INDENT), limit=limit)
        for line in result.lines:
            say(INDENT + line.plain, style=str(line.style))
        notes = [note for note in result.notes if "rows" in note]
        if notes:
            say(INDENT + "; ".join(notes), style="dim")

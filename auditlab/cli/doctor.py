"""The command doctor: what works on this machine, and what to do where something does not."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import polars as pl
import typer

from auditlab.cli import options as opt
from auditlab.cli.output import Output, chosen, say
from auditlab.doctor import Check, State, doctor

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["add_to"]

FOUND = 1
_SIGNS = {State.FINE: ("ok", "green"), State.NOTE: ("note", "yellow"), State.PROBLEM: ("PROBLEM", "bold red")}


def add_to(app: typer.Typer) -> None:
    """Add the command of this group."""
    app.command("doctor", rich_help_panel="Start")(_doctor)


def _doctor(*, form: opt.Form = None, file: opt.File = None) -> None:
    """Why do views not show? Versions, the front end, kernels, PostgreSQL's programs and optional parts.

    It looks at this machine alone and changes nothing. In a notebook, [bold]!auditlab doctor[/bold] looks at the
    environment that the notebook runs in. Exits with 1 where something is in the way, and says what to do.

    [bold]Examples[/bold]

      auditlab doctor

      auditlab doctor -f jsonl
    """
    found = doctor()
    if form is None and file is None:
        _say(found)
    else:
        rows = [{**asdict(check), "state": str(check.state)} for check in found]
        Output(chosen(form, file), file).write(pl.DataFrame(rows))
    if any(check.state is State.PROBLEM for check in found):
        raise typer.Exit(FOUND)


def _say(found: Sequence[Check]) -> None:
    for check in found:
        sign, style = _SIGNS[check.state]
        say(f"{sign:<8} {check.part}: {check.found}", style=style)
        if check.advice:
            say(f"{'':<8}   {check.advice}")
    problems = sum(check.state is State.PROBLEM for check in found)
    say()
    say(f"{problems} problem{'s'[problems == 1 :]}." if problems else "Nothing is in the way of the views.")

"""The command that holds a log against the live tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

import auditlab as al
from auditlab.cli import options as opt
from auditlab.cli.ask import PANEL
from auditlab.cli.evidence import FOUND, STYLE, Severity, severe
from auditlab.cli.layout import mapping
from auditlab.cli.output import Format, Output, chosen, say
from auditlab.cli.source import open_log

if TYPE_CHECKING:
    from auditlab.analytics.reconciliation import Reconciliation

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Add the command of this group."""
    app.command(rich_help_panel=PANEL)(reconcile)


def reconcile(
    *,
    dsn: opt.Dsn,
    log: Annotated[
        str | None,
        typer.Option(
            "--log",
            "--archive",
            metavar="SOURCE",
            help="A log that was kept: an archive folder or a Parquet file. Without it: the database's own log.",
        ),
    ] = None,
    types: opt.Types = None,
    kind: Annotated[
        str | None,
        typer.Option(
            "--rows", metavar="KIND", help="The rows behind one kind of finding, e.g. 'changed outside the log'."
        ),
    ] = None,
    fail_on: Annotated[
        Severity, typer.Option("--fail-on", help="Exit with 1 from this severity up.")
    ] = Severity.WARNING,
    table: opt.LogTable = "audit.entity_change_log",
    columns: opt.Columns = None,
    form: opt.Form = None,
    file: opt.File = None,
    raw: opt.Raw = False,
    wide: opt.Wide = False,
    limit: opt.Limit = 50,
) -> None:
    """The log against the live tables: rows changed, inserted or removed outside the log.

    Log and tables are read in one snapshot, so that writers at work are no finding. It finds what a disabled trigger, a
    replica session, a restore or a TRUNCATE did without a trace. With [bold]--log[/bold], an archive is held against
    the database: also against its log, of which rows may be gone or edited since. Exits with 1 from a warning up.

    [bold]Examples[/bold]

      auditlab reconcile DSN

      auditlab reconcile DSN --log archive/                                 what was archived, and what came since

      auditlab reconcile DSN -t orders.orders --rows 'changed outside the log'

      auditlab reconcile DSN --fail-on error -f jsonl >> nightly.jsonl
    """
    output = Output(chosen(form, file), file, raw=raw, wide=wide, limit=limit)
    kept = None if log is None else open_log(log, types=types)
    found = al.reconcile(
        kept, dsn, entity_types=None if kept is not None else types, table=table, columns=mapping(columns)
    )
    if kind is not None:
        output.write(found.rows(kind), title=kind)
    elif output.form is Format.TABLE and output.file is None:
        _say(found)
    else:
        output.write(found.findings)
    if found.worst in severe(fail_on):
        raise typer.Exit(FOUND)


def _say(found: Reconciliation) -> None:
    head, *lines = repr(found).splitlines()
    for line, severity in zip(lines, found.findings["severity"], strict=True):
        say(line, style=STYLE[severity])
    say(head)

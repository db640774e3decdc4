"""The commands that record: init, track, untrack, partitions, check."""

from __future__ import annotations

from typing import Annotated

import polars as pl
import typer

from auditlab import capture as recording
from auditlab.cli import options as opt
from auditlab.cli.output import Format, Output, chosen, say

__all__ = ["add_to"]

PANEL = "Record"
FOUND = 1
"""Exit code: the check was made and found something wrong."""

Tables = Annotated[
    list[str],
    typer.Argument(metavar="TABLE...", help="Tables as schema.table, e.g. orders.orders.", show_default=False),
]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this group."""
    app.command(rich_help_panel=PANEL)(init)
    app.command(rich_help_panel=PANEL)(track)
    app.command(rich_help_panel=PANEL)(untrack)
    app.command(rich_help_panel=PANEL)(partitions)
    app.command(rich_help_panel=PANEL)(check)


def init(dsn: opt.Dsn) -> None:
    """Install the change log in a database: schema audit, its table and partitions, the trigger, the roles.

    A second time it upgrades an older installation, or says that it is current. A log that was made by the published
    schema is adopted in place, its rows untouched, and an archive of it that was begun before goes on. Who reads and
    archives it must be granted that again, by the roles auditlab_auditor and auditlab_archiver.

    [bold]Examples[/bold]

      auditlab init postgresql://admin@db.example/shop
    """
    done = recording.install(dsn)
    say(f"{_INSTALLED[done.action]} (version {done.version}). Next: auditlab track DSN schema.table ...")


def track(
    dsn: opt.Dsn,
    tables: Tables,
    *,
    baseline: Annotated[
        bool,
        typer.Option(
            "--baseline/--no-baseline", help="Record the rows that are there already, so that states are whole."
        ),
    ] = True,
    truncate_images: Annotated[
        bool, typer.Option("--truncate-images", help="On TRUNCATE, record each row that it removes.")
    ] = False,
) -> None:
    """Begin to record a table: every INSERT, UPDATE, DELETE and TRUNCATE from now on.

    Each table is locked against writers while its triggers are made and its rows are recorded.

    [bold]Examples[/bold]

      auditlab track postgresql://admin@db.example/shop orders.orders orders.order_items
    """
    for tracked in recording.track(dsn, tables, baseline=baseline, truncate_images=truncate_images):
        many = "row" if tracked.baseline_rows == 1 else "rows"
        rows = f", {tracked.baseline_rows:,} {many} there already recorded" if tracked.baseline_rows else ""
        say(f"{tracked.entity_type}: {_TRACKED[tracked.action]} ({tracked.level} triggers{rows})")


def untrack(dsn: opt.Dsn, tables: Tables) -> None:
    """Stop recording a table. What was recorded stays.

    [bold]Examples[/bold]

      auditlab untrack postgresql://admin@db.example/shop orders.orders
    """
    ended = recording.untrack(dsn, tables)
    for entity_type in ended:
        say(f"{entity_type}: no longer recorded; its log stays")
    if not ended:
        say("nothing to do: none of them was recorded")


def partitions(
    dsn: opt.Dsn,
    *,
    ahead: Annotated[int, typer.Option("--ahead", min=0, help="How many months ahead to have partitions for.")] = 3,
) -> None:
    """Create the log's monthly partitions ahead of time. Run it from cron, say weekly.

    [bold]Examples[/bold]

      auditlab partitions postgresql://admin@db.example/shop --ahead 6
    """
    made = recording.create_partitions(dsn, ahead=ahead)
    for partition in made:
        moved = f", {partition.rows_moved:,} rows moved into it" if partition.rows_moved else ""
        say(f"{partition.name}: {partition.action}{moved}")
    if not made:
        say(f"nothing to create: the partitions reach as far as asked (--ahead {ahead})")


def check(
    dsn: opt.Dsn,
    *,
    form: opt.Form = None,
    file: opt.File = None,
    raw: opt.Raw = False,
    wide: opt.Wide = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 on warnings too.")] = False,
) -> None:
    """Tell what keeps the log of a database from being complete or trustworthy, and how to mend it.

    Untracked tables, disabled triggers, the sequence's cache, missing partitions, row-level security, whoever holds the
    watermark back. Exits with 1 if it finds an error, so that cron or a deployment can act on it.

    [bold]Examples[/bold]

      auditlab check postgresql://auditor@db.example/shop

      auditlab check DSN --strict -f jsonl >> checks.jsonl
    """
    output = Output(chosen(form, file), file, raw=raw, wide=wide)
    findings = recording.check(dsn)
    names = ("severity", "kind", "subject", "message", "remedy")
    frame = pl.DataFrame(
        [[str(getattr(finding, name) or "") for name in names] for finding in findings],
        schema=dict.fromkeys(names, pl.String),
        orient="row",
    )
    if output.form is Format.TABLE and file is None:
        for finding in findings:
            subject = f"{finding.subject}: " if finding.subject else ""
            style = _STYLE.get(finding.severity, "")
            say(f"{finding.severity:<8} {finding.kind:<13} {subject}{finding.message}", style=style)
            if finding.remedy:
                say(f"{'':<22} {finding.remedy}", style="dim")
    else:
        output.write(frame)
    bad = _BAD if strict else _BAD[:1]
    if any(finding.severity in bad for finding in findings):
        raise typer.Exit(FOUND)


_INSTALLED = {
    "installed": "installed the change log",
    "upgraded": "upgraded the change log",
    "current": "the change log is there already, and current",
    "adopted": "adopted the change log that was there, its rows untouched",
}
_TRACKED = {
    "tracked": "recorded from now on",
    "renewed": "recorded, its triggers renewed",
    "current": "recorded already",
}
_BAD = ("error", "warning")
_STYLE = {"error": "bold red", "warning": "yellow", "ok": "green"}

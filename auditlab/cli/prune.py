"""The commands that let go: prune, and the holds that keep."""

from __future__ import annotations

import json
from typing import Annotated

import typer

import auditlab as al
from auditlab.cli import options as opt
from auditlab.cli.layout import mapping
from auditlab.cli.output import say
from auditlab.cli.source import entity_key
from auditlab.errors import BadOption

__all__ = ["add_to"]

PANEL = "Keep"
UNPROVEN = 1
"""Exit code: partitions are old enough to go, and rows of them are not in the archive."""

Archive = Annotated[str, typer.Argument(metavar="ARCHIVE", help="The folder of the log's archive.", show_default=False)]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this group."""
    app.command(rich_help_panel=PANEL)(prune)
    app.command(rich_help_panel=PANEL)(hold)


def prune(
    dsn: opt.Dsn,
    archive: Archive,
    *,
    keep: Annotated[
        str | None, typer.Option("--keep", metavar="SPAN", help="How much stays: '12 months', '90 days', '2 years'.")
    ] = None,
    before: Annotated[
        str | None, typer.Option("--before", metavar="TIME", help="Or: what ends at this time or earlier goes.")
    ] = None,
    execute: Annotated[
        bool, typer.Option("--execute", "--yes", help="Drop. Without it nothing is changed: it tells what would go.")
    ] = False,
    lock_timeout: Annotated[
        float, typer.Option("--lock-timeout", min=0.001, help="Seconds that writers may have to wait, each time.")
    ] = 0.2,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON, for machines.")] = False,
    table: opt.LogTable = "audit.entity_change_log",
    columns: opt.Columns = None,
) -> None:
    """Drop old partitions of a database's log: each only when every row of it is proven to be in the archive.

    Tells what would go, what stays, and why; with [bold]--execute[/bold] it drops. Each row is looked up in the archive
    by what it says, also those that are written meanwhile. This month, the default partition and what is under a hold
    never go. Exits with 1 if a partition that is old enough has rows that are not in the archive, and with 2 if it
    was to be dropped all the same.

    [bold]Examples[/bold]

      auditlab prune DSN archive/ --keep '12 months'                        what would go

      auditlab archive DSN archive/ && auditlab prune DSN archive/ --keep '12 months' --execute

      auditlab prune DSN archive/ --before 2024-01-01 --json
    """
    found = al.prune(
        dsn,
        archive,
        keep=keep,
        before=before,
        execute=execute,
        table=table,
        columns=mapping(columns),
        lock_timeout=lock_timeout,
    )
    say(json.dumps(found.as_dict()) if as_json else str(found))
    if found.unproven:
        raise typer.Exit(UNPROVEN)


def hold(
    archive: Archive,
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="What to call it. Without a name: tell what is held.")
    ] = None,
    *,
    release: Annotated[bool, typer.Option("--release", help="End the hold of that name.")] = False,
    entity_type: Annotated[
        str | None, typer.Option("--type", "-t", metavar="TYPE", help="Changes of this type.")
    ] = None,
    entity: Annotated[
        str | None, typer.Option("--entity", "-e", metavar="KEY", help="Changes of this entity of that type.")
    ] = None,
    by: Annotated[str | None, typer.Option("--by", metavar="USER", help="Changes by this user.")] = None,
    start: Annotated[str | None, typer.Option("--from", metavar="TIME", help="Changes from this time on.")] = None,
    end: Annotated[str | None, typer.Option("--to", metavar="TIME", help="Changes before this time.")] = None,
) -> None:
    """Place a legal hold: no partition with a change under it is dropped from the database by [bold]prune[/bold].

    The holds stand in a file of the archive's folder; a released one stays known. Without a name it tells what is held.

    [bold]Examples[/bold]

      auditlab hold archive/ case-4711 --type orders.orders --entity 6f1c... --from 2023-01-01 --to 2024-01-01

      auditlab hold archive/

      auditlab hold archive/ case-4711 --release
    """
    given = [entity_type, entity, by, start, end]
    if name is None or release:
        if any(one is not None for one in given) or (release and name is None):
            raise BadOption("a hold has a name: auditlab hold ARCHIVE NAME --type ..., or NAME --release.")
        told = [al.release(archive, name)] if name is not None else al.holds(archive)
        for one in told:
            say(str(one))
        if not told:
            say(f"{archive}: nothing is held")
        return
    key = None if entity is None else entity_key(entity)
    say(str(al.hold(archive, name, entity_type=entity_type, entity=key, user=by, start=start, end=end)))

"""The commands that keep: archive, verify."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import auditlab as al
from auditlab.cli import options as opt
from auditlab.cli.output import say, warn
from auditlab.cli.source import is_dsn, open_log

__all__ = ["add_to"]

PANEL = "Keep"
DAMAGED = 1
"""Exit code: the archive was verified and is not what its manifest says."""

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="The archive's folder.", show_default=False)]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this group."""
    app.command(rich_help_panel=PANEL)(archive)
    app.command(rich_help_panel=PANEL)(verify)


def archive(
    source: opt.Source,
    folder: Folder,
    *,
    zone: opt.Zone = None,
    table: opt.LogTable = "audit.entity_change_log",
    columns: opt.Columns = None,
) -> None:
    """Write a log to an archive: Parquet files and a manifest with the SHA-256 of each.

    From a database it streams: the log is never held in memory. The archive appears whole or not at all.

    [bold]Examples[/bold]

      auditlab archive postgresql://archiver@db.example/shop archive/

      auditlab archive log.parquet archive/
    """
    if is_dsn(source) and not columns:
        say(str(al.archive_postgres(source, folder, table=table)))
        return
    say(str(open_log(source, zone=zone or "UTC", table=table, columns=columns).to_archive(folder)))


def verify(folder: Folder) -> None:
    """Prove that an archive is what its manifest says, to the last byte.

    Prints every fault and exits with 1 if there is one.

    [bold]Examples[/bold]

      auditlab verify archive/ || mail -s 'the archive is damaged' ops@example.org
    """
    faults = al.verify(folder)
    for fault in faults:
        warn(str(fault))
    if faults:
        raise typer.Exit(DAMAGED)
    say(f"{folder}: whole, every file is what the manifest says")

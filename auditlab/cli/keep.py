"""The command that keeps a log: archive."""

from __future__ import annotations

import json
import signal
import time
from typing import TYPE_CHECKING, Annotated

import typer

import auditlab as al
from auditlab.archive.checkpoint import AFTER
from auditlab.cli import options as opt
from auditlab.cli.interruption import interrupted_by
from auditlab.cli.layout import EntityType, FieldColumns, KeyFields, Operations, Query, Unit, layout, mapping
from auditlab.cli.output import say
from auditlab.cli.source import is_dsn, open_log
from auditlab.errors import BadOption

if TYPE_CHECKING:
    from auditlab.archive.write import ArchiveSummary

__all__ = ["add_to"]

PANEL = "Keep"


def add_to(app: typer.Typer) -> None:
    """Add the commands of this group."""
    app.command(rich_help_panel=PANEL)(archive)


def archive(
    source: opt.Source,
    folder: opt.Archive,
    *,
    types: opt.Types = None,
    once: Annotated[
        bool,
        typer.Option(
            "--once",
            help="Take all that is committed into an archive that nothing can be added to: for a log that was restored "
            "or replicated from another server, whose transaction ids mean nothing here.",
        ),
    ] = False,
    follow: Annotated[
        bool, typer.Option("--follow", help="Keep adding what is new, until interrupted (Ctrl-C, or SIGTERM).")
    ] = False,
    every: Annotated[float, typer.Option("--every", min=0.1, help="With --follow: seconds between two looks.")] = 10.0,
    connections: Annotated[
        int, typer.Option("--connections", min=1, help="How many connections read at once, in one snapshot.")
    ] = 1,
    overlap: Annotated[
        float,
        typer.Option("--overlap", min=0, help="For a log without transaction ids: seconds that one may be open."),
    ] = 3600.0,
    sweep: Annotated[
        bool, typer.Option("--sweep", help="For such a log: look through all of it for what is not in the archive.")
    ] = False,
    held_at_most: Annotated[
        float | None,
        typer.Option(
            "--held-at-most", min=0, help="Fail where a transaction holds rows back for more seconds than that."
        ),
    ] = None,
    mask_fields: Annotated[
        list[str] | None,
        typer.Option("--mask-field", metavar="TYPE.FIELD", help="Mask this field's values, e.g. orders.orders.email."),
    ] = None,
    omit_fields: Annotated[
        list[str] | None, typer.Option("--omit-field", metavar="TYPE.FIELD", help="Leave this field out. Repeatable.")
    ] = None,
    sign: opt.Sign = None,
    checkpoint_after: Annotated[
        int,
        typer.Option(
            "--checkpoint-after",
            min=0,
            metavar="ROWS",
            help="Write a checkpoint of an entity type once so many rows of it came, and more than the last one has; "
            "0 writes none.",
        ),
    ] = AFTER,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON a run, for machines.")] = False,
    zone: opt.Zone = None,
    clock: opt.ByClock = None,
    table: opt.LogTable = "audit.entity_change_log",
    query: Query = None,
    columns: opt.Columns = None,
    operations: Operations = None,
    field_columns: FieldColumns = None,
    entity_type: EntityType = None,
    key_fields: KeyFields = None,
    unit: Unit = None,
) -> None:
    """Bring a log into an archive: Parquet files and manifests with the SHA-256 of each.

    From a database it streams, and the log is never held in memory. Run it again, from cron or with --follow, and it
    adds what is new: by transaction, up to the oldest one that is still open, so that no row is lost or read twice,
    whoever commits late and however often a run is killed. What must wait is told, and for whom. Each run is visible
    as a whole or not at all, and nothing is archived before it is on the server's own disk. A checkpoint that is due is
    written behind it (auditlab checkpoint --help); where that fails it is told, and the run is archived all the same.

    [bold]Examples[/bold]

      auditlab archive postgresql://archiver@db.example/shop archive/

      */5 * * * *  auditlab archive "$DSN" /var/lib/audit/archive --json >> /var/log/audit-archive.jsonl

      auditlab archive log.parquet archive/ --sign seal.key
    """
    told = layout(operations, field_columns, entity_type, query, key_fields, unit)
    if told and is_dsn(source) and query is None:
        open_log(source, layout=told)  # says that they are for files
    if not is_dsn(source) or query is not None:
        if once or follow:
            raise BadOption(
                "--once and --follow are for a database's own log; a file, an archive or a query is written as it is."
            )
        log = open_log(source, types=types, zone=zone or "UTC", clock=clock, table=table, columns=columns, layout=told)
        _tell(
            log.to_archive(
                folder,
                sign=sign,
                mask_fields=mask_fields or (),
                omit_fields=omit_fields or (),
                checkpoint_after=checkpoint_after,
            ),
            as_json=as_json,
        )
        return
    with interrupted_by(signal.SIGTERM):
        while True:
            written = al.archive_postgres(
                source,
                folder,
                table=table,
                entity_types=list(types) if types else None,
                once=once,
                columns=mapping(columns),
                zone=zone or "UTC",
                clock=clock,
                connections=connections,
                overlap=overlap,
                sweep=sweep,
                held_at_most=held_at_most,
                mask_fields=mask_fields or (),
                omit_fields=omit_fields or (),
                sign=sign,
                checkpoint_after=checkpoint_after,
            )
            if not follow:
                _tell(written, as_json=as_json)
                return
            if written.rows:
                _tell(written, as_json=as_json)
            time.sleep(every)


def _tell(written: ArchiveSummary, *, as_json: bool) -> None:
    say(json.dumps(written.as_dict()) if as_json else str(written))

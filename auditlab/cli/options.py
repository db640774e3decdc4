"""The options that several commands share, each defined once with its help."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from auditlab.cli.output import Format

__all__ = [
    "AfterChange",
    "AfterTransaction",
    "AnyArchive",
    "Archive",
    "AsOfMark",
    "AsOfSnapshot",
    "At",
    "BetweenMarks",
    "By",
    "ByClock",
    "Clock",
    "Columns",
    "Correlation",
    "Coverage",
    "Dsn",
    "Engine",
    "EngineOption",
    "Entity",
    "Field",
    "File",
    "First",
    "Form",
    "From",
    "Ignore",
    "KeptIn",
    "Limit",
    "ListKey",
    "LogTable",
    "MarksFile",
    "Memory",
    "Paths",
    "Raw",
    "Renames",
    "Second",
    "SetAside",
    "Sign",
    "Since",
    "Source",
    "Sql",
    "Steps",
    "To",
    "Tolerance",
    "Transaction",
    "Types",
    "Wide",
    "Zone",
    "place",
]

_WHICH = "Which changes"
_READ = "How the log is read"
_WRITE = "How the answer is written"


class Engine(StrEnum):
    """What computes the answer; both give the same."""

    POLARS = "polars"
    DUCKDB = "duckdb"


class Clock(StrEnum):
    """Which times date a log."""

    CHANGED_AT = "changed_at"
    COMMITTED_AT = "committed_at"


def place(text: str | Path) -> Path:
    """What names a file or folder. An empty text, which a variable that is not set leaves, is not the current folder.

    Raises:
        typer.BadParameter: it is empty; the message names the option.
    """
    if not str(text).strip():
        raise typer.BadParameter(f"{text!r} is empty and names nothing. The current folder is '.'.")
    return Path(text)


Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="The log: a DSN (postgresql://... or 'host=... dbname=...'), "
        "a file (Parquet, CSV, JSON Lines or Debezium's events), or an archive folder.",
        show_default=False,
    ),
]
Dsn = Annotated[
    str,
    typer.Argument(
        metavar="DSN",
        help="The database: postgresql://... or 'host=... dbname=...'. Passwords belong in ~/.pgpass or PGPASSWORD.",
        show_default=False,
    ),
]
Types = Annotated[
    list[str] | None,
    typer.Option(
        "--type",
        "-t",
        metavar="TYPE",
        rich_help_panel=_WHICH,
        help="Only this entity type, e.g. orders.orders. Repeatable.",
    ),
]
Entity = Annotated[
    str | None,
    typer.Option(
        "--entity",
        "-e",
        metavar="KEY",
        rich_help_panel=_WHICH,
        help='Only this entity: its id, its key, or a key of several columns as JSON: \'{"a": 1, "b": 2}\'.',
    ),
]
By = Annotated[
    str | None,
    typer.Option("--by", metavar="USER", rich_help_panel=_WHICH, help="Only changes by this user (changed_by)."),
]
From = Annotated[
    str | None,
    typer.Option("--from", metavar="TIME", rich_help_panel=_WHICH, help="From this time on, inclusive."),
]
To = Annotated[
    str | None,
    typer.Option("--to", metavar="TIME", rich_help_panel=_WHICH, help="Up to this time, exclusive."),
]
Transaction = Annotated[
    int | None,
    typer.Option("--transaction", metavar="ID", rich_help_panel=_WHICH, help="Only changes of this transaction."),
]
Correlation = Annotated[
    str | None,
    typer.Option("--correlation", metavar="ID", rich_help_panel=_WHICH, help="Only changes with this correlation id."),
]
Field = Annotated[
    list[str] | None,
    typer.Option("--field", metavar="NAME", rich_help_panel=_WHICH, help="Of the fields only this one. Repeatable."),
]
NoFields = Annotated[
    bool, typer.Option("--no-fields", rich_help_panel=_WHICH, help="Show no field: which entities there are.")
]
Paths = Annotated[
    bool,
    typer.Option(
        "--paths", rich_help_panel=_WHICH, help="Tell changes inside JSON objects and arrays part by part, with path."
    ),
]
Ignore = Annotated[
    list[str] | None,
    typer.Option(
        "--ignore",
        metavar="FIELD",
        rich_help_panel=_WHICH,
        help="Leave out this field, or part of one: payload/meta, lines/*/seen_at, */etag. Repeatable.",
    ),
]
Tolerance = Annotated[
    list[str] | None,
    typer.Option(
        "--tolerance",
        metavar="[FIELD=]NUMBER",
        rich_help_panel=_WHICH,
        help="Leave out JSON numbers that differ by this at the most: 0.01, total=0.01. Repeatable.",
    ),
]
ListKey = Annotated[
    list[str] | None,
    typer.Option(
        "--list-key",
        metavar="FIELD=KEY",
        rich_help_panel=_WHICH,
        help="With --paths: match the objects in this list by a key of theirs: lines=id. Repeatable.",
    ),
]
At = Annotated[
    str | None,
    typer.Option(
        "--at", metavar="TIME", rich_help_panel=_WHICH, help="The instant, inclusive. Without it: the latest state."
    ),
]
AfterChange = Annotated[
    int | None,
    typer.Option("--id", metavar="ID", rich_help_panel=_WHICH, help="The state after the change with this id."),
]
AfterTransaction = Annotated[
    int | None,
    typer.Option("--transaction", metavar="ID", rich_help_panel=_WHICH, help="The state after this transaction."),
]
AsOfMark = Annotated[
    str | None,
    typer.Option("--mark", metavar="NAME", rich_help_panel=_WHICH, help="Exactly what was committed at this mark."),
]
AsOfSnapshot = Annotated[
    str | None,
    typer.Option(
        "--snapshot",
        metavar="TEXT",
        rich_help_panel=_WHICH,
        help="Exactly what a transaction snapshot saw: pg_current_snapshot() as text, xmin:xmax:xip,...",
    ),
]
MarksFile = Annotated[
    Path | None,
    typer.Option(
        "--with-marks",
        parser=place,
        metavar="FILE",
        rich_help_panel=_READ,
        help="More marks of the log's database, as [bold]auditlab mark --file[/bold] keeps them.",
    ),
]
First = Annotated[
    str | None,
    typer.Option("--from", metavar="TIME", rich_help_panel=_WHICH, help="The first instant.", show_default=False),
]
Second = Annotated[
    str | None,
    typer.Option("--to", metavar="TIME", rich_help_panel=_WHICH, help="The second instant.", show_default=False),
]
BetweenMarks = Annotated[
    tuple[str, str] | None,
    typer.Option(
        "--marks",
        metavar="NAME NAME",
        rich_help_panel=_WHICH,
        help="In place of both: what was committed at one mark, exactly, against what was at a later one.",
        show_default=False,
    ),
]
Steps = Annotated[
    bool, typer.Option("--steps", rich_help_panel=_WHICH, help="Every change between them, not just end against start.")
]
Zone = Annotated[
    str | None,
    typer.Option(
        "--zone",
        metavar="ZONE",
        rich_help_panel=_READ,
        help="The time zone of times without an offset, in the log and given here, e.g. Europe/Berlin. Else the log's.",
    ),
]
ByClock = Annotated[
    Clock | None,
    typer.Option(
        "--clock",
        rich_help_panel=_READ,
        help="Where SOURCE is a DSN: which times date the log, e.g. changed_at for changes that were put into it later "
        "than they were made. Without it: those of the commits, where the server kept them of every change.",
        show_default=False,
    ),
]
EngineOption = Annotated[
    Engine, typer.Option("--engine", rich_help_panel=_READ, help="What computes the answer; both give the same.")
]
Memory = Annotated[
    str | None,
    typer.Option(
        "--memory",
        metavar="SIZE",
        rich_help_panel=_READ,
        help="How much memory a question of an archive may take, e.g. 1GB; half of what is free if not given. What "
        "takes more is dealt out into a temporary folder (TMPDIR names it).",
        show_default=False,
    ),
]
LogTable = Annotated[
    str, typer.Option("--table", metavar="NAME", rich_help_panel=_READ, help="The log's table, where SOURCE is a DSN.")
]
KeptIn = Annotated[
    str | None,
    typer.Option(
        "--archive",
        metavar="FOLDER",
        rich_help_panel=_READ,
        help="Where SOURCE is a DSN: the archive of its log. Both together are the log, also after auditlab prune.",
    ),
]
Since = Annotated[
    str | None,
    typer.Option(
        "--since",
        metavar="TIME",
        rich_help_panel=_READ,
        help="Where SOURCE is a DSN: read the states of the last auditlab snapshot by this time, or of the one of this "
        "name, and what came after it, not the whole log; what was before it is then not known.",
    ),
]
Columns = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        metavar="OURS=THEIRS",
        rich_help_panel=_READ,
        help="A column of a log with other names, e.g. changed_by=actor; before_snapshot= for one that it has not, id= "
        "where its rows are to be numbered as they stand; entity_type=table_schema+table_name. "
        "Made into ours are diff, field, old, new, valid_from and valid_to (help(auditlab.from_arrow) says how). "
        "Of Debezium's events the key, where the messages have none: entity_id=id. Repeatable.",
    ),
]
Coverage = Annotated[
    tuple[str, str] | None,
    typer.Option(
        "--coverage",
        metavar="START END",
        rich_help_panel=_READ,
        help="Where SOURCE is a file: from when to when it has every change, if that is known to be longer than from "
        "its first to its last.",
        show_default=False,
    ),
]
Renames = Annotated[
    list[str] | None,
    typer.Option(
        "--rename",
        metavar="OLD=NEW",
        rich_help_panel=_READ,
        help="Read a field of the one --type under the name that it was renamed to. Repeatable.",
    ),
]
SetAside = Annotated[
    bool,
    typer.Option("--set-aside", rich_help_panel=_READ, help="Answer without the rows that are no changes, and say so."),
]
Form = Annotated[
    Format | None,
    typer.Option(
        "--format",
        "-f",
        rich_help_panel=_WRITE,
        help="How the answer is written. Without it: as the name of --output ends, else table.",
    ),
]
File = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        parser=place,
        metavar="FILE",
        rich_help_panel=_WRITE,
        help="Write to this file: whole, or not at all.",
    ),
]
Raw = Annotated[
    bool,
    typer.Option(
        "--raw",
        rich_help_panel=_WRITE,
        help="CSV: leave texts that a spreadsheet would run as formulas (=, +, -, @) as they are.",
    ),
]
Wide = Annotated[
    bool,
    typer.Option(
        "--wide", rich_help_panel=_WRITE, help="Table: every column and character, whatever the terminal's width."
    ),
]
Limit = Annotated[
    int,
    typer.Option("--limit", min=0, metavar="N", rich_help_panel=_WRITE, help="Table: the most rows to show; 0 is all."),
]
Sql = Annotated[
    bool,
    typer.Option(
        "--sql",
        rich_help_panel=_WRITE,
        help="Print the query that answers, instead of the answer. Its tables are those that auditlab makes of a log: "
        "history (one row a version), field_changes, field_states and field_origins (one row a value of a field), "
        "changes, steps, and params, one row with what was asked for. No database has them.",
    ),
]

Archive = Annotated[str, typer.Argument(metavar="FOLDER", help="The archive's folder.", show_default=False)]
AnyArchive = Annotated[
    str,
    typer.Argument(metavar="FOLDER", help="The archive's folder, or its URL: s3://bucket/path.", show_default=False),
]
Sign = Annotated[
    Path | None,
    typer.Option(
        "--sign", parser=place, metavar="KEY", help="Sign what is added with this private key (auditlab seal keygen)."
    ),
]

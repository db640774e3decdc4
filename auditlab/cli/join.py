"""The commands that bring rows together, and tell why one is not there: pit-join, aggregate, why-not."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import polars as pl
import typer

from auditlab.cli import options as opt
from auditlab.cli.ask import PANEL
from auditlab.cli.output import say
from auditlab.cli.question import Question, asks, asks_without
from auditlab.cli.source import entity_key
from auditlab.cli.words import in_commands
from auditlab.errors import BadOption
from auditlab.temporal.spine import spine_frame, spine_times

if TYPE_CHECKING:
    from collections.abc import Sequence

    import auditlab as al

__all__ = ["add_to"]

_SPINE = "The spine"
_ITEMS = "Which children"
_ANSWER = ("engine", "form", "file", "raw", "wide", "limit", "sql")
"""Shared options that only a frame has."""


class Outside(StrEnum):
    """What becomes of rows whose time the log does not cover."""

    RAISE = "raise"
    FLAG = "flag"


def add_to(app: typer.Typer) -> None:
    """Add the commands of this group."""
    app.command("pit-join", rich_help_panel=PANEL)(pit_join)
    app.command(rich_help_panel=PANEL)(aggregate)
    app.command("why-not", rich_help_panel=PANEL)(why_not)


@asks_without("entity")
def pit_join(
    question: Question,
    *,
    spine: Annotated[
        Path,
        typer.Argument(
            parser=opt.place,
            metavar="SPINE",
            help="The rows to join: a Parquet or CSV file.",
            show_default=False,
        ),
    ],
    entity: Annotated[
        str,
        typer.Option("--entity", metavar="COLUMN", rich_help_panel=_SPINE, help="Its column of entity ids or keys."),
    ] = "entity_id",
    at: Annotated[
        str, typer.Option("--at", metavar="COLUMN", rich_help_panel=_SPINE, help="Its column of times, inclusive.")
    ] = "at",
    known: Annotated[
        str | None,
        typer.Option(
            "--known",
            metavar="COLUMN",
            rich_help_panel=_SPINE,
            help="Its column of times by which the log had to know; --at is then the valid time. Needs --valid.",
        ),
    ] = None,
    valid: Annotated[
        str | None,
        typer.Option(
            "--valid",
            metavar="FIELD",
            rich_help_panel=_SPINE,
            help="The field that tells since when a version is true; changed_at, where the log is by committed_at.",
        ),
    ] = None,
    fields: Annotated[
        list[str] | None,
        typer.Option("--field", metavar="NAME", rich_help_panel=_SPINE, help="Join this field alone. Repeatable."),
    ] = None,
    outside: Annotated[
        Outside,
        typer.Option(
            "--outside", rich_help_panel=_SPINE, help="Times that the log does not cover: an error, or a mark."
        ),
    ] = Outside.RAISE,
) -> None:
    """Each row of a file with the state of its entity as of the row's time: no row lost or doubled, no look ahead.

    The column [bold]presence[/bold] tells an entity that was there (live) from one that was deleted, not yet there, not
    recorded or unknown. By two clocks the answer is what was true at one time as it was known at another. All columns
    of a CSV file are texts: keys as they stand, times in ISO 8601.

    [bold]Examples[/bold]

      auditlab pit-join SOURCE payments.parquet -t orders.orders --entity order_id --at paid_at -o joined.parquet

      auditlab pit-join SOURCE spine.csv -t hr.salaries --at month_end --known reported_at --valid effective_date
    """
    if len(question.types) != 1:
        raise BadOption("pit-join takes one --type: that of the entities to join.")
    file = question.output.file
    if file is not None and file.exists() and spine.exists() and file.samefile(spine):
        raise BadOption(f"{spine} is the spine itself; an answer does not overwrite it. Name another file: -o FILE.")

    def join(log: al.ChangeLog[pl.DataFrame]) -> pl.DataFrame:
        columns = {"at": at} if known is None else {"at": at, "known": known}
        frame = spine_frame(_read(spine), entity, *columns.values())
        if question.zone is None:
            joined = log.pit_join(frame, entity=entity, **columns, valid=valid, fields=fields, outside=outside.value)
            return joined.lazy().collect()
        zone = question.zone  # also for a scanned archive, which has a zone of its own
        hidden = {name: f"\x00{name}" for name in columns}
        frame = frame.with_columns(
            spine_times(frame[column], zone).alias(hidden[name]) for name, column in columns.items()
        )
        joined = log.pit_join(frame, entity=entity, **hidden, valid=valid, fields=fields, outside=outside.value)
        return joined.lazy().collect().drop(hidden.values())

    question.answer("pit_join", join, title=f"{spine.name} with {question.types[0]}")


def _read(spine: Path) -> pl.DataFrame:
    readers = {".parquet": pl.read_parquet, ".csv": lambda path: pl.read_csv(path, infer_schema=False)}
    if spine.suffix.lower() not in readers:
        raise BadOption(f"cannot tell what {spine} is by its name. The spine is a .parquet or a .csv file.")
    try:
        return readers[spine.suffix.lower()](spine)
    except (OSError, pl.exceptions.PolarsError) as exc:
        raise BadOption(f"cannot read the spine {spine}: {exc}") from exc


@asks
def aggregate(
    question: Question,
    *,
    items: Annotated[
        list[str],
        typer.Option(
            "--items",
            metavar="[NAME=]TYPE:FIELD",
            rich_help_panel=_ITEMS,
            help="Children, and the field (or FIELD,FIELD) in which they hold the parent's key. NAME.NAME=... are the "
            "children of children. Repeatable.",
            show_default=False,
        ),
    ],
    keys: Annotated[
        list[str] | None,
        typer.Option(
            "--key",
            metavar="[NAME=]FIELD",
            rich_help_panel=_ITEMS,
            help="The field (or FIELD,FIELD) of the parent, or of the children NAME, that their children refer to. "
            "Without it: id, else the entity id.",
        ),
    ] = None,
    at: opt.At = None,
) -> None:
    """Parents with their children, and these with theirs, as they were together.

    [bold]Examples[/bold]

      auditlab aggregate SOURCE -t orders.orders --items orders.order_items:order_id --at 2024-06-01 -f jsonl

      auditlab aggregate SOURCE -t orders.orders -e 6f1c... --items items=orders.order_items:order_id
      --items items.returns=orders.returns:item_id
    """
    if len(question.types) != 1:
        raise BadOption("aggregate takes one --type: that of the parents. --items names those of the children.")
    (parent,) = question.types
    nodes = _nodes(items, keys or ())
    wanted = replace(question, types=tuple(dict.fromkeys((parent, *(node[0] for node in nodes.values() if node[0])))))
    wanted = replace(wanted, entity=None)

    def entity(log: al.ChangeLog[Any]) -> Any:  # noqa: ANN401 - a key is a text or a mapping
        return None if question.entity is None else entity_key(question.entity, log.of(parent))

    wanted.answer(
        "aggregate",
        lambda log: log.aggregate(
            parent, items=_tree(nodes, ()), at=wanted.moment(log, at), entity=entity(log), key=nodes[()][2] or None
        ),
        title=f"{parent} as of {at or 'now'}",
    )


Node = tuple[str, tuple[str, ...], tuple[str, ...]]
"""A kind of children: its type, the fields that refer to the parent, the fields that its own children refer to."""


def _nodes(items: Sequence[str], keys: Sequence[str]) -> dict[tuple[str, ...], Node]:
    """What the options say, by path; the parent's own is the empty one."""
    nodes: dict[tuple[str, ...], Node] = {(): ("", (), ())}
    for text in items:
        head, colon, fields = text.rpartition(":")
        name, equals, entity_type = head.rpartition("=")
        path = tuple(name.split(".")) if equals else (entity_type.rpartition(".")[2],)
        if not (colon and entity_type and all(fields.split(",")) and all(path)):
            raise BadOption(f"--items takes [NAME=]TYPE:FIELD, e.g. items=orders.order_items:order_id; got {text!r}.")
        if path in nodes or path[:-1] not in nodes:
            what = "is there twice" if path in nodes else f"comes before its parents {'.'.join(path[:-1])!r}"
            raise BadOption(f"--items {'.'.join(path)!r} {what}. Give each once, parents first.")
        nodes[path] = (entity_type, tuple(fields.split(",")), ())
    for text in keys:
        name, _, fields = text.rpartition("=")
        path = tuple(name.split(".")) if name else ()
        if path not in nodes or not all(fields.split(",")):
            have = ", ".join(".".join(path) for path in nodes if path)
            raise BadOption(f"--key takes FIELD, or NAME=FIELD with a NAME of --items ({have}); got {text!r}.")
        nodes[path] = (*nodes[path][:2], tuple(fields.split(",")))
    return nodes


def _tree(nodes: dict[tuple[str, ...], Node], above: tuple[str, ...]) -> dict[str, tuple[Any, ...]]:
    return {
        path[-1]: (entity_type, refers, _tree(nodes, path), key or None)
        for path, (entity_type, refers, key) in nodes.items()
        if path and path[:-1] == above
    }


@asks_without("entity", *_ANSWER)
def why_not(
    question: Question,
    *,
    entity: Annotated[
        str,
        typer.Option(
            "--entity",
            "-e",
            metavar="KEY",
            help='The entity: its id, its key, or a key of several columns as JSON: \'{"a": 1, "b": 2}\'.',
            show_default=False,
        ),
    ],
    at: opt.At = None,
) -> None:
    """Why an entity is not there at a time, in words: deleted, emptied, not yet inserted, never seen, not recorded.

    Names the change that made it so, with its time, its user and its transaction. One that is there is said to be.

    [bold]Examples[/bold]

      auditlab why-not SOURCE -t orders.orders -e 6f1c...                         why is it not there now?

      auditlab why-not SOURCE -t orders.orders -e 42 --at 2024-06-01T12:00+02:00
    """
    log = question.log()
    say(in_commands(log.why_not(entity_key(entity, log), question.moment(log, at))))

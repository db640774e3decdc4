"""How the rows of a log that is not ours are to be read: ``--column`` and its like, as the loaders take them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from auditlab.errors import BadOption

__all__ = ["EntityType", "FieldColumns", "Operations", "Query", "layout", "mapping", "name_pairs", "option"]

_READ = "How the log is read"

Operations = Annotated[
    list[str] | None,
    typer.Option(
        "--operation",
        metavar="WORD=OPERATION",
        rich_help_panel=_READ,
        help="Of a file or --query: what a word of its log for an operation means, e.g. 0=INSERT. Repeatable.",
    ),
]
FieldColumns = Annotated[
    str | None,
    typer.Option(
        "--fields",
        metavar="NAME,...|rest",
        rich_help_panel=_READ,
        help="Of a file or --query with a column for each field: those columns, or rest for all that are nothing else. "
        "What texts stand for: total=number,paid=boolean,lines=json.",
    ),
]
EntityType = Annotated[
    str | None,
    typer.Option(
        "--entity-type",
        metavar="TYPE",
        rich_help_panel=_READ,
        help="Of a file or --query: what all its rows are of, e.g. shop.orders, where no column tells.",
    ),
]
Query = Annotated[
    str | None,
    typer.Option(
        "--query",
        metavar="SELECT",
        rich_help_panel=_READ,
        help="Where SOURCE is a DSN: the log is what this query gives, of another tool's tables, e.g. 'SELECT * FROM "
        "versions'. --column and its like say what its columns are.",
    ),
]


def layout(
    operations: Sequence[str] | None, fields: str | None, entity_type: str | None, query: str | None
) -> dict[str, Any]:
    """The options of a loader that ``--operation``, ``--fields``, ``--entity-type`` and ``--query`` say, if given.

    Raises:
        BadOption: one that says nothing that can be read.
    """
    words = name_pairs("--operation", operations, "WORD=OPERATION, e.g. --operation destroy=DELETE")
    given = {"query": query, "operations": words, "fields": _fields(fields), "entity_type": entity_type}
    return {name: value for name, value in given.items() if value is not None}


_OPTIONS = {"query": "--query", "operations": "--operation", "fields": "--fields", "entity_type": "--entity-type"}


def option(layout: Mapping[str, Any]) -> str:
    """The first option that says something of the layout."""
    return _OPTIONS[next(iter(layout))]


def _fields(text: str | None) -> str | dict[str, str] | None:
    """The columns that ``--fields`` names, each with what its texts stand for."""
    if text is None or text == "rest":
        return text
    parts = [part.strip() for part in text.split(",")]
    pairs = [part if "=" in part else f"{part}=text" for part in parts]
    return name_pairs("--fields", pairs, "names of columns with commas between, such as name,total=number, or rest")


def mapping(columns: Sequence[str] | None) -> dict[str, Any] | None:
    """What ``--column OURS=THEIRS`` says, by our names; ``OURS=`` says that the log has none.

    ``entity_type=A+B`` is of two columns.

    Raises:
        BadOption: one that is no such pair.
    """
    none = [text.removesuffix("=") for text in columns or () if text.endswith("=") and text.count("=") == 1]
    named = [text for text in columns or () if text.removesuffix("=") not in none]
    takes = "OURS=THEIRS, e.g. --column changed_by=actor, or OURS= for an image that the log never recorded"
    pairs: dict[str, Any] = name_pairs("--column", named, takes) or {}
    if "+" in pairs.get("entity_type", ""):
        pairs["entity_type"] = pairs["entity_type"].split("+")
    return {**pairs, **dict.fromkeys(filter(None, none))} or None


def name_pairs(option: str, given: Sequence[str] | None, takes: str) -> dict[str, str] | None:
    """The names on both sides of the first ``=`` of each text; None without any."""
    pairs = [text.partition("=") for text in given or ()]
    wrong = [text for text, (ours, _, theirs) in zip(given or (), pairs, strict=True) if not (ours and theirs)]
    if wrong:
        raise BadOption(f"{option} takes {takes}; got {', '.join(map(repr, wrong))}.")
    doubled = [ours for place, (ours, _, _) in enumerate(pairs) if ours in {other for other, _, _ in pairs[:place]}]
    if doubled:
        raise BadOption(f"{option} names {', '.join(map(repr, doubled))} twice.")
    return {ours: theirs for ours, _, theirs in pairs} or None

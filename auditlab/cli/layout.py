"""How the rows of a log that is not ours are to be read: ``--column`` and its like, as the loaders take them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from auditlab.errors import BadOption

__all__ = [
    "EntityType",
    "FieldColumns",
    "KeyFields",
    "Operations",
    "Query",
    "Unit",
    "layout",
    "mapping",
    "name_pairs",
    "option",
]

_READ = "How the log is read"

Operations = Annotated[
    list[str] | None,
    typer.Option(
        "--operation",
        metavar="WORD=OPERATION",
        rich_help_panel=_READ,
        help="Of a file or --query: what a word of its log for an operation means, e.g. 0=INSERT; UPSERT for a row "
        "that inserts where there is none, BEFORE for one that shows what the UPDATE beside it found, nothing (3=) for "
        "rows that are no change. Repeatable.",
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

KeyFields = Annotated[
    list[str] | None,
    typer.Option(
        "--key-fields",
        metavar="[TYPE=]NAME,...",
        rich_help_panel=_READ,
        help="Of a file or --query: where no column tells an entity's id: the fields of its images that are the key, "
        "e.g. id, or shop.items=order_id,line for those of one entity type. Repeatable.",
    ),
]
Unit = Annotated[
    str | None,
    typer.Option(
        "--unit",
        metavar="s|ms|us",
        rich_help_panel=_READ,
        help="Of a file or --query: what times that are numbers count, from 1970 on.",
    ),
]


def layout(
    operations: Sequence[str] | None,
    fields: str | None,
    entity_type: str | None,
    query: str | None,
    key_fields: Sequence[str] | None,
    unit: str | None,
) -> dict[str, Any]:
    """The options of a loader that those above say; those that are given.

    Raises:
        BadOption: one that says nothing that can be read.
    """
    none, named = _without(operations)
    words: dict[str, Any] = name_pairs("--operation", named, "WORD=OPERATION, e.g. --operation destroy=DELETE") or {}
    given = {
        "query": query,
        "operations": {**words, **none} or None,
        "fields": _fields(fields),
        "entity_type": entity_type,
        "key": _key(key_fields),
        "unit": unit,
    }
    return {name: value for name, value in given.items() if value is not None}


_OPTIONS = {
    "query": "--query",
    "operations": "--operation",
    "fields": "--fields",
    "entity_type": "--entity-type",
    "key": "--key-fields",
    "unit": "--unit",
}


def option(layout: Mapping[str, Any]) -> str:
    """The first option that says something of the layout."""
    return _OPTIONS[next(iter(layout))]


def _key(given: Sequence[str] | None) -> list[str] | dict[str, list[str]] | None:
    """The columns of the key that ``--key-fields`` names, of all types or of some."""
    if not given:
        return None
    found = {}
    for text in given:
        entity_type, _, names = text.rpartition("=")
        columns = [name.strip() for name in names.split(",")]
        if not all(columns) or entity_type in found:
            takes = "columns with commas between, once for each entity type, such as id or shop.items=order_id,line"
            raise BadOption(f"--key-fields takes {takes}; got {text!r}.")
        found[entity_type] = columns
    return found[""] if found.keys() == {""} else found


def _without(given: Sequence[str] | None) -> tuple[dict[str, None], list[str]]:
    """The names that ``NAME=`` says there is nothing for, and the other texts."""
    none = [text.removesuffix("=") for text in given or () if text.endswith("=") and text.count("=") == 1]
    return dict.fromkeys(filter(None, none)), [text for text in given or () if text.removesuffix("=") not in none]


def _fields(text: str | None) -> str | dict[str, str] | None:
    """The columns that ``--fields`` names, each with what its texts stand for."""
    if text is None or text == "rest":
        return text
    parts = [part.strip() for part in text.split(",")]
    pairs = [part if "=" in part else f"{part}=text" for part in parts]
    return name_pairs("--fields", pairs, "names of columns with commas between, such as name,total=number, or rest")


def mapping(columns: Sequence[str] | None) -> dict[str, Any] | None:
    """What ``--column OURS=THEIRS`` says, by our names; ``OURS=`` says that the log has none.

    ``entity_type=A+B`` is of two columns; so may ``metadata`` be.

    Raises:
        BadOption: one that is no such pair.
    """
    none, named = _without(columns)
    takes = "OURS=THEIRS, e.g. --column changed_by=actor, or OURS= for an image that the log never recorded"
    pairs: dict[str, Any] = name_pairs("--column", named, takes) or {}
    for several in ("entity_type", "metadata"):
        if "+" in pairs.get(several, ""):
            pairs[several] = pairs[several].split("+")
    return {**pairs, **none} or None


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

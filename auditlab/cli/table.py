"""A frame as a table that a person reads in a terminal."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.text import Text

from auditlab.cells import plain_text
from auditlab.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import polars as pl

__all__ = ["Shown", "shown"]

GAP = "  "
NULL = "·"
SHORT = 8
WIDEST = 48
NARROWER = (32, 24, 20)
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

SILENT: Mapping[str, Any] = {"certain": True, "origin": "observed", "life": 1}
"""Our columns that say nothing while every row has this value."""

SECONDARY = (
    "committed_at",
    "correlation_id",
    "changed_fields",
    "metadata",
    "before_snapshot",
    "after_snapshot",
    "old_present",
    "new_present",
    "ended_by",
    "field.id",
    "transaction_id",
    "id",
    "version",
    "life",
)
"""Our columns that a narrow terminal does without, those it misses least first."""

KEPT = ("entity_id", "field", "path", "old", "new", "changed_by", "changed_at")
"""Our columns that go last of all: who changed what, when, from what to what."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A table, line by line; in words what it leaves out; and whether a wider terminal would show more."""

    lines: tuple[Text, ...]
    notes: tuple[str, ...]
    narrowed: bool


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    cells: tuple[str, ...]
    right: bool
    width: int = field(init=False)

    def __post_init__(self) -> None:
        widest = max(cell_len(printable(self.name)), *(cell_len(cell) for cell in self.cells), 1)
        object.__setattr__(self, "width", widest)

    def padded(self, cell: str) -> str:
        room = " " * (self.width - cell_len(cell))
        return room + cell if self.right else cell + room


def shown(frame: pl.DataFrame, *, width: int | None, limit: int = 0) -> Shown:
    """The frame as a table; null is a dot.

    Args:
        frame: What to show.
        width: The width of the terminal. Where it does not suffice, columns that say nothing go first, then uuids are
            cut to eight characters, then our secondary columns go, then long texts are cut, then the last
            columns go. None shows
            everything whole.
        limit: The most rows to show; 0 is all of them.
    """
    rows = frame.head(limit) if limit else frame
    notes = [f"the first {rows.height:,} of {frame.height:,} rows"] if frame.height > rows.height else []
    columns = [_Column(name, _cells(rows[name], width), rows.schema[name].is_numeric()) for name in rows.columns]
    left_out: list[str] = []
    if width is not None:
        columns, left_out = _fitted(columns, frame, width)
    head = GAP.join(column.padded(printable(column.name)) for column in columns)
    body = zip(*(map(column.padded, column.cells) for column in columns), strict=True)
    lines = [Text(head.rstrip(), "bold"), Text("─" * cell_len(head), "dim")]
    lines += [Text(GAP.join(row).rstrip()) for row in body]
    return Shown(tuple(lines), (*notes, *left_out), narrowed=bool(left_out))


def _fitted(columns: list[_Column], frame: pl.DataFrame, width: int) -> tuple[list[_Column], list[str]]:
    """The columns that fit, and what had to go."""
    notes = []
    gone = []
    if _width(columns) > width:
        gone = [column.name for column in columns if _says_nothing(frame[column.name])]
        gone += ["changed_at"] if {"valid_from", "changed_at"} <= set(frame.columns) else []
        columns = [column for column in columns if column.name not in gone]
    if _width(columns) > width:
        columns = [_Column(column.name, _short(column.cells), column.right) for column in columns]
        notes.append(f"ids cut to {SHORT} characters")
    for name in SECONDARY:
        if _width(columns) > width and name in {column.name for column in columns}:
            gone.append(name)
            columns = [column for column in columns if column.name != name]
    for longest in NARROWER:
        if _width(columns) > width:
            columns = [_Column(column.name, _clipped(column.cells, longest), column.right) for column in columns]
    while _width(columns) > width and len(columns) > 1:
        last = next((column for column in reversed(columns) if column.name not in KEPT), columns[-1])
        gone.append(last.name)
        columns.remove(last)
    if gone:
        notes.append("not shown: " + ", ".join(printable(name) for name in frame.columns if name in gone))
    return columns, notes


def _width(columns: list[_Column]) -> int:
    return sum(column.width for column in columns) + len(GAP) * (len(columns) - 1)


def _cells(column: pl.Series, width: int | None) -> tuple[str, ...]:
    values = column.to_list()  # a nested list is one, too; a Series gives a Series
    cells = (NULL if value is None else printable(_readable(value)) for value in values)
    return tuple(cells) if width is None else _clipped(cells, WIDEST)


def _readable(value: Any) -> str:  # noqa: ANN401 - the values of a result are of any type
    if isinstance(value, datetime):
        return value.replace(tzinfo=None).isoformat(" ")
    return plain_text(value)


def _clipped(cells: Iterable[str], longest: int) -> tuple[str, ...]:
    return tuple(cell if len(cell) <= longest else cell[: longest - 1] + "…" for cell in cells)


def _short(cells: tuple[str, ...]) -> tuple[str, ...]:
    """Uuids cut to their first characters; to their last ones where only those differ, as ids made in a row do."""
    ids = {cell for cell in cells if UUID.fullmatch(cell)}
    heads, tails = ({one[:SHORT] for one in ids}, {one[-SHORT:] for one in ids})
    if len(heads) >= len(tails):
        return tuple(cell[:SHORT] if cell in ids else cell for cell in cells)
    return tuple("…" + cell[-SHORT:] if cell in ids else cell for cell in cells)


def _says_nothing(column: pl.Series) -> bool:
    if column.null_count() == len(column) or (column.name == "entity_type" and column.n_unique() == 1):
        return True
    return column.name in SILENT and bool((column == SILENT[column.name]).all())

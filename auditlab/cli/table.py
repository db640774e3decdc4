"""A frame as a table that a person reads in a terminal."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from auditlab.cli.cells import plain_text
from auditlab.cli.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import polars as pl

__all__ = ["Shown", "shown"]

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_SHORT = 8
_WIDEST = 48
_QUIET: Mapping[str, Any] = {"certain": True, "origin": "observed"}
"""Columns that say nothing while every row has this value."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A table, and in words what it leaves out."""

    table: Table
    notes: tuple[str, ...]


def shown(frame: pl.DataFrame, *, width: int | None, limit: int = 0) -> Shown:
    """The frame as a table.

    Args:
        frame: What to show.
        width: The columns of the terminal. Where they do not suffice, columns that say nothing go first, then uuids
            are cut to their first eight characters, then the last columns go. None shows everything whole.
        limit: The most rows to show; 0 is all of them.
    """
    notes: list[str] = []
    rows = frame.head(limit) if limit else frame
    columns = {name: _cells(rows[name]) for name in rows.columns}
    if width is not None:
        columns = {name: [_clipped(cell) for cell in cells] for name, cells in columns.items()}
        if _width(columns) > width:
            silent = [name for name in columns if _says_nothing(name, frame[name])]
            columns = {name: cells for name, cells in columns.items() if name not in silent}
            notes += _left_out("columns that say nothing here", silent)
        if _width(columns) > width:
            columns = {name: _short(cells) for name, cells in columns.items()}
            notes.append("ids are cut to 8 characters")
        columns, cut = _fitting(columns, width)
        notes += _left_out("columns that do not fit", cut)
    if frame.height > rows.height:
        notes.insert(0, f"the first {rows.height:,} of {frame.height:,} rows")
    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold", show_edge=False)
    for name in columns:
        table.add_column(
            Text(printable(name)), justify="right" if frame.schema[name].is_numeric() else "left", no_wrap=True
        )
    for row in zip(*columns.values(), strict=True):
        table.add_row(*(Text(cell, style="dim" if cell == "null" else "") for cell in row))
    return Shown(table, tuple(notes))


def _cells(column: pl.Series) -> list[str]:
    return ["null" if value is None else printable(_readable(value)) for value in column]


def _readable(value: Any) -> str:  # noqa: ANN401 - the values of a result are of any type
    if isinstance(value, datetime):
        return value.replace(tzinfo=None).isoformat(" ")
    return plain_text(value)


def _clipped(cell: str) -> str:
    return cell if len(cell) <= _WIDEST else cell[: _WIDEST - 1] + "…"


def _short(cells: list[str]) -> list[str]:
    if any(cell != "null" and not _UUID.fullmatch(cell) for cell in cells):
        return cells
    return [cell if cell == "null" else cell[:_SHORT] for cell in cells]


def _says_nothing(name: str, column: pl.Series) -> bool:
    return column.null_count() == len(column) or (name in _QUIET and bool((column == _QUIET[name]).all()))


def _column_width(name: str, cells: Iterable[str]) -> int:
    return max([cell_len(printable(name)), *(cell_len(cell) for cell in cells)]) + 2


def _width(columns: dict[str, list[str]]) -> int:
    return sum(_column_width(name, cells) for name, cells in columns.items())


def _fitting(columns: dict[str, list[str]], width: int) -> tuple[dict[str, list[str]], list[str]]:
    kept: dict[str, list[str]] = {}
    used = 0
    for name, cells in columns.items():
        used += _column_width(name, cells)
        if used > width and kept:
            break
        kept[name] = cells
    return kept, [name for name in columns if name not in kept]


def _left_out(what: str, names: list[str]) -> list[str]:
    return [f"without {what}: {', '.join(printable(name) for name in names)}"] if names else []

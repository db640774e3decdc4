"""Where a result goes: a table in the terminal, or an exact CSV, JSON lines or Parquet file."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from enum import StrEnum
from typing import IO, TYPE_CHECKING

import polars as pl
from rich.console import Console
from rich.text import Text

from auditlab.cells import csv_lines, json_text
from auditlab.cli.table import shown
from auditlab.errors import BadOption
from auditlab.printable import printable, printable_lines
from auditlab.written import whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["Format", "Output", "chosen", "say", "warn", "width"]

_SLICE = 20_000


class Format(StrEnum):
    """How a result is written."""

    TABLE = "table"
    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"


_BY_SUFFIX = {
    ".csv": Format.CSV,
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
    ".parquet": Format.PARQUET,
    ".txt": Format.TABLE,
}


def chosen(form: Format | None, file: Path | None) -> Format:
    """The format that was asked for; where none was, the one that the file's name ends with, without ending a table.

    Raises:
        BadOption: the name has an ending that says no format.
    """
    if form is not None:
        return form
    ending = file.suffix.lower() if file else ""
    if ending and ending not in _BY_SUFFIX:
        known = ", ".join(_BY_SUFFIX)
        raise BadOption(f"-o {file}: the ending {ending} says no format. Known are {known}; or give --format.")
    return _BY_SUFFIX.get(ending, Format.TABLE)


class _Terminal(Console):
    """A console that lets a closed pipe be seen by the one place that handles it."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


@dataclass(frozen=True, slots=True)
class Output:
    """How and where one command writes its result.

    Args:
        form: Table, CSV, JSON lines or Parquet.
        file: The file to write; None is standard output. It appears whole or not at all.
        raw: In CSV, do not neutralise cells that a spreadsheet would take for formulas.
        wide: In a table, show every column and every character, whatever the terminal's width.
        limit: In a table, the most rows to show; 0 is all.
    """

    form: Format = Format.TABLE
    file: Path | None = None
    raw: bool = False
    wide: bool = False
    limit: int = 0

    def __post_init__(self) -> None:
        if self.form is Format.PARQUET and self.file is None:
            raise BadOption("--format parquet needs a file: add -o FILE.parquet.")

    def write(self, result: pl.DataFrame | pl.LazyFrame, *, title: str = "") -> None:
        """Write one frame; the title stands over a table only."""
        frame = result.collect() if isinstance(result, pl.LazyFrame) else result
        if self.file is None:
            self._write_text(frame, sys.stdout, title)
        elif self.form is Format.PARQUET:
            with whole(self.file) as path:
                frame.write_parquet(path)
        else:
            with whole(self.file) as path, path.open("w", encoding="utf-8", newline="") as stream:
                self._write_text(frame, stream, title)
        if self.file is not None:
            warn(f"{frame.height:,} rows written to {self.file}")

    def write_all(self, parts: Mapping[str, pl.DataFrame]) -> None:
        """Write tables one under the other; every other format holds exactly one."""
        if self.form is not Format.TABLE:
            for frame in parts.values():
                self.write(frame)
            return
        if self.file is None:
            self._write_parts(parts, sys.stdout)
            return
        with whole(self.file) as path, path.open("w", encoding="utf-8", newline="") as stream:
            self._write_parts(parts, stream)
        warn(f"{len(parts)} tables written to {self.file}")

    def _write_parts(self, parts: Mapping[str, pl.DataFrame], stream: IO[str]) -> None:
        for title, frame in parts.items():
            self._write_table(frame, stream, title)
            stream.write("\n")

    def _write_text(self, frame: pl.DataFrame, stream: IO[str], title: str) -> None:
        if self.form is Format.TABLE:
            self._write_table(frame, stream, title)
            return
        lines = _jsonl(frame) if self.form is Format.JSONL else csv_lines(frame, raw=self.raw)
        escape = self.form is Format.CSV and stream.isatty() and not self.raw
        for line in lines:
            stream.write((printable(line) if escape else line) + "\n")

    def _write_table(self, frame: pl.DataFrame, stream: IO[str], title: str) -> None:
        console = _console(stream)
        whole = self.wide or not stream.isatty()
        result = shown(frame, width=None if whole else console.width, limit=self.limit)
        if title:
            console.print(Text(printable(title), style="bold"))
        if frame.height:
            console.print(*result.lines, sep="\n")
        count = [] if self.limit and frame.height > self.limit else [f"{frame.height:,} row{'s'[frame.height == 1 :]}"]
        notes = [*count, *result.notes, *_zones(frame)]
        if result.narrowed:
            notes.append("--wide shows all")
        console.print(Text("; ".join(notes), style="dim"))


def say(text: str = "", *, style: str = "") -> None:
    """Print a line for people on standard output; nothing in it is taken for markup."""
    _console(sys.stdout).print(Text(printable_lines(text), style=style))


def width() -> int:
    """The width of the terminal; 120 where there is none."""
    return _console(sys.stdout).width if sys.stdout.isatty() else 120


def warn(text: str) -> None:
    """Print a line for people on standard error."""
    sys.stderr.write(printable_lines(text) + "\n")


def _console(stream: IO[str]) -> Console:
    return _Terminal(file=stream, highlight=False, markup=False, emoji=False, soft_wrap=True)


def _zones(frame: pl.DataFrame) -> list[str]:
    """In words the time zone of the times, which a table shows without their offset."""
    zones = {kind.time_zone for kind in frame.dtypes if isinstance(kind, pl.Datetime) and kind.time_zone}
    return [f"times are {zone}" for zone in sorted(zones)]


def _jsonl(frame: pl.DataFrame) -> Iterator[str]:
    names = [json_text(name) for name in frame.columns]
    for part in frame.iter_slices(_SLICE):
        for row in part.iter_rows():
            pairs = zip(names, row, strict=True)
            yield "{" + ", ".join(f"{name}: {json_text(value)}" for name, value in pairs) + "}"

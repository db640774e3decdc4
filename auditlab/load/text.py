"""A log from CSV or JSON Lines: every value is read as the text that stands there, and typed exactly or not at all."""

from __future__ import annotations

import re
from io import BufferedReader
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.csv as pv

from auditlab.callers import warn_caller
from auditlab.clock import zone as time_zone
from auditlab.errors import PerhapsCutShort, SchemaMismatch
from auditlab.load.arrow import files, loaded
from auditlab.load.canonical import Canonical
from auditlab.load.columns import ColumnMapping
from auditlab.load.lines import MADE, json_lines
from auditlab.load.partitions import checked, folding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from auditlab.clock import Moment
    from auditlab.load.columns import Columns
    from auditlab.load.entity_key import Key
    from auditlab.load.source import Loaded

__all__ = ["read_csv", "read_jsonl"]

_BLOCK = 8 << 20
"""Bytes that are looked at at a time."""
_PARSED = 8 << 20
"""Bytes that are parsed at a time; a row must not be longer."""
_QUOTE = re.compile(b'"')
_ENDS = b',\r\n"'
"""What stands behind a mark that ends a quoted field, or behind the first of two that are one of its text."""


def read_csv(
    path: str | Path | Sequence[str | Path],
    *,
    columns: Columns | None = None,
    operations: Mapping[str, str | None] | None = None,
    fields: str | Sequence[str] | Mapping[str, str] | None = None,
    entity_type: str | None = None,
    key: Key | None = None,
    unit: str | None = None,
    partitions: Mapping[str, str] | None = None,
    zone: str = "UTC",
    coverage: tuple[Moment, Moment] | None = None,
    strict: bool = True,
) -> Loaded:
    """The log that one or several CSV files with a header hold, as ``COPY ... TO ... (FORMAT csv, HEADER)`` writes it.

    A field without quotation marks and without a character is null; ``""`` is an empty text. Times are ISO 8601, with
    ``T`` or a space, their offset perhaps after another space or called ``UTC``; those without one are read in
    ``zone``. Documents stay the text that they are.

    Args:
        path: The file in UTF-8, or several; one compressed by gzip, zstd, ... is known by its ending.
        columns: As in ``from_arrow``.
        operations: As in ``from_arrow``.
        fields: As in ``from_arrow``. All columns are texts here, and stay such unless it says otherwise.
        entity_type: As in ``from_arrow``.
        key: As in ``from_arrow``.
        unit: As in ``from_arrow``.
        partitions: As in ``from_arrow``.
        zone: As in ``from_arrow``.
        coverage: As in ``from_arrow``.
        strict: As in ``from_arrow``.

    Raises:
        SchemaMismatch: the file is missing, no CSV or cut short, a number is none, and what ``from_arrow`` raises.
        BadTime: a time that cannot be read.
    """
    time_zone(zone)
    folds = checked(partitions)
    mapping = ColumnMapping(
        columns, operations or {}, fields=fields, entity_type=entity_type, key=key, partitions=folds, unit=unit
    )
    paths, source = files(path, "CSV")
    batches = _log(((one, _csv(one)) for one in paths), mapping, zone)
    folded = folding(batches, folds, source)
    found = loaded(folded, mapping, zone=zone, coverage=coverage, source=source, strict=strict)
    mapping.warn_of_unread(source)
    return found


def read_jsonl(
    path: str | Path | Sequence[str | Path],
    *,
    columns: Columns | None = None,
    operations: Mapping[str, str | None] | None = None,
    fields: str | Sequence[str] | Mapping[str, str] | None = None,
    entity_type: str | None = None,
    key: Key | None = None,
    unit: str | None = None,
    partitions: Mapping[str, str] | None = None,
    zone: str = "UTC",
    coverage: tuple[Moment, Moment] | None = None,
    strict: bool = True,
) -> Loaded:
    """The log that one or several files of JSON Lines hold: one object a line, a change each.

    The row before and after may stand there as an object or as a text that holds JSON; either is kept to the letter,
    so that ``1.10`` stays ``1.10``. Times are as in ``read_csv``.

    Args:
        path: The file in UTF-8, or several; one compressed by gzip, zstd, ... is known by its ending.
        columns: As in ``from_arrow``.
        operations: As in ``from_arrow``.
        fields: As in ``from_arrow``. Their values are kept to the letter.
        entity_type: As in ``from_arrow``.
        key: As in ``from_arrow``.
        unit: As in ``from_arrow``.
        partitions: As in ``from_arrow``.
        zone: As in ``from_arrow``.
        coverage: As in ``from_arrow``.
        strict: As in ``from_arrow``.

    Raises:
        SchemaMismatch: the file is missing, a line is no JSON object, a number is none, and what ``from_arrow`` raises.
        BadTime: a time that cannot be read.
    """
    time_zone(zone)
    folds = checked(partitions)
    mapping = ColumnMapping(
        columns, operations or {}, fields=fields, entity_type=entity_type, key=key, partitions=folds, unit=unit
    )
    paths, source = files(path, "JSON Lines")
    mapping.verbatim = True
    states = None if mapping.fields is None else _written
    batches = _log(((one, json_lines(one, mapping).to_batches()) for one in paths), mapping, zone, states)
    folded = folding(batches, folds, source)
    found = loaded(folded, mapping, zone=zone, coverage=coverage, source=source, strict=strict)
    mapping.warn_of_unread(source)
    return found


def _log(
    texts: Iterable[tuple[Path, Iterable[pa.RecordBatch]]],
    mapping: ColumnMapping,
    zone: str,
    states: Callable[[pa.RecordBatch], tuple[pa.Array, pa.Array]] | None = None,
) -> Iterator[pa.RecordBatch]:
    """The canonical batches of files' batches of texts; those of one file all have the same columns."""
    rows = 0
    for path, batches in texts:
        plan = None
        for batch in batches:
            if plan is None:
                told = pa.schema([column for column in batch.schema if column.name not in MADE])
                plan = Canonical(told, columns=mapping, zone=zone, what=str(path), states=states, rows=rows)
            yield plan.batch(batch)
        rows = rows if plan is None else plan.rows


def _written(batch: pa.RecordBatch) -> tuple[pa.Array, pa.Array]:
    """The states of rows as their lines have them, and whether they say anything."""
    states, told = (batch.column(name) for name in MADE)
    return states, told


def _csv(path: Path) -> Iterator[pa.RecordBatch]:
    lines, rows = _check_end(path), 0
    names = _header(path)
    places = [str(place) for place in range(len(names))]  # the reader takes no name that stands there twice
    nothing_guessed = pv.ConvertOptions(
        column_types=dict.fromkeys(places, pa.string()),
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
        null_values=[""],
    )
    parsed = pv.ParseOptions(newlines_in_values=True)
    try:
        with pa.input_stream(str(path), compression="detect") as opened:
            for batch in pv.open_csv(
                opened,
                pv.ReadOptions(block_size=_PARSED, column_names=places),
                parse_options=parsed,
                convert_options=nothing_guessed,
            ):
                header = 0 if rows else 1
                rows += batch.num_rows
                yield batch.slice(header).rename_columns(names)
        # Lines inside of fields are a document's, or rows between two marks that are missing.
        fault = _unclosed(path) if lines > rows and _strays(path) else None
    except (pa.ArrowInvalid, OSError) as exc:
        raise SchemaMismatch(f"cannot read {path} as CSV: {exc}") from exc
    if fault is not None:
        raise SchemaMismatch(f"cannot read {path} as CSV: {fault}")


def _check_end(path: Path) -> int:
    """Refuse a file with a quoted field that does not end as one, and warn of one whose last line has no end.

    Returns:
        How many lines it has.
    """
    last, quotes, lines, returns = b"", 0, 0, 0
    try:
        with pa.input_stream(str(path), compression="detect") as opened:
            while block := opened.read(_BLOCK):
                last, quotes = block, quotes + block.count(b'"')
                lines, returns = lines + block.count(b"\n"), returns + block.count(b"\r")
        fault = _unclosed(path) if quotes % 2 else None
    except (pa.ArrowInvalid, OSError) as exc:
        raise SchemaMismatch(f"cannot read {path} as CSV: {exc}") from exc
    if fault is not None:
        raise SchemaMismatch(f"cannot read {path} as CSV: {fault}")
    if last and not last.endswith((b"\n", b"\r")):
        warn_caller(f"{path}: its last line has no line end, and may be cut short", PerhapsCutShort)
    return lines or returns


def _strays(path: Path) -> bool:
    """Whether a quotation mark stands elsewhere than where a field begins or ends, or beside another mark.

    The marks take turns: one that begins a field stands behind a comma or a line end, one that ends it before one.
    """
    beside = np.zeros(256, dtype=bool)
    beside[list(_ENDS)] = True
    count, left = 0, b"\n"
    with pa.input_stream(str(path), compression="detect") as opened:
        while left:
            block = opened.read(_BLOCK)
            seen = np.frombuffer(left + (block or b"\n"), dtype=np.uint8)  # the last one's neighbour comes later
            marks = np.flatnonzero(seen[1:-1] == _ENDS[-1]) + 1
            ends = (np.arange(len(marks)) + count) % 2
            if not beside[seen[marks + 2 * ends - 1]].all():
                return True
            count, left = count + len(marks), seen[-2:].tobytes() if block else b""
    return False


def _unclosed(path: Path) -> str | None:
    """What is wrong with the quotation marks, in words; marks inside a field that none began are its text.

    A mark that ends a field stands before a comma, a line end or the end. Where one does not, the mark that should have
    ended the field is missing, and what stands between, whole rows perhaps, would be read as its text.
    """
    inside, at, line, begun, before = False, 0, 1, 1, b"\n"
    closed = -1  # the place behind a mark that ends a field, if the next character does not say otherwise
    with pa.input_stream(str(path), compression="detect") as opened:
        while block := opened.read(_BLOCK):
            seen, counted = before + block, 1
            for found in _QUOTE.finditer(seen, 1):
                place = found.start()
                again = closed == at + place  # two marks inside a field are one of its text
                if 0 <= closed < at + place and seen[closed - at] not in _ENDS:
                    return _swallowed(begun)
                line, counted = line + seen.count(b"\n", counted, place), place
                if inside:
                    inside, closed = False, at + place + 1
                else:
                    inside = again or seen[place - 1] in b",\r\n"
                    begun = begun if again or not inside else line
                    closed = -1
            if 0 <= closed < at + len(seen) and seen[closed - at] not in _ENDS:
                return _swallowed(begun)
            closed = closed if closed == at + len(seen) else -1
            line += seen.count(b"\n", counted)
            at, before = at + len(block), seen[-1:]
    return f"the file ends inside a quoted field, which begins in line {begun}: it is cut short" if inside else None


def _swallowed(line: int) -> str:
    return (
        f"the quoted field that begins in line {line} ends before text, so the quotation mark that should end it is "
        "missing: rows may stand inside of it. Write the file again, or put the mark where it belongs"
    )


def _commas(path: Path, header: bytes) -> None:
    """Refuse a header whose names another mark than a comma parts."""
    mark = next((mark for mark in ";\t|" if mark.encode() in header), None)
    if mark is not None and b"," not in header:
        raise SchemaMismatch(
            f"cannot read {path} as CSV: {mark!r} stands between the names of its header, where only a comma is "
            "read. Write it again with commas."
        )


def _header(path: Path) -> list[str]:
    try:
        with pa.input_stream(str(path), compression="detect") as opened:
            _commas(path, BufferedReader(opened).readline(_BLOCK))
        with pa.input_stream(str(path), compression="detect") as opened:
            names: list[str] = pv.open_csv(opened, parse_options=pv.ParseOptions(newlines_in_values=True)).schema.names
    except (pa.ArrowInvalid, OSError) as exc:
        raise SchemaMismatch(f"cannot read {path} as CSV: {exc}") from exc
    return names

"""A log from CSV or JSON Lines: every value is read as the text that stands there, and typed exactly or not at all."""

from __future__ import annotations

import json
import re
import warnings
from io import BufferedReader
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pv

from auditlab.clock import zone as time_zone
from auditlab.errors import BadTime, PerhapsCutShort, SchemaMismatch
from auditlab.load.arrow import loaded
from auditlab.load.canonical import Canonical, source_names
from auditlab.load.partitions import checked, folding
from auditlab.load.source import ARROW_CHANGES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from auditlab.clock import Moment
    from auditlab.load.source import Loaded

__all__ = ["read_csv", "read_jsonl"]

_BLOCK = 8 << 20
"""Bytes that are looked at at a time."""
_PARSED = 8 << 20
"""Bytes that are parsed at a time; a row must not be longer."""
_QUOTE = re.compile(b'"')
_ENDS = b',\r\n"'
"""What stands behind a mark that ends a quoted field, or behind the first of two that are one of its text."""
_SHOWN = 50
"""How many names of columns that are not read are kept, for a message."""
_DIGITS = r"^\s*[+-]?[0-9]+\s*$"
_OFFSET = r"(?i):\d\d.*(z|[+-]\d\d(:?\d\d)?)$"
"""How a time ends that tells its offset; the last part of a bare date looks like one."""


def read_csv(
    path: str | Path,
    *,
    columns: Mapping[str, str | None] | None = None,
    partitions: Mapping[str, str] | None = None,
    zone: str = "UTC",
    coverage: tuple[Moment, Moment] | None = None,
    strict: bool = True,
) -> Loaded:
    """The log that a CSV file with a header holds, as ``COPY ... TO ... (FORMAT csv, HEADER)`` writes it.

    A field without quotation marks and without a character is null; ``""`` is an empty text. Times are ISO 8601, with
    ``T`` or a space; those without an offset are read in ``zone``. Documents stay the text that they are.

    Args:
        path: The file, in UTF-8; one compressed by gzip, zstd, ... is known by its ending.
        columns: As in ``from_arrow``.
        partitions: As in ``from_arrow``.
        zone: As in ``from_arrow``.
        coverage: As in ``from_arrow``.
        strict: As in ``from_arrow``.

    Raises:
        SchemaMismatch: the file is missing, no CSV or cut short, a number is none, and what ``from_arrow`` raises.
        BadTime: a time that cannot be read.
    """
    time_zone(zone)
    return _log(
        _csv(Path(path)), str(path), columns=columns, partitions=partitions, zone=zone, coverage=coverage, strict=strict
    )


def read_jsonl(
    path: str | Path,
    *,
    columns: Mapping[str, str | None] | None = None,
    partitions: Mapping[str, str] | None = None,
    zone: str = "UTC",
    coverage: tuple[Moment, Moment] | None = None,
    strict: bool = True,
) -> Loaded:
    """The log that a file of JSON Lines holds: one object a line, a change each.

    The row before and after may stand there as an object or as a text that holds JSON; either is kept to the letter,
    so that ``1.10`` stays ``1.10``. Times are as in ``read_csv``.

    Args:
        path: The file, in UTF-8; one compressed by gzip, zstd, ... is known by its ending.
        columns: As in ``from_arrow``.
        partitions: As in ``from_arrow``.
        zone: As in ``from_arrow``.
        coverage: As in ``from_arrow``.
        strict: As in ``from_arrow``.

    Raises:
        SchemaMismatch: the file is missing, a line is no JSON object, a number is none, and what ``from_arrow`` raises.
        BadTime: a time that cannot be read.
    """
    time_zone(zone)
    texts = _jsonl(Path(path), frozenset(source_names(columns).values())).to_batches()
    return _log(texts, str(path), columns=columns, partitions=partitions, zone=zone, coverage=coverage, strict=strict)


def _log(
    texts: Iterable[pa.RecordBatch],
    source: str,
    *,
    columns: Mapping[str, str | None] | None,
    partitions: Mapping[str, str] | None,
    zone: str,
    coverage: tuple[Moment, Moment] | None,
    strict: bool,
) -> Loaded:
    """The log that batches of texts hold."""
    names = source_names(columns)
    told = (_typed(batch, names, source) for batch in texts)
    batches = (Canonical(batch.schema, columns=columns, zone=zone, what=source).batch(batch) for batch in told)
    folded = folding(batches, checked(partitions), source)
    return loaded(folded, zone=zone, coverage=coverage, source=source, strict=strict)


def _typed(batch: pa.RecordBatch, names: Mapping[str, str], what: str) -> pa.RecordBatch:
    """The batch with its numbers and times as such."""
    ids = batch.column(names["id"]) if batch.schema.get_field_index(names["id"]) >= 0 else None
    for name, theirs in names.items():
        place = batch.schema.get_field_index(theirs)
        wanted = ARROW_CHANGES.field(name).type
        if place < 0 or pa.types.is_string(wanted):
            continue
        texts = batch.column(place)
        column = _times(texts, name, ids) if pa.types.is_timestamp(wanted) else _whole(texts, name, what)
        batch = batch.set_column(place, pa.field(theirs, column.type), column)
    return batch


def _whole(texts: pa.Array, name: str, what: str) -> pa.Array:
    written = pc.match_substring_regex(texts, _DIGITS)  # the cast would take 0x1F for 31
    if pc.min_max(written)["min"].as_py() is False:
        odd = pc.filter(texts, pc.invert(written))[0].as_py()
        raise SchemaMismatch(f"{what}: {name} is no whole number of 64 bits: {odd!r}. Write it in decimal digits.")
    try:
        return texts.cast(pa.int64())
    except pa.ArrowInvalid as exc:
        raise SchemaMismatch(f"{what}: {name} is no whole number of 64 bits: {exc}") from exc


def _times(texts: pa.Array, name: str, ids: pa.Array | None) -> pa.Array:
    """Texts as timestamps: with the offset that they tell, or, where none of them does, as local ones."""
    texts = pc.utf8_trim_whitespace(texts)
    told = pc.match_substring_regex(texts, _OFFSET)
    local = pc.min_max(told)["max"].as_py() is False
    zone = None if local else "UTC"
    for unit in ("us", "ns"):  # nanoseconds are refused later on by the row that has some
        try:
            return texts.cast(pa.timestamp(unit, zone))
        except pa.ArrowInvalid as exc:
            fault = exc
    for place, text in enumerate(texts.to_pylist()):
        try:
            pa.scalar(text, pa.string()).cast(pa.timestamp("ns", zone))
        except pa.ArrowInvalid:
            row = "" if ids is None else f"row id {ids[place].as_py()}: "
            alone = not local and told[place].as_py() is False
            number = " A number does not tell its unit (seconds, ms, us): make a time of it." if text.isdigit() else ""
            raise BadTime(
                f"{row}{name} = {text!r} is no time that can be read.{number} Write ISO 8601, such as "
                f"2024-06-01T12:00:00.123456+02:00, of the years 1 to 9999."
                f"{' Other times here tell their offset, so this one must, too.' if alone else ''}"
            ) from fault
    raise BadTime(f"{name} cannot be read: {fault}") from fault


def _csv(path: Path) -> Iterator[pa.RecordBatch]:
    lines, rows = _check_end(path), 1
    nothing_guessed = pv.ConvertOptions(
        column_types=dict.fromkeys(_header(path), pa.string()),
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
        null_values=[""],
    )
    parsed = pv.ParseOptions(newlines_in_values=True)
    try:
        with pa.input_stream(str(path), compression="detect") as opened:
            for batch in pv.open_csv(
                opened, pv.ReadOptions(block_size=_PARSED), parse_options=parsed, convert_options=nothing_guessed
            ):
                rows += batch.num_rows
                yield batch
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
        warnings.warn(f"{path}: its last line has no line end, and may be cut short", PerhapsCutShort, stacklevel=2)
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


def _jsonl(path: Path, names: frozenset[str]) -> pa.Table:
    """The columns of these names as texts, none that no line has, and what else there is as columns of nothing."""
    try:
        with pa.input_stream(str(path), compression="detect") as opened:
            tables = list(_objects(BufferedReader(opened), names, path))
    except OSError as exc:
        raise SchemaMismatch(f"cannot read {path} as JSON Lines: {exc}") from exc
    return pa.concat_tables(tables, promote_options="default") if tables else pa.table({})


def _objects(opened: BufferedReader, names: frozenset[str], path: Path) -> Iterator[pa.Table]:
    decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
    number = 0
    others: dict[str, None] = {}
    while lines := opened.readlines(_BLOCK):
        rows = []
        for line in lines:
            number += 1
            if not line.strip():
                continue
            try:
                told = decoder.decode(line)
                _once(told, line)
                row = {name: _text(raw) for name, raw in told.items() if name in names}
            except _Twice as exc:
                raise SchemaMismatch(
                    f"{path}, line {number}: names {str(exc)!r} twice, and which of the two counts is not told. "
                    "Write each name once."
                ) from exc
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
                raise SchemaMismatch(f"{path}, line {number}: is no JSON object: {exc}") from exc
            if not row:
                if told.keys() >= {"op", "source"} or told.keys() == {"schema", "payload"}:
                    raise SchemaMismatch(
                        f"{path}, line {number}: is an event of Debezium's: read_debezium reads those."
                    )
                raise SchemaMismatch(
                    f"{path}, line {number}: has none of {', '.join(sorted(names))}. It has "
                    f"{', '.join(islice(told, _SHOWN)) or 'nothing'}: columns with other names are given by "
                    "columns={'canonical name': 'name there'}."
                )
            rows.append(row)
            if len(others) < _SHOWN:
                others |= dict.fromkeys(islice((name for name in told if name not in names), _SHOWN))
        there = sorted({name for row in rows for name in row})
        texts = {name: pa.array([row.get(name) for row in rows], pa.string()) for name in there}
        yield pa.table(texts | {name: pa.nulls(len(rows)) for name in others})


class _Twice(Exception):
    """A name that stands twice in a line."""


def _once(told: Mapping[str, msgspec.Raw], line: bytes) -> None:
    """Refuse a line that has a name twice: the decoder keeps the last and says nothing."""
    size = sum(len(name.encode("utf-8", "surrogatepass")) + len(bytes(raw)) for name, raw in told.items())
    marks = len(line.strip()) - size - 2  # what is left are quotation marks, colons, commas and blanks
    if marks in (4 * len(told) - 1, 6 * len(told) - 2):
        return

    def look(pairs: list[tuple[str, object]]) -> dict[str, object]:
        names = [name for name, _ in pairs]
        twice.append(next((name for name in names if names.count(name) > 1), None))
        return {}

    twice: list[str | None] = []
    json.loads(line, object_pairs_hook=look, strict=False, parse_int=str, parse_float=str)
    if twice[-1] is not None:  # the outermost object is the last to be whole
        raise _Twice(twice[-1])


def _text(raw: msgspec.Raw) -> str | None:
    """A JSON value: a text as the text that it tells, null as nothing, all else as it is written."""
    written = bytes(raw)
    if written[:1] == b'"':
        return msgspec.json.decode(written, type=str)
    return None if written == b"null" else written.decode()

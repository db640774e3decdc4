"""A log from CSV or JSON Lines: every value is read as the text that stands there, and typed exactly or not at all."""

from __future__ import annotations

import re
import warnings
from io import BufferedReader
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
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
_QUOTE = re.compile(b'"')
_SHOWN = 50
"""How many names of columns that are not read are kept, for a message."""
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
            raise BadTime(
                f"{row}{name} = {text!r} is no time that can be read. Write ISO 8601, such as "
                f"2024-06-01T12:00:00.123456+02:00, of the years 1 to 9999."
                f"{' Other times here tell their offset, so this one must, too.' if alone else ''}"
            ) from fault
    raise BadTime(f"{name} cannot be read: {fault}") from fault


def _csv(path: Path) -> Iterator[pa.RecordBatch]:
    _check_end(path)
    nothing_guessed = pv.ConvertOptions(
        column_types=dict.fromkeys(_header(path), pa.string()),
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
        null_values=[""],
    )
    lines = pv.ParseOptions(newlines_in_values=True)
    try:
        with pa.input_stream(str(path), compression="detect") as opened:
            yield from pv.open_csv(
                opened, pv.ReadOptions(block_size=_BLOCK), parse_options=lines, convert_options=nothing_guessed
            )
    except (pa.ArrowInvalid, OSError) as exc:
        raise SchemaMismatch(f"cannot read {path} as CSV: {exc}") from exc


def _check_end(path: Path) -> None:
    """Refuse a file that ends inside of a quoted field, and warn of one whose last line has no end."""
    last, quotes = b"", 0
    try:
        with pa.input_stream(str(path), compression="detect") as opened:
            while block := opened.read(_BLOCK):
                last, quotes = block, quotes + block.count(b'"')
        unclosed = quotes % 2 == 1 and _ends_quoted(path)
    except (pa.ArrowInvalid, OSError) as exc:
        raise SchemaMismatch(f"cannot read {path} as CSV: {exc}") from exc
    if unclosed:
        raise SchemaMismatch(f"cannot read {path} as CSV: the file ends inside a quoted field: it is cut short")
    if last and not last.endswith((b"\n", b"\r")):
        warnings.warn(f"{path}: its last line has no line end, and may be cut short", PerhapsCutShort, stacklevel=2)


def _ends_quoted(path: Path) -> bool:
    """Whether the file ends inside a quoted field; quotation marks inside a field that none began are its text."""
    inside, at, before = False, 0, b"\n"
    reopens = -1  # the place where a mark is the second one of two inside a field
    with pa.input_stream(str(path), compression="detect") as opened:
        while block := opened.read(_BLOCK):
            seen = before + block
            for found in _QUOTE.finditer(seen, 1):
                place = found.start()
                if inside:
                    inside, reopens = False, at + place + 1
                else:
                    inside = at + place == reopens or seen[place - 1] in b",\r\n"
            at, before = at + len(block), seen[-1:]
    return inside


def _header(path: Path) -> list[str]:
    try:
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
                row = {name: _text(raw) for name, raw in told.items() if name in names}
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
                raise SchemaMismatch(f"{path}, line {number}: is no JSON object: {exc}") from exc
            if not row:
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


def _text(raw: msgspec.Raw) -> str | None:
    """A JSON value: a text as the text that it tells, null as nothing, all else as it is written."""
    written = bytes(raw)
    if written[:1] == b'"':
        return msgspec.json.decode(written, type=str)
    return None if written == b"null" else written.decode()

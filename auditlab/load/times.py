"""Times of a log: microseconds in UTC, exactly, or an error that names the row."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Context, Decimal, Inexact
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from auditlab.clock import zone as time_zone
from auditlab.errors import BadOption, BadTime, DatabaseError
from auditlab.load.filters import compose
from auditlab.load.snapshot import pin

if TYPE_CHECKING:
    from auditlab.connection import Connection
    from auditlab.load.catalog import LogTable

__all__ = ["UnrepresentableTime", "from_numbers", "from_text", "in_words", "ticks", "utc"]

_US = pa.timestamp("us", "UTC")
_FIRST = int(datetime(1, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
_LAST = int(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()) * 1_000_000 + 999_999

_UNITS = ("us", "ns")
"""Nanoseconds are read so that the row that has some is refused by name."""
_OFFSET = r"(?i):\d\d.*(z|[+-]\d\d(:?\d\d)?)$"
"""How a time ends that tells its offset; the last part of a bare date looks like one."""
_SECONDS = r"^[^.]*:\d\d(\.\d{1,6})?[+-]\d\d:\d\d:\d\d$"
"""A time with an offset of seconds, too: how PostgreSQL writes instants older than the time zones."""


_TICKS = {"s": 1_000_000, "ms": 1_000, "us": 1}
"""Microseconds of what a number of a time may count."""
_DATE = r"(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])((0\d|1\d|2[0-3])[0-5]\d([0-5]\d\d{0,6})?)?"
"""Digits that read as a date, or as one and a time of day: 20240131, 20240131235959123."""
_COUNT = r"^\s*-?\d{1,18}(\.\d*)?\s*$"


def ticks(unit: str | None) -> int | None:
    """Microseconds of the unit in which numbers tell times since 1970; None without one.

    Raises:
        BadOption: it is none of those that are known.
    """
    if unit is not None and unit not in _TICKS:
        raise BadOption(f"unit={unit!r}: numbers tell times in one of {', '.join(_TICKS)} since 1970.")
    return None if unit is None else _TICKS[unit]


class UnrepresentableTime(BadTime):
    """A time beyond the years 1 to 9999 (an infinite one too); carries the row's id and the column."""

    def __init__(self, message: str, *, row_id: int | None, column: str) -> None:
        super().__init__(message)
        self.row_id = row_id
        self.column = column


def from_text(texts: pa.Array, *, name: str, ids: pa.Array) -> pa.Array:
    """Texts as timestamps: with the offset that they tell, or, where none of them does, without a zone.

    ISO 8601, with ``T`` or a blank before the time; behind it an offset, a blank and an offset, ``Z`` or ``UTC``.

    Args:
        texts: Texts.
        name: The column's name, for messages.
        ids: The rows' ids, for messages.

    Raises:
        BadTime: one that cannot be read, or has no offset where others have.
    """
    fault: pa.ArrowInvalid
    for rewritten in (pc.utf8_trim_whitespace, _iso):  # most stand in ISO 8601 as they are
        iso = rewritten(texts)
        offsets = pc.match_substring_regex(iso, _OFFSET)
        local = pc.min_max(offsets)["max"].as_py() is False
        zone = None if local else "UTC"
        for unit in _UNITS:
            try:
                return iso.cast(pa.timestamp(unit, zone))
            except pa.ArrowInvalid as exc:
                fault = exc
    for place, text in enumerate(iso.to_pylist()):
        try:
            pa.scalar(text, pa.string()).cast(pa.timestamp(_UNITS[-1], zone))
        except pa.ArrowInvalid:
            alone = not local and offsets[place].as_py() is False
            number = _digits(text.strip()) if text.strip().isdigit() else ""
            raise BadTime(
                f"row id {ids[place].as_py()}: {name} = {texts[place].as_py()!r} is no time that can be read."
                f"{number} Write ISO 8601, such as 2024-06-01T12:00:00.123456+02:00, of the years 1 to 9999."
                f"{' Other times here tell their offset, so this one must, too.' if alone else ''}"
            ) from fault
    raise BadTime(f"{name} cannot be read: {fault}") from fault


def _digits(text: str) -> str:
    """What to say of a time that is digits alone."""
    if re.fullmatch(_DATE, text):
        return f" As digits of a date it is written with marks between them: {text[:4]}-{text[4:6]}-{text[6:8]}."
    return " A number does not tell its unit: unit='s', 'ms' or 'us' says it."


def from_numbers(column: pa.Array, ticks: int, *, name: str, ids: pa.Array) -> pa.Array:
    """Numbers since 1970, or texts that are such, as timestamps in UTC.

    Args:
        column: Numbers or texts.
        ticks: Microseconds of one.
        name: The column's name, for messages.
        ids: The rows' ids, for messages.

    Raises:
        BadTime: a text that is no number, or one that is no whole microsecond or beyond what can be held.
    """
    texts = column.cast(pa.string())
    written = pc.match_substring_regex(texts, _COUNT)
    if pc.min_max(written)["min"].as_py() is False:
        odd = pc.invert(pc.fill_null(written, fill_value=True))
        raise BadTime(
            f"row id {ids.filter(odd)[0].as_py()}: {name} = {texts.filter(odd)[0].as_py()!r} is no number of the unit "
            "that unit= names. Leave unit= away where times are written out."
        )
    try:
        if not pc.any(pc.match_substring(texts, ".")).as_py():
            return pc.multiply_checked(pc.utf8_trim_whitespace(texts).cast(pa.int64()), ticks).cast(_US)
        counted = [None if text is None else Decimal(text) * ticks for text in texts.to_pylist()]
        return pa.array([_whole(one) for one in counted], pa.int64()).cast(_US)
    except (pa.ArrowInvalid, OverflowError, Inexact) as exc:
        raise BadTime(f"{name}: a number is no whole microsecond since 1970, or beyond what can be held") from exc


def _whole(count: Decimal | None) -> int | None:
    return None if count is None else int(count.to_integral_exact(context=Context(traps=[Inexact])))


def _iso(texts: pa.Array) -> pa.Array:
    """Times with a blank before their offset, with the name of UTC, or with an offset of seconds, in ISO 8601."""
    texts = pc.utf8_trim_whitespace(texts)
    texts = pc.replace_substring_regex(texts, r"(?i)(:\d\d.*?)\s*(UTC|GMT)$", r"\1Z")
    texts = pc.replace_substring_regex(texts, r"(:\d\d.*?)\s+([+-]\d\d(:?\d\d){0,2}Z?)$", r"\1\2")
    texts = pc.replace_substring_regex(texts, r"(:\d\d.*[+-]0000)Z$", r"\1")
    odd = pc.fill_null(pc.match_substring_regex(texts, _SECONDS), fill_value=False)
    return pc.replace_with_mask(texts, odd, _whole_minutes(texts.filter(odd))) if pc.any(odd).as_py() else texts


def _whole_minutes(texts: pa.Array) -> pa.Array:
    """The same instants of times with offsets of seconds, in UTC; what is no such time stays as it is."""

    def in_utc(text: str) -> str:
        try:
            return datetime.fromisoformat(text).astimezone(UTC).isoformat()
        except (ValueError, OverflowError):
            return text

    return pa.array(map(in_utc, texts.to_pylist()), pa.string())


def in_words(holder: Connection, log: LogTable, exc: UnrepresentableTime) -> str:
    """The message about a time of a log in a database that cannot be represented, as PostgreSQL writes it."""
    try:
        holder.rollback()
        pin(holder)
        query = compose("value", log).replace("l.changed_at", f"l.{exc.column}")
        value = holder.rows(query, (exc.row_id,))[0]["value"]
    except (DatabaseError, IndexError):
        value = "a time"
    return (
        f"row id {exc.row_id}: {exc.column}={value} cannot be represented (the years 1 to 9999 can). "
        "Correct the row, or leave it out by start= and end=."
    )


def utc(column: pa.Array, *, zone: str, name: str, ids: pa.Array) -> pa.Array:
    """A timestamp column as microseconds in UTC; times without a zone are read in ``zone``.

    Args:
        column: Timestamps of any unit, with or without a zone.
        zone: Where times without a zone are read.
        name: The column's name, for messages.
        ids: The rows' ids, for messages.

    Raises:
        BadTime: a time finer than a microsecond, outside the years 1 to 9999, or a local time that exists twice or
            not at all in ``zone``.
    """
    if pa.types.is_null(column.type):
        return pa.nulls(len(column), _US)
    aware = column.type.tz is not None
    try:
        exact = column.cast(pa.timestamp("us", column.type.tz), safe=True)
    except pa.ArrowInvalid as exc:
        raise BadTime(_inexact(column, name, ids)) from exc
    _in_range(exact, name, ids)
    if not aware:
        exact = _localised(exact, zone, name, ids)
        _in_range(exact, name, ids)
    return exact.cast(_US)


def _in_range(column: pa.Array, name: str, ids: pa.Array) -> None:
    least, most = pc.min_max(column.cast(pa.int64())).values()
    if least.as_py() is None or (least.as_py() >= _FIRST and most.as_py() <= _LAST):
        return
    ticks = column.cast(pa.int64()).to_pylist()
    place = next(i for i, tick in enumerate(ticks) if tick is not None and not _FIRST <= tick <= _LAST)
    raise UnrepresentableTime(
        f"row id {ids[place].as_py()}: {name} = {ticks[place]} microseconds since 1970 is infinite or beyond the years "
        "1 to 9999 and cannot be represented. Correct the row or leave it out.",
        row_id=ids[place].as_py(),
        column=name,
    )


def _localised(column: pa.Array, zone: str, name: str, ids: pa.Array) -> pa.Array:
    time_zone(zone)
    try:
        return pc.assume_timezone(column, zone, ambiguous="raise", nonexistent="raise")
    except (pa.ArrowInvalid, ValueError) as exc:
        for place, row_id in enumerate(ids.to_pylist()):
            try:
                pc.assume_timezone(column.slice(place, 1), zone, ambiguous="raise", nonexistent="raise")
            except (pa.ArrowInvalid, ValueError):
                raise BadTime(
                    f"row id {row_id}: {name} = {column[place].as_py()} exists twice or not at all in {zone} "
                    "(the clocks change). Give times with their offset, or the zone they were written in by zone=."
                ) from exc
        raise BadTime(f"{name} cannot be read in {zone}: {exc}") from exc


def _inexact(column: pa.Array, name: str, ids: pa.Array) -> str:
    for place, row_id in enumerate(ids.to_pylist()):
        one = column.slice(place, 1)
        try:
            one.cast(pa.timestamp("us", column.type.tz), safe=True)
        except pa.ArrowInvalid:
            ticks = one.cast(pa.int64())[0].as_py()
            return (
                f"row id {row_id}: {name} = {ticks} {column.type.unit} since 1970 is no whole microsecond, or beyond "
                "what microseconds can hold. auditlab keeps microseconds, as PostgreSQL does; round in the source."
            )
    return f"{name} cannot be held in microseconds"

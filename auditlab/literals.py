"""How numbers, instants, bytea and intervals are written: their canonical texts, and their typed columns."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation

import polars as pl

__all__ = [
    "canonical_instants",
    "canonical_number",
    "canonical_string",
    "empty",
    "floats_are_exact",
    "instants",
    "strings",
    "with_specials",
]

LONGEST_POSITIONAL = 100
"""Numbers with more digits than this are canonical in scientific form."""

SPECIALS = ("NaN", "Infinity", "-Infinity")
"""The numbers that JSON has no number for, as PostgreSQL writes them."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CYCLE = 146_097 * 86_400_000_000
"""Microseconds of the 400 years after which the calendar repeats."""

DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
TIMESTAMP = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-5][0-9](\.[0-9]{1,6})?)?$"
OFFSET = r"(Z|[+-][0-9]{2}(:?[0-9]{2}(:[0-9]{2})?)?)$"
INSTANT = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-5][0-9](\.[0-9]{1,6})?)?" + OFFSET
LOCAL_MEAN = r"[+-][0-9]{2}:[0-9]{2}:[0-9]{2}$"
"""An offset with seconds: how PostgreSQL writes instants older than the time zones."""
_INSTANT = re.compile(INSTANT)
_REST = INSTANT.removeprefix("^[0-9]{4}").removesuffix("$")
_FAR = re.compile(rf"(?=[0-9]{{5}}|.* BC$)(?P<year>[0-9]{{4,6}})(?P<rest>{_REST})(?P<bc> BC)?")
SLOW = r'^(\{?[\[(]("|,|-?infinity)|[0-9]{5,6}-[0-9]{2}-[0-9]{2}[T ])|[0-9] BC$'
"""The texts that only :func:`canonical_string` reads: ranges, and instants before the year 1 or after 9999."""
_BOUND = rf'(?:"{INSTANT[1:-1]}"|-?infinity|)'
_RANGE = rf"[\[(]{_BOUND},{_BOUND}[\])]"
_INSTANT_RANGE = re.compile(rf"{_RANGE}|\{{{_RANGE}(?:,{_RANGE})*\}}")

EMPTY_DTYPES: dict[str, pl.DataType] = {
    "int": pl.Int64(),
    "decimal": pl.Decimal(38, 0),
    "float": pl.Float64(),
    "bool": pl.Boolean(),
    "date": pl.Date(),
    "timestamp": pl.Datetime("us"),
    "timestamptz": pl.Datetime("us", "UTC"),
}
"""The column types of fields that no document gives a value, by the kind that the catalog declares."""


def canonical_number(raw: str) -> str:
    """A JSON number's value as text: no superfluous zeros, one form for each value."""
    try:
        sign, digits, exponent = Decimal(raw).as_tuple()
    except InvalidOperation:
        return raw
    if not isinstance(exponent, int):
        return raw
    significant = "".join(map(str, digits)).lstrip("0")
    stripped = significant.rstrip("0")
    if not stripped:
        return "0"
    exponent += len(significant) - len(stripped)
    minus = "-" if sign else ""
    if abs(exponent) + len(stripped) > LONGEST_POSITIONAL:
        return f"{minus}{stripped}E{exponent}"
    return format(Decimal(f"{minus}{stripped}E{exponent}"), "f")


def canonical_string(value: str, kind: str | None) -> str:
    """A JSON string's value as text, read as what its field is declared to hold."""
    if kind in (None, "timestamptz") and _INSTANT.match(value):
        micros = _micros(value)
        return f"s{value}" if micros is None else f"t{micros}"
    if kind in (None, "timestamptz") and (far := _FAR.fullmatch(value)):
        micros = _far(**far.groupdict())
        return f"s{value}" if micros is None else f"t{micros}"
    if kind in (None, "tstzrange") and _INSTANT_RANGE.fullmatch(value):
        return "r" + re.sub('"(.*?)"', lambda bound: canonical_string(bound[1], None), value)
    if kind == "bytea":
        return "b" + _bytea(value)
    if kind == "interval":
        return "i" + _interval(value)
    return "s" + value


def canonical_instants(fast: pl.Series, instants: pl.Series) -> pl.Series:
    """``fast`` with the cells that are instants replaced by their microseconds since 1970, UTC."""
    cells = pl.DataFrame({"fast": fast, "micros": instants.dt.epoch("us")})
    instant = pl.lit("t") + pl.col("micros").cast(pl.String)
    return cells.select(pl.when(pl.col("micros").is_not_null()).then(instant).otherwise(pl.col("fast"))).to_series()


def strings(text: pl.Series, declared: str | None, instants: pl.Series | None) -> tuple[pl.Series, str, str]:
    """The typed column of a field whose every value is a JSON string: time types where all values fit, else text.

    Args:
        text: The values.
        declared: The kind that the source's catalog declares.
        instants: What :func:`instants` made of them, where the field may hold instants.
    """
    typed: pl.Series | None = None
    kind = "text"
    if instants is not None and instants.null_count() == text.null_count():
        typed, kind = instants, "timestamptz"
    elif declared in (None, "timestamp") and _all_like(text, TIMESTAMP):
        typed, kind = _timestamps(text), "timestamp"
    elif declared in (None, "date") and _all_like(text, DATE):
        typed, kind = text.str.to_date("%Y-%m-%d", strict=False), "date"
    if typed is not None and typed.null_count() == text.null_count() and _in_years(typed):
        return typed, kind, ""
    note = f"holds values that a {declared} column cannot: kept as text" if declared in EMPTY_DTYPES else ""
    return text, "text", note


def _all_like(text: pl.Series, pattern: str) -> bool:
    """Whether all texts match a pattern; most columns do not, and one text shows it."""
    one: str | None = text.first(ignore_nulls=True)  # type: ignore[assignment]  # a column of texts
    return (one is None or re.match(pattern, one) is not None) and bool(text.str.contains(pattern).all())


def _in_years(times: pl.Series) -> bool:
    """Whether all are of the years 1 to 9999, in UTC too: Python, pandas and most databases know no others."""
    return bool(times.dt.year().is_between(1, 9999).all())


def empty(text: pl.Series, declared: str | None) -> tuple[pl.Series, str, str]:
    """The column of a field that has no value anywhere."""
    dtype = EMPTY_DTYPES.get(declared or "", pl.String())
    return pl.Series(values=[None] * len(text), dtype=dtype), declared or "empty", ""


def with_specials(text: pl.Series, quoted: pl.Series, declared: str) -> tuple[pl.Series, str, str] | None:
    """The column of a number field whose only texts are NaN and the infinities; None where there are others.

    PostgreSQL writes these as JSON texts. A float column holds them, a decimal column does not.
    """
    quoted = quoted.fill_null(value=False)
    if not text.filter(quoted).is_in(SPECIALS).all():
        return None
    if declared == "decimal":
        return text, "text", "holds NaN or infinity, which a decimal column cannot: kept as text"
    floats = text.cast(pl.Float64, strict=False)
    return (floats, "float", "") if floats_are_exact(text.filter(~quoted), floats.filter(~quoted)) else None


def floats_are_exact(text: pl.Series, floats: pl.Series) -> bool:
    """True where every number is exactly the shortest text of its double, as PostgreSQL writes float8."""
    distinct = pl.DataFrame({"text": text, "float": floats}).drop_nulls("text").unique()
    if distinct["float"].null_count():
        return False
    pairs = zip(distinct["text"], distinct["float"], strict=True)
    return all(canonical_number(number) == canonical_number(repr(value)) for number, value in pairs)


def _timestamps(text: pl.Series) -> pl.Series:
    regular = text.str.replace(" ", "T", literal=True).str.replace(r"T(\d\d:\d\d)$", "T$1:00")
    return regular.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", time_unit="us", strict=False)


def instants(text: pl.Series) -> pl.Series | None:
    """Instants from the texts that look like some, null for others and days that do not exist; None without any."""
    looks = text.str.contains(INSTANT)
    if not looks.any():
        return None
    if (odd := text.str.contains(LOCAL_MEAN)).any():
        distinct = text.filter(odd).unique()
        utc = [_in_utc(value) for value in distinct]
        text = text.replace_strict(distinct, utc, default=text, return_dtype=pl.String)
    return pl.select(pl.when(looks).then(_parsed(pl.lit(text)))).to_series()


def _parsed(text: pl.Expr) -> pl.Expr:
    regular = (
        text.str.replace(" ", "T", literal=True)
        .str.replace(r"Z$", "+00:00")
        .str.replace(r"([+-]\d\d)$", "$1:00")
        .str.replace(r"([+-]\d\d)(\d\d)$", "$1:$2")
        .str.replace(r"T(\d\d:\d\d)([+-])", "T${1}:00$2")
    )
    return regular.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%:z", time_unit="us", time_zone="UTC", strict=False)


def _in_utc(value: str) -> str | None:
    try:
        return datetime.fromisoformat(value).astimezone(UTC).isoformat()
    except (ValueError, OverflowError):
        return None


def _micros(value: str) -> int | None:
    try:
        return (datetime.fromisoformat(value) - EPOCH) // timedelta(microseconds=1)
    except ValueError:
        return None


def _far(year: str, rest: str, bc: str | None) -> int | None:
    """The microseconds of an instant of any year: one zone writes the years 1 and 9999 of another so."""
    number = 1 - int(year) if bc else int(year)
    micros = _micros(f"{2000 + number % 400}{rest}")
    return None if micros is None else micros + (number - number % 400 - 2000) // 400 * _CYCLE


def _bytea(value: str) -> str:
    """Bytea in hex or in escape format, as lower-case hex; a text that is neither stays itself."""
    if re.fullmatch(r"\\x([0-9a-fA-F]{2})*", value):
        return value[2:].lower()
    if re.fullmatch(r"(?:[^\\]|\\\\|\\[0-3][0-7]{2})*", value) is None:
        return f"?{value}"
    octets = re.sub(r"\\([0-3][0-7]{2})|\\\\", lambda m: chr(int(m[1], 8)) if m[1] else "\\", value)
    return octets.encode("latin-1", "backslashreplace").hex()


UNITS = {"year": (12, 0, 0), "mon": (1, 0, 0), "week": (0, 7, 0), "day": (0, 1, 0),
         "hour": (0, 0, 3600), "min": (0, 0, 60), "sec": (0, 0, 1)}  # fmt: skip
CLOCK = ("hour", "min", "sec")
ISO_UNITS = {"Y": "year", "M": "mon", "W": "week", "D": "day", "H": "hour", "S": "sec"}


_CLOCK = r"(\d+):(\d\d):(\d\d(?:\.\d+)?)"
_MONTHS_DAYS = re.compile(rf"([+-]?)(\d+)-(\d+)(?: ([+-])(\d+) ([+-]){_CLOCK})?")
_DAYS = re.compile(rf"([+-]?)(\d+) {_CLOCK}")


def _interval(value: str) -> str:
    """An interval of any of PostgreSQL's styles as months, days and seconds; a text that is none stays itself."""
    pairs = _iso_parts(value) if value.startswith("P") else _standard_parts(value) or _word_parts(value)
    if pairs is None:
        return f"?{value}"
    total = [Decimal(0)] * 3
    for amount, unit in pairs:
        for place, factor in enumerate(UNITS[unit]):
            total[place] += amount * factor
    return "/".join(canonical_number(str(part)) for part in total)


def _iso_parts(value: str) -> list[tuple[Decimal, str]] | None:
    if not re.fullmatch(r"P(?:-?[\d.]+[YMWD])*(?:T(?:-?[\d.]+[HMS])+)?", value):
        return None
    date, _, time = value[1:].partition("T")
    parts = [(Decimal(n), ISO_UNITS[u]) for n, u in re.findall(r"(-?[\d.]+)([YMWD])", date)]
    return parts + [
        (Decimal(n), "min" if u == "M" else ISO_UNITS[u]) for n, u in re.findall(r"(-?[\d.]+)([HMS])", time)
    ]


def _standard_parts(value: str) -> list[tuple[Decimal, str]] | None:
    """The style sql_standard: ``1-2``, ``-3 4:05:06`` (one sign for both), ``+1-2 -3 +4:05:06`` (one for each)."""
    if found := _DAYS.fullmatch(value):
        sign, *numbers = found.groups()
        signed = [(sign, numbers[0], "day"), *((sign, n, u) for n, u in zip(numbers[1:], CLOCK, strict=True))]
    elif found := _MONTHS_DAYS.fullmatch(value):
        of_months, years, months, of_days, days, of_time, *clock = found.groups()
        signed = [(of_months, years, "year"), (of_months, months, "mon")]
        if days is not None:
            signed += [(of_days, days, "day"), *((of_time, n, u) for n, u in zip(clock, CLOCK, strict=True))]
    else:
        return None
    return [(Decimal(f"{sign}{number}"), unit) for sign, number, unit in signed]


def _word_parts(value: str) -> list[tuple[Decimal, str]] | None:
    text, ago = re.subn(r"\s+ago$", "", value.strip().removeprefix("@").strip())
    clock = re.search(r"([+-]?)(\d+):(\d\d)(?::(\d\d(?:\.\d+)?))?$", text)
    parts: list[tuple[Decimal, str]] = []
    if clock:
        sign = Decimal(-1 if clock[1] == "-" else 1)
        units = zip(clock.groups()[1:], CLOCK, strict=True)
        parts = [(sign * Decimal(number or 0), unit) for number, unit in units]
        text = text[: clock.start()].strip()
    words = re.findall(r"([+-]?\d+(?:\.\d+)?) (year|mon|week|day|hour|min|sec)s?", text)
    if re.sub(r"([+-]?\d+(?:\.\d+)?) (year|mon|week|day|hour|min|sec)s?", "", text).strip() or not (parts or words):
        return [(Decimal(0), "sec")] if text == "0" else None
    parts += [(Decimal(number), unit) for number, unit in words]
    return [(-number, unit) for number, unit in parts] if ago else parts

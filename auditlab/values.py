"""What a recorded value is: its canonical form (equal values, equal text) and its exact typed column.

Equality follows the value, not its rendering: ``1.50`` is ``1.5``, an instant is the same in every zone, the order of
an object's keys means nothing, JSON null is not a missing key. :func:`canonical` is the definition, one value at a
time; :func:`column` does the same to a whole field and adds the narrowest exact type that holds every value.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import TYPE_CHECKING

import polars as pl

from auditlab import literals
from auditlab.dictionary import by_number, codes

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditlab.dictionary import Coded

__all__ = ["Column", "canonical", "column", "digits", "inner_kind", "plain_texts", "recorded_text"]

PLAIN_NUMBER = r"^-?[0-9]{1,60}(\.[0-9]{1,60})?$"
LONE_SURROGATE = re.compile("[\ud800-\udfff]")
DECIMAL_DIGITS = 38
"""Digits that a decimal column holds on every engine."""

INSTANT_KINDS = (None, "timestamptz")
"""Declared kinds whose texts are read as instants; None is a field that no catalog declared."""


_RAW = pl.col("raw")
_SHAPE = (
    pl.when(_RAW.is_null() | (_RAW == "null"))
    .then(None)
    .when(_RAW.str.head(1) == '"')
    .then(pl.lit("string"))
    .when(_RAW.str.head(1).is_in(["{", "["]))
    .then(pl.lit("json"))
    .when(_RAW.str.head(1).is_in(["t", "f"]))
    .then(pl.lit("bool"))
    .otherwise(pl.lit("number"))
)
"""What a raw value is; null for JSON null and for a missing field."""
_TEXT = pl.when(_RAW != "null").then(
    pl.when(_RAW.str.starts_with('"')).then(_RAW.str.strip_prefix('"').str.strip_suffix('"')).otherwise(_RAW)
)
"""A raw value as people read it, but for what is escaped in it."""


@dataclass(frozen=True)
class Column:
    """One field of an entity type over all its documents.

    Args:
        name: The field's name as recorded.
        kind: int, decimal, float, bool, text, timestamptz, timestamp, date, json, mixed or empty.
        note: Why the column is text where a typed one was to be expected; else empty.
        strings: Whether every value is a JSON string: ``text`` is then without quotes, else it is JSON.
        values: ``typed`` and ``text`` by document, or, with ``numbers``, of each distinct value.
        coded: Finds ``code`` likewise; not every question needs it.
        numbers: UInt32; the number of each document's value, null where the field is missing.
    """

    name: str
    kind: str
    note: str
    strings: bool
    values: tuple[pl.Series, pl.Series]
    coded: Callable[[], pl.Series]
    numbers: pl.Series | None = None
    _known: dict[str, pl.Series] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def dtype(self) -> pl.DataType:
        """The type of ``typed``."""
        return self.values[0].dtype

    @property
    def typed(self) -> pl.Series:
        """The exact typed values; null for JSON null and for a missing field."""
        return self._spread("typed", lambda: self.values[0])

    @property
    def text(self) -> pl.Series:
        """The recorded text (of strings without their quotes); null for JSON null and for a missing field."""
        return self._spread("text", lambda: self.values[1])

    @property
    def code(self) -> pl.Series:
        """The same number for equal values, UInt32; null where the field is missing."""
        return self._spread("code", self.coded)

    @property
    def alike(self) -> bool:
        """Whether it is known that every document has the field, and all have the same value."""
        known = self.numbers is not None and len(self.values[0]) == 1 and not self.numbers.null_count()
        return known and not self.coded().null_count()  # in a bucket that lacks it, the field has a number, too

    def head(self, rows: int) -> Column:
        """The column over the first documents."""
        own = (self.typed.head(rows), self.text.head(rows))
        return replace(self, values=own, coded=lambda: self.code.head(rows), numbers=None)

    def of(self, documents: pl.Series) -> Column:
        """The column over some documents: their numbers (UInt32), null where the field is to be missing."""
        return replace(self, numbers=documents if self.numbers is None else self.numbers[documents])

    def _spread(self, name: str, part: Callable[[], pl.Series]) -> pl.Series:
        # No cached_property: up to Python 3.11 all columns have one lock, and wait for each other in it.
        if name not in self._known:
            self._known[name] = part() if self.numbers is None else part()[self.numbers]
        return self._known[name]


def canonical(raw: str, kind: str | None = None) -> str:
    """The canonical text of one raw JSON value: equal values have equal texts.

    Args:
        raw: The value's JSON text.
        kind: The kind that the source's catalog declares for the field, if it does.
    """
    head = raw[0]
    if head == '"':
        return literals.canonical_string(_unquote(raw), kind)
    if head in "{[":
        value = json.loads(raw, strict=False, parse_int=_Number, parse_float=_Number)
        return "j" + _canonical_json(value, inner_kind(kind))
    if head in "tfn":
        return raw
    return "n" + literals.canonical_number(raw)


def inner_kind(kind: str | None) -> str | None:
    """The kind of the values inside a nested value: an array's elements are of its type, a JSON text is a text.

    Where nothing is declared, a text inside is read as one that stands alone is: it may be an instant.
    """
    if kind is None:
        return None
    return kind.removesuffix("[]") if kind.endswith("[]") else "json"


def recorded_text(raw: str) -> str | None:
    """A raw JSON value as people read it: strings without quotes, null as None, all else as recorded."""
    if raw == "null":
        return None
    if raw[0] != '"':
        return raw
    value = _unquote(raw)
    return raw[1:-1] if LONE_SURROGATE.search(value) else value


def plain_texts(raw: pl.Series) -> pl.Series:
    """Raw JSON values as people read them (:func:`recorded_text`)."""
    distinct = raw.drop_nulls().unique()
    told = pl.Series([recorded_text(value) for value in distinct], dtype=pl.String)
    return raw.replace_strict(distinct, told, default=None, return_dtype=pl.String)


def column(name: str, raw: pl.Series | Coded, declared: str | None = None) -> Column:
    """The field's column from the raw JSON text of each document (null where the field is missing).

    Args:
        name: The field's name.
        raw: String; the raw JSON text by document, by number where it is held so.
        declared: The kind that the source's catalog declares, trusted only where every value fits it.
    """
    values, numbers = by_number(raw)
    return replace(_column(name, values, declared), numbers=numbers)


def _column(name: str, raw: pl.Series, declared: str | None) -> Column:
    raw = raw.alias("raw")  # Polars takes a name like ^a.*$ for a pattern
    cells = pl.DataFrame({"raw": raw}).with_columns(shape=_SHAPE, text=_TEXT)
    shapes = set(cells["shape"].unique().to_list()) - {None}
    text = cells["text"].alias("raw")
    if "string" in shapes and (escaped := raw.str.contains("\\", literal=True)).any():
        text = _patch(text, raw, escaped & (cells["shape"] == "string"), recorded_text)
    instants = literals.instants(text) if "string" in shapes and declared in INSTANT_KINDS else None
    coded = cache(partial(_coded, raw, cells["shape"], text, declared, instants))
    if shapes == {"number", "string"} and declared in ("float", "decimal"):
        special = literals.with_specials(text, cells["shape"] == "string", declared)
        if special is not None:
            typed, kind, note = special
            return Column(name, kind, note, strings=False, values=(typed, text), coded=coded)
    if len(shapes) > 1:
        as_json = cells.select(pl.when(pl.col("shape").is_not_null()).then(pl.col("raw")))["raw"]
        note = f"holds {' and '.join(sorted(shapes))} values: shown as JSON text"
        return Column(name, "mixed", note, strings=False, values=(as_json, as_json), coded=coded)
    strings = shapes == {"string"}
    typed, kind, note = _typed(text, shapes.pop() if shapes else None, declared, instants)
    return Column(name, kind, note, strings, (typed, text), coded)


def _coded(
    raw: pl.Series, shape: pl.Series, text: pl.Series, declared: str | None, instants: pl.Series | None
) -> pl.Series:
    return codes(_canonicals(raw, shape, text, declared, instants))


def _typed(
    text: pl.Series, shape: str | None, declared: str | None, instants: pl.Series | None
) -> tuple[pl.Series, str, str]:
    if shape is None:
        return literals.empty(text, declared)
    if shape == "bool":
        return text == "true", "bool", ""
    if shape == "number":
        return _numbers(text, declared)
    if shape == "string":
        return literals.strings(text, declared, instants)
    return text, "json", ""


def _numbers(text: pl.Series, declared: str | None) -> tuple[pl.Series, str, str]:
    if declared == "float":
        floats = text.cast(pl.Float64, strict=False)
        if literals.floats_are_exact(text, floats):
            return floats, "float", ""
    plain = _positional(text)
    if plain is not text and not plain.str.contains(PLAIN_NUMBER).all():
        return text, "text", "holds numbers of more digits than a decimal column holds: kept as text"
    if declared != "decimal" and not plain.str.contains(".", literal=True).any():
        small = plain.cast(pl.Int64, strict=False)
        if small.null_count() == text.null_count():
            return small, "int", ""
    whole, scale = (int(part.max() or 0) for part in _digits(plain))  # type: ignore[arg-type]
    if whole + scale > DECIMAL_DIGITS:
        return text, "text", f"holds numbers of {whole + scale} digits, more than a decimal column holds: kept as text"
    return (
        plain.cast(pl.Decimal(DECIMAL_DIGITS, scale)),
        "int" if scale == 0 and declared != "decimal" else "decimal",
        "",
    )


def _positional(text: pl.Series) -> pl.Series:
    """Numbers without exponents; those of very many digits stay as they are. Where all are plain, ``text`` itself."""
    odd = ~text.str.contains(PLAIN_NUMBER)
    return _patch(text, text, odd, literals.canonical_number) if odd.any() else text


def _digits(plain: pl.Series) -> tuple[pl.Series, pl.Series]:
    """How many digits numbers have before the point and behind it, UInt32; null behind it where there is no point."""
    parts = plain.str.strip_chars_start("-").str.splitn(".", 2).struct.unnest()
    return parts.to_series(0).str.strip_chars_start("0").str.len_bytes(), parts.to_series(1).str.len_bytes()


def digits(text: pl.Series) -> pl.DataFrame:
    """How many digits each JSON number has.

    Returns:
        whole and fraction (UInt32), before the point and behind it; null for one of more than a decimal column holds
        on either side, and where there is none.
    """
    plain = _positional(text)
    plain = pl.select(pl.when(plain.str.contains(PLAIN_NUMBER)).then(plain)).to_series()
    whole, fraction = _digits(plain)
    return pl.DataFrame({"whole": whole, "fraction": fraction.fill_null(0)})


def _canonicals(
    raw: pl.Series, shape: pl.Series, text: pl.Series, declared: str | None, instants: pl.Series | None
) -> pl.Series:
    """The canonical text of every cell: fast where the form is plain, by :func:`canonical` where it is not."""
    cells = pl.DataFrame({"raw": raw, "shape": shape, "text": text})
    number = pl.col("raw")
    number = (
        pl.when(number.str.contains(".", literal=True))
        .then(
            number.str.strip_chars_end("0").str.strip_suffix("."),
        )
        .otherwise(number)
    )
    number = pl.when(number == "-0").then(pl.lit("0")).otherwise(number)
    fast = cells.select(
        pl.when(pl.col("shape") == "number")
        .then("n" + number)
        .when(pl.col("shape") == "string")
        .then("s" + pl.col("text"))
        .otherwise(pl.col("raw"))
        .alias("canonical"),
    )["canonical"]
    slow = (shape == "json") | ((shape == "number") & ~raw.str.contains(PLAIN_NUMBER))
    strings = shape == "string"
    if declared in ("bytea", "interval", "tstzrange"):
        slow |= strings
    elif declared in INSTANT_KINDS:
        slow |= strings & text.str.contains(literals.SLOW)
    if instants is not None:
        fast = literals.canonical_instants(fast, instants)
    return _patch(fast, raw, slow, lambda value: canonical(value, declared))


def _patch(values: pl.Series, raw: pl.Series, where: pl.Series, by: Callable[[str], str | None]) -> pl.Series:
    """``values`` with the cells of ``where`` computed one distinct raw value at a time."""
    where = where.fill_null(value=False)
    if not where.any():
        return values
    distinct = raw.filter(where).unique()
    mapping = pl.DataFrame({"raw": distinct, "new": pl.Series([by(value) for value in distinct], dtype=pl.String)})
    cells = pl.DataFrame({"values": values, "raw": raw, "where": where})
    joined = cells.join(mapping, on="raw", how="left", maintain_order="left")
    return joined.select(pl.when(pl.col("where")).then(pl.col("new")).otherwise(pl.col("values")).alias("values"))[
        "values"
    ]


def _unquote(raw: str) -> str:
    value: str = json.loads(raw, strict=False)
    return value


class _Number(str):
    """A number inside a nested value, kept as its text."""

    __slots__ = ()


class _Piece(str):
    """A part of the canonical text that is written as it stands."""

    __slots__ = ()


def _canonical_json(value: object, kind: str | None) -> str:
    """A nested value as canonical text, without recursion: values may be nested deep; ``kind`` is that of its texts."""
    written: list[str] = []
    waiting: list[object] = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, _Piece):
            written.append(item)
        elif isinstance(item, _Number):
            written.append(literals.canonical_number(item))
        elif isinstance(item, list):
            waiting.append(_Piece("]"))
            for place, inner in enumerate(reversed(item)):
                waiting += [inner] if place == len(item) - 1 else [inner, _Piece(",")]
            waiting.append(_Piece("["))
        elif isinstance(item, dict):
            waiting.append(_Piece("}"))
            for key in sorted(item, reverse=True):
                waiting += [_Piece(","), item[key], _Piece(f"{json.dumps(key)}:")]
            waiting.append(_Piece("{"))
        elif isinstance(item, str):
            found = literals.canonical_string(item, kind)
            written.append(json.dumps(item) if found[0] == "s" else found[0] + json.dumps(found[1:]))
        else:
            written.append(json.dumps(item))
    return "".join(written)

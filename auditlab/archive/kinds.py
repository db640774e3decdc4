"""The kinds of column that hold a field's values in a data file: a column made of JSON texts, and texts of a column.

A column is derived from the texts, and the texts come back from the column: where one does not, to the byte, its row
is kept as text (:mod:`auditlab.archive.shred`). So a kind need not take every value; it must not give back another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa

from auditlab.load.uuids import uuid_bytes, uuid_text

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ENTITY", "arrow_type", "kind_of", "stored", "told"]

ENTITY = ("entity text", "entity number")
"""Kinds without a column: the value is the change's entity id, as a JSON string or as it stands."""

_FIXED = {
    "boolean": pa.bool_(),
    "integer": pa.int64(),
    "uuid": pa.binary(16),
    "time": pa.timestamp("us", "UTC"),
    "text": pa.string(),
    "json": pa.string(),
}
_NARROW, _WIDE = 18, 38
_UTC = "+00:00"


def arrow_type(kind: str) -> pa.DataType:
    """The Arrow type of a kind's column."""
    if kind.startswith("decimal"):
        return pa.decimal128(*_digits(kind))
    return _FIXED[kind]


def _digits(kind: str) -> tuple[int, int]:
    """Precision and scale of ``decimal(18,2)``."""
    precision, scale = kind.removeprefix("decimal(").removesuffix(")").split(",")
    return int(precision), int(scale)


def kind_of(raw: pl.Series, entity: pl.Series) -> str:
    """The kind of the narrowest column that gives back every one of these values; ``json`` gives back any.

    Args:
        raw: String, the values' JSON text; null where there is none.
        entity: String, the entity id of each.
    """
    own = raw.is_not_null() & (raw != "null")
    raw, entity = raw.filter(own), entity.filter(own)
    if raw.is_empty():
        return "json"
    first = raw[0]
    if first[0] == '"':
        candidates = ["entity text", "uuid", "time", "text"]
    elif first in ("true", "false"):
        candidates = ["boolean"]
    else:
        scale = len(first.partition(".")[2])
        candidates = ["entity number", "integer"]
        if 0 < scale < _NARROW:
            candidates += [f"decimal({precision},{scale})" for precision in (_NARROW, _WIDE)]
    for kind in candidates:
        if told(kind, stored(kind, raw[:1]), entity[:1])[0] != first:
            continue
        if told(kind, stored(kind, raw), entity).equals(raw):
            return kind
    return "json"


def stored(kind: str, raw: pl.Series) -> pl.Series:
    """The column of JSON texts (String); null for JSON null, and for what the kind does not hold."""
    if kind in ENTITY:
        return raw
    if kind.startswith("decimal"):
        return raw.cast(pl.Decimal(*_digits(kind)), strict=False)
    return _STORED[kind](raw)


def told(kind: str, column: pl.Series, entity: pl.Series) -> pl.Series:
    """The JSON texts (String) of a column, ``null`` where it has no value; of entity ids, the id's."""
    if kind == "entity number":
        return entity
    if kind == "entity text":
        return _quoted(entity)
    if kind == "uuid":
        column = pl.Series(uuid_text(_fixed(column)))
    texts = _TOLD["decimal" if kind.startswith("decimal") else kind](pl.lit(column))
    return pl.select(texts.fill_null("null")).to_series()


def _stored_boolean(raw: pl.Series) -> pl.Series:
    return _without(raw == "null", raw == "true")


def _stored_integer(raw: pl.Series) -> pl.Series:
    return raw.cast(pl.Int64, strict=False)


def _stored_uuid(raw: pl.Series) -> pl.Series:
    return pl.Series(uuid_bytes(_inner(raw).to_arrow(compat_level=pl.CompatLevel.oldest())))


def _stored_time(raw: pl.Series) -> pl.Series:
    parsed = _inner(raw).str.strip_suffix(_UTC).str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", time_unit="us", strict=False)
    return parsed.dt.replace_time_zone("UTC")


def _stored_text(raw: pl.Series) -> pl.Series:
    inner = _inner(raw)
    plain = raw.str.starts_with('"') & ~inner.str.contains_any(['"', "\\"])
    return _without(~plain, inner)


def _stored_json(raw: pl.Series) -> pl.Series:
    return _without(raw == "null", raw)


def _told_plainly(value: pl.Expr) -> pl.Expr:
    return value.cast(pl.String)


def _told_time(value: pl.Expr) -> pl.Expr:
    micros = value.dt.microsecond().cast(pl.String).str.zfill(6)
    fraction = ("." + micros).str.strip_chars_end("0").str.strip_suffix(".")
    return '"' + value.dt.to_string("%Y-%m-%dT%H:%M:%S") + fraction + f'{_UTC}"'


def _told_quoted(value: pl.Expr) -> pl.Expr:
    return '"' + value + '"'


def _inner(raw: pl.Series) -> pl.Series:
    """The texts without their quotes."""
    return raw.str.strip_prefix('"').str.strip_suffix('"')


def _quoted(text: pl.Series) -> pl.Series:
    return pl.select(_told_quoted(pl.lit(text))).to_series()


def _without(these: pl.Series, values: pl.Series) -> pl.Series:
    """The values but for these."""
    return pl.select(pl.when(~pl.lit(these)).then(pl.lit(values))).to_series()


def _fixed(column: pl.Series) -> pa.Array:
    """A binary column as one of 16 bytes each."""
    return column.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(pa.binary(16))


_STORED: dict[str, Callable[[pl.Series], pl.Series]] = {
    "boolean": _stored_boolean,
    "integer": _stored_integer,
    "uuid": _stored_uuid,
    "time": _stored_time,
    "text": _stored_text,
    "json": _stored_json,
}
_TOLD: dict[str, Callable[[pl.Expr], pl.Expr]] = {
    "boolean": _told_plainly,
    "integer": _told_plainly,
    "decimal": _told_plainly,
    "uuid": _told_quoted,
    "time": _told_time,
    "text": _told_quoted,
    "json": _told_plainly,
}

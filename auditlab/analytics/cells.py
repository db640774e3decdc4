"""Two images of a row that should be equal, field by field: which values differ, and what kind of difference it is."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import polars as pl

from auditlab import documents, literals
from auditlab.analytics.breaks import UNREADABLE
from auditlab.analytics.columns import value_shape
from auditlab.values import canonical, plain_texts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from auditlab.values import Column

__all__ = ["CELLS", "LiveFields", "differing"]

CELLS: dict[str, pl.DataType] = {
    "row": pl.UInt32(),
    "field": pl.String(),
    "kind": pl.String(),
    "logged": pl.String(),
    "live": pl.String(),
}
"""One row a field that differs. kind: ``modified``; ``appeared``, ``vanished`` and ``retyped`` by DDL; ``digits`` of a
float that were not recorded. Of images that cannot be read, one row without a field."""

_SAME_IN_EVERY_SESSION = {
    "bool", "int2", "int4", "int8", "numeric", "text", "varchar", "bpchar", "name", "uuid", "json", "jsonb", "enum",
    "date", "timestamp", "time", "float4", "float8",
}  # fmt: skip
"""Types whose JSON no setting of a session changes, and floats, of which it may take digits that nobody brings back."""
_DIGITS = {"float4": 6, "float8": 15}
"""Digits that PostgreSQL shows where extra_float_digits is 0."""
_UNSTORABLE = re.compile(r"\\u|[eE][-+]?[0-9]{4}")
"""What the JSON that jsonb cannot hold has in its text; our capture records such a value as a string."""
_FORMS = {
    "int": r"^-?[0-9]+$",
    "date": r"^([0-9]{4,}-[0-9]{2}-[0-9]{2}( BC)?|-?infinity)$",
    "timestamp": r"^([0-9]{4,}-[0-9]{2}-[0-9]{2}T[0-9:.]+( BC)?|-?infinity)$",
    "timestamptz": r"^([0-9]{4,}-[0-9]{2}-[0-9]{2}T[0-9:.]+[-+][0-9:]+( BC)?|-?infinity)$",
    "uuid": r"^[0-9a-f-]{36}$",
    "time": r"^[0-9]{2}:[0-9:.]+$",
}
"""How every value of a kind is written into JSON, whatever the session: another form was another type."""


@dataclass(frozen=True, slots=True)
class LiveFields:
    """What a table's catalog says of its fields.

    Args:
        kinds: The kind of value, by field (``schema.LogFacts.kinds``).
        types: The type's name in the catalog, by field.
        missing: The JSON of the value that DDL gave to the rows that were there, by field, where it is known.
        ignored: Fields that are not compared: virtual columns, which no trigger sees.
        rewrite: Values of a field, as JSON, as the table's type reads and writes them now; None for what it refuses.
    """

    kinds: Mapping[str, str] = field(default_factory=dict)
    types: Mapping[str, str] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    ignored: frozenset[str] = frozenset()
    rewrite: Callable[[str, list[str]], list[str | None]] | None = None


def differing(pairs: pl.DataFrame, fields: LiveFields) -> pl.DataFrame:
    """The fields in which two images differ as values: ``CELLS``' columns.

    Args:
        pairs: row (UInt32), logged and live (String, the images).
        fields: What the catalog says of the fields.
    """
    if pairs.is_empty():
        return pl.DataFrame(schema=CELLS)
    try:
        read = documents.read(pairs["logged"], pairs["live"], fields.kinds, pairs["row"])
    except UNREADABLE:
        if len(pairs) == 1:
            whole = pairs.select("row", pl.lit(None).alias("field"), pl.lit("modified").alias("kind"), "logged", "live")
            return whole.cast(CELLS)  # type: ignore[arg-type]  # a mapping of names to types
        half = len(pairs) // 2
        return pl.concat([differing(pairs[:half], fields), differing(pairs[half:], fields)])
    parts = [
        _of_field(pairs, column, read.before, read.after, fields)
        for column in read.columns
        if column.name not in fields.ignored
    ]
    return pl.concat([pl.DataFrame(schema=CELLS), *parts])


def _of_field(
    pairs: pl.DataFrame, column: Column, logged: pl.Series, live: pl.Series, fields: LiveFields
) -> pl.DataFrame:
    unequal = column.code.gather(logged).ne_missing(column.code.gather(live))
    if not unequal.any():
        return pl.DataFrame(schema=CELLS)
    pairs, logged, live = pairs.filter(unequal), logged.filter(unequal), live.filter(unequal)
    was, now = column.code.gather(logged).is_not_null(), column.code.gather(live).is_not_null()
    cells = pairs.select("row", pl.lit(column.name).alias("field")).with_columns(
        logged=column.text.gather(logged), live=column.text.gather(live)
    )
    kind = fields.kinds.get(column.name)
    filled = fields.missing.get(column.name)
    by_ddl = None if filled is None else _is(column, cells["live"], filled, kind)
    shapes = [_shape(column, cells[name], kind) for name in ("logged", "live")]
    other_shape = (shapes[0] != shapes[1]).fill_null(value=False)
    if column.kind == "mixed":  # by other rows, perhaps: a pair of one JSON type reads as it does alone
        plain = (pl.when(other_shape).then(name).otherwise(plain_texts(cells[name])) for name in ("logged", "live"))
        cells = cells.with_columns(*(text.alias(name) for text, name in zip(plain, ("logged", "live"), strict=True)))
    retyped = _retyped(cells, kind, other_shape)
    cells = cells.select(
        "row",
        "field",
        pl.when(~pl.lit(was if by_ddl is None else was | ~by_ddl))
        .then(pl.lit("appeared"))
        .when(~pl.lit(now))
        .then(pl.lit("vanished"))
        .when(pl.lit(was & retyped))
        .then(pl.lit("retyped"))
        .otherwise(pl.lit("modified"))
        .alias("kind"),
        "logged",
        "live",
    )
    open_ = (cells["kind"] == "modified") & was
    if not open_.any():
        return cells
    type_ = fields.types.get(column.name, "")
    if type_ in _DIGITS:
        fewer = open_ & _fewer_digits(cells, _DIGITS[type_])
        return cells.with_columns(kind=pl.when(pl.lit(fewer)).then(pl.lit("digits")).otherwise("kind"))
    same = _same_again(column.name, type_, pairs.filter(open_), fields)
    return cells.filter(~open_.scatter(open_.arg_true(), same)) if same.any() else cells


def _is(column: Column, texts: pl.Series, raw: str, kind: str | None) -> pl.Series:
    """Whether each of a field's texts is the value of a JSON text."""
    strings = column.kind != "mixed" and raw[0] == '"'
    wanted, distinct = canonical(raw, kind), texts.unique()
    same = [
        raw == "null" if text is None else canonical(json.dumps(text) if strings else text, kind) == wanted
        for text in distinct
    ]
    return texts.replace_strict(distinct, pl.Series(same), return_dtype=pl.Boolean)


def _shape(column: Column, texts: pl.Series, kind: str | None) -> pl.Series:
    """The JSON type of each of a field's texts, which does not depend on the others; null where there is no value."""
    found = value_shape(column, texts).replace(["object", "array"], "object or array")
    special = texts.is_in([json.dumps(name) for name in literals.SPECIALS]).fill_null(value=False)
    return found.set(special, "number") if column.kind == "mixed" and kind in ("float", "decimal") else found


def _retyped(cells: pl.DataFrame, kind: str | None, other_shape: pl.Series) -> pl.Series:
    """Whether the recorded value cannot have come from a column of the type that there is now."""
    logged, live = cells["logged"], cells["live"]
    if kind == "json":
        return pl.Series([False]).new_from_index(0, len(cells))
    found = other_shape & ~(logged.is_in(literals.SPECIALS) | live.is_in(literals.SPECIALS))
    if kind in _FORMS:
        found |= ~logged.str.contains(_FORMS[kind])
    elif kind == "text":
        pair = [literals.instants(text) for text in (logged, live)]
        if pair[0] is not None and pair[1] is not None:
            found |= pair[0] == pair[1]
    return found.fill_null(value=False)


def _fewer_digits(cells: pl.DataFrame, digits: int) -> pl.Series:
    """Whether the recorded float is the live one, shown with so many digits."""

    def number(text: str | None) -> float | None:
        try:
            return None if text is None else float(text)
        except ValueError:
            return None

    pairs = ((number(old), number(new)) for old, new in cells.select("logged", "live").iter_rows())
    same = [None not in (old, new) and old == float(f"{new:.{digits}g}") for old, new in pairs]
    return pl.Series(same, dtype=pl.Boolean)


def _same_again(name: str, type_: str, pairs: pl.DataFrame, fields: LiveFields) -> pl.Series:
    """Whether two values are equal after all: as the table's type reads them, or as text that jsonb could not hold."""
    none = pl.Series([False]).new_from_index(0, len(pairs))
    kind = fields.kinds.get(name)
    as_text = type_ in ("json", "json[]") or kind == "json"
    if type_ in _SAME_IN_EVERY_SESSION and not as_text:
        return none
    raws = [(documents.raw_fields(one)[name], documents.raw_fields(other)[name]) for one, other in _images(pairs)]
    same = [as_text and _as_text(logged, live) for logged, live in raws]
    if type_ not in _SAME_IN_EVERY_SESSION and fields.rewrite is not None:
        again = fields.rewrite(name, [logged for logged, _ in raws])
        for place, ((_, live), new) in enumerate(zip(raws, again, strict=True)):
            same[place] |= new is not None and canonical(new, kind) == canonical(live, kind)
    return pl.Series(same, dtype=pl.Boolean)


def _images(pairs: pl.DataFrame) -> list[tuple[str, str]]:
    return list(zip(pairs["logged"], pairs["live"], strict=True))


def _as_text(logged: str, live: str) -> bool:
    """Whether the recorded string is the text of a live JSON value that jsonb cannot hold."""
    return logged[0] == '"' and bool(_UNSTORABLE.search(live)) and json.loads(logged) == live

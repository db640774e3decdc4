"""JSON text and Python's and Polars' values, one made from the other exactly: no number passes through a float."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

import polars as pl

from auditlab.literals import canonical_number

__all__ = ["decoded", "encoded", "encoded_series"]

MOST_DIGITS = 4_000
"""Whole numbers of more digits are decoded as ``Decimal``: Python refuses to make such an int."""
DEEPEST = 512
"""Levels of nesting that a value may have."""

_ESCAPED = r'["\\\x00-\x1f]'
_SURROGATE = re.compile("[\ud800-\udfff]")


class _Piece(str):
    """A part of the text that is written as it stands."""

    __slots__ = ()


def decoded(text: str) -> Any:  # noqa: ANN401 - JSON is anything
    """A JSON text in Python: whole numbers are int, numbers with a fraction or an exponent ``Decimal``.

    Raises:
        ValueError: it is no JSON.
        decimal.InvalidOperation: it holds a number beyond what ``Decimal`` holds.
        RecursionError: it is nested too deep.
    """
    return json.loads(text, strict=False, parse_float=Decimal, parse_int=_whole)


def encoded(value: object) -> str:
    """A value of Python as JSON text, exactly; without recursion, as values may be nested deep.

    Raises:
        TypeError: a value that JSON does not have, a float (it is not exact), or a key that is no text.
        ValueError: a number that JSON does not have, or nested deeper than 512 levels.
    """
    written: list[str] = []
    waiting: list[tuple[object, int]] = [(value, 0)]
    while waiting:
        item, depth = waiting.pop()
        if depth > DEEPEST:
            raise ValueError(f"nested deeper than {DEEPEST} levels")
        if isinstance(item, _Piece):
            written.append(item)
        elif isinstance(item, list | tuple):
            written.append("[")
            waiting.append((_Piece("]"), depth))
            for place, inner in enumerate(reversed(item)):
                waiting.append((inner, depth + 1))
                if place < len(item) - 1:
                    waiting.append((_Piece(", "), depth))
        elif isinstance(item, dict):
            written.append("{")
            waiting.append((_Piece("}"), depth))
            for place, key in enumerate(reversed(item)):
                comma = ", " if place < len(item) - 1 else ""
                waiting += [(item[key], depth + 1), (_Piece(f"{comma}{_text(key)}: "), depth)]
        else:
            written.append(_scalar(item))
    return "".join(written)


def encoded_series(values: pl.Series) -> pl.Series:
    """The values of a Polars column as JSON text, null where there is none; decimals without superfluous zeros.

    Raises:
        TypeError: a type that JSON does not have, or floats (they are not exact).
        ValueError: as :func:`encoded`.
    """
    dtype = values.dtype
    if dtype.is_integer() or dtype in (pl.Boolean, pl.Null):
        return values.cast(pl.String)
    if isinstance(dtype, pl.Decimal):
        text = values.cast(pl.String)
        return text.str.strip_chars_end("0").str.strip_suffix(".") if dtype.scale else text
    if isinstance(dtype, pl.List | pl.Array | pl.Struct):
        cells = [None if value is None else encoded(_plain(value)) for value in values.to_list()]
        return pl.Series(values.name, cells, dtype=pl.String)
    return _quoted(_strings(values))


def _strings(values: pl.Series) -> pl.Series:
    """Texts, and times as ISO 8601 text."""
    dtype = values.dtype
    if isinstance(dtype, pl.String | pl.Categorical | pl.Enum):
        return values.cast(pl.String)
    if isinstance(dtype, pl.Datetime) and dtype.time_unit == "ns":
        raise TypeError("times in nanoseconds are finer than those of a log")
    if isinstance(dtype, pl.Date | pl.Datetime):
        return values.dt.to_string("iso:strict")
    raise TypeError(f"{dtype} is not exact" if dtype.is_float() else f"{dtype} has no counterpart in JSON")


def _quoted(values: pl.Series) -> pl.Series:
    special = values.str.contains(_ESCAPED).fill_null(value=False)
    quoted = pl.select('"' + pl.lit(values) + '"').to_series().alias(values.name)
    if not special.any():
        return quoted
    distinct = values.filter(special).unique()
    escaped = [json.dumps(value, ensure_ascii=False) for value in distinct]
    return quoted.zip_with(~special, values.replace_strict(distinct, escaped, default=None, return_dtype=pl.String))


def _plain(value: Any) -> Any:  # noqa: ANN401 - a cell
    """A nested cell with its decimals written without superfluous zeros."""
    if isinstance(value, Decimal):
        return Decimal(canonical_number(str(value)))
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _scalar(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise ValueError(f"JSON has no number {value}")
        return str(value)
    if isinstance(value, float):
        raise TypeError(f"the float {value!r} is not exact: use an int, a Decimal or a text")
    raise TypeError(f"JSON has no {type(value).__name__} ({value!r:.60})")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a key of a JSON object is a text, not {value!r:.60}")
    return json.dumps(value, ensure_ascii=bool(_SURROGATE.search(value)))


def _whole(digits: str) -> int | Decimal:
    return int(digits) if len(digits) <= MOST_DIGITS else Decimal(digits)

"""One value of a result as exact text: for CSV, for JSON lines, for the terminal and for the views."""

from __future__ import annotations

import json
import math
import re
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import polars as pl

__all__ = ["csv_lines", "json_text", "neutralised", "plain_text"]

_NUMBER = re.compile(r"[+-]?[0-9]+([.][0-9]+)?([eE][+-]?[0-9]+)?")
_SLICE = 20_000
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def plain_text(value: Any) -> str:  # noqa: ANN401 - the values of a result are of any type
    """The value as text, every digit kept; times are ISO 8601 with their offset."""
    for kinds, write in _WRITERS:
        if isinstance(value, kinds):
            return write(value)
    return str(value)


def json_text(value: Any) -> str:  # noqa: ANN401 - the values of a result are of any type
    r"""The value as JSON. Integers and decimals are JSON numbers with every digit, whatever their size.

    A float that JSON cannot write (NaN, infinity) becomes a text. Characters that a terminal would obey are written
    as ``\u`` escapes, which every JSON reader turns back.
    """
    if value is None:
        return "null"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_json_string(str(key))}: {json_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(json_text, value)) + "]"
    text = plain_text(value)
    is_number = isinstance(value, int | Decimal) or (isinstance(value, float) and math.isfinite(value))
    return text if is_number else _json_string(text)


def neutralised(text: str) -> str:
    """The text as a spreadsheet shows it without running it: what looks like a formula gets a leading apostrophe.

    A text that is a number through and through (``-12.50``) is left alone.

    >>> neutralised("=HYPERLINK(A1)"), neutralised("-12.50"), neutralised("paid")
    ("'=HYPERLINK(A1)", '-12.50', 'paid')
    """
    if text.startswith(_FORMULA) and not _NUMBER.fullmatch(text):
        return "'" + text
    return text


def csv_lines(frame: pl.DataFrame, *, raw: bool = False) -> Iterator[str]:
    """A frame as lines of CSV, its header first; null is an empty cell, the empty text ``""``.

    Args:
        frame: What to write.
        raw: Leave texts as they are that a spreadsheet would run as formulas; else they are ``neutralised``.
    """

    def cell(value: Any) -> str:  # noqa: ANN401 - the values of a result are of any type
        if value is None:
            return ""
        text = plain_text(value)
        if isinstance(value, str) and not raw:
            text = neutralised(text)
        if not text or any(char in text for char in ',"\r\n'):
            return '"' + text.replace('"', '""') + '"'
        return text

    yield ",".join(cell(name) for name in frame.columns)
    for part in frame.iter_slices(_SLICE):
        for row in part.iter_rows():
            yield ",".join(map(cell, row))


def _json_string(text: str) -> str:
    quoted = json.dumps(text, ensure_ascii=False)
    if quoted.isprintable():
        return quoted
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in quoted)


def _duration(value: timedelta) -> str:
    micros = value // timedelta(microseconds=1)
    seconds = Decimal(abs(micros)).scaleb(-6).normalize()
    return f"{'-' if micros < 0 else ''}PT{seconds:f}S"


_WRITERS: tuple[tuple[Any, Callable[[Any], str]], ...] = (
    (str, str),
    (bool, lambda value: "true" if value else "false"),
    (Decimal, lambda value: format(value, "f")),
    ((datetime, date, time), lambda value: value.isoformat()),
    (timedelta, _duration),
    (bytes, lambda value: "\\x" + value.hex()),
    ((dict, list, tuple), json_text),
)

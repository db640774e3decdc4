"""Valid time: when a state was true in the world, read from a field that the data carries.

The log's own clock says when a state was recorded. A field such as ``effective_date`` says since when it holds, which
may be earlier (a correction) or later (a plan). Nothing here guesses: a value that names no one instant has no valid
time, and says so.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import polars as pl

from auditlab.clock import FINER, instant
from auditlab.errors import BadOption, BadTime
from auditlab.schema import TIME

if TYPE_CHECKING:
    from auditlab.values import Column

__all__ = ["FIRST", "NEVER", "SINCE_EVER", "UNDATED", "valid_times"]

FIRST, UNDATED, SINCE_EVER, NEVER = -(2**63), -(2**63) + 1, -(2**63) + 2, 2**63 - 1
"""Valid times (Int64) that are no instant: a place before all, no valid time, ``-infinity``, ``infinity``."""

_INFINITE = {"-infinity": SINCE_EVER, "infinity": NEVER}


def valid_times(column: Column, zone: str) -> pl.Series:
    """The valid time of each document: Int64, microseconds since 1970 in UTC, or one of the marks above.

    Dates are 00:00 and naive times are read in ``zone``. ``UNDATED`` is a document whose field is missing, null, no
    ISO 8601 time, finer than microseconds, or a local time that does not exist or exists twice in ``zone``.

    Args:
        column: The field over the documents of its type.
        zone: The log's time zone.

    Raises:
        BadOption: the field is no time: it holds other values, and no time at all.
    """
    typed = column.typed
    if isinstance(typed.dtype, pl.Date | pl.Datetime):
        return _placed(typed, zone).dt.epoch("us").fill_null(UNDATED).rename("valid")
    values = column.text.drop_nulls().unique()
    read = {} if typed.dtype != pl.String else {text: _read(text, zone, column.kind) for text in values}
    if len(values) and all(micros == UNDATED for micros in read.values()):
        raise BadOption(
            f"the field {column.name!r} tells no valid time: it is {column.kind}, e.g. {values[0]!r}. "
            "valid= takes a field of dates, times or ISO 8601 texts."
        )
    told = pl.DataFrame(
        {"text": list(read), "valid": list(read.values())}, schema={"text": pl.String, "valid": pl.Int64}
    )
    found = column.text.rename("text").to_frame().join(told, on="text", how="left", maintain_order="left")["valid"]
    return found.fill_null(UNDATED)


def _placed(times: pl.Series, zone: str) -> pl.Series:
    if isinstance(times.dtype, pl.Datetime) and times.dtype.time_zone is not None:
        return times.cast(TIME)
    return times.cast(pl.Datetime("us")).dt.replace_time_zone(zone, ambiguous="null", non_existent="null")


def _read(text: str, zone: str, kind: str) -> int:
    if kind == "mixed":  # JSON as recorded: texts among other values
        if not text.startswith('"'):
            return UNDATED
        text = json.loads(text, strict=False)
    if text in _INFINITE:
        return _INFINITE[text]
    try:
        moment = instant(text, zone) if not FINER.search(text) else None  # rounded, it could lie on the other side
    except BadTime:
        return UNDATED
    return UNDATED if moment is None else pl.Series([moment], dtype=TIME).dt.epoch("us")[0]

"""Values that Debezium encodes, decimals, dates, times and JSON, as what they are: exactly."""

from __future__ import annotations

import base64
import json
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Decoder = Callable[[bytes], str]
    """Makes of a value's raw JSON text, as Debezium encodes it, that of the value."""

__all__ = ["decoder"]

_LOCAL_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - of columns without a time zone

_text = msgspec.json.Decoder(str).decode


def decoder(field: Mapping[str, Any]) -> Decoder | None:
    """How the values of a field are encoded, by the name that its schema has; None where they are what they are."""
    name = field.get("name")
    if name == "org.apache.kafka.connect.data.Decimal":
        scale = int(field["parameters"]["scale"])
        return lambda raw: _decimal(_text(raw), scale)
    if name == "io.debezium.data.VariableScaleDecimal":
        return lambda raw: _decimal(json.loads(raw)["value"], json.loads(raw)["scale"])
    if name == "io.debezium.data.Json":
        return _text
    if name in _DATES:
        return _date
    if name in _TICKS:
        read, second = _TICKS[name]
        return lambda raw: read(raw, second)
    return None


def _decimal(written: str, scale: int) -> str:
    """The digits of a decimal, of which there are the bytes of the unscaled value (two's complement, highest first)."""
    unscaled = int.from_bytes(base64.b64decode(written, validate=True), "big", signed=True)
    digits = tuple(map(int, str(abs(unscaled))))
    return f"{Decimal((int(unscaled < 0), digits, -scale)):f}"


def _date(raw: bytes) -> str:
    """A date from its days since 1970; the number where it is none, such as PostgreSQL's infinity."""
    try:
        return f'"{(_LOCAL_EPOCH + timedelta(days=int(raw))).date().isoformat()}"'
    except OverflowError:
        return raw.decode()


def _timestamp(raw: bytes, second: int) -> str:
    """A time without a zone from its ticks since 1970; the number where it is none."""
    whole, rest = divmod(int(raw), second)
    try:
        return f'"{(_LOCAL_EPOCH + timedelta(seconds=whole)).isoformat()}{_fraction(rest, second)}"'
    except OverflowError:
        return raw.decode()


def _clock(raw: bytes, second: int) -> str:
    """A time of day from its ticks since midnight; the number where it is none, as MySQL has spans of time."""
    whole, rest = divmod(int(raw), second)
    if not 0 <= whole < _DAY:
        return raw.decode()
    return f'"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}{_fraction(rest, second)}"'


def _fraction(rest: int, second: int) -> str:
    """What follows the seconds, without idle zeros."""
    return f".{rest:0{len(str(second)) - 1}}".rstrip("0") if rest else ""


_DAY = 86_400
_DATES = ("io.debezium.time.Date", "org.apache.kafka.connect.data.Date")
_TICKS = {
    "io.debezium.time.Timestamp": (_timestamp, 10**3),
    "io.debezium.time.MicroTimestamp": (_timestamp, 10**6),
    "io.debezium.time.NanoTimestamp": (_timestamp, 10**9),
    "org.apache.kafka.connect.data.Timestamp": (_timestamp, 10**3),
    "io.debezium.time.Time": (_clock, 10**3),
    "io.debezium.time.MicroTime": (_clock, 10**6),
    "io.debezium.time.NanoTime": (_clock, 10**9),
    "org.apache.kafka.connect.data.Time": (_clock, 10**3),
}
"""Numbers that are times: what reads them, and how many there are in a second."""

"""Values that Debezium encodes, decimals, dates, times and JSON, as what they are: exactly, and wherever they stand."""

from __future__ import annotations

import base64
import json
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from auditlab.placeholders import UNAVAILABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Decoder = Callable[[bytes], str]
    """Makes of a value's raw JSON text, as Debezium encodes it, that of the value."""

__all__ = ["decoder"]

_LOCAL_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - of columns without a time zone

_text = msgspec.json.Decoder(str).decode
_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encoded = msgspec.json.Encoder().encode


def decoder(field: Mapping[str, Any]) -> Decoder | None:
    """How the values of a field are encoded, by its schema; None where they are what they are.

    Arrays, maps and structs are read with what is in them; of those in which nothing is encoded the text stays. An
    array that stands for a large one that did not change becomes the text that Debezium writes for any other value.
    """
    return _named(field) or _nested(field)


def _nested(field: Mapping[str, Any]) -> Decoder | None:
    """How the values of an array, a map or a struct are encoded."""
    kind = field.get("type")
    if kind == "array":
        item = decoder(field["items"])
        return lambda raw: _array(raw, item)
    if kind == "map":
        key, value = decoder(field["keys"]), decoder(field["values"])
        return None if key is None and value is None else lambda raw: _map(raw, key, value)
    if kind == "struct":
        inner = {one["field"]: read for one in field["fields"] if (read := decoder(one)) is not None}
        return (lambda raw: _object(raw, inner)) if inner else None
    return None


def _array(raw: bytes, item: Decoder | None) -> str:
    if raw.startswith(_OPENINGS) and json.loads(raw) in _UNCHANGED:
        return UNAVAILABLE
    return raw.decode() if item is None else f"[{','.join(_read(one, item) for one in _items(raw))}]"


def _map(raw: bytes, key: Decoder | None, value: Decoder | None) -> str:
    """A map: an object, or where its keys are no texts an array of pairs."""
    if raw.startswith(b"{"):
        return _encoded({name: msgspec.Raw(_read(one, value).encode()) for name, one in _members(raw).items()}).decode()
    pairs = [[_read(one, how) for one, how in zip(_items(pair), (key, value), strict=True)] for pair in _items(raw)]
    return f"[{','.join(f'[{name},{told}]' for name, told in pairs)}]"


def _object(raw: bytes, inner: Mapping[str, Decoder]) -> str:
    told = {name: msgspec.Raw(_read(one, inner.get(name)).encode()) for name, one in _members(raw).items()}
    return _encoded(told).decode()


def _read(raw: msgspec.Raw, how: Decoder | None) -> str:
    """A value inside of another; null, and what is not encoded, as it is."""
    text = bytes(raw)
    return text.decode() if how is None or text == b"null" else how(text)


def _named(field: Mapping[str, Any]) -> Decoder | None:
    """How values are encoded, by the name that their schema has."""
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


_PLACEHOLDER = UNAVAILABLE.strip('"').encode()
_BYTES = [base64.b64encode(bytes([byte])).decode() for byte in _PLACEHOLDER]
_UNCHANGED = (
    [_PLACEHOLDER.decode()],
    [base64.b64encode(_PLACEHOLDER).decode()],
    list(_PLACEHOLDER),
    _BYTES,
    [{"scale": 0, "value": byte} for byte in _BYTES],
)
"""Arrays that Debezium writes for one that was not sent, as it had not changed: by the type of what is in it."""
_OPENINGS = (b"[95", b'["__', b'["X', b'[{"scale"')
"""How those begin."""

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

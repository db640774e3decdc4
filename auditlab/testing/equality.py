"""When two recorded values are the same value: plain and slow, to hold the fast code against."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["UNAVAILABLE", "Exact", "State", "canonical", "differences", "read_document"]

UNAVAILABLE = "__debezium_unavailable_value"
"""What a capture writes for a large value that did not change and was not read: it stands for "as before"."""

Canonical = tuple[Any, ...]
"""A value reduced so that ``==`` means equal as a value; the first item names its kind."""

_DECODER = json.JSONDecoder(parse_int=Decimal, parse_float=Decimal)
_SPACE = re.compile(r"[ \t\n\r]*")
_INSTANT = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d(?::?\d\d(?::\d\d)?)?)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Exact:
    """One field's value: the text as recorded, and the value that decides equality."""

    text: str = field(compare=False)
    value: Canonical

    @property
    def decoded(self) -> Any:  # noqa: ANN401 - a JSON value is anything
        """The value in Python: integers as int, numbers with a fraction as Decimal, nothing rounded."""
        return json.loads(self.text, parse_float=Decimal)

    @property
    def unavailable(self) -> bool:
        """Whether this stands for a value that did not change."""
        return self.value == ("text", UNAVAILABLE)


State = dict[str, Exact]
"""An entity's fields: a key that is there with JSON null is there."""


def differences(old: State, new: State) -> Iterator[tuple[str, str, Exact | None, Exact | None]]:
    """The fields, sorted, in which two states differ as values: name, kind, old and new."""
    for name in sorted(old.keys() | new.keys()):
        if name not in old:
            yield name, "added", None, new[name]
        elif name not in new:
            yield name, "removed", old[name], None
        elif old[name] != new[name]:
            yield name, "modified", old[name], new[name]


def canonical(value: Any) -> Canonical:  # noqa: ANN401 - a JSON value is anything
    """The form in which equal values compare equal.

    Numbers are equal by value (``1.50`` and ``1.5``), texts that are ISO 8601 times with an offset are equal when
    they name one instant, keys of an object have no order, and null, false, 0 and "" all differ.
    """
    match value:
        case None:
            return ("null",)
        case bool():
            return ("bool", value)
        case int() | Decimal():
            return ("number", Decimal(value))
        case str():
            instant = _instant(value)
            return ("text", value) if instant is None else ("instant", *instant)
        case list():
            return ("list", *(canonical(item) for item in value))
        case dict():
            return ("object", frozenset((key, canonical(item)) for key, item in value.items()))
    raise TypeError(f"{type(value).__name__} is no JSON value: {value!r}")


def _instant(text: str) -> tuple[datetime, Decimal] | None:
    """Whole seconds in UTC and the exact fraction, or None where the text names no instant."""
    found = _INSTANT.fullmatch(text)
    if found is None:
        return None
    day, time, fraction, offset = found.groups()
    try:
        whole = datetime.fromisoformat(f"{day}T{time}{offset}").astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return whole, Decimal("0" + (fraction or ""))


def read_document(text: str) -> State:
    """The fields of one recorded JSON object, in their order, each with the very text that was recorded.

    Example:
        >>> read_document('{"total": 1.10, "note": null}')["total"].text
        '1.10'
    """
    fields: State = {}
    at = _after(text, 0, "{")
    if text[at] == "}":
        return fields
    while True:
        key, at = _DECODER.raw_decode(text, at)
        at = _after(text, at, ":")
        value, end = _DECODER.raw_decode(text, at)
        fields[key] = Exact(text[at:end], canonical(value))
        at = _skip(text, end)
        if text[at] == "}":
            return fields
        at = _after(text, at, ",")


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return at if found is None else found.end()


def _after(text: str, at: int, sign: str) -> int:
    at = _skip(text, at)
    if text[at : at + 1] != sign:
        raise ValueError(f"no JSON object: want {sign!r} at {at} in {text!r}")
    return _skip(text, at + 1)

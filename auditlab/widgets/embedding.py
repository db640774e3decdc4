"""Data on its way into a page: checked to be what a browser keeps exactly, and packed into one text."""

from __future__ import annotations

import base64
import json
import math
import struct
import zlib
from collections.abc import Mapping
from typing import Any

__all__ = ["checked", "closed", "packed"]

EXACT = 2**53
"""Whole numbers beyond this are rounded by JavaScript: they travel as texts."""

ALIGNED = 8

_TEXTS = frozenset({str, bool, type(None)})


def checked(value: Any, where: str = "data") -> Any:  # noqa: ANN401 - anything that JSON can say, or bytes
    """The value, if a browser keeps it exactly: texts, numbers up to 2**53, booleans, null, lists, objects, bytes.

    Raises:
        TypeError: something in it would be rounded or lost; the message says where.
    """
    if value is None or isinstance(value, str | bool | bytes):
        return value
    if isinstance(value, int) and abs(value) <= EXACT:
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, Mapping):
        return {str(name): checked(item, f"{where}.{name}") for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [checked(item, f"{where}[{place}]") for place, item in enumerate(value)]
    raise TypeError(f"{where} is {type(value).__name__} {value!r:.80}, which a browser would not keep: give a text.")


def packed(value: Any) -> str:  # noqa: ANN401 - as in checked
    """The value as text of base64, which ``unpacked`` of model.js reads; no character of it means anything in HTML."""
    return base64.b64encode(closed(value)).decode("ascii")


def closed(value: Any) -> bytes:  # noqa: ANN401 - as in checked
    """The value as deflated bytes, which ``opened`` of model.js reads: for parts of data that are seldom looked at.

    Behind a four-byte length stands JSON: ``value``, with null in the places of bytes, and ``bytes``, which says for
    each of these places its path, and where its bytes begin and how many they are. These follow, each on a boundary of
    eight. All of it is deflated.
    """
    buffers: list[bytes] = []
    places: list[list[Any]] = []
    at = 0

    def without_bytes(item: Any, path: list[str | int]) -> Any:  # noqa: ANN401
        nonlocal at
        if isinstance(item, bytes):
            places.append([path, at, len(item)])
            buffers.append(item + bytes(-len(item) % ALIGNED))
            at += len(buffers[-1])
            return None
        if isinstance(item, dict):
            return {name: without_bytes(part, [*path, name]) for name, part in item.items()}
        if isinstance(item, list):
            return [without_bytes(part, [*path, place]) for place, part in enumerate(item)]
        return item

    told = {"value": value if _is_json(value) else without_bytes(checked(value), []), "bytes": places}
    text = json.dumps(told, allow_nan=False).encode()
    text += b" " * (-(len(text) + 4) % ALIGNED)
    return zlib.compress(struct.pack("<I", len(text)) + text + b"".join(buffers), 6)


def _is_json(value: Any) -> bool:  # noqa: ANN401 - as in checked
    """Whether JSON says it exactly as it stands, so that nothing of it need be put together anew: a million texts."""
    kind = type(value)
    if kind is dict:
        return all(type(name) is str for name in value) and _is_json(list(value.values()))
    if kind is list:
        return all(type(item) in _TEXTS or _is_json(item) for item in value)
    return kind in _TEXTS or (kind is int and abs(value) <= EXACT)

"""What rows told by path have to say, in plain Python: where each leads, and what they make of the old value."""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from auditlab.testing.equality import canonical, read_document

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Told", "as_written", "decoded", "near", "patched", "pointed", "steps", "told_as_values"]

Told = tuple[str, str, str | None, str | None]
"""One row: path, kind, and the JSON text of the old and the new part (None where there is none)."""


def decoded(text: str) -> Any:  # noqa: ANN401 - a JSON value is anything
    """A JSON value in Python, numbers exact."""
    return json.loads(text, parse_int=Decimal, parse_float=Decimal)


def steps(path: str) -> list[str]:
    """A JSON Pointer (RFC 6901) as the keys and places that it goes through."""
    return [step.replace("~1", "/").replace("~0", "~") for step in path.split("/")[1:]]


def pointed(text: str, path: str) -> str:
    """The recorded text of the part at a path."""
    for step in steps(path):
        if text.lstrip().startswith("["):
            text = _element(text.strip(), int(step))
        else:
            text = read_document(text.strip())[step].text
    return text


def patched(old: str, told: Iterable[Told]) -> Any:  # noqa: ANN401 - a JSON value is anything
    """The old value with the rows applied, decoded: what was removed first, the last of it first."""
    whole = [decoded(old)]
    rows = list(told)
    for path, kind, _, _ in reversed(rows):
        if kind == "removed":
            where, last = _place(whole, path)
            del where[last]
    for path, kind, _, new in rows:
        if kind == "added":
            where, last = _place(whole, path)
            if isinstance(where, list):
                if not 0 <= last <= len(where):
                    raise AssertionError(f"{path} is no place in a list of {len(where)}")
                where.insert(last, decoded(str(new)))
            else:
                where[last] = decoded(str(new))
    for path, kind, _, new in rows:
        if kind == "modified":
            where, last = _place(whole, path)
            where[last] = decoded(str(new))
    return whole[0]


def told_as_values(old: str, new: str) -> set[Told] | None:
    """The rows for two objects without lists, worked out key by key; None where a list is in both at one place."""
    found: set[Told] = set()
    waiting = [("", old, new)]
    while waiting:
        path, one, other = waiting.pop()
        first, second = decoded(one), decoded(other)
        if canonical(first) == canonical(second):
            continue
        if isinstance(first, list) and isinstance(second, list):
            return None
        if not (isinstance(first, dict) and isinstance(second, dict)):
            found.add((path, "modified", one, other))
            continue
        before, after = read_document(one), read_document(other)
        for key in before.keys() | after.keys():
            at = f"{path}/{key.replace('~', '~0').replace('/', '~1')}"
            if key not in after:
                found.add((at, "removed", before[key].text, None))
            elif key not in before:
                found.add((at, "added", None, after[key].text))
            else:
                waiting.append((at, before[key].text, after[key].text))
    return found


def near(old: str | None, new: str | None, most: str) -> bool:
    """Whether both texts are JSON numbers at most that far apart."""
    numbers = [_number(text) for text in (old, new)]
    one, other = numbers
    return one is not None and other is not None and abs(one - other) <= Fraction(most)


def as_written(text: str | None, *, present: bool) -> str | None:
    """A cell of ``old`` or ``new`` as JSON: a null that is present is JSON's null."""
    return "null" if text is None and present else text


def _number(text: str | None) -> Fraction | None:
    try:
        value = json.loads(text or "null", parse_int=Fraction, parse_float=Fraction)
    except ValueError:
        return None
    return value if isinstance(value, Fraction) else None


def _element(text: str, place: int) -> str:
    """The text of one element: an array is an object whose keys were left out."""
    decoder, at = json.JSONDecoder(), 1
    for here in range(place + 1):
        while text[at] in " \t\r\n,":
            at += 1
        start = at
        _, at = decoder.raw_decode(text, at)
        if here == place:
            return text[start:at]
    raise AssertionError("unreachable")


def _place(whole: list[Any], path: str) -> tuple[Any, Any]:
    """What holds the part at a path, and the part's key or place in it."""
    where: Any = whole
    last: Any = 0
    for step in steps(path):
        where = where[last]
        last = int(step) if isinstance(where, list) else step
    return where, last

"""Two JSON values against each other, part by part, each part as it was recorded."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

import msgspec

from auditlab.documents import raw_fields
from auditlab.temporal.alignment import Effort, common
from auditlab.values import canonical, inner_kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["LARGEST", "Part", "differences", "escaped"]

LARGEST = 4 * 1024 * 1024
"""Bytes of both values together beyond which they are told whole: parts take about a hundred times as much memory."""
MOST_EFFORT = 2_000_000
"""Steps that may go into matching the elements of lists, for one pair of values: a few seconds."""
BYTES_A_STEP = 4

_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_elements = msgspec.json.Decoder(list[msgspec.Raw]).decode
_DECODER = json.JSONDecoder(strict=False, parse_int=str, parse_float=str)
_SPACE, _NEXT = re.compile(r"[ \t\r\n]*"), re.compile(r"[ \t\r\n]*,?[ \t\r\n]*")


@dataclass(frozen=True, slots=True)
class Part:
    """One part in which two values differ.

    Args:
        path: Where, as a JSON Pointer (RFC 6901): into the old value where the part was removed, else into the new.
        kind: added, removed or modified.
        old: The JSON text as recorded; None where the part was added.
        new: The same; None where it was removed.
    """

    path: str
    kind: str
    old: str | None
    new: str | None


@dataclass(frozen=True, slots=True)
class _Pair:
    """Two parts that are to be compared; one that is not there is None. Paths differ behind a place that moved."""

    old_path: str
    new_path: str
    old: bytes | None
    new: bytes | None

    def under(self, old: str | int, new: str | int, values: tuple[bytes | None, bytes | None]) -> _Pair:
        """The pair of two members or elements."""
        return _Pair(f"{self.old_path}/{old}", f"{self.new_path}/{new}", *values)

    def part(self) -> Part:
        """The difference, told whole."""
        old, new = (None if raw is None else raw.decode() for raw in (self.old, self.new))
        kind = "added" if old is None else "removed" if new is None else "modified"
        return Part(self.old_path if new is None else self.new_path, kind, old, new)


def escaped(token: str) -> str:
    """A key as a JSON Pointer writes it."""
    return token.replace("~", "~0").replace("/", "~1")


def differences(
    old: str, new: str, kind: str | None = None, *, list_key: Callable[[str], str | None] | None = None
) -> list[Part]:
    """The parts in which two JSON values differ, in their order.

    Objects are compared key by key; of duplicate keys the last counts. Lists are compared as sequences: elements of
    equal value are matched, in order, as many as can be; between matched elements, as many old as new ones are told
    place by place, else the old ones are removed and the new ones added. So an element put into the middle is one
    ``added``. What was added or removed is one part, however much it holds.

    Applied to the old value, the parts give the new one: first ``removed``, the last of them first; then ``added``
    and ``modified`` in their order.

    Args:
        old: JSON text.
        new: JSON text.
        kind: The kind that the catalog declares for the field, if it does.
        list_key: For a list's path, the key by whose value its elements (objects) are matched, or None. Where an
            element has no such key, or two have the same value in it, that list's elements are matched whole.

    Returns:
        The parts. Values that are too large, and lists whose matching would take too long, are one ``modified``.

    >>> for part in differences('{"n": 1.10, "tags": ["a", "b"]}', '{"n": 1.1, "tags": ["x", "a", "c"]}'):
    ...     print(part.path, part.kind, part.old, part.new)
    /tags/0 added None "x"
    /tags/2 modified "b" "c"
    """
    whole = _Pair("", "", old.encode(), new.encode())
    if len(old) + len(new) > LARGEST:
        return [whole.part()]
    effort, found = Effort(MOST_EFFORT), []
    waiting = [whole]
    while waiting:
        pair = waiting.pop()
        if pair.old is None or pair.new is None:
            found.append(pair.part())
        elif pair.old == pair.new:
            continue
        elif pair.old[:1] == pair.new[:1] == b"{":
            waiting += reversed([*_of_objects(pair, pair.old, pair.new)])
        elif pair.old[:1] == pair.new[:1] == b"[":
            key = list_key(pair.new_path) if list_key else None
            pairs = _of_lists(pair, (elements(pair.old), elements(pair.new)), kind, key, effort)
            if pairs is None:
                found.append(pair.part())
            else:
                waiting += reversed(pairs)
        elif _nested(pair.old) or _nested(pair.new) or _value(pair.old, kind) != _value(pair.new, kind):
            found.append(pair.part())
    return found


def members(raw: bytes) -> dict[str, bytes]:
    """An object's keys with their values' text; a key with a lone surrogate is named by its escape."""
    try:
        return {key: bytes(value) for key, value in _members(raw).items()}
    except (msgspec.DecodeError, UnicodeEncodeError):
        return {key: value.encode() for key, value in raw_fields(raw.decode()).items()}


def elements(raw: bytes) -> list[bytes]:
    """The texts of a list's elements."""
    try:
        return [bytes(value) for value in _elements(raw)]
    except msgspec.DecodeError:
        return [value.encode() for value in _plainly(raw.decode())]


def _plainly(text: str) -> Iterator[str]:
    """A list's elements by the standard library, which also takes lone surrogates and control characters."""
    at = _SPACE.match(text, 1).end()  # type: ignore[union-attr]  # it matches everywhere
    while text[at] != "]":
        _, end = _DECODER.raw_decode(text, at)
        yield text[at:end]
        at = _NEXT.match(text, end).end()  # type: ignore[union-attr]


def _nested(raw: bytes) -> bool:
    return raw[:1] in b"{["


def _value(raw: bytes, kind: str | None) -> str:
    """What equal parts of a field of that kind have in common."""
    return canonical(raw.decode(), kind if _nested(raw) else inner_kind(kind))


def _of_objects(pair: _Pair, old: bytes, new: bytes) -> Iterator[_Pair]:
    before, after = members(old), members(new)
    for key in [*before, *(key for key in after if key not in before)]:
        name = escaped(key)
        yield pair.under(name, name, (before.get(key), after.get(key)))


def _of_lists(
    pair: _Pair, lists: tuple[list[bytes], list[bytes]], kind: str | None, key: str | None, effort: Effort
) -> list[_Pair] | None:
    """The pairs of elements to look into, and those that have no other; None where matching them is too dear."""
    old, new = lists
    keyed = None if key is None else (_keys(old, key), _keys(new, key))
    if keyed and keyed[0] is not None and keyed[1] is not None:
        matched = common(keyed[0], keyed[1], effort)
    else:
        keyed = None
        matched = _equal(old, new, kind, effort)
    if matched is None:
        return None
    pairs: list[_Pair] = []
    mine = theirs = 0
    for i, j in [*matched, (len(old), len(new))]:
        gone, come = range(mine, i), range(theirs, j)
        if len(gone) == len(come) and keyed is None:
            pairs += [pair.under(at, to, (old[at], new[to])) for at, to in zip(gone, come, strict=True)]
        else:
            pairs += [pair.under(at, at, (old[at], None)) for at in gone]
            pairs += [pair.under(to, to, (None, new[to])) for to in come]
        if i < len(old) and keyed is not None:
            pairs.append(pair.under(i, j, (old[i], new[j])))
        mine, theirs = i + 1, j + 1
    return pairs


def _equal(old: list[bytes], new: list[bytes], kind: str | None, effort: Effort) -> list[tuple[int, int]] | None:
    """The places of equal elements; texts that are the same at both ends need not be read."""
    first = next((at for at, (one, other) in enumerate(zip_longest(old, new)) if one != other), len(old))
    room = min(len(old), len(new)) - first
    last = next((at for at in range(room) if old[-1 - at] != new[-1 - at]), room)
    ends = len(old) - last, len(new) - last
    same_start = [(at, at) for at in range(first)]
    same_end = list(zip(range(ends[0], len(old)), range(ends[1], len(new)), strict=True))
    before, after = old[first : ends[0]], new[first : ends[1]]
    if len(before) == len(after) == 1 or not before or not after:
        return same_start + same_end
    if not effort.allows(sum(map(len, before + after)) // BYTES_A_STEP):
        return None
    read = {raw: _value(raw, kind) for raw in dict.fromkeys(before + after)}
    middle = common([read[raw] for raw in before], [read[raw] for raw in after], effort)
    return None if middle is None else [*same_start, *((i + first, j + first) for i, j in middle), *same_end]


def _keys(items: list[bytes], key: str) -> list[str] | None:
    """The canonical value of each element's key; None where one has none, or two have the same."""
    found = [members(item).get(key) if item[:1] == b"{" else None for item in items]
    told = [canonical(raw.decode()) for raw in found if raw is not None]
    return told if len(told) == len(items) == len(set(told)) else None

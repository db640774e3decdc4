"""Rows that say what a change did, old and new values by field, as what a log has: images and lists of new values.

Such rows come as ``{"field": [old, new]}``, as objects of old and of new values, or one a field. New values alone are
``changed_fields``, from which states follow. Old values tell more: what an entity was before its first change in the
log, and where a change found another value than the one before it left.
"""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec
import polars as pl

from auditlab.documents import raw_fields
from auditlab.errors import SchemaMismatch
from auditlab.load.columns import mark
from auditlab.remedies import recognised
from auditlab.schema import CHANGES
from auditlab.values import canonical

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from auditlab.load.entity_key import EntityKey

__all__ = ["with_differences"]

Fields = dict[str, str]
"""An object's fields with their raw JSON text."""
_Told = tuple[Fields, Fields]
"""The old and the new values that a row names."""
Refusal = Callable[[int, str | None, str], SchemaMismatch]
"""The error about a row, by its number, what it says and what that is."""

_TOGETHER = (("old", "new"), ("from", "to"), ("before", "after"))
_NOTHING = ("null", '""', '"None"')
"""What stands for the value of a row that is not there: null, and the text that Django makes of it."""
_OF_ONE = ("entity_type", "entity_id", "operation", "changed_by", "changed_at", "transaction_id", "correlation_id")
"""What rows of one change have in common."""
_BEGINS = ("INSERT", "SNAPSHOT")
_TWO = 2
_array = msgspec.json.Decoder(list[msgspec.Raw]).decode
_all_pairs = msgspec.json.Decoder(dict[str, tuple[msgspec.Raw, msgspec.Raw]]).decode
_SHOWN = 60


def with_differences(
    changes: pl.DataFrame, source: str, key: EntityKey | None = None
) -> tuple[pl.DataFrame, dict[str, int]]:
    """The changes with what their differences say as images and ``changed_fields``, values to the letter.

    - Rows of one field that one user did to one entity at one time, and in one transaction, are one change: the first.
    - An INSERT's new values are its after image, a DELETE's old ones its before image: all that are told are all.
    - An UPDATE of which the after image is there has as before image that with the old values in it.
    - Another UPDATE has its new values in ``changed_fields``; and a before image where its entity's state is not known
      before it, of what the old values up to its next image say, or where its old values are not what was left.
    - One that changed its row's key has both images, the one before it of what was left under the other key.

    Args:
        changes: The columns of a log by ``id``, and those of ``columns.BESIDE`` that it has.
        source: Where they are from, for messages.
        key: The key's fields, where they are known: a DELETE whose old values are those alone has no image.

    Returns:
        The changes, and by type how many entities there are of whose first state not all fields are told.

    Raises:
        SchemaMismatch: a row says something that is no difference.
    """
    told = list(_told(changes, source))
    if key is not None:
        told = [_without_key(*one, key) for one in zip(told, changes["entity_type"], changes["operation"], strict=True)]
    _check_new(changes, told, source)
    if mark("field") in changes.columns:
        changes, told = _together(changes, told)
    fold = _Fold(changes, told, key)
    made = {"before_snapshot": fold.before, "after_snapshot": fold.after, "changed_fields": fold.lists}
    changes = changes.with_columns(pl.Series(name, texts, dtype=pl.String) for name, texts in made.items())
    return changes.select(*CHANGES), fold.partly


def _check_new(changes: pl.DataFrame, told: Sequence[_Told], source: str) -> None:
    """Refuse types whose UPDATEs tell what fields were, and none what they became."""
    columns = ("id", "entity_type", "operation", "after_snapshot")
    first: dict[str, tuple[int, Fields]] = {}
    known: set[str] = set()
    for (number, name, operation, after), (old, new) in zip(changes.select(columns).iter_rows(), told, strict=True):
        if operation == "UPDATE" and (new or after is not None):
            known.add(name)
        elif operation == "UPDATE" and old:
            first.setdefault(name, (number, old))
    for name, (number, old) in first.items():
        if name not in known:
            raise SchemaMismatch(
                f"{source}, row id {number}: says what {', '.join(map(repr, old))} of {name} was, and no UPDATE says "
                "what fields became: of old values of what changed alone, no state can be told. Name the column of "
                "the new ones, columns={'new': 'name there'}; where the old values are the whole row, say "
                "columns={'before_snapshot': 'name there', 'after_snapshot': None}."
            )


def _without_key(told: _Told, entity_type: str, operation: str, key: EntityKey) -> _Told:
    """The same, but for a DELETE that names nothing but the key of what it deleted."""
    return ({}, {}) if operation == "DELETE" and key.alone(entity_type, told[0]) else told


def _together(changes: pl.DataFrame, told: list[_Told]) -> tuple[pl.DataFrame, list[_Told]]:
    """The rows of one field each as the changes that they are of: what one did to an entity at one time."""
    kept: list[int] = []
    found: list[_Told] = []
    last: dict[tuple[object, ...], tuple[int, tuple[object, ...]]] = {}
    for row, change in enumerate(changes.select(_OF_ONE).iter_rows()):
        entity, (old, new) = change[:2], told[row]
        place, before = last.get(entity, (0, ()))
        if before == change and not found[place][1].keys() & new.keys():
            found[place][0].update(old)
            found[place][1].update(new)
        else:
            last[entity] = len(kept), change
            kept.append(row)
            found.append((dict(old), dict(new)))
    return changes[kept], found


Entity = tuple[str, str | None, int]
"""A type, an id, and how many TRUNCATEs of the type came before."""


class _Fold:
    """What changes make of each other, one after the other.

    Args:
        changes: The columns of a log by ``id``.
        told: The old and the new values that each names.
        key: The key's fields, where they are known.

    ``before``, ``after`` and ``lists`` (of changed fields) are the documents by row; ``partly`` has by type how many
    entities there are of whose first state not all fields are told. Changes go by their rows: an object for each would
    have the garbage collector look through all of them time and again.
    """

    def __init__(self, changes: pl.DataFrame, told: Sequence[_Told], key: EntityKey | None) -> None:
        self.before, self.after = (changes[side].to_list() for side in ("before_snapshot", "after_snapshot"))
        self.lists: list[str | None] = [None] * len(changes)
        self._key, self._told = key, told
        self._operations: list[str] = changes["operation"].to_list()
        self._states: dict[Entity, Fields] = {}
        rows, to_come = self._rows(changes)
        names: dict[str, set[str]] = defaultdict(set)
        for row, entity in rows.items():
            names[entity[0]].update(*told[row])
        partly: dict[str, int] = defaultdict(int)
        for row, entity in rows.items():
            found, moved = self._left(entity, row), True
            if found is None:
                opens = self._operations[row] == "UPDATE" and entity not in self._states and self.after[row] is None
                found, moved = self._first(to_come[entity]) if opens else None, False
            if found is not None:
                partly[entity[0]] += not names[entity[0]] <= found.keys()
            self._take(entity, row, found or None, moved=moved)
            to_come[entity].popleft()
        self.partly = {name: count for name, count in partly.items() if count}

    def _rows(self, changes: pl.DataFrame) -> tuple[dict[int, Entity], dict[Entity, deque[int]]]:
        """The entity of each row but for TRUNCATEs, and the rows of each entity."""
        rows: dict[int, Entity] = {}
        own: dict[Entity, deque[int]] = defaultdict(deque)
        cuts: dict[str, int] = defaultdict(int)
        for row, (entity_type, entity_id) in enumerate(changes.select("entity_type", "entity_id").iter_rows()):
            if self._operations[row] == "TRUNCATE":
                cuts[entity_type] += 1
            else:
                rows[row] = (entity_type, entity_id, cuts[entity_type])
                own[rows[row]].append(row)
        return rows, own

    def _left(self, entity: Entity, row: int) -> Fields | None:
        """The state in which an UPDATE of a key found its row, under the key that it had; None of all others."""
        if self._key is None or self._operations[row] != "UPDATE" or self.after[row] is not None:
            return None
        old, new = self._told[row]
        was = self._key.of(entity[0], new | old)
        if was is None or was == entity[1]:
            return None
        return self._states.pop((entity[0], was, entity[2]), {}) | old

    def _first(self, rows: Iterable[int]) -> Fields:
        """What an entity was before the first of its changes: of each field the first old value that is told."""
        found: Fields = {}
        added: set[str] = set()
        for row in rows:
            operation, (old, new) = self._operations[row], self._told[row]
            if operation in _BEGINS:
                break
            found = {name: value for name, value in old.items() if name not in found.keys() | added} | found
            added |= new.keys() - old.keys()
            if operation == "DELETE":
                break
        return found

    def _take(self, entity: Entity, row: int, found: Fields | None, *, moved: bool) -> None:
        """Write down the images and the new values of a change.

        Args:
            entity: Whose it is.
            row: The change's.
            found: The state that it found, where no change of its entity left it.
            moved: Whether that was left under another key.
        """
        operation, (old, new) = self._operations[row], self._told[row]
        image = self.after[row]
        if operation == "DELETE":
            self.before[row] = self.before[row] or (_written(old) if old else None)
            self._states.pop(entity, None)
            return
        if operation in _BEGINS:
            self.after[row] = image or (_written(new) if new else None)
            if self.after[row] is None:  # what it was, old values of later changes may tell
                self._states.pop(entity, None)
            else:
                self._states[entity] = dict(new) if image is None else _read(image)
        elif image is not None:
            self._states[entity] = _read(image)
            self.before[row] = self.before[row] or _written(self._states[entity] | old)
        else:
            self._update(entity, row, found, moved=moved)

    def _update(self, entity: Entity, row: int, found: Fields | None, *, moved: bool) -> None:
        """Write down an UPDATE without an after image."""
        old, new = self._told[row]
        left = self._states.get(entity)
        if self.before[row] is not None:
            left = _read(self.before[row])
        elif found is not None or (left is not None and any(not _like(left.get(name), old[name]) for name in old)):
            left = (left or {}) | old if found is None else found
            self.before[row] = _written(left)
        self.lists[row] = _written(new) if new else None
        if left is None:
            return
        self._states[entity] = left | new
        if moved or (new and all(value[0] in "[{" for value in new.values())):
            self.after[row] = _written(left | new)  # a list alone tells no key, and may look like old and new values
            self.lists[row] = None


def _like(left: str | None, found: str) -> bool:
    if left is None:  # INSERTs of some tools leave out what is null
        return found in _NOTHING
    return left == found or canonical(left) == canonical(found)


def _told(changes: pl.DataFrame, source: str) -> Iterator[_Told]:
    """The old and the new values that each row names."""
    columns = [name for name in ("diff", "field", "old", "new") if mark(name) in changes.columns]
    texts = {name: changes[mark(name)].to_list() for name in columns}
    nothing: list[str | None] = [None] * len(changes)
    ids, operations = changes["id"].to_list(), changes["operation"].to_list()

    def no_difference(row: int, text: str | None, want: str) -> SchemaMismatch:
        shown = text if text is None or len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
        return SchemaMismatch(f"{source}, row id {ids[row]}: {shown!r} is {want}.")

    if "field" in columns:
        return _by_field(zip(texts["field"], texts.get("old", nothing), texts["new"], strict=True), no_difference)
    if "diff" in columns:
        return _of_pairs(texts["diff"], operations, no_difference)
    rows = zip(texts.get("old", nothing), texts.get("new", nothing), strict=True)
    return ((_object(old, row, no_difference), _object(new, row, no_difference)) for row, (old, new) in enumerate(rows))


def _by_field(rows: Iterable[tuple[str | None, ...]], refusal: Refusal) -> Iterator[_Told]:
    for row, (name, old, new) in enumerate(rows):
        if name is None:
            raise refusal(row, name, "no name of a field, which 'field' is to tell in every row")
        yield ({} if old is None else {name: old}), {name: new or "null"}


def _object(text: str | None, row: int, refusal: Refusal) -> Fields:
    if text is None or text.strip() in ("", "null", "[]"):  # PHP writes an empty object so
        return {}
    try:
        return raw_fields(text)
    except ValueError as exc:
        raise refusal(row, text, f"no JSON object of values by field ({exc}){recognised(text)}") from exc


def _of_pairs(texts: Sequence[str | None], operations: Sequence[str], refusal: Refusal) -> Iterator[_Told]:
    """The values of ``{"field": [old, new]}``; of INSERTs and DELETEs, where not all are pairs, they are the values."""
    ends = (*_BEGINS, "DELETE")
    found = [
        _object(text, row, refusal) if operation in ends else None
        for row, (text, operation) in enumerate(zip(texts, operations, strict=True))
    ]
    plain = {
        "INSERT": _are_plain(found, operations, _BEGINS, none=0),
        "DELETE": _are_plain(found, operations, ("DELETE",), none=1),
    }
    plain["SNAPSHOT"] = plain["INSERT"]
    for row, (text, operation) in enumerate(zip(texts, operations, strict=True)):
        fields = found[row]
        if fields is not None and plain[operation]:
            yield (fields, {}) if operation == "DELETE" else ({}, fields)
            continue
        if fields is None and (sides := _sides(text)) is not None:
            yield sides
            continue
        fields = _object(text, row, refusal) if fields is None else fields
        pairs = {name: _pair(value) for name, value in fields.items()}
        odd = next((name for name, pair in pairs.items() if pair is None), None)
        if odd is not None:
            raise refusal(row, fields[odd], f"what the difference has of {odd!r}, and no pair [old, new] of values")
        old, new = ({name: pair[side] for name, pair in pairs.items() if pair} for side in (0, 1))
        yield ({}, new) if operation in _BEGINS else (old, {} if operation == "DELETE" else new)


def _sides(text: str | None) -> _Told | None:
    """The values of ``{"field": [old, new]}``, as nearly every row has them; None of one that is otherwise."""
    try:
        pairs = _all_pairs(text or "")
        old = {name: str(bytes(pair[0]), "utf-8") for name, pair in pairs.items()}
        return old, {name: str(bytes(pair[1]), "utf-8") for name, pair in pairs.items()}
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def _are_plain(found: Sequence[Fields | None], operations: Sequence[str], which: Sequence[str], *, none: int) -> bool:
    """Whether rows of these operations have values in place of pairs: some value is no pair with nothing on a side."""
    own = (fields for fields, operation in zip(found, operations, strict=True) if operation in which)
    pairs = (_pair(value) for fields in own for value in (fields or {}).values())
    return any(pair is None or pair[none] not in _NOTHING for pair in pairs)


def _pair(raw: str) -> tuple[str, str] | None:
    """An array of two, or an object of an old and a new value, as the raw texts of both."""
    if raw[0] == "[":
        values = _array(raw)
        return (str(bytes(values[0]), "utf-8"), str(bytes(values[1]), "utf-8")) if len(values) == _TWO else None
    if raw[0] == "{":
        fields = raw_fields(raw)
        return next(((fields[a], fields[b]) for a, b in _TOGETHER if fields.keys() == {a, b}), None)
    return None


def _read(text: str) -> Fields:
    """An image's fields; none of one that is no object, which is refused by name where rows are judged."""
    try:
        return raw_fields(text)
    except ValueError:
        return {}


def _written(fields: Fields) -> str:
    return f"{{{', '.join([f'{_name(name)}: {raw}' for name, raw in fields.items()])}}}"


@lru_cache(maxsize=4096)
def _name(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)

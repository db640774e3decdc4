"""The key inside of images: logs that name an entity by the fields of its row alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache

import msgspec
import pyarrow as pa

from auditlab.errors import BadOption, SchemaMismatch
from auditlab.keys import entity_uuid
from auditlab.values import recorded_text

__all__ = ["EntityKey", "Key", "entity_id", "key_columns"]

Key = str | Sequence[str] | Mapping[str, str | Sequence[str]]
"""The key's column, its columns, or those of each entity type."""

_SHOWN = 10
_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def key_columns(key: Key | None) -> dict[str, tuple[str, ...]]:
    """The columns of each entity type's key; those under ``""`` are of all others.

    Raises:
        BadOption: no name of a column.
    """
    by_type = key if isinstance(key, Mapping) else {"": () if key is None else key}
    found = {name: _names(names) for name, names in by_type.items()}
    odd = [names for names in found.values() if not all(isinstance(name, str) and name for name in names)]
    if odd or (key is not None and not all(found.values())):
        raise BadOption(f"key={key!r}: give a column, e.g. key='id', several, or those of each entity type.")
    return found


def _names(given: object) -> tuple[str, ...]:
    """The names that are given as one, or as several; a name that is none stands for what cannot be read."""
    if isinstance(given, str) or not isinstance(given, Iterable):
        return (given,) if isinstance(given, str) else ("",)
    return tuple(given)


def entity_id(entity_type: str, key: Mapping[str, bytes]) -> str | None:
    """The id of the row with that key, by column its raw JSON; None of an empty one, or where one alone is null.

    It is the text of a key of one column, of one of several :func:`auditlab.entity_uuid`.

    Raises:
        BadOption: one of several columns is of a kind that no key column has.
    """
    if len(key) == 1:
        (raw,) = key.values()
        return recorded_text(raw.decode())
    if not key:
        return None
    return _uuid(entity_type, tuple(key.items()))


@lru_cache(maxsize=1 << 16)
def _uuid(entity_type: str, key: tuple[tuple[str, bytes], ...]) -> str:
    return str(entity_uuid(entity_type, {name: json.loads(raw, parse_float=Decimal) for name, raw in key}))


class EntityKey:
    """Which fields of images are the key, as the option ``key=`` says it.

    Args:
        key: The option.
        partitions: Leaf to partitioned table: the key is the table's.

    ``keys`` has the columns of each type that was met.
    """

    def __init__(self, key: Key, partitions: Mapping[str, str] | None = None) -> None:
        self._given = key_columns(key)
        self._tables = partitions or {}
        self.keys: dict[str, tuple[str, ...]] = {}
        self._found: set[str] = set()
        self._fields: dict[str, list[str]] = {}

    def has(self, name: str) -> bool:
        """Whether a field of that name is of a key."""
        return any(name in names for names in self._given.values())

    def ids(self, images: pa.Array, entity_types: pa.Array, ids: pa.Array, what: str) -> pa.Array:
        """The id of the entity that each image is of; null where there is no image, or it has not all of the key.

        Raises:
            SchemaMismatch: of a type no key is given, or no entity can have one of such values.
        """
        found = []
        for text, name, number in zip(images.to_pylist(), entity_types.to_pylist(), ids.to_pylist(), strict=True):
            table = self._tables.get(name, name)
            found.append(None if text is None or table is None else self._id(text, table, number, what))
        return pa.array(found, pa.string())

    def _id(self, text: str, entity_type: str, number: int, what: str) -> str | None:
        columns = self.keys.get(entity_type) or self._columns(entity_type, what)
        try:
            fields = _object(text)
        except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):  # refused by name where rows are judged
            return None
        if not fields.keys() >= {*columns}:
            self._fields.setdefault(entity_type, list(fields))
            return None
        self._found.add(entity_type)
        try:
            return entity_id(entity_type, {name: bytes(fields[name]) for name in columns})
        except BadOption as exc:
            raise SchemaMismatch(f"{what}, row id {number}: {exc}") from exc

    def _columns(self, entity_type: str, what: str) -> tuple[str, ...]:
        names = self._given.get(entity_type) or self._given.get("")
        if names is None:
            raise SchemaMismatch(
                f"{what}: key= names no key of {entity_type}. It has those of {', '.join(self._given)}; name all."
            )
        self.keys[entity_type] = names
        return names

    def of(self, entity_type: str, fields: Mapping[str, str]) -> str | None:
        """The id of the entity that fields of a row, raw, are of; None where they do not have all of its key."""
        columns = self.keys.get(entity_type, ())
        if not columns or not fields.keys() >= {*columns}:
            return None
        try:
            return entity_id(entity_type, {name: fields[name].encode() for name in columns})
        except BadOption:
            return None

    def alone(self, entity_type: str, fields: Iterable[str]) -> bool:
        """Whether fields of a row of that type are of its key alone."""
        return {*fields} <= {*self.keys.get(entity_type, ())}

    def check(self, what: str) -> None:
        """Refuse a key of which no image of its type has all columns.

        Raises:
            SchemaMismatch: with the fields that there are.
        """
        for entity_type, fields in self._fields.items():
            if entity_type not in self._found:
                raise SchemaMismatch(
                    f"{what}: no image of {entity_type} has {_words(self.keys[entity_type])}, which key= names. The "
                    f"first without it has {_words(fields[:_SHOWN]) or 'nothing'}."
                )


def _words(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))

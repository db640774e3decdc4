"""By what a log knows the rows of a table: a column that is the entity id, or a key from which the id is derived."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

import polars as pl

from auditlab.documents import raw_fields
from auditlab.keys import entity_uuid
from auditlab.values import recorded_text

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

__all__ = ["Identity", "identity"]

SAMPLE = 50
"""Changes of a type by which its identity is told."""

_DERIVED = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}")
"""What a derived id looks like."""


@dataclass(frozen=True, slots=True)
class Identity:
    """How the entity id of a live row is had.

    Args:
        columns: The columns of the key; one that holds the id itself, or those that the id is derived from.
        derived: Whether the id is a uuid derived from them, as our capture does it (``auditlab.entity_uuid``).
    """

    columns: tuple[str, ...]
    derived: bool


def identity(
    rows: pl.DataFrame, *, keys: Sequence[str], columns: Collection[str], uuids: Collection[str], tracked: bool
) -> Identity | str:
    """How the log knows the rows of a table; else why that cannot be told.

    Args:
        rows: The type's changes in the log's order: entity_type, entity_id, before_snapshot, after_snapshot, metadata.
        keys: The columns of the table's primary key; empty where it has none.
        columns: All its columns.
        uuids: Those that hold uuids.
        tracked: Whether our capture tracks the table.
    """
    images = rows.filter(rows["entity_id"].is_not_null()).tail(SAMPLE)
    if images.is_empty():
        return _by_catalog(keys, columns, uuids, tracked=tracked)
    key = _key(images)
    if key is not None:
        return _derived(key, keys)
    holding = _holding(images)
    if not holding and keys and _derived_from(images, keys):
        return Identity(tuple(keys), derived=True)
    return _by_images(holding, keys, columns)


def _by_catalog(
    keys: Sequence[str], columns: Collection[str], uuids: Collection[str], *, tracked: bool
) -> Identity | str:
    """Of a type without a change, how its changes will be keyed."""
    if tracked and keys:
        return Identity(tuple(keys), derived=len(keys) > 1 or keys[0] not in uuids)
    return Identity(("id",), derived=False) if "id" in columns else "the log does not say what its rows' ids are"


def _by_images(holding: Collection[str], keys: Sequence[str], columns: Collection[str]) -> Identity | str:
    known = [name for name in (*(keys if len(keys) == 1 else ()), "id", *holding) if name in columns]
    for name in known:
        if name in holding:
            return Identity((name,), derived=False)
    if len(keys) == 1 and holding and not set(holding) & set(columns):  # its column was renamed since
        return Identity(tuple(keys), derived=False)
    return "no column of it holds the entity ids that the log has"


def _derived(key: Collection[str], keys: Sequence[str]) -> Identity | str:
    if not keys:
        return "it has no primary key any more"
    if len(key) != len(keys) or (len(keys) > 1 and set(key) != set(keys)):
        return f"the log knows its rows by {', '.join(key)}, and its primary key is {', '.join(keys)} now"
    return Identity(tuple(keys), derived=True)


def _key(images: pl.DataFrame) -> list[str] | None:
    """The names of the key beside the newest derived id; None where the ids are not derived."""
    for entity_id, text in images.select("entity_id", "metadata").reverse().iter_rows():
        if text is None or not _DERIVED.match(entity_id):
            continue
        try:
            told = json.loads(text)
        except ValueError:
            continue
        key = told.get("key") if isinstance(told, dict) else None
        if isinstance(key, dict) and key:
            return list(key)
    return None


def _derived_from(images: pl.DataFrame, keys: Sequence[str]) -> bool:
    """Whether the id of the newest image is derived from these columns: the states in a snapshot name no key."""
    image = pl.coalesce("after_snapshot", "before_snapshot")
    newest = images.filter(image.is_not_null()).select("entity_type", "entity_id", image).tail(1)
    for entity_type, entity_id, text in newest.iter_rows():
        try:
            fields = raw_fields(text)
            key = {name: json.loads(fields[name], parse_float=Decimal) for name in keys}
            derived = entity_uuid(entity_type, key)
        except (ValueError, KeyError):
            return False
        return bool(str(derived) == entity_id)
    return False


def _holding(images: pl.DataFrame) -> set[str]:
    """The fields that hold the entity id in the newest images; a column may have had another name before."""
    holding: set[str] = set()
    for entity_id, before, after in (
        images.select("entity_id", "before_snapshot", "after_snapshot").reverse().iter_rows()
    ):
        image = before if after is None else after
        try:
            fields = raw_fields(image) if image is not None else {}
        except ValueError:
            continue
        found = {name for name, raw in fields.items() if recorded_text(raw) == entity_id}
        holding = (holding & found) or holding or found
    return holding

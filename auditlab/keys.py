"""The entity id of a key: a uuid as it is, any other key by a deterministic uuid, the same here and in the database.

``audit.entity_uuid(entity_type, key)`` in ``sql/capture/keys.sql`` computes the same value.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal

from auditlab.errors import BadOption

__all__ = ["entity_ids", "entity_uuid"]


def entity_uuid(entity_type: str, key: object) -> uuid.UUID:
    """The entity id of the row of ``entity_type`` with that key.

    A uuid v8 (RFC 9562) of the first bytes of a SHA-256 over the entity type and the key, each part after its length
    in bytes. A key of one column counts by its value alone, so that a renamed column changes nothing; a key of several
    by names and values, in the order of the names' bytes. A key that is a uuid is the id itself.

    Args:
        entity_type: ``schema.table``.
        key: The value of a key of one column, or a mapping of column to value.

    Raises:
        BadOption: the key is empty, null, or of a kind that no key column has.

    >>> entity_uuid("shop.orders", 42)
    UUID('2cba5922-dfd0-821e-8636-7315832a60d3')
    >>> entity_uuid("shop.orders", {"id": 42}) == entity_uuid("shop.orders", 42)
    True
    """
    columns: dict[str, object] = dict(key) if isinstance(key, Mapping) else {"": key}
    if not columns:
        raise BadOption(f"an empty key names no row of {entity_type}.")
    if len(columns) == 1:
        (value,) = columns.values()
        if isinstance(value, uuid.UUID):
            return value
        parts = [entity_type, _text(entity_type, value)]
    else:
        parts = [entity_type]
        for name in sorted(columns, key=str.encode):
            parts += [name, _text(entity_type, columns[name])]
    canonical = b"".join(str(len(part.encode())).encode() + b":" + part.encode() for part in parts)
    digest = hashlib.sha256(canonical).hexdigest()
    return uuid.UUID(f"{digest[:12]}8{digest[13:16]}8{digest[17:32]}")


def entity_ids(entity_type: str, key: object) -> list[str]:
    """What a log may call the entity that an id or a key names, the likeliest first: as it is, its value, its uuid.

    Args:
        entity_type: ``schema.table``.
        key: As :func:`entity_uuid` takes it.

    Raises:
        BadOption: the key is empty, null, or of a kind that no key column has.
    """
    columns: dict[str, object] = dict(key) if isinstance(key, Mapping) else {"": key}
    alone = [_text(entity_type, value) for value in columns.values()] if len(columns) == 1 else []
    given = [] if isinstance(key, Mapping) else [str(key)]
    return list(dict.fromkeys([*given, *alone, str(entity_uuid(entity_type, key))]))


def _text(entity_type: str, value: object) -> str:
    """A key value as the log has it: the text of its JSON, numbers without idle zeros."""
    match value:
        case str():
            text = value
        case bool():
            text = "true" if value else "false"
        case int() | uuid.UUID():
            text = str(value)
        case Decimal() | float():
            text = _number(value)
        case bytes():
            text = "\\x" + value.hex()
        case datetime():
            text = _instant(value)
        case date():
            text = value.isoformat()
        case _:
            raise BadOption(
                f"no key of {entity_type} can be {value!r}. Give a text, number, uuid, date, time or bytes."
            )
    return text


def _number(value: Decimal | float) -> str:
    exact = value if isinstance(value, Decimal) else Decimal(repr(value))
    if not exact.is_finite():
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(float(exact)).lower()]
    text = f"{exact:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in {"-0", ""} else text


def _instant(value: datetime) -> str:
    aware = value.tzinfo is not None
    text = value.astimezone(UTC).replace(tzinfo=None).isoformat() if aware else value.isoformat()
    if "." in text:
        text = text.rstrip("0")
    return text + ("+00:00" if aware else "")

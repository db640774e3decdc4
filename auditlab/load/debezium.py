"""A log from Debezium's change events, one a line: the envelope with ``before``, ``after``, ``source`` and ``op``."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from auditlab.errors import BadOption, SchemaMismatch
from auditlab.load.arrow import loaded
from auditlab.load.canonical import Canonical
from auditlab.load.encoded import decoder
from auditlab.load.entity_key import entity_id, key_columns
from auditlab.load.partitions import checked, folding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from auditlab.clock import Moment
    from auditlab.load.encoded import Decoder
    from auditlab.load.entity_key import Key
    from auditlab.load.source import Loaded

__all__ = ["is_debezium", "read_debezium"]

Fields = dict[str, msgspec.Raw]
"""An object's fields with their raw JSON text."""

_BLOCK = 8 << 20
"""Bytes of lines that are read at a time."""
_SHOWN = 10
_MESSAGE = "m"
"""The operation of events that change no row: messages that an application wrote into the database's log."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_EVENTS = pa.schema(
    {
        "id": pa.int64(),
        "entity_type": pa.string(),
        "entity_id": pa.string(),
        "operation": pa.string(),
        "changed_at": pa.timestamp("us", "UTC"),
        "before_snapshot": pa.string(),
        "after_snapshot": pa.string(),
        "metadata": pa.string(),
        "transaction_id": pa.int64(),
        "committed_at": pa.timestamp("us", "UTC"),
    }
)

_object = msgspec.json.Decoder(Fields).decode
_text = msgspec.json.Decoder(str).decode
_encoded = msgspec.json.Encoder().encode


def read_debezium(
    path: str | Path,
    *,
    key: Key | None = None,
    partitions: Mapping[str, str] | None = None,
    coverage: tuple[Moment, Moment] | None = None,
    strict: bool = True,
) -> Loaded:
    """The log that a file of Debezium change events holds, one a line, in the order in which they were consumed.

    A line is an event (``{"before": ..., "after": ..., "source": ..., "op": ...}``), alone or beside its schema
    (``{"schema": ..., "payload": ...}``); or a message with its key: as ``kcat -J`` writes it, or the key, a TAB and
    the event, as ``kafka-console-consumer`` does with ``print.key=true``. Tombstones and an application's messages
    (``op`` is ``m``) tell of no row and are left out. An event that was delivered again, with the same ``source``,
    counts once.

    - ``entity_type`` is ``schema.table``, or ``database.table`` where the source has no schemas (MySQL).
    - ``entity_id`` is the text of the key; of a key of several columns :func:`auditlab.entity_uuid`.
    - ``changed_at`` is the time in ``source``, UTC; where that has none, the event's own. PostgreSQL's is the time of
      the commit and stands in ``committed_at``, too. Without ``ts_us`` it is cut to milliseconds, by Debezium.
    - ``transaction_id`` is PostgreSQL's ``txId``, of 32 bits; null of other sources.
    - ``metadata`` has the key, ``source`` and ``transaction`` of the event.
    - ``id`` is the event's place in the file: inside of one partition of a topic that is the order of what happened,
      between topics the order in which they were consumed.
    - Images are kept to the letter. Where a line has its schema, the decimals, dates, times and JSON that Debezium
      encodes (``"MrM="``, ``19783``) become what they are (``129.79``, ``"2024-03-01"``), in arrays and structs, too.
    - Of tables whose ``UPDATE`` comes without ``before`` (PostgreSQL's ``REPLICA IDENTITY DEFAULT``), the ``before`` of
      a ``DELETE`` has placeholders for all but the key. It is not taken; what the changes before left stands for it.
    - A row whose key was changed is a DELETE and an INSERT, as Debezium writes it.

    Args:
        path: The file, in UTF-8; one compressed by gzip, zstd, ... is known by its ending.
        key: The key's column, its columns, or those of each entity type; None takes the key that the messages have.
        partitions: As in ``from_arrow``.
        coverage: As in ``from_arrow``.
        strict: As in ``from_arrow``.

    Raises:
        SchemaMismatch: the file is missing, or a line is no change event or does not tell the key; the message has the
            line's number.
        BadOption: ``key`` is no name of a column.
        MalformedChange: rows that are no changes, by kind.
    """
    events = _Events(Path(path), key_columns(key))
    batches = (Canonical(batch.schema, columns=_NEVER, what=str(path)).batch(batch) for batch in events.batches())
    folded = folding(batches, checked(partitions), str(path))
    found = loaded(folded, zone="UTC", coverage=coverage, source=str(path), strict=strict)
    tables = dict(partitions or {})
    return replace(
        found, facts=replace(found.facts, keys={tables.get(name, name): own for name, own in events.keys.items()})
    )


_NEVER = dict.fromkeys(("changed_by", "changed_fields", "correlation_id", "partition"))
"""What no event tells."""


def is_debezium(path: str | Path) -> bool:
    """Whether the first line of a file that holds anything holds one of Debezium's events."""
    try:
        with pa.input_stream(str(path), compression="detect") as opened:
            for line in BufferedReader(opened):
                message = _message(line)
                if message is not None:
                    return _is_event(message.value)
    except (OSError, ValueError, RecursionError, msgspec.MsgspecError):
        pass
    return False


class _Message(NamedTuple):
    """A line's key and event, each without its schema; and the schema of the event, raw, where the line has it."""

    key: Fields
    value: Fields
    schema: bytes


class _NoEvent(Exception):
    """What is wrong with a line, in words."""


def _message(line: bytes) -> _Message | None:
    """What a line holds; None where that is nothing, or a tombstone.

    Raises:
        ValueError, msgspec.MsgspecError: no JSON object.
    """
    key: Fields | None = None
    left, tab, right = line.strip().partition(b"\t")
    if tab and right.strip()[:1] in (b"{", b"n") and left.strip()[-1:] not in (b":", b",", b"["):
        (key, _), line = _unwrapped(left), right
    if line.strip() in (b"", b"null"):
        return None
    told = _object(line)
    if told.keys() >= {"topic", "payload"}:  # kcat -J
        (key, _), line = _unwrapped(bytes(told.get("key", b"null"))), bytes(told["payload"])
    value, schema = _unwrapped(line)
    return None if value is None else _Message(key or {}, value, schema)


def _unwrapped(written: bytes) -> tuple[Fields | None, bytes]:
    """An object, which may stand in a text, without its schema, and that; None for null."""
    written = written.strip()
    written = _text(written).encode().strip() if written[:1] == b'"' else written
    if written == b"null":
        return None, b""
    told = _object(written)
    if told.keys() != {"schema", "payload"}:
        return told, b""
    return _unwrapped(bytes(told["payload"]))[0], bytes(told["schema"])


def _is_event(value: Fields) -> bool:
    return value.keys() >= {"source", "op"}


class _Events:
    """The events of a file as rows in a log's columns.

    Args:
        path: The file.
        given: The columns of each entity type's key; those under ``""`` are of all others.
    """

    def __init__(self, path: Path, given: Mapping[str, tuple[str, ...]]) -> None:
        self._path, self._given = path, given
        self.keys: dict[str, tuple[str, ...]] = {}
        self._seen: dict[bytes, bytes] = {}
        self._count = 0
        self._decoders: dict[bytes, dict[str, dict[str, Decoder]]] = {}

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All rows: when the last was read it is known of which tables a DELETE tells the key alone."""
        found: list[pa.RecordBatch] = []
        keyed: set[str] = set()
        for rows in self._rows():
            found.append(pa.RecordBatch.from_pylist(rows, schema=_EVENTS))
            keyed |= {row["entity_type"] for row in rows if row["operation"] == "u" and row["before_snapshot"] is None}
        place = _EVENTS.get_field_index("before_snapshot")
        for batch in found:
            own = pc.is_in(batch.column("entity_type"), value_set=pa.array(sorted(keyed), pa.string()))
            untold = pc.and_(own, pc.equal(batch.column("operation"), "d"))
            before = pc.if_else(untold, pa.scalar(None, pa.string()), batch.column(place))
            yield batch.set_column(place, _EVENTS.field(place), before)

    def _rows(self) -> Iterator[list[dict[str, Any]]]:
        number = 0
        try:
            with pa.input_stream(str(self._path), compression="detect") as opened:
                lines = BufferedReader(opened)
                while block := lines.readlines(_BLOCK):
                    rows = []
                    for line in block:
                        number += 1
                        try:
                            message = _message(line)
                            row = None if message is None else self._row(message)
                        except _NoEvent as exc:
                            raise SchemaMismatch(f"{self._path}, line {number}: {exc}") from exc
                        except (ValueError, ArithmeticError, RecursionError, msgspec.MsgspecError) as exc:
                            raise SchemaMismatch(f"{self._path}, line {number}: is no change event: {exc}") from exc
                        rows += [] if row is None else [row]
                    yield rows
        except OSError as exc:
            raise SchemaMismatch(f"cannot read {self._path} as change events: {exc}") from exc

    def _row(self, message: _Message) -> dict[str, Any] | None:
        """An event as a row; None of one that changes no row."""
        told = message.value
        if not _is_event(told):
            raise _NoEvent(
                f"is no change event: it has {', '.join(list(told)[:_SHOWN]) or 'nothing'}, but no source and op. Give "
                "the topics of tables alone, with events as Debezium writes them and not as ExtractNewRecordState "
                "leaves them; read_jsonl reads other JSON Lines."
            )
        operation, source = _word(told["op"]), _object(bytes(told["source"]))
        if operation == _MESSAGE:
            return None
        entity_type = _entity_type(source)
        decoders = self._decoders_of(message.schema)
        before, after = (_image(told.get(side), decoders.get(side, {})) for side in ("before", "after"))
        key: Fields = {}
        if operation != "t":
            state = after or before
            key = self._key(entity_type, message.key, message.key if state is None else state.fields)
            if operation == "d" and before is not None and _tells_only(key, before.fields):
                before = None
        at, postgres = _moment(source, told), "connector" in source and _word(source["connector"]) == "postgresql"
        beside = {"key": key or None, "source": told["source"], "transaction": told.get("transaction")}
        if self._again(entity_type, key, told):
            return None
        self._count += 1
        return {
            "id": self._count,
            "entity_type": entity_type,
            "entity_id": _entity_id(entity_type, key),
            "operation": operation,
            "changed_at": at,
            "before_snapshot": None if before is None else before.text,
            "after_snapshot": None if after is None else after.text,
            "metadata": _encoded({name: one for name, one in beside.items() if one is not None}).decode(),
            "transaction_id": _whole(source.get("txId")) if postgres else None,
            "committed_at": at if postgres else None,
        }

    def _again(self, entity_type: str, key: Fields, told: Fields) -> bool:
        """Whether an event was delivered before: what its source did to the row last was the same.

        Where a source stands for all of a transaction, as some connectors write it, what it did in between tells.
        """
        which = _digest(entity_type.encode(), *map(bytes, key.values()), bytes(told["source"]))
        what = _digest(*(bytes(told.get(name, b"null")) for name in ("op", "before", "after")))
        again = self._seen.get(which) == what
        self._seen[which] = what
        return again

    def _key(self, entity_type: str, told: Fields, state: Fields) -> Fields:
        """The key's columns with their raw values: those that were given, else those of the message's key."""
        names = self._given.get(entity_type) or self._given.get("") or tuple(told)
        if not names:
            raise _NoEvent(
                f"does not tell the key of {entity_type}. Write messages with their keys (kcat -J, or "
                "kafka-console-consumer with print.key=true), or name its column: key='id'. The row has "
                f"{', '.join(list(state)[:_SHOWN]) or 'nothing'}."
            )
        self.keys.setdefault(entity_type, names)
        values = told | state
        missing = [name for name in names if name not in values]
        if missing:
            raise _NoEvent(f"the row of {entity_type} has no {', '.join(map(repr, missing))}, which is to be its key.")
        return {name: values[name] for name in names}

    def _decoders_of(self, schema: bytes) -> dict[str, dict[str, Decoder]]:
        """What an event's schema tells of the fields of ``before`` and ``after`` that are encoded."""
        if schema not in self._decoders:
            told = json.loads(schema) if schema else None
            try:
                self._decoders[schema] = {
                    side["field"]: {one["field"]: read for one in side["fields"] if (read := decoder(one)) is not None}
                    for side in (told or {}).get("fields", ())
                    if side["field"] in ("before", "after")
                }
            except (AttributeError, KeyError, TypeError) as exc:
                raise _NoEvent(f"its schema does not say what fields there are: {exc!r}.") from exc
        return self._decoders[schema]


def _digest(*parts: bytes) -> bytes:
    return hashlib.blake2b(b"\n".join(parts), digest_size=16).digest()


def _entity_type(source: Fields) -> str:
    schema, table = (_word(source[name]) if name in source else None for name in ("schema", "table"))
    schema = schema or (_word(source["db"]) if "db" in source else None)
    if not schema or not table:
        raise _NoEvent(f"its source names no schema (or database) and table: it has {', '.join(source) or 'nothing'}.")
    return f"{schema}.{table}"


def _tells_only(key: Fields, before: Fields) -> bool:
    """Whether an image has nothing but nulls beside the key."""
    rest = before.keys() - key.keys()
    return before.keys() >= key.keys() and bool(rest) and all(_null(before[name]) for name in rest)


def _entity_id(entity_type: str, key: Fields) -> str | None:
    """The id of the row with that key; None of a TRUNCATE, which is of no row."""
    try:
        return entity_id(entity_type, {name: bytes(raw) for name, raw in key.items()})
    except BadOption as exc:
        raise _NoEvent(str(exc)) from exc


def _moment(source: Fields, told: Fields) -> datetime:
    """When the source says that it happened, else when Debezium made the event; whole microseconds."""
    for place in (source, told):
        for name, ticks in (("ts_us", 1), ("ts_ms", 1_000)):
            count = _whole(place.get(name))
            if count:  # 0 is what sources write that do not know
                try:
                    return _EPOCH + timedelta(microseconds=count * ticks)
                except OverflowError as exc:
                    raise _NoEvent(f"{name} is {count}, which is no time of the years 1 to 9999.") from exc
    raise _NoEvent("tells no time: there is no ts_us and no ts_ms in it, nor in its source.")


def _word(raw: msgspec.Raw) -> str | None:
    """A text; None for null."""
    return None if _null(raw) else _text(bytes(raw))


def _whole(raw: msgspec.Raw | None) -> int | None:
    return None if raw is None or _null(raw) else msgspec.json.decode(bytes(raw), type=int, strict=False)


def _null(raw: msgspec.Raw) -> bool:
    return bytes(raw) == b"null"


class _Image(NamedTuple):
    """A row as an event tells it: its fields, raw, and its text; to the letter where nothing in it was encoded."""

    fields: Fields
    text: str


def _image(raw: msgspec.Raw | None, decoders: Mapping[str, Decoder]) -> _Image | None:
    """An image, its encoded values as what they are; None for null."""
    if raw is None or _null(raw):
        return None
    fields = _object(bytes(raw))
    there = {name: bytes(fields[name]) for name in decoders.keys() & fields.keys() if not _null(fields[name])}
    read = {name: decoders[name](told).encode() for name, told in there.items()}
    fields |= {name: msgspec.Raw(told) for name, told in read.items()}
    return _Image(fields, _encoded(fields).decode() if read != there else bytes(raw).decode())

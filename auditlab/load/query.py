"""A log from what a query of a PostgreSQL database gives: logs of other tools, whatever their tables look like."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pyarrow as pa

from auditlab.clock import zone as time_zone
from auditlab.connection import connect
from auditlab.errors import BadOption, LogTooLarge
from auditlab.load.arrays import is_text, stored
from auditlab.load.arrow import loaded
from auditlab.load.canonical import Canonical
from auditlab.load.columns import ColumnMapping
from auditlab.load.estimate import available_memory, expected_rows
from auditlab.load.json_text import is_json
from auditlab.load.partitions import checked, folding
from auditlab.load.progress import counted
from auditlab.load.snapshot import pin
from auditlab.load.uuids import is_uuid
from auditlab.printable import megabytes
from auditlab.queries import quote_identifier, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from auditlab.clock import Moment
    from auditlab.connection import Connection
    from auditlab.load.columns import Columns
    from auditlab.load.entity_key import Key
    from auditlab.load.source import Loaded

__all__ = ["read_query"]

_TIMES = ("changed_at", "committed_at")
_NUMBERS = ("id", "transaction_id")
_BOUNDS = ("valid_from", "valid_to")
_DOCUMENTS = ("before_snapshot", "after_snapshot", "changed_fields", "metadata", "diff", "old", "new")


def read_query(
    dsn: str,
    query: str,
    *,
    columns: Columns | None = None,
    operations: Mapping[str, str | None] | None = None,
    fields: str | Sequence[str] | Mapping[str, str] | None = None,
    entity_type: str | None = None,
    key: Key | None = None,
    unit: str | None = None,
    partitions: Mapping[str, str] | None = None,
    zone: str = "UTC",
    coverage: tuple[Moment, Moment] | None = None,
    progress: bool | None = None,
    strict: bool = True,
    memory_limit: int | None = None,
) -> Loaded:
    """The log that a query of a PostgreSQL database gives, for logs of other tools: any SELECT that makes rows of it.

    The query runs in a transaction that only reads, as of one snapshot. It may join, rename and choose; whatever it
    leaves to be said, the options say as they do of a file. What it leaves out is not in the log: ``evidence`` then
    takes its gaps for gaps of the log. A log in our own layout is read by :func:`auditlab.read_postgres`, which knows
    of the database's marks, partitions and clocks, too.

    Columns come as the server writes them: a document that is no ``json``, ``jsonb`` or text (a row, an array,
    ``hstore``) by its ``to_jsonb``, and so each of ``fields``, exactly as a trigger would have written it. Rows that
    row security would hide from this role are an error, as in every load.

    Args:
        dsn: A libpq URL or ``key=value`` text.
        query: One SELECT, such as ``SELECT * FROM versions``; where rows have no id (``columns={"id": None}``) it must
            put them in the order of what happened, by ORDER BY.
        columns: As in ``from_arrow``.
        operations: As in ``from_arrow``.
        fields: As in ``from_arrow``. Columns of the database's own types need no word on what they stand for.
        entity_type: As in ``from_arrow``.
        key: As in ``from_arrow``.
        unit: As in ``from_arrow``.
        partitions: As in ``from_arrow``.
        zone: The time zone in which times without one are read.
        coverage: As in ``from_arrow``.
        progress: Whether to show progress on stderr; None shows it where that is a terminal.
        strict: As in ``from_arrow``.
        memory_limit: Bytes that the rows may take; None asks the system.

    Raises:
        ConnectionFailed, AccessDenied, NoSuchTable, DatabaseError: in the server's words; nothing is returned.
        LogTooLarge: the rows do not fit in memory.
        BadOption: there is no query, and what ``from_arrow`` raises, like all others.
    """
    time_zone(zone)
    folds = checked(partitions)
    mapping = ColumnMapping(
        columns, operations or {}, fields=fields, entity_type=entity_type, key=key, partitions=folds, unit=unit
    )
    asked = _one(query)
    with connect(dsn, read_only=True, isolation="repeatable read") as connection:
        pin(connection)
        statement = _reading(connection, asked, mapping)
        total = expected_rows(connection, [statement])
        reader = connection.stream(statement)
        what = f"the query of {connection.label}"
        plan = Canonical(reader.schema, columns=mapping, zone=zone, what=what)
        rows = counted(reader, total=total, label=connection.label, progress=progress)
        batches = folding((plan.batch(batch) for batch in _within(rows, memory_limit)), folds, what)
        found = loaded(batches, mapping, zone=zone, coverage=coverage, source=connection.label, strict=strict)
    mapping.warn_of_unread(what)
    return found


def _one(query: str) -> str:
    """The query without what ends it.

    Raises:
        BadOption: there is none.
    """
    asked = query.strip().removesuffix(";").rstrip() if isinstance(query, str) else ""
    if not asked:
        raise BadOption(f"query={query!r} asks for nothing. Give a SELECT, such as 'SELECT * FROM versions'.")
    return asked


def _reading(connection: Connection, asked: str, mapping: ColumnMapping) -> str:
    """The statement that reads the query's columns, each as it is wanted; those that are not wanted are null."""
    schema = connection.stream(_of(asked, "*") + " LIMIT 0").read_all().schema
    wanted = {one: name for name, theirs in mapping.names.items() for one in theirs}
    wanted |= {one: name for name, one in mapping.beside.items() if one not in mapping.values}
    kinds = {} if mapping.fields is None else mapping.fields.among(schema.names)
    read = []
    for field in schema:
        name = quote_identifier(field.name)
        if len(schema.get_all_field_indices(field.name)) > 1:
            told = "NULL"  # which of them is meant no SQL can say: an error where one is
        elif field.name in wanted:
            told = _as_column(wanted[field.name], f"asked.{name}", field.type)
        elif field.name in mapping.values:
            told = _as_field("text", f"asked.{name}", field.type)
        elif field.name in kinds:
            told = _as_field(kinds[field.name], f"asked.{name}", field.type)
        else:
            told = "NULL"
        read.append(f"{told} AS {name}")
    return _of(asked, ", ".join(read))


def _of(asked: str, columns: str) -> str:
    parts = {"asked_columns": columns, "asked_query": asked}
    return re.sub("|".join(parts), lambda found: parts[found[0]], text("load", "asked"))


def _as_column(name: str, column: str, dtype: pa.DataType) -> str:
    """A column that tells a canonical one, as text where Arrow knows no other way to have it whole."""
    told = is_text(stored(dtype))
    if name in _BOUNDS:  # it may be infinite, or a range
        return f"{column}::text"
    if name in _TIMES or told:
        return column
    if name in _DOCUMENTS:
        return f"to_jsonb({column})"
    fits = pa.types.is_integer(dtype) or (pa.types.is_floating(dtype) if name in _NUMBERS else is_uuid(dtype))
    return column if fits else f"{column}::text"


def _as_field(kind: str, column: str, dtype: pa.DataType) -> str:
    """A column that is a field: JSON as it is, what texts stand for as those, all else as the server writes it."""
    if is_json(dtype):
        return column
    return f"to_jsonb({column})" if kind == "text" else f"{column}::text"


def _within(batches: Iterable[pa.RecordBatch], limit: int | None) -> Iterator[pa.RecordBatch]:
    """The same batches, as long as they fit in memory."""
    room = available_memory() if limit is None else limit
    taken = 0
    for batch in batches:
        taken += batch.nbytes
        if room is not None and taken > room:
            raise LogTooLarge(
                f"the query gives more than {megabytes(room)} of rows, for which there is room. Choose fewer of them, "
                "by a WHERE; memory_limit= sets the room."
            )
        yield batch

"""The live tables behind a log: where they are, and their rows as the log would have them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from auditlab.errors import AccessDenied, DatabaseError, IncompleteRead
from auditlab.load.parallel import batches
from auditlab.queries import quote_identifier, quote_literal, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow as pa

    from auditlab.analytics.identity import Identity
    from auditlab.connection import Connection

__all__ = ["LiveTable", "live_rows", "live_tables", "rewritten"]

_BATCH_BYTES = 8 << 20
_CASE = re.compile(r"^(?P<line>.*?)\s+-- if (?P<case>\w+)$")
_LOG = "audit.entity_change_log"
"""What stands in the statements where a live table comes."""
_NO_TABLES = {"v": "a view", "m": "a materialized view", "f": "a foreign table"}
_JSON = ("json", "json[]")
_ARGUMENTS = 100
"""Arguments that a function of PostgreSQL takes."""
_SENT = 5_000
"""Values that are sent to the server at once."""


@dataclass(frozen=True, slots=True)
class LiveTable:
    """A live table.

    Args:
        entity_type: ``schema.table``.
        relation: Its name in SQL.
        partitioned: Whether its rows lie in partitions; else they are read without those of tables that inherit.
        odd: What it is, in words, where it is no table.
        rows: About how many rows it has.
        keys: The columns of its primary key; empty where it has none.
        types: Each column and its type's name in the catalog.
        virtual: The columns that are computed when they are read: no trigger sees them.
        missing: The JSON of the value that DDL gave to the rows that were there, by column, where the catalog tells.
        careful: The columns that may hold what jsonb cannot.
    """

    entity_type: str
    relation: str
    partitioned: bool
    odd: str
    rows: int
    keys: tuple[str, ...]
    types: dict[str, str]
    virtual: frozenset[str]
    missing: dict[str, str]
    careful: tuple[str, ...]


def live_tables(connection: Connection, entity_types: Iterable[str]) -> dict[str, LiveTable]:
    """The relations behind entity types, by type; those that are gone are left out.

    Raises:
        AccessDenied: the role may not read one of them.
        IncompleteRead: row security would hide rows of one of them from the role.
    """
    found = connection.rows(text("load", "live_tables"), (json.dumps(sorted(entity_types)),))
    return {row["entity_type"]: _table(connection, row) for row in found}


def _table(connection: Connection, row: dict[str, Any]) -> LiveTable:
    name, role = row["entity_type"], row["role"]
    relation = f"{quote_identifier(row['schema'])}.{quote_identifier(row['name'])}"
    odd = _NO_TABLES.get(row["kind"], "")
    if not odd and not row["readable"]:
        raise AccessDenied(
            f"{connection.label}: role {role} may not read {name}, which the log is held against. "
            f"Grant it: GRANT SELECT ON {relation} TO {role} (and USAGE on its schema), or leave the type out."
        )
    if not odd and row["row_security"]:
        raise IncompleteRead(
            f"row security would filter {name} for role {role}: rows that it hides would seem to be removed. "
            "Ask as the table's owner, or as a role with BYPASSRLS."
        )
    columns = connection.rows(text("load", "live_columns"), (row["oid"],))
    return LiveTable(
        entity_type=name,
        relation=relation,
        partitioned=row["kind"] == "p",
        odd=odd,
        rows=row["rows"],
        keys=tuple(json.loads(row["keys"] or "[]")),
        types={column["name"]: column["type"] for column in columns},
        virtual=frozenset(column["name"] for column in columns if column["virtual"]),
        missing={column["name"]: column["missing"] for column in columns if column["missing"] is not None},
        careful=tuple(column["name"] for column in columns if column["careful"]),
    )


def live_rows(connection: Connection, table: LiveTable, known_by: Identity) -> Iterator[pa.RecordBatch]:
    """The rows of a table, as a stream: entity_id and image (text), and ``written``, the short id of their transaction.

    An image is the JSON text that a trigger writes now; where jsonb cannot hold a row, the text of its json.
    """
    names = sorted(known_by.columns, key=str.encode)
    connection.set_local("auditlab.live_type", f"{len(table.entity_type.encode())}:{table.entity_type}")
    connection.set_local("auditlab.live_names", json.dumps(names))
    cases = {"careful" if table.careful else "plain"}
    cases |= {("keys" if len(names) > 1 else "key") if known_by.derived else "column"}
    virtual = "{" + ",".join(json.dumps(name, ensure_ascii=False) for name in sorted(table.virtual)) + "}"
    query = "\n".join(_lines(text("load", "live_rows"), cases))
    query = query.replace("r.id", ", ".join(f"r.{quote_identifier(name)}" for name in names))
    only_json = all(table.types[name] in _JSON for name in table.careful)  # of other types only the whole row tells
    if only_json and 0 < len(table.careful) <= _ARGUMENTS:
        columns = ", ".join(f"r.{quote_identifier(name)}" for name in table.careful)
        query = query.replace("concat(row_to_json(r.*))", f"concat({columns})")
    query = query.replace("'{}'::text[]", f"{quote_literal(virtual)}::text[]")
    query = query.replace(f"FROM ONLY {_LOG}", f"FROM {'' if table.partitioned else 'ONLY '}{table.relation}")
    yield from batches([connection], [query], prepare=lambda batch: batch, batch_bytes=_BATCH_BYTES)


def rewritten(connection: Connection, table: LiveTable, field: str, values: list[str]) -> list[str | None]:
    """Values of a field, as JSON, as the table's own type reads and writes them now; None for what it refuses.

    Args:
        connection: One that streams nothing, in the same transaction as the rows.
        table: The table.
        field: One of its columns.
        values: JSON texts.
    """
    found: list[str | None] = []
    for start in range(0, len(values), _SENT):
        found += _rewritten(connection, table, field, values[start : start + _SENT])
    return found


def _rewritten(connection: Connection, table: LiveTable, field: str, values: list[str]) -> list[str | None]:
    name = json.dumps(field, ensure_ascii=False)
    objects = "[" + ", ".join(f"{{{name}: {value}}}" for value in values) + "]"
    query = text("load", "live_values").replace(_LOG, table.relation)
    connection.execute("SAVEPOINT auditlab_values")
    try:
        rows = connection.rows(query, (objects, field))
    except DatabaseError:
        connection.execute("ROLLBACK TO SAVEPOINT auditlab_values")
        if len(values) == 1:
            return [None]
        half = len(values) // 2
        parts = (values[:half], values[half:])
        return [value for part in parts for value in _rewritten(connection, table, field, part)]
    connection.execute("RELEASE SAVEPOINT auditlab_values")
    return [row["value"] for row in rows]


def _lines(statement: str, cases: set[str]) -> Iterator[str]:
    """The statement's lines, those of other cases left out."""
    for line in statement.splitlines():
        found = _CASE.match(line)
        if found is None:
            if not line.startswith("--"):
                yield line
        elif found["case"] in cases:
            yield found["line"]

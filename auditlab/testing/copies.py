"""Copies: what a reader of the live tables saw, with the mark of the very snapshot in which it read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from auditlab.connection import connect
from auditlab.keys import entity_uuid
from auditlab.marks import Mark
from auditlab.queries import quote_identifier, text
from auditlab.testing.equality import State, read_document

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Copy", "copy_tables"]


@dataclass(frozen=True, slots=True)
class Copy:
    """What one REPEATABLE READ transaction saw.

    Args:
        mark: Its snapshot, taken between two looks at the server's clock.
        rows: By entity type and entity id, the row as a log's documents would say it.
    """

    mark: Mark
    rows: dict[str, dict[str, State]]


def copy_tables(dsn: str, tables: Mapping[str, str]) -> Copy:
    """A copy of tables in one snapshot.

    Args:
        dsn: Where.
        tables: Entity type (``schema.table``) to the one column of its primary key.
    """
    with connect(dsn, autocommit=True) as connection:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        mark = Mark(**connection.rows(text("capture", "mark"), (None,))[0])
        rows: dict[str, dict[str, State]] = {}
        for name, key in tables.items():
            schema, table = name.split(".")
            query = f"SELECT to_jsonb(t)::text AS state FROM {quote_identifier(schema)}.{quote_identifier(table)} AS t"
            states = [read_document(row["state"]) for row in connection.rows(query)]
            rows[name] = {_entity_id(name, state[key].decoded): state for state in states}
        connection.execute("COMMIT")
    return Copy(mark, rows)


def _entity_id(entity_type: str, key: object) -> str:
    try:
        return str(UUID(str(key)))
    except ValueError:
        return str(entity_uuid(entity_type, key))

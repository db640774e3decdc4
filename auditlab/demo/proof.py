"""Row by row: does the state that the log gives equal the table that stands in the database?"""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from auditlab.connection import connect
from auditlab.queries import quote_identifier, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    import auditlab as al
    from auditlab.connection import Connection

__all__ = ["Difference", "Proof", "prove"]

OURS = ("entity_id", "certain")


@dataclass(frozen=True, slots=True)
class Difference:
    """A value that is not the same in the table and in the log; ``field`` is empty where a whole row is missing."""

    key: tuple[Any, ...]
    field: str
    live: Any
    replayed: Any


@dataclass(frozen=True, slots=True)
class Proof:
    """What the comparison of one table found.

    Args:
        entity_type: The table.
        rows: The rows that stand in it.
        values: The values that were compared, one by one.
        differences: Those that are not the same; empty where the proof holds.
    """

    entity_type: str
    rows: int
    values: int
    differences: tuple[Difference, ...]


def prove(dsn: str, log: al.ChangeLog[pl.DataFrame], tables: Sequence[str]) -> list[Proof]:
    """Compare the latest state in the log with the live tables, each value exactly.

    Numbers are compared as decimals, times as instants, documents as documents: never as floats.
    """
    with connect(dsn, read_only=True, isolation="repeatable read") as connection:
        return [_of_table(connection, log, table) for table in tables]


def _of_table(connection: Connection, log: al.ChangeLog[pl.DataFrame], table: str) -> Proof:
    keys = [row["name"] for row in connection.rows(text("demo", "keys"), [table])]
    schema, name = table.split(".")
    rows = connection.rows(f"SELECT * FROM {quote_identifier(schema)}.{quote_identifier(name)}")
    live = {_key(row, keys): row for row in rows}
    replayed = {_key(row, keys): row for row in log.of(table).as_of().to_dicts()}
    documents = {field for field, kind in log.facts.kinds.get(table, {}).items() if kind == "json"}
    differences = [
        Difference(key, "", live.get(key), replayed.get(key)) for key in sorted(live.keys() ^ replayed.keys(), key=str)
    ]
    values = 0
    for key in live.keys() & replayed.keys():
        told = {field: value for field, value in replayed[key].items() if field not in OURS}
        for field in sorted(live[key].keys() | told.keys()):  # a field that the table has lost must be null in the log
            values += 1
            if not _same(live[key].get(field), told.get(field), document=field in documents):
                differences.append(Difference(key, field, live[key].get(field), told.get(field)))
    return Proof(table, len(live), values, tuple(differences))


def _key(row: dict[str, Any], keys: list[str]) -> tuple[Any, ...]:
    return tuple(str(row[name]) for name in keys)


def _same(live: Any, replayed: Any, *, document: bool) -> bool:  # noqa: ANN401 - a column is of any type
    if live is None or replayed is None:
        return live is None and replayed is None
    if document:
        return bool(_document(live) == _document(replayed))
    if isinstance(replayed, int | Decimal) and not isinstance(replayed, bool):
        return bool(Decimal(live) == Decimal(replayed))
    if isinstance(live, UUID):
        return bool(str(live) == replayed)
    return type(live) is type(replayed) and bool(live == replayed)


def _document(value: str) -> Any:  # noqa: ANN401 - JSON is of any type
    return json.loads(value, parse_float=Decimal)

"""What the capture tests share: statements against a database, and a plain replay of its log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from auditlab.connection import Connection, connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REPLAY = """
WITH live AS (SELECT to_jsonb(t.*) AS image FROM {table} AS t),
ended AS (
    SELECT coalesce(max(id), 0) AS id FROM audit.entity_change_log
    WHERE entity_type = '{entity_type}' AND operation = 'TRUNCATE'
),
replayed AS (
    SELECT image FROM (
        SELECT DISTINCT ON (l.entity_id) l.operation, l.after_snapshot AS image
        FROM audit.entity_change_log AS l, ended
        WHERE l.entity_type = '{entity_type}' AND l.entity_id IS NOT NULL AND l.id > ended.id
        ORDER BY l.entity_id, l.id DESC
    ) AS last WHERE last.operation <> 'DELETE'
)
SELECT
    (SELECT count(*) FROM (SELECT image FROM live EXCEPT ALL SELECT image FROM replayed) AS x)
    + (SELECT count(*) FROM (SELECT image FROM replayed EXCEPT ALL SELECT image FROM live) AS x) AS differences,
    (SELECT count(*) FROM live) AS rows
"""


@pytest.fixture
def db(captured: str) -> Iterator[Connection]:
    """A connection to a fresh database with our capture, each statement its own transaction."""
    with connect(captured, autocommit=True) as connection:
        yield connection


@pytest.fixture
def tracked(captured: str, db: Connection) -> Callable[..., None]:
    """Runs DDL that makes tables, and tracks those named."""
    from auditlab.capture import track  # noqa: PLC0415 - beside its only use

    def make(ddl: str, *tables: str, **options: bool) -> None:
        db.execute(ddl)
        track(captured, list(tables), **options)

    return make


@pytest.fixture
def log(db: Connection) -> Callable[..., list[tuple[Any, ...]]]:
    """The log's rows in order, as tuples of the columns asked for (operation, before, after where none are)."""

    def read(*columns: str, entity_type: str | None = None) -> list[tuple[Any, ...]]:
        wanted = columns or ("operation", "before_snapshot", "after_snapshot")
        where = f"WHERE entity_type = '{entity_type}'" if entity_type else ""
        listed = ", ".join(f"{column} AS c{place}" for place, column in enumerate(wanted))
        rows = db.rows(f"SELECT {listed} FROM audit.entity_change_log {where} ORDER BY id")
        return [tuple(row.values()) for row in rows]

    return read


@pytest.fixture
def replay_differs(db: Connection) -> Callable[[str], tuple[int, int]]:
    """How many rows the replayed log and the live table do not share, and how many rows the table has."""

    def compare(table: str, connection: Connection | None = None) -> tuple[int, int]:
        row = (connection or db).rows(REPLAY.format(table=table, entity_type=table.replace('"', "")))[0]
        return row["differences"], row["rows"]

    return compare


@pytest.fixture
def replay_of() -> Callable[[str, str], tuple[int, int]]:
    """As ``replay_differs``, for another database."""

    def compare(dsn: str, table: str) -> tuple[int, int]:
        with connect(dsn) as connection:
            row = connection.rows(REPLAY.format(table=table, entity_type=table))[0]
        return row["differences"], row["rows"]

    return compare

"""Begin and end the tracking of tables."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from auditlab.capture.install import require_installation
from auditlab.connection import Connection, connect
from auditlab.errors import BadOption, DatabaseError, NoSuchTable
from auditlab.queries import text

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Tracked", "track", "untrack"]

LOCK_SECONDS = 30.0
BAD_NAME = "SQLSTATE 42602"


@dataclass(frozen=True, slots=True)
class Tracked:
    """A table that is tracked now.

    Args:
        entity_type: ``schema.table``.
        level: ``statement`` or ``row``: which triggers it has (partitioned tables need row triggers).
        action: ``tracked``, ``renewed`` (its triggers were not as they should be) or ``current``.
        baseline_rows: How many SNAPSHOT changes were written for the rows that were there.
    """

    entity_type: str
    level: str
    action: str
    baseline_rows: int


def track(
    dsn: str, tables: str | Sequence[str], *, baseline: bool = True, truncate_images: bool = False
) -> list[Tracked]:
    """Track tables: from now on every INSERT, UPDATE, DELETE and TRUNCATE of them is in the log. All of them or none.

    Each table is locked against writers while its triggers and its baseline are made, so that nothing falls between.
    A table that is tracked already stays as it is.

    Args:
        dsn: Where; the role must own the tables (or be a superuser) and be a member of ``auditlab_owner``.
        tables: Names as SQL has them: ``orders``, ``orders.orders``, ``"Odd Name"``.
        baseline: Write a SNAPSHOT change for each row that is there. Without it the log tells nothing of rows that
            nobody changes.
        truncate_images: A TRUNCATE also logs a DELETE with its image for each row.

    Raises:
        NoSuchTable: names what is near.
        CannotAudit: a table without a primary key, a view, a partition (track its root), ...
        NotInstalled: run ``auditlab init`` first.
    """
    names = _names(tables)
    with connect(dsn, lock_timeout=LOCK_SECONDS, isolation="read committed") as connection:
        require_installation(connection)
        known = [_resolve(connection, name) for name in names]
        rows = [
            connection.rows(text("capture", "track_table"), (relation, baseline, truncate_images))[0]
            for relation in known
        ]
    return [Tracked(row["entity_type"], row["level"], row["action"], row["baseline_rows"]) for row in rows]


def untrack(dsn: str, tables: str | Sequence[str]) -> list[str]:
    """End the tracking of tables; what the log has stays. Returns the tables that were tracked.

    A table that is not there any more, dropped or renamed since, is named as it was.

    Raises:
        NoSuchTable: names what is near.
    """
    names = _names(tables)
    with connect(dsn, lock_timeout=LOCK_SECONDS, isolation="read committed") as connection:
        require_installation(connection)
        gone = {name: connection.rows(text("capture", "forget_table"), (name,)) for name in names}
        known = [_resolve(connection, name) for name in names if not gone[name]]
        dropped = {
            relation: connection.rows(text("capture", "untrack_table"), (relation,))[0]["dropped"] for relation in known
        }
    forgotten = [row["entity_type"] for rows in gone.values() for row in rows]
    return forgotten + [relation for relation, triggers in dropped.items() if triggers]


def _names(tables: str | Sequence[str]) -> list[str]:
    names = [tables] if isinstance(tables, str) else list(tables)
    if not names:
        raise BadOption("no tables given. Name them, e.g. 'orders.orders'.")
    return list(dict.fromkeys(names))


def _resolve(connection: Connection, name: str) -> str:
    """The table's full name, quoted where it must be, or ``NoSuchTable`` with the names that are near."""
    try:
        found = connection.rows(text("capture", "resolve"), (name,))[0]
    except DatabaseError as exc:
        if BAD_NAME not in str(exc):
            raise
        raise BadOption(
            f'{name!r} is no name of a table. Quote as SQL does: orders.orders, public."Odd Name".'
        ) from exc
    if found["relation"] is None:
        near = f" Near are {', '.join(found['near'])}." if found["near"] else ""
        odd = [one for one in found["near"] if '"' in one]
        near += f" Quote as SQL does, and for a shell once more: {shlex.quote(odd[0])}." if odd else ""
        raise NoSuchTable(f"{connection.label}: there is no table {name!r}.{near}")
    relation: str = found["relation"]
    return relation

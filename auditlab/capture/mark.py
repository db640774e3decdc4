"""Mark: save the moment of a database, so that answers as of it are exact."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditlab.connection import Connection, connect
from auditlab.errors import AccessDenied, NotInstalled, OnStandby
from auditlab.marks import Mark, append_mark
from auditlab.queries import text

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["mark", "take"]


def mark(dsn: str, name: str | None = None, *, file: str | Path | None = None) -> Mark:
    """Save this moment of a database: its clock and what is committed, taken in a transaction of its own.

    Where the capture is installed and the role may (``auditlab_archiver`` may), the mark is kept in ``audit.mark``, and
    every later load of the log brings it along. With ``file`` it is added to that file, too, one line of JSON;
    ``log.with_marks(file)`` takes it from there. Where neither is, the answer is the only copy.

    Args:
        dsn: A libpq URL or ``key=value`` text.
        name: What to call it, for ``as_of(mark=name)``.
        file: A file of marks to add it to.

    Raises:
        OnStandby: the server is a standby, whose snapshots do not tell which transactions are at work.
        BadMark: the file cannot be written.
        ConnectionFailed: no connection.
    """
    with connect(dsn, autocommit=True, isolation="read committed") as connection:
        taken, _ = take(connection, name)
    if file is not None:
        append_mark(file, taken)
    return taken


def take(connection: Connection, name: str | None = None, *, elsewhere: bool = True) -> tuple[Mark, bool]:
    """A mark, by a connection with autocommit; and whether the database keeps it.

    Args:
        connection: Where.
        name: What to call it.
        elsewhere: Whether the caller keeps it; else it is an error if the database does not.

    Raises:
        OnStandby: the server is a standby.
        NotInstalled, AccessDenied: the database would not keep it, and nobody else does.
    """
    place = connection.rows(text("capture", "mark_place"))[0]
    label, role = connection.label, place["role"]
    if place["standby"]:
        raise OnStandby(
            f"{label} is a standby: its snapshots do not tell which transactions are at work on the primary. "
            "Take the mark there."
        )
    if not elsewhere and not place["there"]:
        raise NotInstalled(
            f"{label}: no table for marks is installed here. Run: auditlab init DSN. Or keep it in a file: --file FILE"
        )
    if not elsewhere and not place["allowed"]:
        raise AccessDenied(
            f"{label}: role {role} may not add marks. Run: GRANT auditlab_archiver TO {role}. "
            "Or keep it in a file: --file FILE"
        )
    kept = place["there"] and place["allowed"]
    row = connection.rows(text("capture", "keep_mark" if kept else "mark"), (name,))[0]
    return Mark(**row), kept

"""Mark: save the moment of a database, so that answers as of it are exact."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditlab.connection import Connection, connect
from auditlab.errors import OnStandby
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


def take(connection: Connection, name: str | None = None) -> tuple[Mark, str]:
    """A mark, by a connection with autocommit; and why the database does not keep it (empty where it does).

    Raises:
        OnStandby: the server is a standby.
    """
    place = connection.rows(text("capture", "mark_place"))[0]
    if place["standby"]:
        raise OnStandby(
            f"{connection.label} is a standby: its snapshots do not tell which transactions are at work on the primary. "
            "Take the mark there."
        )
    kept = place["there"] and place["allowed"]
    row = connection.rows(text("capture", "keep_mark" if kept else "mark"), (name,))[0]
    why = ""
    if not place["there"]:
        why = "the capture is not installed here (auditlab init DSN installs it)"
    elif not kept:
        why = f"role {place['role']} may not add marks here (GRANT auditlab_archiver TO {place['role']} lets it)"
    return Mark(**row), why

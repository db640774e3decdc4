"""Mark: save the moment of a database, so that answers as of it are exact."""

from __future__ import annotations

from pathlib import Path

from auditlab.connection import Connection, connect
from auditlab.errors import AccessDenied, NotInstalled, OnStandby
from auditlab.marks import Mark, append_mark, read_marks, require_new_name
from auditlab.queries import text

__all__ = ["mark", "require_unused", "take"]


def mark(dsn: str, name: str | None = None, *, file: str | Path | None = None) -> Mark:
    """Save this moment of a database: its clock and what is committed, taken in a transaction of its own.

    Where the capture is installed and the role may (``auditlab_archiver`` may), the mark is kept in ``audit.mark``, and
    every later load of the log brings it along. With ``file`` it is added to that file, too, one line of JSON;
    ``log.with_marks(file)`` takes it from there. Where neither is, the answer is the only copy.

    Args:
        dsn: A libpq URL or ``key=value`` text.
        name: What to call it, for ``as_of(mark=name)``: a name that no mark in the database or the file has.
        file: A file of marks to add it to.

    Raises:
        OnStandby: the server is a standby, whose snapshots do not tell which transactions are at work.
        BadMark: the name is taken (the message says since when) or empty, or the file cannot be written.
        ConnectionFailed: no connection.
    """
    with connect(dsn, autocommit=True, isolation="read committed") as connection:
        taken, _ = take(connection, name, file)
    return taken


def take(
    connection: Connection, name: str | None = None, file: str | Path | None = None, *, elsewhere: bool = True
) -> tuple[Mark, bool]:
    """A mark, by a connection with autocommit; and whether the database keeps it.

    Args:
        connection: Where.
        name: What to call it.
        file: A file of marks to add it to.
        elsewhere: Whether the file or the caller keeps it; else it is an error if the database does not.

    Raises:
        OnStandby: the server is a standby.
        BadMark: the name is taken or empty, or the file cannot be written.
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
    if kept:
        require_unused(connection, name)
    if name is not None:
        there = read_marks(file) if file is not None and Path(file).exists() else []
        require_new_name(name, next((one.at for one in there if one.name == name), None), str(file))
    row = connection.rows(text("capture", "keep_mark" if kept else "mark"), (name,))[0]
    taken = Mark(**row)
    if file is not None:
        append_mark(file, taken)
    return taken, kept


def require_unused(connection: Connection, name: str | None) -> None:
    """A name for a mark that the database is to keep.

    Raises:
        BadMark: it keeps one of this name already, or the name is empty.
    """
    if name is not None:
        kept = connection.rows(text("capture", "mark_name"), (name,))
        require_new_name(name, kept[0]["at"], f"audit.mark of {connection.label}")

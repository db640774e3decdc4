"""Snapshots of the entities: the states that a load can begin with instead of the log's beginning.

What comes after one are the changes that its mark did not see. Neither ids nor times tell them: a change with a lower
id and an earlier time can be committed later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditlab.clock import instant
from auditlab.errors import AccessDenied, BadOption, BadTime, IncompleteLog, NoData, NotInstalled, UnknownMark
from auditlab.load.retention import dropped_unseen
from auditlab.marks import MARKS, Mark, named
from auditlab.queries import text
from auditlab.schema import Beginning, Coverage

if TYPE_CHECKING:
    from datetime import datetime

    from auditlab.clock import Moment
    from auditlab.connection import Connection
    from auditlab.load.catalog import LogTable

__all__ = ["check_alone", "covered", "nearest", "settings", "types"]


def check_alone(**others: object) -> None:
    """Raise ``BadOption`` where a load that begins with a snapshot has options that are not for it."""
    given = [f"{name}=" for name, value in others.items() if value is not None]
    if given:
        raise BadOption(f"since= does not go together with {', '.join(given)}: select from the log that it loads.")


def nearest(connection: Connection, log: LogTable, moment: Moment | Mark, *, zone: str) -> Beginning:
    """The last snapshot of the entities that was taken at or before a moment.

    Args:
        connection: Where; nothing but what its transaction sees counts.
        log: The log.
        moment: A time, naive ones in ``zone``; the name of a snapshot's mark; or a mark, which is then that of the
            snapshot, or a later one.
        zone: The log's time zone.

    Raises:
        BadTime: it is neither a time nor the name of a snapshot's mark; the message names those there are.
        NoData: none was taken by then; the message says when the first one was.
        NotInstalled: no snapshots are kept beside this log.
        AccessDenied: the role may not read them.
        IncompleteLog: changes that came after it were dropped from the log.
    """
    label = connection.label
    place = next(iter(connection.rows(text("load", "snapshots_readable"), (log.schema,))), None)
    if place is None or not place["there"] or log.name != "entity_change_log":
        raise NotInstalled(
            f"{label}: no snapshots are kept beside {log.label}. A log that auditlab installed has them: auditlab "
            "init DSN, auditlab snapshot DSN."
        )
    if not place["readable"]:
        role = place["role"]
        raise AccessDenied(f"{label}: role {role} may not read audit.snapshot. Run: GRANT auditlab_auditor TO {role}")
    taken = [
        Beginning(Mark(**{name: row[name] for name in MARKS}), row["last_id"], row["entities"], tuple(row["partial"]))
        for row in connection.rows(text("load", "snapshots"))
    ]
    at = _moment(moment, taken, zone)
    fit = [one for one in taken if one.mark.at <= at]
    if not fit:
        first = f"The first is as of {taken[0].mark}" if taken else "There is none: auditlab snapshot DSN takes one"
        raise NoData(
            f"no snapshot of the entities at or before {at.isoformat(sep=' ')} beside {log.label}. {first}. "
            "Without since= the whole log is loaded."
        )
    found = max(fit, key=lambda one: one.mark.sees.count)
    connection.set_local("auditlab.snapshot_at", found.mark.at.isoformat())
    gone = dropped_unseen(connection, log)
    if gone:
        raise IncompleteLog(
            f"{gone} partitions were dropped from {log.label} (auditlab prune) with changes that the snapshot of the "
            f"entities as of {found.mark} may not have seen. Name a later time, or ask it together with the archive "
            "that has them: al.scan(dsn, archive)"
        )
    return found


def _moment(moment: Moment | Mark, taken: list[Beginning], zone: str) -> datetime:
    """The time of a moment, which may be the name of the mark of one of the snapshots."""
    if isinstance(moment, Mark):
        return moment.at
    marks = [one.mark for one in taken]
    try:
        return instant(moment, zone)
    except BadTime as exc:
        if not isinstance(moment, str):
            raise
        try:
            return named(marks, moment).at
        except UnknownMark as unknown:
            raise BadTime(f"{exc} Or name the mark of a snapshot of the entities: {unknown}") from unknown


def types(connection: Connection) -> set[str]:
    """The entity types that have states in the snapshot of the entities, which ``nearest`` has set."""
    return {row["name"] for row in connection.rows(text("load", "snapshot_types"))}


def settings(since: Beginning) -> dict[str, str]:
    """The filters that leave what a snapshot did not see, and the setting that names its states."""
    return {"unseen": since.mark.snapshot, "snapshot_at": since.mark.at.isoformat()}


def covered(since: Beginning, end: datetime | None, *, dropped: bool) -> Coverage:
    """What a log covers that begins with a snapshot: from its mark on; ``dropped``: nor is all from before there."""
    start = since.mark.at
    before = "ask it together with its archive, al.scan(dsn, archive)," if dropped else "load it without since="
    why = f"It begins with the states of the snapshot as of {since.mark}: {before} for what was before"
    return Coverage(start=start, end=max(start, end or start), why=why, cut=start)

"""Install the capture in a database: the log, its roles, its triggers' functions; upgrade it; adopt a log by others."""

from __future__ import annotations

from dataclasses import dataclass

from auditlab.capture.partitions import LOCK_SECONDS
from auditlab.connection import Connection, connect
from auditlab.errors import AccessDenied, NotInstalled
from auditlab.queries import text

__all__ = ["FILES", "VERSION", "Installation", "install", "installed_version", "require_installation"]

VERSION = 6
"""The version of the capture that ``sql/capture`` installs (``audit.capture_version()``)."""

FILES = (
    "roles",
    "log",
    "valid",
    "guard",
    "keys",
    "context",
    "statement",
    "row",
    "truncate",
    "partitions",
    "track",
    "marks",
    "snapshots",
    "version",
    "grants",
)
"""The files of ``sql/capture`` in the order in which they run; ``psql -1 -f`` runs them as well."""


ADOPTING = ("roles", "adopt", "log", "attach", *FILES[2:])
"""The order where a log made by the published schema is there already."""


@dataclass(frozen=True, slots=True)
class Installation:
    """What ``install`` found and did.

    Args:
        version: The version of the capture that the database has now.
        action: ``installed``, ``upgraded``, ``current`` (there was nothing to do) or ``adopted`` (a log made by the
            published schema was there, and goes on in ours).
    """

    version: int
    action: str


def install(dsn: str) -> Installation:
    """Install the capture, or bring it up to date; all of it or nothing, and a second time nothing happens.

    Needs PostgreSQL 12 or newer, and a role that may create roles and schemas (a superuser, or CREATEROLE with CREATE
    on the database).

    Raises:
        AccessDenied: the role may not.
        ServerTooOld: the server is a PostgreSQL before 12.
        DatabaseError: there is a log in ``audit.entity_change_log`` that is neither ours nor the published one.
    """
    with connect(dsn, lock_timeout=LOCK_SECONDS, isolation="read committed") as connection:
        connection.rows("SELECT pg_advisory_xact_lock(hashtext('auditlab install')) IS NULL AS locked")
        version = installed_version(connection)
        if version is not None and version >= VERSION:
            return Installation(version, "current")
        foreign = version is None and _exists(connection, "audit.entity_change_log")
        try:
            for name in ADOPTING if foreign else FILES:
                connection.execute(text("capture", name))
        except AccessDenied as exc:
            raise AccessDenied(
                f"{exc}. Install as a superuser, or as a role with CREATEROLE and CREATE on the database. Where "
                "another role made auditlab's own in this cluster, it also needs them WITH ADMIN OPTION: "
                "GRANT auditlab_owner, auditlab_writer TO it WITH ADMIN OPTION."
            ) from exc
    action = "adopted" if foreign else "installed" if version is None else "upgraded"
    return Installation(VERSION, action)


def installed_version(connection: Connection) -> int | None:
    """The version of the capture in a database; None where there is none."""
    if not _exists(connection, "audit.installation"):
        return None
    version: int | None = connection.rows("SELECT max(version) AS version FROM audit.installation")[0]["version"]
    return version


def require_installation(connection: Connection) -> None:
    """Raise ``NotInstalled``, with the command that installs, where the capture is not there."""
    if not _exists(connection, "audit.installation"):
        raise NotInstalled(f"{connection.label}: the capture is not installed here. Run: auditlab init DSN")


def _exists(connection: Connection, relation: str) -> bool:
    try:
        return bool(connection.rows("SELECT to_regclass($1::text) IS NOT NULL AS found", (relation,))[0]["found"])
    except AccessDenied as exc:
        raise AccessDenied(
            f"{exc}. A member of auditlab_auditor may read and check the log, a member of auditlab_owner who owns "
            "the tables may track them, a role with CREATEROLE and CREATE on the database may install."
        ) from exc

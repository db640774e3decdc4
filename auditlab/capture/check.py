"""The preflight: what would make a log incomplete, unordered or unreadable, before it does."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from auditlab.capture.install import VERSION, installed_version, require_installation
from auditlab.connection import connect
from auditlab.errors import AccessDenied
from auditlab.queries import describe, names, text

__all__ = ["Finding", "check"]

PREFIX = "check_"
COMMANDS = ("auditlab track DSN ", "auditlab untrack DSN ")
SINCE = {"snapshots": 4}
"""The version of the capture from which on there is what a check looks at."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check found, or that all is well with what it looks at.

    Args:
        kind: Which check: ``installation``, ``order``, ``partitions``, ``rights``, ``row_security``,
            ``snapshots``, ``tables``, ``triggers``, ``watermark``.
        severity: ``error`` (changes are lost or cannot be trusted), ``warning``, ``info`` or ``ok``.
        subject: What it is about: a table, a role, a transaction.
        message: What is the matter.
        remedy: What to do: a statement or a command.
    """

    kind: str
    severity: str
    subject: str
    message: str
    remedy: str


def check(dsn: str) -> list[Finding]:
    """Look a database's capture over; one finding a fault, and an ``ok`` for each check without any.

    Each check is one query, ``sql/capture/check_*.sql``; all see the same snapshot.

    Raises:
        NotInstalled: there is no capture in this database.
        AccessDenied: the role may not look at it.
    """
    findings: list[Finding] = []
    with connect(dsn, read_only=True, isolation="repeatable read") as connection:
        require_installation(connection)
        try:
            version = installed_version(connection) or 0
        except AccessDenied as exc:
            raise AccessDenied(
                f"{exc}. Who looks a capture over is a member of auditlab_auditor: GRANT auditlab_auditor TO the role."
            ) from exc
        if version < VERSION:
            told = f"is installed; this auditlab has version {VERSION}"
            findings.append(Finding("installation", "warning", f"version {version}", told, "auditlab init DSN"))
        for name in names("capture"):
            if not name.startswith(PREFIX):
                continue
            kind = name.removeprefix(PREFIX)
            if version < SINCE.get(kind, 0):
                continue
            rows = connection.rows(text("capture", name))
            findings += [
                Finding(kind, row["severity"], row["subject"], row["message"], _for_a_shell(row["remedy"]))
                for row in rows
            ]
            if not rows:
                findings.append(Finding(kind, "ok", "", describe("capture", name), ""))
    return findings


def _for_a_shell(remedy: str) -> str:
    """A command with the name of a table, as a shell must have it: it takes the quotes away that SQL needs."""
    command = next((command for command in COMMANDS if remedy.startswith(command)), remedy)
    return command + shlex.quote(remedy.removeprefix(command)) if command != remedy else remedy

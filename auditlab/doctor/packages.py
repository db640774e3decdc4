"""The Python that runs, the packages that auditlab needs, its optional parts, and PostgreSQL's programs."""

from __future__ import annotations

import platform
import re
import sys
from importlib.metadata import PackageNotFoundError, requires, version
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from auditlab.demo.server import find_binaries
from auditlab.doctor.checks import Check, State, numbers
from auditlab.errors import MissingExtra

__all__ = ["extras", "packages", "postgres", "time_zones"]

_WANTED = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*(?:>=\s*([0-9][0-9.]*))?")
_EXTRA = re.compile(r"""extra\s*==\s*['"]([\w-]+)['"]""")
_FOR = {
    "demo": "PostgreSQL's programs for auditlab demo",
    "charts": "Altair charts",
    "seal": "signed archives",
    "delta": "Delta tables over an archive",
    "spark": "analyses on Spark",
}
_NOT_FOR_USERS = {"test", "bench", "dev"}


def packages() -> list[Check]:
    """Python, and each package without which auditlab does not work, with the version that it must have at least."""
    python = Check("Python", State.FINE, f"{platform.python_version()} in {sys.prefix}")
    missing, old, there = [], [], []
    for name, least in _wanted(None):
        try:
            found = version(name)
        except PackageNotFoundError:
            missing.append(name)
            continue
        there.append(f"{name} {found}")
        if least and numbers(found) < numbers(least):
            old.append(f"{name} {found}, want {least}")
    own = f"auditlab {version('auditlab')}: "
    if missing or old:
        words = "; ".join([*(f"{name} is missing" for name in missing), *old])
        return [python, Check("packages", State.PROBLEM, own + words, "Install it again: pip install -U auditlab")]
    return [python, Check("packages", State.FINE, own + ", ".join(there))]


def extras() -> list[Check]:
    """The optional parts: those that are there, and how to get the others."""
    names = sorted({name for line in requires("auditlab") or () for name in _EXTRA.findall(line)} - _NOT_FOR_USERS)
    found = []
    for extra in names:
        missing = [name for name, _ in _wanted(extra) if not _there(name)]
        purpose = _FOR.get(extra, extra)
        if missing:
            advice = f"For {purpose}: pip install 'auditlab[{extra}]'"
            found.append(Check(f"extra {extra}", State.NOTE, f"not installed: {', '.join(missing)}", advice))
        else:
            found.append(Check(f"extra {extra}", State.FINE, f"installed, for {purpose}"))
    return found


def postgres() -> Check:
    """PostgreSQL's programs, which only the demo needs: databases are reached without them."""
    try:
        return Check("PostgreSQL programs", State.FINE, find_binaries().origin)
    except MissingExtra as exc:
        advice = f"{exc} Only auditlab demo needs them; auditlab demo --sample does without."
        return Check("PostgreSQL programs", State.NOTE, "none on this machine", advice)


def time_zones() -> Check:
    """Whether named time zones are known: some systems have no data about them."""
    try:
        ZoneInfo("Europe/Berlin")
    except ZoneInfoNotFoundError:
        advice = "Times of zones other than UTC cannot be read: pip install tzdata"
        return Check("time zones", State.PROBLEM, "no data about named zones", advice)
    return Check("time zones", State.FINE, "named zones are known")


def _there(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


def _wanted(extra: str | None) -> list[tuple[str, str | None]]:
    """The packages of an extra (None: without any), each with its least version."""
    found = []
    for line in requires("auditlab") or ():
        of = _EXTRA.search(line)
        named = _WANTED.match(line)
        if named and (of[1] if of else None) == extra and named[1] != "auditlab":
            found.append((named[1], named[2]))
    return found

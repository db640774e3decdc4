"""How large a load will be, before it is begun."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from auditlab.errors import LogTooLarge
from auditlab.load.filters import compose
from auditlab.printable import megabytes
from auditlab.queries import text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from auditlab.connection import Connection
    from auditlab.load.catalog import LogTable

__all__ = ["available_memory", "expected_bytes", "expected_rows", "refuse_too_large"]

_FIXED = 160
"""Bytes of a change beside its documents: ids, times, texts, and the frame's own bookkeeping."""

_MEMINFO = Path("/proc/meminfo")
_GROUPS, _GROUP_FILES = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
_GROUP_LIMITS = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
"""Of control groups of version 2 and 1: the limit, what is used, and what of that is files that are kept for later."""


def expected_rows(connection: Connection, queries: Iterable[str]) -> int:
    """How many rows PostgreSQL's planner expects of the queries, together."""
    rows = 0
    for query in queries:
        plan = connection.rows(text("load", "explain") + query)[0]["QUERY PLAN"]
        rows += int(json.loads(plan)[0]["Plan"]["Plan Rows"])
    return rows


def expected_bytes(connection: Connection, log: LogTable, rows: int) -> int:
    """About how much memory so many changes of the log take, from the width of its first rows."""
    width = connection.rows(compose("width", log))[0]["bytes"]
    return int(rows * ((width or 0) + _FIXED))


def available_memory() -> int | None:
    """Bytes that this process may still take: of the system, or of a control group that it is in, as of a container.

    None where neither says.
    """
    found = list(_left_in_groups())
    try:
        lines = _MEMINFO.read_text(encoding="ascii").splitlines()
        found += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    except (OSError, ValueError):
        if "SC_AVPHYS_PAGES" in getattr(os, "sysconf_names", {}):
            found.append(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(found, default=None)


def _left_in_groups() -> Iterator[int]:
    """What the control groups of this process leave it: its own, those around it, and the outermost that it can see."""
    folders = {_GROUP_FILES, _GROUP_FILES / "memory"}
    with suppress(OSError, ValueError):
        for line in _GROUPS.read_text(encoding="utf-8").splitlines():
            _, kinds, path = line.split(":", 2)
            inside = Path(path.lstrip("/"))
            if kinds in ("", "memory"):
                folders |= {_GROUP_FILES / kinds / group for group in (inside, *inside.parents)}
    for folder in folders:
        for limit, used, kept in _GROUP_LIMITS:
            with suppress(OSError, ValueError):
                told = dict(line.split() for line in (folder / "memory.stat").read_text(encoding="ascii").splitlines())
                most, taken = (int((folder / name).read_text(encoding="ascii")) for name in (limit, used))
                yield max(0, most - taken + int(told.get(kept, 0)))


def refuse_too_large(expected: int, *, limit: int | None, rows: int, label: str) -> None:
    """Raise ``LogTooLarge`` if a load would take more than the limit (or, with None, than there is).

    Raises:
        LogTooLarge: with both numbers and what to do.
    """
    room = available_memory() if limit is None else limit
    if room is not None and expected > room:
        raise LogTooLarge(
            f"{label}: about {rows:,} changes, {megabytes(expected)} expected in memory; there is room for "
            f"{megabytes(room)}. Pull an archive instead (al.archive_postgres, auditlab archive DSN DIR), or narrow "
            "the load by entity_types=, start=, end=. memory_limit= sets the room."
        )

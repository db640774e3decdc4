"""Drop old partitions of a log: each only when every row of it is proven to be in an archive."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from auditlab.archive.drop import drop
from auditlab.archive.files import at_hand
from auditlab.archive.holds import holds
from auditlab.archive.manifest import read_chain
from auditlab.archive.presence import Against, Proof, missing
from auditlab.archive.read import scan_archive
from auditlab.clock import Moment, instant
from auditlab.errors import AccessDenied, BadOption, CursorMismatch, DropRefused
from auditlab.load import catalog
from auditlab.load.cursor import Cursor
from auditlab.load.filters import compose
from auditlab.load.retention import Bound, bounds
from auditlab.load.snapshot import Snapshot
from auditlab.load.watermark import watermark
from auditlab.queries import text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from auditlab.archive.manifest import Manifest
    from auditlab.connection import Connection

__all__ = ["DROPPED", "STAYS", "WOULD_GO", "Fate", "Pruning", "prune"]

DROPPED, WOULD_GO, STAYS = "dropped", "would be dropped", "stays"

_KEEP = re.compile(r"\s*(\d+)\s*(day|week|month|year)s?\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of one partition.

    Args:
        name: The partition.
        start: The first time that it takes, UTC; None where it has no beginning.
        end: The first time after it, UTC; None where it has no end.
        bytes: Its size in the database, with its indexes.
        rows: How many changes it has; None where that was not looked at.
        fate: ``dropped``, ``would be dropped`` or ``stays``.
        why: Why it stays.
        proven: Whether all of its rows are in the archive; None where that was not looked at.
    """

    name: str
    start: datetime | None
    end: datetime | None
    bytes: int
    rows: int | None
    fate: str
    why: str = ""
    proven: bool | None = None

    def __str__(self) -> str:
        rows = "" if self.rows is None else f", {self.rows:,} changes"
        return f"{self.name}: {self.fate}{rows}, {self.bytes / 1e6:,.1f} MB" + (f" ({self.why})" if self.why else "")


@dataclass(frozen=True, slots=True, repr=False)
class Pruning:
    """What ``prune`` did, or would do.

    Args:
        log: The log's name.
        folder: The archive that has what goes.
        before: Partitions that end at this time or earlier were meant.
        partitions: Every partition of the log, the oldest first.
        asked: The time that was asked for; ``before`` is earlier where that lies in this month or later.
        execute: Whether it was to drop.
    """

    log: str
    folder: Path
    before: datetime
    partitions: tuple[Fate, ...]
    asked: datetime
    execute: bool

    @property
    def unproven(self) -> tuple[Fate, ...]:
        """The partitions that were meant and stay because rows of them are not in the archive."""
        return tuple(one for one in self.partitions if one.proven is False)

    def __str__(self) -> str:
        head = f"{self.log}, before {self.before:%Y-%m-%d %H:%M} UTC: {self._done()}"
        if self.asked > self.before:
            head += (
                f"; {self.asked:%Y-%m-%d %H:%M} UTC was asked for, but from the beginning of this month on all stays"
            )
        return "\n".join([head, *(f"  {one}" for one in self.partitions)])

    def _done(self) -> str:
        gone = [one for one in self.partitions if one.fate != STAYS]
        if gone:
            done = DROPPED if self.execute else WOULD_GO
            return f"{_several(len(gone))} {done}, {sum(one.bytes for one in gone) / 1e6:,.1f} MB"
        nothing = f"nothing {'was' if self.execute else 'would be'} dropped"
        old = [one for one in self.partitions if one.end is not None and one.end <= self.before]
        if not old:
            return f"{nothing}: no partition ends by then"
        return f"{nothing}: {_several(len(old))} of before {'stays' if len(old) == 1 else 'stay'}, below is why"

    __repr__ = __str__

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values, for JSON: times are ISO 8601 in UTC."""
        parts = [
            {
                "partition": one.name,
                "start": one.start and one.start.isoformat(),
                "end": one.end and one.end.isoformat(),
                "bytes": one.bytes,
                "rows": one.rows,
                "fate": one.fate,
                "why": one.why,
            }
            for one in self.partitions
        ]
        times = {"before": self.before.isoformat(), "asked": self.asked.isoformat()}
        return {"log": self.log, "archive": str(self.folder), **times, "execute": self.execute, "partitions": parts}


def prune(
    dsn: str,
    archive: str | Path,
    *,
    keep: str | None = None,
    before: Moment | None = None,
    execute: bool = False,
    table: str = catalog.DEFAULT_TABLE,
    columns: Mapping[str, str | None] | None = None,
    lock_timeout: float = 0.2,
) -> Pruning:
    """Drop the partitions of a log that are old enough, each only when every row of it is in the archive.

    What a partition has is read in one snapshot and each row looked up among the archive's, whose files are verified
    first, by what it says. Only if all that was meant is there, anything is dropped: the partition is locked against
    writers, what was written into it since is looked up, too, and in the same transaction it is detached and dropped,
    and the drop recorded beside the log (``..._pruned``), so that no later load claims to know what was dropped. The
    log itself is locked for the moment of that alone; where its lock is not to be had within ``lock_timeout``, it
    steps aside, lets the writers go on, and tries again.

    Never dropped are the default partition, one that does not end before the current month (UTC) begins, one that
    belongs to a role other than the log's owner, and what is under a legal hold (:func:`auditlab.hold`). The table of a
    log that ``auditlab init`` adopted stays until an archive of before was fed once more: by that table alone it can
    tell that the log is the same.

    Args:
        dsn: Where; to drop, the role must be a member of the one that owns the log (``auditlab_owner``).
        archive: The archive's folder.
        keep: How much stays, by the server's clock: ``"12 months"``, ``"90 days"``, ``"1 year"``.
        before: Or drop what ends at this time or earlier; a naive one is UTC. Of one in this month or later the
            beginning of this month counts, and the answer says so.
        execute: Drop; without it nothing is changed, and the answer says what would be.
        table: The log's name as SQL writes it.
        columns: Canonical name to the log's own, for columns that are called otherwise.
        lock_timeout: Seconds for which the application's writes may have to wait, each time.

    Returns:
        What becomes of every partition, and why some stay.

    Raises:
        DropRefused: rows of a partition that was to be dropped are not in the archive, its lock was not to be had (the
            message says who holds it), or the log is not partitioned. Nothing of that partition is dropped.
        CursorMismatch: the archive is of another system, database or table.
        ArchiveCorrupt: the archive is damaged. Nothing is dropped.
        AccessDenied: the role does not own the log.
        BadOption: neither ``keep`` nor ``before``, or both.
    """
    place = at_hand(archive, "prune")
    if (keep is None) == (before is None):
        raise BadOption("say how much of the log stays: keep='12 months', or before= a time (--keep, --before).")
    chain = read_chain(place)
    facts = chain[-1][0].facts
    if facts.masked or facts.omitted:
        raise DropRefused(
            f"{place} withholds fields ({', '.join((*facts.masked, *facts.omitted))}): it does not have the rows as "
            "they were recorded, and proves none. Prune with an archive of all fields."
        )
    with Snapshot(dsn, table) as snapshot:
        held = [one for one in holds(place) if one.released_at is None]
        holder = snapshot.holder
        log = catalog.describe(holder, table, columns=columns, allow_unsafe_order=True)
        if log.kind != "p":
            raise DropRefused(
                f"{log.label} is not partitioned: there is nothing to detach. `auditlab init` adopts the published log "
                "into one that has a partition a month."
            )
        moment = holder.rows(text("load", "moment"))[0]
        mark = watermark(holder)
        here = Cursor(moment["system"], mark.timeline, moment["database"], log.label, log.oid, mark.transaction)
        _check_same(chain[-1][0], here, holder, place)
        now = moment["now"].astimezone(UTC)
        asked = _asked(keep, before, now)
        limit = _limit(asked, now)
        owner = holder.rows(text("archive", "owner"), (log.oid,))[0]
        if execute and not owner["member"]:
            raise AccessDenied(
                f"{holder.label}: role {owner['role']} may not drop partitions of {log.label}, which {owner['owner']} "
                f"owns. GRANT {owner['owner']} TO {owner['role']}, or ask as a member of it."
            )
        zone = chain[-1][0].facts.zone
        told, cursor = f"{place} manifest {len(chain)}", chain[-1][0].cursor
        against = Against(log, scan_archive(place), held, zone, mark.transaction, told, cursor)
        judged = [_judged(holder, part, limit, now, against) for part in bounds(holder, log)]
    if execute:
        _refuse_unproven(tuple(fate for fate, _, _ in judged))
        for at, (fate, part, proof) in enumerate(judged):
            if proof is not None and fate.fate == WOULD_GO:
                gone = ", ".join(one.name for one, _, _ in judged if one.fate == DROPPED)
                before = f"Dropped before it: {gone}." if gone else "Nothing was dropped."
                rows = drop(dsn, against, part, proof, owner=owner["owner"], lock_timeout=lock_timeout, before=before)
                judged[at] = (replace(fate, fate=DROPPED, rows=rows), part, None)
    return Pruning(log.label, place, limit, tuple(fate for fate, _, _ in judged), asked, execute)


def _check_same(last: Manifest, here: Cursor, holder: Connection, folder: Path) -> None:
    if last.cursor is not None:
        last.cursor.check(here, holder)
    elif last.facts.system is not None and last.facts.system != here.system:
        raise CursorMismatch(f"{folder} holds the log of system {last.facts.system}; connected to {here.system}.")


def _asked(keep: str | None, before: Moment | None, now: datetime) -> datetime:
    """The time before which partitions are to end, as it was asked for."""
    if keep is None:
        assert before is not None  # noqa: S101 - one of them is given
        return instant(before, "UTC")
    found = _KEEP.fullmatch(keep)
    if found is None:
        raise BadOption(f"keep={keep!r}: say a whole number of days, weeks, months or years, e.g. '12 months'.")
    count, unit = int(found[1]), found[2].lower()
    try:
        if unit in ("day", "week"):
            return datetime.fromtimestamp(now.timestamp() - count * _DAYS[unit] * 86_400, UTC)
        months = now.year * 12 + now.month - 1 - count * (12 if unit == "year" else 1)
        month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        return month.replace(year=months // 12, month=months % 12 + 1)
    except (ValueError, OverflowError, OSError) as exc:
        raise BadOption(f"keep={keep!r} reaches back beyond the year 1.") from exc


def _limit(asked: datetime, now: datetime) -> datetime:
    """The time before which partitions must end: at the most the beginning of this month."""
    return min(asked, now.replace(day=1, hour=0, minute=0, second=0, microsecond=0))


def _several(partitions: int) -> str:
    return "1 partition" if partitions == 1 else f"{partitions} partitions"


_DAYS = {"day": 1, "week": 7}


def _judged(
    holder: Connection, part: Bound, limit: datetime, now: datetime, against: Against
) -> tuple[Fate, Bound, Proof | None]:
    """What becomes of a partition; with its proof, if it was looked at."""
    fate = Fate(part.name, part.start, part.end, part.bytes, None, STAYS, part.why)
    if part.why or part.end is None:
        return fate, part, None
    if part.end > limit:
        current = part.end > now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        why = "it takes changes of this month or later" if current else f"it ends {part.end:%Y-%m-%d}, which is kept"
        return replace(fate, why=why), part, None
    if against.cursor is not None and against.cursor.oid == part.leaf.oid:
        why = "by it alone the archive knows the log, which was adopted: first feed it (auditlab archive DSN FOLDER)"
        return replace(fate, why=why), part, None
    proof = against.proof(part, against.rows(holder, _rows_of(holder, part, against)))
    told = "; ".join(
        f"{count:,} {'change is' if count == 1 else 'changes are'} under the hold {name!r}"
        for name, count in proof.under.items()
    )
    if not told and proof.missing:
        return replace(fate, rows=proof.rows, why=missing(proof, part), proven=False), part, None
    if told or part.foreign:
        return replace(fate, rows=proof.rows, why=told or part.foreign), part, None
    return replace(fate, rows=proof.rows, fate=WOULD_GO, proven=True), part, proof


def _rows_of(holder: Connection, part: Bound, against: Against) -> str:
    """The query for the rows of a partition; by way of the log, where the role may read that alone."""
    if part.leaf.readable:
        return compose("changes", against.log, leaf=part.leaf)
    settings = {"partitions": json.dumps([part.leaf.oid])}
    settings |= {name: one.isoformat() for name, one in (("start", part.start), ("end", part.end)) if one is not None}
    for name, value in settings.items():
        holder.set_local(f"auditlab.{name}", value)
    return compose("changes", against.log, given=frozenset(settings))


def _refuse_unproven(fates: tuple[Fate, ...]) -> None:
    unproven = [one.why for one in fates if one.proven is False]
    if unproven:
        raise DropRefused(
            f"{'; '.join(unproven)}. Nothing was dropped. Bring the log into the archive first (auditlab archive DSN "
            "FOLDER); rows that stay missing were changed here or there since they were archived."
        )

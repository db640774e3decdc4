"""From PostgreSQL straight into an archive: streamed, the log never held in memory; again and again, part by part."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl

from auditlab import malformed
from auditlab.archive.files import to_write
from auditlab.archive.held import held_rows
from auditlab.archive.manifest import read_chain
from auditlab.archive.seal import SigningKey
from auditlab.archive.write import ArchiveSummary, ArchiveWriter
from auditlab.errors import ArchiveExists, BadOption, CursorMismatch, NotAnArchive
from auditlab.load.catalog import DEFAULT_TABLE
from auditlab.load.stream import ChangeStream
from auditlab.marks import in_order
from auditlab.schema import Coverage, LogFacts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa

    from auditlab.archive.manifest import Manifest
    from auditlab.clock import Moment
    from auditlab.load.watermark import Held

__all__ = ["archive_postgres"]

_BATCH_BYTES = 4 << 20
_TICK = timedelta(microseconds=1)

Chain = list[tuple["Manifest", str]]


def archive_postgres(
    dsn: str,
    folder: str | Path,
    *,
    table: str = DEFAULT_TABLE,
    entity_types: str | Sequence[str] | None = None,
    start: Moment | None = None,
    end: Moment | None = None,
    once: bool = False,
    columns: Mapping[str, str | None] | None = None,
    zone: str = "UTC",
    connections: int = 1,
    progress: bool | None = None,
    strict: bool = True,
    allow_unsafe_order: bool = False,
    clock: str | None = None,
    visible_within: float | None = None,
    sign: str | Path | None = None,
) -> ArchiveSummary:
    """Bring a PostgreSQL database's log into an archive, in bounded memory: a new one, or what is new into an old one.

    Each call reads on where the last one ended, by transaction: all changes of transactions below the oldest one
    that is still open, which is all that will ever be there of those. Nothing is lost or read twice, whoever commits
    late, however often a call is killed, and whichever others feed the same archive. What is committed but lies above
    is left for the next call, and the summary says how much and for whom. Nothing is archived before it is on the
    server's own disk. Where nothing is new, nothing is written.

    With ``start`` or ``end`` the archive holds that window, and is closed: no later call adds to it. So it is with
    ``once``, and for a log without transaction ids, in which nobody can tell what is new.

    Args:
        dsn: A libpq URL or ``key=value`` text.
        folder: A folder that is not there yet, or empty, or the archive of this very log.
        table: As in ``read_postgres``, like the other options.
        entity_types: One or several entity types; the same ones every time.
        start: The first instant; the archive then also holds, per entity, the last changes before it.
        end: The instant after the last.
        once: Take all that is committed, for an archive that is closed then. For logs whose transaction ids are those
            of another server, as after a restore or a replication.
        columns: Canonical name to the log's own; None for an image that it has not.
        zone: The time zone in which times without one are read.
        connections: How many connections read at once, in one snapshot.
        progress: Whether to show progress on stderr; None shows it where that is a terminal.
        strict: Whether rows that are no changes are an error; else they are archived as they are.
        allow_unsafe_order: Whether to take a log whose ids were handed out in batches.
        clock: Which times date the log.
        visible_within: Seconds from a change's time to the moment at which others saw it, at the most.
        sign: The file of a private key (``auditlab seal keygen``) that signs what is added.

    Raises:
        BadKey: the file holds no such key.
        BadOption: the archive is signed, and there is no key.
        ArchiveExists: the folder holds something else, or an archive that nothing can be added to.
        CursorMismatch: the archive goes on from another system, timeline, database or table.
        UntrackableChanges: changes have no transaction id, or an impossible one.
        NotDurable: the server did not bring to disk what was read.
        ArchiveError: the folder cannot be written to, the disk is full; nothing is left.
        AuditlabError: all that ``read_postgres`` raises but for ``LogTooLarge``; nothing is left.
    """
    place, key = to_write(folder), None if sign is None else SigningKey(sign)
    while True:
        chain = _chain(place)
        window = once or start is not None or end is not None
        if chain and (window or chain[-1][0].cursor is None):
            what = "this would be one of its own" if window else "it is closed: no cursor says where it ends"
            raise ArchiveExists(
                f"{place} holds an archive already ({held_rows(chain):,} changes), and {what}. Nothing was written. "
                "Give another folder."
            )
        cursor = chain[-1][0].cursor if chain else None
        stream = ChangeStream(
            dsn,
            table=table,
            entity_types=entity_types,
            start=start,
            end=end,
            columns=columns,
            zone=zone,
            connections=connections,
            progress=progress,
            allow_unsafe_order=allow_unsafe_order,
            clock=clock,
            visible_within=visible_within,
            batch_bytes=_BATCH_BYTES,
            by_transaction=not window,
            cursor=cursor,
        )
        with stream:
            try:
                return _pull(stream, place, chain, strict=strict, sign=key)
            except ArchiveExists:
                if window or len(_chain(place)) == len(chain):
                    raise  # else another exporter was first: go on from where it ended


def _chain(folder: Path) -> Chain:
    try:
        return read_chain(folder)
    except NotAnArchive:
        return []


def _pull(stream: ChangeStream, folder: Path, chain: Chain, *, strict: bool, sign: SigningKey | None) -> ArchiveSummary:
    """What the stream has into the archive, as its next segment."""
    here = stream.cursor
    last = chain[-1][0] if chain else None
    if last is not None:
        if here is None:
            raise CursorMismatch(f"{folder} is fed by transaction, and {stream.log.label} has no transaction ids.")
        if last.facts.filters != stream.filters.words:
            told = "; ".join(last.facts.filters) or "everything"
            raise BadOption(f"{folder} holds {told}. Ask for the same again, or begin another archive.")
    with ArchiveWriter(folder, chain=chain, sign=sign) as writer:
        for batch in stream.baseline():
            writer.write(_checked(batch, strict=strict), role="baseline")
        for batch in stream:
            writer.write(_checked(batch, strict=strict))
        left = stream.left()
        facts = stream.facts if left is None else _known(stream.facts, left)
        if last is None:
            span = None if here is None else (0, here.transaction - 1)
        elif writer.rows == 0:
            return _nothing_new(folder, last, held_rows(chain), left)
        else:
            facts = _extended(last.facts, facts)
            span = (last.cursor.transaction, here.transaction - 1) if last.cursor and here else None
        stream.wait_until_durable()
        return replace(writer.commit(facts, cursor=here, span=span), left=left)


def _nothing_new(folder: Path, last: Manifest, total: int, left: Held | None) -> ArchiveSummary:
    return ArchiveSummary(
        folder=folder,
        rows=0,
        by_type={},
        files=0,
        bytes=0,
        facts=last.facts,
        total=total,
        cursor=last.cursor,
        left=left,
    )


def _known(facts: LogFacts, left: Held) -> LogFacts:
    """The facts of a log of which something was left: it is known up to where that begins."""
    end = facts.coverage.end
    if left.before is None or end is None:
        return facts
    known = max(min(end, left.before - _TICK), facts.coverage.start or end)
    return replace(facts, coverage=replace(facts.coverage, end=known))


def _extended(old: LogFacts, new: LogFacts) -> LogFacts:
    """The facts of an archive to which a part with facts of its own was added."""
    ends = [end for end in (old.coverage.end, new.coverage.end) if end is not None]
    coverage = Coverage(
        start=old.coverage.start or new.coverage.start,
        end=max(ends, default=None),
        complete=old.coverage.complete and new.coverage.complete,
        why=old.coverage.why or new.coverage.why,
    )
    dating = old if old.coverage.start is not None and old.clock == "changed_at" else new
    return replace(
        new,
        clock=dating.clock,  # the commit's only where both parts have it throughout
        visible_within=dating.visible_within,
        marks=in_order([*old.marks, *new.marks]),
        coverage=coverage,
        kinds={**old.kinds, **new.kinds},
        partial=tuple(sorted({*old.partial, *new.partial})),
    )


def _checked(batch: pa.RecordBatch, *, strict: bool) -> pa.RecordBatch:
    if strict:
        malformed.split(pl.DataFrame(pl.from_arrow(batch, rechunk=False)), strict=True, whole=False)
    return batch

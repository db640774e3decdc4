"""From PostgreSQL straight into an archive: streamed, the log never held in memory; again and again, part by part."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl

from auditlab import malformed
from auditlab.archive.checkpoint import AFTER, with_checkpoint
from auditlab.archive.extending import extended, known
from auditlab.archive.files import to_write
from auditlab.archive.held import held_rows
from auditlab.archive.manifest import read_chain
from auditlab.archive.overlap import Unseen
from auditlab.archive.read import scan_archive
from auditlab.archive.seal import SigningKey
from auditlab.archive.write import ArchiveSummary, ArchiveWriter
from auditlab.errors import ArchiveExists, BadOption, NotAnArchive, WatermarkHeld
from auditlab.load.catalog import DEFAULT_TABLE
from auditlab.load.stream import ChangeStream
from auditlab.masking import Masks
from auditlab.visibility import LONGEST_TRANSACTION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    import pyarrow as pa

    from auditlab.archive.manifest import Manifest
    from auditlab.clock import Moment
    from auditlab.load.watermark import Held

__all__ = ["archive_postgres"]

_BATCH_BYTES = 4 << 20

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
    overlap: float = LONGEST_TRANSACTION,
    sweep: bool = False,
    held_at_most: float | None = None,
    mask_fields: Sequence[str] = (),
    omit_fields: Sequence[str] = (),
    columns: Mapping[str, str | None] | None = None,
    zone: str = "UTC",
    connections: int = 1,
    progress: bool | None = None,
    strict: bool = True,
    allow_unsafe_order: bool = False,
    clock: str | None = None,
    visible_within: float | None = None,
    sign: str | Path | None = None,
    checkpoint_after: int | None = AFTER,
) -> ArchiveSummary:
    """Bring a PostgreSQL database's log into an archive, in bounded memory: a new one, or what is new into an old one.

    Each call reads on where the last one ended, by transaction: all changes of transactions below the oldest one
    that is still open, which is all that will ever be there of those. Nothing is lost or read twice, whoever commits
    late, however often a call is killed, and whichever others feed the same archive. What is committed but lies above
    is left for the next call, and the summary says how much and for whom. Nothing is archived before it is on the
    server's own disk. Where nothing is new, nothing is written. A log that ``auditlab init`` adopted since is the same,
    as long as the table that was archived is its partition: the first call after that writes down that it is.

    With ``start`` or ``end`` the archive holds that window, and is closed: no later call adds to it. So it is with
    ``once``.

    In a log without transaction ids nobody can tell for certain what is new. Each call then reads again what was
    recorded within ``overlap`` before the last call, and all ids above those it has seen, and adds the rows that the
    archive does not have, known by what they say. A change that was committed later than that, with an earlier time
    and a lower id, is missed until a call with ``sweep`` looks through the whole log. Nor can such a call tell what is
    still open. Segments are ranges of positions then, in the order of adding.

    Args:
        dsn: A libpq URL or ``key=value`` text.
        folder: A folder that is not there yet, or empty, or the archive of this very log.
        table: As in ``read_postgres``, like the other options.
        entity_types: One or several entity types; the same ones every time.
        start: The first instant; the archive then also holds, per entity, the last changes before it.
        end: The instant after the last.
        once: Take all that is committed, for an archive that is closed then. For logs whose transaction ids are those
            of another server, as after a restore or a replication.
        overlap: Seconds that a transaction may have been open, for a log without transaction ids.
        sweep: Look through all of such a log for rows that the archive does not have: now and then, say once a day.
        held_at_most: Seconds for which an open transaction may hold rows back before that is an error; None takes any.
        mask_fields: Fields whose values are masked, as ``type.field``; the same ones every time.
        omit_fields: Fields that are left out of every document, as ``type.field``; the same ones every time.
        columns: Canonical name to the log's own; None for an image that it has not.
        zone: The time zone in which times without one are read.
        connections: How many connections read at once, in one snapshot.
        progress: Whether to show progress on stderr; None shows it where that is a terminal.
        strict: Whether rows that are no changes are an error; else they are archived as they are.
        allow_unsafe_order: Whether to take a log whose ids were handed out in batches.
        clock: Which times date the log.
        visible_within: Seconds from a change's time to the moment at which others saw it, at the most.
        sign: The file of a private key (``auditlab seal keygen``) that signs what is added.
        checkpoint_after: Rows of an entity type that come before a checkpoint of it is written behind a pull
            (``auditlab.checkpoint``), where they are also more than the last one has; None or 0 writes none. It reads
            what came since the last one, and takes half of the memory that is free, 1 GB at the most. Where it fails,
            or is killed, the pull is in the archive all the same; the summary says why there is none.

    Raises:
        BadKey: the file holds no such key.
        BadOption: the archive is signed, and there is no key.
        ArchiveExists: the folder holds something else, or an archive that nothing can be added to.
        CursorMismatch: the archive goes on from another system, timeline, database or table.
        UntrackableChanges: changes have no transaction id, or an impossible one.
        WatermarkHeld: a transaction is open for longer than ``held_at_most``. What could be read is archived.
        NotDurable: the server did not bring to disk what was read.
        ArchiveError: the folder cannot be written to, the disk is full; nothing is left.
        AuditlabError: all that ``read_postgres`` raises but for ``LogTooLarge``; nothing is left.
    """
    place, key = to_write(folder), None if sign is None else SigningKey(sign)
    masks = Masks(tuple(mask_fields), tuple(omit_fields))
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
            overlap=overlap,
            sweep=sweep,
        )
        with stream:
            try:
                pulled = _pull(stream, place, chain, strict=strict, sign=key, masks=masks)
            except ArchiveExists:
                if window or len(_chain(place)) == len(chain):
                    raise  # else another exporter was first: go on from where it ended
            else:
                _not_too_long(pulled.left, stream.now, held_at_most)
                return with_checkpoint(pulled, sign=sign, after=checkpoint_after)


def _not_too_long(left: Held | None, now: datetime, seconds: float | None) -> None:
    if seconds is not None and left is not None and left.since is not None:
        held = (now - left.since).total_seconds()
        if held > seconds:
            raise WatermarkHeld(
                f"{left}. That is {held:,.0f} s, at most {seconds:g} s were allowed; what was before it is archived."
            )


def _chain(folder: Path) -> Chain:
    try:
        return read_chain(folder)
    except NotAnArchive:
        return []


def _pull(
    stream: ChangeStream, folder: Path, chain: Chain, *, strict: bool, sign: SigningKey | None, masks: Masks
) -> ArchiveSummary:
    """What the stream has into the archive, as its next segment."""
    last = chain[-1][0] if chain else None
    if last is not None and last.facts.filters != stream.filters.words:
        told = "; ".join(last.facts.filters) or "everything"
        raise BadOption(f"{folder} holds {told}. Ask for the same again, or begin another archive.")
    if last is not None and (last.facts.masked, last.facts.omitted) != (masks.masked, masks.omitted):
        told = f"masked: {', '.join(last.facts.masked) or 'none'}; left out: {', '.join(last.facts.omitted) or 'none'}"
        raise BadOption(f"{folder} withholds fields ({told}). Ask for the same again, or begin another archive.")
    masks.check_keys(stream.keys)
    unseen = None
    if last is not None and stream.by_position:
        unseen = Unseen(scan_archive(folder).changes, stream.window, stream.log.recorded)
    with ArchiveWriter(folder, chain=chain, sign=sign) as writer:
        for batch in stream.baseline():
            writer.write(_checked(_masked(batch, masks), strict=strict), role="baseline")
        for batch in stream:
            shown = _masked(batch, masks)
            writer.write(_checked(shown if unseen is None else unseen.of(shown), strict=strict))
        masks.check_known(() if last is None else (*masks.masked, *masks.omitted))
        left, total = stream.left(), held_rows(chain)
        facts = stream.facts if left is None else known(stream.facts, left)
        begun = None if last is None else last.cursor
        if last is not None:
            if writer.rows == 0 and begun is not None and begun.oid == stream.log.oid:
                return _nothing_new(folder, last, total, left)
            facts = extended(last.facts, facts)
        facts = replace(facts, masked=masks.masked, omitted=masks.omitted)
        here = stream.cursor
        span = (total + 1, total + writer.rows) if stream.by_position and writer.rows else None
        if here is not None and here.transaction is not None:
            span = (0 if begun is None else begun.transaction or 0, here.transaction - 1)
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


def _masked(batch: pa.RecordBatch, masks: Masks) -> pa.RecordBatch:
    if not masks or not batch.num_rows:
        return batch
    rows = masks.on(pl.DataFrame(pl.from_arrow(batch, rechunk=False)))
    return rows.to_arrow().cast(batch.schema).combine_chunks().to_batches()[0]


def _checked(batch: pa.RecordBatch, *, strict: bool) -> pa.RecordBatch:
    if strict:
        malformed.split(pl.DataFrame(pl.from_arrow(batch, rechunk=False)), strict=True, whole=False)
    return batch

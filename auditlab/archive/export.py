"""From PostgreSQL straight into an archive: streamed, the log never held in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from auditlab import malformed
from auditlab.archive.write import ArchiveSummary, ArchiveWriter
from auditlab.load.catalog import DEFAULT_TABLE
from auditlab.load.stream import ChangeStream

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa

    from auditlab.clock import Moment

__all__ = ["archive_postgres"]

_BATCH_BYTES = 4 << 20


def archive_postgres(
    dsn: str,
    folder: str | Path,
    *,
    table: str = DEFAULT_TABLE,
    entity_types: str | Sequence[str] | None = None,
    start: Moment | None = None,
    end: Moment | None = None,
    columns: Mapping[str, str] | None = None,
    zone: str = "UTC",
    connections: int = 1,
    progress: bool | None = None,
    strict: bool = True,
    allow_unsafe_order: bool = False,
    clock: str | None = None,
    visible_within: float | None = None,
) -> ArchiveSummary:
    """Copy the log of a PostgreSQL database into a new archive, in bounded memory; returns what was written.

    One snapshot of the database; the archive is whole or absent. With ``start`` the archive also holds, per entity,
    the last changes before it.

    Args:
        dsn: A libpq URL or ``key=value`` text.
        folder: A folder that is not there yet, or empty.
        table: As in ``read_postgres``, like the other options.
        entity_types: One or several entity types.
        start: The first instant.
        end: The instant after the last.
        columns: Canonical name to the log's own.
        zone: The time zone in which times without one are read.
        connections: How many connections read at once.
        progress: Whether to show progress on stderr; None shows it where that is a terminal.
        strict: Whether rows that are no changes are an error; else they are archived as they are.
        allow_unsafe_order: Whether to take a log whose ids were handed out in batches.
        clock: Which times date the log.
        visible_within: Seconds from a change's time to the moment at which others saw it, at the most.

    Raises:
        ArchiveExists: the folder holds an archive, or something else.
        ArchiveError: the folder cannot be written to, the disk is full; nothing is left.
        AuditlabError: all that ``read_postgres`` raises but for ``LogTooLarge``; nothing is left.
    """
    with (
        ChangeStream(
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
        ) as stream,
        ArchiveWriter(folder) as writer,
    ):
        for batch in stream.baseline():
            writer.write(_checked(batch, strict=strict), role="baseline")
        for batch in stream:
            writer.write(_checked(batch, strict=strict))
        return writer.commit(stream.facts)


def _checked(batch: pa.RecordBatch, *, strict: bool) -> pa.RecordBatch:
    if strict:
        malformed.split(pl.DataFrame(pl.from_arrow(batch, rechunk=False)), strict=True)
    return batch

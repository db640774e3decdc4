"""Open a log: each function loads, and gives a :class:`auditlab.ChangeLog`."""

from __future__ import annotations

from dataclasses import replace
from functools import wraps
from inspect import signature
from typing import TYPE_CHECKING, Any, ParamSpec

from auditlab.archive import read as archive_read
from auditlab.archive.nearest import Nearest
from auditlab.archive.together import together
from auditlab.buckets.bucketed import Bucketed, Rows
from auditlab.buckets.dealing import AMPLIFIED
from auditlab.buckets.room import LEAST, USUAL, memory_bytes
from auditlab.changelog import ChangeLog
from auditlab.engines import DuckDBEngine
from auditlab.load import arrow, debezium, postgres, query, text
from auditlab.load.catalog import DEFAULT_TABLE
from auditlab.load.estimate import available_memory
from auditlab.recorded import Recorded
from auditlab.selection import Selected

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import polars as pl

    from auditlab.archive.read import Scanned
    from auditlab.archive.together import Together
    from auditlab.load.source import Loaded
    from auditlab.schema import LogFacts

__all__ = [
    "from_arrow",
    "read_csv",
    "read_debezium",
    "read_jsonl",
    "read_parquet",
    "read_postgres",
    "read_query",
    "scan",
    "scan_archive",
]

P = ParamSpec("P")


def _opens(load: Callable[P, Loaded]) -> Callable[P, ChangeLog[pl.DataFrame]]:
    """The loader as a function of the same arguments that gives a ``ChangeLog``, answered by Polars in memory."""

    @wraps(load)
    def opened(*args: P.args, **kwargs: P.kwargs) -> ChangeLog[pl.DataFrame]:
        loaded = load(*args, **kwargs)
        recorded = Recorded(loaded.changes, loaded.facts, baseline=loaded.baseline, malformed=loaded.malformed)
        return ChangeLog(Selected(recorded, recorded.entity_types))

    opened.__signature__ = signature(load).replace(return_annotation="ChangeLog")  # type: ignore[attr-defined]
    opened.__module__ = __name__
    return opened


from_arrow = _opens(arrow.from_arrow)
read_csv = _opens(text.read_csv)
read_debezium = _opens(debezium.read_debezium)
read_jsonl = _opens(text.read_jsonl)
read_parquet = _opens(arrow.read_parquet)
read_postgres = _opens(postgres.read_postgres)
read_query = _opens(query.read_query)


def scan_archive(
    folder: str | Path,
    *,
    entity_types: str | Sequence[str] | None = None,
    strict: bool = True,
    memory: str | int | None = None,
    storage_options: Mapping[str, Any] | None = None,
    cache: str | Path | None = None,
) -> ChangeLog[pl.LazyFrame]:
    """The log in an archive: proven whole now, read at the first question, answered by DuckDB as lazy frames.

    A question about some entity types (``of``) reads those alone; with checkpoints (:func:`auditlab.checkpoint`),
    one about an entity its changes, and one about states what came since.

    Args:
        folder: The archive, or where it is in object storage: ``s3://bucket/path``. Its files are brought to a folder
            here, those that are needed, and proven before they are used.
        entity_types: One or several entity types, to prove and read only the files that hold those; None for all.
        strict: Whether rows that are no changes are an error when they are read; else they are set apart in
            ``malformed``.
        memory: How much a question may take: bytes, or e.g. ``"1GB"``; half of what is free if None. A log that takes
            more is dealt out by entity, once, into a private folder under the system's temporary one (``TMPDIR``), and
            asked bucket by bucket; the answers are the same. The folder goes with the log and its answers; a process
            that is killed leaves it behind. What can only be answered from all changes at once (an upcaster that looks
            at several of them, ``explore`` of more than one entity, ``aggregate_view``) raises ``LogTooLarge`` then,
            and says how much memory it takes.
        storage_options: How to reach the storage, by the names that Polars has for it: ``aws_access_key_id``,
            ``aws_secret_access_key``, ``aws_session_token``, ``aws_region``, ``aws_endpoint_url``,
            ``aws_skip_signature``. What is left out comes from the environment, as AWS's own programs take it.
        cache: A folder that keeps what was brought from storage, for the next time; None takes one that is removed
            when the program ends.

    Raises:
        BadOption: ``memory`` is no size, or the storage, or an option of it, is none that is known.
        StorageFailed: the storage refuses, or cannot be reached.
        NotAnArchive: the folder holds no archive.
        ArchiveCorrupt: a file or manifest differs from what was written, is short or missing; nothing is read.
        ArchiveError: a newer auditlab wrote it, or it cannot be read.
        UnknownEntityType: the archive has no such entity type; the message names those it has.
    """
    scanned = archive_read.scan_archive(folder, entity_types=entity_types, storage_options=storage_options, cache=cache)
    types = tuple(sorted([entity_types] if isinstance(entity_types, str) else entity_types or scanned.entity_types))
    room = memory_bytes(memory, free=available_memory())
    facts = scanned.facts if entity_types is None else _of_types(scanned.facts, types)
    log = _answered(scanned, facts, types, strict=strict, room=room, narrowed=types != scanned.entity_types)
    recorded = log.selected.recorded
    recorded.archived = scanned.ids if scanned.facts.spans_its_ids else None  # of all types, also where some are asked
    recorded.shortcuts = Nearest(scanned, least=LEAST, room=room)
    return log


def scan(
    dsn: str,
    archive: str | Path,
    *,
    entity_types: str | Sequence[str] | None = None,
    table: str = DEFAULT_TABLE,
    columns: Mapping[str, str | None] | None = None,
    progress: bool | None = None,
    strict: bool = True,
    memory: str | int | None = None,
    allow_unsafe_order: bool = False,
    clock: str | None = None,
    visible_within: float | None = None,
) -> ChangeLog[pl.LazyFrame]:
    """A database's log and its archive as one log: no change twice, none missing, wherever it lies by now.

    The archive's changes are proven whole now and read at the first question; those that came after its last pull are
    read from the database now, in one snapshot. So it is also when ``prune`` dropped old partitions, or another pull
    goes on meanwhile. Answers are as of that snapshot, lazy frames by DuckDB.

    Args:
        dsn: A libpq URL or ``key=value`` text.
        archive: The folder that ``archive_postgres`` feeds from this log.
        entity_types: One or several entity types; None for all.
        table: As in ``read_postgres``, like the other options.
        columns: Canonical name to the log's own, for columns that are called otherwise.
        progress: Whether to show progress on stderr; None shows it where that is a terminal.
        strict: Whether rows that are no changes are an error; else they are set apart in ``malformed``.
        memory: As in ``scan_archive``; the live changes must fit in it.
        allow_unsafe_order: Whether to take a log whose ids were handed out in batches.
        clock: ``changed_at`` or ``committed_at``: which times date the log.
        visible_within: Seconds from a change's time to the moment at which others saw it, at the most.

    Raises:
        CursorMismatch: they are not the same log, the archive is closed, or what lies between them was dropped.
        BadOption: the archive holds some entity types only, and others are asked for.
        UnknownEntityType: neither has such an entity type.
        LogTooLarge: the live changes would not fit in memory: pull first.
        AuditlabError: all that ``scan_archive`` and ``read_postgres`` raise.
    """
    room = memory_bytes(memory, free=available_memory())
    found = together(
        dsn,
        archive,
        entity_types=entity_types,
        table=table,
        columns=columns,
        progress=progress,
        memory_limit=room,
        allow_unsafe_order=allow_unsafe_order,
        clock=clock,
        visible_within=visible_within,
    )
    narrowed = entity_types is not None
    facts = _of_types(found.facts, found.entity_types) if narrowed else found.facts
    log = _answered(found, facts, found.entity_types, strict=strict, room=room, narrowed=narrowed)
    recorded = log.selected.recorded
    recorded.archived = found.ids if recorded.spans_its_ids else None
    return log


def _of_types(facts: LogFacts, types: tuple[str, ...]) -> LogFacts:
    """The facts of a log that is asked about some entity types alone."""
    return replace(facts, partial=tuple(name for name in facts.partial if name in types))


def _answered(
    found: Scanned | Together, facts: LogFacts, types: tuple[str, ...], *, strict: bool, room: int, narrowed: bool
) -> ChangeLog[pl.LazyFrame]:
    """The log that was found: in memory at the first question, or bucket by bucket where that is too small."""
    recorded: Recorded
    if found.rows * USUAL > room and found.size() * AMPLIFIED > room:
        rows = Rows(found.batches, found.rows, found.size())
        recorded = Bucketed(rows, facts, entity_types=types, room=room, strict=strict)
    else:
        recorded = Recorded(found.changes, facts, baseline=found.baseline, entity_types=types, strict=strict)
    recorded.spans_its_ids &= not narrowed
    return ChangeLog(Selected(recorded, recorded.entity_types, engine=DuckDBEngine()), lazy=True)

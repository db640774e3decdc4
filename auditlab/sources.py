"""Open a log: each function loads, and gives a :class:`auditlab.ChangeLog`."""

from __future__ import annotations

from functools import wraps
from inspect import signature
from typing import TYPE_CHECKING, Any, ParamSpec

from auditlab.archive import read as archive_read
from auditlab.buckets.bucketed import AMPLIFIED, Bucketed, Rows
from auditlab.buckets.room import memory_bytes
from auditlab.changelog import ChangeLog
from auditlab.engines import DuckDBEngine
from auditlab.load import arrow, postgres, text
from auditlab.load.estimate import available_memory
from auditlab.recorded import Recorded
from auditlab.selection import Selected

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import polars as pl

    from auditlab.load.source import Loaded

__all__ = ["from_arrow", "read_csv", "read_jsonl", "read_parquet", "read_postgres", "scan_archive"]

P = ParamSpec("P")

LEAST = 4_000
"""Bytes that a change takes while it is asked about, if it is no large one: where all fit so, nothing is measured."""


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
read_jsonl = _opens(text.read_jsonl)
read_parquet = _opens(arrow.read_parquet)
read_postgres = _opens(postgres.read_postgres)


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

    A question about some entity types (``of``) reads those alone.

    Args:
        folder: The archive, or where it is in object storage: ``s3://bucket/path``. Its files are brought to a folder
            here, those that are needed, and proven before they are used.
        entity_types: One or several entity types, to prove and read only the files that hold those; None for all.
        strict: Whether rows that are no changes are an error when they are read; else they are set apart in
            ``malformed``.
        memory: How much a question may take: bytes, or e.g. ``"1GB"``; half of what is free if None. A log that takes
            more is dealt out by entity, once, into a private folder under the system's temporary one (``TMPDIR``), and
            asked bucket by bucket; the answers are the same. The folder goes with the log and its answers; a process
            that is killed leaves it behind. What can only be answered from all changes at once (``evidence``,
            ``aggregate``, ``drift``, ...) raises ``LogTooLarge`` then.
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
    recorded: Recorded
    if scanned.rows * LEAST > room and scanned.size() * AMPLIFIED > room:
        rows = Rows(scanned.batches, scanned.rows, scanned.size())
        recorded = Bucketed(rows, scanned.facts, entity_types=types, room=room, strict=strict)
    else:
        recorded = Recorded(
            scanned.changes, scanned.facts, baseline=scanned.baseline, entity_types=types, strict=strict
        )
    return ChangeLog(Selected(recorded, recorded.entity_types, engine=DuckDBEngine()), lazy=True)

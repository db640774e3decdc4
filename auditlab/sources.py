"""Open a log: each function gives a :class:`auditlab.ChangeLog`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditlab.archive import read as archive_read
from auditlab.changelog import ChangeLog
from auditlab.engines import engine as engine_named
from auditlab.load import arrow
from auditlab.recorded import Recorded
from auditlab.selection import Selected

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from auditlab.clock import Moment
    from auditlab.load.arrow import ArrowStream
    from auditlab.load.source import Loaded

__all__ = ["from_arrow", "read_parquet", "scan_archive"]


def from_arrow(
    data: ArrowStream,
    *,
    columns: Mapping[str, str] | None = None,
    zone: str = "UTC",
    coverage: tuple[Moment, Moment] | None = None,
    source: str = "memory",
    strict: bool = True,
    engine: str = "polars",
) -> ChangeLog:
    """The log in anything with an Arrow stream: Polars, pandas, pyarrow, DuckDB, ...

    See :func:`auditlab.load.arrow.from_arrow` for arguments and errors; ``engine`` is what answers: ``polars`` (in
    memory) or ``duckdb``.
    """
    loaded = arrow.from_arrow(data, columns=columns, zone=zone, coverage=coverage, source=source, strict=strict)
    return _opened(loaded, engine)


def read_parquet(
    path: str | Path | Sequence[str | Path],
    *,
    columns: Mapping[str, str] | None = None,
    zone: str = "UTC",
    coverage: tuple[Moment, Moment] | None = None,
    strict: bool = True,
    engine: str = "polars",
) -> ChangeLog:
    """The log in one or several Parquet files.

    See :func:`auditlab.load.arrow.read_parquet` for arguments and errors; ``engine`` is what answers: ``polars`` (in
    memory) or ``duckdb``.
    """
    loaded = arrow.read_parquet(path, columns=columns, zone=zone, coverage=coverage, strict=strict)
    return _opened(loaded, engine)


def scan_archive(
    folder: str | Path, *, entity_types: str | Sequence[str] | None = None, engine: str = "duckdb"
) -> ChangeLog:
    """The log in an archive: verified now, read at the first question, answered as lazy frames.

    See :func:`auditlab.archive.read.scan_archive` for arguments and errors; ``engine`` is what answers: ``duckdb`` or
    ``polars``.
    """
    scanned = archive_read.scan_archive(folder, entity_types=entity_types)
    recorded = Recorded(scanned.changes, scanned.facts, baseline=scanned.baseline)
    return ChangeLog(Selected(recorded, recorded.entity_types, engine=engine_named(engine)), lazy=True)


def _opened(loaded: Loaded, engine: str) -> ChangeLog:
    recorded = Recorded(loaded.changes, loaded.facts, baseline=loaded.baseline, malformed=loaded.malformed)
    return ChangeLog(Selected(recorded, recorded.entity_types, engine=engine_named(engine)))

"""A log from anything with an Arrow stream (Polars, pandas, pyarrow, DuckDB, ...) or from Parquet files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from auditlab import malformed
from auditlab.clock import Moment, instant
from auditlab.clock import zone as time_zone
from auditlab.connection import redact
from auditlab.errors import BadOption, SchemaMismatch
from auditlab.load.canonical import Canonical
from auditlab.load.columns import ColumnMapping, mark
from auditlab.load.differences import with_differences
from auditlab.load.partitions import checked, folding
from auditlab.load.resolved import resolved
from auditlab.load.row_order import check_row_order
from auditlab.load.source import Loaded, frame, spanning
from auditlab.load.versions import as_changes
from auditlab.schema import CHANGES, Coverage, LogFacts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from auditlab.load.columns import Columns
    from auditlab.load.entity_key import Key

__all__ = ["ArrowStream", "files", "from_arrow", "loaded", "read_parquet"]

_BATCH_ROWS = 65_536
_PIECE = 128 << 20
"""Bytes of a batch beyond which it is taken in pieces: a canonical batch's texts must stay below 2 GB."""


class ArrowStream(Protocol):
    """Anything that offers its rows as an Arrow stream."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """A PyCapsule that holds the stream."""


def from_arrow(
    data: ArrowStream,
    *,
    columns: Columns | None = None,
    operations: Mapping[str, str | None] | None = None,
    fields: str | Sequence[str] | Mapping[str, str] | None = None,
    entity_type: str | None = None,
    key: Key | None = None,
    unit: str | None = None,
    partitions: Mapping[str, str] | None = None,
    zone: str = "UTC",
    coverage: tuple[Moment, Moment] | None = None,
    source: str = "memory",
    strict: bool = True,
) -> Loaded:
    """The log that ``data`` holds, in the canonical columns. Numbers and times may stand there as text, as in CSV.

    Args:
        data: Anything with an Arrow stream (``__arrow_c_stream__``). Other columns than a log's are left
            out: with a warning (``UnreadColumns``), where no column tells who made the changes or in which transaction.
        columns: Canonical name to the name there, for columns that are called otherwise. The entity type may be of
            several, joined by ``.``: ``{"entity_type": ["table_schema", "table_name"]}``; so may ``metadata``, as an
            object of them, which are then no ``fields``. None for an image that the
            log never recorded, ``{"before_snapshot": None}``, and for another column that it does not have: a log
            without ids (``{"id": None}``) must have its rows in the order of what happened, and they are numbered; it
            is refused where the rows of one entity run backwards in time. Of a log without a column for the row before,
            the image of a DELETE is the row as it was. ``{"operation": None}`` says that rows are states alone: the
            first of an entity is its INSERT, and none is deleted. An image may be a list of named values, as wal2json
            writes it: ``[{"name": "id", "value": 7}]``. A name may be a path into objects (of JSON Lines, or of
            structs), ``"source.table"``; and in JSON Lines into each object of a list, ``"items[].field"``, where each
            is a row.

            Beside canonical names it takes some of which those are made. Rows that say what a change did have a column
            ``diff``, with ``{"field": [old, new]}``; or ``old`` and ``new``, each with the values of what changed; or
            ``field``, ``old`` and ``new``, of one field a row (all are UPDATEs where no column tells an operation).
            An INSERT's new values and a DELETE's old ones are all that the row had, and may stand in ``diff`` alone.
            Where ``after_snapshot`` is given, too, ``old`` completes it to what was before. Rows that are versions have
            ``valid_from`` and ``valid_to``, or in ``valid_from`` alone a range, as PostgreSQL's ``[from,to)``.
            They come in any order, and are numbered by time. An end is no part of its version; one that is none is
            null, infinity or of the year 9999.
        operations: What the log's words for operations mean, where others than the usual ones are found, as texts or
            whole numbers: ``{"0": "INSERT", "1": "UPDATE", "2": "DELETE"}``. Case does not matter. ``UPSERT`` says that
            a row is an INSERT where its entity is not there, else an UPDATE; ``BEFORE`` that it shows what the UPDATE
            of its entity in the same transaction, at the same time, found, or the UPSERT that is the entity's next row
            there; where there is none (the key changed), it is a DELETE, and an UPDATE there without such a row an
            INSERT. Rows of a word that means None are no changes,
            and left out.
        fields: The columns that make the state, of a log that has a column for each field: their names, or ``"rest"``
            for all that are nothing else. They are the image after an INSERT, UPDATE or SNAPSHOT, and that before a
            DELETE, unless they are all null there. Values are exact: numbers keep their digits, dates and times are
            ISO 8601 (with a zone: in UTC), null is a JSON null, texts are texts. A mapping tells what texts stand for:
            ``{"total": "number", "paid": "boolean", "lines": "json", "note": "text"}``.
        entity_type: What all rows are of, such as ``"shop.orders"``, where no column tells.
        key: The fields of the images (or of ``fields``) that are the entity's key, where no column tells its id: a
            name, several, or a mapping of entity types to these. The id is then as ``read_debezium`` makes it, and keys
            that change are followed.
        unit: What numbers count that tell times, from 1970 on: ``"s"``, ``"ms"`` or ``"us"``.
        partitions: Leaf to partitioned table, for a log whose trigger wrote down the leaves' names: their changes then
            count under the table, and a row that moved between leaves stays one row. A column ``partition`` tells, too.
        zone: The time zone in which times without one are read.
        coverage: First and last instant that the log knows of; without it, the first and the last change's time.
        source: What to call the source.
        strict: Whether rows that are no changes are an error; else they are set aside in ``Loaded.malformed``.

    Raises:
        BadOption: ``data`` has no Arrow stream, or the options do not fit it, such as rows that are numbered and do not
            stand in the order of what happened.
        SchemaMismatch: columns are missing, mistyped, or null where they must not be; all of them are named. Or the log
            has none of the leaves that ``partitions`` names.
        BadTime: a time that cannot be held exactly.
        MalformedChange: rows that are no changes, by kind.

    >>> from_arrow(pa.table({"id": [1], "entity_type": ["a.b"], "entity_id": ["x"], "operation": ["c"],
    ...     "changed_at": pa.array([0], pa.timestamp("us", "UTC")), "before_snapshot": pa.nulls(1),
    ...     "after_snapshot": ['{"n": 1.10}']}))
    Loaded(1 changes of 1 entity types, 1970-01-01 00:00:00 to 1970-01-01 00:00:00 UTC, complete, from memory)
    """
    time_zone(zone)
    reader = _reader(data)
    what = source if source != "memory" else "the data"
    folds = checked(partitions)
    mapping = ColumnMapping(
        columns, operations or {}, fields=fields, entity_type=entity_type, key=key, partitions=folds, unit=unit
    )
    plan = Canonical(reader.schema, columns=mapping, zone=zone, what=what)
    batches = folding((plan.batch(piece) for batch in reader for piece in _pieces(batch)), folds, what)
    found = loaded(batches, mapping, zone=zone, coverage=coverage, source=source, strict=strict)
    mapping.warn_of_unread(what)
    return found


def read_parquet(
    path: str | Path | Sequence[str | Path],
    *,
    columns: Columns | None = None,
    operations: Mapping[str, str | None] | None = None,
    fields: str | Sequence[str] | Mapping[str, str] | None = None,
    entity_type: str | None = None,
    key: Key | None = None,
    unit: str | None = None,
    partitions: Mapping[str, str] | None = None,
    zone: str = "UTC",
    coverage: tuple[Moment, Moment] | None = None,
    strict: bool = True,
) -> Loaded:
    """The log that one or several Parquet files hold (literal paths, never patterns), in the canonical columns.

    Args:
        path: A file, or several with the same columns.
        columns: As in ``from_arrow``.
        operations: As in ``from_arrow``.
        fields: As in ``from_arrow``.
        entity_type: As in ``from_arrow``.
        key: As in ``from_arrow``.
        unit: As in ``from_arrow``.
        partitions: As in ``from_arrow``.
        zone: As in ``from_arrow``.
        coverage: As in ``from_arrow``.
        strict: As in ``from_arrow``.

    Raises:
        SchemaMismatch: a file is missing or no Parquet file, and what ``from_arrow`` raises.
    """
    time_zone(zone)
    paths, source = files(path, "Parquet")
    folds = checked(partitions)
    mapping = ColumnMapping(
        columns, operations or {}, fields=fields, entity_type=entity_type, key=key, partitions=folds, unit=unit
    )
    batches = folding(_parquet_batches(paths, mapping, zone), folds, source)
    found = loaded(batches, mapping, zone=zone, coverage=coverage, source=source, strict=strict)
    mapping.warn_of_unread(source)
    return found


def files(path: str | Path | Sequence[str | Path], kind: str) -> tuple[list[Path], str]:
    """The files that a loader is given, one or several, and what to call them."""
    given = [path] if isinstance(path, str | Path) else [*path]
    if url := next((one for one in given if isinstance(one, str) and "://" in one), None):
        raise BadOption(f"{kind} is read from files here, and {redact(url)} is none: bring it here first.")
    paths = [Path(one) for one in given]
    if not paths:
        raise BadOption(f"no {kind} file given.")
    return paths, str(paths[0]) if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"


def _parquet_batches(paths: Iterable[Path], mapping: ColumnMapping, zone: str) -> Iterator[pa.RecordBatch]:
    rows = 0
    for path in paths:
        try:
            with path.open("rb") as opened, pq.ParquetFile(opened) as parquet:
                plan = Canonical(parquet.schema_arrow, columns=mapping, zone=zone, what=str(path), rows=rows)
                for batch in parquet.iter_batches(batch_size=_BATCH_ROWS):
                    yield plan.batch(batch)
                rows = plan.rows
        except (pa.ArrowInvalid, OSError) as exc:
            raise SchemaMismatch(f"cannot read {path} as Parquet: {exc}") from exc


def loaded(
    batches: Iterable[pa.RecordBatch],
    mapping: ColumnMapping | None = None,
    *,
    zone: str,
    coverage: tuple[Moment, Moment] | None,
    source: str,
    strict: bool,
) -> Loaded:
    """What batches in the canonical columns hold; the arguments are those of ``from_arrow``.

    ``mapping`` has the options of which they were made.
    """
    changes = frame(batches, None if mapping is None else mapping.names)
    if mapping is not None:
        changes = _told(changes, mapping, source if source != "memory" else "the data")
    changes, aside = malformed.split(changes, strict=strict)
    facts = spanning(changes, LogFacts(source=source, zone=zone))
    if mapping is not None and mapping.numbered:
        check_row_order(changes, facts)
        if aside.is_empty():  # no row is lost where one that is no change was left out; rows set aside keep their place
            changes = changes.with_columns(id=pl.int_range(1, pl.len() + 1, dtype=pl.Int64))
    if mapping is not None and mapping.key is not None:
        facts = replace(facts, keys=dict(mapping.key.keys))
    if coverage is not None:
        facts = replace(facts, coverage=_covering(coverage, facts.coverage, zone))
    return Loaded(changes=changes, facts=facts, malformed=aside)


def _told(changes: pl.DataFrame, mapping: ColumnMapping, source: str) -> pl.DataFrame:
    """The changes that rows tell which are none by themselves: versions, differences, operations that others tell."""
    if mapping.key is not None:
        mapping.key.check(source)
    if mark("valid_to") in changes.columns:
        changes, mapping.doubt = as_changes(changes.rename({mark("valid_to"): "valid_to"}), source)
        return changes
    changes = resolved(changes)
    if len(changes.columns) > len(CHANGES):
        changes, mapping.partly = with_differences(changes, source, mapping.key)
    return changes


def _covering(given: tuple[Moment, Moment], held: Coverage, zone: str) -> Coverage:
    start, end = instant(given[0], zone), instant(given[1], zone)
    if start > end:
        raise BadOption(f"coverage= ends ({end.isoformat()}) before it starts ({start.isoformat()}).")
    if held.start is not None and held.end is not None and not (start <= held.start and held.end <= end):
        raise BadOption(
            f"coverage= is {start.isoformat()} to {end.isoformat()}, but the log has changes from "
            f"{held.start.isoformat()} to {held.end.isoformat()}. Give a coverage that holds them all."
        )
    return Coverage(start=start, end=end)


def _pieces(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """The batch in pieces of a bounded size; libraries give a whole frame as one."""
    rows = max(1, min(_BATCH_ROWS, batch.num_rows * _PIECE // max(1, batch.nbytes)))
    for first in range(0, batch.num_rows, rows):
        yield batch.slice(first, rows)


def _reader(data: ArrowStream) -> pa.RecordBatchReader:
    if not hasattr(data, "__arrow_c_stream__"):
        raise BadOption(f"a {type(data).__name__} has no Arrow stream (__arrow_c_stream__). {_instead(data)}")
    try:
        return pa.RecordBatchReader.from_stream(data)
    except (pa.ArrowInvalid, TypeError) as exc:
        raise SchemaMismatch(f"the {type(data).__name__} is not a table: {_wide(data) or exc}") from exc


def _wide(data: object) -> str:
    """Which columns of a Polars frame hold integers that Arrow has no type for, and what to do; or nothing."""
    columns = data.schema.items() if isinstance(data, pl.DataFrame) else ()
    wide = {name: str(dtype) for name, dtype in columns if "Int128" in str(dtype)}
    told = ", ".join(f"{name!r} is {dtype}" for name, dtype in wide.items())
    return f"{told}, which Arrow does not have. Cast it to Decimal first: pl.Decimal(38, 0)." if wide else ""


def _instead(data: object) -> str:
    """What to do with something that is no table."""
    if hasattr(data, "collect"):
        return "Collect it first."
    if isinstance(data, str | Path):
        return "read_parquet, read_csv, read_jsonl and read_debezium read files."
    return "Make a frame of it first, e.g. polars.DataFrame(...)."

"""The rows of one entity type that a checkpoint keeps: as they were recorded, and as the live states that they are.

A live state goes from the file's typed columns to those of the answer without passing through a document, wherever the
kind of the one and the type of the other say that this gives what the document would.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from auditlab.archive.decode import recorded_rows, stored_columns
from auditlab.archive.form import form_of
from auditlab.archive.kinds import ENTITY, told
from auditlab.archive.rows import decoded, dictionary_columns, opened
from auditlab.buckets.checkpoint import Kept
from auditlab.errors import ArchiveCorrupt
from auditlab.load.uuids import uuid_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from auditlab.archive.form import Form
    from auditlab.buckets.types import Signature, Types

__all__ = ["KEPT", "KeptRows", "kept_in"]

KEPT = b"auditlab.kept"
"""The key of a file's metadata under which stands what its log tells (``buckets.checkpoint.Kept``)."""


def kept_in(path: Path) -> Kept:
    """What the file of a checkpoint tells; it was proven.

    Raises:
        ArchiveCorrupt: it does not hold that.
    """
    try:
        return Kept.parse((pq.read_metadata(path).metadata or {})[KEPT])
    except (KeyError, ValueError) as exc:
        raise ArchiveCorrupt(f"{path}: does not hold what a checkpoint must ({exc}).") from exc


class _Read(NamedTuple):
    """The rows of the file; their entities' ids; and which are a plain row of an entity, its image in columns."""

    table: pa.Table
    form: Form | None
    ids: pl.Series
    plain: pl.Series


class KeptRows:
    """The rows in one file of a checkpoint, read once.

    Args:
        path: The file.
        prove: Raises where a file is not what it must be; called before a row of it is used.
    """

    def __init__(self, path: Path, prove: Callable[[Path], object]) -> None:
        self._path, self._prove = path, prove

    @cached_property
    def _read(self) -> _Read:
        self._prove(self._path)
        with opened(self._path) as parquet:
            repeating = dictionary_columns(parquet)
        with opened(self._path, read_dictionary=repeating) as parquet:
            table, form = parquet.read(), form_of(parquet.metadata.metadata)
        if form is None:
            rows = recorded_rows(decoded(table), None)
            return _Read(table, None, rows["entity_id"], pl.Series([False]).new_from_index(0, len(rows)))
        ids = recorded_rows(decoded(table.select(["entity_id", "entity_uuid"])), form, ("entity_id",))["entity_id"]
        plain = pl.Series(table.column("after_layout")).is_not_null() & ids.is_not_null()
        return _Read(table, form, ids, plain)

    def rows(self, touched: pl.Series | None = None) -> pl.DataFrame:
        """``CHANGES`` of some entities, by their ids, and all that are no plain rows; of all if None."""
        table, form, ids, plain = self._read
        if touched is not None:
            table = table.filter((ids.is_in(touched.implode()) | ~plain).to_arrow())
        return recorded_rows(decoded(table), form)

    def others(self, touched: pl.Series) -> pl.DataFrame:
        """``CHANGES`` of the rows that ``rows`` leaves out: one a live entity."""
        table, form, ids, plain = self._read
        return recorded_rows(decoded(table.filter((plain & ~ids.is_in(touched.implode())).to_arrow())), form)

    def live(self, types: Types, entity_type: str, touched: pl.Series, *, texts: bool) -> pl.DataFrame:
        """The entities that ``rows`` leaves out, whose one row is their state, in no promised order.

        Args:
            types: The fields of the type.
            entity_type: Its name.
            touched: As in ``rows``.
            texts: Whether ``state``, the recorded text, is wanted; else the typed fields ``f0``, ``f1``, ...

        Returns:
            entity_id (String), certain (Boolean, true), and what is wanted.
        """
        table, form, ids, plain = self._read
        own = (plain & ~ids.is_in(touched.implode())).fill_null(value=False)
        if not own.all():
            needed = stored_columns(form, ("after_snapshot",), table.column_names)
            table, ids = table.select(needed).filter(own.to_arrow()), ids.filter(own)
        if texts:
            state = recorded_rows(decoded(table), form, ("after_snapshot",))["after_snapshot"]
            columns = [state.alias("state")]
        else:
            places = {} if form is None else {one.name: place for place, one in enumerate(form.fields)}
            fields = types.fields(entity_type)
            columns = [
                _Cells(table, form, places.get(name), ids).typed(types, entity_type, name, wanted).alias(f"f{place}")
                for place, (name, wanted) in enumerate(fields.items())
            ]
        frame = pl.DataFrame([ids.alias("entity_id"), *columns])
        frame.insert_column(1, pl.repeat(value=True, n=len(ids), eager=True).alias("certain"))
        return frame


class _Cells(NamedTuple):
    """The cells of one field (its place in the form, None where the file has none of that name)."""

    table: pa.Table
    form: Form | None
    place: int | None
    ids: pl.Series

    def typed(self, types: Types, entity_type: str, name: str, signature: Signature) -> pl.Series:
        """The field's typed column, as its documents would give it."""
        if self.form is None or self.place is None:
            return types.column(entity_type, name, _nothing(len(self.ids))).typed
        field = self.form.fields[self.place]
        column = self.ids if field.kind in ENTITY else self._stored(field.column)
        if field.kind in ENTITY and (absent := self._absent()).any():
            column = column.zip_with(~absent, _nothing(len(self.ids)))
        straight = _straight(field.kind, column, signature)
        if straight is not None:
            return straight
        return types.column(entity_type, name, told(field.kind, column, column)).typed

    def _stored(self, name: str) -> pl.Series:
        return _texts(self.table.column(f"after.{name}"))

    def _absent(self) -> pl.Series:
        """The rows whose image has not got the field."""
        layouts = [] if self.form is None else self.form.layouts
        without = [number for number, one in enumerate(layouts) if self.place not in one.fields]
        return pl.Series(self.table.column("after_layout")).is_in(without)


def _straight(kind: str, column: pl.Series, signature: Signature) -> pl.Series | None:
    """The typed column of a type's field, from a file's column; None where only the texts tell it."""
    wanted, dtype, _, strings = signature
    if kind == "integer" or kind.startswith("decimal"):
        return column.cast(dtype) if wanted in ("int", "decimal") else None
    if (kind, wanted) in (("boolean", "bool"), ("time", "timestamptz")):
        return column.cast(dtype)
    if not strings or wanted != "text":
        return None
    if kind in ("text", "entity text"):
        return column
    return pl.Series(uuid_text(_of_16(column))) if kind == "uuid" else None


def _texts(column: pa.ChunkedArray) -> pl.Series:
    """A column as it is, or the texts of one with a dictionary."""
    if not pa.types.is_dictionary(column.type):
        return pl.Series(column)
    parts = [pl.Series(one.dictionary).gather(pl.Series(one.indices).cast(pl.UInt32)) for one in column.chunks]
    return pl.concat(parts) if parts else pl.Series([], dtype=pl.String)


def _of_16(column: pl.Series) -> pa.Array:
    return column.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(pa.binary(16))


def _nothing(rows: int) -> pl.Series:
    return pl.Series([None], dtype=pl.String).new_from_index(0, rows)

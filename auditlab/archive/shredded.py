"""Rows of data files by their columns, and the states that they are, typed without passing through a document.

A state goes from a file's typed columns to those of the answer wherever the kind of the one and the type of the other
say that this gives what the document would.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa

from auditlab.archive.decode import recorded_rows
from auditlab.archive.form import Form, form_of, schema_of
from auditlab.archive.kinds import ENTITY, told
from auditlab.archive.rows import decoded, dictionary_columns, opened
from auditlab.load.uuids import uuid_text

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from auditlab.buckets.types import Signature, Types

__all__ = ["Shredded", "shredded_in"]

_IDS = ["entity_id", "entity_uuid"]


@dataclass(frozen=True, slots=True)
class Shredded:
    """Rows of one form.

    Args:
        cells: Of the columns of a data file those that were asked for, texts without dictionaries.
        form: The form; without fields where all documents stand as text, as in files of the earlier formats.
        ids: String; the ids of the rows' entities.
    """

    cells: pl.DataFrame
    form: Form
    ids: pl.Series

    def __len__(self) -> int:
        return len(self.ids)

    def filter(self, own: pl.Series) -> Shredded:
        """Some of the rows, by a Boolean for each."""
        return self if own.all() else Shredded(self.cells.filter(own), self.form, self.ids.filter(own))

    def gather(self, rows: pl.Series) -> Shredded:
        """Some of the rows, by their numbers."""
        return Shredded(self.cells[rows], self.form, self.ids.gather(rows))

    def after(self) -> Shredded:
        """The rows with the columns of their after images alone."""
        own = (*_IDS, "after_snapshot", "after_layout")
        return Shredded(self.cells.select(*own, *(name for _, name in self.form.columns("after"))), self.form, self.ids)

    def recorded(self, columns: Collection[str]) -> pl.DataFrame:
        """Canonical columns of the rows, as they were recorded, of those whose stored columns are there."""
        whole, table = schema_of(self.form), self.cells.to_arrow(compat_level=pl.CompatLevel.oldest())
        table = table.cast(pa.schema([whole.field(name) for name in table.column_names]))
        return recorded_rows(table, self.form, columns)

    def column(self, place: int, side: str = "after") -> pl.Series:
        """The column of a field on a side, as it is stored; the entities' ids where those are its values."""
        field = self.form.fields[place]
        return self.ids if field.kind in ENTITY else self.cells[f"{side}.{field.column}"]

    def has(self, place: int, side: str = "after") -> pl.Series:
        """Boolean; which rows have an image on a side, by columns, with a field."""
        own = [number for number, one in enumerate(self.form.layouts) if place in one.fields]
        return self.cells[f"{side}_layout"].is_in(own).fill_null(value=False)

    def states(self, types: Types, entity_type: str, *, texts: bool) -> pl.DataFrame:
        """The after images as live states.

        Args:
            types: The fields of the type.
            entity_type: Its name.
            texts: Whether ``state``, the recorded text, is wanted; else the typed fields ``f0``, ``f1``, ...

        Returns:
            entity_id (String), certain (Boolean, true), and what is wanted, in the order of the rows.
        """
        if texts:
            columns = [self.recorded(("after_snapshot",))["after_snapshot"].alias("state")]
        else:
            columns = [
                self._typed(types, entity_type, name, wanted).alias(f"f{place}")
                for place, (name, wanted) in enumerate(types.fields(entity_type).items())
            ]
        frame = pl.DataFrame([self.ids.alias("entity_id"), *columns])
        return frame.insert_column(1, pl.repeat(value=True, n=len(self), eager=True).alias("certain"))

    def _typed(self, types: Types, entity_type: str, name: str, signature: Signature) -> pl.Series:
        """A field's typed column, as the documents would give it."""
        fields = self.form.fields
        place = next((place for place, field in enumerate(fields) if field.name == name), None)
        if place is None:
            return types.column(entity_type, name, _nothing(len(self))).typed
        kind, column = fields[place].kind, self.column(place)
        if kind in ENTITY and not (has := self.has(place)).all():
            column = column.zip_with(has, _nothing(len(self)))
        straight = _straight(kind, column, signature)
        return types.column(entity_type, name, told(kind, column, column)).typed if straight is None else straight


def shredded_in(path: Path, columns: Sequence[str], sides: Sequence[str]) -> Shredded:
    """The rows of a data file of any format that was proven.

    Args:
        path: The file.
        columns: Which are wanted of the columns that all files have; null where a file has not got one.
        sides: The images whose fields' columns are wanted: ``after``, ``before``.
    """
    with opened(path) as parquet:
        form, there = form_of(parquet.metadata.metadata) or Form(()), parquet.schema_arrow.names
        wanted = [*columns, *(name for side in sides for _, name in form.columns(side))]
        names = [name for name in wanted if name in there]
        repeating = [name for name in dictionary_columns(parquet) if name in names]
    with opened(path, read_dictionary=repeating) as parquet:
        table = parquet.read(names)
    every = schema_of(form)
    for name in wanted:
        if name not in there:
            table = table.append_column(every.field(name), pa.nulls(len(table), every.field(name).type))
    cells = pl.DataFrame([_texts(table.column(name)).alias(name) for name in wanted])
    ids = recorded_rows(decoded(table.select(_IDS)), form, ("entity_id",))["entity_id"]
    return Shredded(cells, form, ids)


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
    if column.null_count == len(column):
        return pl.Series(pa.nulls(len(column), pa.string() if pa.types.is_dictionary(column.type) else column.type))
    if not pa.types.is_dictionary(column.type):
        return pl.Series(column)
    parts = [pl.Series(one.dictionary).gather(pl.Series(one.indices).cast(pl.UInt32)) for one in column.chunks]
    return pl.concat(parts) if parts else pl.Series([], dtype=pl.String)


def _of_16(column: pl.Series) -> pa.Array:
    return column.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(pa.binary(16))


def _nothing(rows: int) -> pl.Series:
    return pl.Series([None], dtype=pl.String).new_from_index(0, rows)

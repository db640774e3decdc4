"""Any Arrow columns into the canonical ones of a change log: exact, or a named error; never a silent loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from auditlab.errors import BadOption, SchemaMismatch
from auditlab.load.operations import canonical_operations
from auditlab.load.source import ARROW_CHANGES
from auditlab.load.times import utc
from auditlab.load.uuids import is_uuid, uuid_text
from auditlab.schema import REQUIRED

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Canonical"]

_EXACT_FLOAT = 2**53
"""Whole numbers up to here are exact in a float64; pandas makes floats of integers beside nulls."""

_IDENTITIES = ("entity_id", "changed_by", "correlation_id")
_NEEDED = [name for name in REQUIRED if not name.endswith("_snapshot")]
"""Columns that no change log is without."""
_DOCUMENTS = ("before_snapshot", "after_snapshot", "changed_fields", "metadata")


class Canonical:
    """How the columns of one source become the canonical ones.

    Args:
        schema: The source's Arrow schema.
        columns: Canonical name to the source's name, for columns that are called otherwise there; None for one that it
            does not have.
        zone: The time zone in which times without one are read.
        what: What the source is, for messages.

    Raises:
        BadOption: ``columns`` names a column that a change log does not have, or one column of the source twice.
        SchemaMismatch: columns are missing or have a type that cannot be taken; all of them are named.
    """

    def __init__(
        self,
        schema: pa.Schema,
        *,
        columns: Mapping[str, str | None] | None = None,
        zone: str = "UTC",
        what: str = "the data",
    ) -> None:
        self.zone = zone
        names = source_names(columns)
        faults, present = [], {}
        for name, theirs in names.items():
            places = schema.get_all_field_indices(theirs)
            if len(places) > 1:
                faults.append(f"{theirs!r}: there are {len(places)} columns of that name")
            elif places:
                fault = _fault(name, schema.field(places[0]).type)
                if fault and name == theirs == "partition":  # some number of a queue's, say
                    continue
                present[name] = places[0]
                faults += [f"{_label(name, theirs)}: {fault}"] if fault else []
            elif name in REQUIRED or name != theirs:
                faults.append(f"{_label(name, theirs)}: missing")
        if faults:
            raise SchemaMismatch(
                f"{what} is not a change log: {'; '.join(faults)}. It has the columns: {', '.join(schema.names)}. "
                "Columns with other names are given by columns={'canonical name': 'name there'}; one of another type "
                "is cast first; an image that this log never recorded is told by columns={'before_snapshot': None}."
            )
        self._places = present

    def batch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The same rows in the canonical columns (``source.ARROW_CHANGES``).

        Raises:
            BadTime: a time that microseconds in UTC cannot hold exactly; the message names the row.
            SchemaMismatch: a number that does not fit 64 bits, or a float that is no whole number.
            MalformedChange: an operation that is none.
        """
        rows = batch.num_rows
        ids = self._whole(batch, "id")
        arrays: list[pa.Array] = []
        for field in ARROW_CHANGES:
            place = self._places.get(field.name)
            if place is None:
                arrays.append(pa.nulls(rows, field.type))
            elif field.name == "id":
                arrays.append(ids)
            elif pa.types.is_timestamp(field.type):
                arrays.append(utc(_plain(batch.column(place)), zone=self.zone, name=field.name, ids=ids))
            elif pa.types.is_integer(field.type):
                arrays.append(self._whole(batch, field.name))
            elif field.name == "operation":
                arrays.append(canonical_operations(_text(batch.column(place)), ids))
            else:
                arrays.append(_text(batch.column(place)))
        return pa.RecordBatch.from_arrays(arrays, schema=ARROW_CHANGES)

    def _whole(self, batch: pa.RecordBatch, name: str) -> pa.Array:
        column = _plain(batch.column(self._places[name]))
        if pa.types.is_floating(column.type):
            column = pc.if_else(pc.is_nan(column), None, column)
            largest = pc.max(pc.abs(column)).as_py()
            if largest is not None and largest > _EXACT_FLOAT:
                raise SchemaMismatch(
                    f"{name}: is {column.type} and holds {largest:.0f}, which a float cannot tell from its neighbours. "
                    "Give whole numbers (in pandas: dtype 'Int64')."
                )
        try:
            return column.cast(pa.int64(), safe=True)
        except pa.ArrowInvalid as exc:
            raise SchemaMismatch(f"{name}: a value does not fit a whole number of 64 bits: {exc}") from exc


def source_names(columns: Mapping[str, str | None] | None) -> dict[str, str]:
    """Every canonical column that the source has, and what it is called there; those given as None it has not.

    Raises:
        BadOption: a name that is no column of a change log, one column of the source given twice, or a column that a
            change log must have given as None.
    """
    given = dict(columns or {})
    needed = [name for name, theirs in given.items() if theirs is None and name in _NEEDED]
    if needed:
        raise BadOption(
            f"columns= says that there is no {', '.join(map(repr, needed))}, which every change log has. Give None for "
            "images and for what else this log never recorded."
        )
    unknown = [name for name in given if name not in ARROW_CHANGES.names]
    if unknown:
        raise BadOption(
            f"columns= maps {', '.join(map(repr, unknown))}, which a change log does not have. "
            f"Its columns are: {', '.join(ARROW_CHANGES.names)}."
        )
    named = [theirs for theirs in given.values() if theirs is not None]
    twice = sorted({theirs for theirs in named if named.count(theirs) > 1})
    if twice:
        raise BadOption(f"columns= gives {', '.join(map(repr, twice))} to more than one column of the log.")
    found = {name: given.get(name, name) for name in ARROW_CHANGES.names if name in given or name not in named}
    return {name: theirs for name, theirs in found.items() if theirs is not None}


def _label(name: str, theirs: str) -> str:
    return name if name == theirs else f"{name} (from {theirs!r})"


def _storage(dtype: pa.DataType) -> pa.DataType:
    if isinstance(dtype, pa.BaseExtensionType):
        return dtype.storage_type
    if pa.types.is_dictionary(dtype):
        return _storage(dtype.value_type)
    if pa.types.is_run_end_encoded(dtype):
        return _storage(dtype.value_type)
    return dtype


def _is_text(dtype: pa.DataType) -> bool:
    return bool(pa.types.is_string(dtype) or pa.types.is_large_string(dtype) or pa.types.is_string_view(dtype))


def _fault(name: str, dtype: pa.DataType) -> str:
    """What is wrong with a source column's type, or nothing."""
    stored, wanted = _storage(dtype), ARROW_CHANGES.field(name).type
    if pa.types.is_null(stored):
        return ""
    if pa.types.is_integer(wanted):
        whole = pa.types.is_integer(stored) or pa.types.is_floating(stored)
        fits = whole or (pa.types.is_decimal(stored) and stored.scale == 0)
        return "" if fits else f"is {dtype}, want a whole number"
    if pa.types.is_timestamp(wanted):
        cast = " (in Polars: .str.to_datetime())" if _is_text(stored) else ""
        return "" if pa.types.is_timestamp(stored) else f"is {dtype}, want a timestamp{cast}"
    if _is_text(stored):
        return ""
    if name in _IDENTITIES and (is_uuid(dtype) or pa.types.is_integer(stored)):
        return ""
    written = " (in Polars: .struct.json_encode())" if pa.types.is_struct(stored) else ""
    return f"is {dtype}, want {'JSON text' + written if name in _DOCUMENTS else 'text'}"


def _plain(column: pa.Array) -> pa.Array:
    if isinstance(column.type, pa.BaseExtensionType):
        return _plain(column.storage)
    if pa.types.is_dictionary(column.type):
        words = _plain(column.dictionary)
        words = words.cast(pa.string()) if _is_text(words.type) else words  # there is no way to take from a string_view
        return words.take(column.indices)
    if pa.types.is_run_end_encoded(column.type):
        return _plain(pc.run_end_decode(column))
    return column


def _text(column: pa.Array) -> pa.Array:
    if is_uuid(column.type):
        return uuid_text(column)
    return _plain(column).cast(pa.string())

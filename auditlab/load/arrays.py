"""Arrow columns of any encoding (dictionaries, runs, extension types) as plain ones."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from auditlab.load.uuids import is_uuid, uuid_text

__all__ = ["as_text", "filtered", "is_text", "plain", "stored"]


def stored(dtype: pa.DataType) -> pa.DataType:
    """The type of a column's values, whatever encodes them."""
    if isinstance(dtype, pa.BaseExtensionType):
        return dtype.storage_type
    if pa.types.is_dictionary(dtype):
        return stored(dtype.value_type)
    if pa.types.is_run_end_encoded(dtype):
        return stored(dtype.value_type)
    return dtype


def is_text(dtype: pa.DataType) -> bool:
    """Whether it is one of Arrow's types of text."""
    return bool(pa.types.is_string(dtype) or pa.types.is_large_string(dtype) or pa.types.is_string_view(dtype))


def plain(column: pa.Array) -> pa.Array:
    """The values of a column, a place each."""
    if isinstance(column.type, pa.BaseExtensionType):
        return plain(column.storage)
    if pa.types.is_dictionary(column.type):
        words = plain(column.dictionary)
        words = words.cast(pa.string()) if is_text(words.type) else words  # there is no way to take from a string_view
        return words.take(column.indices)
    if pa.types.is_run_end_encoded(column.type):
        return plain(pc.run_end_decode(column))
    return column


def as_text(column: pa.Array) -> pa.Array:
    """The values as text: uuids in their canonical form, whole numbers in digits."""
    if is_uuid(column.type):
        return uuid_text(column)
    return plain(column).cast(pa.string())


def filtered(batch: pa.RecordBatch, mask: pa.Array) -> pa.RecordBatch:
    """The rows of which the mask is true."""

    def own(column: pa.Array) -> pa.Array:
        viewed = pa.types.is_string_view(column.type) or pa.types.is_binary_view(column.type)
        if viewed:  # there is no way to take from one
            column = column.cast(pa.large_string() if pa.types.is_string_view(column.type) else pa.large_binary())
        return (plain(column) if pa.types.is_run_end_encoded(column.type) else column).filter(mask)

    return pa.RecordBatch.from_arrays([own(column) for column in batch.columns], names=batch.schema.names)

"""Uuids of 16 bytes as their text, and back, a column at a time."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["is_uuid", "uuid_bytes", "uuid_text"]

_BYTES = 16
_TEXT = 36
_HYPHENS = (8, 13, 18, 23)
_DIGITS = np.array([place for place in range(_TEXT) if place not in _HYPHENS])
_HEX = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)
_PAIRS = np.frombuffer(bytes(range(256)).hex().encode(), dtype=np.uint16)
"""The two digits of each byte."""
_GROUPS = tuple(zip((0, *(place + 1 for place in _HYPHENS)), (*_HYPHENS, _TEXT), strict=True))
"""Where the groups of digits begin and end."""
_NO_DIGIT = 255
_VALUES = np.full(256, _NO_DIGIT, dtype=np.uint8)
_VALUES[_HEX] = np.arange(16, dtype=np.uint8)


def is_uuid(dtype: pa.DataType) -> bool:
    """Whether a column holds uuids as 16 bytes: the ``arrow.uuid`` extension, or plain 16-byte values."""
    if isinstance(dtype, pa.BaseExtensionType):
        return bool(dtype.extension_name == "arrow.uuid")
    return bool(pa.types.is_fixed_size_binary(dtype) and dtype.byte_width == _BYTES)


def uuid_text(column: pa.Array) -> pa.Array:
    """The canonical text of a column of 16-byte uuids; nulls stay null.

    >>> import uuid
    >>> uuid_text(pa.array([uuid.UUID(int=255).bytes, None], pa.binary(16))).to_pylist()
    ['00000000-0000-0000-0000-0000000000ff', None]
    """
    stored = column.storage if isinstance(column, pa.ExtensionArray) else column
    if not len(stored):
        return pa.array([], pa.string())
    raw = np.frombuffer(stored.buffers()[1], dtype=np.uint8)
    raw = raw[stored.offset * _BYTES : (stored.offset + len(stored)) * _BYTES].reshape(-1, _BYTES)
    digits = _PAIRS[raw].view(np.uint8)  # groups are copied twice as fast as single digits
    text = np.full((len(stored), _TEXT), ord("-"), dtype=np.uint8)
    for place, end in _GROUPS:
        text[:, place:end] = digits[:, : end - place]
        digits = digits[:, end - place :]
    offsets = np.arange(0, (len(stored) + 1) * _TEXT, _TEXT, dtype=np.int32)
    valid = None
    if stored.null_count:
        valid = pa.array(np.asarray(stored.is_valid())).buffers()[1]
    buffers = [valid, pa.py_buffer(offsets), pa.py_buffer(text.reshape(-1))]
    return pa.Array.from_buffers(pa.string(), len(stored), buffers, null_count=stored.null_count)


def uuid_bytes(column: pa.Array) -> pa.Array:
    """The 16 bytes of a column of uuids in their canonical text; null for null, and for every other text.

    >>> uuid_bytes(pa.array(["00000000-0000-0000-0000-0000000000ff", "1", None])).to_pylist()[0].hex()
    '000000000000000000000000000000ff'
    """
    column = column.cast(pa.large_string())
    fits = pc.fill_null(pc.equal(pc.binary_length(column), _TEXT), fill_value=False)
    own = column.filter(fits)
    if not len(own):
        return pa.nulls(len(column), pa.binary(_BYTES))
    start = np.frombuffer(own.buffers()[1], dtype=np.int64)[own.offset]
    text = np.frombuffer(own.buffers()[2], dtype=np.uint8)[start : start + len(own) * _TEXT].reshape(-1, _TEXT)
    high, low = _VALUES[text[:, _DIGITS[0::2]]], _VALUES[text[:, _DIGITS[1::2]]]
    sound = (text[:, _HYPHENS] == ord("-")).all(axis=1) & (np.maximum(high, low) != _NO_DIGIT).all(axis=1)
    raw = np.zeros((len(column), _BYTES), dtype=np.uint8)
    mask = np.asarray(fits).copy()
    raw[mask] = (high << 4) | (low & 15)
    mask[mask] = sound
    valid = pa.array(mask).buffers()[1]
    return pa.Array.from_buffers(pa.binary(_BYTES), len(column), [valid, pa.py_buffer(raw.reshape(-1))])

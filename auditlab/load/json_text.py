"""The values of Arrow columns as JSON text: exactly, or not at all."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from auditlab.load.arrays import is_text, plain, stored
from auditlab.load.uuids import is_uuid, uuid_text

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["KINDS", "is_json", "json_text", "named_values", "no_json", "read_as"]

_ESCAPED = r'["\\\x00-\x1f]'
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_NOT_FINITE = {"nan": '"NaN"', "inf": '"Infinity"', "-inf": '"-Infinity"'}
"""Numbers that JSON has no number for, as PostgreSQL writes them in a document."""

_encoded = msgspec.json.Encoder().encode
_raw = msgspec.json.Decoder(msgspec.Raw).decode
_members = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode


def _number(text: str) -> str | None:
    if _NUMBER.fullmatch(text):
        return text
    return f'"{text}"' if f'"{text}"' in _NOT_FINITE.values() else None


def _boolean(text: str) -> str | None:
    return {"t": "true", "true": "true", "f": "false", "false": "false"}.get(text.lower())


def _json(text: str) -> str | None:
    try:
        return bytes(_raw(text)).decode()
    except (msgspec.MsgspecError, RecursionError):
        return None


KINDS: dict[str, Callable[[str], str | None]] = {
    "text": lambda text: _encoded(text).decode(),
    "number": _number,
    "boolean": _boolean,
    "json": _json,
}
"""What a text may stand for, and the JSON text of that; None for a text that stands for no such value."""


def read_as(kind: str, column: pa.Array) -> tuple[pa.Array, pa.Array]:
    """The texts of a column as the JSON of what they stand for, null for null; and which cannot be read so."""
    coded = column.dictionary_encode()
    words = coded.dictionary.to_pylist()
    told = [None if word is None else KINDS[kind](word) for word in words]
    odd = pa.array([word is not None and text is None for word, text in zip(words, told, strict=True)], pa.bool_())
    return pa.array(told, pa.string()).take(coded.indices), pc.fill_null(odd.take(coded.indices), fill_value=False)


def no_json(dtype: pa.DataType) -> str:
    """What keeps values of a type from being told in JSON, and what to do; nothing where they can be."""
    if isinstance(dtype, pa.BaseExtensionType):
        inside = f"is {dtype} inside of another value, which is not looked at: write the whole as one JSON text first"
        return "" if is_uuid(dtype) else inside if is_json(dtype) else no_json(dtype.storage_type)
    dtype = stored(dtype)
    if pa.types.is_struct(dtype):
        return next(filter(None, (no_json(field.type) for field in dtype)), "")
    if _is_list(dtype):
        return no_json(dtype.value_type)
    if any(a(dtype) for a in _PLAIN) or is_text(dtype):
        return ""
    bytes_ = "binary" in str(dtype)
    return f"is {dtype}, which JSON has no value for: make a text of it first" + (
        " (in Polars: .bin.encode('base64') or 'hex')" if bytes_ else ""
    )


def is_json(dtype: pa.DataType) -> bool:
    """Whether a column's texts are declared to be JSON."""
    return isinstance(dtype, pa.BaseExtensionType) and dtype.extension_name == "arrow.json"


_PLAIN = (
    pa.types.is_null,
    pa.types.is_boolean,
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_decimal,
    pa.types.is_date,
    pa.types.is_time,
    pa.types.is_timestamp,
)


def _is_list(dtype: pa.DataType) -> bool:
    return bool(pa.types.is_list(dtype) or pa.types.is_large_list(dtype) or pa.types.is_fixed_size_list(dtype))


def json_text(column: pa.Array) -> pa.Array:
    """Each value as JSON text, ``null`` where there is none.

    Numbers keep their digits: a decimal those of its scale, a float those that tell it from its neighbours; NaN and
    infinity are texts. Dates and times are texts in ISO 8601; a time with a zone is written in UTC (``+00:00``).

    Args:
        column: Of a type that ``no_json`` finds nothing wrong with.

    >>> json_text(pa.array([1.5, None])).to_pylist()
    ['1.5', 'null']
    """
    if isinstance(column.type, pa.BaseExtensionType) and is_uuid(column.type):
        told = _quoted(uuid_text(column))
    else:
        column = plain(column)
        told = _nested(column) if _is_list(column.type) or pa.types.is_struct(column.type) else _scalar(column)
    return pc.fill_null(told, "null")


def named_values(texts: pa.Array) -> pa.Array:
    """Documents, those that are lists of named values as the objects that these are, values to the letter.

    Decoders of a database's log write a row so: ``[{"name": "id", "type": "integer", "value": 7}]``.
    """
    lists = pc.fill_null(pc.starts_with(texts, "["), fill_value=False)
    if not pc.any(lists).as_py():
        return texts
    return pc.replace_with_mask(texts, lists, pa.array(map(_object, texts.filter(lists).to_pylist()), pa.string()))


def _object(text: str) -> str:
    """The object that a list of named values is; the text itself where it is none."""
    try:
        members = _members(text)
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        return text
    if not members or not all(one.keys() >= {"name", "value"} for one in members):
        return text
    names = [bytes(one["name"]).decode() for one in members]
    if len({*names}) < len(names) or not all(name.startswith('"') for name in names):
        return text
    values = (bytes(one["value"]).decode() for one in members)
    return f"{{{', '.join(f'{name}: {value}' for name, value in zip(names, values, strict=True))}}}"


def _scalar(column: pa.Array) -> pa.Array:
    dtype = column.type
    if is_text(dtype):
        return _quoted(column.cast(pa.string()))
    if pa.types.is_timestamp(dtype):
        return _iso(column)
    if pa.types.is_date(dtype):
        return _quoted(column.cast(pa.date32()).cast(pa.string()))
    if pa.types.is_time(dtype):
        return _quoted(_without_idle_zeros(column.cast(pa.string())))
    told = column.cast(pa.string())
    if pa.types.is_decimal(dtype):
        return _replaced(told, "E", lambda text: f"{Decimal(text):f}")
    return _replaced(told, "n", lambda text: _NOT_FINITE[text]) if pa.types.is_floating(dtype) else told


def _replaced(texts: pa.Array, mark: str, replace: Callable[[str], str]) -> pa.Array:
    """The texts, those with the mark replaced."""
    odd = pc.fill_null(pc.match_substring(texts, mark), fill_value=False)
    if not pc.any(odd).as_py():
        return texts
    return pc.replace_with_mask(texts, odd, pa.array(map(replace, texts.filter(odd).to_pylist()), pa.string()))


def _quoted(texts: pa.Array) -> pa.Array:
    odd = pc.fill_null(pc.match_substring_regex(texts, _ESCAPED), fill_value=False)
    told = pc.binary_join_element_wise('"', texts, '"', "")
    if not pc.any(odd).as_py():
        return told
    return pc.replace_with_mask(told, odd, pa.array(map(KINDS["text"], texts.filter(odd).to_pylist()), pa.string()))


def _iso(column: pa.Array) -> pa.Array:
    zoned = column.type.tz is not None
    column = column.cast(pa.timestamp(column.type.unit, "UTC")) if zoned else column
    told = pc.replace_substring(column.cast(pa.string()), " ", "T", max_replacements=1)
    told = _without_idle_zeros(pc.utf8_rtrim(told, "Z"))
    return _quoted(pc.binary_join_element_wise(told, "+00:00" if zoned else "", ""))


def _without_idle_zeros(texts: pa.Array) -> pa.Array:
    return pc.replace_substring_regex(pc.replace_substring_regex(texts, r"(\.[0-9]*?)0+$", r"\1"), r"\.$", "")


def _nested(column: pa.Array) -> pa.Array:
    """Lists as arrays, structs as objects."""
    if pa.types.is_struct(column.type):
        parts: list[pa.Array | str] = []
        for place, (field, values) in enumerate(zip(column.type, column.flatten(), strict=True)):
            parts += [f"{', ' if place else ''}{json.dumps(field.name, ensure_ascii=False)}: ", json_text(values)]
        told = pc.binary_join_element_wise("{", *parts, "}", "") if parts else pa.array(["{}"] * len(column))
    else:
        texts = json_text(column.flatten())
        sizes = pc.fill_null(pc.list_value_length(column), 0).cast(pa.int32())
        offsets = pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(sizes)])
        joined = pc.binary_join(pa.ListArray.from_arrays(offsets, texts), ", ")
        told = pc.binary_join_element_wise("[", joined, "]", "")
    return pc.if_else(column.is_valid(), told, None)

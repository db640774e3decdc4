"""The lines of JSON Lines as the columns that a log's options name."""

from __future__ import annotations

import json
from collections import Counter
from io import BufferedReader
from itertools import islice
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa

from auditlab.errors import SchemaMismatch
from auditlab.load.fields import NoSuchValue
from auditlab.schema import REQUIRED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from auditlab.load.columns import ColumnMapping

__all__ = ["MADE", "json_lines"]

_BLOCK = 8 << 20
"""Bytes that are looked at at a time."""
MADE = ("\0state", "\0told")
"""Columns that are made of a line whose fields are columns: its state, and whether that says anything."""
_SHOWN = 50
"""How many names of columns that are not read are kept, for a message."""


def json_lines(path: Path, mapping: ColumnMapping) -> pa.Table:
    """The columns that the mapping names as texts, none that no line has, and what else there is as columns of nothing.

    Behind them stand those in ``MADE``, where fields make the images.
    """
    seen: set[str] = set()
    try:
        with pa.input_stream(str(path), compression="detect") as opened:
            tables = list(_objects(BufferedReader(opened), mapping, path, seen))
    except OSError as exc:
        raise SchemaMismatch(f"cannot read {path} as JSON Lines: {exc}") from exc
    missing = [] if mapping.fields is None or not tables else [one for one in mapping.fields.kinds if one not in seen]
    if missing:
        raise SchemaMismatch(f"{path}: no line has {', '.join(map(repr, missing))}, which fields= names.")
    table = pa.concat_tables(tables, promote_options="default") if tables else pa.table({})
    names = [name for name in table.column_names if name not in MADE]
    return table.select([*names, *(name for name in MADE if name in table.column_names)])


def _objects(opened: BufferedReader, mapping: ColumnMapping, path: Path, seen: set[str]) -> Iterator[pa.Table]:
    decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
    names, values = frozenset(mapping.read), mapping.values
    number = 0
    others: dict[str, None] = {}
    while lines := opened.readlines(_BLOCK):
        rows = []
        states: list[tuple[str, bool]] = []
        for line in lines:
            number += 1
            if not line.strip():
                continue
            try:
                told = decoder.decode(line)
                _once(told, line, names, mapping)
                row = {
                    name: bytes(raw).decode() if name in values else _text(raw)
                    for name, raw in told.items()
                    if name in names
                }
                if mapping.fields is not None:
                    states.append(mapping.fields.state(told))
                    seen |= told.keys() & mapping.fields.kinds.keys()
            except _Twice as exc:
                raise SchemaMismatch(
                    f"{path}, line {number}: names {str(exc)!r} twice, and which of the two counts is not told. "
                    "Write each name once."
                ) from exc
            except NoSuchValue as exc:
                raise SchemaMismatch(f"{path}, line {number}: {exc}") from exc
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
                raise SchemaMismatch(f"{path}, line {number}: is no JSON object: {exc}") from exc
            if not row:
                raise SchemaMismatch(f"{path}, line {number}: {_nothing_known(told, mapping)}")
            rows.append(row)
            if len(others) < _SHOWN:
                others |= dict.fromkeys(islice((name for name in told if name not in names), _SHOWN))
        there = sorted({name for row in rows for name in row})
        texts = {name: pa.array([row.get(name) for row in rows], pa.string()) for name in there}
        nothing = {name: pa.nulls(len(rows)) for name in others}
        columns = [pa.array(column) for column in zip(*states, strict=True)]
        made = dict(zip(MADE, columns, strict=True)) if states else {}
        yield pa.table(texts | nothing | made)


def _nothing_known(told: Mapping[str, msgspec.Raw], mapping: ColumnMapping) -> str:
    """What is wrong with a line that has no column of a change log, in words."""
    if told.keys() >= {"op", "source"} or told.keys() == {"schema", "payload"}:
        return "is an event of Debezium's: read_debezium reads those."
    needed = [one for name in REQUIRED for one in mapping.names.get(name, ())]
    more = [one for name, theirs in mapping.names.items() if name not in REQUIRED for one in theirs]
    return (
        f"has none of {', '.join(needed)}, which a change log needs, nor of {', '.join(more)}, which it may have. It "
        f"has {', '.join(islice(told, _SHOWN)) or 'nothing'}: columns with other names are given by "
        "columns={'canonical name': 'name there'}."
    )


class _Twice(Exception):
    """A name that stands twice in a line."""


def _once(told: Mapping[str, msgspec.Raw], line: bytes, names: AbstractSet[str], mapping: ColumnMapping) -> None:
    """Refuse a line that has a name twice that is read: the decoder keeps the last and says nothing."""
    size = sum(len(name.encode("utf-8", "surrogatepass")) + len(bytes(raw)) for name, raw in told.items())
    marks = len(line.strip()) - size - 2  # what is left are quotation marks, colons, commas and blanks
    if marks in (4 * len(told) - 1, 6 * len(told) - 2):
        return

    def look(pairs: list[tuple[str, object]]) -> dict[str, object]:
        count = Counter(name for name, _ in pairs)
        twice.append(next((name for name in count if count[name] > 1 and name in read), None))
        return {}

    read = names if mapping.fields is None else names | mapping.fields.among(told).keys()
    twice: list[str | None] = []
    json.loads(line, object_pairs_hook=look, strict=False, parse_int=str, parse_float=str)
    if twice[-1] is not None:  # the outermost object is the last to be whole
        raise _Twice(twice[-1])


def _text(raw: msgspec.Raw) -> str | None:
    """A JSON value: a text as the text that it tells, null as nothing, all else as it is written."""
    written = bytes(raw)
    if written[:1] == b'"':
        return msgspec.json.decode(written, type=str)
    return None if written == b"null" else written.decode()

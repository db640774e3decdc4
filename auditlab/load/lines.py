"""The lines of JSON Lines as the columns that a log's options name."""

from __future__ import annotations

import re
from io import BufferedReader
from itertools import islice
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa

from auditlab.errors import SchemaMismatch
from auditlab.load.fields import NoSuchValue
from auditlab.load.nested import Members, NamedTwice, NoRows, repeated
from auditlab.remedies import recognised
from auditlab.schema import REQUIRED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from auditlab.load.columns import ColumnMapping

__all__ = ["MADE", "json_lines"]

_BLOCK = 8 << 20
"""Bytes that are looked at at a time."""
MADE = ("\0state", "\0told")
"""Columns that are made of a line whose fields are columns: its state, and whether that says anything."""
_WAL = re.compile(rb'\[\s*\{\s*"kind"\s*:')
_SHOWN = 50
"""How many names of columns that are not read are kept, for a message."""


def json_lines(path: Path, mapping: ColumnMapping) -> pa.Table:
    """The columns that the mapping names as texts, none that no line has, and what else there is as columns of nothing.

    Behind them stand those in ``MADE``, where fields make the images.
    """
    seen: set[str] = set()
    try:
        with pa.input_stream(str(path), compression="detect") as opened:
            reading = _Lines(mapping)
            tables = list(_objects(BufferedReader(opened), reading, path, seen))
    except OSError as exc:
        raise SchemaMismatch(f"cannot read {path} as JSON Lines: {exc}") from exc
    if tables and reading.lists and not any(table.num_rows for table in tables):
        lists = ", ".join(map(repr, reading.lists))
        raise SchemaMismatch(f"{path}: no line has anything in the list {lists}, of which columns= makes rows.")
    missing = [] if mapping.fields is None or not tables else [one for one in mapping.fields.kinds if one not in seen]
    if missing:
        raise SchemaMismatch(f"{path}: no line has {', '.join(map(repr, missing))}, which fields= names.")
    table = pa.concat_tables(tables, promote_options="default") if tables else pa.table({})
    names = [name for name in table.column_names if name not in MADE]
    return table.select([*names, *(name for name in MADE if name in table.column_names)])


def _objects(opened: BufferedReader, reading: _Lines, path: Path, seen: set[str]) -> Iterator[pa.Table]:
    number = 0
    others: dict[str, None] = {}
    while lines := opened.readlines(_BLOCK):
        rows: list[dict[str, str | None]] = []
        states: list[tuple[str, bool]] = []
        for line in lines:
            number += 1
            if not line.strip():
                continue
            try:
                told, found, state = reading.read(line)
            except NamedTwice as exc:
                raise SchemaMismatch(
                    f"{path}, line {number}: names {str(exc)!r} twice, and which of the two counts is not told. "
                    "Write each name once."
                ) from exc
            except (NoSuchValue, NoRows) as exc:
                raise SchemaMismatch(f"{path}, line {number}: {exc}") from exc
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
                told_as = recognised(line.decode("utf-8", "replace").strip())
                raise SchemaMismatch(f"{path}, line {number}: is no JSON object: {exc}{told_as}") from exc
            if not all(found):
                raise SchemaMismatch(f"{path}, line {number}: {reading.nothing_known(told)}")
            rows += found
            if state is not None:
                states += [state] * len(found)
                seen |= told & reading.fields
            if len(others) < _SHOWN:
                others |= dict.fromkeys(islice((name for name in told if name not in reading.names), _SHOWN))
        there = sorted({name for row in rows for name in row})
        texts = {name: pa.array([row.get(name) for row in rows], pa.string()) for name in there}
        nothing = {name: pa.nulls(len(rows)) for name in others}
        columns = [pa.array(column) for column in zip(*states, strict=True)]
        made = dict(zip(MADE, columns, strict=True)) if states else {}
        yield pa.table(texts | nothing | made)


class _Lines:
    """How the lines of a file are read.

    Args:
        mapping: What the options say of the columns.
    """

    def __init__(self, mapping: ColumnMapping) -> None:
        self._decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
        self.names = frozenset(mapping.read)
        self.fields = frozenset() if mapping.fields is None else mapping.fields.kinds.keys()
        self._mapping, self._values = mapping, mapping.values
        self._members = Members(self.names)
        self.lists = self._members.lists

    def read(self, line: bytes) -> tuple[AbstractSet[str], list[dict[str, str | None]], tuple[str, bool] | None]:
        """The members that a line has (but for those that only hold what paths name), its rows, and its state."""
        told = self._decode(line)
        if "change" in told and "change" not in self.names and not self.lists and _WAL.match(bytes(told["change"])):
            raise NoRows("is a transaction of wal2json's format 1: write them a change a line, by format-version=2.")
        fields = self._mapping.fields
        if twice := repeated(told, line):
            twice &= self.names if fields is None else self.names | fields.among(told).keys()
        if twice:
            raise NamedTwice(min(twice))
        rows: list[dict[str, str | None]] = [
            {
                name: bytes(raw).decode() if name in self._values else _text(raw)
                for name, raw in row.items()
                if name in self.names
            }
            for row in (self._members.rows(told) if self._members.paths else (told,))
        ]
        if heads := self._members.paths and self._members.heads(told):
            told = {name: raw for name, raw in told.items() if name not in heads}
        return told.keys(), rows, None if fields is None else fields.state(told)

    def nothing_known(self, told: AbstractSet[str]) -> str:
        """What is wrong with a line that has no column of a change log, in words."""
        if told >= {"op", "source"} or told == {"schema", "payload"}:
            return "is an event of Debezium's: read_debezium reads those."
        names = self._mapping.names
        needed = [one for name in REQUIRED for one in names.get(name, ())]
        more = [one for name, theirs in names.items() if name not in REQUIRED for one in theirs]
        return (
            f"has none of {', '.join(needed)}, which a change log needs, nor of {', '.join(more)}, which it may have. "
            f"It has {', '.join(islice(told, _SHOWN)) or 'nothing'}: columns with other names are given by "
            "columns={'canonical name': 'name there'}, those inside of an object as 'object.name'."
        )


def _text(raw: msgspec.Raw) -> str | None:
    """A JSON value: a text as the text that it tells, null as nothing, all else as it is written."""
    written = bytes(raw)
    if written[:1] == b'"':
        return msgspec.json.decode(written, type=str)
    return None if written == b"null" else written.decode()

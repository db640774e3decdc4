"""Any Arrow columns into the canonical ones of a change log: exact, or a named error; never a silent loss."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from auditlab.errors import SchemaMismatch
from auditlab.load import versions
from auditlab.load.arrays import as_text, filtered, is_text, plain, stored
from auditlab.load.columns import BESIDE, ColumnMapping, mark
from auditlab.load.fields import images, several
from auditlab.load.json_text import is_json, json_text, named_values, no_json
from auditlab.load.nested import Structs
from auditlab.load.operations import ENDING, NONE, UPSERT, canonical_operations
from auditlab.load.source import ARROW_CHANGES
from auditlab.load.times import from_numbers, from_text, utc
from auditlab.load.uuids import is_uuid
from auditlab.schema import REQUIRED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from auditlab.load.columns import Columns

__all__ = ["Canonical"]

_EXACT_FLOAT = 2**53
"""Whole numbers up to here are exact in a float64; pandas makes floats of integers beside nulls."""

_DIGITS = r"^\s*[+-]?[0-9]+\s*$"

_SIDES = ("before_snapshot", "after_snapshot")
_IDENTITIES = ("entity_id", "changed_by", "correlation_id")
_DOCUMENTS = ("before_snapshot", "after_snapshot", "changed_fields", "metadata")


class Canonical:
    """How the columns of one source become the canonical ones.

    Args:
        schema: The source's Arrow schema.
        columns: Canonical name to the source's name, for columns that are called otherwise there; None for one that it
            does not have. Or all that a loader's options say of them.
        zone: The time zone in which times without one are read.
        what: What the source is, for messages.
        states: The fields of each row of a batch as a JSON object, and whether they say anything, where the reader
            knows better than the columns.
        rows: How many rows came before, where rows are numbered.
        elsewhere: Which loader takes another layout, where this takes one alone, for messages.

    Raises:
        BadOption: ``columns`` names a column that a change log does not have, or one column of the source twice.
        SchemaMismatch: columns are missing or have a type that cannot be taken; all of them are named.
    """

    def __init__(
        self,
        schema: pa.Schema,
        *,
        columns: Columns | ColumnMapping | None = None,
        zone: str = "UTC",
        what: str = "the data",
        states: Callable[[pa.RecordBatch], tuple[pa.Array, pa.Array]] | None = None,
        rows: int = 0,
        elsewhere: str = "",
    ) -> None:
        self.zone, self.what, self.rows, self._elsewhere = zone, what, rows, elsewhere
        self.mapping = columns if isinstance(columns, ColumnMapping) else ColumnMapping(columns)
        self._states = states
        kept = set() if self.mapping.fields is None else {*self.mapping.fields.kinds}
        self._structs = Structs(schema, self.mapping.read, self.mapping.read | kept)
        schema = self._structs.schema
        self.mapping.there = self.mapping.there or tuple(schema.names)
        faults = self.mapping.faults(schema.names)
        self._places: dict[str, list[int]] = {}
        for name, theirs in (self.mapping.names | {name: (one,) for name, one in self.mapping.beside.items()}).items():
            packed = name == "metadata" and self.mapping.packed
            places, fault = _found(schema, name, theirs, counted=self.mapping.ticks is not None, packed=packed)
            if fault and places and theirs == (name,) == ("partition",):  # some number of a queue's, say
                continue
            if places:
                self._places[name] = places
            faults += [fault] if fault else []
        if self.mapping.fields is not None and states is None:
            faults += self.mapping.fields.faults(schema)
        if faults:
            raise SchemaMismatch(
                f"{what} is not a change log: {'; '.join(faults)}. It has the columns: {', '.join(schema.names)}. "
                "Columns with other names are given by columns={'canonical name': 'name there'}; one of another type "
                "is cast first; an image that this log never recorded is told by columns={'before_snapshot': None}."
                + ("" if self.mapping.operations is None else "".join(_ways(faults)))
            )

    def batch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The same rows in the canonical columns (``source.ARROW_CHANGES``).

        Raises:
            BadTime: a time that cannot be read, or that microseconds in UTC cannot hold exactly; the message names the
                row.
            SchemaMismatch: a number that does not fit 64 bits, or a float or a text that is no whole number.
            MalformedChange: an operation that is none.
        """
        batch = self._structs.batch(batch)
        ids = self._whole(batch, "id") if "id" in self.mapping.names else self._numbers(batch.num_rows)
        operations = self._operations(batch, ids)
        changes = pc.fill_null(pc.not_equal(operations, NONE), fill_value=True)
        if not pc.all(changes).as_py():
            batch, ids, operations = filtered(batch, changes), ids.filter(changes), operations.filter(changes)
        rows = batch.num_rows
        made = {"id": ids, "operation": operations} | self._made(batch, ids, operations)
        arrays: list[pa.Array] = []
        for field in ARROW_CHANGES:
            place = self._places.get(field.name)
            if field.name in made:
                arrays.append(made[field.name])
            elif place is None:
                arrays.append(pa.nulls(rows, field.type))
            elif pa.types.is_timestamp(field.type):
                arrays.append(self._time(plain(batch.column(place[0])), field.name, ids))
            elif pa.types.is_integer(field.type):
                arrays.append(self._whole(batch, field.name))
            else:
                arrays.append(as_text(batch.column(place[0])))
        if not self.mapping.beside:
            return pa.RecordBatch.from_arrays(arrays, schema=ARROW_CHANGES)
        names = dict.fromkeys("valid_to" if name == "valid_from" else name for name in self.mapping.beside)
        beside = {name: made[name] if name in made else self._beside(batch, name) for name in names}
        return pa.RecordBatch.from_arrays([*arrays, *beside.values()], names=[*ARROW_CHANGES.names, *map(mark, beside)])

    def _numbers(self, rows: int) -> pa.Array:
        first, self.rows = self.rows, self.rows + rows
        return pa.array(range(first + 1, self.rows + 1), pa.int64())

    def _made(self, batch: pa.RecordBatch, ids: pa.Array, operations: pa.Array) -> dict[str, pa.Array]:
        """The columns that are more than one of the source's."""
        mapping, rows = self.mapping, batch.num_rows
        made: dict[str, pa.Array] = {}
        if mapping.entity_type is not None:
            made["entity_type"] = pa.repeat(pa.scalar(mapping.entity_type), rows)
        elif len(places := self._places["entity_type"]) > 1:
            made["entity_type"] = pc.binary_join_element_wise(*(as_text(batch.column(one)) for one in places), ".")
        if mapping.packed:
            made["metadata"] = self._metadata(batch)
        if "valid_from" in mapping.beside:
            made |= versions.bounds(
                plain(batch.column(self._places["valid_from"][0])),
                plain(batch.column(self._places["valid_to"][0])) if "valid_to" in self._places else None,
                read=lambda column, name: self._time(column, name, ids),
                ids=ids,
            )
        states = None
        if mapping.fields is not None:
            states, told = mapping.fields.states(batch, ids, self.what) if self._states is None else self._states(batch)
            made["before_snapshot"], made["after_snapshot"] = images(states, told, operations)
        else:
            made |= self._sides(batch, operations)
        if mapping.key is not None:
            types = made.get("entity_type", None if mapping.entity_type else self._text(batch, "entity_type"))
            shown = self._shown(batch, made) if states is None else states
            shown = pc.if_else(pc.equal(operations, "TRUNCATE"), pa.scalar(None, pa.string()), shown)
            made["entity_id"] = mapping.key.ids(shown, types, ids, self.what)
        return made

    def _shown(self, batch: pa.RecordBatch, made: Mapping[str, pa.Array]) -> pa.Array:
        """What a row shows of its entity: as it left it, else as it was."""
        parts = [self._beside(batch, name) for name in ("new", "old") if name in self.mapping.beside]
        return pc.coalesce(made["after_snapshot"], *parts[:1], made["before_snapshot"], *parts[1:])

    def _metadata(self, batch: pa.RecordBatch) -> pa.Array:
        """An object of the columns that together are a row's metadata."""
        parts: list[pa.Array | str] = []
        for name, place in zip(self.mapping.names["metadata"], self._places["metadata"], strict=True):
            parts += [
                f"{', ' if parts else ''}{json.dumps(name, ensure_ascii=False)}: ",
                self._value(batch.column(place)),
            ]
        return pc.binary_join_element_wise("{", *parts, "}", "")

    def _value(self, column: pa.Array) -> pa.Array:
        """The values of a column as JSON, which they are already where a reader or the column's type says so."""
        if self.mapping.verbatim or is_json(column.type):
            return pc.fill_null(as_text(column), "null")
        return json_text(column)

    def _operations(self, batch: pa.RecordBatch, ids: pa.Array) -> pa.Array:
        """The operations, also those that the rows around tell; where none is told, UPDATE, and UPSERT of states."""
        if "operation" not in self.mapping.names:
            alone = self.mapping.states and "field" not in self.mapping.beside
            return pa.repeat(pa.scalar(UPSERT if alone else "UPDATE"), batch.num_rows)
        return canonical_operations(self._text(batch, "operation"), ids, self.mapping.operations, self._elsewhere)

    def _sides(self, batch: pa.RecordBatch, operations: pa.Array) -> dict[str, pa.Array]:
        """The images; of a log that has one column for both, the row of a DELETE, which leaves none, as it was."""
        none = pa.nulls(batch.num_rows, pa.string())
        sides = [named_values(self._text(batch, side)) if side in self._places else none for side in _SIDES]
        if _SIDES[0] not in self._places:
            gone = pc.fill_null(pc.is_in(operations, pa.array([*ENDING])), fill_value=False)
            sides = [pc.if_else(gone, sides[1], none), pc.if_else(gone, none, sides[1])]
        return dict(zip(_SIDES, sides, strict=True))

    def _text(self, batch: pa.RecordBatch, name: str) -> pa.Array:
        return as_text(batch.column(self._places[name][0]))

    def _beside(self, batch: pa.RecordBatch, name: str) -> pa.Array:
        """A column that says what changes did: documents as they are, the values of one field a row as JSON."""
        column = batch.column(self._places[name][0])
        if name in ("old", "new") and "field" in self.mapping.beside:
            return as_text(column) if self.mapping.verbatim else self._value(column)
        return named_values(as_text(column)) if name in ("old", "new") else as_text(column)

    def _time(self, column: pa.Array, name: str, ids: pa.Array) -> pa.Array:
        if self.mapping.ticks is not None and not pa.types.is_temporal(column.type):
            column = from_numbers(column, self.mapping.ticks, name=name, ids=ids)
        if pa.types.is_date(column.type):
            column = column.cast(pa.timestamp("us"))  # its midnight
        if is_text(column.type):
            column = from_text(column.cast(pa.string()), name=name, ids=ids)
        return utc(column, zone=self.zone, name=name, ids=ids)

    def _whole(self, batch: pa.RecordBatch, name: str) -> pa.Array:
        column = plain(batch.column(self._places[name][0]))
        if is_text(column.type):
            return self._digits(column.cast(pa.string()), name)
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

    def _digits(self, texts: pa.Array, name: str) -> pa.Array:
        written = pc.match_substring_regex(texts, _DIGITS)  # the cast would take 0x1F for 31
        if pc.min_max(written)["min"].as_py() is False:
            odd = pc.filter(texts, pc.invert(written))[0].as_py()
            none = " columns={'id': None} numbers the rows in the order in which they stand." if name == "id" else ""
            raise SchemaMismatch(
                f"{self.what}: {name} is no whole number of 64 bits: {odd!r}. Write it in decimal digits."
                + ("" if self.mapping.operations is None else none)
            )
        try:
            return texts.cast(pa.int64())
        except pa.ArrowInvalid as exc:
            raise SchemaMismatch(f"{self.what}: {name} is no whole number of 64 bits: {exc}") from exc


def _found(
    schema: pa.Schema, name: str, theirs: tuple[str, ...], *, counted: bool, packed: bool
) -> tuple[list[int], str]:
    """Where the columns of the source are that tell a canonical one, and what is wrong with them, or nothing."""
    places = []
    for one in theirs:
        there = schema.get_all_field_indices(one)
        if len(there) > 1:
            return [], f"{one!r}: {several(len(there))}"
        if not there:
            needed = name in REQUIRED or theirs != (name,)
            return [], f"{_label(name, theirs if len(theirs) == 1 else (one,))}: missing" if needed else ""
        places += there
    if packed:
        fault = next(filter(None, (_fault_beside("old", schema.field(place), counted=False) for place in places)), "")
        return places, f"{_label(name, theirs)}: {fault}" if fault else ""
    judge = _fault_beside if name in BESIDE else _fault
    faults = (judge(name, schema.field(place), counted=counted) for place in places)
    fault = next(filter(None, faults), "")
    return places, f"{_label(name, theirs)}: {fault}" if fault else ""


def _label(name: str, theirs: tuple[str, ...]) -> str:
    return name if theirs == (name,) else f"{name} (from {', '.join(map(repr, theirs))})"


def _ways(faults: list[str]) -> Iterator[str]:
    """What else the options of a loader can say of what is missing."""
    if any(fault.startswith("id: missing") for fault in faults):
        yield " Rows that have no id are numbered, in the order in which they stand, by columns={'id': None}."
    if any(fault.startswith("entity_type: missing") for fault in faults):
        yield " Where all rows are of one entity type, entity_type='shop.orders' says which."
    if any(fault.startswith("after_snapshot: missing") for fault in faults):
        yield " Where the fields stand in columns of their own, fields=['name', 'total'] makes the images of them."


def _fault_beside(name: str, column: pa.Field, *, counted: bool) -> str:
    """The same of a column that a canonical one is made of."""
    if name in ("valid_from", "valid_to"):
        return _fault("changed_at", column, counted=counted)
    if name in ("old", "new"):
        return "" if is_json(column.type) else no_json(column.type)
    return _fault("metadata", column, counted=counted)


def _fault(name: str, column: pa.Field, *, counted: bool = False) -> str:
    """What is wrong with a source column's type, or nothing."""
    dtype = column.type
    held, wanted = stored(dtype), ARROW_CHANGES.field(name).type
    if pa.types.is_null(held):
        return ""
    if pa.types.is_integer(wanted):
        whole = pa.types.is_integer(held) or pa.types.is_floating(held) or is_text(held)
        fits = whole or (pa.types.is_decimal(held) and held.scale == 0)
        return "" if fits else f"is {dtype}, want a whole number"
    if pa.types.is_timestamp(wanted):
        number = any(a(held) for a in (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal))
        if pa.types.is_timestamp(held) or pa.types.is_date(held) or is_text(held) or (number and counted):
            return ""
        return f"is {dtype}, want a timestamp" + (", or unit='s', 'ms' or 'us' for what it counts" if number else "")
    coded = name in (*_IDENTITIES, "operation") and pa.types.is_integer(held)
    if is_text(held) or coded or (name in _IDENTITIES and is_uuid(dtype)):
        return ""
    encoded = _encoded(column.name) if pa.types.is_struct(held) else ""
    return f"is {dtype}, want {'JSON text' + encoded if name in _DOCUMENTS else 'text'}"


def _encoded(theirs: str) -> str:
    """How a column of structs becomes JSON text, null where there is none; and what was lost before."""
    column = f"pl.col({json.dumps(theirs, ensure_ascii=False)})"
    return (
        f" (in Polars: pl.when({column}.is_not_null()).then({column}.struct.json_encode()); but a struct has every"
        " field in every row, null where the document did not have it, and numbers as they were read: better read the"
        " documents as text)"
    )

"""Flat rows: logs that keep an entity's fields as columns of their own, and the images that those make."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from auditlab.errors import BadOption, SchemaMismatch
from auditlab.load.arrays import as_text, is_text, stored
from auditlab.load.json_text import KINDS, is_json, json_text, no_json, read_as
from auditlab.load.operations import ENDING, UPSERT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from collections.abc import Set as AbstractSet

__all__ = ["REST", "Fields", "NoSuchValue", "images", "several"]

REST = "rest"
"""What names all columns that are nothing else of a change log."""
_INSTEAD = "Leave the field a text, or mend the value."

_string = msgspec.json.Decoder(str).decode


class NoSuchValue(Exception):
    """A text does not stand for what its field was said to be."""


class Fields:
    """Which columns of a source make an entity's state, and what the texts in them stand for.

    Args:
        given: Names of columns; a mapping of these to ``text``, ``number``, ``boolean`` or ``json``; or ``rest``.
        used: The columns that tell something else of a change. Those are fields where they are named, but never of the
            rest, and where a DELETE tells nothing but those, it tells no state.
        key: Whether a field is of the key: one that is alone tells no state, either.

    Raises:
        BadOption: ``given`` is none of these, or names nothing, or one column twice.
    """

    def __init__(
        self,
        given: str | Sequence[str] | Mapping[str, str],
        used: AbstractSet[str],
        key: Callable[[str], bool] | None = None,
    ) -> None:
        self.used, self._key = used, key
        if not isinstance(given, Iterable) or not all(isinstance(name, str) for name in given):
            raise BadOption(f"fields={given!r} names no columns. Give their names, such as fields=['name', 'total'].")
        self.rest = isinstance(given, str)
        if self.rest and given != REST:
            raise BadOption(f"fields={given!r} is no list of columns. Give fields=[{given!r}], or fields='rest'.")
        self.kinds = {} if self.rest else dict(given) if isinstance(given, Mapping) else dict.fromkeys(given, "text")
        if not self.rest and (not self.kinds or len(self.kinds) < len(given)):
            raise BadOption("fields= names no column, or one twice. Name each column that is a field, or give 'rest'.")
        odd = {name: kind for name, kind in self.kinds.items() if kind not in KINDS}
        if odd:
            raise BadOption(f"fields= says {odd}. A column of texts is read as {', '.join(KINDS)}.")

    def among(self, names: Iterable[str]) -> dict[str, str]:
        """The fields among the columns of these names, in their order or the one given, and what their texts are."""
        return {name: "text" for name in names if name not in self.used} if self.rest else self.kinds

    def faults(self, schema: pa.Schema) -> Iterator[str]:
        """What is wrong with the columns that are to be fields, in words."""
        found = self.among(schema.names)
        if not found:
            yield "fields='rest': there is no other column"
        for name, kind in found.items():
            places = schema.get_all_field_indices(name)
            if len(places) != 1:
                yield f"{name!r}, a field: {several(len(places)) if places else 'missing'}"
                continue
            dtype = schema.field(places[0]).type
            if kind != "text" and not is_json(dtype) and not (is_text(stored(dtype)) or pa.types.is_null(dtype)):
                yield f"{name!r}, a field: is {dtype}, where only a text is read as {kind}: leave it as it is"
            elif not is_json(dtype) and (fault := no_json(dtype)):
                yield f"{name!r}, a field: {fault}"

    def states(self, batch: pa.RecordBatch, ids: pa.Array, what: str) -> tuple[pa.Array, pa.Array]:
        """The fields of each row as a JSON object, and whether a field says anything but what else the row tells.

        Raises:
            SchemaMismatch: a text that does not stand for what its field was said to be.
        """
        parts: list[pa.Array | str] = []
        told = pa.repeat(pa.scalar(value=False), batch.num_rows)
        found = self.among(batch.schema.names)
        for name, kind in found.items():
            column = batch.column(name)
            kind = "json" if is_json(column.type) else kind  # noqa: PLW2901 - it is what it is
            parts += [f"{', ' if parts else ''}{json.dumps(name, ensure_ascii=False)}: "]
            parts += [json_text(column) if kind == "text" else _read(name, kind, column, ids, what)]
            if self._tells(name):
                told = pc.or_(told, column.is_valid())
        if not any(map(self._tells, found)):
            told = pa.repeat(pa.scalar(value=True), batch.num_rows)
        return pc.binary_join_element_wise("{", *parts, "}", ""), told

    def state(self, written: Mapping[str, msgspec.Raw]) -> tuple[str, bool]:
        """The same of an object's members, which are kept as they are written; one that is not there is no field.

        Raises:
            NoSuchValue: a text that does not stand for what its field was said to be.
        """
        parts = []
        told = False
        found = {name: kind for name, kind in self.among(written).items() if name in written}
        for name, kind in found.items():
            raw = bytes(written[name]).decode()
            if kind != "text" and raw[:1] == '"':
                read = KINDS[kind](_string(raw))
                if read is None:
                    raise NoSuchValue(f"{name} = {raw} is no {kind}. {_INSTEAD}")
                raw = read
            parts.append(f"{json.dumps(name, ensure_ascii=False)}: {raw}")
            told = told or (raw != "null" and self._tells(name))
        return f"{{{', '.join(parts)}}}", told or bool(found and not any(map(self._tells, found)))

    def _tells(self, name: str) -> bool:
        """Whether a field says anything of a row but which it is."""
        return name not in self.used and not (self._key is not None and self._key(name))


def _read(name: str, kind: str, column: pa.Array, ids: pa.Array, what: str) -> pa.Array:
    texts = as_text(column)
    told, odd = read_as(kind, texts)
    if pc.any(odd).as_py():
        text, row = texts.filter(odd)[0].as_py(), ids.filter(odd)[0].as_py()
        raise SchemaMismatch(f"{what}, row id {row}: {name} = {text!r} is no {kind}. {_INSTEAD}")
    return pc.fill_null(told, "null")


def several(count: int) -> str:
    """What is wrong with a column that is wanted, and that the source has more than once."""
    return f"there are {count} columns of that name; give each its own"


def images(states: pa.Array, told: pa.Array, operations: pa.Array) -> tuple[pa.Array, pa.Array]:
    """The images before and after that the states of rows are.

    A row tells what its change left, and a DELETE, which leaves nothing, what was there; one that tells nothing, as
    many tools write it, has no image, and what the change before it left stands for that. TRUNCATE has none.
    """
    after = pc.is_in(operations, pa.array(["INSERT", "UPDATE", "SNAPSHOT", UPSERT]))
    before = pc.and_(pc.fill_null(pc.is_in(operations, pa.array([*ENDING])), fill_value=False), told)
    none = pa.scalar(None, pa.string())
    return pc.if_else(before, states, none), pc.if_else(after, states, none)

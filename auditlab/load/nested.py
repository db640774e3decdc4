"""Names of columns that are paths: ``ns.coll`` into an object, ``items[].field`` into each object of a list."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from auditlab.errors import BadOption

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from collections.abc import Set as AbstractSet

__all__ = ["Members", "NamedTwice", "NoRows", "Structs", "repeated"]

Raw = dict[str, msgspec.Raw]
"""An object's members with their raw JSON text."""

_EACH = "[]"
_object = msgspec.json.Decoder(Raw).decode
_array = msgspec.json.Decoder(list[msgspec.Raw]).decode


class NamedTwice(Exception):
    """A name that stands twice in an object."""


class NoRows(Exception):
    """A line of which no rows can be made."""


class Members:
    """The members of a line's object that names of columns tell, and those of objects and lists inside of it.

    A name that a line has as it is, is that member, whatever it looks like.

    Args:
        names: The names of columns.

    Raises:
        BadOption: paths go through two lists, neither of which is in the other.

    ``paths`` has the names that are paths, ``lists`` the lists that they go through.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(names)
        self.paths = [name for name in self._names if "." in name or _EACH in name]
        self.lists = sorted({name[: name.index(_EACH)] for name in self.paths if _EACH in name})
        self._inner = _Inner({name: name for name in self.paths})
        self._inner.check()

    def heads(self, told: Mapping[str, msgspec.Raw]) -> frozenset[str]:
        """The members that are nothing by themselves, but hold what paths name."""
        paths = [name for name in self.paths if name not in told]
        return frozenset(name.partition(".")[0].removesuffix(_EACH) for name in paths) - self._names

    def rows(self, told: Raw) -> list[Raw]:
        """The rows that a line is: one, or as many as the list that its paths go through has elements.

        Raises:
            NamedTwice: a member that is read stands twice in an object.
            NoRows: what is to be a list is none.
        """
        own = {name: raw for name, raw in told.items() if name in self._names}
        return [found | own for found in self._inner.rows(told, own.keys())]


class _Inner:
    """What paths name inside of an object: by member, each path and the name that it stands for.

    Args:
        paths: Path to the whole name.
    """

    def __init__(self, paths: Mapping[str, str]) -> None:
        self.names: dict[str, list[str]] = {}
        further: dict[str, dict[str, str]] = {}
        for path, name in paths.items():
            member, _, rest = path.partition(".")
            if rest:
                further.setdefault(member, {})[rest] = name
            else:
                self.names.setdefault(member, []).append(name)
        self.inner = {member: _Inner(rest) for member, rest in further.items()}

    def check(self) -> bool:
        """Whether there is a list in it; refuses two."""
        members = {*self.names, *self.inner}
        lists = [member for member in members if member.endswith(_EACH)]
        lists += [member for member, inner in self.inner.items() if inner.check() and member not in lists]
        if len(lists) > 1:
            raise BadOption(
                f"columns= has paths through the lists in {' and '.join(sorted(map(repr, lists)))}, and a row is one "
                "element of one list. Name columns of one of them; lists that go in step are put together first, as "
                "DuckDB does by SELECT * EXCLUDE (data, old), unnest(data) AS data, unnest(old) AS old FROM "
                "read_json('file', columns={'data': 'JSON[]', 'old': 'JSON[]', ...})."
            )
        return bool(lists)

    def rows(self, told: Raw, but: AbstractSet[str]) -> list[Raw]:
        """What the paths name, once for each element of a list on their way."""
        rows: list[Raw] = [{}]
        for member in dict.fromkeys((*self.names, *self.inner)):
            name, each = member.removesuffix(_EACH), member.endswith(_EACH)
            raws = [told[name]] if name in told else []
            if each:
                raws = [] if not raws or bytes(raws[0]) == b"null" else _elements(name, raws[0])
            found = [self._of(member, raw, but) for raw in raws]
            if not raws and not each and member in self.inner:
                found = [self.inner[member].rows({}, but)]
            if each:
                rows = [row | one for row in rows for inner in found for one in inner]
            elif found:
                rows = [row | one for row in rows for one in found[0]]
        return rows

    def _of(self, member: str, raw: msgspec.Raw, but: AbstractSet[str]) -> list[Raw]:
        """What the paths name that go through one value of a member."""
        own = {name: raw for name in self.names.get(member, ()) if name not in but}
        inner = self.inner.get(member)
        if inner is None:
            return [own]
        text = bytes(raw)
        if text[:1] != b"{":
            return [own | one for one in inner.rows({}, but)]
        told = _object(text)
        if twice := repeated(told, text) & {one.removesuffix(_EACH) for one in (*inner.names, *inner.inner)}:
            raise NamedTwice(min(twice))
        return [own | one for one in inner.rows(told, but)]


def _elements(name: str, raw: msgspec.Raw) -> list[msgspec.Raw]:
    text = bytes(raw)
    if text[:1] != b"[":
        raise NoRows(f"{name!r} is to be a list, as '{name}{_EACH}' in columns= says, and is none.")
    return _array(text)


def repeated(told: Raw, text: bytes) -> set[str]:
    """The names that stand more than once in an object: of those the decoder keeps the last and says nothing."""
    size = sum(len(name.encode("utf-8", "surrogatepass")) + len(bytes(raw)) for name, raw in told.items())
    marks = len(text.strip()) - size - 2  # what is left are quotation marks, colons, commas and blanks
    if marks in (4 * len(told) - 1, 6 * len(told) - 2):
        return set()

    def look(pairs: list[tuple[str, object]]) -> dict[str, object]:
        count = Counter(name for name, _ in pairs)
        twice.append({name for name in count if count[name] > 1})
        return {}

    twice: list[set[str]] = []
    json.loads(text, object_pairs_hook=look, strict=False, parse_int=str, parse_float=str)
    return twice[-1]  # the outermost object is the last to be whole


class Structs:
    """Columns of structs, whose fields names of columns tell, as columns of their own.

    Args:
        schema: The source's.
        names: The names of columns that are wanted; one that is there is that column.
        kept: Columns that stay, too, where they hold such fields.
    """

    def __init__(self, schema: pa.Schema, names: Iterable[str], kept: AbstractSet[str]) -> None:
        paths = {name: name.split(".") for name in names if "." in name and name not in schema.names}
        self._paths = {name: steps for name, steps in paths.items() if _has(schema, steps)}
        self._gone = {steps[0] for steps in self._paths.values()} - kept
        self.schema = self.batch(pa.RecordBatch.from_pylist([], schema=schema)).schema if self._paths else schema

    def batch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The same rows, with the fields that are named."""
        if not self._paths:
            return batch
        stays = [at for at, name in enumerate(batch.schema.names) if name not in self._gone]
        made = [_field(batch.column(steps[0]), steps[1:]) for steps in self._paths.values()]
        fields = [batch.schema.field(at) for at in stays]
        fields += [pa.field(name, column.type) for name, column in zip(self._paths, made, strict=True)]
        return pa.RecordBatch.from_arrays([*(batch.column(at) for at in stays), *made], schema=pa.schema(fields))


def _has(schema: pa.Schema, steps: list[str]) -> bool:
    """Whether there is a field of a struct at the end of a path."""
    if len(schema.get_all_field_indices(steps[0])) != 1:
        return False
    dtype = schema.field(steps[0]).type
    for step in steps[1:]:
        if not pa.types.is_struct(dtype) or len(dtype.get_all_field_indices(step)) != 1:
            return False
        dtype = dtype.field(step).type
    return True


def _field(column: pa.Array, steps: list[str]) -> pa.Array:
    for step in steps:
        column = pc.struct_field(column, step)
    return column

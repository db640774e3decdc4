"""Which columns of a source are which of a change log, as the options of a loader say it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from auditlab.callers import warn_caller
from auditlab.errors import BadOption, IncompleteStates, PerhapsInclusive, UnreadColumns
from auditlab.load.entity_key import EntityKey
from auditlab.load.fields import Fields
from auditlab.load.operations import declared_operations
from auditlab.load.source import ARROW_CHANGES
from auditlab.load.times import ticks
from auditlab.schema import REQUIRED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from auditlab.load.entity_key import Key

__all__ = ["BESIDE", "ColumnMapping", "Columns", "mark", "source_names", "taken"]

Columns = Mapping[str, str | Sequence[str] | None]
"""Canonical name to the source's; of the entity type to several; None for what the source does not have."""

_IMAGES = ("before_snapshot", "after_snapshot")
_NEEDED = [name for name in REQUIRED if name not in _IMAGES]
"""Columns that no change log is without."""
_WARNED = ("changed_by", "transaction_id")
"""Columns that most logs have, and are easily forgotten."""


BESIDE = ("diff", "field", "old", "new", "valid_from", "valid_to")
"""What ``columns=`` may name beside the canonical columns: columns of which those are made, see ``from_arrow``."""
_PARTS = BESIDE[:4]
"""Those that tell what a change did and not what it left."""


def mark(name: str) -> str:
    """What a column of ``BESIDE`` is called in a canonical batch."""
    return f"beside.{name}"


class ColumnMapping:
    """What the options of a loader say of a source's columns.

    Args:
        columns: As in ``from_arrow``; so are the others.
        operations: None where the loader does not take any.
        fields: None where the images are columns of their own.
        entity_type: None where columns tell it.
        key: None where a column tells the entity's id.
        partitions: Leaf to partitioned table, for the key.
        unit: None where numbers are no times.

    ``there`` has the names of the source's columns, once they are known; ``names`` which of them tells a canonical
    column, ``beside`` which one of ``BESIDE``; ``states`` whether no column tells operations; ``packed`` whether
    metadata are an object of columns. A reader that gives the values of fields as JSON sets ``verbatim``, the loader
    ``partly``: how many states lack fields.

    Raises:
        BadOption: a name that is no column of a change log, one column of the source given twice, a column that a
            change log must have given as None, or options that contradict each other.
    """

    def __init__(
        self,
        columns: Columns | None = None,
        operations: Mapping[str, str | None] | None = None,
        *,
        fields: str | Sequence[str] | Mapping[str, str] | None = None,
        entity_type: str | None = None,
        key: Key | None = None,
        partitions: Mapping[str, str] | None = None,
        unit: str | None = None,
    ) -> None:
        given = dict(columns or {})
        self.there: tuple[str, ...] = ()
        self.verbatim = False
        self.beside = _beside(given)
        if "valid_from" in self.beside:
            given["changed_at"] = _unless_given("changed_at", given, self.beside["valid_from"])
        self.partly: dict[str, int] = {}
        self.doubt = ""
        self.packed = "metadata" in given and not isinstance(given["metadata"], str | None)
        self.numbered = "id" in given and given["id"] is None
        self.states = "operation" in given and given["operation"] is None and "valid_from" not in self.beside
        self.entity_type = entity_type
        self.never = {name for name, theirs in given.items() if theirs is None}
        self.key = None if key is None else EntityKey(key, partitions)
        self.ticks = ticks(unit)
        made = self._made(given, fields=fields is not None)
        _check(given, made, self.beside)
        if fields is not None and self.beside.keys() & {*_PARTS}:
            raise BadOption("fields= makes images, and columns= says what changes did. Give one of both.")
        if entity_type is not None:
            _check_constant(entity_type, given)
        left_out = made.keys() | ({"id"} if self.numbered else set()) | ({"operation"} if self.states else set())
        left_out |= {"partition"} - given.keys() if fields is not None else set()
        self.names = _names({name: theirs for name, theirs in given.items() if name not in left_out}, left_out)
        self._lost = [fault for name, fault in taken(given).items() if name not in left_out]
        self.operations = None if operations is None else declared_operations(operations)
        of_key = None if self.key is None else self.key.has
        self.fields = None if fields is None else Fields(fields, self.read, of_key)

    @property
    def read(self) -> set[str]:
        """The source's columns that are read as what else a row tells than its fields."""
        return {one for own in self.names.values() for one in own} | {*self.beside.values()}

    @property
    def values(self) -> set[str]:
        """Those of them that have values and not texts: of a field, or of what else a row tells."""
        named = {self.beside[name] for name in ("old", "new") if name in self.beside and "field" in self.beside}
        return named | (set(self.names["metadata"]) if self.packed else set())

    def _made(self, given: Columns, *, fields: bool) -> dict[str, str]:
        """The canonical columns that are no columns of the source, and of what they are made, in words."""
        made = {} if self.entity_type is None else {"entity_type": "entity_type="}
        made |= {} if self.key is None else {"entity_id": "key="}
        made |= dict.fromkeys(_IMAGES, "fields=") if fields else {}
        if "valid_from" in self.beside:
            made |= dict.fromkeys(("id", "operation", "committed_at", _IMAGES[0]), "'valid_from'")
        parts = [repr(name) for name in _PARTS if name in self.beside]
        if parts:
            made |= {"changed_fields": " and ".join(parts)}
            made |= {name: made["changed_fields"] for name in _IMAGES if given.get(name) is None and name not in made}
        if "field" in self.beside and "operation" not in given:
            made |= {"operation": "'field'"}
        return made

    def faults(self, there: Sequence[str]) -> list[str]:
        """Columns that are needed and taken by others, and a column of ids that is nothing else beside made-up ones."""
        fields = {} if self.fields is None else self.fields.among(there)
        used = self.read | fields.keys()
        if not self.numbered or "id" not in there or "id" in used or self._is_key("id"):
            return self._lost
        return [*self._lost, "id: columns= says that there is no 'id', and there is one"]

    def _is_key(self, name: str) -> bool:
        return self.key is not None and self.fields is not None and self.key.has(name)

    def warn_of_unread(self, what: str) -> None:
        """Warn where columns that most logs have are not there, and the source has some that are not read.

        And of what states do not tell, or what may be meant otherwise.
        """
        if told := self._unread(self.there):
            warn_caller(f"{what}: {told}", UnreadColumns)
        for told, category in self._doubts():
            warn_caller(f"{what}: {told}", category)

    def _doubts(self) -> Iterator[tuple[str, type[UserWarning]]]:
        """What of the states is not told, or may be meant otherwise."""
        if "field" in self.beside and "operation" not in self.names:
            told = "no column tells when entities began: each is taken to have been there before its first change."
            yield told, IncompleteStates
        if self.states and "field" not in self.beside:
            told = "no column tells what was done: a row's first state is taken for its INSERT, and none was deleted."
            yield told, IncompleteStates
        if self.partly:
            counts = ", ".join(f"{count:,} of {name}" for name, count in self.partly.items())
            told = f"entities ({counts}) were there before their first change, and of fields that no change of theirs "
            yield (
                told + "names the log has no value: their states lack those, and show nothing there.",
                IncompleteStates,
            )
        if self.doubt:
            yield self.doubt, PerhapsInclusive

    def _unread(self, there: tuple[str, ...]) -> str:
        used = self.read
        found = {name for name, own in self.names.items() if {*own} <= {*there}}
        lacking = [name for name in _WARNED if name not in found | self.never]
        listed = set() if self.fields is None else {*self.fields.among(there)}
        others = [name for name in dict.fromkeys(there) if name not in used | listed]
        if self.fields is not None and self.fields.rest and "changed_by" in lacking:
            others, read = [name for name in there if name in listed], "are fields, as fields='rest' says"
        else:
            read = "are not read"
        if not lacking or not others:
            return ""
        none = [name for name in ARROW_CHANGES.names if name not in found | self.never | {*REQUIRED, "partition"}]
        return (
            f"no column tells {' or '.join(lacking)}, and {', '.join(map(repr, others))} {read}. If one of them does, "
            f"name it: columns={{{lacking[0]!r}: 'name there'}}; if none does, say so: "
            f"columns={{{', '.join(f'{name!r}: None' for name in lacking)}}}. "
            f"Of a change log's columns this one lacks {', '.join(none)}."
        )


def source_names(columns: Mapping[str, str | None] | None) -> dict[str, str]:
    """Every canonical column that the source has, and what it is called there; those given as None it has not.

    Raises:
        BadOption: as ``ColumnMapping`` does, and for an entity type of several columns.
    """
    found = _names(dict(columns or {}), set())
    several = [theirs for theirs in found.values() if len(theirs) > 1]
    if several:
        raise BadOption(
            f"columns= makes the entity type of {', '.join(map(repr, several[0]))}, which is for files and frames. "
            "al.read_query() takes it, too; or give a view of the log that has both in one column, e.g. "
            "table_schema || '.' || table_name."
        )
    return {name: theirs for name, (theirs,) in found.items()}


def taken(columns: Columns | None) -> dict[str, str]:
    """Columns that a log must have, that no option names, and whose own is read as another one: what is wrong."""
    given = columns or {}
    takers = {one: name for name, theirs in given.items() for one in _several(name, theirs)}
    lost = {name: takers[name] for name in REQUIRED if name in takers and name not in given}
    return {
        name: f"{name}: missing (its column is read as {other}; name another: columns={{{name!r}: 'name there'}})"
        for name, other in lost.items()
    }


def _names(given: Columns, left_out: set[str]) -> dict[str, tuple[str, ...]]:
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
            f"Its columns are: {', '.join(ARROW_CHANGES.names)}; made into them are {', '.join(BESIDE)}."
        )
    told = {name: _several(name, theirs) for name, theirs in given.items()}
    named = [one for theirs in told.values() for one in theirs]
    twice = sorted({theirs for theirs in named if named.count(theirs) > 1})
    if twice:
        raise BadOption(f"columns= gives {', '.join(map(repr, twice))} to more than one column of the log.")
    names = [name for name in ARROW_CHANGES.names if (name in given or name not in named) and name not in left_out]
    return {name: theirs for name in names if (theirs := told.get(name, (name,)))}


def _several(name: str, theirs: str | Sequence[str] | None) -> tuple[str, ...]:
    if theirs is None or isinstance(theirs, str):
        return () if theirs is None else (theirs,)
    several = isinstance(theirs, Sequence) and bool(theirs) and all(isinstance(one, str) for one in theirs)
    if name not in ("entity_type", "metadata") or not several:
        raise BadOption(
            f"columns= gives {theirs!r} for {name!r}. Only an entity type is put together from columns, such as "
            "['table_schema', 'table_name'], and metadata, as an object of them; make one column of others first."
        )
    return tuple(theirs)


def _beside(given: dict[str, str | Sequence[str] | None]) -> dict[str, str]:
    """The columns of ``BESIDE`` that are given, which are taken out; none that is said not to be there."""
    found = {name: given.pop(name) for name in BESIDE if name in given}
    odd = {name: theirs for name, theirs in found.items() if not isinstance(theirs, str | None)}
    if odd:
        raise BadOption(f"columns= gives {odd}. Each is made of one column.")
    return {name: theirs for name, theirs in found.items() if isinstance(theirs, str)}


def _unless_given(name: str, given: Columns, theirs: str) -> str:
    if given.get(name) is not None:
        raise BadOption(f"columns= gives {name!r} and 'valid_from', which is the same. Give one of both.")
    return theirs


def _check(given: Columns, made: Mapping[str, str], beside: Mapping[str, str]) -> None:
    """Refuse columns that are given and made, and some that tell nothing alone."""
    twofold = [name for name in made if given.get(name) is not None and name != "entity_type"]
    if twofold:
        maker = made[twofold[0]]
        own = [name for name in twofold if made[name] == maker]
        what = "the images" if set(own) <= {*_IMAGES} else "that"
        raise BadOption(f"{maker} makes {what}, and columns= gives {', '.join(own)}. Give one of both.")
    alone = {"valid_to": {"valid_from"}, "field": {"new"}}
    for name, others in alone.items():
        if name in beside and not others <= beside.keys():
            raise BadOption(f"columns= gives {name!r}, which tells nothing without {', '.join(map(repr, others))}.")
    if "diff" in beside and beside.keys() & {"field", "old", "new"}:
        raise BadOption("columns= gives 'diff', which has the old and new values, and others for them. Give one.")
    named = [*beside.values()]
    twice = sorted({one for one in named if named.count(one) > 1})
    if twice:
        raise BadOption(f"columns= gives {', '.join(map(repr, twice))} twice.")
    if "valid_from" in beside and beside.keys() & {*_PARTS}:
        raise BadOption("columns= gives 'valid_from', for rows that are versions, and what changes did. Give one.")


def _check_constant(entity_type: str, given: Columns) -> None:
    if not isinstance(entity_type, str) or not entity_type:
        raise BadOption(f"entity_type={entity_type!r} is no name. Give what the rows are of, such as 'shop.orders'.")
    if "entity_type" in given:
        raise BadOption(f"entity_type={entity_type!r} is of all rows, and columns= gives a column. Give one of both.")

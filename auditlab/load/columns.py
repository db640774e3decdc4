"""Which columns of a source are which of a change log, as the options of a loader say it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

from auditlab.errors import BadOption, UnreadColumns
from auditlab.load.fields import Fields
from auditlab.load.operations import declared_operations
from auditlab.load.source import ARROW_CHANGES
from auditlab.schema import REQUIRED

__all__ = ["ColumnMapping", "Columns", "source_names", "taken"]

Columns = Mapping[str, str | Sequence[str] | None]
"""Canonical name to the source's; of the entity type to several; None for what the source does not have."""

_IMAGES = ("before_snapshot", "after_snapshot")
_NEEDED = [name for name in REQUIRED if name not in _IMAGES]
"""Columns that no change log is without."""
_WARNED = ("changed_by", "transaction_id")
"""Columns that most logs have, and are easily forgotten."""


class ColumnMapping:
    """What the options of a loader say of a source's columns.

    Args:
        columns: As in ``from_arrow``; so are the others.
        operations: None where the loader does not take any.
        fields: None where the images are columns of their own.
        entity_type: None where columns tell it.

    ``there`` has the names of the source's columns, once they are known.

    Raises:
        BadOption: a name that is no column of a change log, one column of the source given twice, a column that a
            change log must have given as None, or options that contradict each other.
    """

    def __init__(
        self,
        columns: Columns | None = None,
        *,
        operations: Mapping[str, str] | None = None,
        fields: str | Sequence[str] | Mapping[str, str] | None = None,
        entity_type: str | None = None,
    ) -> None:
        given = dict(columns or {})
        self.there: tuple[str, ...] = ()
        self.numbered = "id" in given and given["id"] is None
        self.entity_type = entity_type
        self.never = {name for name, theirs in given.items() if theirs is None}
        left_out = {"id"} if self.numbered else set()
        if entity_type is not None:
            _check_constant(entity_type, given)
            left_out.add("entity_type")
        if fields is not None:
            twofold = [name for name in _IMAGES if given.get(name) is not None]
            if twofold:
                raise BadOption(f"fields= makes the images, and columns= gives {', '.join(twofold)}. Give one of both.")
            left_out |= {*_IMAGES} | ({"partition"} - given.keys())
        self.names = _names({name: theirs for name, theirs in given.items() if name not in left_out}, left_out)
        self._lost = [fault for name, fault in taken(given).items() if name not in left_out]
        self.operations = None if operations is None else declared_operations(operations)
        self.fields = None if fields is None else Fields(fields, {one for own in self.names.values() for one in own})

    def faults(self, there: Sequence[str]) -> list[str]:
        """Columns that are needed and taken by others, and a column of ids that is nothing else beside made-up ones."""
        fields = {} if self.fields is None else self.fields.among(there)
        used = {one for own in self.names.values() for one in own} | fields.keys()
        if not self.numbered or "id" not in there or "id" in used:
            return self._lost
        return [*self._lost, "id: columns= says that there is no 'id', and there is one"]

    def warn_of_unread(self, what: str) -> None:
        """Warn where columns that most logs have are not there, and the source has some that are not read.

        It is for the loader itself to call: the warning points at who called that through ``auditlab``.
        """
        if told := self._unread(self.there):
            warnings.warn(f"{what}: {told}", UnreadColumns, stacklevel=4)

    def _unread(self, there: tuple[str, ...]) -> str:
        used = {one for own in self.names.values() for one in own}
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
            f"Its columns are: {', '.join(ARROW_CHANGES.names)}."
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
    if name != "entity_type" or not several:
        raise BadOption(
            f"columns= gives {theirs!r} for {name!r}. Only an entity type is put together from columns, such as "
            "['table_schema', 'table_name']; make one column of others first."
        )
    return tuple(theirs)


def _check_constant(entity_type: str, given: Columns) -> None:
    if not isinstance(entity_type, str) or not entity_type:
        raise BadOption(f"entity_type={entity_type!r} is no name. Give what the rows are of, such as 'shop.orders'.")
    if "entity_type" in given:
        raise BadOption(f"entity_type={entity_type!r} is of all rows, and columns= gives a column. Give one of both.")

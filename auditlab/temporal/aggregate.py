"""Aggregate: a parent with its children, and with theirs, as they were together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from auditlab import queries
from auditlab.engines.base import params_frame
from auditlab.errors import BadOption, UnknownField
from auditlab.keys import entity_uuid
from auditlab.schema import TIME
from auditlab.temporal import doubt
from auditlab.temporal.asof import META, live
from auditlab.temporal.references import as_entity_ids, key_texts, same_ids
from auditlab.temporal.undetermined import warn_untold

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from auditlab.clock import Moment
    from auditlab.selection import Selected
    from auditlab.shape import Shape

__all__ = ["Fields", "Items", "Kind", "aggregate", "asked_when", "places", "references", "referred", "whole_of"]

Fields = str | tuple[str, ...]
"""The name of a field, or the names of those that make a key together."""

Items = tuple[Any, ...] | Mapping[str, tuple[Any, ...]]
"""One kind of children, or several by the names of their columns: (type, fields[, its own items[, its key]])."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of children.

    Args:
        entity_type: Their entity type.
        refers: The fields in which they hold the parent's key.
        items: Their own children, by the name of the column.
        key: The fields that their own children refer to.
    """

    entity_type: str
    refers: tuple[str, ...]
    items: dict[str, Kind]
    key: tuple[str, ...] | None

    def types(self) -> Iterator[str]:
        """Its entity type and those of its children."""
        yield self.entity_type
        for kind in self.items.values():
            yield from kind.types()


def aggregate(
    selected: Selected,
    parent: str,
    *,
    items: Items,
    at: Moment | None = None,
    entity: str | None = None,
    key: Fields | None = None,
) -> pl.DataFrame:
    """Every live parent with its live children at an instant (inclusive), and these with theirs; else the latest.

    Children are told by their own changes: one that was deleted or moved to another parent by then is not there. One
    whose parent is not there (a row that outlived it) is in no aggregate; ``as_of`` of its own type has it.

    A child refers to the parent whose key has the same value, however it is written: ``5`` is ``5.0`` and the text
    ``5``, an instant is the same in every zone, a uuid in any case.

    Args:
        selected: The log.
        parent: The parents' entity type.
        items: The children's entity type and the field in which they hold the parent's key (a tuple of fields for a key
            of several columns), after which their own items may stand, and the fields that those refer to; or several
            kinds of children, by the name that their column shall have, e.g.
            ``{"items": ("orders.order_items", "order_id", {"returns": ("orders.returns", "item_id")})}``.
        at: A time; a bare date is 00:00, naive times are read in the log's zone.
        entity: One parent's entity id; without one, all.
        key: The parents' field that the children refer to, or fields. Without it, for one field ``id`` where the
            parents have it, else the entity id (also by the key that it is derived from); for several fields the
            parents' fields of the same names.

    Returns:
        ``as_of``'s columns of the parent, and for each kind of children a list, by entity_id, of structs of ``as_of``'s
        columns and of lists of their own, named as given, or after the table.

    Raises:
        UnknownEntityType: the log has no such type.
        UnknownField: the children or the parents never had such a field.
        BadOption: items are no tuple of a type and its fields, or as many fields as the key has do not stand there.
        NoData: the time is outside what the log covers.
        IncompleteLog: the log does not hold whole histories.

    Warns:
        IncompletePopulation: rows were there before the log began, so the log may not know all of them.
        UndeterminedState: entities are left out whose state the log does not tell.
        UncertainTime: entities that are absent may have been there at that time.
    """
    selected.require_states("aggregate")
    whole = whole_of(parent, items, key)
    when = asked_when(selected, whole, at)
    shape = selected.recorded.shape(parent)
    rows = live(selected, shape, when)
    if entity is not None:
        rows = rows.filter(pl.col("entity_id") == entity)
    return _Question(selected, when).with_items(shape, rows, whole)


def asked_when(selected: Selected, whole: Kind, at: Moment | None) -> datetime | None:
    """The instant that an aggregate is asked for; refuses what the log does not tell, and warns, as ``aggregate``."""
    types = tuple(dict.fromkeys(selected.recorded.shape(entity_type).entity_type for entity_type in whole.types()))
    when = selected.instant(at, *types) if at is not None else None
    selected.warn_partial(*types)
    warn_untold(selected, map(selected.recorded.shape, types), (when,))
    if when is not None:
        doubt.warn_absent(selected, when, *types)
    return when


def whole_of(parent: str, items: Items, key: Fields | None) -> Kind:
    """What an aggregate is made of: its parents with the kinds of their children, as ``aggregate`` takes them.

    Raises:
        BadOption: items are no tuple of a type and its fields, or a key is none.
    """
    return Kind(parent, (), _kinds(items), _fields(key))


def _kinds(items: object) -> dict[str, Kind]:
    """The kinds of children by the names of their columns, or ``BadOption``."""
    if isinstance(items, Mapping):
        return {name: _kind(given) for name, given in items.items()}
    kind = _kind(items)
    return {kind.entity_type.rpartition(".")[2]: kind}


def _kind(given: object) -> Kind:
    if isinstance(given, tuple) and 2 <= len(given) <= 4:  # noqa: PLR2004 - type, fields, items, key
        entity_type, refers, own, key = (*given, None, None)[:4]
        fields = _fields(refers)
        if isinstance(entity_type, str) and fields:
            return Kind(entity_type, fields, {} if own is None else _kinds(own), _fields(key))
    raise BadOption(
        f"items= takes (entity type, field), got {given!r}. Write e.g. ('orders.order_items', 'order_id'), with the "
        "children's own items third, or a mapping of names to such."
    )


def _fields(given: object) -> tuple[str, ...] | None:
    names = (given,) if isinstance(given, str) else given
    if names is None or (isinstance(names, tuple) and names and all(isinstance(name, str) for name in names)):
        return names
    raise BadOption(f"a key is the name of a field, or a tuple of names, got {given!r}.")


def places(shape: Shape, fields: tuple[str, ...]) -> list[int]:
    """The places of some fields of a type; ``UnknownField`` where it never had one."""
    names = [column.name for column in shape.columns]
    unknown = [name for name in fields if name not in names]
    if unknown:
        have = ", ".join(map(repr, names))
        raise UnknownField(f"{shape.entity_type} never had a field {', '.join(map(repr, unknown))}. It has {have}.")
    return [names.index(name) for name in fields]


def references(
    shape: Shape, rows: pl.DataFrame, key: tuple[str, ...] | None, children: Shape, kind: Kind
) -> tuple[pl.Series, pl.Series]:
    """The keys of the parents' rows, and which key each of the children's documents refers to.

    Args:
        shape: The parents' type.
        rows: Rows of it with the typed fields ``f0``, ``f1``, ...
        key: The fields that the children refer to, where that was said.
        children: The children's type.
        kind: What they are.
    """
    told = [children.columns[place] for place in places(children, kind.refers)]
    refers = key_texts([(column, column.typed) for column in told])
    fields = referred(shape, key, children, kind)
    if fields:
        return key_texts([(shape.columns[place], rows[f"f{place}"]) for place in fields]), refers
    ids = same_ids(shape.span_index.codes.entity_ids)
    refers = as_entity_ids(refers, ids, lambda one: str(entity_uuid(shape.entity_type, one)))
    return same_ids(rows["entity_id"]), refers


def referred(shape: Shape, key: tuple[str, ...] | None, children: Shape, kind: Kind) -> list[int]:
    """The places of a type's fields that its children refer to; none where that is its entity id.

    Raises:
        UnknownField: the children or the parents never had such a field.
        BadOption: as many fields as the children refer with do not stand there.
    """
    places(children, kind.refers)
    return places(shape, _key(shape, key, kind))


def _key(shape: Shape, key: tuple[str, ...] | None, kind: Kind) -> tuple[str, ...]:
    """The fields of a type that its children refer to; none is its entity id."""
    names = [column.name for column in shape.columns]
    if key is None and len(kind.refers) > 1 and set(kind.refers) <= set(names):
        return kind.refers
    if key is None and len(kind.refers) == 1:
        return ("id",) if "id" in names else ()
    if key is None or len(key) != len(kind.refers):
        raise BadOption(
            f"{kind.entity_type} refers to {shape.entity_type} by {', '.join(map(repr, kind.refers))}: say by key= "
            f"which {len(kind.refers)} fields of {shape.entity_type} these are, got {key!r}."
        )
    return key


@dataclass(frozen=True, slots=True)
class _Question:
    """What is asked of every level: the log and the instant."""

    selected: Selected
    at: datetime | None

    def with_items(self, shape: Shape, rows: pl.DataFrame, kind: Kind) -> pl.DataFrame:
        """Live rows of one type in their public form, with their children as lists.

        Args:
            shape: The type.
            rows: Its rows with the typed fields ``f0``, ``f1``, ...
            kind: The type's own items and their key.
        """
        result = shape.public(rows.select(*META, *(f"f{place}" for place in range(len(shape.columns)))), META)
        for wanted, own in kind.items.items():
            children = self.selected.recorded.shape(own.entity_type)
            keys, refers = references(shape, rows, kind.key, children, own)
            found = self._children(children, refers, keys.unique().drop_nulls(), own)
            lists = keys.rename("parent").to_frame().join(found, on="parent", how="left", maintain_order="left")
            name = wanted
            while name in result.columns:
                name = f"items.{name}"
            column = lists["items"].fill_null(pl.Series([[]], dtype=found.schema["items"]))
            result = result.with_columns(column.alias(name))
        return result

    def _children(self, shape: Shape, refers: pl.Series, parents: pl.Series, kind: Kind) -> pl.DataFrame:
        """One row a parent's key: ``parent`` and ``items``, its children by entity id, with their own."""
        versions = shape.versions
        tables = {
            "history": versions.with_columns(refers.gather(versions["doc"]).alias("parent")),
            "parents": parents.alias("parent").to_frame(),
            "params": params_frame(at=(self.at, TIME)),
        }
        found = self.selected.engine.run(queries.text("analysis", "aggregate"), tables, {})
        if self.at is not None:
            found = doubt.flagged(self.selected.recorded, shape.entity_type, found, self.at)
        children = self.with_items(shape, shape.with_fields(found), kind)
        frame = pl.DataFrame({"parent": found["parent"], "items": children.to_struct("items")})
        return frame.group_by("parent", maintain_order=True).agg(pl.col("items"))

"""Aggregate: a parent with its children, as they were together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from auditlab import queries
from auditlab.engines.base import params_frame
from auditlab.errors import UnknownField
from auditlab.schema import TIME
from auditlab.temporal import doubt
from auditlab.temporal.asof import META, live

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from auditlab.clock import Moment
    from auditlab.selection import Selected
    from auditlab.shape import Shape

__all__ = ["aggregate"]


def aggregate(
    selected: Selected,
    parent: str,
    *,
    items: tuple[str, str] | Mapping[str, tuple[str, str]],
    at: Moment | None = None,
    entity: str | None = None,
    key: str | None = None,
) -> pl.DataFrame:
    """Every live parent with its live children at an instant (inclusive); without one, the latest.

    Children are told by their own changes: one that was deleted or moved to another parent by then is not there.

    Args:
        selected: The log.
        parent: The parents' entity type.
        items: The children's entity type and the field in which they hold the parent's key; or several of them, by the
            name that their column shall have.
        at: A time; a bare date is 00:00, naive times are read in the log's zone.
        entity: One parent's entity id; without one, all.
        key: The parents' field that the children refer to; without one ``id`` where there is such a field, else the
            entity id.

    Returns:
        ``as_of``'s columns of the parent, and for each kind of children a list of structs of ``as_of``'s columns,
        named as given, or after the table.

    Raises:
        UnknownEntityType: the log has no such type.
        UnknownField: the children or the parents never had such a field.
        NoData: the time is outside what the log covers.
        IncompleteLog: the log does not hold whole histories.

    Warns:
        IncompletePopulation: rows were there before the log began, so the log may not know all of them.
        UncertainTime: entities that are absent may have been there at that time.
    """
    selected.require_states("aggregate")
    named = {items[0].rpartition(".")[2]: items} if isinstance(items, tuple) else dict(items)
    shape = selected.recorded.shape(parent)
    types = (parent, *(selected.recorded.shape(entity_type).entity_type for entity_type, _ in named.values()))
    when = selected.instant(at, *types) if at is not None else None
    selected.warn_partial(*types)
    if when is not None:
        doubt.warn_absent(selected, when, *types)
    rows = live(selected, shape, when)
    if entity is not None:
        rows = rows.filter(pl.col("entity_id") == entity)
    fields = [f"f{place}" for place in range(len(shape.columns))]
    keys = _keys(shape, rows, key)
    result = shape.public(rows.select(*META, *fields), META)
    one = keys[0] if len(keys) == 1 else None
    for name, (entity_type, field) in named.items():
        children = _children(selected, selected.recorded.shape(entity_type), field, when, one)
        found = pl.DataFrame({"parent": keys}).join(children, on="parent", how="left", maintain_order="left")
        column = found["items"].fill_null(pl.Series([[]], dtype=children.schema["items"]))
        result = result.with_columns(column.alias(name if name not in result.columns else f"items.{name}"))
    return result


def _keys(shape: Shape, rows: pl.DataFrame, key: str | None) -> pl.Series:
    names = [column.name for column in shape.columns]
    if key is None and "id" not in names:
        return rows["entity_id"].rename("parent")
    if key is not None and key not in names:
        raise _unknown(shape, key)
    return _key_texts(rows[f"f{names.index(key or 'id')}"]).rename("parent")


def _key_texts(values: pl.Series) -> pl.Series:
    """Keys as text, the same for the same number: one type's decimals may have more digits than the other's."""
    texts = values.cast(pl.String)
    if isinstance(values.dtype, pl.Decimal) and values.dtype.scale:
        texts = texts.str.strip_chars_end("0").str.strip_suffix(".")
    return texts


def _children(selected: Selected, shape: Shape, field: str, at: datetime | None, parent: str | None) -> pl.DataFrame:
    """One row a parent: ``parent`` (String) and ``items``, its children by entity id."""
    names = [column.name for column in shape.columns]
    if field not in names:
        raise _unknown(shape, field)
    place = names.index(field)
    history = shape.history.with_columns(_key_texts(shape.history[f"f{place}"]).alias("parent"))
    params: dict[str, tuple[Any, pl.DataType]] = {"at": (at, TIME), "parent": (parent, pl.String())}
    tables = {"history": history, "params": params_frame(**params)}
    rows = selected.engine.run(queries.text("analysis", "aggregate"), tables, {})
    parents = rows["parent"]
    children = shape.public(rows.select(*META, *(f"f{i}" for i in range(len(names)))), META)
    frame = pl.DataFrame({"parent": parents, "items": children.to_struct("items")})
    return frame.group_by("parent", maintain_order=True).agg(pl.col("items"))


def _unknown(shape: Shape, field: str) -> UnknownField:
    names = ", ".join(repr(column.name) for column in shape.columns)
    return UnknownField(f"{shape.entity_type} never had a field {field!r}. It has {names}.")

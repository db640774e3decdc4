"""Members: which entities made up one aggregate, at every time: the parent, its children, and theirs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from auditlab.schema import TIME
from auditlab.temporal.aggregate import references, whole_of

if TYPE_CHECKING:
    from datetime import datetime

    from auditlab.selection import Selected
    from auditlab.temporal.aggregate import Fields, Items, Kind

__all__ = ["Members", "members"]

VERSIONS: dict[str, pl.DataType] = {
    "kind": pl.String(),
    "entity_type": pl.String(),
    "entity_id": pl.String(),
    "version": pl.Int64(),
    "valid_from": TIME,
    "valid_to": TIME,
    "certain": pl.Boolean(),
    "parent": pl.String(),
    "doc": pl.UInt32(),
}
"""One row a version of a member; ``doc`` is its document in the type's ``Shape``. ``parent`` is the key that it refers
to, null for the parent of all; ``kind`` is the name of the children's column in ``aggregate``, dotted where children
have children, and empty for the parent."""


@dataclass(frozen=True)
class Members:
    """The members of one aggregate, of all times.

    Args:
        kinds: Their entity types by kind, parents before children.
        versions: ``VERSIONS``' columns.
        keys: ``kind`` (of the children), ``entity_id``, ``version`` and ``key``: what children refer to.
    """

    kinds: dict[str, str]
    versions: pl.DataFrame
    keys: pl.DataFrame

    def ids(self) -> dict[str, pl.Series]:
        """By entity type, the ids of all that ever were members."""
        found = self.versions.group_by("entity_type", maintain_order=True).agg(pl.col("entity_id").unique())
        return dict(zip(found["entity_type"], found["entity_id"], strict=True))

    def at(self, when: datetime) -> pl.DataFrame:
        """The members at an instant (inclusive): ``VERSIONS``' columns, parents before children, by entity id."""
        begun = pl.col("valid_from").is_null() | (pl.col("valid_from") <= when)
        live = self.versions.filter(begun & (pl.col("valid_to").is_null() | (pl.col("valid_to") > when)))
        found = [live.filter(pl.col("kind") == "")]
        by_kind = {"": found[0]}
        for kind in self.kinds:
            if kind:
                above = by_kind[kind.rpartition(".")[0]].select("entity_id", "version")
                keys = self.keys.filter(pl.col("kind") == kind).join(above, on=["entity_id", "version"], how="semi")
                own = live.filter(pl.col("kind") == kind, pl.col("parent").is_in(keys["key"].implode()))
                by_kind[kind] = own.sort("entity_id")
                found.append(by_kind[kind])
        return pl.concat(found)


def members(selected: Selected, parent: str, *, items: Items, entity: str, key: Fields | None = None) -> Members:
    """The members of one parent's aggregate: :func:`auditlab.temporal.aggregate.aggregate` at every time at once.

    Args:
        selected: The log.
        parent: The parent's entity type.
        items: Its children, as ``aggregate`` takes them.
        entity: The parent's entity id.
        key: The parent's fields that the children refer to, as ``aggregate`` takes them.

    Raises:
        UnknownEntityType: the log has no such type.
        UnknownField: the children or the parents never had such a field.
        BadOption: items are no tuple of a type and its fields, or as many fields as the key has do not stand there.
        IncompleteLog: the log does not hold whole histories.
    """
    selected.require_states("aggregate")
    whole = whole_of(parent, items, key)
    shape = selected.recorded.shape(parent)
    own = shape.versions.filter(pl.col("entity_id") == entity)
    nobody = pl.lit(None, dtype=pl.String)
    rows = own.with_columns(kind=pl.lit(""), entity_type=pl.lit(parent), parent=nobody)
    kinds = {"": parent}
    parts = [pl.DataFrame(schema=VERSIONS), rows.select(*VERSIONS)]
    keys: list[pl.DataFrame] = []
    _below(selected, "", whole, own, (kinds, parts, keys))
    empty = pl.DataFrame(schema={"kind": pl.String, "entity_id": pl.String, "version": pl.Int64, "key": pl.String})
    return Members(kinds, pl.concat(parts), pl.concat([empty, *keys]))


def _below(
    selected: Selected,
    above: str,
    kind: Kind,
    versions: pl.DataFrame,
    found: tuple[dict[str, str], list[pl.DataFrame], list[pl.DataFrame]],
) -> None:
    """Add the children of these versions, and theirs, to what was found."""
    kinds, parts, keys = found
    shape = selected.recorded.shape(kind.entity_type)
    rows = shape.with_fields(versions)
    for name, own in kind.items.items():
        path = f"{above}.{name}" if above else name
        children = selected.recorded.shape(own.entity_type)
        held, refers = references(shape, rows, kind.key, children, own)
        told = pl.lit(path).alias("kind")
        keys.append(versions.select(told, "entity_id", "version", held.alias("key")))
        docs = children.versions["doc"]
        mine = children.versions.with_columns(told, parent=refers.gather(docs), entity_type=pl.lit(own.entity_type))
        mine = mine.filter(pl.col("parent").is_in(held.drop_nulls().unique().implode()))
        kinds[path] = own.entity_type
        parts.append(mine.select(*VERSIONS))
        _below(selected, path, own, mine, found)

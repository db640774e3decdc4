"""Stored lists of changed fields, held against the two images that they were made from.

Three forms are known: an object of the new values (what the published trigger writes), an object of names to anything
else, and an array of names. Null and an empty list say that nothing changed.
"""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from auditlab import documents
from auditlab.errors import MalformedChange, SnapshotTooDeep, SnapshotTooLarge
from auditlab.masking import Masks
from auditlab.values import plain_texts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from auditlab.selection import Selected
    from auditlab.values import Column

__all__ = ["disagreeing"]

ROWS = {
    "position": pl.UInt32(),
    "field": pl.String(),
    "old": pl.String(),
    "new": pl.String(),
    "note": pl.String(),
}


def disagreeing(selected: Selected, positions: pl.Series | None = None) -> pl.DataFrame:
    """UPDATEs whose stored ``changed_fields`` are not what their images say: position, field, old, new, note.

    ``old`` is what the list says (null where it says nothing of the field) and ``new`` what the after image has.
    Of a field that was masked when the log was written, which of its changes were some, is not known.

    Args:
        selected: The log.
        positions: Only these changes, whose documents are then read apart; else all, by the log's derived tables.
    """
    recorded, masks = selected.recorded, Masks.of(selected.recorded.facts)
    rows = recorded.changes if positions is None else recorded.changes[positions.to_list()]
    stored = pl.col("changed_fields").is_not_null() & (pl.col("operation") == "UPDATE")
    rows = rows.filter(
        stored & pl.col("before_snapshot").is_not_null() & pl.col("entity_type").is_in(selected.entity_types)
    )
    found = [pl.DataFrame(schema=ROWS)]
    for (entity_type,), own in rows.group_by("entity_type", maintain_order=True):
        name = str(entity_type)
        if positions is None:
            shape = recorded.shape(name)
            told = shape.images.select("position", "before", "after")
            joined = own.join(told, on="position", how="left", maintain_order="left")
            columns, before, after = shape.columns, joined["before"], joined["after"]
        else:
            kinds = recorded.facts.kinds.get(name, {})
            read = documents.read(own["before_snapshot"], own["after_snapshot"], kinds, own["id"])
            columns, before, after = read.columns, read.before, read.after
        fields = _of_type(own, columns, before, after, recorded.facts.kinds.get(name, {}))
        hidden = masks.masked_of(name)
        found += [rows.filter(~pl.col("field").is_in(hidden)) for rows in fields] if hidden else fields
    return pl.concat(found)


class _List(NamedTuple):
    """What the lists say of one field, by row: whether they name it, and the value that they give; None for names."""

    said: pl.Series
    values: pl.Series | None


def _of_type(
    rows: pl.DataFrame, columns: tuple[Column, ...], before: pl.Series, after: pl.Series, kinds: dict[str, str]
) -> Iterator[pl.DataFrame]:
    own = {column.name: column for column in columns}
    objects = rows["changed_fields"].str.contains(r"^\s*\{")
    arrays = ~objects & rows["changed_fields"].str.contains(r"^\s*\[")
    for some, read in ((objects, _objects), (arrays, _arrays)):
        if not some.any():
            continue
        chosen = rows.filter(some)
        try:
            lists = read(chosen, kinds)
        except (MalformedChange, SnapshotTooDeep, SnapshotTooLarge) as exc:
            yield chosen.head(1).select("position", field=None, old=None, new=None, note=pl.lit(str(exc))).cast(ROWS)  # type: ignore[arg-type]  # names to types
            continue
        images = before.filter(some), after.filter(some)
        no = _List(pl.Series([False]).new_from_index(0, chosen.height), None)
        for name in {**own, **lists}:
            yield _of_field(chosen, own.get(name), name, images, lists.get(name, no))


def _objects(rows: pl.DataFrame, kinds: dict[str, str]) -> dict[str, _List]:
    none = rows["changed_fields"].clear().extend_constant(None, rows.height)
    read = documents.read(rows["changed_fields"], none, kinds, rows["id"])
    return {
        column.name: _List(column.code.gather(read.before).is_not_null(), _plain(column).gather(read.before))
        for column in read.columns
    }


def _plain(column: Column) -> pl.Series:
    return plain_texts(column.text) if column.kind == "mixed" else column.text


def _arrays(rows: pl.DataFrame, _kinds: dict[str, str]) -> dict[str, _List]:
    texts = rows["changed_fields"].unique()
    lists = pl.DataFrame(
        {"changed_fields": texts, "names": [_names(text) for text in texts]},
        schema={"changed_fields": pl.String, "names": pl.List(pl.String)},
    )
    names = rows.select("changed_fields").join(lists, on="changed_fields", how="left", maintain_order="left")["names"]
    return {name: _List(names.list.contains(name), None) for name in lists["names"].explode().drop_nulls().unique()}


_NAMELESS = "(no name)"
"""An entry of a list that is no name of a field; it may tell values, which are not to stand among the names."""


def _names(text: str) -> list[str]:
    try:
        return [name if isinstance(name, str) else _NAMELESS for name in json.loads(text)]
    except (ValueError, RecursionError):
        return []


def _of_field(
    rows: pl.DataFrame, column: Column | None, name: str, images: tuple[pl.Series, pl.Series], listed: _List
) -> pl.DataFrame:
    """The rows in which the list is wrong about one field; texts are looked at only where the list names it."""
    before, after = images
    if column is None:
        silent, unchanged, there = ~listed.said & listed.said, listed.said, ~listed.said & listed.said
    else:
        codes = column.code.gather(after)
        same, there = column.code.gather(before).eq_missing(codes), codes.is_not_null()
        silent, unchanged = ~same & there & ~listed.said, listed.said & same
    parts = [_noted(rows, silent, name, column, after, listed, "changed, and not in the list")]
    idle = _noted(rows, unchanged, name, column, after, listed, "in the list, and not changed")
    if column is not None and idle.height:
        idle = idle.filter(column.text.gather(before.filter(unchanged)).eq_missing(idle["new"]))
    parts.append(idle)
    if listed.values is not None:
        given = _noted(rows, listed.said & there, name, column, after, listed, "another value in the list")
        other = given.filter(pl.col("old").ne_missing(pl.col("new")))
        other = other.filter(
            pl.Series([not _alike(*pair) for pair in other.select("old", "new").iter_rows()], dtype=pl.Boolean)
        )
        parts.append(other.join(idle, on="position", how="anti", maintain_order="left"))
    return pl.concat(parts)


def _noted(
    rows: pl.DataFrame,
    where: pl.Series,
    name: str,
    column: Column | None,
    after: pl.Series,
    listed: _List,
    note: str,
) -> pl.DataFrame:
    """``ROWS``' columns of the chosen rows."""
    if not where.any():
        return pl.DataFrame(schema=ROWS)
    nothing = pl.lit(None, dtype=pl.String)
    return rows.filter(where).select(
        "position",
        pl.lit(name).alias("field"),
        (nothing if listed.values is None else pl.lit(listed.values.filter(where))).alias("old"),
        (nothing if column is None else pl.lit(column.text.gather(after.filter(where)))).alias("new"),
        pl.lit(note).alias("note"),
    )


def _alike(listed: str | None, image: str | None) -> bool:
    """Whether two texts of one value say the same, whatever the columns that they come from; names say nothing."""
    if listed is None or image is None:
        return False
    if listed[:1] in "{[" and image[:1] not in ("{", "["):
        return True  # old and new together, or another form that only names the field
    try:
        one, two = (
            json.loads(text, parse_float=Decimal) if text[:1] in ('"', "{", "[") else text for text in (listed, image)
        )
    except ValueError:
        return False
    if one == two or (isinstance(one, list) and len(one) == 2 and one[1] == two):  # noqa: PLR2004 - old and new
        return True
    try:
        return Decimal(str(one)) == Decimal(str(two))
    except InvalidOperation:
        return False

"""Stored lists of changed fields, held against the two images that they were made from.

Three forms are known: an object of the new values (what the published trigger writes), an object of names to anything
else, and an array of names. Null and an empty list say that nothing changed.
"""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

import polars as pl

from auditlab import documents

if TYPE_CHECKING:
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

    Args:
        selected: The log.
        positions: Only these changes, whose documents are then read apart; else all, by the log's derived tables.
    """
    recorded = selected.recorded
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
        found += list(_of_type(own, columns, before, after, recorded.facts.kinds.get(name, {})))
    return pl.concat(found)


def _of_type(
    rows: pl.DataFrame, columns: tuple[Column, ...], before: pl.Series, after: pl.Series, kinds: dict[str, str]
) -> list[pl.DataFrame]:
    own = {column.name: column for column in columns}
    objects = rows["changed_fields"].str.contains(r"^\s*\{")
    arrays = ~objects & rows["changed_fields"].str.contains(r"^\s*\[")
    found = []
    if objects.any():
        some = rows.filter(objects)
        read = documents.read(
            some["changed_fields"], some["changed_fields"].clear().extend_constant(None, some.height), kinds, some["id"]
        )
        listed = {column.name: (column, read.before) for column in read.columns}
        for name in {**own, **listed}:
            column, doc = listed.get(name, (None, None))
            said = None if column is None or doc is None else column.code.gather(doc).is_not_null()
            values = None if column is None or doc is None else column.text.gather(doc)
            found.append(
                _of_field(some, name, own.get(name), (before.filter(objects), after.filter(objects)), said, values)
            )
    if arrays.any():
        some = rows.filter(arrays)
        texts = some["changed_fields"].unique()
        lists = pl.DataFrame(
            {"changed_fields": texts, "names": [[str(name) for name in json.loads(text)] for text in texts]},
            schema={"changed_fields": pl.String, "names": pl.List(pl.String)},
        )
        names = some.select("changed_fields").join(lists, on="changed_fields", how="left", maintain_order="left")[
            "names"
        ]
        for name in {**own, **dict.fromkeys(lists["names"].explode().drop_nulls().to_list())}:
            said = names.list.contains(name)
            found.append(
                _of_field(some, name, own.get(name), (before.filter(arrays), after.filter(arrays)), said, None)
            )
    return found


def _of_field(
    rows: pl.DataFrame,
    name: str,
    column: Column | None,
    images: tuple[pl.Series, pl.Series],
    said: pl.Series | None,
    values: pl.Series | None,
) -> pl.DataFrame:
    """The rows in which the list is wrong about one field."""
    no = pl.Series([False]).new_from_index(0, rows.height)
    said = no if said is None else said
    before, after = images
    if column is None:
        same, there, text = ~no, no, pl.Series([None], dtype=pl.String).new_from_index(0, rows.height)
        reworded = no
    else:
        same = column.code.gather(before).eq_missing(column.code.gather(after))
        there = column.code.gather(after).is_not_null()
        text = column.text.gather(after)
        reworded = column.text.gather(before).ne_missing(text)
    silent = ~same & there & ~said
    idle = said & same & ~reworded
    other = no if values is None else said & there & ~idle & values.ne_missing(text)
    if other.any() and values is not None:
        pairs = zip(values.filter(other), text.filter(other), strict=True)
        other = other.scatter(other.arg_true(), [not _alike(one, two) for one, two in pairs])
    wrong = silent | idle | other
    if not wrong.any():
        return pl.DataFrame(schema=ROWS)
    words = [
        (silent, "changed, and not in the list"),
        (idle, "in the list, and not changed"),
        (other, "another value in the list"),
    ]
    note = pl.coalesce(pl.when(pl.lit(where)).then(pl.lit(word)) for where, word in words)
    nothing = pl.Series([None], dtype=pl.String).new_from_index(0, rows.height)
    listed = nothing if values is None else values
    return rows.select(
        "position",
        pl.lit(name).alias("field"),
        pl.lit(listed.cast(pl.String)).alias("old"),
        pl.lit(text).alias("new"),
        note.alias("note"),
    ).filter(wrong)


def _alike(listed: str | None, image: str | None) -> bool:
    """Whether two texts of one value say the same, whatever the columns that they come from; names say nothing."""
    if listed is None or image is None:
        return False
    if listed[:1] in "{[" and image[:1] not in ("{", "["):
        return True  # old and new together, or another form that only names the field
    try:
        one, two = (json.loads(text) if text[:1] in ('"', "{", "[") else text for text in (listed, image))
    except ValueError:
        return False
    if one == two:
        return True
    try:
        return Decimal(str(one)) == Decimal(str(two))
    except InvalidOperation:
        return False

"""The rows of one entity type that came after a checkpoint, by their columns, from files of whatever forms.

Fields have one kind over all the files: where theirs differ, the field's JSON texts stand in place of its values. So
two values of a field are the same text in their documents where they are the same in their columns.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa

from auditlab.archive.form import Field, Form, Layout, columns_of
from auditlab.archive.kinds import ENTITY, arrow_type, stored, told
from auditlab.archive.shredded import Shredded, shredded_in
from auditlab.dictionary import codes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

__all__ = ["before", "differing", "tail_of"]

_NARROW = (
    "id", "operation", "changed_at", "committed_at", "transaction_id", "partition", "metadata", "entity_id",
    "entity_uuid", "before_snapshot", "after_snapshot", "before_layout", "after_layout", "differs",
)  # fmt: skip
_SIDES = ("after", "before")


def tail_of(files: Sequence[Path], prove: Callable[[Path], object]) -> Shredded:
    """The rows of some files in their order, in one form.

    Args:
        files: The files, at least one.
        prove: Raises where a file is not what it must be; called before a row of it is used.
    """
    parts = []
    for path in files:
        prove(path)
        parts.append(shredded_in(path, _NARROW, _SIDES))
    form = _together([rows.form for rows in parts])
    cells = pl.concat([_cells(rows, form) for rows in parts], rechunk=True)
    return Shredded(cells, form, pl.concat([rows.ids for rows in parts], rechunk=True))


def before(rows: Shredded, place: int, differs: Callable[[str], pl.Series | None]) -> pl.Series:
    """The column of a field of the before images; what stands in it where there is none means nothing.

    Args:
        rows: The rows.
        place: The field.
        differs: ``differing`` of the rows.
    """
    after = rows.column(place)
    if rows.form.fields[place].kind in ENTITY:
        return after
    own = differs(rows.form.fields[place].name)
    return after if own is None else rows.column(place, "before").zip_with(own, after)


def differing(rows: Shredded) -> Callable[[str], pl.Series | None]:
    """Tells by a field's name which before images have their own value of it (Boolean); None where none has."""
    told_by = rows.cells["differs"]
    numbers = codes(told_by)
    firsts = numbers.arg_unique()
    known = pl.DataFrame({"number": numbers.gather(firsts), "text": told_by.gather(firsts)}).drop_nulls()
    names = [frozenset(json.loads(text)) for text in known.sort("number")["text"]]
    alone = rows.cells["before_layout"].is_not_null() & numbers.is_null()
    single = bool(alone.any())

    def differs(name: str) -> pl.Series | None:
        if not any(name in one for one in names):
            return alone if single else None
        own = pl.Series([name in one for one in names], dtype=pl.Boolean).gather(numbers)
        return own.fill_null(value=False) | alone

    return differs


def _together(forms: Sequence[Form]) -> Form:
    """One form for rows of all of these: their fields by first appearance, their layouts one after the other."""
    kinds: dict[str, str] = {}
    for form in forms:
        for one in form.fields:
            kinds[one.name] = one.kind if kinds.get(one.name, one.kind) == one.kind else "json"
    places = {name: place for place, name in enumerate(kinds)}
    fields = tuple(Field(name, kinds[name], column) for name, column in zip(kinds, columns_of(kinds), strict=True))
    layouts: dict[Layout, None] = {}
    for form in forms:
        layouts |= dict.fromkeys(_layout(one, form, places) for one in form.layouts)
    return Form(fields, list(layouts))


def _layout(layout: Layout, form: Form, places: dict[str, int]) -> Layout:
    """A layout of a file's form by the places of the fields in another."""
    return Layout(tuple(places[form.fields[place].name] for place in layout.fields), layout.colon, layout.comma)


def _cells(rows: Shredded, form: Form) -> pl.DataFrame:
    """The cells of rows of one file in the columns of a form."""
    places = {one.name: place for place, one in enumerate(form.fields)}
    numbers = {layout: number for number, layout in enumerate(form.layouts)}
    own = [numbers[_layout(one, rows.form, places)] for one in rows.form.layouts]
    cells = {name: rows.cells[name] for name in _NARROW}
    for name in ("after_layout", "before_layout"):
        cells[name] = pl.Series(own, dtype=pl.Int64).gather(cells[name])
    there = {one.name: place for place, one in enumerate(rows.form.fields)}
    for field in form.fields:
        for side in _SIDES if field.kind not in ENTITY else ():
            cells[f"{side}.{field.column}"] = _of_kind(rows, there.get(field.name), field.kind, side)
    return pl.DataFrame(cells)


def _of_kind(rows: Shredded, place: int | None, kind: str, side: str) -> pl.Series:
    """A field's column (its place, None where the rows have none) as one of a kind."""
    if place is None:
        return pl.Series(pa.nulls(len(rows), arrow_type(kind)))
    column, has = rows.column(place, side), rows.form.fields[place].kind
    if has == kind:
        return column
    raw = stored(kind, told(has, column, rows.ids))
    return raw.zip_with(rows.has(place, side), raw.clear().extend_constant(None, len(raw))) if has in ENTITY else raw

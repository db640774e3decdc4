"""The recorded rows of a data file, to the byte, whichever format of archive it is of."""

from __future__ import annotations

import json
from functools import cached_property
from typing import TYPE_CHECKING

import polars as pl

from auditlab.archive.form import DOCUMENTS, IDS, Form
from auditlab.archive.kinds import ENTITY, told
from auditlab.dictionary import codes
from auditlab.load.uuids import uuid_text
from auditlab.schema import CHANGES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    import pyarrow as pa

    from auditlab.archive.form import Layout

__all__ = ["recorded_rows", "stored_columns"]


def recorded_rows(rows: pa.Table, form: Form | None, columns: Collection[str] = tuple(CHANGES)) -> pl.DataFrame:
    """The canonical columns of rows of a data file, in their order, every text as it was recorded.

    Args:
        rows: Rows of the file: of its columns at least :func:`stored_columns`.
        form: The file's form, as its metadata has it (``form.form_of``).
        columns: The canonical columns that are wanted.
    """
    found = pl.DataFrame(rows)
    if form is not None:
        found = found.with_columns(_Rows(rows, found, form).recorded(columns))
    missing = [pl.lit(None, dtype=CHANGES[name]).alias(name) for name in columns if name not in found.columns]
    return (found.with_columns(missing) if missing else found)[[name for name in CHANGES if name in columns]]


def stored_columns(form: Form | None, columns: Collection[str], there: Sequence[str]) -> list[str]:
    """Of the columns that are there in a file, those that the canonical columns are made from."""
    wanted = set(columns)
    if form is not None:
        wanted |= {other for name, other in IDS.items() if name in wanted}
        if wanted.intersection(DOCUMENTS):
            wanted |= {"entity_id", "entity_uuid", "after_layout", "before_layout", "differs", "changed_fields_told"}
            wanted |= {name for _, name in form.columns("after")}
        if "before_snapshot" in wanted:
            wanted |= {name for _, name in form.columns("before")}
    return [name for name in there if name in wanted]


SELDOM = 8
"""Where of so many rows less than one has no image, its text is made from columns of all rows, and taken away again."""


class _Rows:
    """Rows of one file, whose fields' texts are made once."""

    def __init__(self, rows: pa.Table, frame: pl.DataFrame, form: Form) -> None:
        self._rows, self._frame, self._form = rows, frame, form
        self._keys = [json.dumps(one.name, ensure_ascii=False) for one in form.fields]
        self._ids: dict[str, pl.Series] = {}
        self._after: dict[int, pl.Series] = {}
        self._told: tuple[pl.Series, list[frozenset[str]]] | None = None

    def recorded(self, columns: Collection[str]) -> list[pl.Series]:
        """Those of the canonical columns that are not in the file as they are."""
        made = [self._id(name).alias(name) for name in IDS if name in columns]
        whole = {"after_snapshot": self._afters, "before_snapshot": self._befores, "changed_fields": self._changed}
        for name in DOCUMENTS:
            if name in columns:
                text = self._frame[name]
                built = whole[name]()
                made.append(
                    (built if text.null_count() == len(text) else text.zip_with(text.is_not_null(), built)).alias(name)
                )
        return made

    def _id(self, name: str) -> pl.Series:
        if name not in self._ids:
            text, raw = self._frame[name], self._rows.column(IDS[name])
            if raw.null_count < len(raw):
                uuids = pl.Series(uuid_text(_one(raw)))
                text = uuids if text.null_count() == len(text) else text.zip_with(text.is_not_null(), uuids)
            self._ids[name] = text
        return self._ids[name]

    def _afters(self) -> pl.Series:
        return _by_layout(
            self._frame["after_layout"],
            lambda number, at: self._text(
                self._form.layouts[number], lambda place: _gathered(self._after_raw(place), at)
            ),
        )

    def _befores(self) -> pl.Series:
        stored = dict(self._form.columns("before"))

        def raw(place: int, at: pl.Series | None) -> pl.Series:
            after = _gathered(self._after_raw(place), at)
            if place not in stored or not self._may_differ(place):
                return after
            own = _gathered(self._differs(place), at).fill_null(value=True)
            rows = own.arg_true()
            column = _gathered(self._frame[stored[place]], at)[rows]
            texts = told(self._form.fields[place].kind, column, column)
            turn = pl.int_range(len(after), dtype=pl.UInt32, eager=True)
            turn = turn.scatter(rows, pl.int_range(len(after), len(after) + len(rows), dtype=pl.UInt32, eager=True))
            return pl.concat([after, texts.rename(after.name)])[turn]

        return _by_layout(
            self._frame["before_layout"],
            lambda number, at: self._text(self._form.layouts[number], lambda place: raw(place, at)),
        )

    def _changed(self) -> pl.Series:
        told_by = self._frame["changed_fields_told"]
        layouts = self._frame["after_layout"].zip_with(told_by.fill_null(value=False), _nulls(len(told_by), pl.Int64()))

        def text(number: int, at: pl.Series | None) -> pl.Series:
            layout = self._form.layouts[number]
            pieces = [
                pl.when(pl.lit(_gathered(self._differs(place), at))).then(
                    pl.lit(self._keys[place] + layout.colon) + pl.lit(_gathered(self._after_raw(place), at))
                )
                for place in layout.fields
                if self._is_named(place)
            ]
            inner = pl.concat_str(pieces, separator=layout.comma, ignore_nulls=True) if pieces else pl.lit("")
            return pl.select(pl.concat_str([pl.lit("{"), inner, pl.lit("}")])).to_series()

        return _by_layout(layouts, text)

    def _text(self, layout: Layout, raw: Callable[[int], pl.Series]) -> pl.Series:
        pieces = []
        start = "{"
        for place in layout.fields:
            pieces += [pl.lit(start + self._keys[place] + layout.colon), pl.lit(raw(place))]
            start = layout.comma
        return pl.select(pl.concat_str([*pieces, pl.lit("}" if pieces else "{}")])).to_series()

    def _after_raw(self, place: int) -> pl.Series:
        if place not in self._after:
            field = self._form.fields[place]
            entity = self._id("entity_id")
            column = entity if field.kind in ENTITY else self._frame[f"after.{field.column}"]
            self._after[place] = told(field.kind, column, entity)
        return self._after[place]

    def _may_differ(self, place: int) -> bool:
        """Whether any before image that is made of columns has its own value of a field."""
        return self._all_differ or self._is_named(place)

    def _is_named(self, place: int) -> bool:
        """Whether any row's ``differs`` names a field."""
        return any(self._form.fields[place].name in one for one in self._named()[1])

    @cached_property
    def _all_differ(self) -> bool:
        """Whether one of them has its own values of all fields."""
        return bool((self._frame["before_layout"].is_not_null() & self._named()[0].is_null()).any())

    def _differs(self, place: int) -> pl.Series:
        """Whether the before image has its own value of a field; null where it has its own of all."""
        numbers, named = self._named()
        name = self._form.fields[place].name
        if not named:
            return _nulls(len(numbers), pl.Boolean())
        return pl.Series([name in one for one in named], dtype=pl.Boolean)[numbers]

    def _named(self) -> tuple[pl.Series, list[frozenset[str]]]:
        """Of each row the number (UInt32) of what ``differs`` names, null where it is null; and those names."""
        if self._told is None:
            numbers = codes(self._frame["differs"])
            firsts = numbers.arg_unique()
            known = pl.DataFrame({"number": numbers[firsts], "text": self._frame["differs"][firsts]})
            texts = known.drop_nulls().sort("number")["text"]
            self._told = numbers, [frozenset(json.loads(text)) for text in texts]
        return self._told


def _by_layout(layouts: pl.Series, text: Callable[[int, pl.Series | None], pl.Series]) -> pl.Series:
    """The texts of rows by the number of their layout (and the rows that have it, None for all); null without one."""
    numbers = layouts.unique().to_list()
    if len(numbers) == 1:
        number = numbers[0]
        return _nulls(len(layouts), pl.String()) if number is None else _as_long(text(number, None), len(layouts))
    if len(numbers) == 2 and 0 < layouts.null_count() * SELDOM < len(layouts):  # noqa: PLR2004 - one layout, and none
        number = next(number for number in numbers if number is not None)
        made = _as_long(text(number, None), len(layouts))
        return made.zip_with(layouts.is_not_null(), _nulls(len(layouts), pl.String()))
    rows, texts = [], []
    for number in numbers:
        at = (layouts.is_null() if number is None else layouts == number).arg_true()
        rows.append(at)
        texts.append(_nulls(len(at), pl.String()) if number is None else _as_long(text(number, at), len(at)))
    if not rows:
        return _nulls(0, pl.String())
    return pl.concat(texts).gather(pl.concat(rows).arg_sort())


def _as_long(texts: pl.Series, rows: int) -> pl.Series:
    """A layout without fields gives one text for all rows."""
    return texts if len(texts) == rows else texts.new_from_index(0, rows)


def _gathered(column: pl.Series, at: pl.Series | None) -> pl.Series:
    return column if at is None else column[at]


def _nulls(rows: int, dtype: pl.DataType) -> pl.Series:
    return pl.Series([None], dtype=dtype).new_from_index(0, rows)


def _one(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)

"""The rows of a data file in its form: documents as columns where those give back every byte, else as text.

That they do is not argued but tried: what the columns give (:func:`auditlab.archive.decode.recorded_rows`) is compared
with what was recorded, row by row, and a row that comes back otherwise is kept as text.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import polars as pl

from auditlab.archive.decode import recorded_rows
from auditlab.archive.form import DOCUMENTS, IDS, Field, Form, Layout, columns_of, schema_of
from auditlab.archive.kinds import kind_of, stored
from auditlab.documents import by_layout
from auditlab.layouts import SCALAR
from auditlab.load.uuids import uuid_bytes
from auditlab.schema import CHANGES

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa

    from auditlab.layouts import Flat

__all__ = ["Shredder"]

MOST_FIELDS = 500
"""Fields that get columns; documents with others are kept as text."""

MOST_LAYOUTS = 1_000
OFTEN = 24
"""Layouts that are tried on all documents at once, those that came first."""
FEW = 64
"""Documents below which that is not worth it."""

SAMPLE = 4_096
"""Rows from which the fields and their kinds are learned: what one in a thousand has is hardly ever missed in them."""

STALE = 0.05
"""The share of documents kept as text, beyond those of the first rows, from which on a new file is worth it."""

_STYLES = ((": ", ", "), (":", ","))
_WORD = 60
"""Fields whose difference is told by the bits of one number."""


class Shredder:
    """Makes the columns of one data file; its first rows decide which fields have columns, and of which kind.

    Args:
        rows: The first rows of the file, in the canonical columns.
    """

    def __init__(self, rows: pl.DataFrame) -> None:
        rows = rows.sample(min(len(rows), SAMPLE), seed=0)  # drawn, as what is regular would be met by every n-th row
        texts = _texts(rows)
        groups = _split(texts, texts.is_not_null().arg_true())
        self.form = Form(_fields(groups, rows["entity_id"]))
        self.schema = schema_of(self.form)
        self.stale = False
        self._numbers: dict[Layout, int] = {}
        places = {one.name: place for place, one in enumerate(self.form.fields)}
        for flat in sorted(groups, key=lambda flat: -len(flat.numbers)):
            self._number(texts[int(flat.numbers[0])], tuple(flat.fields), places)
        self._first: float | None = None
        self._rows = self._as_text = 0

    def table(self, rows: pl.DataFrame) -> pa.Table:
        """The rows in the columns of the file (``schema``)."""
        cells = pl.DataFrame({**self._ids(rows), **self._documents(rows)})
        plain = rows.select(name for name in CHANGES if name not in (*IDS, *DOCUMENTS))
        told = self._arrow(pl.concat([plain, cells], how="horizontal"))
        back = recorded_rows(told, self.form)
        other = {name: back[name].ne_missing(rows[name]) for name in CHANGES}
        listed = other.pop("changed_fields")
        odd = pl.DataFrame(other).select(pl.any_horizontal(pl.all())).to_series()
        if odd.any() or listed.any():
            kept = dict.fromkeys(DOCUMENTS, odd) | {"changed_fields": odd | listed}
            as_text = [
                pl.when(pl.lit(at)).then(pl.lit(rows[name])).otherwise(name).alias(name) for name, at in kept.items()
            ]
            rest = [name for name in cells.columns if name not in (*DOCUMENTS, *IDS, *IDS.values())]
            cells = cells.with_columns(
                *as_text,
                *(pl.when(~pl.lit(kept.get(name.removesuffix("_told"), odd))).then(name).alias(name) for name in rest),
            )
            told = self._arrow(pl.concat([plain, cells], how="horizontal"))
        self._rows += len(cells)
        self._as_text += int((cells["before_snapshot"].is_not_null() | cells["after_snapshot"].is_not_null()).sum())
        return told

    def judge(self) -> None:
        """Find the file stale where more of the rows since the last time are kept as text than of the first ones."""
        share = self._as_text / max(1, self._rows)
        self._rows = self._as_text = 0
        if self._first is None:
            self._first = share
        self.stale |= share > self._first + STALE

    def _ids(self, rows: pl.DataFrame) -> dict[str, pl.Series]:
        columns = {}
        for name, other in IDS.items():
            raw = pl.Series(uuid_bytes(rows[name].to_arrow(compat_level=pl.CompatLevel.oldest())))
            columns[name] = pl.select(pl.when(pl.lit(raw).is_null()).then(pl.lit(rows[name]))).to_series()
            columns[other] = raw
        return columns

    def _documents(self, rows: pl.DataFrame) -> dict[str, pl.Series]:
        texts = _texts(rows)
        raws = self._raws(texts)
        after, before = raws[: len(rows)], raws[len(rows) :]
        both = (after["layout"].is_not_null() & before["layout"].is_not_null()).alias("both")
        differs = pl.DataFrame(
            [after[name].ne_missing(before[name]).alias(name) for name in _names(self.form)] or {"none": both}
        )
        alone = before["layout"].is_not_null() & after["layout"].is_null()
        columns = {
            "after_snapshot": texts[: len(rows)].zip_with(after["layout"].is_null(), _nulls(len(rows))),
            "before_snapshot": texts[len(rows) :].zip_with(before["layout"].is_null(), _nulls(len(rows))),
            "after_layout": after["layout"],
            "before_layout": before["layout"],
            "differs": self._differing(differs, both),
        }
        told = columns["differs"].is_not_null() & rows["changed_fields"].is_not_null()
        columns["changed_fields_told"] = pl.select(pl.when(pl.lit(told)).then(pl.lit(value=True))).to_series()
        columns["changed_fields"] = rows["changed_fields"].zip_with(~told, _nulls(len(rows)))
        for place, name in self.form.columns("after"):
            columns[name] = stored(self.form.fields[place].kind, after[f"f{place}"])
        for place, name in self.form.columns("before"):
            own = alone | (both & differs[f"f{place}"])
            raw = before[f"f{place}"]
            columns[name] = stored(self.form.fields[place].kind, raw.zip_with(own, _nulls(len(rows))))
        return columns

    def _raws(self, texts: pl.Series) -> pl.DataFrame:
        """The documents' layouts (Int64, null where they are kept as text) and raw fields ``f0``, ``f1`` ..."""
        places = {one.name: place for place, one in enumerate(self.form.fields)}
        none = dict.fromkeys(_names(self.form), pl.String)
        frames = [pl.DataFrame(schema={"document": pl.UInt32, "layout": pl.Int64, **none})]
        left = texts.is_not_null().arg_true()
        for number, layout in enumerate(self.form.layouts[:OFTEN]):
            if len(left) < FEW:
                break
            cells, fits = self._cut(texts if len(left) == len(texts) else texts.gather(left), layout)
            if fits.any():
                frames.append(
                    _numbered(left.filter(fits), number, {name: raw.filter(fits) for name, raw in cells.items()})
                )
                left = left.filter(~fits)
        for flat in _split(texts, left):
            layout_number = self._number(texts[int(flat.numbers[0])], tuple(flat.fields), places)
            if layout_number is not None:
                own = {f"f{places[name]}": raw for name, raw in flat.fields.items()}
                frames.append(_numbered(flat.numbers, layout_number, own))
        found = pl.concat(frames, how="diagonal")
        if len(frames) == 2 and len(found) == len(texts):  # noqa: PLR2004 - one layout, nothing to put together
            return found
        document = pl.int_range(len(texts), dtype=pl.UInt32, eager=True).alias("document").to_frame()
        return document.join(found, on="document", how="left", maintain_order="left")

    def _cut(self, texts: pl.Series, layout: Layout) -> tuple[dict[str, pl.Series], pl.Series]:
        """The raw fields of texts of a layout, and which of the texts are of it.

        A text is cut at what stands between fields. That a value which holds that, too, is no field's is seen by the
        next key, or by the value itself: a column of its kind does not take it.
        """
        fits = pl.Series([bool(layout.fields)]).new_from_index(0, len(texts))
        cells: dict[str, pl.Series] = {}
        parts = texts.str.splitn(f'{layout.comma}"', max(1, len(layout.fields))).struct.unnest()
        for part, place in zip(parts, layout.fields, strict=False):
            field = self.form.fields[place]
            key = json.dumps(field.name, ensure_ascii=False) + layout.colon
            start = key[1:] if cells else "{" + key
            fits &= part.str.starts_with(start).fill_null(value=False)
            raw = part.str.strip_prefix(start)
            if len(cells) == len(layout.fields) - 1:
                fits &= part.str.ends_with("}").fill_null(value=False)
                raw = raw.str.strip_suffix("}")
            if field.kind == "json":
                fits &= raw.str.contains(SCALAR).fill_null(value=False)
            cells[f"f{place}"] = raw
        return cells, fits

    def _number(self, text: str, names: tuple[str, ...], places: dict[str, int]) -> int | None:
        """The number of a document's layout; None where it gets none."""
        if any(name not in places for name in names):
            return None
        start = "{" + json.dumps(names[0], ensure_ascii=False) if names else "{"
        colon, comma = next((style for style in _STYLES if text.startswith(start + style[0])), _STYLES[0])
        layout = Layout(tuple(places[name] for name in names), colon, comma)
        if layout not in self._numbers:
            if len(self._numbers) >= MOST_LAYOUTS:
                return None
            self._numbers[layout] = len(self.form.layouts)
            self.form.layouts.append(layout)
        return self._numbers[layout]

    def _differing(self, differs: pl.DataFrame, both: pl.Series) -> pl.Series:
        """The names of the fields in which two images differ, as a JSON array; null where there are not two."""
        names = [one.name for one in self.form.fields]
        words = []
        for start in range(0, len(names), _WORD):
            own = differs.columns[start : start + _WORD]
            bits = (pl.col(name).cast(pl.UInt64) * 2**place for place, name in enumerate(own))
            words.append(differs.select(pl.sum_horizontal(bits)).to_series().alias(f"w{start}"))
        told = pl.DataFrame(words or {"w0": pl.Series([0], dtype=pl.UInt64).new_from_index(0, len(both))})
        known = told.filter(both).unique(maintain_order=True)
        known = known.with_columns(text=pl.Series([_array(names, row) for row in known.iter_rows()], dtype=pl.String))
        text = told.join(known, on=told.columns, how="left", maintain_order="left")["text"]
        return text.zip_with(both, _nulls(len(both)))

    def _arrow(self, cells: pl.DataFrame) -> pa.Table:
        return cells.select(self.schema.names).to_arrow(compat_level=pl.CompatLevel.oldest()).cast(self.schema)


def _array(names: list[str], words: Iterable[int]) -> str:
    own = [
        name
        for start, word in zip(range(0, len(names), _WORD), words, strict=False)
        for place, name in enumerate(names[start : start + _WORD])
        if word >> place & 1
    ]
    return json.dumps(own, ensure_ascii=False)


def _names(form: Form) -> list[str]:
    return [f"f{place}" for place in range(len(form.fields))]


def _texts(rows: pl.DataFrame) -> pl.Series:
    """The after images, then the before images."""
    return pl.concat([rows["after_snapshot"].rename("text"), rows["before_snapshot"].rename("text")])


def _numbered(documents: pl.Series, number: int, cells: dict[str, pl.Series]) -> pl.DataFrame:
    layout = pl.Series([number], dtype=pl.Int64).new_from_index(0, len(documents))
    return pl.DataFrame({"document": documents, "layout": layout, **cells})


def _split(texts: pl.Series, wanted: pl.Series) -> list[Flat]:
    """The wanted documents by layout; what is none, or is nested too deep, is left out."""
    return list(by_layout(texts, wanted, lambda _kind, _number: None)[0])


def _fields(groups: list[Flat], entity: pl.Series) -> tuple[Field, ...]:
    """The fields of documents, each with the kind that takes all of its values."""
    entities = pl.concat([entity, entity])
    raws: dict[str, list[tuple[pl.Series, pl.Series]]] = {}
    for flat in groups:
        for name, raw in flat.fields.items():
            if name in raws or len(raws) < MOST_FIELDS:
                raws.setdefault(name, []).append((raw, flat.numbers))
    kinds = {
        name: kind_of(
            pl.concat([raw.rename("raw") for raw, _ in parts]), entities.gather(pl.concat([at for _, at in parts]))
        )
        for name, parts in raws.items()
    }
    return tuple(
        Field(name, kind, column) for (name, kind), column in zip(kinds.items(), columns_of(kinds), strict=True)
    )


def _nulls(rows: int) -> pl.Series:
    return pl.Series([None], dtype=pl.String).new_from_index(0, rows)

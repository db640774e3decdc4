"""Split flat documents of one layout a whole column at a time: several times faster than one document at a time.

A text that reads ``{"a": <scalar>, "b": <scalar>}`` with the keys of its layout, each scalar in JSON's own grammar, has
exactly those fields. Whatever does not read so is left to the exact parser in :mod:`auditlab.documents`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from auditlab.dictionary import Coded, Texts, repeated
from auditlab.threads import side_by_side

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["SCALAR", "Flat", "split_flat"]

SCALAR = (
    r'^(?:"(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*"'
    r"|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null)$"
)
"""A JSON scalar, by the grammar of RFC 8259."""

STYLES = ((": ", ", "), (":", ","))
"""How PostgreSQL's jsonb and most writers separate, and how compact ones do."""

MOST_LAYOUTS = 24
FEWEST = 64
"""Documents below which a layout is not worth a pass over the columns."""


BATCH = 50_000
"""Documents that are cut at once: the layouts of a log change with time, and most batches have one."""

Layout = tuple[tuple[str, str], ...]
"""The keys of a document, each with what its text begins with."""


class Flat(NamedTuple):
    """The documents of one layout.

    Args:
        numbers: UInt32; their numbers.
        fields: Their fields' raw JSON text, in the order of the text.
    """

    numbers: pl.Series
    fields: Mapping[str, pl.Series]


def split_flat(
    texts: pl.Series, numbers: pl.Series, parse: Callable[[str], Mapping[str, str]]
) -> tuple[list[Flat], pl.Series]:
    """The flat documents by layout, and the numbers of those that are left.

    Args:
        texts: All documents.
        numbers: UInt32; those to be split, rising.
        parse: Gives one document's fields, to learn its layout; raises ``ValueError`` for what is no document.
    """
    cut: dict[Layout, list[tuple[pl.Series, pl.DataFrame]]] = {}
    left = [numbers.clear()]
    starts = range(0, len(numbers), BATCH)
    for pieces, rest in side_by_side(lambda at: _by_layout(texts, numbers[at : at + BATCH], parse), starts, BATCH):
        left.append(rest)
        for layout, piece in pieces:
            cut.setdefault(layout, []).append(piece)
    found = []
    for layout, of in cut.items():
        own = pl.concat([piece for piece, _ in of], rechunk=True)
        fields, sound = _checked(pl.concat([parts for _, parts in of]), layout)
        if not sound.all():
            left.append(own.filter(~sound))
            own, fields = own.filter(sound), Texts({key: raw.filter(sound) for key, raw in fields.items()})
        if len(own):
            found.append(Flat(own, fields))
    return found, pl.concat(left).sort()


def _by_layout(
    texts: pl.Series, numbers: pl.Series, parse: Callable[[str], Mapping[str, str]]
) -> tuple[list[tuple[Layout, tuple[pl.Series, pl.DataFrame]]], pl.Series]:
    """The documents of a batch by layout, with the parts of their texts, and the numbers of those that are left."""
    found = []
    aside = numbers.clear()
    for _ in range(MOST_LAYOUTS):
        if len(numbers) < FEWEST:
            break
        own = texts.gather(numbers)
        layout, comma = _layout(own[0], parse)
        if not _cut(own[:1], layout, comma)[1].all():  # nested: a pass over the others would be in vain
            aside = pl.concat([aside, numbers[:1]])
            numbers = numbers[1:]
            continue
        parts, fits = _cut(own, layout, comma)
        if fits.all():
            found.append((layout, (numbers, parts)))
            numbers = numbers.clear()
        else:
            found.append((layout, (numbers.filter(fits), parts.filter(fits))))
            numbers = numbers.filter(~fits)
    return found, pl.concat([aside, numbers])


def _layout(text: str, parse: Callable[[str], Mapping[str, str]]) -> tuple[Layout, str]:
    """The layout of a document, and what stands between its fields; without keys where no style fits."""
    try:
        keys = list(parse(text))
    except ValueError:
        keys = []
    quoted = [json.dumps(key, ensure_ascii=False) for key in keys]
    for colon, comma in STYLES:
        starts = [("" if place else "{") + key[place > 0 :] + colon for place, key in enumerate(quoted)]
        if starts and text.startswith(starts[0]):
            return tuple(zip(keys, starts, strict=True)), comma
    return (), ""


def _cut(texts: pl.Series, layout: Layout, comma: str) -> tuple[pl.DataFrame, pl.Series]:
    """The parts of each text, and which of the texts have exactly the keys of the layout, in this order."""
    if not layout:
        return pl.DataFrame(), pl.Series([False]).new_from_index(0, len(texts))
    # One pass cuts a text at what stands between fields; where a value holds that, too, the keys do not fit.
    parts = texts.str.splitn(f'{comma}"', len(layout)).struct.unnest()
    begins = [pl.col(name).str.starts_with(start) for name, (_, start) in zip(parts.columns, layout, strict=True)]
    ends = pl.col(parts.columns[-1]).str.ends_with("}")
    return parts, parts.select(pl.all_horizontal(*begins, ends).fill_null(value=False)).to_series()


def _checked(parts: pl.DataFrame, layout: Layout) -> tuple[Texts, pl.Series]:
    """The values of each text's parts, and of which texts all are scalars."""
    sound = pl.Series([True]).new_from_index(0, len(parts))
    fields: dict[str, pl.Series | Coded] = {}
    ends = [""] * (len(layout) - 1) + ["}"]
    cells = list(zip(parts, (start for _, start in layout), ends, strict=True))
    values = side_by_side(lambda cell: _values(*cell), cells, len(parts))
    for (key, _), (raw, scalars) in zip(layout, values, strict=True):
        fields[key] = raw
        if scalars is not None:
            sound &= scalars
    return Texts(fields), sound


def _values(part: pl.Series, start: str, end: str) -> tuple[pl.Series | Coded, pl.Series | None]:
    """The values of a part of each text, by number if they repeat, and where not all are scalars which are."""
    own = repeated(part)
    distinct = part if own is None else own.distinct
    values = distinct.str.strip_prefix(start)
    values = values.str.strip_suffix(end) if end else values
    scalars = values.str.contains(SCALAR)
    sound = None if scalars.all() else scalars
    if own is None:
        return values, sound
    return Coded(own.numbers, values), None if sound is None else sound.gather(own.numbers)

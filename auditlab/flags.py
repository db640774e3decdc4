"""What readers of a document disagree about: keys that are named twice, half characters, NUL."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import polars as pl

from auditlab.dictionary import Texts
from auditlab.threads import in_pieces

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["FLAGS", "flags", "repeating"]

FLAGS = ("duplicate keys", "lone surrogate", "NUL character")

_NUL = r"(^|[^\\])(\\\\)*\\u0000"
"""An escape of NUL; a backslash that is escaped itself begins none."""


def flags(texts: pl.Series, parsed: pl.Series, fields: Mapping[str, pl.Series]) -> pl.DataFrame:
    """Documents whose text their fields do not account for (duplicate keys), or that hold half characters or NUL.

    Args:
        texts: The documents.
        parsed: The numbers of those that were split one by one: the others have no key twice.
        fields: Their fields.

    Returns:
        doc (UInt32, its number) and flag, one of ``FLAGS``.
    """
    escaped = _escaped(texts, parsed, fields)
    found: list[tuple[int, str]] = [(i, "lone surrogate") for i in _lone_surrogates(texts, escaped)]
    found += [
        (i, "duplicate keys") for i in _unaccounted(texts, parsed, fields) if _names_twice(texts[i], inside=False)
    ]
    if len(escaped):
        found += [(i, "NUL character") for i in escaped.filter(texts.gather(escaped).str.contains(_NUL))]
    return pl.DataFrame(found, schema={"doc": pl.UInt32, "flag": pl.String}, orient="row")


def _escaped(texts: pl.Series, parsed: pl.Series, fields: Mapping[str, pl.Series]) -> pl.Series:
    """The numbers of the documents that hold an escape by number.

    Documents of one layout hold none where no key and no value does; values that repeat are looked into once.
    """
    if parsed.is_empty() and isinstance(fields, Texts):
        keys = any("\\u" in json.dumps(name, ensure_ascii=False) for name in fields)
        if not keys and not any(_escapes(column).any() for column in fields.distinct()):
            return parsed
    return in_pieces(_escapes, texts).arg_true()


def _escapes(texts: pl.Series) -> pl.Series:
    return texts.str.contains("\\u", literal=True)


def _unaccounted(texts: pl.Series, parsed: pl.Series, fields: Mapping[str, pl.Series]) -> pl.Series:
    """The numbers of parsed documents that are not as long as their fields are together, however they are separated."""
    if parsed.is_empty():
        return parsed
    raws = [raw.alias(str(place)) for place, raw in enumerate(fields.values())]
    frame = pl.DataFrame(raws or [pl.Series("0", [None], dtype=pl.String).new_from_index(0, len(texts))])
    keys = [len(json.dumps(name, ensure_ascii=False).encode()) for name in fields] or [0]
    size = {name: pl.col(name).gather(parsed).str.len_bytes().cast(pl.Int64) for name in frame.columns}
    sizes = frame.select(size[name] + key for name, key in zip(frame.columns, keys, strict=True))
    told = sizes.select(
        count=pl.sum_horizontal(pl.all().is_not_null().cast(pl.Int64)),
        total=pl.sum_horizontal(pl.all()) + 2,
        length=pl.lit(texts).gather(parsed).str.len_bytes().cast(pl.Int64),
    )
    separators = pl.col("count") + (pl.col("count") - 1).clip(lower_bound=0)
    rest = pl.col("length") - pl.col("total")
    return parsed.filter(told.select((rest != separators) & (rest != 2 * separators)).to_series())


def repeating(texts: pl.Series) -> list[int]:
    """The numbers of the documents in which an object inside of them names one key twice: dearer to tell."""
    nested = (texts.str.count_matches(r"[\[{]") > 1).arg_true()
    inner = texts.gather(nested)
    keys = inner.str.extract_all(r'"(?:[^"\\]|\\.)*"[ \t\r\n]*:')
    suspects = (keys.list.n_unique() < keys.list.len()) | inner.str.contains(r"\\u")
    return [number for number in nested.filter(suspects) if _names_twice(texts[number], inside=True)]


def _names_twice(text: str, *, inside: bool) -> bool:
    """Whether the document names a key twice; with ``inside`` an object in it, else the document itself."""
    twice: list[bool] = []

    def look(pairs: list[tuple[str, Any]]) -> None:
        twice.append(len(pairs) != len({key for key, _ in pairs}))

    json.loads(text, object_pairs_hook=look, strict=False, parse_int=str, parse_float=str)
    return any(twice[:-1]) if inside else twice[-1]  # the document itself is the last to be whole


def _lone_surrogates(texts: pl.Series, escaped: pl.Series) -> Iterable[int]:
    if escaped.is_empty():
        return
    for i in escaped.filter(texts.gather(escaped).str.contains(r"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")):
        if re.search("[\ud800-\udfff]", json.dumps(json.loads(texts[i], strict=False), ensure_ascii=False)):
            yield i

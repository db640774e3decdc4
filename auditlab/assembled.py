"""Documents that no change recorded: their JSON text, put together from the raw texts of their fields."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["assembled", "written"]


def assembled(fields: Mapping[str, pl.Series], height: int) -> pl.Series:
    """Each document's JSON text, put together from the raw texts of the fields that it has."""
    keys = (json.dumps(name, ensure_ascii=False) + ": " for name in fields)
    cells = [
        (pl.lit(key) + pl.lit(raw)).alias(str(place))
        for place, (key, raw) in enumerate(zip(keys, fields.values(), strict=True))
    ]
    empty = pl.repeat("", height, eager=True)
    if not cells:
        return "{" + empty + "}"
    joined = pl.select(cells).select(pl.concat_str(pl.all(), separator=", ", ignore_nulls=True)).to_series()
    return "{" + joined + "}"


def written(texts: pl.Series, fields: Mapping[str, pl.Series]) -> pl.Series:
    """The texts of documents, those that are null put together from the raw texts of their fields."""
    open_ = texts.is_null().arg_true()
    if open_.is_empty():
        return texts
    # The name of a series is taken for a pattern where it begins with ^ and ends with $.
    raws = {name: raw.alias("raw").gather(open_) for name, raw in fields.items()}
    return texts.scatter(open_, assembled(raws, len(open_)))

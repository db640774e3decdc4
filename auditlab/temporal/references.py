"""References: which parent a child belongs to, told by the values of their keys, however each is written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import polars as pl

from auditlab import literals, values

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from auditlab.values import Column

__all__ = ["as_entity_ids", "key_texts", "same_ids"]

UUID = r"(?i)^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
MICROS = "\x00"
"""What stands before the microseconds of an instant: no text that is recorded begins so."""
NUMBERS_AS_TEXT = ("holds numbers of ", "holds NaN")
"""How the note of a column begins whose numbers no typed column holds."""


def key_texts(fields: Sequence[tuple[Column, pl.Series]]) -> pl.Series:
    """The key that some fields hold together, by row: equal keys have equal texts; null where a field has none.

    A number and a text that writes it plainly are one key (``5`` and ``"5"``): a field may have been an integer once
    and a text later. Numbers are equal by value, instants in any zone, uuids in any case; other texts as they are.

    Args:
        fields: The fields, each with typed values of it.
    """
    parts = [_texts(column, typed) for column, typed in fields]
    if len(parts) == 1:
        return parts[0].rename("key")
    named = pl.DataFrame([part.alias(str(place)) for place, part in enumerate(parts)])
    sized = [pl.format("{}:{}", pl.col(name).str.len_bytes(), pl.col(name)) for name in named.columns]
    return named.select(pl.concat_str(sized, separator=",").alias("key")).to_series()


def same_ids(entity_ids: pl.Series) -> pl.Series:
    """Entity ids as :func:`key_texts` writes them."""
    return _plain(entity_ids).rename("key")


def as_entity_ids(keys: pl.Series, entity_ids: pl.Series, key_id: Callable[[str], str]) -> pl.Series:
    """Keys of one field as entity ids: those that are none themselves by the id that is derived from a key.

    Args:
        keys: As :func:`key_texts` writes them.
        entity_ids: All entity ids of the parents' type, as :func:`same_ids` writes them.
        key_id: Gives a key's entity id.
    """
    strange = keys.drop_nulls().unique()
    strange = strange.filter(~strange.is_in(entity_ids.implode()))
    told = pl.DataFrame({"key": strange, "id": pl.Series([key_id(key) for key in strange], dtype=pl.String)})
    told = told.filter(pl.col("id").is_in(entity_ids.implode()))
    joined = keys.rename("key").to_frame().join(told, on="key", how="left", maintain_order="left")
    return joined.select(pl.coalesce("id", "key").alias("key")).to_series()


def _texts(column: Column, typed: pl.Series) -> pl.Series:
    if column.kind == "timestamptz":
        return MICROS + typed.dt.epoch("us").cast(pl.String)
    if column.kind == "mixed":
        return _plain(_each(typed, _of_json))
    if column.kind == "json":
        return _each(typed, values.canonical)
    texts = typed.cast(pl.String)
    if column.kind in ("decimal", "float") or column.note.startswith(NUMBERS_AS_TEXT):
        return _each(texts, literals.canonical_number)
    return _plain(texts) if column.kind == "text" else texts


def _plain(texts: pl.Series) -> pl.Series:
    """Texts, with uuids in lower case and instants by their microseconds since 1970."""
    texts = texts.zip_with(~texts.str.contains(UUID), texts.str.to_lowercase())
    instants = literals.instants(texts)
    if instants is None:
        return texts
    micros = MICROS + instants.dt.epoch("us").cast(pl.String)
    return micros.zip_with(instants.is_not_null(), texts)


def _of_json(raw: str) -> str:
    text = values.canonical(raw)
    if raw.startswith('"'):
        plain: str = json.loads(raw, strict=False)
        return plain
    return text[1:] if text.startswith("n") and raw != "null" else text


def _each(texts: pl.Series, by: Callable[[str], str]) -> pl.Series:
    distinct = texts.drop_nulls().unique()
    told = pl.DataFrame({"text": distinct, "key": pl.Series([by(text) for text in distinct], dtype=pl.String)})
    return texts.rename("text").to_frame().join(told, on="text", how="left", maintain_order="left")["key"]

"""Rows that were set aside because they are no changes: which states they leave in doubt, by whose rows they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from auditlab.keys import entity_ids
from auditlab.malformed import COPY
from auditlab.schema import TIME
from auditlab.spans import NOT_YET, WORDS, before_first

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["ASIDE", "aside_of", "gaps", "interrupted", "nameless", "set_aside_of"]

ASIDE: dict[str, pl.DataType] = {
    "entity_id": pl.String(),
    "id": pl.Int64(),
    "at": TIME,
    "transaction_id": pl.Int64(),
    "operation": pl.String(),
}
"""One row a row of one entity type that was set aside: whose it is, where it stood, and when it was recorded."""

NO_ASIDE = pl.DataFrame(schema=ASIDE)

_LEAST, _MOST = -(2**63), 2**63 - 1


def aside_of(
    malformed: pl.DataFrame | None, entity_type: str, clock: str, until: pl.Expr | None = None
) -> pl.DataFrame:
    """``ASIDE``: the rows of a type that were set aside and tell whose they are, copies of other rows left out.

    Args:
        malformed: The rows with their ``kind``.
        entity_type: The type.
        clock: The column that dates the log.
        until: Which rows, over ``ASIDE``; None for all.
    """
    if malformed is None or malformed.is_empty():
        return NO_ASIDE
    own = (pl.col("entity_type") == entity_type) & pl.col("entity_id").is_not_null() & (pl.col("kind") != COPY)
    rows = malformed.filter(own)
    told = rows.select("entity_id", "id", pl.coalesce(clock, "changed_at").alias("at"), "transaction_id", "operation")
    return told if until is None else told.filter(until)


def nameless(malformed: pl.DataFrame | None) -> Mapping[str, int]:
    """By entity type, how many rows were set aside that do not tell whose they are."""
    if malformed is None or malformed.is_empty():
        return {}
    rows = malformed.filter(
        pl.col("entity_id").is_null() & (pl.col("kind") != COPY) & pl.col("entity_type").is_not_null()
    )
    return dict(rows.group_by("entity_type").agg(pl.len()).sort("entity_type").iter_rows())


def set_aside_of(malformed: pl.DataFrame | None, entity_types: Sequence[str], key: object) -> int:
    """How many rows of an entity, by its id or key, were set aside.

    Args:
        malformed: The rows with their ``kind``.
        entity_types: The types that it may be of.
        key: As ``keys.entity_uuid`` takes it.
    """
    if malformed is None or malformed.is_empty():
        return 0
    ids = {name: entity_ids(name, key) for name in entity_types}
    named = [(pl.col("entity_type") == name) & pl.col("entity_id").is_in(own) for name, own in ids.items()]
    return malformed.filter(pl.any_horizontal(named)).height if named else 0


def interrupted(versions: pl.DataFrame, aside: pl.DataFrame) -> pl.Series:
    """Boolean by version: whether a row of its entity was set aside that stood between its change and the next.

    Or one of the same transaction: without it, what came after what there cannot be told by the images.

    Args:
        versions: entity_id, id (null of a state that was there before its first change), ended_by and transaction_id.
        aside: ``ASIDE``.
    """
    numbered = versions.select("entity_id", "id", "ended_by", "transaction_id").with_row_index("version")
    own = numbered.join(aside.select("entity_id", stood="id", stood_in="transaction_id"), on="entity_id")
    after, before = pl.col("id").fill_null(_LEAST), pl.col("ended_by").fill_null(_MOST)
    between = (after <= pl.col("stood")) & (pl.col("stood") < before)
    together = (pl.col("transaction_id") == pl.col("stood_in")).fill_null(value=False)
    found = own.filter(between | together)["version"].unique()
    return pl.repeat(value=False, n=len(versions), eager=True).scatter(found, values=True)


def gaps(steps: pl.DataFrame, truncated: int | None, aside: pl.DataFrame) -> pl.DataFrame:
    """When an entity that was absent may have been there, by a row that was set aside: as ``spans.untold`` tells it.

    Args:
        steps: The type's steps by entity and turn, with the numbers of their documents.
        truncated: As in ``spans.spans``.
        aside: ``ASIDE``.
    """
    rows = aside.with_row_index("row")
    same = pl.col("entity_id") == pl.col("entity_id").shift(-1)
    own = steps.filter(pl.col("entity_id").is_in(aside["entity_id"].unique().implode())).select(
        "entity_id", "id", "position", "effective", "ends", "transaction_id",
        next=pl.when(same).then(pl.col("effective").shift(-1)),
    )  # fmt: skip
    last = own.unique(["entity_id", "transaction_id"], keep="last", maintain_order=True).drop("id")
    together = rows.join(last, on=["entity_id", "transaction_id"])
    own = own.drop("transaction_id")
    behind = rows.sort("id").join_asof(own.sort("id"), on="id", by="entity_id", check_sortedness=False)
    ended = pl.concat([behind.filter("ends"), together.filter("ends").select(behind.columns)])
    after = ended.select("entity_id", "position", valid_from=pl.max_horizontal("effective", "at"), valid_to="next")
    first = before_first(steps, truncated).select("entity_id", "effective", "word")
    ahead = behind.filter(pl.col("position").is_null()).drop("effective")
    ahead = ahead.join(first, on="entity_id", how="left", maintain_order="left")
    early = ahead.filter(pl.col("word").is_null() | (pl.col("word") == WORDS.index(NOT_YET))).select(
        "entity_id",
        "position",
        valid_from=pl.when(pl.col("operation") == "INSERT").then("at"),  # the others found it there
        valid_to="effective",
    )
    told = pl.concat([after, early])
    return told.filter((pl.col("valid_from") < pl.col("valid_to")).fill_null(value=True))

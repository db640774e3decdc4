"""Operations that the rows around tell: what an UPSERT is, and of which UPDATE a BEFORE shows the row."""

from __future__ import annotations

import polars as pl

from auditlab.load.operations import BEFORE, UPSERT

__all__ = ["resolved"]

_ENTITY = ("entity_type", "entity_id")
_AT_ONCE = ("transaction_id", "changed_at")
"""What rows of one statement have in common."""
_OPERATION = pl.col("operation")
_PUT = "PUT"
"""An UPDATE whose row before is found, and which no other BEFORE is of."""


def resolved(changes: pl.DataFrame) -> pl.DataFrame:
    """The changes without UPSERT and BEFORE.

    - A BEFORE is the before image of the UPDATE of its entity in the same transaction and at the same time, of several
      the first that of the first. Where there is none, the row went on under another key: it is a DELETE, and an UPDATE
      without a BEFORE, in a transaction that has such a row, an INSERT.
    - A BEFORE is also that of an UPSERT that is the next row of its entity in the same transaction, at the same time: a
      row that was taken away and put there again at once. That is an UPDATE.
    - Another UPSERT is an INSERT where its entity is not there (before the first row of it, too), else an UPDATE.

    Args:
        changes: The columns of a log, by ``id``.
    """
    words = changes["operation"].unique().to_list()
    if BEFORE in words and UPSERT in words:
        changes = _replaced(changes)
    if BEFORE in words:
        changes = _paired(changes).with_columns(_OPERATION.replace(_PUT, "UPDATE"))
    if UPSERT in words:
        changes = _settled(changes)
    return changes


def _replaced(changes: pl.DataFrame) -> pl.DataFrame:
    """The changes, in which an UPSERT right behind the BEFORE of its row has that image and is ``_PUT``."""
    group = [*_ENTITY, *_AT_ONCE]
    rows = changes.with_row_index("place").sort(*group, "place", nulls_last=True)
    follows = pl.all_horizontal(pl.col(name).eq_missing(pl.col(name).shift()) for name in group)
    put = (_OPERATION == UPSERT) & (_OPERATION.shift() == BEFORE) & follows
    rows = rows.with_columns(put=put.fill_null(value=False), shown=pl.col("before_snapshot").shift())
    rows = rows.filter(~pl.col("put").shift(-1, fill_value=False)).with_columns(
        before_snapshot=pl.when("put").then("shown").otherwise("before_snapshot"),
        operation=pl.when("put").then(pl.lit(_PUT)).otherwise("operation"),
    )
    return rows.sort("place").select(changes.columns)


def _paired(changes: pl.DataFrame) -> pl.DataFrame:
    group = [*_ENTITY, *_AT_ONCE]
    rows = changes.with_row_index("place")
    halves = rows.filter(_OPERATION.is_in([BEFORE, "UPDATE"])).select("place", *group, "operation", "before_snapshot")
    halves = halves.with_columns(turn=pl.int_range(pl.len()).over(*group, "operation"))
    shown, updates = (halves.filter(word == _OPERATION).drop("operation") for word in (BEFORE, "UPDATE"))
    key = [*group, "turn"]
    pairs = updates.drop("before_snapshot").join(
        shown, on=key, how="full", coalesce=True, nulls_equal=True, suffix="_shown"
    )
    alone = pl.col("place").is_null()
    left = pairs.filter(alone).select("entity_type", *_AT_ONCE).unique()
    came = pairs.filter(pl.col("place_shown").is_null()).join(
        left, on=["entity_type", *_AT_ONCE], how="semi", nulls_equal=True
    )
    gone = pairs.filter(alone)["place_shown"].implode()
    found = pairs.filter(~alone & pl.col("place_shown").is_not_null()).select("place", found="before_snapshot")
    rows = rows.join(found, on="place", how="left", maintain_order="left").with_columns(
        before_snapshot=pl.coalesce("found", "before_snapshot"),
        operation=pl.when(pl.col("place").is_in(gone))
        .then(pl.lit("DELETE"))
        .when(pl.col("place").is_in(came["place"].implode()))
        .then(pl.lit("INSERT"))
        .otherwise("operation"),
    )
    return rows.filter(_OPERATION != BEFORE).select(changes.columns)


def _settled(changes: pl.DataFrame) -> pl.DataFrame:
    cut = _OPERATION == "TRUNCATE"
    rows = changes.with_row_index("place").with_columns(epoch=cut.cum_sum().over("entity_type"))
    own = rows.filter(~cut).select("place", last=_OPERATION.shift().over(*_ENTITY, "epoch"), operation="operation")
    there = pl.col("last").is_not_null() & (pl.col("last") != "DELETE")
    told = own.filter(_OPERATION == UPSERT).select(
        "place", settled=pl.when(there).then(pl.lit("UPDATE")).otherwise(pl.lit("INSERT"))
    )
    rows = rows.join(told, on="place", how="left", maintain_order="left")
    return rows.with_columns(operation=pl.coalesce("settled", "operation")).select(changes.columns)

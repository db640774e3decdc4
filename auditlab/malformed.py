"""Rows of a log that are no changes: found by kind, counted, and either refused or set aside."""

from __future__ import annotations

import polars as pl

from auditlab.errors import MalformedChange

__all__ = ["KINDS", "split"]

_SHOWN = 5

_BEFORE, _AFTER = pl.col("before_snapshot"), pl.col("after_snapshot")
_OPERATION = pl.col("operation")


def _no_object(image: pl.Expr) -> pl.Expr:
    return image.is_not_null() & ~image.str.contains(r"^[ \t\r\n]*\{").fill_null(value=True)


KINDS: dict[str, pl.Expr] = {
    "no entity id": pl.col("entity_id").is_null() & (_OPERATION != "TRUNCATE"),
    "before_snapshot is no JSON object": _no_object(_BEFORE),
    "after_snapshot is no JSON object": _no_object(_AFTER),
    "INSERT without an after image": (_OPERATION == "INSERT") & _AFTER.is_null(),
    "INSERT with a before image": (_OPERATION == "INSERT") & _BEFORE.is_not_null(),
    "UPDATE without an after image": (_OPERATION == "UPDATE") & _AFTER.is_null(),
    "DELETE with an after image": (_OPERATION == "DELETE") & _AFTER.is_not_null(),
    "SNAPSHOT without an after image": (_OPERATION == "SNAPSHOT") & _AFTER.is_null(),
    "transaction id below 0": pl.col("transaction_id") < 0,
}
"""Each kind of malformed row and how it is told. A before image may be missing; the state after a change may not."""


COPY = "identical copy of another row"
"""The kind of a row that tells a change a second time: set aside also in a strict load, since nothing is lost."""


def split(changes: pl.DataFrame, *, strict: bool) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows that are changes, and those that are not with their ``kind`` as first column (the first that fits).

    Args:
        changes: A log in the canonical columns.
        strict: Whether malformed rows are an error.

    Raises:
        MalformedChange: with ``strict``, if there are any; the message counts them by kind and names first ids.
    """
    changes, copies = _without_copies(changes)
    kind = pl.coalesce(pl.when(test.fill_null(value=False)).then(pl.lit(name)) for name, test in KINDS.items())
    judged = changes.with_columns(kind.alias("kind"))
    aside = judged.filter(pl.col("kind").is_not_null()).select("kind", pl.exclude("kind"))
    if aside.is_empty():
        return changes, pl.concat([aside, copies])
    if strict:
        raise MalformedChange(_told(aside))
    return judged.filter(pl.col("kind").is_null()).drop("kind"), pl.concat([aside, copies])


def _without_copies(changes: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows without those that say once more, in every column, what another row of the same id says; and those.

    Two exports put together, or a feed that delivers at least once, hold such copies: one change, told twice.
    """
    numbered = changes.with_row_index("__row")
    repeated = numbered.filter(pl.col("id").is_duplicated())
    copies = repeated.filter(~pl.struct(changes.columns).is_first_distinct())
    told = copies.select(pl.lit(COPY).alias("kind"), *changes.columns)
    if copies.is_empty():
        return changes, told
    return numbered.join(copies.select("__row"), on="__row", how="anti", maintain_order="left").drop("__row"), told


def _told(aside: pl.DataFrame) -> str:
    kinds = aside.group_by("kind", maintain_order=True).agg(pl.len().alias("rows"), pl.col("id").head(_SHOWN))
    told = "; ".join(
        f"{kind} in {rows} rows (row id {', '.join(map(str, ids))})" for kind, rows, ids in kinds.iter_rows()
    )
    return f"the log holds rows that are no changes: {told}. strict=False loads the rest and sets these aside."

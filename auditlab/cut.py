"""Cut: where a transaction's last change parts a log."""

from __future__ import annotations

from typing import NamedTuple

import polars as pl

from auditlab.errors import UnknownChange

__all__ = ["Cut", "cut_at"]


class Cut(NamedTuple):
    """Where a transaction's last change parts a log.

    Args:
        last: Its position, or that of the last change before it; -1 where all come later.
        early: Whether a change of the transaction is of the baseline.
        ongoing: Int64: transactions that have changes on both sides.
        id: The highest id of the transaction, in the whole log.
    """

    last: int
    early: bool
    ongoing: pl.Series
    id: int


def cut_at(changes: pl.DataFrame, transaction: int | None) -> Cut:
    """Where a transaction's last change parts some changes in the log's order, with their ``position``.

    Raises:
        UnknownChange: there is no such transaction among them.
    """
    own = changes.filter(pl.col("transaction_id") == transaction)
    if own.is_empty():
        known = changes["transaction_id"].drop_nulls()
        raise UnknownChange.transaction(transaction, (known.min(), known.max()) if len(known) else None)
    last: int = own["position"].max()  # type: ignore[assignment]  # a column of whole numbers
    before = pl.col("position") <= last
    kept, rest = (changes.filter(side)["transaction_id"].drop_nulls().unique() for side in (before, ~before))
    return Cut(last, bool(own["baseline"].any()), kept.filter(kept.is_in(rest.implode())), int(own["id"].max()))  # type: ignore[arg-type]  # as above

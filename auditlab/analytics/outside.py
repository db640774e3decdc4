"""What can be found where a log is held against the live tables: each kind, how bad it is, and what it means."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from auditlab.analytics.findings import KINDS as LOG_KINDS
from auditlab.schema import TIME

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["KINDS", "ROWS", "TABLES", "shaped"]

ROWS: dict[str, pl.DataType] = {
    "entity_type": pl.String(),
    "entity_id": pl.String(),
    "field": pl.String(),
    "logged": pl.String(),
    "live": pl.String(),
    "written_by": pl.Int64(),
    "note": pl.String(),
    "id": pl.Int64(),
    "operation": pl.String(),
    "changed_by": pl.String(),
    "changed_at": TIME,
    "transaction_id": pl.Int64(),
}
"""The columns of ``Reconciliation.rows``: what the log says and what the table has, field by field (of a row that only
one of them has, the whole row), the transaction that wrote the live row, and the last change that the log has of it."""

TABLES: dict[str, pl.DataType] = {
    "entity_type": pl.String(),
    "logged": pl.Int64(),
    "live": pl.Int64(),
    "equal": pl.Int64(),
}
"""The columns of ``Reconciliation.tables``: how many rows of a type the log says there are, how many there are, and how
many of those are as the log says."""

_IN_LOG = ("edited change", "malformed change")

KINDS: dict[str, tuple[str, str]] = {
    "changed outside the log": (
        "error",
        "A row is not as its last change left it: something wrote it, and the log does not say who.",
    ),
    "inserted outside the log": (
        "error",
        "A row is in the table that, by the log, is not there: something inserted it, and the log does not say who.",
    ),
    "removed outside the log": (
        "error",
        "A row is not in the table that, by the log, is there: something removed it, and the log does not say who.",
    ),
    "possible TRUNCATE": (
        "error",
        "Most rows of a type are gone, all of them older than those that are there: its table was probably emptied.",
    ),
    **{kind: LOG_KINDS[kind] for kind in _IN_LOG},
    "log row gone": (
        "error",
        "A change was in the log when it was loaded or archived, and is not in the live log any more.",
    ),
    "log row edited": (
        "error",
        "A change stands otherwise in the live log than it stood when the log was loaded or archived.",
    ),
    "log row added": (
        "error",
        "A change of an old transaction is in the live log that was not there when the log was loaded or archived.",
    ),
    "schema drift": (
        "warning",
        "The columns of a table changed since a row's last change: the log shows its old columns.",
    ),
    "half-logged key change": LOG_KINDS["half-logged key change"],
    "population incomplete": (
        "warning",
        "A row is older than its type's log, which begins without it or was pruned: it cannot be judged.",
    ),
    "uncertain order": (
        "warning",
        "A row differs, but is as another order of its last transaction's changes would leave it, which nothing tells.",
    ),
    "shared entity id": (
        "warning",
        "Several rows of a table have one entity id: the log cannot tell them apart.",
    ),
    "not comparable": (
        "warning",
        "The rows of a type cannot be held against the log: its table or its key is not there any more as it was.",
    ),
    "lost float digits": (
        "hint",
        "A session recorded a float with fewer digits than the table has: beyond those it cannot be judged.",
    ),
    "log pruned": (
        "hint",
        "The oldest changes are not in the live log any more, as retention leaves it; the log that was given has them.",
    ),
}
"""Each kind of finding: its severity (``analytics.findings.SEVERITIES``) and its meaning."""


def shaped(rows: pl.DataFrame, schema: Mapping[str, pl.DataType] = ROWS) -> pl.DataFrame:
    """The columns of ``schema``; null where ``rows`` has no such column."""
    absent = [pl.lit(None, dtype=dtype).alias(name) for name, dtype in schema.items() if name not in rows.columns]
    return rows.with_columns(absent).select(pl.col(name).cast(dtype) for name, dtype in schema.items())

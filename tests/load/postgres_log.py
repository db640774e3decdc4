"""A log as PostgreSQL itself prints it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from auditlab.connection import connect
from auditlab.schema import CHANGES

if TYPE_CHECKING:
    from auditlab.load.source import Loaded

__all__ = ["RECORDED", "by_type", "newest_transaction", "recorded"]

RECORDED = """
SELECT id, entity_type, entity_id::text AS entity_id, operation, changed_by::text AS changed_by, changed_at,
       before_snapshot::text AS before_snapshot, after_snapshot::text AS after_snapshot,
       changed_fields::text AS changed_fields, metadata::text AS metadata, transaction_id,
       correlation_id::text AS correlation_id
FROM audit.entity_change_log ORDER BY id
"""


def recorded(dsn: str) -> pl.DataFrame:
    """The log as PostgreSQL itself prints it."""
    with connect(dsn) as connection:
        rows = connection.rows(RECORDED)
    return pl.DataFrame(rows, schema={name: dtype for name, dtype in CHANGES.items() if name != "committed_at"})


def newest_transaction(dsn: str) -> int:
    """The newest transaction in the log."""
    with connect(dsn) as connection:
        newest: int = connection.rows("SELECT max(transaction_id) AS id FROM audit.entity_change_log")[0]["id"]
        return newest


def by_type(loaded: Loaded) -> dict[str, int]:
    return dict(loaded.changes.group_by("entity_type").len().sort("entity_type").iter_rows())

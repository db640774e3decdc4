"""A log with months of the past: rows written into its partitions as they would have been then."""

from __future__ import annotations

from auditlab.capture.partitions import create_partitions
from auditlab.connection import connect

__all__ = ["MONTHS", "ROW", "fill_months", "ids_of", "leaves_of", "months_of"]

MONTHS = ("2024-01", "2024-02", "2024-03")

ROW = """
INSERT INTO audit.entity_change_log (entity_type, entity_id, operation, changed_at, after_snapshot, transaction_id)
SELECT 'shop.orders', md5(n::text)::uuid, 'INSERT', $2::text::timestamptz + n * interval '1 second',
       jsonb_build_object('n', n, 'price', 1.10), txid_current()
FROM generate_series($1::bigint, $1::bigint + $3::bigint - 1) AS n
RETURNING id
"""
"""Rows number $1 and on, $3 of them, from the time $2 on."""

LEAVES = """
SELECT c.relname::text AS name FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
WHERE i.inhparent = 'audit.entity_change_log'::regclass ORDER BY 1
"""


def fill_months(dsn: str, rows: int = 10) -> None:
    """Ten new orders in each of three months, each in its partition."""
    with connect(dsn, autocommit=True) as db:
        for number, month in enumerate(MONTHS):
            db.rows(ROW, (number * rows, f"{month}-10Z", rows))
    create_partitions(dsn)


def ids_of(dsn: str) -> list[int]:
    """The ids that the live log has."""
    with connect(dsn) as db:
        return [row["id"] for row in db.rows("SELECT id FROM audit.entity_change_log ORDER BY id")]


def leaves_of(dsn: str) -> list[str]:
    """The live log's partitions."""
    with connect(dsn) as db:
        return [row["name"].removeprefix("entity_change_log_") for row in db.rows(LEAVES)]


def months_of(dsn: str) -> list[str]:
    """Those of the old months that are still there."""
    return [name for name in leaves_of(dsn) if name.startswith("2024")]

"""A log of three changes as an Arrow table."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import pyarrow as pa

from auditlab.load.arrow import from_arrow

if TYPE_CHECKING:
    import polars as pl

__all__ = ["IDS", "NOON", "a_log", "the_changes"]

NOON = datetime(2024, 6, 1, 12, tzinfo=UTC)
IDS = [UUID(int=1), UUID(int=2), UUID(int=1)]


def a_log(**replaced: object) -> pa.Table:
    columns: dict[str, object] = {
        "id": pa.array([1, 2, 3], pa.int64()),
        "entity_type": ["shop.orders", "shop.orders", "shop.orders"],
        "entity_id": [str(one) for one in IDS],
        "operation": ["INSERT", "INSERT", "UPDATE"],
        "changed_by": ["ann", None, "bob"],
        "changed_at": pa.array([NOON, NOON, NOON + timedelta(microseconds=1)], pa.timestamp("us", "UTC")),
        "before_snapshot": [None, None, '{"total": 1.10}'],
        "after_snapshot": [
            '{"total": 1.10}',
            '{"total": 12345678901234567.89}',
            '{"total":  1.1,"n":9223372036854775809}',
        ],
        "changed_fields": [None, None, '{"total": 1.1}'],
        "metadata": ["{}", None, None],
        "transaction_id": pa.array([7, 8, None], pa.int64()),
        "correlation_id": pa.nulls(3, pa.string()),
    }
    return pa.table({name: value for name, value in (columns | replaced).items() if value is not None})


def the_changes() -> pl.DataFrame:
    return from_arrow(a_log()).changes

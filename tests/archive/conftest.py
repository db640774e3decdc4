"""A small log that the archive tests write, with texts that a careless writer would change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from auditlab.archive.write import to_archive
from auditlab.load.source import ARROW_CHANGES
from auditlab.schema import Coverage, LogFacts

if TYPE_CHECKING:
    from pathlib import Path

NOON = datetime(2024, 6, 1, 12, tzinfo=UTC)
TEXTS = (
    '{"total":  1.10}',
    '{"total": 12345678901234567.89, "n": 9223372036854775809}',
    '{"b": 1, "a": 2, "a": 3}',
    '{"": "\\u0000", "\u202e": "\x1b[31m"}',
    '{"big": 123456789012345678901234567890}',
)


def a_batch(first: int, rows: int, entity_type: str = "shop.orders") -> pa.RecordBatch:
    ids = range(first, first + rows)
    columns = {
        "id": list(ids),
        "entity_type": [entity_type] * rows,
        "entity_id": [f"e{one % 7}" for one in ids],
        "operation": ["INSERT"] * rows,
        "changed_by": [None if one % 3 else "" for one in ids],
        "changed_at": [NOON + timedelta(seconds=one) for one in ids],
        "before_snapshot": [None] * rows,
        "after_snapshot": [TEXTS[one % len(TEXTS)] for one in ids],
        "changed_fields": [None] * rows,
        "metadata": ['{"k": "v"}'] * rows,
        "transaction_id": [1000 + one // 2 for one in ids],
        "correlation_id": [None] * rows,
        "committed_at": [None] * rows,
        "partition": [None if one % 5 else f"{entity_type}_{one}" for one in ids],
    }
    return pa.RecordBatch.from_pydict(columns, schema=ARROW_CHANGES)


@pytest.fixture
def batches() -> list[pa.RecordBatch]:
    """Sixty changes of two entity types, interleaved."""
    return [a_batch(1, 20), a_batch(21, 20, "shop.order_items"), a_batch(41, 20)]


@pytest.fixture
def facts() -> LogFacts:
    """Facts with something in each."""
    return LogFacts(
        source="postgresql://app@db/shop audit.entity_change_log",
        system="7711249859579120801",
        zone="Europe/Berlin",
        coverage=Coverage(start=NOON, end=NOON + timedelta(days=1, microseconds=1), complete=False, why="a reason"),
        filters=("changes by ann",),
        kinds={"shop.orders": {"total": "decimal"}},
    )


@pytest.fixture
def archive(tmp_path: Path, batches: list[pa.RecordBatch], facts: LogFacts) -> Path:
    """An archive of those changes."""
    folder = tmp_path / "archive"
    to_archive(batches, folder, facts=facts)
    return folder

"""The archive that the tests work on, and what it was made of."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from archived_log import NOON, a_batch

from auditlab.archive.write import to_archive
from auditlab.schema import Coverage, LogFacts

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa


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

"""A parallel load is one snapshot: promise 10, also into an archive."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import polars as pl
import pytest
from old_log import ROW, fill_months

from auditlab.archive.export import archive_postgres
from auditlab.archive.read import scan_archive
from auditlab.archive.row_digests import recorded_digests
from auditlab.connection import connect
from auditlab.load import stream as streaming
from auditlab.load.snapshot import Snapshot
from auditlab.load.stream import ChangeStream

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COLUMNS = ("id", "entity_type", "entity_id", "operation", "changed_at", "after_snapshot", "transaction_id")


@pytest.fixture
def busy(captured: str) -> Iterator[str]:
    """A log of several partitions to which four write as long as the test takes, into old months and into this one."""
    fill_months(captured, 400)
    done = threading.Event()

    def write(number: int) -> None:
        with connect(captured, autocommit=True) as db:
            turn = 0
            while not done.is_set():
                db.rows(ROW, (100_000 * (number + 1) + turn, ("2024-01-05Z", "2026-11-03Z")[turn % 2], 3))
                turn += 3

    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for writer in writers:
        writer.start()
    yield captured
    done.set()
    for writer in writers:
        writer.join()


def digest(batches: Iterator[object]) -> tuple[int, int]:
    """How many rows, and one number of what all of them say, in any order."""
    rows = pl.concat([recorded_digests(pl.DataFrame(pl.from_arrow(batch)), COLUMNS) for batch in batches])  # type: ignore[arg-type]
    return len(rows), sum(rows["high"].to_list()) ^ sum(rows["low"].to_list())


def test_four_loaders_in_one_snapshot_read_the_same_under_load(busy: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(streaming, "_FEWEST_BLOCKS", 2)  # so that partitions are read in pieces, too
    with Snapshot(busy, "audit.entity_change_log") as snapshot:
        found = []
        for connections in (1, 2, 4, 4):
            with ChangeStream(snapshot, connections=connections) as stream:
                assert (len(stream.queries) > 4) == (connections > 1)
                found.append(digest(iter(stream)))
    assert found == [found[0]] * 4
    assert found[0][0] > 1200
    with Snapshot(busy) as later, ChangeStream(later, connections=4) as stream:
        assert digest(iter(stream)) != found[0], "others must have written meanwhile"


def test_a_first_pull_over_four_connections_is_one_snapshot_and_goes_on_without_a_gap(busy: str, tmp_path: Path):
    archive_postgres(busy, tmp_path / "a", connections=4, progress=False)
    archive_postgres(busy, tmp_path / "a", connections=4, progress=False)
    last = archive_postgres(busy, tmp_path / "a", progress=False)
    assert last.cursor is not None
    with connect(busy) as db:
        below = "SELECT id FROM audit.entity_change_log WHERE transaction_id < $1 ORDER BY id"
        there = [row["id"] for row in db.rows(below, (last.cursor.transaction,))]
    assert scan_archive(tmp_path / "a").changes.collect()["id"].sort().to_list() == there

"""One entity's rows are found in files as reading all of them finds them, whatever one value a column holds in some."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl
import pyarrow.parquet as pq
import pytest
from polars.testing import assert_frame_equal

from auditlab.archive import segment
from auditlab.archive.entity_rows import PLACE, EntityRows
from auditlab.archive.manifest import read_chain
from auditlab.archive.read import scan_archive
from auditlab.archive.write import ArchiveWriter
from auditlab.engines.duckdb import ParquetFiles
from auditlab.load import source
from auditlab.schema import CHANGES, LogFacts

if TYPE_CHECKING:
    from pathlib import Path

ENTITIES, ROWS = 5, 200


def file_of(first: int, *, uuids: bool, channels: list[str], users: list[str | None], more: str = "") -> pl.DataFrame:
    """Updates of a few orders, each with the next of the channels and of the users."""
    told = []
    for number in range(first, first + ROWS):
        key = f"00000000-0000-4000-8000-{number % ENTITIES:012d}" if uuids else f"order {number % ENTITIES}"
        channel = channels[number // ENTITIES % len(channels)]
        before, after = (
            f'{{"id": "{key}", "total": {number + step}.50, "channel": {channel}{more}}}' for step in (0, 1)
        )
        told.append(
            {
                "id": number,
                "entity_type": "shop.orders",
                "entity_id": key,
                "operation": "UPDATE",
                "changed_by": users[number % len(users)],
                "changed_at": datetime(2024, 6, 1, tzinfo=UTC) + timedelta(seconds=number),
                "before_snapshot": before,
                "after_snapshot": after,
                "transaction_id": number,
            }
        )
    return pl.DataFrame(told, schema_overrides=dict(CHANGES)).select(
        pl.col(name) if name in told[0] else pl.lit(None, dtype=dtype).alias(name) for name, dtype in CHANGES.items()
    )


WEB, SHOP, NONE = '"web"', '"shop"', "null"
FILES = {
    "one value in each file": [([WEB], ["ann"]), ([WEB], ["ann"])],
    "another value in each file": [([WEB], ["ann"]), ([SHOP], ["bob"]), ([WEB], ["bob"])],
    "one value in some files": [([WEB], ["ann"]), ([WEB, SHOP], ["ann", "bob"]), ([SHOP], ["bob"])],
    "nothing in some files": [([WEB], ["ann"]), ([NONE, WEB], [None, "bob"]), ([WEB], [None])],
}


def parts_of(files: str, *, uuids: bool) -> list[pl.DataFrame]:
    return [
        file_of(turn * ROWS, uuids=uuids, channels=channels, users=users)
        for turn, (channels, users) in enumerate(FILES[files])
    ]


@pytest.mark.parametrize("uuids", [True, False])
@pytest.mark.parametrize("files", FILES)
def test_columns_of_one_value_come_back_whatever_other_files_hold(tmp_path: Path, files: str, *, uuids: bool):
    parts = parts_of(files, uuids=uuids)
    parts.append(file_of(len(parts) * ROWS, uuids=uuids, channels=[WEB], users=["eve"], more=', "note": "x"'))
    folder = tmp_path / "a"
    for part in parts:
        with ArchiveWriter(folder, chain=read_chain(folder) if folder.exists() else ()) as writer:
            for batch in source.batches(part):
                writer.write(batch)
            writer.commit(LogFacts())
    assert_found(folder, parts)


@pytest.mark.parametrize("files", FILES)
def test_columns_of_one_value_come_back_whatever_other_row_groups_hold(
    tmp_path: Path, files: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(segment, "ROW_GROUP", 1)
    folder, parts = tmp_path / "a", parts_of(files, uuids=True)
    with ArchiveWriter(folder) as writer:
        for part in parts:
            for batch in source.batches(part):
                writer.write(batch)
        writer.commit(LogFacts())
    (file,) = scan_archive(folder).files
    assert pq.ParquetFile(file).num_row_groups == len(parts)
    assert_found(folder, parts)


def assert_found(folder: Path, parts: list[pl.DataFrame]) -> None:
    """Each entity's rows, and none of one that is not there."""
    scanned, whole = scan_archive(folder), pl.concat(parts)
    finder = EntityRows(scanned.files, scanned.prove)
    for key in [*whole["entity_id"].unique(maintain_order=True), "none"]:
        assert_frame_equal(finder.of([key]).drop(PLACE), whole.filter(pl.col("entity_id") == key))


def test_only_columns_of_several_values_are_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    part = file_of(0, uuids=True, channels=[WEB], users=["ann"])
    with ArchiveWriter(tmp_path / "a") as writer:
        for batch in source.batches(part):
            writer.write(batch)
        writer.commit(LogFacts())
    asked: list[str] = []
    rows = ParquetFiles.rows

    def look(self: ParquetFiles, names: list[str], column: str, value: str | bytes, columns: list[str]):
        asked.extend(columns)
        return rows(self, names, column, value, columns)

    monkeypatch.setattr(ParquetFiles, "rows", look)
    scanned = scan_archive(tmp_path / "a")
    key = part["entity_id"][0]
    assert_frame_equal(
        EntityRows(scanned.files, scanned.prove).of([key]).drop(PLACE), part.filter(pl.col("entity_id") == key)
    )
    assert {"id", "entity_uuid", "changed_at", "transaction_id", "after.total", "before.total"} <= set(asked)
    assert set(asked).isdisjoint(
        {"entity_id", "entity_type", "changed_by", "after.channel", "before.channel", "metadata"}
    )

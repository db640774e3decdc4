"""What goes into an archive comes out of it: every row, byte for byte, and the log's facts."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from polars.testing import assert_frame_equal

from auditlab.archive import segment
from auditlab.archive.manifest import DATA, MANIFESTS, PLAIN
from auditlab.archive.read import scan_archive
from auditlab.archive.verify import leftovers, verify
from auditlab.archive.write import ArchiveWriter, to_archive
from auditlab.errors import ArchiveExists, SchemaMismatch, UnknownEntityType
from auditlab.load.source import frame
from auditlab.schema import CHANGES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from auditlab.schema import LogFacts


def the_manifest(archive: Path) -> dict[str, object]:
    return json.loads((archive / MANIFESTS / "00000001.json").read_text())["manifest"]


def test_every_row_comes_back_byte_for_byte(archive: Path, batches: list[pa.RecordBatch]):
    assert_frame_equal(scan_archive(archive).changes.collect().sort("id"), frame(batches))


def test_the_facts_of_the_log_travel_in_the_manifest(archive: Path, facts: LogFacts):
    assert scan_archive(archive).facts == facts


def test_the_summary_says_what_was_written(tmp_path: Path, batches: list[pa.RecordBatch], facts: LogFacts):
    written = to_archive(batches, tmp_path / "a", facts=facts)
    sizes = [path.stat().st_size for path in (tmp_path / "a" / DATA).iterdir()]
    assert (written.rows, written.by_type) == (60, {"shop.order_items": 20, "shop.orders": 40})
    assert (written.files, written.bytes) == (len(sizes), sum(sizes))


def test_the_manifest_lists_each_file_with_its_rows_and_ranges(archive: Path):
    manifest = the_manifest(archive)
    assert (manifest["format"], manifest["number"], manifest["previous"]) == (PLAIN, 1, None)
    assert manifest["ranges"] == "transaction_id"
    (written,) = manifest["segments"]
    assert (written["first"], written["last"], written["rows"]) == (1000, 1030, 60)
    ranges = {
        tuple(part["entity_types"]): (part["rows"], part["id"], part["transaction_id"]) for part in written["parts"]
    }
    assert ranges == {
        ("shop.orders",): (40, [1, 60], [1000, 1030]),
        ("shop.order_items",): (20, [21, 40], [1010, 1020]),
    }
    times = {tuple(part["changed_at"]) for part in written["parts"]}
    assert ("2024-06-01T12:00:21+00:00", "2024-06-01T12:00:40+00:00") in times


def test_files_are_named_by_their_content_and_never_by_data(
    tmp_path: Path, batches: list[pa.RecordBatch], facts: LogFacts
):
    place = batches[0].schema.get_field_index("entity_type")
    evil = batches[0].set_column(place, "entity_type", pa.array(["../../evil'; DROP TABLE x"] * 20))
    to_archive([evil], tmp_path / "a", facts=facts)
    (path,) = (tmp_path / "a" / DATA).iterdir()
    assert path.stem == the_manifest(tmp_path / "a")["segments"][0]["parts"][0]["sha256"]
    assert scan_archive(tmp_path / "a").entity_types == ("../../evil'; DROP TABLE x",)


def test_a_log_without_transaction_ids_is_ranged_by_position(
    tmp_path: Path, batches: list[pa.RecordBatch], facts: LogFacts
):
    place = batches[0].schema.get_field_index("transaction_id")
    without = [one.set_column(place, "transaction_id", pa.nulls(one.num_rows, pa.int64())) for one in batches]
    to_archive(without, tmp_path / "a", facts=facts)
    manifest = the_manifest(tmp_path / "a")
    assert (manifest["ranges"], manifest["segments"][0]["first"], manifest["segments"][0]["last"]) == (
        "position",
        1,
        60,
    )


def test_only_the_files_of_the_wanted_entity_types_are_read(archive: Path):
    scanned = scan_archive(archive, entity_types="shop.order_items")
    assert len(scanned.files) == 1
    assert scanned.changes.collect()["id"].sort().to_list() == list(range(21, 41))
    assert scanned.entity_types == ("shop.order_items", "shop.orders")


def test_an_unknown_entity_type_is_answered_with_what_there_is(archive: Path):
    with pytest.raises(UnknownEntityType, match=r"no entity type 'order'.* It has 'shop.order_items', 'shop.orders'"):
        scan_archive(archive, entity_types=["shop.orders", "order"])


def test_the_baseline_is_kept_apart(tmp_path: Path, batches: list[pa.RecordBatch], facts: LogFacts):
    written = to_archive(batches[1:], tmp_path / "a", facts=facts, baseline=batches[:1])
    scanned = scan_archive(tmp_path / "a")
    assert written.rows == 40
    assert scanned.changes.collect()["id"].sort().to_list() == list(range(21, 61))
    assert scanned.baseline is not None
    assert_frame_equal(scanned.baseline.collect(), frame(batches[:1]))


def test_the_same_rows_twice_come_back_twice(tmp_path: Path, batches: list[pa.RecordBatch], facts: LogFacts):
    to_archive(batches[:1], tmp_path / "a", facts=facts, baseline=batches[:1])
    scanned = scan_archive(tmp_path / "a")
    assert scanned.baseline is not None
    assert_frame_equal(scanned.baseline.collect(), scanned.changes.collect())
    assert verify(tmp_path / "a") == []


def test_an_empty_log_is_an_archive_too(tmp_path: Path, facts: LogFacts):
    to_archive([], tmp_path / "a", facts=facts)
    scanned = scan_archive(tmp_path / "a")
    assert scanned.changes.collect().schema == pl.Schema(CHANGES)
    assert (scanned.changes.collect().height, scanned.entity_types, verify(tmp_path / "a")) == (0, (), [])


def test_more_entity_types_than_files_may_be_open(tmp_path: Path, batches: list[pa.RecordBatch], facts: LogFacts):
    place = batches[0].schema.get_field_index("entity_type")
    names = [f"s.t{number}" for number in range(100)]
    many = [batches[0].set_column(place, "entity_type", pa.array([name] * 20)) for name in names * 2]
    to_archive(many, tmp_path / "a", facts=facts)
    assert scan_archive(tmp_path / "a").changes.collect().group_by("entity_type").len()["len"].unique().to_list() == [
        40
    ]


def test_a_large_type_goes_into_several_files(
    tmp_path: Path, batches: list[pa.RecordBatch], facts: LogFacts, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(segment, "FILE", 1)
    monkeypatch.setattr(segment, "ROW_GROUP", 1)
    to_archive(batches, tmp_path / "a", facts=facts)
    assert len(scan_archive(tmp_path / "a").files) == len(batches)
    assert_frame_equal(scan_archive(tmp_path / "a").changes.collect().sort("id"), frame(batches))


def test_other_engines_read_the_files(archive: Path):
    files = [str(path) for path in scan_archive(archive).files]
    told = duckdb.connect().execute("SELECT count(*), min(changed_at)::text FROM read_parquet($1)", [files]).fetchone()
    assert told is not None
    assert told[0] == 60
    schema = pq.read_schema(files[0])
    kinds = {"int64", "string", "timestamp[us, tz=UTC]", "bool", "fixed_size_binary[16]", "decimal128(38, 2)"}
    assert {str(dtype) for dtype in schema.types} == kinds
    assert pl.read_parquet(files[0]).height == len(pq.read_table(files[0]))


def test_a_second_archive_in_the_folder_is_refused_and_the_first_stays(archive: Path, facts: LogFacts):
    with pytest.raises(ArchiveExists, match="holds an archive already"):
        to_archive([], archive, facts=facts)
    assert verify(archive) == []
    assert scan_archive(archive).changes.collect().height == 60


def test_a_folder_of_other_things_is_left_alone(tmp_path: Path, facts: LogFacts):
    (tmp_path / "letters.txt").write_text("dear")
    with pytest.raises(ArchiveExists, match="is not empty and holds no archive"):
        to_archive([], tmp_path, facts=facts)
    assert [path.name for path in tmp_path.iterdir()] == ["letters.txt"]


def test_two_writers_at_once_make_one_archive(tmp_path: Path, batches: list[pa.RecordBatch], facts: LogFacts):
    with ArchiveWriter(tmp_path / "a") as one, ArchiveWriter(tmp_path / "a") as other:
        one.write(batches[0])
        other.write(batches[1])
        one.commit(facts)
        with pytest.raises(ArchiveExists, match="another writer"):
            other.commit(facts)
    assert verify(tmp_path / "a") == []
    assert_frame_equal(scan_archive(tmp_path / "a").changes.collect(), frame(batches[:1]))


def test_a_writer_that_gives_up_takes_no_folder_from_another(tmp_path: Path, facts: LogFacts):
    with ArchiveWriter(tmp_path / "a") as one:
        other = ArchiveWriter(tmp_path / "a")
        one.abort()
        assert list(tmp_path.iterdir()) == []
        other.commit(facts)  # without rows, so no file of its own kept a folder
    assert (verify(tmp_path / "a"), scan_archive(tmp_path / "a").changes.collect().height) == ([], 0)


def test_writers_that_begin_and_give_up_at_once_disturb_none(tmp_path: Path, batches: list[pa.RecordBatch]):
    def begin(number: int) -> None:
        for _ in range(100):
            with ArchiveWriter(tmp_path / "a") as writer:
                if number % 2:
                    writer.write(batches[0][:1])

    with ThreadPoolExecutor(4) as writers:
        list(writers.map(begin, range(4)))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_leaving_a_writer_without_commit_leaves_nothing(tmp_path: Path, batches: list[pa.RecordBatch]):
    with ArchiveWriter(tmp_path / "a") as writer:
        writer.write(batches[0])
    assert list(tmp_path.iterdir()) == []


def test_an_error_in_the_source_leaves_nothing(tmp_path: Path, batches: list[pa.RecordBatch], facts: LogFacts):
    def failing() -> Iterator[pa.RecordBatch]:
        yield batches[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        to_archive(failing(), tmp_path / "a", facts=facts)
    assert list(tmp_path.iterdir()) == []


def test_rows_of_another_shape_are_refused(tmp_path: Path, batches: list[pa.RecordBatch], facts: LogFacts):
    with pytest.raises(SchemaMismatch, match="want the columns"):
        to_archive([batches[0].select(["id", "entity_type"])], tmp_path / "a", facts=facts)


def test_leftovers_of_a_killed_writer_are_found_and_harm_nothing(archive: Path):
    (archive / DATA / ".unfinished-00").write_bytes(b"x")
    assert leftovers(archive) == [archive / DATA / ".unfinished-00"]
    assert verify(archive) == []

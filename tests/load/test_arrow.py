"""A log from anything with an Arrow stream: exact, or a named error with all that is wrong."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from arrow_log import IDS, a_log, the_changes
from polars.testing import assert_frame_equal

from auditlab.errors import BadOption, MalformedChange, SchemaMismatch
from auditlab.load.arrow import from_arrow, read_parquet
from auditlab.load.source import ARROW_CHANGES, batches
from auditlab.schema import CHANGES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from auditlab.load.arrow import ArrowStream


def test_the_result_has_exactly_the_canonical_columns():
    assert the_changes().schema == pl.Schema(CHANGES)


def test_recorded_text_comes_through_byte_for_byte():
    assert the_changes()["after_snapshot"].to_list() == a_log()["after_snapshot"].to_pylist()


@pytest.mark.parametrize(
    "library",
    [
        pytest.param(lambda table: table, id="pyarrow"),
        pytest.param(lambda table: table.to_reader(max_chunksize=2), id="pyarrow reader"),
        pytest.param(pl.DataFrame, id="polars"),
        pytest.param(
            lambda table: pl.DataFrame(table).with_columns(pl.col("entity_type").cast(pl.Categorical)), id="category"
        ),
        pytest.param(lambda table: table.to_pandas(), id="pandas"),
        pytest.param(lambda table: table.to_pandas(types_mapper=pd.ArrowDtype), id="pandas arrow"),
        pytest.param(lambda table: duckdb.connect().from_arrow(table), id="duckdb"),
    ],
)
def test_any_library_with_an_arrow_stream_gives_the_same_log(library: Callable[[pa.Table], ArrowStream]):
    assert_frame_equal(from_arrow(library(a_log())).changes, the_changes())


@pytest.mark.parametrize(
    "type_",
    [pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())],
    ids=str,
)
def test_any_arrow_text_is_text(type_: pa.DataType):
    told = a_log()
    for name in ("entity_type", "operation", "after_snapshot", "changed_by"):
        place = told.schema.get_field_index(name)
        told = told.set_column(place, name, told[name].combine_chunks().cast(type_))
    assert_frame_equal(from_arrow(told).changes, the_changes())


def test_json_and_uuid_extension_types_become_text():
    told = a_log(
        entity_id=pa.array(IDS, pa.uuid()),
        after_snapshot=pa.array(a_log()["after_snapshot"].to_pylist(), pa.json_(pa.string())),
    )
    assert_frame_equal(from_arrow(told).changes, the_changes())


def test_sixteen_plain_bytes_are_a_uuid():
    told = a_log(entity_id=pa.array([one.bytes for one in IDS], pa.binary(16)))
    assert_frame_equal(from_arrow(told).changes, the_changes())


def test_a_slice_of_uuids_with_nulls_keeps_its_rows():
    column = pa.array([IDS[0], None, IDS[1], IDS[2], None], pa.uuid()).slice(1, 3)
    told = from_arrow(a_log(changed_by=column)).changes
    assert told["changed_by"].to_list() == [None, str(IDS[1]), str(IDS[2])]


@pytest.mark.parametrize("type_", [pa.int32(), pa.uint64(), pa.decimal128(38, 0), pa.float64()], ids=str)
def test_whole_numbers_of_any_width_are_taken(type_: pa.DataType):
    assert_frame_equal(from_arrow(a_log(id=pa.array([1, 2, 3]).cast(type_))).changes, the_changes())


def test_pandas_floats_of_integers_beside_nulls_are_taken():
    told = a_log(transaction_id=pa.array([7.0, 8.0, float("nan")]))
    assert from_arrow(told).changes["transaction_id"].to_list() == [7, 8, None]


@pytest.mark.parametrize(
    "ids",
    [
        pa.array([1.0, 2.0, 2.0**60]),
        pa.array([1.0, 2.5, 3.0]),
        pa.array([1, 2, 2**63], pa.uint64()),
        pa.array([Decimal(1), Decimal(2), Decimal(2**63)], pa.decimal128(38, 0)),
    ],
    ids=["float past 2^53", "fraction", "past 2^63", "decimal past 2^63"],
)
def test_a_number_that_is_not_exact_is_refused(ids: pa.Array):
    with pytest.raises(SchemaMismatch, match="id: "):
        from_arrow(a_log(id=ids))


def test_integer_entity_ids_become_their_text():
    assert from_arrow(a_log(entity_id=pa.array([42, -1, 42]))).changes["entity_id"].to_list() == ["42", "-1", "42"]


def test_missing_optional_columns_are_null():
    told = from_arrow(a_log().drop_columns(["changed_by", "metadata", "transaction_id", "correlation_id"])).changes
    assert told.schema == pl.Schema(CHANGES)
    assert told["changed_by"].null_count() == 3


def test_all_missing_and_mistyped_columns_are_named_at_once():
    bad = pa.table({"id": [1.5], "operation": [True], "changed_at": [20240101], "after_snapshot": [{"a": 1}]})
    with pytest.raises(SchemaMismatch) as caught:
        from_arrow(bad)
    for told in (
        "entity_type: missing",
        "entity_id: missing",
        "before_snapshot: missing",
        "operation: is bool, want text",
        "changed_at: is int64, want a timestamp",
        "after_snapshot: is struct<a: int64>, want JSON text (in Polars: pl.when(",
    ):
        assert told in str(caught.value)


def test_what_is_said_of_structs_makes_a_log_of_them():
    frame = pl.DataFrame({
        "id": [1, 2, 3], "entity_type": "t", "entity_id": "a", "operation": ["INSERT", "UPDATE", "DELETE"],
        "changed_at": [datetime(2024, 1, day, tzinfo=UTC) for day in (1, 2, 3)],
        "old": [None, {"n": 1}, {"n": 2, "s": "x"}], "new": [{"n": 1}, {"n": 2, "s": "x"}, None],
    }, schema_overrides=dict.fromkeys(("old", "new"), pl.Struct({"n": pl.Int64, "s": pl.String})))  # fmt: skip
    names = {"before_snapshot": "old", "after_snapshot": "new"}
    with pytest.raises(SchemaMismatch, match="a struct has every field in every row") as caught:
        from_arrow(frame, columns=names)
    said = re.findall(r"in Polars: (.*?); but", str(caught.value))
    assert len(said) == 2
    encoded = frame.with_columns(eval(words, {"pl": pl}) for words in said)  # noqa: S307 - our own words
    log = from_arrow(encoded, columns=names)
    assert log.changes.select("before_snapshot", "after_snapshot").rows() == [
        (None, '{"n":1,"s":null}'), ('{"n":1,"s":null}', '{"n":2,"s":"x"}'), ('{"n":2,"s":"x"}', None),
    ]  # fmt: skip


def test_all_columns_with_forbidden_nulls_are_named_at_once():
    with pytest.raises(SchemaMismatch, match=r"id: null in 1 rows; .*operation: null in 1 rows"):
        from_arrow(a_log(id=pa.array([1, None, 3]), operation=["INSERT", None, "UPDATE"]))


def test_columns_with_other_names_are_mapped():
    told = a_log().rename_columns({"id": "event", "changed_at": "ts", "after_snapshot": "new"})
    mapping = {"id": "event", "changed_at": "ts", "after_snapshot": "new"}
    assert_frame_equal(from_arrow(told, columns=mapping).changes, the_changes())


def test_a_mapped_name_wins_over_a_column_of_the_canonical_name():
    told = a_log(who=["x", "y", "z"])
    assert from_arrow(told, columns={"changed_by": "who"}).changes["changed_by"].to_list() == ["x", "y", "z"]


def test_a_mapping_to_a_column_that_is_not_there_is_named():
    with pytest.raises(SchemaMismatch, match=r"changed_by \(from 'who'\): missing"):
        from_arrow(a_log(), columns={"changed_by": "who"})


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        ({"chnaged_by": "who"}, "'chnaged_by', which a change log does not have"),
        ({"id": "x", "transaction_id": "x"}, "'x'"),
    ],
)
def test_a_mapping_that_makes_no_sense_is_refused(mapping: dict[str, str], words: str):
    with pytest.raises(BadOption, match=words):
        from_arrow(a_log(), columns=mapping)


@pytest.mark.parametrize(
    ("aliases", "meaning"),
    [
        (["c", "r", "u"], ["INSERT", "SNAPSHOT", "UPDATE"]),
        (["I", "i", "U"], ["INSERT", "INSERT", "UPDATE"]),
        (["CREATE", "Create", "update"], ["INSERT", "INSERT", "UPDATE"]),
    ],
)
def test_operation_aliases_are_read(aliases: list[str], meaning: list[str]):
    assert from_arrow(a_log(operation=aliases)).changes["operation"].to_list() == meaning


def test_an_unknown_operation_is_named_with_its_rows():
    with pytest.raises(MalformedChange, match=r"operation 'upsert' in 1 rows \(row id 2\)"):
        from_arrow(a_log(operation=["c", "upsert", "u"]))


def test_rows_come_sorted_by_id_and_rows_of_equal_id_are_kept():
    log = a_log(id=pa.array([3, 1, 1]))
    assert from_arrow(log).changes["id"].to_list() == [1, 1, 3]


def test_a_batch_of_any_size_is_taken_in_pieces(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("auditlab.load.arrow._PIECE", 1)
    assert_frame_equal(from_arrow(a_log()).changes, the_changes())
    monkeypatch.setattr("auditlab.load.source._SLICE", 2)
    assert pa.Table.from_batches(batches(the_changes())).equals(pa.table(the_changes()).cast(ARROW_CHANGES))


def test_an_empty_log_has_the_columns_and_covers_nothing():
    loaded = from_arrow(a_log().slice(0, 0))
    assert loaded.changes.schema == pl.Schema(CHANGES)
    assert str(loaded.facts.coverage) == "no changes"


@pytest.mark.parametrize("data", [[1, 2], pl.LazyFrame(), "log.parquet"], ids=type)
def test_what_has_no_arrow_stream_is_refused_in_words(data: object):
    with pytest.raises(BadOption, match="has no Arrow stream"):
        from_arrow(data)


def test_a_stream_of_no_table_is_refused_in_words():
    with pytest.raises(SchemaMismatch, match="is not a table"):
        from_arrow(pl.Series("id", [1]))


def test_parquet_files_are_read_by_their_literal_names(tmp_path: Path):
    plain, odd = tmp_path / "a.parquet", tmp_path / "[ab].parquet"
    pq.write_table(a_log(), plain)
    pq.write_table(a_log(id=pa.array([4, 5, 6])), odd)
    assert_frame_equal(read_parquet(plain).changes, the_changes())
    assert read_parquet(odd).changes["id"].to_list() == [4, 5, 6]
    assert read_parquet([odd, plain]).changes["id"].to_list() == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("content", [None, b"", b"PAR1 not at all"], ids=["missing", "empty", "garbage"])
def test_a_file_that_is_no_parquet_is_named(tmp_path: Path, content: bytes | None):
    path = tmp_path / "log.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SchemaMismatch, match=r"cannot read .*log\.parquet as Parquet"):
        read_parquet(path)


def test_integers_that_arrow_has_no_type_for_are_named_with_what_to_do():
    rows = pl.DataFrame({"w": [1], "n": [{"x": 2}], "id": [1]}, schema_overrides={"w": pl.Int128})
    rows = rows.with_columns(n=pl.col("n").cast(pl.Struct({"x": pl.UInt128})))
    words = r"'w' is Int128, 'n' is Struct\(.*UInt128.*\), which Arrow does not have. Cast it to Decimal first"
    with pytest.raises(SchemaMismatch, match=words):
        from_arrow(rows)

"""What a loader's options say of a source's columns: several for the entity type, none, and what is left unread."""

from __future__ import annotations

import json
import warnings
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.csv as pv
import pyarrow.parquet as pq
import pytest

import auditlab as al
from auditlab.errors import BadOption, BadTime, SchemaMismatch, UnreadColumns
from auditlab.load.arrow import from_arrow, read_parquet
from auditlab.load.columns import source_names, taken
from auditlab.load.text import read_csv, read_jsonl

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def a_log(**replaced: object) -> pa.Table:
    columns: dict[str, object] = {
        "id": pa.array([1, 2], pa.int64()),
        "entity_type": ["shop.orders"] * 2,
        "entity_id": ["x", "y"],
        "operation": ["c", "c"],
        "changed_at": ["2024-06-01 12:00:00 UTC", "2024-06-01 12:00:01 UTC"],
        "before_snapshot": pa.nulls(2),
        "after_snapshot": ["{}", "{}"],
    }
    return pa.table({name: value for name, value in (columns | replaced).items() if value is not None})


def test_an_entity_type_is_put_together_from_several_columns():
    log = a_log(entity_type=None, table_schema=["shop", "hr"], table_name=["orders", "people"])
    columns = {"entity_type": ["table_schema", "table_name"], "transaction_id": None}
    assert from_arrow(log, columns=columns).changes["entity_type"].to_list() == ["shop.orders", "hr.people"]
    odd = log.set_column(log.schema.get_field_index("table_schema"), "table_schema", pa.array(["shop", None]))
    with pytest.raises(SchemaMismatch, match="entity_type: null in 1 rows"):
        from_arrow(odd, columns=columns)
    with pytest.raises(SchemaMismatch, match=r"null in 1 rows, made of 'table_schema' and 'table_name'$"):
        from_arrow(odd, columns=columns)
    with pytest.raises(SchemaMismatch, match=r"entity_type \(from 'schema'\): missing"):
        from_arrow(log, columns={"entity_type": ["schema", "table_name"]})


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"entity_id": ["a", "b"]}, r"gives \['a', 'b'\] for 'entity_id'. Only an entity type is put together"),
        ({"changed_by": 5}, "gives 5 for 'changed_by'"),
        ({"entity_type": ["a", 5]}, r"gives \['a', 5\] for 'entity_type'"),
        ({"entity_type": []}, r"gives \[\] for 'entity_type'"),
        ({"entity_type": ["a", "b"], "entity_id": "b"}, "gives 'b' to more than one column"),
        ({"entity_type": ["a", "a"]}, "gives 'a' to more than one column"),
    ],
)
def test_lists_that_make_no_sense_are_refused(columns: dict[str, object], words: str):
    with pytest.raises(BadOption, match=words):
        from_arrow(a_log(), columns=columns)


def test_a_database_has_its_entity_type_in_one_column():
    with pytest.raises(
        BadOption, match="makes the entity type of 'a', 'b', which is for files and frames. al.read_query"
    ):
        source_names({"entity_type": ["a", "b"]})
    with pytest.raises(BadOption, match="there is no 'id', which every change log has"):
        source_names({"id": None})


def test_all_rows_may_be_of_one_entity_type():
    log = a_log(entity_type=None)
    assert from_arrow(log, entity_type="shop.orders").changes["entity_type"].to_list() == ["shop.orders"] * 2
    with pytest.raises(SchemaMismatch, match=r"entity_type: missing.* entity_type='shop.orders' says which"):
        from_arrow(log)
    with pytest.raises(BadOption, match="is of all rows, and columns= gives a column"):
        from_arrow(a_log(), entity_type="a", columns={"entity_type": "b"})
    with pytest.raises(BadOption, match="entity_type='' is no name"):
        from_arrow(log, entity_type="")


def test_rows_without_ids_are_numbered_as_they_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    log = a_log(id=None)
    with pytest.raises(SchemaMismatch, match=r"id: missing.* are numbered, .* by columns=\{'id': None\}"):
        from_arrow(log)
    monkeypatch.setattr("auditlab.load.arrow._PIECE", 1)  # batches of one row
    assert from_arrow(log, columns={"id": None}).changes["id"].to_list() == [1, 2]
    pq.write_table(log, tmp_path / "1.parquet")
    pq.write_table(log, tmp_path / "2.parquet")
    paths = [tmp_path / "2.parquet", tmp_path / "1.parquet"]
    assert read_parquet(paths, columns={"id": None}).changes["id"].to_list() == [1, 2, 3, 4]


def test_a_column_of_ids_is_not_passed_over():
    with pytest.raises(SchemaMismatch, match="id: columns= says that there is no 'id', and there is one"):
        from_arrow(a_log(), columns={"id": None})
    loaded = from_arrow(a_log(entity_id=None), columns={"id": None, "entity_id": "id"})
    assert loaded.changes.select("id", "entity_id").rows() == [(1, "1"), (2, "2")]


def loads(folder: Path, log: pa.Table) -> dict[str, Callable[..., Any]]:
    """What loads the table, from memory and from a file of every kind."""
    pq.write_table(log, folder / "log.parquet")
    pv.write_csv(log, folder / "log.csv")
    rows = log.cast(pa.schema([(field.name, pa.string()) for field in log.schema])).to_batches()[0]
    lines = [
        zip(log.column_names, row, strict=True) for row in zip(*(c.to_pylist() for c in rows.columns), strict=True)
    ]
    told = [", ".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in line) for line in lines]
    (folder / "log.jsonl").write_text("".join(f"{{{line}}}\n" for line in told))
    return {
        "frame": lambda **options: from_arrow(log, **options),
        "parquet": lambda **options: read_parquet(folder / "log.parquet", **options),
        "csv": lambda **options: read_csv(folder / "log.csv", **options),
        "jsonl": lambda **options: read_jsonl(folder / "log.jsonl", **options),
    }


LOADERS = ("frame", "parquet", "csv", "jsonl")


@pytest.mark.parametrize("loader", LOADERS)
def test_a_column_that_is_needed_and_read_as_another_is_missing(loader: str, tmp_path: Path):
    load = loads(tmp_path, a_log(entity_id=None, seq=["3", "4"], changed_by=["a", "b"]))[loader]
    columns = {"entity_id": "id", "transaction_id": None}
    words = (
        r"id: missing \(its column is read as entity_id; name another: columns=\{'id': 'name there'\}\).* Rows that "
        r"have no id are numbered, in the order in which they stand, by columns=\{'id': None\}"
    )
    with pytest.raises(SchemaMismatch, match=words):
        load(columns=columns)
    assert load(columns=columns | {"id": "seq"}).changes.select("id", "entity_id").rows() == [
        (3, "1"),
        (4, "2"),
    ]
    numbered = load(columns=columns | {"id": None}).changes
    assert numbered.select("id", "entity_id").rows() == [(1, "1"), (2, "2")]


@pytest.mark.parametrize("name", ["entity_type", "entity_id", "changed_at", "before_snapshot", "after_snapshot"])
@pytest.mark.parametrize("loader", LOADERS)
def test_so_is_every_other_one(loader: str, name: str, tmp_path: Path):
    load = loads(tmp_path, a_log())[loader]
    with pytest.raises(SchemaMismatch, match=rf"{name}: missing \(its column is read as metadata; name another"):
        load(columns={"metadata": name})


@pytest.mark.parametrize("loader", LOADERS)
def test_a_constant_and_fields_stand_for_what_is_read_as_another(loader: str, tmp_path: Path):
    load = loads(tmp_path, a_log(before_snapshot=None))[loader]
    columns = {"metadata": "entity_type", "changed_by": "after_snapshot", "transaction_id": None}
    changes = load(columns=columns, entity_type="sales", fields=["id"]).changes
    assert changes.select("entity_type", "metadata", "changed_by").rows() == [("sales", "shop.orders", "{}")] * 2


def test_a_database_needs_the_columns_that_are_read_as_others():
    assert taken({"entity_id": "id", "changed_by": "changed_at", "metadata": "correlation_id"}).keys() == {
        "id",
        "changed_at",
    }
    assert taken({"entity_id": "id", "id": "seq"}) == taken(None) == {}


def doubled(name: str) -> pa.Table:
    """A log that has two columns of a name."""
    log = a_log()
    own = log.column(name) if name in log.column_names else pa.chunked_array([["p", "q"]])
    log = log if name in log.column_names else log.append_column(name, own)
    return log.append_column(name, own)


@pytest.mark.parametrize("loader", LOADERS)
def test_one_of_two_columns_of_one_name_is_not_chosen(loader: str, tmp_path: Path):
    words = "names '{0}' twice" if loader == "jsonl" else "'{0}'.*: there are 2 columns of that name; give each its own"
    for name, options in (
        ("entity_id", {}),
        ("x", {"columns": {"changed_by": "x"}}),
        ("x", {"fields": "rest", "columns": dict.fromkeys(("changed_by", "transaction_id"))}),
        ("x", {"fields": ["x"]}),
    ):
        with pytest.raises(SchemaMismatch, match=words.format(name)):
            loads(tmp_path, doubled(name))[loader](**options)
    with pytest.warns(UnreadColumns, match="and 'x' are not read"):
        read = loads(tmp_path, doubled("x"))[loader]()
    assert read.changes.equals(from_arrow(a_log()).changes)


def test_files_of_texts_are_read_one_behind_another(tmp_path: Path):
    for ending, read in (("csv", read_csv), ("jsonl", read_jsonl)):
        log = a_log(id=None)
        loads(tmp_path, log)
        (tmp_path / f"log.{ending}").rename(tmp_path / f"1.{ending}")
        loads(tmp_path, log.select(log.column_names[::-1]))
        paths = [tmp_path / f"1.{ending}", tmp_path / f"log.{ending}"]
        twice = pa.concat_tables([log, log])
        assert read(paths, columns={"id": None}).changes.equals(from_arrow(twice, columns={"id": None}).changes)
        assert read(paths, columns={"id": None}).facts.source == f"{paths[0]} and 1 more"
        with pytest.raises(BadOption, match="file given"):
            read([])


def test_numbers_and_times_may_be_texts_everywhere(tmp_path: Path):
    rows = a_log(id=["9007199254740993", "-2"], transaction_id=["7", None])
    pq.write_table(rows, tmp_path / "log.parquet")
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows.to_pylist()))
    for loaded in (from_arrow(rows), read_parquet(tmp_path / "log.parquet"), read_jsonl(tmp_path / "log.jsonl")):
        assert loaded.changes.select("id", "transaction_id", "changed_at").rows() == [
            (-2, None, datetime(2024, 6, 1, 12, 0, 1, tzinfo=UTC)),
            (9007199254740993, 7, datetime(2024, 6, 1, 12, tzinfo=UTC)),
        ]
    with pytest.raises(SchemaMismatch, match=r"id is no whole number of 64 bits: '4f1c'.* columns=\{'id': None\}"):
        from_arrow(a_log(id=["4f1c", "2"]))


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2024-03-10 12:00:00 UTC", "2024-03-10T12:00:00+00:00"),
        ("2024-03-10 12:00:00.123456 UTC", "2024-03-10T12:00:00.123456+00:00"),
        ("2024-03-10T12:00:00GMT", "2024-03-10T12:00:00+00:00"),
        ("2024-03-10 12:00:00 +05:30", "2024-03-10T06:30:00+00:00"),
        ("2024-03-10 12:00:00 -0330", "2024-03-10T15:30:00+00:00"),
        ("2024-03-10 12:00:00.5 +00", "2024-03-10T12:00:00.500000+00:00"),
        ("2024-03-10 12:00:00.123456 +0000 UTC", "2024-03-10T12:00:00.123456+00:00"),
        ("1880-06-01 12:00:00.25-03:30:15", "1880-06-01T15:30:15.250000+00:00"),
        ("0001-06-01 12:00:00+00:53:28", "0001-06-01T11:06:32+00:00"),
        (" 2024-03-10T12:00:00Z ", "2024-03-10T12:00:00+00:00"),
    ],
)
def test_offsets_are_read_as_other_tools_write_them(text: str, instant: str):
    loaded = from_arrow(a_log(changed_at=[text, "2024-06-01 12:00:00Z"]))
    assert loaded.changes["changed_at"][0] == datetime.fromisoformat(instant)


@pytest.mark.parametrize(
    "text",
    [
        "2024-03-10 12:00:00 CEST",
        "2024-03-10 12:00:00 +0530 UTC",
        "2024-03-10 UTC",
        "2024-03-10 12:00:00 +05:30:15:00",
        "2024-03-10 12:00:00.1234567+00:53:28",
        "0001-01-01 00:00:00+00:53:28",
        "1710072000",
    ],
)
def test_a_time_that_is_not_told_exactly_is_refused_as_it_is_written(text: str):
    with pytest.raises(BadTime, match="row id 1: changed_at = ") as caught:
        from_arrow(a_log(changed_at=[text, "2024-06-01 12:00:00Z"]))
    assert repr(text) in str(caught.value)


def test_columns_that_are_not_read_are_named_where_nothing_tells_who_or_in_which_transaction():
    log = a_log(actor=["ann", "bob"], ip=["::1", "::1"])
    with pytest.warns(UnreadColumns) as caught:
        from_arrow(log)
    (told,) = [str(one.message) for one in caught]
    assert told.startswith("the data: no column tells changed_by or transaction_id, and 'actor', 'ip' are not read.")
    assert "columns={'changed_by': 'name there'}; if none does, say so: " in told
    assert "columns={'changed_by': None, 'transaction_id': None}" in told
    assert told.endswith("lacks changed_by, changed_fields, metadata, transaction_id, correlation_id, committed_at.")
    with pytest.warns(UnreadColumns, match="no column tells transaction_id, and 'ip' are not read"):
        from_arrow(log, columns={"changed_by": "actor"})
    with pytest.warns(
        UnreadColumns, match="no column tells changed_by or .*, and 'actor', 'ip' are fields, as fields='rest'"
    ):
        from_arrow(log.drop_columns(["before_snapshot", "after_snapshot"]), fields="rest")


def test_nothing_is_warned_of_where_all_is_read_or_it_is_said_that_there_is_none():
    log = a_log(actor=["ann", "bob"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        from_arrow(a_log())
        from_arrow(log, columns={"changed_by": "actor"})
        from_arrow(log, columns={"changed_by": None, "transaction_id": None})
        bare = log.drop_columns(["before_snapshot", "after_snapshot"])
        from_arrow(bare, fields="rest", columns={"changed_by": None})
        from_arrow(bare, fields=["actor"])


def test_unread_columns_are_warned_of_once_by_every_loader(tmp_path: Path):
    log = a_log(actor=["ann", "bob"])
    pq.write_table(log, tmp_path / "log.parquet", row_group_size=1)
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in log.to_pylist()))
    lines = [",".join(str(value or "") for value in row.values()) for row in log.to_pylist()]
    (tmp_path / "log.csv").write_text("\n".join([",".join(log.column_names), *lines]) + "\n")
    twice = [tmp_path / "log.parquet"] * 2
    for read, path in ((read_parquet, twice), (read_jsonl, tmp_path / "log.jsonl"), (read_csv, tmp_path / "log.csv")):
        with pytest.warns(UnreadColumns) as caught:
            read(path)
        assert len(caught) == 1
        assert "'actor' are not read" in str(caught[0].message)


def test_a_warning_points_at_whoever_loads(tmp_path: Path):
    log = a_log(actor=["ann", "bob"])
    pq.write_table(log, tmp_path / "log.parquet")
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in log.to_pylist()))
    for read, source in (
        (al.from_arrow, log),
        (al.read_parquet, tmp_path / "log.parquet"),
        (al.read_jsonl, tmp_path / "log.jsonl"),
    ):
        with pytest.warns(UnreadColumns) as caught:
            read(source)
        assert caught[0].filename == __file__


def test_a_line_of_json_without_any_column_says_first_which_are_needed(tmp_path: Path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"wann": 1}\n')
    with pytest.raises(SchemaMismatch) as caught:
        read_jsonl(path, columns={"changed_at": "zeit"}, entity_type="a.b", fields=["total"])
    assert "line 1: has none of id, entity_id, operation, zeit, which a change log needs, nor of changed_by, " in str(
        caught.value
    )

"""Flat rows: the images that an entity's fields make where each is a column, exactly."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditlab.errors import BadOption, MalformedChange, SchemaMismatch
from auditlab.load.arrow import from_arrow, read_parquet
from auditlab.load.json_text import json_text
from auditlab.load.text import read_csv, read_jsonl

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

KEPT = {"changed_by": None, "transaction_id": None}
NOON = datetime(2024, 6, 1, 12, tzinfo=UTC)


def flat(operations: Sequence[str] = ("+", "~", "-"), **fields: Any) -> pa.Table:  # noqa: ANN401 - any column
    rows = len(operations)
    return pa.table(
        {
            "id": pa.array(range(1, rows + 1), pa.int64()),
            "entity_type": ["shop.orders"] * rows,
            "entity_id": ["7"] * rows,
            "operation": operations,
            "changed_at": pa.array([NOON + timedelta(minutes=row) for row in range(rows)]),
            **fields,
        }
    )


def images(data: pa.Table, fields: Any = "rest", **options: Any) -> list[tuple[str | None, str | None]]:  # noqa: ANN401
    loaded = from_arrow(data, fields=fields, columns=KEPT, **options)
    return loaded.changes.select("before_snapshot", "after_snapshot").rows()


def document(column: pa.Array) -> str:
    """What an INSERT's row with this one value becomes."""
    ((before, after),) = images(flat(["+"], v=column))
    assert before is None
    return after.removeprefix('{"v": ').removesuffix("}")


def test_a_row_is_the_image_after_its_change_and_of_a_delete_that_before():
    data = flat(["+", "~", "r", "-", "t"], total=["1", "2", "3", "4", None], note=["a", None, "c", "d", None])
    data = data.set_column(2, "entity_id", pa.array(["7", "7", "7", "7", None]))
    assert images(data) == [
        (None, '{"total": "1", "note": "a"}'),
        (None, '{"total": "2", "note": null}'),
        (None, '{"total": "3", "note": "c"}'),
        ('{"total": "4", "note": "d"}', None),
        (None, None),
    ]


def test_a_delete_that_tells_no_field_has_no_image_and_the_state_before_it_is_known():
    data = flat(total=["1", "2", None], note=["a", None, None])
    assert images(data)[2] == (None, None)
    assert images(data, ["entity_id", "total"])[2] == (None, None)  # the key, which every row has, is no state
    assert images(data, ["entity_id"])[2] == ('{"entity_id": "7"}', None)


def test_a_delete_that_tells_its_key_alone_has_no_image_where_the_key_is_of_the_fields():
    data = flat(no=[7, 7, 7], total=["1", "2", None]).drop_columns(["entity_id"])
    assert images(data, key="no")[1:] == [(None, '{"no": 7, "total": "2"}'), (None, None)]
    assert images(data.drop_columns(["total"]), key="no")[2] == ('{"no": 7}', None)


def test_what_else_a_row_tells_may_be_metadata_of_several_columns(tmp_path: Path):
    data = flat(["+"], total=["1.10"], lsn=[7], gone=[False], note=[None])
    loaded = from_arrow(data, fields="rest", columns=KEPT | {"metadata": ["lsn", "gone", "note"]})
    assert loaded.changes.select("after_snapshot", "metadata").rows() == [
        ('{"total": "1.10"}', '{"lsn": 7, "gone": false, "note": null}')
    ]
    line = (
        '{"id": 1, "entity_type": "a", "entity_id": 1, "operation": "c", "changed_at": "2024-06-01", "v": 1, "x": "y"'
    )
    (tmp_path / "log.jsonl").write_text(line + ', "n": 1.10}\n')
    options = {"fields": "rest", "columns": KEPT | {"metadata": ["x", "n"]}}
    loaded = read_jsonl(tmp_path / "log.jsonl", **options)  # type: ignore[arg-type]  # as the others
    assert loaded.changes.select("after_snapshot", "metadata").rows() == [('{"v": 1}', '{"x": "y", "n": 1.10}')]
    with pytest.raises(SchemaMismatch, match=r"metadata \(from 'lsn', 'b'\): is binary, which JSON has no value for"):
        from_arrow(data.append_column("b", pa.array([b"x"])), columns=KEPT | {"metadata": ["lsn", "b"]}, fields="rest")


def test_a_partition_is_a_field_like_others_unless_it_is_said_to_be_ours():
    assert images(flat(["+"], partition=[3], v=[1])) == [(None, '{"partition": 3, "v": 1}')]
    log = flat(["+"], partition=["shop.orders_2024"], v=[1])
    loaded = from_arrow(log, fields="rest", columns=KEPT | {"partition": "partition"})
    assert loaded.changes.select("partition", "after_snapshot").rows() == [("shop.orders_2024", '{"v": 1}')]


def test_named_fields_come_in_the_order_given_and_may_be_what_else_the_row_tells():
    data = flat(["+"], b=[2], a=[1], unread=["x"])
    assert images(data, ["a", "entity_id", "b"]) == [(None, '{"a": 1, "entity_id": "7", "b": 2}')]
    assert images(data) == [(None, '{"b": 2, "a": 1, "unread": "x"}')]


@pytest.mark.parametrize(
    ("column", "text"),
    [
        (pa.array([Decimal("1.10")], pa.decimal128(38, 2)), "1.10"),
        (pa.array([Decimal("12345678901234567890123456789012345.678")], pa.decimal128(38, 3)), None),
        (pa.array([Decimal("0.0000000000")], pa.decimal128(38, 10)), "0.0000000000"),
        (pa.array([Decimal("-0.0000000001")], pa.decimal128(38, 10)), "-0.0000000001"),
        (pa.array([Decimal("1" * 60)], pa.decimal256(76, 0)), "1" * 60),
        (pa.array([Decimal(1200)], pa.decimal128(5, -2)), "1200"),
        (pa.array([2**53 + 1]), "9007199254740993"),
        (pa.array([2**64 - 1], pa.uint64()), "18446744073709551615"),
        (pa.array([0.1]), "0.1"),
        (pa.array([0.1], pa.float32()), "0.1"),
        (pa.array([float("nan")]), '"NaN"'),
        (pa.array([float("-inf")]), '"-Infinity"'),
        (pa.array([True]), "true"),
        (pa.array(['a"\\\n\x00\x1f\u2028ü😀']), None),
        (pa.array([""]), '""'),
        (pa.array(["x"], pa.dictionary(pa.int8(), pa.large_string())), '"x"'),
        (pa.array(["x"], pa.string_view()), '"x"'),
        (pa.array([date(2024, 2, 29)]), '"2024-02-29"'),
        (pa.array([NOON]), '"2024-06-01T12:00:00+00:00"'),
        (pa.array([NOON], pa.timestamp("us", "Asia/Kolkata")), '"2024-06-01T12:00:00+00:00"'),
        (pa.array([NOON + timedelta(microseconds=500)]), '"2024-06-01T12:00:00.0005+00:00"'),
        (pa.array([1], pa.timestamp("ns")), '"1970-01-01T00:00:00.000000001"'),
        (pa.array([10], pa.timestamp("s")), '"1970-01-01T00:00:10"'),
        (pa.array([time(1, 2, 3, 400)]), '"01:02:03.0004"'),
        (pa.array([UUID(int=255).bytes], pa.uuid()), '"00000000-0000-0000-0000-0000000000ff"'),
        (pa.array(['{"n":  1.10}'], pa.json_(pa.string())), '{"n":  1.10}'),
        (pa.array([[1, None]]), "[1, null]"),
        (pa.array([[[Decimal("1.10")], []]]), "[[1.10], []]"),
        (pa.array([[1, 2]], pa.list_(pa.int64(), 2)), "[1, 2]"),
        (pa.array([{"a": 1.5, 'b"': None}]), '{"a": 1.5, "b\\"": null}'),
        (pa.nulls(1), "null"),
        (pa.nulls(1, pa.float64()), "null"),
    ],
    ids=str,
)
def test_values_are_exact(column: pa.Array, text: str | None):
    told = document(column)
    if text is not None:
        assert told == text
    value = column[0].as_py()
    if isinstance(value, Decimal | str):
        assert json.loads(told, parse_float=Decimal, parse_int=Decimal) == value or column.type == pa.json_(pa.string())


SCALARS = {
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.float64(): st.floats(allow_nan=False, allow_infinity=False),
    pa.string(): st.text(st.characters(exclude_categories=["Cs"])),
    pa.decimal128(38, 9): st.decimals(-(10**28), 10**28, places=9),
    pa.bool_(): st.booleans(),
}


@settings(deadline=None)  # a timing never decides a test
@given(data=st.data(), type_=st.sampled_from([*SCALARS, *map(pa.list_, SCALARS)]))
def test_any_value_comes_back(data: st.DataObject, type_: pa.DataType):
    inner = SCALARS[type_.value_type if pa.types.is_list(type_) else type_]
    one = st.lists(st.none() | inner) if pa.types.is_list(type_) else inner
    values = data.draw(st.lists(st.none() | one, max_size=8))
    column = pa.array([None, *values], type_).slice(1)
    number = float if "double" in str(type_) else Decimal
    told = [json.loads(text, parse_float=number) for text in json_text(column).to_pylist()]
    assert told == values


def test_signed_zero_and_the_shortest_digits_of_a_float_stay():
    assert json.loads(document(pa.array([5e-324]))) == 5e-324
    assert math.copysign(1, json.loads(document(pa.array([-0.0])), parse_int=float)) == -1


@pytest.mark.parametrize(
    "column",
    [pa.array([b"x"]), pa.array([b"x" * 16], pa.binary(16)), pa.array([timedelta(1)]), pa.array([[b"x"]])],
    ids=lambda column: str(column.type),
)
def test_what_json_has_no_value_for_is_refused_by_name(column: pa.Array):
    with pytest.raises(
        SchemaMismatch, match="'v', a field: is .*, which JSON has no value for: make a text of it first"
    ):
        images(flat(["+"], v=column))
    assert images(flat(["+"], v=column, w=[1]), ["w"]) == [(None, '{"w": 1}')]


def test_faults_of_fields_are_named_with_all_others():
    with pytest.raises(SchemaMismatch) as caught:
        images(flat(["+"], v=[1]).drop_columns(["operation"]), {"v": "number", "no": "text"})
    for told in (
        "operation: missing",
        "'v', a field: is int64, where only a text is read as number",
        "'no', a field: mi",
    ):
        assert told in str(caught.value)
    with pytest.raises(SchemaMismatch, match="fields='rest': there is no other column"):
        images(flat(["+"]))


@pytest.mark.parametrize(
    ("fields", "columns", "words"),
    [
        ("total", {}, r"fields='total' is no list of columns. Give fields=\['total'\], or fields='rest'"),
        (5, {}, "fields=5 names no columns. Give their names"),
        ([5], {}, r"fields=\[5\] names no columns"),
        ([], {}, "fields= names no column, or one twice"),
        (["a", "a"], {}, "fields= names no column, or one twice"),
        ({"a": "money"}, {}, "A column of texts is read as text, number, boolean, json"),
        (["a"], {"after_snapshot": "new"}, "fields= makes the images, and columns= gives after_snapshot"),
    ],
)
def test_options_that_make_no_sense_are_refused(fields: Any, columns: dict[str, str], words: str):  # noqa: ANN401
    with pytest.raises(BadOption, match=words):
        from_arrow(flat(["+"], a=["x"]), fields=fields, columns=columns)


CSV = """nr,type,key,op,at,who,total,paid,lines,note
1,shop.orders,7,+,2024-06-01 12:00Z,ann,1.10,t,"[1.10, {""a"": null}]",007
2,shop.orders,7,~,2024-06-01 13:00Z,bob,12345678901234567.89,false,,""
3,shop.orders,7,~,2024-06-01 14:00Z,bob,NaN,,{},
4,shop.orders,7,-,2024-06-01 15:00Z,bob,,,,
"""
NAMES = {
    "id": "nr", "entity_type": "type", "entity_id": "key", "operation": "op", "changed_at": "at", "changed_by": "who",
}  # fmt: skip


def test_texts_of_a_csv_stay_texts_unless_it_is_said_what_they_stand_for(tmp_path: Path):
    path = tmp_path / "log.csv"
    path.write_text(CSV)
    told = read_csv(path, columns=NAMES, fields="rest").changes["after_snapshot"].to_list()
    assert told[:2] == [
        '{"total": "1.10", "paid": "t", "lines": "[1.10, {\\"a\\": null}]", "note": "007"}',
        '{"total": "12345678901234567.89", "paid": "false", "lines": null, "note": ""}',
    ]
    kinds = {"total": "number", "paid": "boolean", "lines": "json", "note": "text"}
    read = read_csv(path, columns=NAMES | {"transaction_id": None}, fields=kinds).changes
    assert read["after_snapshot"].to_list() == [
        '{"total": 1.10, "paid": true, "lines": [1.10, {"a": null}], "note": "007"}',
        '{"total": 12345678901234567.89, "paid": false, "lines": null, "note": ""}',
        '{"total": "NaN", "paid": null, "lines": {}, "note": null}',
        None,
    ]
    assert read["before_snapshot"].to_list() == [None] * 4


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        *(("number", text) for text in ("1,50", "007", ".5", "0x1F", "", " 1")),
        ("boolean", "1"),
        ("boolean", "yes"),
        ("json", "{"),
        ("json", '1, "forged": 2'),
        ("json", "[" * 5000),
    ],
)
def test_a_text_that_does_not_stand_for_that_is_refused_with_its_row(kind: str, text: str, tmp_path: Path):
    with pytest.raises(SchemaMismatch, match=rf"the data, row id 2: v = .* is no {kind}\. Leave the field a text"):
        images(flat(["+", "~"], v=[None, text]), {"v": kind})
    path = tmp_path / "log.jsonl"
    good = '{"id": 1, "entity_type": "a", "entity_id": "x", "operation": "c", "changed_at": "2024-06-01T12:00Z", "v": '
    path.write_text(f"{good}null}}\n{good}{json.dumps(text)}}}\n")
    with pytest.raises(SchemaMismatch, match=rf"line 2: v = .* is no {kind}\. Leave the field a text"):
        read_jsonl(path, fields={"v": kind}, columns=KEPT)


def test_json_columns_must_hold_json():
    with pytest.raises(SchemaMismatch, match="v = .* is no json"):
        images(flat(["+"], v=pa.array(['1, "forged": 2'], pa.json_(pa.string()))))


def test_members_of_json_lines_are_kept_to_the_letter(tmp_path: Path):
    start = '{"id": 1, "entity_type": "a.b", "entity_id": 7, "changed_at": "2024-06-01T12:00Z", "operation": '
    lines = [
        start + '"c", "total": 1.10,  "big": 123456789012345678901234567890, "deep": {"a":  [1.0]}, "no": null}',
        start.replace('"id": 1', '"id": 2') + '"u", "s": "\\u0041", "total": "2.20"}',
        start.replace('"id": 1', '"id": 3') + '"d", "total": null}',
        start.replace('"id": 1', '"id": 4') + '"d", "total": 5e0}',
    ]
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join(lines) + "\n")
    read = read_jsonl(path, fields="rest", columns=KEPT).changes
    assert read.select("before_snapshot", "after_snapshot").rows() == [
        (None, '{"total": 1.10, "big": 123456789012345678901234567890, "deep": {"a":  [1.0]}, "no": null}'),
        (None, '{"s": "\\u0041", "total": "2.20"}'),  # what a line does not name is no field, and not null
        (None, None),
        ('{"total": 5e0}', None),
    ]
    read = read_jsonl(path, fields={"total": "number", "entity_id": "text"}, columns=KEPT).changes
    assert read["after_snapshot"].to_list()[:2] == [
        '{"total": 1.10, "entity_id": 7}',
        '{"total": 2.20, "entity_id": 7}',
    ]
    with pytest.raises(SchemaMismatch, match="no line has 'totl', which fields= names"):
        read_jsonl(path, fields=["totl"], columns=KEPT)


def test_the_same_rows_answer_alike_from_every_kind_of_file(tmp_path: Path):
    data = flat(total=["1.10", "2.20", None], note=["a", None, None])
    wanted = images(data)
    pq.write_table(data, tmp_path / "log.parquet")
    pl.DataFrame(data).write_csv(tmp_path / "log.csv")
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(row, default=str) + "\n" for row in data.to_pylist()))
    for read, name in ((read_parquet, "log.parquet"), (read_csv, "log.csv"), (read_jsonl, "log.jsonl")):
        loaded = read(tmp_path / name, fields="rest", columns=KEPT)
        assert loaded.changes.select("before_snapshot", "after_snapshot").rows() == wanted, name


def test_a_null_operation_is_told_as_ever():
    with pytest.raises(SchemaMismatch, match="operation: null in 1 rows"):
        images(flat(["+", None], v=[1, 2]))
    with pytest.raises(MalformedChange, match="upsert"):
        images(flat(["upsert"], v=[1]))

"""Debezium's change events: the same log as its rows give, encoded values exact, or a named error with the line."""

from __future__ import annotations

import base64
import gzip
import json
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import given
from polars.testing import assert_frame_equal
from same_answers import assert_same
from soak import generated

import auditlab as al
from auditlab.errors import BadOption, SchemaMismatch
from auditlab.load.debezium import is_debezium
from auditlab.testing import histories

if TYPE_CHECKING:
    from pathlib import Path

OPERATIONS = {"INSERT": "c", "UPDATE": "u", "DELETE": "d", "TRUNCATE": "t", "SNAPSHOT": "r"}
CUSTOMER = {"id": 1001, "name": "Sally"}


def source(place: int, **other: object) -> dict[str, object]:
    return {
        "version": "3.0.0.Final", "connector": "postgresql", "name": "server", "ts_ms": 1_709_287_200_000 + place,
        "snapshot": "false", "db": "inventory", "schema": "inventory", "table": "customers", "txId": 700 + place,
        "lsn": 24_023_128 + place, "xmin": None,
    } | other  # fmt: skip


def event(op: str, place: int, before: object = None, after: object = None, **other: object) -> dict[str, object]:
    return {
        "before": before,
        "after": after,
        "source": source(place, **other),
        "transaction": None,
        "op": op,
        "ts_ms": 1_709_287_299_999,
    }


def file(folder: Path, *lines: object) -> Path:
    path = folder / "events.jsonl"
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    return path


def read(folder: Path, *lines: object, **options: Any) -> al.ChangeLog[pl.DataFrame]:  # noqa: ANN401 - any option
    return al.read_debezium(file(folder, *lines), **options)


def as_events(frame: pl.DataFrame) -> list[str]:
    """The rows of a log as events, each behind its key; images to the letter."""
    lines = []
    for row in frame.iter_rows(named=True):
        schema, _, table = row["entity_type"].partition(".")
        told = json.dumps(
            {
                "schema": schema,
                "table": table,
                "connector": "postgresql",
                "ts_us": micros(row),
                "txId": row["transaction_id"],
                "lsn": row["id"],
            }
        )
        key = json.dumps({"the key": row["entity_id"]}) if row["entity_id"] is not None else "null"
        before, after = (row[f"{side}_snapshot"] or "null" for side in ("before", "after"))
        op = OPERATIONS[row["operation"]]
        lines.append(f'{key}\t{{"before":{before},"after":{after},"source":{told},"op":"{op}"}}')
    return lines


def micros(row: dict[str, Any]) -> int:
    return pl.Series([row["changed_at"]]).dt.timestamp("us")[0]


def test_events_are_the_log_that_their_rows_are(tmp_path_factory: pytest.TempPathFactory):
    @generated(200, few=8)
    @given(histories(max_steps=24))
    def run(frame: pl.DataFrame) -> None:
        frame = frame.sort("id")
        log = read(tmp_path_factory.mktemp("events"), *as_events(frame))
        rows = frame.with_columns(id=pl.int_range(1, pl.len() + 1), changed_by=None, committed_at="changed_at")
        want = al.from_arrow(rows.select(log.changes().columns))
        names = ("history", "diffs", "blame", "as_of", "key_changes", "timeline")
        assert_same(want, log, {name: lambda log, name=name: getattr(log, name)() for name in names})

    run()


def test_a_real_log_is_the_same_as_events(tmp_path: Path, request: pytest.FixtureRequest):
    rows = pl.read_parquet(request.config.rootpath / "tests" / "data" / "shop" / "log.parquet").sort("id")
    log = read(tmp_path, *as_events(rows))
    want = al.from_arrow(rows.with_columns(id=pl.int_range(1, pl.len() + 1), changed_by=pl.lit(None, pl.String)))
    assert_frame_equal(log.diffs(), want.diffs())
    for name in want.entity_types:
        assert_frame_equal(log.of(name).as_of(), want.of(name).as_of())


def test_the_ways_in_which_a_message_is_written_all_tell_the_same(tmp_path: Path):
    told = event("c", 1, None, CUSTOMER)
    key = {"id": 1001}
    wrapped, wrapped_key = {"schema": None, "payload": told}, {"schema": {"type": "struct"}, "payload": key}
    ways: list[tuple[object, dict[str, Any]]] = [
        (told, {"key": "id"}),
        (json.dumps(told).replace(": {", ":\t{"), {"key": "id"}),
        (wrapped, {"key": {"inventory.customers": ["id"]}}),
        (f"{json.dumps(key)}\t{json.dumps(told)}", {}),
        (f"{json.dumps(wrapped_key)}\t{json.dumps(wrapped)}", {}),
        ({"topic": "t", "partition": 0, "offset": 7, "key": json.dumps(key), "payload": json.dumps(told)}, {}),
        ({"topic": "t", "key": wrapped_key, "payload": wrapped}, {}),
    ]
    logs = [read(tmp_path, line, "", **options).changes() for line, options in ways]
    for log in logs[1:]:
        assert_frame_equal(log, logs[0])
    (row,) = logs[0].to_dicts()
    assert (row["entity_type"], row["entity_id"], row["operation"]) == ("inventory.customers", "1001", "INSERT")
    assert row["after_snapshot"] == json.dumps(CUSTOMER)
    assert row["changed_at"].isoformat() == row["committed_at"].isoformat() == "2024-03-01T10:00:00.001000+00:00"
    assert row["transaction_id"] == 701
    assert json.loads(row["metadata"]) == {"key": key, "source": source(1), "transaction": None}


def test_what_tells_of_no_row_is_left_out_and_what_came_again_counts_once(tmp_path: Path):
    lines = [
        event("r", 0, None, CUSTOMER, snapshot="first"),
        event("m", 1),
        event("u", 2, CUSTOMER, CUSTOMER | {"name": "Sal"}),
        event("d", 3, CUSTOMER | {"name": "Sal"}, None),
        "null",
        event("u", 2, CUSTOMER, CUSTOMER | {"name": "Sal"}),
        event("d", 3, CUSTOMER | {"name": "Sal"}, None),
        event("t", 4),
    ]
    log = read(tmp_path, *lines, key="id")
    assert log.changes()["operation"].to_list() == ["SNAPSHOT", "UPDATE", "DELETE", "TRUNCATE"]
    assert log.changes()["entity_id"].to_list() == ["1001", "1001", "1001", None]
    assert log.facts.keys == {"inventory.customers": ("id",)}


def test_changes_under_one_source_are_no_copies_of_each_other(tmp_path: Path):
    """Some connectors give all of a transaction the position of its end."""
    steps = [event("c", 1, None, CUSTOMER), event("d", 1, CUSTOMER), event("c", 1, None, CUSTOMER)]
    log = read(tmp_path, *steps, key="id")
    assert log.changes()["operation"].to_list() == ["INSERT", "DELETE", "INSERT"]
    assert len(log.as_of()) == 1


def test_deletes_that_tell_the_key_alone_end_what_the_changes_before_left(tmp_path: Path):
    gone = {"id": 1001, "name": ""}
    default = [event("c", 1, None, CUSTOMER), event("u", 2, None, CUSTOMER | {"name": "Sal"}), event("d", 3, gone)]
    nulls = [event("c", 1, None, CUSTOMER), event("d", 2, {"id": 1001, "name": None})]
    for lines, last in ((default, "Sal"), (nulls, "Sally")):
        log = read(tmp_path, *lines, key="id")
        ended = log.diffs().filter(id=len(lines))
        assert dict(ended.select("field", "old").iter_rows()) == {"id": "1001", "name": last}
        assert {row["kind"] for row in log.evidence().findings.to_dicts()} <= {"missing images"}
    full = [event("c", 1, None, CUSTOMER), event("d", 2, gone)]
    assert "unlogged change" in read(tmp_path, *full, key="id").evidence().findings["kind"].to_list()


ENCODED: list[tuple[str, dict[str, object], object, str]] = [
    ("org.apache.kafka.connect.data.Decimal", {"parameters": {"scale": "2"}}, "MrM=", "129.79"),
    ("org.apache.kafka.connect.data.Decimal", {"parameters": {"scale": "2"}}, "/w==", "-0.01"),
    (
        "org.apache.kafka.connect.data.Decimal",
        {"parameters": {"scale": "3"}},
        "/6MfFlqf6gE6VSBc11HGfus=",
        "-123456789012345678901234567890123456.789",
    ),
    ("io.debezium.data.VariableScaleDecimal", {}, {"scale": 4, "value": "MrM="}, "1.2979"),
    ("io.debezium.data.Json", {}, '{"a": 1.10}', '{"a": 1.10}'),
    ("io.debezium.time.Date", {}, 19_783, '"2024-03-01"'),
    ("org.apache.kafka.connect.data.Date", {}, -1, '"1969-12-31"'),
    ("io.debezium.time.Date", {}, 2**31 - 1, "2147483647"),
    ("io.debezium.time.Timestamp", {}, 1_709_287_200_500, '"2024-03-01T10:00:00.5"'),
    ("io.debezium.time.MicroTimestamp", {}, -1, '"1969-12-31T23:59:59.999999"'),
    ("io.debezium.time.NanoTimestamp", {}, 1_709_287_200_000_000_001, '"2024-03-01T10:00:00.000000001"'),
    ("io.debezium.time.MicroTimestamp", {}, 2**63 - 1, str(2**63 - 1)),
    ("io.debezium.time.ZonedTimestamp", {}, "2024-03-01T10:00:00Z", '"2024-03-01T10:00:00Z"'),
    ("io.debezium.time.MicroTime", {}, 3_723_000_001, '"01:02:03.000001"'),
    ("io.debezium.time.MicroTime", {}, -1, "-1"),
    ("io.debezium.data.Uuid", {}, "c0ffee00-0000-4000-8000-000000000001", '"c0ffee00-0000-4000-8000-000000000001"'),
]


DECIMAL = {"type": "bytes", "name": "org.apache.kafka.connect.data.Decimal", "parameters": {"scale": "2"}}
DATE = {"type": "int32", "name": "io.debezium.time.Date"}
TEXT, NUMBER = {"type": "string"}, {"type": "int32"}
VARIABLE = {"type": "struct", "name": "io.debezium.data.VariableScaleDecimal"}


def array(items: dict[str, Any]) -> dict[str, Any]:
    return {"items": items, "type": "array"}


def a_map(keys: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    return {"type": "map", "keys": keys, "values": values}


def struct(**fields: dict[str, Any]) -> dict[str, Any]:
    return {"type": "struct", "fields": [{"field": name, **told} for name, told in fields.items()]}


BYTES = b"__debezium_unavailable_value"
EACH = [base64.b64encode(bytes([byte])).decode() for byte in BYTES]
ENCODED += [
    ("", array(DECIMAL), ["MrM=", None, "/w=="], "[129.79,null,-0.01]"),
    ("", array(DATE), [19_783], '["2024-03-01"]'),
    ("", array(DATE), [], "[]"),
    ("", array(array(DATE)), [[19_783], None, [-1, None]], '[["2024-03-01"],null,["1969-12-31",null]]'),
    ("", array({"type": "string", "name": "io.debezium.data.Json"}), ['{"a": 1.10}'], '[{"a": 1.10}]'),
    ("", a_map(TEXT, DECIMAL), {'a "b"': "MrM=", "é": None}, '{"a \\"b\\"":129.79,"é":null}'),
    ("", a_map(DATE, TEXT), [[19_783, "x"], [-1, None]], '[["2024-03-01","x"],["1969-12-31",null]]'),
    ("", a_map(NUMBER, DECIMAL), [[1, "MrM="]], "[[1,129.79]]"),
    ("", struct(n=NUMBER, at=DATE, own=array(struct(price=DECIMAL))),
     {"n": 12345678901234567890, "at": 19_783, "own": [{"price": "MrM="}, None]},
     '{"n":12345678901234567890,"at":"2024-03-01","own":[{"price":129.79},null]}'),
    ("", array(VARIABLE), [{"scale": 4, "value": "MrM="}], "[1.2979]"),
    ("", array(TEXT), ["MrM="], '["MrM="]'),
    ("", a_map(TEXT, NUMBER), {"a": 19_783}, '{"a":19783}'),
    ("", struct(x=NUMBER), {"x": 19_783}, '{"x":19783}'),
]  # fmt: skip


@pytest.mark.parametrize(
    ("items", "sent", "unsent"),
    [
        (TEXT, ["x"], [BYTES.decode()]),
        (NUMBER, [95, 1], list(BYTES)),
        (DATE, [95], list(BYTES)),
        (DECIMAL, EACH[:2], EACH),
        (VARIABLE, [{"scale": 0, "value": "Xw=="}], [{"scale": 0, "value": byte} for byte in EACH]),
        ({"type": "bytes"}, ["Xw=="], [base64.b64encode(BYTES).decode()]),
    ],
)
def test_an_array_that_was_not_sent_is_as_it_was(tmp_path: Path, items: Any, sent: list[Any], unsent: list[Any]):  # noqa: ANN401 - a schema
    some = {"type": "struct", "fields": [{"field": "id", "type": "int32"}, {"field": "v", **array(items)}]}
    schema = {"type": "struct", "fields": [{"field": side, **some} for side in ("before", "after")]}
    lines = [
        {"schema": schema, "payload": event("c", 1, None, {"id": 1, "v": sent})},
        {"schema": schema, "payload": event("u", 2, None, {"id": 1, "v": unsent})},
    ]
    log = read(tmp_path, *lines, key="id")
    assert log.changes()["after_snapshot"][1].replace(" ", "") == '{"id":1,"v":"__debezium_unavailable_value"}'
    assert log.as_of()["v"].to_list() == log.as_of(id=1)["v"].to_list()
    assert log.diffs()["id"].to_list() == [1, 1]


def test_an_array_in_which_nothing_is_encoded_stays_to_the_letter(tmp_path: Path):
    some = {"type": "struct", "fields": [{"field": "id", "type": "int32"}, {"field": "v", **array(NUMBER)}]}
    schema = {"type": "struct", "fields": [{"field": "after", **some}]}
    log = read(tmp_path, {"schema": schema, "payload": event("c", 1, None, {"id": 1, "v": [95, 1]})}, key="id")
    assert log.changes()["after_snapshot"].to_list() == ['{"id": 1, "v": [95, 1]}']


@pytest.mark.parametrize("value", [{"a": 1}, 1, "x", [[1]]])
def test_a_value_that_is_not_what_its_schema_says_is_named_with_its_line(tmp_path: Path, value: object):
    some = {"type": "struct", "fields": [{"field": "id", "type": "int32"}, {"field": "v", **array(DECIMAL)}]}
    schema = {"type": "struct", "fields": [{"field": "after", **some}]}
    with pytest.raises(SchemaMismatch, match="line 1: is no change event"):
        read(tmp_path, {"schema": schema, "payload": event("c", 1, None, {"id": 1, "v": value})}, key="id")


@pytest.mark.parametrize(("name", "more", "encoded", "want"), ENCODED)
def test_encoded_values_are_what_they_are(
    tmp_path: Path, name: str, more: dict[str, object], encoded: object, want: str
):
    schema = {
        "type": "struct",
        "fields": [
            {
                "type": "struct",
                "field": side,
                "fields": [{"type": "int32", "field": "id"}, {"type": "any", "name": name, "field": "v"} | more],
            }
            for side in ("before", "after")
        ],
    }
    lines = [
        {"schema": schema, "payload": event("c", 1, None, {"id": 1, "v": None})},
        {"schema": schema, "payload": event("u", 2, {"id": 1, "v": None}, {"id": 1, "v": encoded})},
    ]
    after = read(tmp_path, *lines, key="id").changes()["after_snapshot"]
    assert after[0] == '{"id": 1, "v": null}', "to the letter"
    assert after[1].replace(" ", "") == f'{{"id":1,"v":{want}}}'.replace(" ", "")
    assert al.read_debezium(tmp_path / "events.jsonl", key="id").of("inventory.customers").as_of()["id"].to_list() == [
        1
    ]


def test_sources_without_schemas_and_keys_of_several_columns(tmp_path: Path):
    mysql = {"connector": "mysql", "schema": None, "ts_ms": 0, "file": "binlog.3", "pos": 154, "gtid": None}
    told = event("c", 1, None, {"a": 1, "b": "x"}, **mysql)
    del told["source"]["schema"], told["source"]["txId"]  # type: ignore[attr-defined]
    log = read(tmp_path, f"{json.dumps({'a': 1, 'b': 'x'})}\t{json.dumps(told)}")
    (row,) = log.changes().to_dicts()
    assert row["entity_type"] == "inventory.customers"
    assert row["entity_id"] == str(al.entity_uuid("inventory.customers", {"a": 1, "b": "x"}))
    assert (row["transaction_id"], row["committed_at"]) == (None, None)
    assert row["changed_at"].isoformat() == "2024-03-01T10:01:39.999000+00:00"
    assert len(log.entity({"a": 1, "b": "x"}).history()) == 1


NOT_EVENTS: list[tuple[object, dict[str, Any], str]] = [
    ("{", {}, "line 2: is no change event: "),
    ("[1]", {}, "line 2: is no change event: "),
    (CUSTOMER, {}, "line 2: is no change event: it has id, name, but no source and op"),
    ({"schema": {"fields": [{"field": "after"}]}, "payload": event("c", 1)}, {}, "line 2: its schema does not say"),
    (event("c", 1, None, CUSTOMER), {}, "line 2: does not tell the key of inventory.customers.*The row has id, name"),
    (event("c", 1, None, CUSTOMER), {"key": "no"}, "line 2: the row of inventory.customers has no 'no'"),
    (event("c", 1, None, CUSTOMER, table=None), {"key": "id"}, "line 2: its source names no schema"),
    (event("c", 1, None, CUSTOMER, ts_ms=10**18), {"key": "id"}, "line 2: ts_ms is 10+, which is no time"),
    (event("c", 1, None, CUSTOMER, ts_ms="then"), {"key": "id"}, "line 2: is no change event: "),
    (event("c", 1, None, CUSTOMER | {"id": [1]}) | {"op": 7}, {"key": "id"}, "line 2: is no change event: "),
]


@pytest.mark.parametrize(("line", "options", "told"), NOT_EVENTS)
def test_what_is_no_event_is_named_with_its_line(tmp_path: Path, line: object, options: dict[str, Any], told: str):
    with pytest.raises(SchemaMismatch, match=told):
        read(tmp_path, "", line, **options)


@pytest.mark.parametrize("key", ["", [], {"t": ""}, [1]])
def test_a_key_that_is_none_is_refused(tmp_path: Path, key: Any):  # noqa: ANN401 - what a caller may give
    with pytest.raises(BadOption, match="give a column, e.g. key='id'"):
        read(tmp_path, event("c", 1, None, CUSTOMER), key=key)


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(SchemaMismatch, match="cannot read .*nowhere"):
        al.read_debezium(tmp_path / "nowhere.jsonl")


def test_files_of_events_are_known_from_others(tmp_path: Path):
    told = json.dumps(event("c", 1, None, CUSTOMER)).encode()
    for number, (content, known) in enumerate(
        [
            (b"null\n\n" + told, True),
            (b'{"id":1}\t' + told, True),
            (gzip.compress(told), True),
            (b'{"id": 1, "operation": "c"}', False),
            (b"", False),
            (b"\xff\xfe", False),
        ]
    ):
        path = tmp_path / f"{number}.jsonl{'' if content[:1] in b'{n' else '.gz'}"
        path.write_bytes(content)
        assert is_debezium(path) == known, content
    assert not is_debezium(tmp_path / "nowhere")
    with pytest.raises(SchemaMismatch, match="read_debezium reads those"):
        al.read_jsonl(file(tmp_path, told.decode()))

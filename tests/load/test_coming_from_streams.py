"""Change streams of databases and lakes, in the layouts of their tools, load as the README's table says and answer."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import polars as pl
from coming_from import call_of, kinds, states

import auditlab as al

if TYPE_CHECKING:
    from collections.abc import Callable


def test_dms(load: Callable[[str, str, str], Any]):
    log = load(
        "AWS DMS",
        "LOAD00000001.csv",
        "Op,ts,id,name,city\n"
        "I,2024-03-10 12:00:00.000000,101,Smith,New York\n"
        "U,2024-03-10 12:00:01.000000,101,Smith,Los Angeles\n"
        "I,2024-03-10 12:00:01.000000,102,Jones,Oslo\n"
        "D,2024-03-10 12:00:02.000000,101,Smith,Los Angeles\n",
    )
    assert states(log, "name", "city") == [
        ("101", "INSERT", None, "Smith", "New York"),
        ("101", "UPDATE", None, "Smith", "Los Angeles"),
        ("102", "INSERT", None, "Jones", "Oslo"),
    ]
    assert log.as_of()["entity_id"].to_list() == ["102"]
    assert kinds(log) == []


WAL = """
{"action": "B", "xid": 7, "timestamp": "2024-03-10 12:00:00.123456+00"}
{"action": "I", "xid": 7, "timestamp": "2024-03-10 12:00:00.123456+00", "schema": "public", "table": "t", "columns": [{"name": "id", "type": "integer", "value": 7}, {"name": "b", "type": "numeric(5,2)", "value": 2.34}, {"name": "long", "type": "text", "value": "toasted"}]}
{"action": "C", "xid": 7, "timestamp": "2024-03-10 12:00:00.123456+00"}
{"action": "U", "xid": 8, "timestamp": "2024-03-10 12:01:00+00", "schema": "public", "table": "t", "columns": [{"name": "id", "type": "integer", "value": 7}, {"name": "b", "type": "numeric(5,2)", "value": 2.50}], "identity": [{"name": "id", "type": "integer", "value": 7}]}
{"action": "U", "xid": 9, "timestamp": "2024-03-10 12:02:00+00", "schema": "public", "table": "t", "columns": [{"name": "id", "type": "integer", "value": 8}, {"name": "b", "type": "numeric(5,2)", "value": 2.50}], "identity": [{"name": "id", "type": "integer", "value": 7}]}
{"action": "D", "xid": 10, "timestamp": "2024-03-10 12:03:00+00", "schema": "public", "table": "t", "identity": [{"name": "id", "type": "integer", "value": 8}]}
"""  # noqa: E501 - a line is a change


def test_wal2json(load: Callable[[str, str, str], Any]):
    log = load("wal2json", "changes.jsonl", WAL)
    assert states(log, "b", "long") == [
        ("7", "INSERT", None, Decimal("2.34"), "toasted"), ("7", "UPDATE", None, Decimal("2.50"), "toasted"),
        ("8", "UPDATE", None, Decimal("2.50"), "toasted"),
    ]  # fmt: skip
    assert log.diffs().filter(transaction_id=8).select("field", "old", "new").rows() == [("b", "2.34", "2.50")]
    assert log.as_of().is_empty()
    assert kinds(log) == ["key change"]


def test_debezium_s_events_unwrapped(load: Callable[[str, str, str], Any]):
    end = ' "__table": "orders", "__source_ts_ms": 17100720'
    log = load(
        "Debezium's events as ExtractNewRecordState leaves them",
        "rows.jsonl",
        '{"id": 7, "total": 1.10, "__deleted": "false", "__op": "c",' + end + "00123}\n"
        '{"id": 7, "total": 2.20, "__deleted": "false", "__op": "u",' + end + "60123}\n"
        '{"id": 7, "total": null, "__deleted": "true", "__op": "d",' + end + "99123}\n",
    )
    assert states(log, "total") == [("7", "INSERT", None, Decimal("1.10")), ("7", "UPDATE", None, Decimal("2.20"))]
    assert log.changes()["metadata"].to_list()[1:] == ['{"__deleted": "false"}', '{"__deleted": "true"}']
    assert log.as_of().is_empty()
    assert kinds(log) == []


MAXWELL = """
{"database": "shop", "table": "orders", "type": "bootstrap-start", "ts": 1710072000, "data": {}}
{"database": "shop", "table": "orders", "type": "bootstrap-insert", "ts": 1710072000, "data": {"id": 7, "total": 1.10}}
{"database": "shop", "table": "orders", "type": "bootstrap-complete", "ts": 1710072000, "data": {}}
{"database": "shop", "table": "orders", "type": "insert", "ts": 1710072060, "xid": 1, "xoffset": 0, "data": {"id": 8, "total": 5.00}}
{"database": "shop", "table": "orders", "type": "update", "ts": 1710072060, "xid": 1, "commit": true, "data": {"id": 7, "total": 2.20}, "old": {"total": 1.10}}
{"database": "shop", "table": "orders", "type": "update", "ts": 1710072120, "xid": 2, "commit": true, "data": {"id": 9, "total": 2.20}, "old": {"id": 7}}
{"database": "shop", "table": "orders", "type": "delete", "ts": 1710072180, "xid": 3, "commit": true, "data": {"id": 8, "total": 5.00}}
"""  # noqa: E501 - a line is an event


def test_maxwell(load: Callable[[str, str, str], Any]):
    log = load("Maxwell's daemon", "maxwell.jsonl", MAXWELL)
    assert states(log, "total") == [
        ("7", "SNAPSHOT", None, Decimal("1.10")), ("7", "UPDATE", None, Decimal("2.20")),
        ("8", "INSERT", None, Decimal("5.00")), ("9", "UPDATE", None, Decimal("2.20")),
    ]  # fmt: skip
    assert log.as_of()["entity_id"].to_list() == ["9"]
    assert log.changes()["before_snapshot"][2] == '{"id": 7, "total": 1.10}'
    assert kinds(log) == ["key change"]


def test_delta_lake_s_change_data_feed():
    told = [
        (7, "draft", "insert", 1), (8, "draft", "insert", 1), (8, "paid", "delete", 3),
        (7, "paid", "update_postimage", 2),
        (8, "paid", "update_postimage", 2), (8, "draft", "update_preimage", 2), (7, "draft", "update_preimage", 2),
    ]  # fmt: skip
    feed = pl.DataFrame(told, schema=["id", "status", "_change_type", "_commit_version"], orient="row").with_columns(
        _commit_timestamp=datetime(2024, 3, 10, 12, tzinfo=UTC) + pl.duration(minutes="_commit_version")
    )
    log = eval(call_of("Delta Lake"), {"al": al, "feed": feed})  # noqa: S307 - our own README
    assert states(log, "field.id", "status") == [
        ("7", "INSERT", None, 7, "draft"), ("7", "UPDATE", None, 7, "paid"),
        ("8", "INSERT", None, 8, "draft"), ("8", "UPDATE", None, 8, "paid"),
    ]  # fmt: skip
    assert log.as_of()["entity_id"].to_list() == ["7"]
    assert kinds(log) == []


def test_sql_server_s_cdc(load: Callable[[str, str, str], Any]):
    log = load(
        "SQL Server's CDC",
        "cdc.csv",
        "__$start_lsn,__$seqval,__$operation,__$update_mask,id,status,total,at\n"
        "0x0000002C000001D80003,0x0000002C000001D80002,2,0x07,7,draft,1.10,2024-03-10 12:00:00.123\n"
        "0x0000002C000001E00004,0x0000002C000001E00002,3,0x02,7,draft,1.10,2024-03-10 12:01:00.123\n"
        "0x0000002C000001E00004,0x0000002C000001E00002,4,0x02,7,paid,1.10,2024-03-10 12:01:00.123\n"
        "0x0000002C000001E80003,0x0000002C000001E80002,1,0x07,7,paid,1.10,2024-03-10 12:02:00.123\n",
    )
    assert states(log, "field.id", "status") == [("7", "INSERT", None, 7, "draft"), ("7", "UPDATE", None, 7, "paid")]
    assert log.changes()["before_snapshot"][1] == '{"id": 7, "status": "draft", "total": 1.10}'
    assert log.as_of().is_empty()
    assert kinds(log) == []


GOLDENGATE = """
{"table": "SHOP.ORDERS", "op_type": "I", "op_ts": "2024-03-10 12:00:00.123456", "current_ts": "2024-03-10T12:00:01.000000", "pos": "00000000000000002928", "after": {"id": 7, "total": 1.10, "note": "x"}}
{"table": "SHOP.ORDERS", "op_type": "U", "op_ts": "2024-03-10 12:01:00.000000", "current_ts": "2024-03-10T12:01:01.000000", "pos": "00000000000000003072", "before": {"id": 7, "total": 1.10}, "after": {"id": 7, "total": 2.20}}
{"table": "SHOP.ORDERS", "op_type": "U", "op_ts": "2024-03-10 12:02:00.000000", "current_ts": "2024-03-10T12:02:01.000000", "pos": "00000000000000003216", "before": {"id": 7}, "after": {"id": 9}}
{"table": "SHOP.ORDERS", "op_type": "D", "op_ts": "2024-03-10 12:03:00.000000", "current_ts": "2024-03-10T12:03:01.000000", "pos": "00000000000000003360", "before": {"id": 9, "total": 2.20, "note": "x"}}
"""  # noqa: E501 - a line is an operation


def test_goldengate(load: Callable[[str, str, str], Any]):
    log = load("Oracle GoldenGate", "trail.jsonl", GOLDENGATE)
    assert states(log, "total", "note") == [
        ("7", "INSERT", None, Decimal("1.10"), "x"), ("7", "UPDATE", None, Decimal("2.20"), "x"),
        ("9", "UPDATE", None, Decimal("2.20"), "x"),
    ]  # fmt: skip
    assert log.key_changes().select("old_entity_id", "new_entity_id").rows() == [("7", "9")]
    assert log.as_of().is_empty()
    assert kinds(log) == ["id gaps", "key change"]


MONGO = """
{"_id": {"_data": "01"}, "operationType": "insert", "wallTime": {"$date": "2024-03-10T12:00:00.123Z"}, "ns": {"db": "shop", "coll": "orders"}, "documentKey": {"_id": {"$oid": "a7"}}, "fullDocument": {"_id": {"$oid": "a7"}, "total": {"$numberDecimal": "1.10"}, "n": 1}}
{"_id": {"_data": "02"}, "operationType": "update", "wallTime": {"$date": "2024-03-10T12:01:00Z"}, "ns": {"db": "shop", "coll": "orders"}, "documentKey": {"_id": {"$oid": "a7"}}, "updateDescription": {"updatedFields": {"n": 2}, "removedFields": []}, "fullDocument": {"_id": {"$oid": "a7"}, "total": {"$numberDecimal": "1.10"}, "n": 2}, "fullDocumentBeforeChange": {"_id": {"$oid": "a7"}, "total": {"$numberDecimal": "1.10"}, "n": 1}}
{"_id": {"_data": "03"}, "operationType": "delete", "wallTime": {"$date": "2024-03-10T12:02:00Z"}, "ns": {"db": "shop", "coll": "orders"}, "documentKey": {"_id": {"$oid": "a7"}}, "fullDocumentBeforeChange": {"_id": {"$oid": "a7"}, "total": {"$numberDecimal": "1.10"}, "n": 2}}
"""  # noqa: E501 - a line is an event


def test_mongodb(load: Callable[[str, str, str], Any]):
    log = load("MongoDB", "events.jsonl", MONGO)
    assert log.entity_types == ("shop.orders",)
    assert states(log, "total", "n") == [
        ("a7", "INSERT", None, '{"$numberDecimal": "1.10"}', 1),
        ("a7", "UPDATE", None, '{"$numberDecimal": "1.10"}', 2),
    ]  # fmt: skip
    assert log.diffs().filter(kind="modified").select("field", "old", "new").rows() == [("n", "1", "2")]
    assert log.as_of().is_empty()
    assert kinds(log) == []


DYNAMO = """
{"awsRegion": "us-east-1", "eventName": "INSERT", "tableName": "orders", "dynamodb": {"ApproximateCreationDateTime": 1710072000123, "Keys": {"id": {"N": "7"}}, "NewImage": {"id": {"N": "7"}, "total": {"N": "1.10"}}, "SizeBytes": 9}, "eventSource": "aws:dynamodb"}
{"awsRegion": "us-east-1", "eventName": "MODIFY", "tableName": "orders", "dynamodb": {"ApproximateCreationDateTime": 1710072060123, "Keys": {"id": {"N": "7"}}, "NewImage": {"id": {"N": "7"}, "total": {"N": "2"}}, "OldImage": {"id": {"N": "7"}, "total": {"N": "1.10"}}, "SizeBytes": 9}, "eventSource": "aws:dynamodb"}
{"awsRegion": "us-east-1", "eventName": "REMOVE", "tableName": "orders", "dynamodb": {"ApproximateCreationDateTime": 1710072120123, "Keys": {"id": {"N": "7"}}, "OldImage": {"id": {"N": "7"}, "total": {"N": "2"}}, "SizeBytes": 9}, "eventSource": "aws:dynamodb"}
"""  # noqa: E501 - a line is a record


def test_dynamodb(load: Callable[[str, str, str], Any]):
    log = load("DynamoDB", "records.jsonl", DYNAMO)
    assert states(log, "total") == [("7", "INSERT", None, '{"N": "1.10"}'), ("7", "UPDATE", None, '{"N": "2"}')]
    assert log.changes()["changed_at"][0] == datetime(2024, 3, 10, 12, 0, 0, 123000, tzinfo=UTC)
    assert log.as_of().is_empty()
    assert kinds(log) == []


def taken_and_put(**names: str) -> pl.DataFrame:
    """Rows of a feed that tells an update by the row that it took away and the one that it put there."""
    told = [
        (7, "draft", "INSERT", 1), (8, "draft", "INSERT", 1), (7, "paid", "INSERT", 2), (7, "draft", "DELETE", 2),
        (8, "draft", "DELETE", 3),
    ]  # fmt: skip
    frame = pl.DataFrame(told, schema=["id", "status", "word", "turn"], orient="row")
    return frame.with_columns(at=datetime(2024, 3, 10, 12, tzinfo=UTC) + pl.duration(minutes="turn")).rename(names)


FOUND = [("7", "INSERT", "draft"), ("7", "UPDATE", "paid"), ("8", "INSERT", "draft")]


def test_snowflake_s_streams():
    rows = taken_and_put(id="ID", word="METADATA$ACTION", at="AT").drop("turn")
    rows = rows.with_columns(pl.lit(value=False).alias("METADATA$ISUPDATE"), pl.lit("x").alias("METADATA$ROW_ID"))
    log = eval(call_of("Snowflake"), {"al": al, "rows": rows})  # noqa: S307 - our own README
    assert log.history().select("entity_id", "operation", "status").rows() == FOUND
    assert log.as_of()["entity_id"].to_list() == ["7"]
    assert kinds(log) == []


def test_iceberg_s_changelogs():
    names = {"word": "_change_type", "turn": "_change_ordinal", "at": "committed_at"}
    view = taken_and_put(**names).with_columns(_commit_snapshot_id=pl.lit(6_530_000_000_000_000_000))
    words = {"INSERT": "UPDATE_AFTER", "DELETE": "UPDATE_BEFORE"}
    updates = pl.col("_change_ordinal") == 2
    for one in (
        view,
        view.with_columns(pl.when(updates).then(pl.col("_change_type").replace(words)).otherwise("_change_type")),
    ):
        log = eval(call_of("Iceberg"), {"al": al, "view": one})  # noqa: S307 - our own README
        assert log.history().select("entity_id", "operation", "status").rows() == FOUND
        assert log.as_of()["entity_id"].to_list() == ["7"]
        assert kinds(log) == []


def test_bigquery_s_changes():
    words = {"turn": "_x", "word": "_CHANGE_TYPE", "at": "_CHANGE_TIMESTAMP"}
    rows = taken_and_put(**words).filter((pl.col("_x") != 2) | (pl.col("status") == "paid")).drop("_x")
    word = pl.when(status="paid").then(pl.lit("UPDATE")).otherwise("_CHANGE_TYPE").alias("_CHANGE_TYPE")
    log = eval(call_of("BigQuery"), {"al": al, "rows": rows.with_columns(word)})  # noqa: S307 - our own README
    assert log.history().select("entity_id", "operation", "status").rows() == FOUND
    assert log.as_of()["entity_id"].to_list() == ["7"]
    assert kinds(log) == []

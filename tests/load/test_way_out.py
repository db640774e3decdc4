"""Logs that no option loads as they are: the error names what to do about them, and that loads them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import duckdb
import polars as pl
import pytest
from coming_from import kinds

import auditlab as al
from auditlab.errors import BadOption, MalformedChange, SchemaMismatch

if TYPE_CHECKING:
    from pathlib import Path

DECODED = """BEGIN 693
table public.t: INSERT: id[integer]:7 note[text]:'it''s'
COMMIT 693
"""

CANAL = """
{"database": "shop", "table": "orders", "type": "INSERT", "es": 1710072000000, "data": [{"id": "7", "total": "1.10"}, {"id": "8", "total": "5.00"}], "old": null}
{"database": "shop", "table": "orders", "type": "UPDATE", "es": 1710072060000, "data": [{"id": "7", "total": "2.20"}, {"id": "8", "total": "6.00"}], "old": [{"total": "1.10"}, {"total": "5.00"}]}
{"database": "shop", "table": "orders", "type": "DELETE", "es": 1710072120000, "data": [{"id": "8", "total": "6.00"}], "old": null}
"""  # noqa: E501 - a line is a message
CANAL_COLUMNS = {
    "id": None,
    "entity_type": ["database", "table"],
    "operation": "type",
    "changed_by": None,
    "changed_at": "es",
    "after_snapshot": "data",
    "old": "old",
    "transaction_id": None,
}
READ = {"database": "VARCHAR", "table": "VARCHAR", "type": "VARCHAR", "es": "BIGINT", "data": "JSON[]", "old": "JSON[]"}

POD = '{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a"},"data":{"n":"%s"}}'
STATUS = (
    '{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Success","details":{"name":"a","kind":"configmaps"}}'
)
AUDITED = [("create", POD % 1), ("update", POD % 2), ("delete", STATUS)]
KUBERNETES: dict[str, Any] = {
    "columns": {
        "id": None,
        "entity_id": "name",
        "operation": "verb",
        "changed_by": None,
        "changed_at": "at",
        "before_snapshot": None,
        "after_snapshot": "object",
        "transaction_id": None,
    },
    "entity_type": "configmaps",
}


def kept(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text.lstrip(), encoding="utf-8")
    return path


def test_text_of_test_decoding_is_told_as_such(tmp_path: Path):
    path = kept(tmp_path, "changes.jsonl", DECODED)
    with pytest.raises(SchemaMismatch, match="line 1: .*, text of test_decoding: let the slot write JSON, by wal2json"):
        al.read_jsonl(path)
    rows = [
        {
            "entity_type": "t",
            "entity_id": "7",
            "operation": "I",
            "at": "2024-03-10T00:00Z",
            "data": DECODED.split("\n")[1],
        }
    ]
    columns = {"id": None, "changed_by": None, "changed_at": "at", "before_snapshot": None, "after_snapshot": "data"}
    with pytest.raises(MalformedChange, match="text of test_decoding: let the slot write JSON, by wal2json"):
        al.from_arrow(pl.DataFrame(rows), columns=columns | {"transaction_id": None})


def test_lists_that_go_in_step_load_as_duckdb_puts_them_together(tmp_path: Path):
    path = kept(tmp_path, "canal.jsonl", CANAL)
    options: dict[str, Any] = {"key": "id", "unit": "ms"}
    with pytest.raises(MalformedChange, match=r"an array: .* columns= names each by 'rows\[\]'"):
        al.read_jsonl(path, columns={**CANAL_COLUMNS, "old": None, "before_snapshot": None}, **options)
    lists = {**CANAL_COLUMNS, "after_snapshot": "data[]", "old": "old[]"}
    with pytest.raises(BadOption) as caught:
        al.read_jsonl(path, columns=lists, **options)
    query = str(caught.value).partition("as DuckDB does by ")[2].rstrip(".")
    assert query.startswith(
        "SELECT * EXCLUDE (data, old), unnest(data) AS data, unnest(old) AS old FROM read_json('file'"
    )
    told = query.replace("'file'", f"'{path}'").replace("{'data': 'JSON[]', 'old': 'JSON[]', ...}", str(READ))
    log = al.from_arrow(duckdb.sql(told), columns=CANAL_COLUMNS, **options)
    assert log.history().select("entity_id", "operation", "total").rows() == [
        ("7", "INSERT", "1.10"), ("7", "UPDATE", "2.20"), ("8", "INSERT", "5.00"), ("8", "UPDATE", "6.00"),
    ]  # fmt: skip
    assert log.as_of()["entity_id"].to_list() == ["7"]
    assert kinds(log) == ["session rendering"]  # rows before are put together, with blanks that the lists do not have


def test_rows_of_django_s_serializers_are_told_and_where_their_fields_are():
    told = '[{"model": "shop.order", "pk": 7, "fields": {"total": "1.10"}}]'
    rows = [{"entity_type": "t", "entity_id": "7", "operation": "I", "at": "2024-03-10T00:00Z", "data": told}]
    columns = {"id": None, "changed_by": None, "changed_at": "at", "before_snapshot": None, "after_snapshot": "data"}
    with pytest.raises(
        MalformedChange, match=r"serializers write them: take the fields .* column::jsonb -> 0 -> 'fields'"
    ):
        al.from_arrow(pl.DataFrame(rows), columns=columns | {"transaction_id": None})


@pytest.mark.parametrize("status", [STATUS, json.dumps(json.loads(STATUS)), '{"kind": "Status", "status": "Success"}'])
def test_a_status_of_kubernetes_is_no_row(status: str):
    rows = pl.DataFrame([*AUDITED[:2], ("delete", status)], schema=["verb", "object"], orient="row").with_columns(
        name=pl.lit("a"), at=pl.lit("2024-03-10T00:00Z")
    )
    with pytest.raises(
        MalformedChange, match=r"in 1 rows \(row id 3\): a Status of Kubernetes: put null there"
    ) as caught:
        al.from_arrow(rows, **KUBERNETES)
    case = str(caught.value).partition("in DuckDB ")[2].partition(". strict=")[0].replace("image", "object")
    told = duckdb.sql(f"SELECT * REPLACE ({case} AS object) FROM rows")
    log = al.from_arrow(told, **KUBERNETES)
    assert log.history()["data"].to_list() == ['{"n":"1"}', '{"n":"2"}']
    assert log.as_of().is_empty()
    assert kinds(log) == []

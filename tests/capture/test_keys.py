from __future__ import annotations

import json
import uuid
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from auditlab.errors import BadOption
from auditlab.keys import entity_uuid

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditlab.connection import Connection

VECTORS = [
    ("shop.orders", {"id": 42}, "2cba5922-dfd0-821e-8636-7315832a60d3"),
    ("shop.orders", {"id": 1}, "0709ba9a-6e4d-8c40-8cff-0aff3387e01e"),
    ("shop.orders", {"id": 2}, "e6646772-f408-8509-87fa-b133c90bdc97"),
]
KEYS = [
    {"id": 0},
    {"id": -7},
    {"id": 2**63 - 1},
    {"id": Decimal("123456789012345678901234567890.10")},
    {"code": ""},
    {"code": "Ünïcode ☃ 'quoted' \"twice\" \\ |:1:"},
    {"flag": True},
    {"a": 1, "b": 2},
    {"b": 2, "a": 1},
    {"Zeta": "x", "alpha": "y", "ähre": "z"},
    {"a": "1:", "b": "2"},
    {"a": "1", "b": ":2"},
]


@pytest.mark.parametrize(("entity_type", "key", "wanted"), VECTORS)
def test_vectors_never_change(entity_type: str, key: dict[str, object], wanted: str):
    assert str(entity_uuid(entity_type, key)) == wanted


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_python_and_sql_agree(db: Connection, key: dict[str, object]):
    text = json.dumps(key, default=str, ensure_ascii=False)
    if isinstance(key.get("id"), Decimal):
        text = f'{{"id": {key["id"]}}}'
    sql = db.rows("SELECT audit.entity_uuid('s.t', $1::jsonb) AS id", (text,))[0]["id"]
    assert entity_uuid("s.t", key) == sql
    assert sql.version == 8
    assert sql.variant == uuid.RFC_4122


def test_keys_that_differ_have_ids_that_differ():
    ids = {entity_uuid("s.t", key) for key in KEYS}
    assert len(ids) == len(KEYS) - 1  # {"a", "b"} and {"b", "a"} are one key
    assert entity_uuid("s.t", 1) != entity_uuid("s.u", 1)
    assert entity_uuid("s.t", "1") == entity_uuid("s.t", 1)  # one table's key has one type


def test_a_uuid_is_its_own_id():
    one = uuid.UUID("6f1c0000-0000-4000-8000-000000000001")
    assert entity_uuid("s.t", one) == one == entity_uuid("s.t", {"id": one})


def test_equal_numbers_are_equal_keys():
    assert entity_uuid("s.t", Decimal("1.50")) == entity_uuid("s.t", Decimal("1.5")) == entity_uuid("s.t", 1.5)
    assert entity_uuid("s.t", Decimal("-0.0")) == entity_uuid("s.t", 0)


@pytest.mark.parametrize("key", [None, {}, {"a": 1, "b": None}, [1, 2], object()])
def test_what_is_no_key_is_refused(key: object):
    with pytest.raises(BadOption):
        entity_uuid("s.t", key)


@pytest.mark.parametrize(
    ("kind", "literal", "key"),
    [
        ("integer", "42", 42),
        ("bigint", "9223372036854775807", 2**63 - 1),
        ("numeric", "1.50", Decimal("1.5")),
        ("text", "'a:b'", "a:b"),
        ("varchar(10)", "'ß'", "ß"),
        ("boolean", "true", True),
        ("date", "'2024-02-29'", date(2024, 2, 29)),
        ("timestamp", "'2024-02-29 12:00:00.5'", datetime(2024, 2, 29, 12, 0, 0, 500000)),  # noqa: DTZ001 - has none
        (
            "timestamptz",
            "'2024-02-29 12:00+02'",
            datetime(2024, 2, 29, 12, 0, tzinfo=timezone(timedelta(hours=2))),
        ),
        ("timestamptz", "'2024-02-29 10:00+00'", datetime(2024, 2, 29, 10, 0, tzinfo=UTC)),
        ("bytea", r"'\x00ff'", b"\x00\xff"),
        ("double precision", "0.1", 0.1),
        ("uuid", "'6f1c0000-0000-4000-8000-000000000001'", uuid.UUID("6f1c0000-0000-4000-8000-000000000001")),
    ],
    ids=lambda value: str(value)[:30],
)
def test_the_trigger_writes_the_id_of_the_key(
    db: Connection, tracked: Callable[..., None], log: Callable[..., list[tuple]], kind: str, literal: str, key: object
):
    tracked(f"CREATE SCHEMA s; CREATE TABLE s.t (k {kind} PRIMARY KEY, v text)", "s.t")
    db.execute(f"INSERT INTO s.t VALUES ({literal}, 'x')")
    db.execute("UPDATE s.t SET v = 'y'")
    db.execute("DELETE FROM s.t")
    assert log("operation", "entity_id") == [
        (operation, entity_uuid("s.t", key)) for operation in ("INSERT", "UPDATE", "DELETE")
    ]


def test_a_composite_key_stands_in_metadata_whatever_its_order(
    db: Connection, tracked: Callable[..., None], log: Callable[..., list[tuple]]
):
    tracked("CREATE SCHEMA s; CREATE TABLE s.t (b text, a int, v text, PRIMARY KEY (b, a))", "s.t")
    db.execute("INSERT INTO s.t VALUES ('x', 1, 'v'), ('y', 2, 'v')")
    assert [(row[0], json.loads(row[1])) for row in log("entity_id", "metadata -> 'key'")] == [
        (entity_uuid("s.t", {"a": 1, "b": "x"}), {"a": 1, "b": "x"}),
        (entity_uuid("s.t", {"a": 2, "b": "y"}), {"a": 2, "b": "y"}),
    ]


def test_a_renamed_key_column_keeps_its_entities(
    db: Connection, tracked: Callable[..., None], log: Callable[..., list[tuple]]
):
    tracked("CREATE SCHEMA s; CREATE TABLE s.t (id int PRIMARY KEY, v text)", "s.t")
    db.execute("INSERT INTO s.t VALUES (1, 'x')")
    db.execute("ALTER TABLE s.t RENAME COLUMN id TO number")
    db.execute("UPDATE s.t SET v = 'y'")
    assert [row[0] for row in log("entity_id")] == [entity_uuid("s.t", 1)] * 2
    assert json.loads(log("metadata -> 'key'")[1][0]) == {"number": 1}

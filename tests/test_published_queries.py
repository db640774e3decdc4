"""The seven questions that the published page answers wrongly, asked of a real PostgreSQL with its own trigger.

Each test asks both ways: it restates the published behaviour and shows what it says, then ours, and holds both
against the table itself.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

import auditlab as al
from auditlab.connection import connect
from auditlab.testing import assert_states, read_document

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from auditlab.connection import Connection

ORDERS, ITEMS = "orders.orders", "orders.order_items"
ONE = "00000000-0000-4000-8000-000000000001"
TWO = "00000000-0000-4000-8000-000000000002"

AS_OF = """
SELECT after_snapshot::text AS state
FROM audit.entity_change_log
WHERE entity_type = $1 AND entity_id = $2::text::uuid AND changed_at <= $3 AND operation <> 'DELETE'
ORDER BY changed_at DESC
LIMIT 1
"""
EVENTS = """
SELECT operation, after_snapshot::text AS state
FROM audit.entity_change_log
WHERE entity_type = $1 AND entity_id = $2::text::uuid
ORDER BY changed_at
"""


@pytest.fixture(params=["polars", "duckdb"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def shop(published: str) -> Iterator[Connection]:
    """A connection on which each statement is a transaction of its own; plans use the published indexes."""
    with connect(published, autocommit=True) as connection:
        connection.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")
        yield connection


def exact(text: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(text, parse_float=Decimal)
    return document


def now(connection: Connection) -> datetime:
    moment: datetime = connection.rows("SELECT clock_timestamp() AS now")[0]["now"]
    return moment


def live(connection: Connection, table: str = ORDERS) -> dict[str, Any]:
    """The table as it is, each row as the documents of the log say it."""
    rows = connection.rows(f"SELECT id::text AS id, to_jsonb(t)::text AS state FROM {table} AS t")
    return {row["id"]: read_document(row["state"]) for row in rows}


def published_as_of(connection: Connection, entity: str, at: datetime, table: str = ORDERS) -> dict[str, Any] | None:
    """The newest image by time that is not of a DELETE."""
    rows = connection.rows(AS_OF, (table, entity, at))
    return exact(rows[0]["state"]) if rows else None


def published_replay(connection: Connection, entity: str, table: str = ORDERS) -> dict[str, Any] | None:
    """The images by time, each laid over the one before; the first DELETE is the end."""
    state: dict[str, Any] = {}
    for number, event in enumerate(connection.rows(EVENTS, (table, entity))):
        if number and event["operation"] == "DELETE":
            return None
        state |= exact(event["state"])
    return state or None


def published_compare(connection: Connection, entity: str, start: datetime, end: datetime) -> dict[str, Any]:
    """Both states, key by key."""
    first, second = (published_as_of(connection, entity, moment) for moment in (start, end))
    keys = set(first.keys()) | set(second.keys())  # type: ignore[union-attr]
    return {key: (first[key], second[key]) for key in keys if first[key] != second[key]}  # type: ignore[index]


def published_aggregate(connection: Connection, order: str) -> list[dict[str, Any] | None]:
    """The items of an order: found by their own log, then each replayed by the replay of orders."""
    named = connection.rows(
        "SELECT DISTINCT entity_id::text AS id FROM audit.entity_change_log "
        "WHERE entity_type = $1 AND after_snapshot ->> 'order_id' = $2",
        (ITEMS, order),
    )
    items = [published_replay(connection, row["id"], ORDERS) for row in named]
    return [item for item in items if item]


def ours(dsn: str, engine: str, table: str = ORDERS) -> al.ChangeLog:
    # One statement after another: what was recorded before the time asked for was committed before it.
    return al.read_postgres(dsn, progress=False, visible_within=0).of(table).on(engine)


def test_as_of_after_a_delete_is_absent_and_not_the_dead_row(shop: Connection, published: str, engine: str):
    shop.execute(f"INSERT INTO orders.orders (id, status) VALUES ('{ONE}', 'paid'), ('{TWO}', 'draft')")
    shop.execute(f"DELETE FROM orders.orders WHERE id = '{ONE}'")
    moment = now(shop)

    dead = published_as_of(shop, ONE, moment)
    assert dead is not None
    assert dead["status"] == "paid"

    assert live(shop).keys() == {TWO}
    assert_states(ours(published, engine).as_of(moment), live(shop))


def test_the_last_of_several_changes_in_one_transaction_is_the_state(shop: Connection, published: str, engine: str):
    with connect(published) as one:
        one.execute(f"INSERT INTO orders.orders (id, status) VALUES ('{ONE}', 'draft')")
        one.execute(f"UPDATE orders.orders SET status = 'paid' WHERE id = '{ONE}'")
        one.execute(f"UPDATE orders.orders SET status = 'shipped' WHERE id = '{ONE}'")
    moment = now(shop)

    any_of_them = published_as_of(shop, ONE, moment)
    assert any_of_them is not None
    assert any_of_them["status"] == "draft"

    assert live(shop)[ONE]["status"].decoded == "shipped"
    assert_states(ours(published, engine).as_of(moment), live(shop))


def test_the_later_writer_wins_whichever_transaction_began_first(shop: Connection, published: str, engine: str):
    shop.execute(f"INSERT INTO orders.orders (id, status) VALUES ('{ONE}', 'draft')")
    with connect(published) as a, connect(published) as b:
        a.rows("SELECT now()")
        b.rollback()
        b.execute(f"UPDATE orders.orders SET status = 'B-first' WHERE id = '{ONE}'")
        b.commit()
        a.execute(f"UPDATE orders.orders SET status = 'A-last' WHERE id = '{ONE}'")
    moment = now(shop)

    by_time = published_as_of(shop, ONE, moment)
    assert by_time is not None
    assert by_time["status"] == "B-first"

    assert live(shop)[ONE]["status"].decoded == "A-last"
    log = ours(published, engine)
    assert_states(log.as_of(moment), live(shop))
    began = log.history(ONE)["valid_from"]
    assert began.to_list() == sorted(began), "valid_from never runs backwards inside an entity"


def test_an_id_that_is_inserted_again_begins_its_second_life(shop: Connection, published: str, engine: str):
    shop.execute(f"INSERT INTO orders.orders (id, status) VALUES ('{ONE}', 'first')")
    shop.execute(f"DELETE FROM orders.orders WHERE id = '{ONE}'")
    shop.execute(f"INSERT INTO orders.orders (id, status) VALUES ('{ONE}', 'second')")

    assert published_replay(shop, ONE) is None

    log = ours(published, engine)
    assert_states(log.replay(), live(shop), own=["entity_id"])
    assert log.history(ONE).select("life", "version", "status").rows() == [(1, 1, "first"), (2, 2, "second")]


def test_a_column_that_was_dropped_or_renamed_is_gone_from_the_state(shop: Connection, published: str, engine: str):
    shop.execute(f"INSERT INTO orders.orders (id, status, total) VALUES ('{ONE}', 'draft', 1.10)")
    shop.execute("ALTER TABLE orders.orders RENAME COLUMN status TO phase")
    shop.execute("ALTER TABLE orders.orders DROP COLUMN customer_id")
    shop.execute(f"UPDATE orders.orders SET phase = 'paid' WHERE id = '{ONE}'")

    replayed = published_replay(shop, ONE)
    assert replayed is not None
    assert {"status", "customer_id", "phase"} <= replayed.keys()

    log = ours(published, engine)
    assert live(shop)[ONE].keys() & {"status", "customer_id"} == set()
    assert_states(log.replay(), live(shop), own=["entity_id"])


def test_an_entity_that_is_absent_at_one_end_is_added_or_removed(shop: Connection, published: str, engine: str):
    shop.execute(f"INSERT INTO orders.orders (id, status) VALUES ('{ONE}', 'draft')")
    start = now(shop)
    shop.execute(f"INSERT INTO orders.orders (id, status) VALUES ('{TWO}', 'draft')")
    shop.execute(f"DELETE FROM orders.orders WHERE id = '{ONE}'")
    end = now(shop)

    with pytest.raises(AttributeError, match="'NoneType' object has no attribute 'keys'"):
        published_compare(shop, TWO, start, end)

    net = ours(published, engine).compare(start, end)
    fields = len(live(shop)[TWO])
    assert net.group_by("entity_id", "kind").len().sort("entity_id").rows() == [
        (ONE, "removed", fields),
        (TWO, "added", fields),
    ]


def test_an_aggregate_has_its_children_and_replays_them_as_what_they_are(shop: Connection, published: str, engine: str):
    shop.execute(f"INSERT INTO orders.orders (id, status) VALUES ('{ONE}', 'draft')")
    shop.execute(f"INSERT INTO orders.order_items (id, order_id, quantity) VALUES ('{TWO}', '{ONE}', 3)")
    shop.execute(f"UPDATE orders.order_items SET quantity = 4 WHERE id = '{TWO}'")

    assert published_aggregate(shop, ONE) == []

    log = al.read_postgres(published, progress=False).on(engine)
    (row,) = log.aggregate(ORDERS, items=(ITEMS, "order_id")).to_dicts()
    assert row["entity_id"] == ONE
    (item,) = row["order_items"]
    assert item["entity_id"] == TWO
    assert item["quantity"] == live(shop, ITEMS)[TWO]["quantity"].decoded == 4

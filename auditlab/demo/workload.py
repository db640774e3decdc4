"""A believable day in a shop: several writers at once, cancellations, an incident, a migration, a clean-up."""

from __future__ import annotations

import random
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

from auditlab.capture import install, mark, track
from auditlab.connection import Connection, connect
from auditlab.queries import text

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["INCIDENT", "TABLES", "USERS", "WRITERS", "run_workload"]

TABLES = ("orders.customers", "orders.products", "orders.orders", "orders.order_items", "orders.carts")

USERS = {
    "alice": "a11ce000-0000-4000-8000-000000000001",
    "bob": "b0b00000-0000-4000-8000-000000000002",
    "carol": "ca201000-0000-4000-8000-000000000003",
    "dave": "dade0000-0000-4000-8000-000000000004",
}
"""Who works in the shop; the applications set the id as ``app.current_user_id``."""

INCIDENT = "0ddba11e-0000-4000-8000-00000000f00d"
"""The correlation id of the request that discounted everything."""

WRITERS = 4
TRANSACTIONS = 100
MIX = {"place": 30, "advance": 40, "cancel": 10, "restore": 8, "touch": 12}
"""What a writer does, by weight."""

REMARKS = ("gift wrap", "call before delivery", "leave at the door", '=HYPERLINK("http://evil.example","refund")')


def run_workload(dsn: str, *, seed: int = 7) -> None:
    """Fill an empty database with the shop, begin to record it, and run its day.

    Args:
        dsn: An empty database, as a role that may create everything.
        seed: Of each writer's choices; what the writers do to each other is up to the server.
    """
    with connect(dsn) as connection:
        connection.execute(text("demo", "shop"))
        connection.execute(text("demo", "stock_the_shop"))
        _place(connection, random.Random(seed), "alice", orders=5)  # noqa: S311 - a workload, not a secret
    install(dsn)
    track(dsn, list(TABLES))
    _all_at_once(dsn, seed)
    with connect(dsn) as connection:
        _as_user(connection, "carol", "raise_prices")
        mark(dsn, "before the discount")
        _as_user(connection, "dave", "discount_everything", correlation=INCIDENT)
        mark(dsn, "after the discount")
        connection.execute(text("demo", "change_the_schema"))
        connection.commit()
        _as_user(connection, "bob", "fill_in_channel")
    _all_at_once(dsn, seed + 100, migrated=True)
    with connect(dsn) as connection:
        mark(dsn, "before the carts were emptied")
        _as_user(connection, "bob", "empty_carts")
        mark(dsn, "after the carts were emptied")
        _as_user(connection, "alice", "begin_carts")


def _all_at_once(dsn: str, seed: int, *, migrated: bool = False) -> None:
    """Several writers at the same time, each with a connection and a user of its own."""
    with ThreadPoolExecutor(WRITERS) as pool:
        writers = [pool.submit(_write, dsn, user, seed + n, migrated=migrated) for n, user in enumerate(USERS)]
        for writer in writers:
            writer.result()


def _write(dsn: str, user: str, seed: int, *, migrated: bool) -> None:
    choose = random.Random(seed)  # noqa: S311 - a workload, not a secret
    cancelled: list[str] = []
    with connect(dsn, application_name=f"shop ({user})") as connection:
        for step in choose.choices(list(MIX), weights=list(MIX.values()), k=TRANSACTIONS):
            if step == "place":
                _place(connection, choose, user)
            elif step == "advance":
                _as_user(connection, user, "advance_order")
            elif step == "cancel":
                with _transaction(connection, user):
                    cancelled += [row["was"] for row in connection.rows(text("demo", "cancel_order"))]
            elif step == "restore" and cancelled:
                with _transaction(connection, user):
                    connection.execute(text("demo", "restore_order"), [cancelled.pop()])
            elif migrated:
                with _transaction(connection, user):
                    connection.execute(text("demo", "add_remark"), [choose.choice(REMARKS)])
            else:
                _as_user(connection, user, "fill_cart")


def _place(connection: Connection, choose: random.Random, user: str, *, orders: int = 1) -> None:
    for _ in range(orders):
        order = str(uuid.UUID(int=choose.getrandbits(128), version=4))
        with _transaction(connection, user, correlation=str(uuid.UUID(int=choose.getrandbits(128), version=4))):
            connection.execute(text("demo", "place_order"), [order])
            connection.execute(text("demo", "add_items"), [order, str(choose.randint(1, 3))])
            connection.execute(text("demo", "total_order"), [order])
            connection.execute(text("demo", "take_stock"), [order])


def _as_user(connection: Connection, user: str, statement: str, *, correlation: str = "") -> None:
    with _transaction(connection, user, correlation=correlation):
        connection.execute(text("demo", statement))


@contextmanager
def _transaction(connection: Connection, user: str, *, correlation: str = "") -> Iterator[None]:
    connection.set_local("app.current_user_id", USERS[user])
    connection.set_local("app.correlation_id", correlation)
    yield
    connection.commit()

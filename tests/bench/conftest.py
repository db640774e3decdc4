"""What the live runs of marks share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from live_marks import ORDERS

import auditlab as al
from auditlab.connection import connect

if TYPE_CHECKING:
    from collections.abc import Callable

TABLE = "CREATE SCHEMA orders; CREATE TABLE orders.orders (id uuid PRIMARY KEY, total numeric(20, 2), status text)"


@pytest.fixture(params=["ours", "published"])
def recorded_orders(make_database: Callable[..., str], request: pytest.FixtureRequest) -> tuple[str, str]:
    """Which trigger records a table orders.orders, and the database's DSN."""
    trigger: str = request.param
    dsn = make_database(request.getfixturevalue(f"{'captured' if trigger == 'ours' else 'published'}_template"))
    if trigger == "ours":
        with connect(dsn, autocommit=True) as connection:
            connection.execute(TABLE)
        al.track(dsn, ORDERS)
    return trigger, dsn

"""Two orders with their items, as seven changes; and the verbs that tell states of them."""

from __future__ import annotations

from decimal import Decimal

import polars as pl

from auditlab.testing import make_log
from auditlab.testing.logs import START

__all__ = ["STATE_VERBS", "rows"]

STATE_VERBS = {
    "as_of": lambda log: log.as_of(),
    "history": lambda log: log.history(),
    "compare": lambda log: log.compare(START, START),
    "blame": lambda log: log.blame(),
    "pit_join": lambda log: log.pit_join(pl.DataFrame({"entity_id": ["o1"], "at": [START]})),
    "replay": lambda log: log.replay(),
    "aggregate": lambda log: log.aggregate("orders", items=("items", "order_id")),
}


def rows() -> pl.DataFrame:
    order, item = {"entity_type": "orders"}, {"entity_type": "items"}
    return make_log(
        [
            (
                "INSERT",
                "o1",
                {"id": "o1", "total": Decimal("1.10")},
                {**order, "changed_by": "ann", "transaction_id": 7},
            ),
            ("INSERT", "i1", {"id": "i1", "order_id": "o1"}, {**item, "changed_by": "ann", "transaction_id": 7}),
            (
                "UPDATE",
                "o1",
                {"id": "o1", "total": Decimal("2.50")},
                {**order, "changed_by": "bob", "correlation_id": "c"},
            ),
            ("INSERT", "o2", {"id": "o2", "total": None}, order),
            ("INSERT", "i2", {"id": "i2", "order_id": "o1"}, item),
            ("UPDATE", "i2", {"id": "i2", "order_id": "o2"}, item),
            ("DELETE", "i1", item),
        ]
    )

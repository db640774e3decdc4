"""The small log that the commands are typed on: two orders, one deleted, and an item, a change a second."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

__all__ = ["ALICE", "BOB", "ONE", "STEPS", "TWO"]

ALICE, BOB = "a11ce000-0000-4000-8000-000000000001", "b0b00000-0000-4000-8000-000000000002"
ONE, TWO = "6f1c0000-0000-4000-8000-000000000001", "6f1c0000-0000-4000-8000-000000000002"
ITEM = {"entity_type": "orders.order_items", "changed_by": ALICE}

STEPS: list[tuple[Any, ...]] = [
    ("INSERT", ONE, {"id": ONE, "status": "draft", "total": Decimal("1.10")}, {"changed_by": ALICE}),
    ("INSERT", TWO, {"id": TWO, "status": "draft", "total": Decimal("7.00")}, {"changed_by": ALICE}),
    ("INSERT", "1", {"id": 1, "order_id": ONE, "quantity": 2**63 + 1}, ITEM),
    ("UPDATE", ONE, {"id": ONE, "status": "paid", "total": Decimal("12345678901234567.89")}, {"changed_by": BOB}),
    ("DELETE", TWO, {"changed_by": BOB}),
    ("UPDATE", ONE, {"id": ONE, "status": "=1+1", "total": Decimal("-2.50")}, {"changed_by": BOB}),
]

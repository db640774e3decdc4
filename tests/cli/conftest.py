"""How the tests type a command, and the log that they type it on."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from auditlab.cli import app
from auditlab.testing import make_log

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from typer.testing import Result

ALICE, BOB = "a11ce000-0000-4000-8000-000000000001", "b0b00000-0000-4000-8000-000000000002"
ONE, TWO = "6f1c0000-0000-4000-8000-000000000001", "6f1c0000-0000-4000-8000-000000000002"
ITEM = {"entity_type": "orders.order_items", "changed_by": ALICE}


@pytest.fixture
def typed() -> Callable[..., Result]:
    """Runs the command line in this process: ``typed("as-of", "log.parquet")``."""

    def run(*words: object) -> Result:
        return CliRunner().invoke(app, [str(word) for word in words])

    return run


@pytest.fixture
def log_file(tmp_path: Path) -> Path:
    """A small log as Parquet, a change a second from 2024-01-01 on: two orders, one deleted, and an item."""
    steps = [
        ("INSERT", ONE, {"id": ONE, "status": "draft", "total": Decimal("1.10")}, {"changed_by": ALICE}),
        ("INSERT", TWO, {"id": TWO, "status": "draft", "total": Decimal("7.00")}, {"changed_by": ALICE}),
        ("INSERT", "1", {"id": 1, "order_id": ONE, "quantity": 2**63 + 1}, ITEM),
        ("UPDATE", ONE, {"id": ONE, "status": "paid", "total": Decimal("12345678901234567.89")}, {"changed_by": BOB}),
        ("DELETE", TWO, {"changed_by": BOB}),
        ("UPDATE", ONE, {"id": ONE, "status": "=1+1", "total": Decimal("-2.50")}, {"changed_by": BOB}),
    ]
    path = tmp_path / "log.parquet"
    make_log(steps, entity_type="orders.orders").write_parquet(path)
    return path

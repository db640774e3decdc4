"""Forty days of a made log: every operation, transactions of several sizes, more users than have a lane."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from auditlab.testing import make_log

if TYPE_CHECKING:
    import polars as pl

__all__ = ["forty_days"]

USERS = ["ann", "bob", "cleo", "dan", "eve", "finn", "gina", "hugo", None]


def forty_days() -> pl.DataFrame:
    """Forty days of two types: snapshots, inserts, updates, deletes and a TRUNCATE, by more users than have a lane."""
    chance = random.Random(3)  # noqa: S311 - a test's log
    start = datetime(2024, 3, 20, 8, tzinfo=UTC)
    live: set[str] = set()
    made: list[tuple[Any, ...]] = [
        ("SNAPSHOT", f"s{n}", {"x": n, "y": 0}, {"changed_at": start, "transaction_id": 1}) for n in range(3)
    ]
    for transaction in range(2, 90):
        columns = {
            "changed_at": start + timedelta(hours=11 * transaction),
            "transaction_id": transaction if transaction % 9 else None,
            "changed_by": chance.choice(USERS),
            "entity_type": "t" if chance.random() < 0.8 else "odd <b>",
        }
        for _ in range(chance.choice([1, 1, 2, 8])):
            name = f"{columns['entity_type']}-{chance.randrange(12)}"
            if name not in live:
                made.append(("INSERT", name, {"x": 1, "y": None}, columns))
                live.add(name)
            elif chance.random() < 0.2:
                made.append(("DELETE", name, columns))
                live.discard(name)
            else:
                made.append(("UPDATE", name, {"x": chance.randrange(4), "y": "é"}, columns))
    made.append(("TRUNCATE", {"changed_at": start + timedelta(days=41), "transaction_id": 1000, "entity_type": "t"}))
    return make_log(made)

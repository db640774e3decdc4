"""What auditing costs a write: our triggers, the published trigger with its indexes, and none, side by side.

Run it alone: ``pytest -m bench -s tests/bench/bench_capture.py``. The cost of a trigger is the time of the write with
it less the time without any; each is the best of several rounds, and the three take turns within a round.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from figures import faster, record

from auditlab.capture import install, track
from auditlab.connection import Connection, connect

if TYPE_CHECKING:
    from collections.abc import Callable

PUBLISHED = Path(__file__).parents[1] / "capture" / "published.sql"
ROWS = 20_000
SINGLES = 2_000
GOALS = {"bulk INSERT": 3, "bulk UPDATE": 4}
"""How many times cheaper than the published trigger a row shall be. A timing decides no test: it is told."""

ROUNDS = 5
TABLE = """
CREATE SCHEMA shop;
CREATE TABLE shop.orders (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), number bigint, customer_id uuid DEFAULT gen_random_uuid(),
    total numeric(20, 2) NOT NULL DEFAULT 12.50, status text NOT NULL DEFAULT 'draft',
    created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now(),
    note text NOT NULL DEFAULT 'as agreed by telephone, leave at the door'
);
"""
EACH = f"""
DO $$ DECLARE one uuid; BEGIN
    FOR one IN SELECT id FROM shop.orders WHERE number <= {SINGLES} LOOP {{}}; END LOOP;
END $$
"""
WRITES = {
    "bulk INSERT": (f"INSERT INTO shop.orders (number) SELECT generate_series(1, {ROWS})", ROWS),
    "bulk UPDATE": ("UPDATE shop.orders SET total = total + 1, updated_at = clock_timestamp()", ROWS),
    "bulk DELETE": ("DELETE FROM shop.orders", ROWS),
    "single INSERT": (
        f"DO $$ BEGIN FOR i IN 1..{SINGLES} LOOP INSERT INTO shop.orders (number) VALUES (i); END LOOP; END $$",
        SINGLES,
    ),
    "single UPDATE": (EACH.format("UPDATE shop.orders SET total = total + 1 WHERE id = one"), SINGLES),
    "single DELETE": (EACH.format("DELETE FROM shop.orders WHERE id = one"), SINGLES),
}


@pytest.mark.bench
def test_the_cost_of_the_trigger(make_database: Callable[..., str]):
    connections = {
        "none": connect(_plain(make_database), autocommit=True),
        "published": connect(_published(make_database), autocommit=True),
        "ours": connect(_ours(make_database), autocommit=True),
    }
    best: dict[tuple[str, str], float] = {}
    for _ in range(ROUNDS):
        for write, (sql, rows) in WRITES.items():
            for name, connection in connections.items():
                key = (write, name)
                best[key] = min(best.get(key, 1e9), _timed(connection, sql) / rows * 1e6)
    for connection in connections.values():
        connection.close()

    rival = "the published trigger"
    for write in WRITES:
        none, published, ours = (best[write, name] for name in ("none", "published", "ours"))
        record(
            f"what auditing adds to a {write}, {none:.1f} \N{MICRO SIGN}s without",
            ours={"a row": ours - none},
            rivals={rival: published - none},
            goals=[faster("a row", GOALS[write], than=rival)] if write in GOALS else [],
            unit="\N{MICRO SIGN}s",
        )


def _timed(connection: Connection, sql: str) -> float:
    begun = time.perf_counter()
    connection.execute(sql)
    return time.perf_counter() - begun


def _plain(make_database: Callable[..., str]) -> str:
    dsn = make_database(prefix="bench")
    with connect(dsn) as connection:
        connection.execute(TABLE)
    return dsn


def _published(make_database: Callable[..., str]) -> str:
    dsn = _plain(make_database)
    with connect(dsn) as connection:
        connection.execute(PUBLISHED.read_text(encoding="utf-8"))
        connection.execute(
            "CREATE TRIGGER trg_change_log AFTER INSERT OR UPDATE OR DELETE ON shop.orders "
            "FOR EACH ROW EXECUTE FUNCTION audit.log_entity_change()"
        )
    return dsn


def _ours(make_database: Callable[..., str]) -> str:
    dsn = _plain(make_database)
    install(dsn)
    track(dsn, "shop.orders")
    return dsn

"""pgbench with eight clients: the log replayed to now equals the tables, whoever captured it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import auditlab as al
from auditlab.capture import track
from auditlab.connection import connect
from auditlab.errors import CannotAudit

if TYPE_CHECKING:
    from collections.abc import Callable

SCRIPT = Path(__file__).with_name("pgbench_orders.sql")
ACCOUNTS = Path(__file__).with_name("pgbench_accounts.sql")
ENGINES = ("polars", "duckdb")
CLIENTS = 8


def pgbench(program: Callable[[str], str], dsn: str, *options: str) -> None:
    command = [program("pgbench"), *options, dsn]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "failed transactions: 0" in done.stdout or "-i" in options, done.stdout


def differences(dsn: str, table: str, columns: tuple[str, ...], engine: str) -> tuple[int, int]:
    """How many rows the log replayed to now and the table do not share, and how many the table has."""

    def canonical(rows: list[dict[str, Any]]) -> set[tuple[str, ...]]:
        return {tuple(str(row[column]) for column in columns) for row in rows}

    listed = ", ".join(columns)
    with connect(dsn) as connection:
        live = connection.rows(f"SELECT {listed} FROM {table}")
    log = al.read_postgres(dsn, entity_types=[table], progress=False).on(engine)
    replayed = log.of(table).replay().select(columns).to_dicts()
    assert len(canonical(live)) == len(live)
    assert len(replayed) == len(live)
    assert canonical(log.of(table).as_of().select(columns).to_dicts()) == canonical(replayed)
    return len(canonical(live) ^ canonical(replayed)), len(live)


def test_pgbench_on_our_capture(program: Callable[[str], str], captured: str):
    pgbench(program, captured, "-i", "-s", "1", "-q", "-I", "dtgp")
    with connect(captured) as connection:
        connection.execute("DELETE FROM pgbench_accounts WHERE aid > 2000")
    tables = ["pgbench_accounts", "pgbench_tellers", "pgbench_branches"]
    assert [done.baseline_rows for done in track(captured, tables)] == [2000, 10, 1]
    with pytest.raises(CannotAudit, match="pgbench_history has no primary key"):
        track(captured, "pgbench_history")
    pgbench(program, captured, "-n", "-c", str(CLIENTS), "-t", "100", "-f", str(ACCOUNTS))
    for engine in ENGINES:
        assert differences(captured, "public.pgbench_accounts", ("aid", "bid", "abalance"), engine) == (0, 2000)
        assert differences(captured, "public.pgbench_tellers", ("tid", "bid", "tbalance"), engine) == (0, 10)
        assert differences(captured, "public.pgbench_branches", ("bid", "bbalance"), engine) == (0, 1)


@pytest.mark.parametrize("engine", ENGINES)
def test_pgbench_on_the_published_trigger(program: Callable[[str], str], published: str, engine: str):
    pgbench(program, published, "-n", "-c", str(CLIENTS), "-t", "60", "--max-tries=20", "-f", str(SCRIPT))
    orders, rows = differences(published, "orders.orders", ("id", "total", "status"), engine)
    assert orders == 0
    assert rows > 0
    items, _ = differences(published, "orders.order_items", ("id", "order_id", "quantity", "price"), engine)
    assert items == 0

"""Reconcile against ``psql COPY`` of the same table: a million live rows, each with one change in the log.

Run it alone: ``pytest -m bench -s tests/bench/bench_reconcile.py``. ``AUDITLAB_BENCH_ROWS`` sets the size. What the
live side takes is the whole less a load of the log, each in a process of its own.
"""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from big_log import ROWS, psql
from figures import record
from peak import PEAK

from auditlab.capture import install, track
from auditlab.connection import connect

if TYPE_CHECKING:
    from auditlab.demo.server import Server

ROUNDS = 2
KEYS = {
    "uuid": ("id uuid PRIMARY KEY", "md5(n::text)::uuid", ""),
    "bigint": ("id bigint PRIMARY KEY", "n", ""),
    "two columns": ("id bigint, part text", "n, 'p' || n % 7", ", PRIMARY KEY (id, part)"),
    "uuid, and a json column": ("id uuid PRIMARY KEY, doc json", """md5(n::text)::uuid, '{"a": 1.10}'""", ""),
}
TABLE = "CREATE TABLE big ({}, status text, total numeric(20, 2), at timestamptz, note text{})"
FILL = """
INSERT INTO big SELECT {}, 'state ' || n % 7, n * 1.10, '2024-01-01 12:00+00', left(repeat(md5(n::text), 9), 256)
FROM generate_series(1, {}) AS n
"""
MEASURED = (
    PEAK
    + """
import sys, time
import auditlab as al
begin = time.perf_counter()
{work}
print(time.perf_counter() - begin, peak() / 1024)
"""
)
LOAD = MEASURED.format(work="log = al.read_postgres(sys.argv[1], progress=False)")
WHOLE = MEASURED.format(
    work="found = al.reconcile(None, sys.argv[1], progress=False)\n"
    "assert found.tables['live'].sum() == int(sys.argv[2]) and found.findings['count'].sum() == int(sys.argv[3]), found"
)


def measured(program: str, *arguments: str) -> tuple[float, float]:
    """Seconds and peak megabytes of a program in a process of its own, best of some rounds."""
    best = (float("inf"), float("inf"))
    for _ in range(ROUNDS):
        command = [sys.executable, "-c", program, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        seconds, megabytes = done.stdout.split()
        best = min(best, (float(seconds), float(megabytes)))
    return best


def copied(server: Server, dsn: str, what: str) -> float:
    """Seconds that ``psql`` takes to copy to nowhere."""
    times = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        command = f"COPY {what} TO STDOUT (FORMAT binary)"
        subprocess.run([psql(server), "-d", dsn, "-c", command], check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - begin)
    return min(times)


@pytest.mark.bench
@pytest.mark.parametrize("key", KEYS)
def test_reconcile_against_copy(server: Server, database: str, key: str):
    columns, values, rest = KEYS[key]
    install(database)
    with connect(database, autocommit=True) as connection:
        connection.execute(TABLE.format(columns, rest))
        track(database, "big")
        connection.execute(FILL.format(values, ROWS))
        connection.execute("VACUUM ANALYZE big")
        copy, images = copied(server, database, "big"), copied(server, database, "(SELECT to_jsonb(b.*) FROM big AS b)")
        load, held = measured(LOAD, database)
        whole, peak = measured(WHOLE, database, str(ROWS), "0")
        connection.execute("ALTER TABLE big ADD COLUMN added text DEFAULT 'x'")
        differing, most = measured(WHOLE, database, str(ROWS), str(ROWS))
    record(
        f"reconcile {ROWS:,} live rows, key {key}",
        ours={
            "the whole": whole,
            "of that a load of the log": load,
            "of that the live side": whole - load,
            "every row differs by DDL": differing,
        },
        rivals={"psql COPY of the table": copy, "psql COPY of its rows as jsonb": images},
        changes=ROWS,
    )
    record(
        f"memory to reconcile {ROWS:,} live rows, key {key}",
        ours={"the whole": peak, "of that a load of the log": held, "every row differs by DDL": most},
        unit="MB",
        changes=ROWS,
    )

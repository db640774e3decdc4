"""Loading a log against ``psql COPY`` and ``pandas.read_sql``, side by side; and the memory of an archive.

Run it alone: ``pytest -m bench -s tests/bench/bench_load.py``. Each contestant runs in a process of its own, so that
its peak memory is its own; the process starts its clock when its libraries are loaded. ``AUDITLAB_BENCH_ROWS`` sets
the size.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from big_log import ROWS, fill, psql
from figures import below, faster, record, within
from peak import AT_ONCE, PEAK

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditlab.demo.server import Server

ROUNDS = 3
WIDTH = 456
KILOBYTE = 1024
MOST_MEGABYTES = 500
"""What an archive of a million changes of 1 KB may take."""

MEASURED = (
    PEAK
    + """
import sys, time
{imports}
begin = time.perf_counter()
{work}
print(time.perf_counter() - begin, peak() / 1024)
"""
)
LOAD = MEASURED.format(
    imports="import auditlab as al",
    work="log = al.read_postgres(sys.argv[1], connections=CONNECTIONS); assert len(log) == int(sys.argv[2])",
)
STREAM = MEASURED.format(
    imports="from auditlab.load.postgres import ChangeStream",
    work="with ChangeStream(sys.argv[1]) as s:\n    assert sum(b.num_rows for b in s) == int(sys.argv[2])",
)
AFTER = LOAD.replace("CONNECTIONS", "1, columns={'before_snapshot': None}")
"""Without the images that the ones before them repeat."""
FIELDS = MEASURED.format(
    imports="import auditlab as al",
    work="assert len(al.read_query(sys.argv[1], sys.argv[3])) == int(sys.argv[2])",
)
CHANGED = """
SELECT id, entity_type, entity_id, operation, changed_by, changed_at, NULL::jsonb AS before_snapshot,
       CASE WHEN operation <> 'UPDATE' THEN after_snapshot END AS after_snapshot,
       changed_fields, metadata, transaction_id, correlation_id
FROM audit.entity_change_log
"""
"""What tells the same, as long as each list of changed fields is true and no field is ever gone."""
PANDAS = MEASURED.format(
    imports="import pandas as pd, psycopg, sqlalchemy",
    work="engine = sqlalchemy.create_engine('postgresql+psycopg://', creator=lambda: psycopg.connect(sys.argv[1]))\n"
    "assert len(pd.read_sql('SELECT * FROM audit.entity_change_log', engine)) == int(sys.argv[2])",
)
ARCHIVE = MEASURED.format(
    imports="import auditlab as al",
    work="pulled = al.archive_postgres(sys.argv[1], sys.argv[3], once=True, checkpoint_after=int(sys.argv[4]))\n"
    "assert pulled.rows == int(sys.argv[2]) and (pulled.checkpoint is not None) == bool(int(sys.argv[4]))",
)

LIBRARIES = MEASURED.format(imports="import auditlab.archive.export, auditlab.load.postgres", work="")


def measured(program: str, *arguments: str, **environment: str) -> tuple[float, float]:
    """Seconds and peak megabytes of a program in a process of its own."""
    words = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=os.environ | environment)
    assert done.returncode == 0, done.stderr
    seconds, megabytes = done.stdout.split()
    return float(seconds), float(megabytes)


def busy(work: Callable[[], object]) -> dict[str, float]:
    """The shares (0 to 1) of the time of all cores that programs which are started take, all others, and none."""

    def ran() -> tuple[float, float, float]:
        user, nice, system, idle, *_ = map(int, Path("/proc/stat").read_text(encoding="ascii").split()[1:9])
        children, ticks = resource.getrusage(resource.RUSAGE_CHILDREN), os.sysconf("SC_CLK_TCK")
        return children.ru_utime + children.ru_stime, (user + nice + system) / ticks, idle / ticks

    before = ran()
    work()
    own, busy, idle = (after - since for after, since in zip(ran(), before, strict=True))
    whole = busy + idle
    return {"of all cores' time, the client": own / whole, "the server": (busy - own) / whole, "idle": idle / whole}


def copied(server: Server, dsn: str) -> tuple[float, float]:
    """Seconds that ``psql`` takes to copy the log to nowhere, in binary."""
    command = "COPY audit.entity_change_log TO STDOUT (FORMAT binary)"
    begin = time.perf_counter()
    subprocess.run([psql(server), "-d", dsn, "-c", command], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin, float("nan")


@pytest.mark.bench
def test_load_against_copy_and_pandas(server: Server, database: str):
    fill(server, database, rows=ROWS, width=WIDTH)
    contestants: dict[str, Callable[[], tuple[float, float]]] = {
        "psql COPY binary > /dev/null": lambda: copied(server, database),
        "ChangeStream": lambda: measured(STREAM, database, str(ROWS)),
        "read_postgres": lambda: measured(LOAD.replace("CONNECTIONS", "1"), database, str(ROWS)),
        "read_postgres, 2 connections": lambda: measured(LOAD.replace("CONNECTIONS", "2"), database, str(ROWS)),
        "after images only": lambda: measured(AFTER, database, str(ROWS)),
        "changed fields of UPDATEs only": lambda: measured(FIELDS, database, str(ROWS), CHANGED),
    }
    best = dict.fromkeys(contestants, (float("inf"), float("inf")))
    for _ in range(ROUNDS):
        for name, contestant in contestants.items():
            best[name] = min(best[name], contestant())
    best["pandas.read_sql"] = measured(PANDAS, database, str(ROWS))  # once: it takes longer than all the others
    copy, pandas, (after, fields) = "psql COPY binary > /dev/null", "pandas.read_sql", [*contestants][-2:]
    fewer = {name: best.pop(name) for name in (after, fields)}
    record(
        f"load, 12 columns, {WIDTH}-byte documents",
        ours={name: seconds for name, (seconds, _) in best.items() if name not in (copy, pandas)},
        rivals={name: best[name][0] for name in (copy, pandas)},
        goals=[
            within("ChangeStream", 1.25, of=copy),
            within("read_postgres, 2 connections", 0.85, of=copy),
            faster("read_postgres", 7, than=pandas),
        ],
        changes=ROWS,
        parts={name: busy(contestants[name]) for name in ("ChangeStream", "read_postgres, 2 connections")},
    )
    record(
        f"load with fewer images, {WIDTH}-byte documents",
        ours={name: seconds for name, (seconds, _) in fewer.items()},
        rivals={"read_postgres": best["read_postgres"][0]},
        goals=[within(after, 0.8, of="read_postgres"), within(fields, 0.65, of="read_postgres")],
        changes=ROWS,
        parts={name: busy(contestants[name]) for name in fewer},
    )
    record(
        f"memory of a load, 12 columns, {WIDTH}-byte documents",
        ours={name: megabytes for name, (_, megabytes) in best.items() if name not in (copy, pandas)},
        rivals={pandas: best[pandas][1]},
        goals=[below("ChangeStream", 400, "MB")],
        unit="MB",
        changes=ROWS,
    )


@pytest.mark.bench
def test_the_memory_of_an_archive(server: Server, database: str, tmp_path: Path):
    fill(server, database, rows=ROWS, width=KILOBYTE)
    ways = {"alone": 0, "with a checkpoint": 1}
    found = {
        way: measured(ARCHIVE, database, str(ROWS), str(tmp_path / way), str(after)) for way, after in ways.items()
    }
    needed = measured(ARCHIVE, database, str(ROWS), str(tmp_path / "needed"), "0", **AT_ONCE)[1]
    libraries = measured(LIBRARIES, **AT_ONCE)[1]
    size = sum(path.stat().st_size for path in (tmp_path / "alone").rglob("*.parquet"))
    record(
        "stream into an archive, 1 KB documents",
        ours={way: seconds for way, (seconds, _) in found.items()},
        changes=ROWS,
    )
    record(
        "memory of a stream into an archive, 1 KB documents",
        ours={way: megabytes for way, (_, megabytes) in found.items()} | {"alone, what is free given back": needed},
        goals=[below("alone, what is free given back", 400, "MB")],
        unit="MB",
        changes=ROWS,
        parts={"alone, what is free given back": {"Python and its libraries": libraries / needed}},
    )
    record("files of an archive, 1 KB documents", ours={"archive_postgres": size / 1e6}, unit="MB", changes=ROWS)
    assert needed < MOST_MEGABYTES

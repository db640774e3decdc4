"""A log that is larger than memory: pulled, verified and questioned under a limit that the system enforces.

Run it alone: ``AUDITLAB_BENCH_ROWS=10000000 pytest -m bench -s tests/bench/bench_tenmillion.py``. Each step runs in a
process of its own, in a memory control group where one can be made, and its peak is what the system counted.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from big_log import ROWS, fill
from figures import below, record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from auditlab.demo.server import Server

LIMIT = 1_000_000_000
ROOM = LIMIT // 2
"""What a question may take, as without ``memory=``: the other half is for Python, its libraries and the answer."""
WIDTH = 456
GROUPS = Path("/sys/fs/cgroup/memory")

BEGIN = "import sys, resource; import auditlab as al; import polars as pl; folder = sys.argv[1]\n"
PULL = BEGIN + "assert al.archive_postgres(sys.argv[2], folder, once=True, progress=False).rows == int(sys.argv[3])"
VERIFY = BEGIN + "assert al.verify(folder) == []"
# Three changes a second, as big_log.sql makes them: the coverage goes on from the last of them to the pull.
QUESTION = BEGIN + (
    "import time; from datetime import timedelta; from hashlib import md5; from uuid import UUID\n"
    'log = al.scan_archive(folder, memory="{room}").on("{engine}")\n'
    "own = log.of('orders.order_items')\n"
    "keys = [str(UUID(md5(f'entity{{n}}'.encode()).hexdigest())) for n in (5, 6)]\n"
    "start = log.facts.coverage.start; middle, end = (start + timedelta(seconds={rows} / part) for part in (6, 3))\n"
    "begin = time.perf_counter()\n"
    "for name, ask in {{\n"
    "    'first entity': lambda: own.entity(keys[0]).history(), 'an entity': lambda: own.entity(keys[1]).history(),\n"
    "    'first as_of': lambda: log.as_of(middle), 'as_of': lambda: log.as_of(middle),\n"
    "    'history': lambda: log.history(),\n"
    "    'diffs': lambda: log.diffs(), 'compare': lambda: log.compare(middle, end), 'blame': lambda: log.blame(),\n"
    "    'timeline': lambda: log.timeline(), 'summary': lambda: log.summary().totals.lazy(),\n"
    "    'evidence': lambda: log.evidence().findings.lazy(), 'drift': lambda: log.drift(),\n"
    "    'activity': lambda: log.activity().by_field.lazy(),\n"
    "    'renamed': lambda: own.renamed({{'note': 'remark'}}).as_of(middle),\n"
    "}}.items():\n"
    "    rows = sum(len(part) for part in ask().collect_batches(chunk_size=50_000))\n"
    "    now = time.perf_counter()\n"
    "    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
    "    print(f'{{name}}: {{rows:,}} rows in {{now - begin:.2f}} s, peak so far {{peak:.0f}} MB', flush=True)\n"
    "    begin = now\n"
)


@contextmanager
def group() -> Iterator[Path | None]:
    """A control group whose processes may take no more than the limit; None where none can be made."""
    place = GROUPS / f"auditlab-{os.getpid()}"
    try:
        place.mkdir()
        (place / "memory.limit_in_bytes").write_text(str(LIMIT), encoding="ascii")
    except OSError:
        yield None
        return
    try:
        yield place
    finally:
        place.rmdir()


def limited(program: str, *arguments: str) -> tuple[float, float]:
    """Seconds and peak megabytes of a program that may take no more memory than the limit."""
    with group() as place:
        enter = f"open({str(place / 'tasks')!r}, 'w').write('0')\n" if place is not None else ""
        begin = time.perf_counter()
        started = subprocess.Popen([sys.executable, "-W", "ignore", "-c", enter + program, *arguments])
        _, status, used = os.wait4(started.pid, 0)
        started.returncode = os.waitstatus_to_exitcode(status)
        assert started.returncode == 0, f"ended with {started.returncode} under {LIMIT / 1e6:,.0f} MB"
    return time.perf_counter() - begin, used.ru_maxrss * 1024 / 1e6


def tell(found: dict[str, tuple[float, float]]) -> None:
    """Record what was measured so far: a run takes long, and what it has is kept where it is ended."""
    record(
        "under a limit of 1 GB, memory",
        ours={name: megabytes for name, (_, megabytes) in found.items()},
        goals=[below(name, LIMIT / 1e6, "MB") for name in found],
        unit="MB",
        changes=ROWS,
    )
    record(
        "under a limit of 1 GB, time",
        ours={name: seconds for name, (seconds, _) in found.items()},
        changes=ROWS,
    )


@pytest.mark.bench
def test_a_log_larger_than_memory_under_a_limit(server: Server, database: str, tmp_path: Path):
    fill(server, database, rows=ROWS, width=WIDTH)
    folder = str(tmp_path / "archive")
    steps = {"pull": (PULL, folder, database, str(ROWS)), "verify": (VERIFY, folder)}
    steps |= {
        f"fourteen questions, {name}": (QUESTION.format(room=ROOM, engine=name, rows=ROWS), folder)
        for name in ("duckdb", "polars")
    }
    found: dict[str, tuple[float, float]] = {}
    for name, words in steps.items():
        found[name] = limited(*words)
        tell(found)

"""The size of an archive, and what it takes to write it, to read it back, and to find one entity in it.

Beside ``pg_dump -Fc``, the heap, the recorded columns as plain Parquet, and ``json.loads``. Run it alone:
``pytest -m bench -s tests/bench/bench_archive.py``. ``AUDITLAB_BENCH_ROWS`` sets the size.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
from typing import TYPE_CHECKING

import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest
from big_log import ROWS, fill, psql
from figures import Goal, below, faster, record
from stopwatch import timed

import auditlab as al
from auditlab.archive.read import scan_archive
from auditlab.archive.write import to_archive
from auditlab.load import source
from auditlab.load.source import ARROW_CHANGES
from auditlab.schema import LogFacts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa

    from auditlab.demo.server import Server

WIDTH = 456
ROUNDS = 3
LOOKS = 20
OURS = "auditlab"
DUMP, HEAP, PLAIN = "pg_dump -Fc", "the heap", "the recorded columns as Parquet"
TYPED = "the typed columns"
BLOOM, WHOLE = "DuckDB, by the Bloom filters", "Polars, all of the type's ids"


def dumped(server: Server, dsn: str, path: Path) -> int:
    """Bytes of a dump in PostgreSQL's own compressed format."""
    program = shutil.which("pg_dump") if server.bin is None else str(server.bin / "pg_dump")
    assert program is not None, "the bench needs pg_dump"
    subprocess.run([program, "-Fc", "-f", str(path), dsn], check=True)
    return path.stat().st_size


def heap(server: Server, dsn: str) -> int:
    """Bytes of the table and what it keeps aside, without indexes."""
    query = "SELECT pg_table_size('audit.entity_change_log')"
    command = [psql(server), "-At", "-d", dsn, "-c", query]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def plain(batches: Iterator[pa.RecordBatch], path: Path) -> int:
    """The canonical columns as they are, as archives of format 2 had them."""
    with pq.ParquetWriter(path, ARROW_CHANGES, compression="zstd", compression_level=3) as writer:
        for batch in batches:
            writer.write_batch(batch, row_group_size=batch.num_rows)
    return path.stat().st_size


@pytest.mark.bench
def test_an_archive(server: Server, database: str, tmp_path: Path):
    fill(server, database, rows=ROWS, width=WIDTH)
    al.archive_postgres(database, tmp_path / "pulled", once=True)
    scanned = scan_archive(tmp_path / "pulled")
    sizes = {DUMP: dumped(server, database, tmp_path / "dump") / 1e6, HEAP: heap(server, database) / 1e6}
    own = sum(file.stat().st_size for file in scanned.files) / 1e6
    rows = scanned.changes.collect()
    batches = list(source.batches(rows))
    writing = {OURS: float("inf"), PLAIN: float("inf")}
    for turn in range(ROUNDS):
        size, seconds = timed(lambda turn=turn: plain(iter(batches), tmp_path / f"plain{turn}"))
        sizes[PLAIN], writing[PLAIN] = size / 1e6, min(writing[PLAIN], seconds)
        _, seconds = timed(lambda turn=turn: to_archive(batches, tmp_path / f"a{turn}", facts=LogFacts()))
        writing[OURS] = min(writing[OURS], seconds)
    record(
        f"archive of {WIDTH}-byte documents",
        ours={OURS: own},
        rivals=sizes,
        unit="MB",
        goals=[smaller(2.5, DUMP), smaller(15, HEAP)],
        changes=len(rows),
    )
    record(
        "write an archive of a log in memory",
        ours={OURS: writing.pop(OURS)},
        rivals=writing,
        changes=len(rows),
    )

    files = [str(file) for file in scanned.files]
    typed = ["id", "changed_at", *(name for name in pq.read_schema(files[0]).names if name.startswith("after."))]
    by_hand = timed(lambda: [json.loads(text) for text in rows["after_snapshot"] if text])[1]
    works = {
        TYPED: lambda: [pl.read_parquet(file, columns=typed) for file in files],
        "the text, put together again": lambda: scanned.changes.select("id", "after_snapshot").collect(),
    }
    record(
        "read the after images of an archive",
        ours={name: min(timed(work)[1] for _ in range(ROUNDS)) for name, work in works.items()},
        rivals={"json.loads": by_hand},
        goals=[faster(TYPED, 10, "json.loads")],
        changes=len(rows),
    )

    orders = rows.filter(entity_type="orders.orders").select("entity_id").unique().sample(LOOKS, seed=7)["entity_id"]
    held = [str(file) for file in scan_archive(tmp_path / "pulled", entity_types="orders.orders").files]
    looks: dict[str, list[float]] = {BLOOM: [], WHOLE: []}
    connection = duckdb.connect()
    query = 'SELECT id, "after.total" FROM read_parquet($1, union_by_name => true) WHERE entity_uuid = $2'
    for entity in orders:
        raw = bytes.fromhex(entity.replace("-", ""))
        found, seconds = timed(lambda raw=raw: connection.execute(query, [held, raw]).fetchall())
        looks[BLOOM].append(seconds)
        scans = [pl.scan_parquet(file).filter(entity_uuid=raw).select("id", "after.total") for file in held]
        same, seconds = timed(lambda scans=scans: pl.concat(scans, how="diagonal_relaxed").collect())
        looks[WHOLE].append(seconds)
        assert sorted(row[0] for row in found) == same["id"].sort().to_list() != []
    middle = {name: statistics.median(seconds) * 1000 for name, seconds in looks.items()}
    record(
        "one entity of an archive, from its plain columns",
        ours={BLOOM: middle[BLOOM]},
        rivals={WHOLE: middle[WHOLE]},
        unit="ms",
        goals=[below(BLOOM, 50, "ms")],
        changes=len(rows),
    )


def smaller(times: float, than: str) -> Goal:
    return Goal(OURS, than, times, f"at least {times:g}x smaller than {than}")

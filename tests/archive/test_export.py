"""From PostgreSQL straight into an archive: the same rows as a load gives, in bounded memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from peak import AT_ONCE, PEAK
from polars.testing import assert_frame_equal

from auditlab.archive.export import archive_postgres
from auditlab.archive.read import scan_archive
from auditlab.archive.verify import verify
from auditlab.connection import connect
from auditlab.errors import ArchiveExists, BadTime, MalformedChange
from auditlab.load.postgres import read_postgres

if TYPE_CHECKING:
    from pathlib import Path

LOG = """
CREATE SCHEMA audit;
CREATE TABLE audit.entity_change_log (
    id bigserial PRIMARY KEY, entity_type text NOT NULL, entity_id uuid NOT NULL, operation text NOT NULL,
    changed_at timestamptz NOT NULL, before_snapshot jsonb, after_snapshot jsonb, transaction_id bigint
);
INSERT INTO audit.entity_change_log (entity_type, entity_id, operation, changed_at, after_snapshot, transaction_id)
SELECT 's.t' || n % 3, md5(n::text)::uuid, 'INSERT', timestamptz '2024-01-01Z' + n * interval '1 minute',
       jsonb_build_object('n', n, 'price', 1.10, 'pad', repeat(md5(n::text), {kilobytes} * 30)), 3 + n % 500
FROM generate_series(1, {rows}) AS n
"""

MEASURED = (
    PEAK
    + """
import sys
from auditlab.archive.export import archive_postgres
base = peak()
archive_postgres(sys.argv[1], sys.argv[2])
print(peak() - base)
"""
)
KILOBYTES_PER_MEGABYTE = 1024


@pytest.fixture
def log(database: str) -> str:
    """A database with a log of 3,000 changes of three types."""
    with connect(database) as connection:
        connection.execute(LOG.format(rows=3000, kilobytes=1))
    return database


@pytest.mark.parametrize("connections", [1, 2])
def test_an_archive_holds_exactly_what_a_load_gives(log: str, tmp_path: Path, connections: int):
    written = archive_postgres(log, tmp_path / "a", connections=connections)
    loaded, scanned = read_postgres(log), scan_archive(tmp_path / "a")
    assert_frame_equal(scanned.changes.collect().sort("id"), loaded.changes)
    assert scanned.facts.kinds == loaded.facts.kinds
    assert scanned.facts.coverage.start == loaded.facts.coverage.start
    assert written.rows == 3000
    assert verify(tmp_path / "a") == []


def test_an_archive_from_a_start_holds_the_baseline(log: str, tmp_path: Path):
    archive_postgres(log, tmp_path / "a", start="2024-01-02", entity_types="s.t1")
    loaded = read_postgres(log, start="2024-01-02", entity_types="s.t1")
    scanned = scan_archive(tmp_path / "a")
    assert_frame_equal(scanned.changes.collect().sort("id"), loaded.changes)
    assert scanned.baseline is not None
    assert loaded.baseline is not None
    assert_frame_equal(scanned.baseline.collect().sort("id"), loaded.baseline)
    assert scanned.facts.coverage.complete


def test_a_window_and_a_whole_are_archives_of_their_own(log: str, tmp_path: Path):
    archive_postgres(log, tmp_path / "a", start="2024-01-02")
    archive_postgres(log, tmp_path / "b", once=True)
    for folder, options in (("a", {}), ("a", {"start": "2024-01-02"}), ("b", {}), ("b", {"once": True})):
        with pytest.raises(ArchiveExists, match="holds an archive already"):
            archive_postgres(log, tmp_path / folder, **options)


def test_malformed_rows_stop_a_strict_archive_and_are_kept_by_another(log: str, tmp_path: Path):
    with connect(log) as connection:
        connection.execute("UPDATE audit.entity_change_log SET after_snapshot = '7' WHERE id = 2999")
    with pytest.raises(MalformedChange):
        archive_postgres(log, tmp_path / "a")
    assert list(tmp_path.iterdir()) == []
    assert archive_postgres(log, tmp_path / "a", strict=False).rows == 3000


def test_a_bad_time_leaves_nothing(log: str, tmp_path: Path):
    with connect(log) as connection:
        connection.execute("UPDATE audit.entity_change_log SET changed_at = 'infinity' WHERE id = 2999")
    with pytest.raises(BadTime):
        archive_postgres(log, tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_memory_does_not_grow_with_the_log(database: str, tmp_path: Path):
    """A log of some 360 MB takes hardly more than one of 120 MB: a row group of each type, and what that is made of."""
    needed = []
    for rows in (12_000, 36_000):
        with connect(database) as connection:
            connection.execute("DROP SCHEMA IF EXISTS audit CASCADE")
            connection.execute(LOG.format(rows=rows, kilobytes=10))
        folder = str(tmp_path / str(rows))
        words = [sys.executable, "-c", MEASURED, database, folder]
        done = subprocess.run(words, capture_output=True, text=True, check=True, env=os.environ | AT_ONCE)
        assert scan_archive(folder).changes.select("id").collect().height == rows
        needed.append(int(done.stdout) / KILOBYTES_PER_MEGABYTE)
    assert max(needed) < 300
    assert needed[1] - needed[0] < 80


def test_an_interrupt_stops_the_server_and_leaves_nothing(log: str, tmp_path: Path):
    """Ctrl-C while PostgreSQL is at work (here: for ten minutes) ends at once, and the query with it."""
    program = "import sys; from auditlab.archive.export import archive_postgres as a; a(*sys.argv[1:], table='slow')"
    working = "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'COPY%'"
    with connect(log, autocommit=True) as connection:
        connection.execute(
            "CREATE VIEW slow AS SELECT l.* FROM audit.entity_change_log AS l"
            " WHERE l.id < 600 OR (SELECT pg_sleep(600 + l.id * 0)::text) IS NOT NULL"
        )
        with subprocess.Popen([sys.executable, "-c", program, log, str(tmp_path / "a")], stderr=subprocess.PIPE) as job:
            try:
                for _ in range(600):
                    if connection.rows(working)[0]["n"]:
                        break
                    connection.rows("SELECT pg_sleep(0.05)::text AS slept")
                job.send_signal(signal.SIGINT)
                _, told = job.communicate(timeout=30)
            finally:
                job.kill()
        assert b"KeyboardInterrupt" in told
        assert connection.rows(f"{working} AND state = 'active'")[0]["n"] == 0
    assert list(tmp_path.iterdir()) == []

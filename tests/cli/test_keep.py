"""``auditlab archive`` from a database: again and again, for people and for machines."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from auditlab.archive.read import scan_archive
from auditlab.capture.track import track
from auditlab.connection import connect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from auditlab.connection import Connection


@pytest.fixture
def db(captured: str) -> Iterator[Connection]:
    """A connection to a database whose table s.t is tracked, each statement a transaction of its own."""
    with connect(captured, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA s; CREATE TABLE s.t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v int)")
        track(captured, ["s.t"])
        yield connection


def auditlab(*arguments: str) -> str:
    command = [sys.executable, "-m", "auditlab", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_each_run_tells_a_machine_what_it_added_and_what_waits(captured: str, db: Connection, tmp_path: Path):
    folder = str(tmp_path / "kept")
    db.execute("INSERT INTO s.t (v) VALUES (1), (2)")
    first = json.loads(auditlab("archive", captured, folder, "--json"))
    with connect(captured) as late:
        late.execute("INSERT INTO s.t (v) VALUES (3)")
        db.execute("INSERT INTO s.t (v) VALUES (4)")
        second = json.loads(auditlab("archive", captured, folder, "--json"))
    assert (first["rows"], first["by_type"], first["rows_waiting"], first["held_by"]) == (2, {"s.t": 2}, 0, None)
    assert (second["rows"], second["total_rows"], second["rows_waiting"]) == (0, 2, 1)
    assert second["held_by"].startswith("pid ")
    assert "2 changes of 1 entity type in 1 file" in auditlab("archive", captured, folder)
    assert auditlab("archive", captured, folder).startswith("nothing new for ")


def test_it_follows_the_log_until_it_is_told_to_stop(captured: str, db: Connection, tmp_path: Path):
    command = [
        sys.executable,
        "-m",
        "auditlab",
        "archive",
        captured,
        str(tmp_path / "kept"),
        "--follow",
        "--every",
        "0.1",
    ]
    with subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE, text=True) as job:
        try:
            assert job.stdout is not None
            seen = 0
            for value in range(3):
                db.execute(f"INSERT INTO s.t (v) VALUES ({value})")
                seen += json.loads(job.stdout.readline())["rows"]
                time.sleep(0.05)
            job.send_signal(signal.SIGTERM)
            job.wait(timeout=30)
        finally:
            job.kill()
    assert (seen, job.returncode) == (3, 130)
    assert scan_archive(tmp_path / "kept").changes.collect().height == 3

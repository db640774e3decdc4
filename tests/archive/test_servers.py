"""What a server does to its log: it crashes, it is restored, another one takes its place. Promises 3 and 5."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from soak import SOAK

from auditlab.archive.export import archive_postgres
from auditlab.archive.read import scan_archive
from auditlab.archive.together import together
from auditlab.capture.install import install
from auditlab.capture.track import track
from auditlab.connection import connect
from auditlab.demo.server import Server, start_server
from auditlab.errors import CursorMismatch, MissingExtra
from auditlab.load.stream import ChangeStream

if TYPE_CHECKING:
    from collections.abc import Iterator

TABLE = "CREATE SCHEMA s; CREATE TABLE s.t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v int)"
IDS = "SELECT id FROM audit.entity_change_log ORDER BY id"
ASYNCHRONOUS = ("synchronous_commit=off", "wal_writer_delay=2s", "fsync=off", "shared_buffers=16MB")
ROUNDS = 10 if SOAK else 2


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder for a server's data that stays when it stops."""
    folder = Path(tempfile.mkdtemp(prefix="auditlab-home-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def start(home: Path, *settings: str) -> Server:
    try:
        return start_server(home, settings=settings)
    except MissingExtra as exc:
        pytest.skip(f"no PostgreSQL of our own: {exc}")


def prepare(dsn: str) -> None:
    install(dsn)
    with connect(dsn) as db:
        db.execute(TABLE)
    track(dsn, ["s.t"])


def add(dsn: str, rows: int) -> None:
    with connect(dsn, autocommit=True) as db:
        for _ in range(rows):
            db.execute("INSERT INTO s.t (v) VALUES (1)")


def ids_in(dsn: str) -> set[int]:
    with connect(dsn) as db:
        return {row["id"] for row in db.rows(IDS)}


def alive(pid: int) -> bool:
    words = ["ps", "-o", "stat=", "-p", str(pid)]
    return subprocess.run(words, capture_output=True, check=False).stdout[:1] not in (b"", b"Z")


def crash(dsn: str, home: Path) -> None:
    """Kill every process of a server at once, as a power cut does."""
    with connect(dsn) as db:
        pids = [row["pid"] for row in db.rows("SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()")]
    first = int((home / "data" / "postmaster.pid").read_text(encoding="ascii").split()[0])
    for pid in (first, *pids):
        os.kill(pid, signal.SIGKILL)
    while any(alive(pid) for pid in (first, *pids)):  # the last one to die gives the shared memory back
        time.sleep(0.01)
    (home / "data" / "postmaster.pid").unlink(missing_ok=True)


def walwriter(dsn: str) -> int:
    with connect(dsn) as db:
        pid: int = db.rows("SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'")[0]["pid"]
        return pid


def test_nothing_is_archived_that_a_crash_takes_back_and_reading_alone_does_see_such_rows(home: Path, tmp_path: Path):
    server = start(home, *ASYNCHRONOUS)
    prepare(server.dsn)
    phantoms = 0
    for _ in range(ROUNDS):
        add(server.dsn, 5)
        archive_postgres(server.dsn, tmp_path / "a", progress=False)
        crash(server.dsn, home)
        server.stop()
        server = start(home, *ASYNCHRONOUS)
        archived = set(scan_archive(tmp_path / "a").changes.collect()["id"].to_list())
        assert archived - ids_in(server.dsn) == set()
        assert len(archived) >= 5

        os.kill(walwriter(server.dsn), signal.SIGSTOP)  # as a busy disk would
        add(server.dsn, 5)
        with ChangeStream(server.dsn) as stream:
            seen = {one for batch in stream for one in batch.column("id").to_pylist()}
        crash(server.dsn, home)
        server.stop()
        server = start(home, *ASYNCHRONOUS)
        phantoms += len(seen - ids_in(server.dsn))
    server.stop()
    assert phantoms > 0, "the schedule must be one in which a crash takes rows back"


def test_another_timeline_and_another_cluster_are_refused_and_not_silently_empty(
    home: Path, captured: str, tmp_path: Path
):
    with start(home, "fsync=off") as server:
        prepare(server.dsn)
        add(server.dsn, 3)
        archive_postgres(server.dsn, tmp_path / "a", progress=False)
    (home / "data" / "recovery.signal").touch(mode=0o600)
    shutil.chown(home / "data" / "recovery.signal", (home / "data").owner())
    with start(home, "fsync=off", "restore_command=false", "hot_standby=off") as restored:
        for read in (archive_postgres, together):
            with pytest.raises(CursorMismatch, match="is for timeline 1; connected to 2"):
                read(restored.dsn, tmp_path / "a", progress=False)
    with connect(captured) as db:
        db.execute(TABLE)
    track(captured, ["s.t"])
    add(captured, 3)
    with pytest.raises(CursorMismatch, match=r"is for system \d+; connected to \d+"):
        archive_postgres(captured, tmp_path / "a", progress=False)
    assert len(scan_archive(tmp_path / "a").changes.collect()) == 3

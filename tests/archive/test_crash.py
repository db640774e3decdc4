"""An archive is whole or absent: a writer killed at any step, a full disk, a folder that cannot be written."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from polars.testing import assert_frame_equal
from soak import SOAK

from auditlab.archive.files import HashingFile
from auditlab.archive.manifest import DATA, MANIFESTS
from auditlab.archive.read import scan_archive
from auditlab.archive.verify import leftovers, verify
from auditlab.archive.write import to_archive
from auditlab.errors import ArchiveError, NotAnArchive
from auditlab.load.source import ARROW_CHANGES, frame

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from auditlab.schema import LogFacts

KILLED_WRITER = Path(__file__).parent / "killed_writer.py"
FEWEST_STEPS = 30
AT_RANDOM = 200 if SOAK else 10
"""Attempts that are killed at random moments, besides those at every step."""
NOBODY = 65534

FULL_DISK = """
import os, resource, signal, sys
from archived_log import a_batch
from auditlab.archive.write import to_archive
from auditlab.errors import ArchiveError
from auditlab.schema import LogFacts
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
batches = [a_batch(1, 20), a_batch(21, 20, "shop.order_items"), a_batch(41, 20)]
for limit in (0, 1, 1000, 3000, 3500, resource.RLIM_INFINITY):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        to_archive(batches, sys.argv[1], facts=LogFacts())
    except ArchiveError as exc:
        print(os.path.exists(sys.argv[1]), exc)
    else:
        print("written")
"""


def run(*arguments: str) -> str:
    path = os.pathsep.join([str(KILLED_WRITER.parent), *sys.path])
    environment = os.environ | {"PYTHONPATH": path}
    done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_writer_killed_at_any_step_leaves_a_whole_archive_or_none(
    tmp_path: Path, batches: list[pa.RecordBatch], facts: LogFacts
):
    steps = int(run(str(KILLED_WRITER), str(tmp_path)))
    assert steps > FEWEST_STEPS
    absent, whole = left_whole_or_absent(tmp_path, range(1, steps + 1), batches, facts)
    assert absent > whole > 0


def test_a_writer_killed_at_any_moment_leaves_a_whole_archive_or_none(
    tmp_path: Path, batches: list[pa.RecordBatch], facts: LogFacts
):
    killed = int(run(str(KILLED_WRITER), str(tmp_path), str(AT_RANDOM)))
    assert killed > 0
    absent, whole = left_whole_or_absent(tmp_path, range(AT_RANDOM + 1), batches, facts)
    assert absent > 0
    assert whole > 0, "the first was not killed"


def left_whole_or_absent(
    root: Path, attempts: range, batches: list[pa.RecordBatch], facts: LogFacts
) -> tuple[int, int]:
    """Of killed attempts how many left no archive, and how many a whole one: there is nothing else."""
    absent = whole = 0
    for number in attempts:
        folder = root / str(number)
        try:
            told = scan_archive(folder).changes.collect().sort("id")
        except NotAnArchive:
            absent += 1
            to_archive(batches, folder, facts=facts)  # and what it left does not hinder the next writer
            told = scan_archive(folder).changes.collect().sort("id")
        else:
            whole += 1
        assert_frame_equal(told, frame(batches))
        assert verify(folder) == []
        assert all(path.name.startswith(".unfinished-") for path in leftovers(folder))
    return absent, whole


def test_a_disk_that_fills_up_at_any_point_is_told_and_leaves_nothing(tmp_path: Path):
    program = tmp_path / "full_disk.py"
    program.write_text(FULL_DISK)
    *refused, last = run(str(program), str(tmp_path / "a")).splitlines()
    assert len(refused) == 5
    for told in refused:
        assert told.startswith("False cannot write the archive")
        assert told.endswith("Nothing was added to it.")
    assert last == "written"


REFUSALS = {errno.ENOSPC: "the disk is full", errno.EROFS: "the file system is read-only", errno.EDQUOT: "quota"}


@pytest.mark.parametrize("code", REFUSALS)
@pytest.mark.parametrize("call", ["fsync", "replace", "link"])
def test_whatever_step_the_file_system_refuses_is_told_and_nothing_is_visible(
    archive: Path, facts: LogFacts, monkeypatch: pytest.MonkeyPatch, call: str, code: int
):
    folder, rows = archive.parent / "b", scan_archive(archive).changes.collect().to_arrow().cast(ARROW_CHANGES)

    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as fault:
        fault.setattr(os, call, refuse)
        with pytest.raises(ArchiveError, match=REFUSALS[code]):
            to_archive(rows.to_batches(), folder, facts=facts)
    with pytest.raises(NotAnArchive):
        scan_archive(folder)
    to_archive(rows.to_batches(), folder, facts=facts)
    assert verify(folder) == []


def test_a_disk_that_gives_back_other_bytes_is_not_trusted(
    tmp_path: Path, batches: list[pa.RecordBatch], facts: LogFacts, monkeypatch: pytest.MonkeyPatch
):
    write = HashingFile.write

    def rotten(self: HashingFile, data: bytes) -> int:
        done = write(self, data)
        if self.size > 1000:
            self.flush()
            os.truncate(self.path, 999)
        return done

    with monkeypatch.context() as fault:
        fault.setattr(HashingFile, "write", rotten)
        with pytest.raises(ArchiveError, match="reads back as other bytes"):
            to_archive(batches, tmp_path / "a", facts=facts)
    assert not (tmp_path / "a").exists()


def test_a_place_that_cannot_be_a_folder_is_told(tmp_path: Path, facts: LogFacts):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ArchiveError, match="a part of the path is no folder"):
        to_archive([], tmp_path / "file" / "a", facts=facts)


@pytest.fixture
def unprivileged() -> Iterator[None]:
    """Root may write everywhere: while the test runs, this process is somebody who may not."""
    if os.geteuid():
        yield
        return
    os.seteuid(NOBODY)
    yield
    os.seteuid(0)


@pytest.mark.usefixtures("unprivileged")
def test_a_folder_without_permission_is_told(facts: LogFacts):
    with pytest.raises(ArchiveError, match="permission denied"):
        to_archive([], "/usr/an-archive", facts=facts)


def test_nothing_is_visible_before_commit(tmp_path: Path, batches: list[pa.RecordBatch], facts: LogFacts):
    def watched() -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield batch
            assert not list((tmp_path / "a" / MANIFESTS).iterdir())
            assert all(path.name.startswith(".unfinished-") for path in (tmp_path / "a" / DATA).iterdir())

    to_archive(watched(), tmp_path / "a", facts=facts)
    assert verify(tmp_path / "a") == []

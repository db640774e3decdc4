"""Private temporary folders go with their process, and what a killed one left goes with the next."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from auditlab.temporary import PrivateFolder

KILLED = """
import os, signal
from auditlab.temporary import PrivateFolder
made = PrivateFolder()
(made.path / "0.arrows").write_bytes(b"x" * 1000)
print(made.path, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_what_a_killed_process_left_is_removed_and_what_is_in_use_stays(base: Path):
    mine = PrivateFolder()
    foreign, elsewhere = base / "auditlab-theirs", base / "elsewhere"
    for folder in (foreign, elsewhere):
        folder.mkdir()
        (folder / "kept").touch()
    (elsewhere / ".owner").touch()
    (base / "auditlab-link").symlink_to(elsewhere)
    done = subprocess.run(
        [sys.executable, "-c", KILLED], env={**os.environ, "TMPDIR": str(base)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    left = Path(done.stdout.strip())
    assert done.returncode < 0
    assert left.parent == base
    assert (left / "0.arrows").exists()

    another = PrivateFolder()
    assert not left.exists()
    for folder in (mine.path, another.path, foreign, elsewhere):
        assert folder.exists()
    assert mine.path.stat().st_mode & 0o777 == 0o700
    for folder in (mine, another):
        folder.remove()
        assert not folder.path.exists()
    assert (elsewhere / "kept").exists()

"""How much memory there is: of the system, or of the control groups that a process is in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from auditlab.load import estimate
from auditlab.load.estimate import available_memory

if TYPE_CHECKING:
    from pathlib import Path

VERSIONS = {
    "version 2": ("0::/kept/jobs\n", "kept", ("memory.max", "memory.current", "inactive_file"), "max"),
    "version 1": (
        "9:name=systemd:/\n4:memory:/kept/jobs\n0::/\n",
        "memory/kept",
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        "9223372036854771712",
    ),
}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files by which a Linux of 8,000,000 kB free tells of memory, without any control group."""
    (tmp_path / "meminfo").write_text("MemTotal: 16000000 kB\nMemAvailable: 8000000 kB\n", encoding="ascii")
    monkeypatch.setattr(estimate, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(estimate, "_GROUPS", tmp_path / "groups")
    monkeypatch.setattr(estimate, "_GROUP_FILES", tmp_path / "files")
    return tmp_path


def group(folder: Path, names: tuple[str, str, str], limit: str, used: int, kept: int) -> None:
    """A control group's files as the kernel shows them."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / names[0]).write_text(f"{limit}\n", encoding="ascii")
    (folder / names[1]).write_text(f"{used}\n", encoding="ascii")
    (folder / "memory.stat").write_text(f"anon 5\n{names[2]} {kept}\n", encoding="ascii")


def test_without_a_control_group_the_system_says_what_is_free(machine: Path):
    assert machine.exists()
    assert available_memory() == 8_000_000 * 1024


@pytest.mark.parametrize("version", VERSIONS)
def test_a_control_group_around_that_of_the_process_bounds_it(version: str, machine: Path):
    told, outer, names, unlimited = VERSIONS[version]
    (machine / "groups").write_text(told, encoding="ascii")
    group(machine / "files" / outer, names, "1000000000", 700_000_000, 200_000_000)
    group(machine / "files" / outer / "jobs", names, unlimited, 600_000_000, 100_000_000)
    assert available_memory() == 500_000_000  # files that are kept for later make room


@pytest.mark.parametrize("version", VERSIONS)
def test_a_control_group_that_is_full_leaves_nothing(version: str, machine: Path):
    told, outer, names, _ = VERSIONS[version]
    (machine / "groups").write_text(told, encoding="ascii")
    group(machine / "files" / outer / "jobs", names, "1000", 1001, 0)
    assert available_memory() == 0

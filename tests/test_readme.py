"""The README is true: its commands and its code run, in order, against a real shop."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from typer.testing import CliRunner

from auditlab.cli import app
from auditlab.demo.workload import run_workload

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
DSN = "postgresql:///shop"


@pytest.fixture(scope="module")
def shop(make_database: Callable[..., str]) -> str:
    """A database with the demo's day in it, already recorded."""
    dsn = make_database(prefix="readme")
    run_workload(dsn)
    return dsn


def test_every_block_is_code_or_commands():
    assert {language for language, _ in BLOCKS} == {"sh", "python", "sql"}


def test_the_code_and_the_commands_run_in_order(shop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for language, block in BLOCKS:
        if language == "python":
            exec(compile(block.replace(DSN, shop), "README.md", "exec"), names)  # noqa: S102 - our own README
            continue
        if language == "sql":
            with duckdb.connect() as connection:
                assert connection.sql(block).to_arrow_table().num_rows, block
            continue
        for line in block.splitlines():
            program, *words = shlex.split(line.replace(DSN, shop))
            if program == "auditlab":
                done = CliRunner().invoke(app, words)
                assert done.exit_code == 0, f"{line}\n{done.output}\n{done.exception}"
    assert (tmp_path / "totals.csv").stat().st_size > 100


def test_the_make_targets_are_there():
    targets = re.findall(r"^make (\S+)$", README, re.MULTILINE)
    assert targets == ["demo", "test"]
    make = shutil.which("make")
    assert make is not None
    for target in targets:
        assert subprocess.run([make, "--dry-run", target], cwd=ROOT, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_point_at_what_is_there(page: str):
    text = (ROOT / page).read_text(encoding="utf-8")
    targets = [target for target in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in target]
    assert [target for target in targets if not (ROOT / target).exists()] == []

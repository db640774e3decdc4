"""``auditlab seal``, ``head`` and ``verify``: what they print, and the exit codes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from typer.testing import Result

    Typed = Callable[..., Result]


@pytest.fixture
def key(typed: Typed, tmp_path: Path) -> Path:
    assert typed("seal", "keygen", tmp_path / "seal.key").exit_code == 0
    return tmp_path / "seal.key"


@pytest.fixture
def kept(typed: Typed, log_file: Path, tmp_path: Path, key: Path) -> Path:
    assert typed("archive", log_file, tmp_path / "kept", "--sign", key).exit_code == 0
    return tmp_path / "kept"


def test_a_signed_archive_is_verified_with_key_and_head(typed: Typed, kept: Path, key: Path):
    head = typed("head", kept).stdout.strip()
    assert json.loads(typed("head", kept, "--json").stdout) == {"head": head, "number": 1, "sha256": head[2:]}
    done = typed("verify", kept, "--key", f"{key}.pub", "--head", head)
    assert done.exit_code == 0
    assert "whole" in done.stdout
    assert "Not proven" not in done.stdout
    assert "Not proven" in typed("verify", kept).stdout


def test_a_machine_gets_json_whether_it_is_whole_or_not(typed: Typed, kept: Path):
    told = json.loads(typed("verify", kept, "--json", "--sample", "10%").stdout)
    assert (told["whole"], told["sample"], told["files"], told["of_files"]) == (True, 0.1, 1, 2)
    for path in (kept / "data").iterdir():
        path.write_bytes(b"")
    done = typed("verify", kept, "--json")
    assert done.exit_code == 1
    told = json.loads(done.stdout)
    assert sorted(fault["path"] for fault in told["faults"]) == sorted(map(str, (kept / "data").iterdir()))


def test_a_head_that_does_not_fit_exits_with_1(typed: Typed, kept: Path):
    done = typed("verify", kept, "--head", f"2:{'ab' * 32}")
    assert done.exit_code == 1
    assert "was dropped" in done.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--head", "x"), "is no head"),
        (("--sample", "many"), "10% or 0.1"),
        (("--key", "nothing"), "cannot read the key"),
    ],
)
def test_what_cannot_be_done_exits_with_2(typed: Typed, kept: Path, words: tuple[str, str], told: str):
    done = typed("verify", kept, *words)
    assert done.exit_code == 2
    assert told in done.stderr


def test_a_second_pair_of_keys_does_not_replace_the_first(typed: Typed, key: Path):
    before = key.read_bytes()
    done = typed("seal", "keygen", key)
    assert (done.exit_code, key.read_bytes()) == (2, before)
    assert "is there already" in done.stderr

"""``--memory``: an archive that takes more is asked in buckets, and answers the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import auditlab as al
from auditlab.testing import make_log

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from typer.testing import Result


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    steps = [("INSERT", f"e{n}", {"n": n, "text": "x" * 50}) for n in range(60)]
    al.from_arrow(make_log([*steps, ("UPDATE", "e7", {"n": -7})])).to_archive(tmp_path / "archive")
    return tmp_path / "archive"


QUESTIONS = (
    "as-of",
    "history",
    "diffs --limit 5",
    "summary --part by_type",
    "timeline",
    "evidence",
    "drift",
    "history --rename n=m",
)


@pytest.mark.parametrize("command", QUESTIONS)
def test_the_answer_is_the_same_under_a_limit(typed: Callable[..., Result], archive: Path, command: str):
    whole, limited = (typed(*command.split(), archive, "-f", "jsonl", *more) for more in ((), ("--memory", "30kB")))
    assert whole.exit_code == limited.exit_code == 0, limited.output
    assert limited.stdout == whole.stdout


def test_a_memory_that_is_no_size_is_refused(typed: Callable[..., Result], archive: Path):
    refused = typed("as-of", archive, "--memory", "some")
    assert refused.exit_code == 2
    assert "--memory 'some' is no size. Give bytes, or e.g. --memory 1GB." in refused.output


def test_a_memory_is_refused_where_the_whole_is_read(typed: Callable[..., Result], tmp_path: Path):
    make_log([("INSERT", "a", {"x": 1})]).write_parquet(tmp_path / "log.parquet")
    for source in (tmp_path / "log.parquet", "postgresql://nobody@nowhere.invalid/none"):
        refused = typed("as-of", source, "--memory", "1GB")
        assert refused.exit_code == 2
        assert "--memory is for an archive" in refused.output

"""``auditlab prune`` and ``auditlab hold``: what goes, what stays, and the exit codes that a cron job acts on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from old_log import ROW, fill_months, months_of

from auditlab.archive.export import archive_postgres
from auditlab.connection import connect

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from typer.testing import Result

    Typed = Callable[..., Result]


@pytest.fixture
def log(captured: str) -> str:
    """A database with ten changes in each of three old months."""
    fill_months(captured)
    return captured


@pytest.fixture
def kept(log: str, tmp_path: Path) -> Path:
    archive_postgres(log, tmp_path / "a")
    return tmp_path / "a"


def test_it_tells_first_and_drops_when_told_to(typed: Typed, log: str, kept: Path):
    told = typed("prune", log, kept, "--before", "2024-03-01")
    assert told.exit_code == 0
    assert "entity_change_log_2024_01: would be dropped, 10 changes" in told.output
    assert months_of(log) == ["2024_01", "2024_02", "2024_03"]
    done = typed("prune", log, kept, "--before", "2024-03-01", "--execute", "--json")
    fates = {one["partition"]: one["fate"] for one in json.loads(done.output)["partitions"]}
    assert fates["audit.entity_change_log_2024_02"] == "dropped"
    assert months_of(log) == ["2024_03"]


@pytest.mark.filterwarnings("always")
def test_questions_about_what_was_dropped_are_no_empty_answers(typed: Typed, log: str, kept: Path):
    typed("prune", log, kept, "--before", "2024-02-01", "--execute")
    inside = ("diffs", log, "--clock", "changed_at", "--from", "2024-01-01", "--to")
    refused = typed(*inside, "2024-02-01")
    assert refused.exit_code == 2
    assert "1 partition, up to 2024-02-01 00:00 UTC, was dropped from it" in refused.output
    assert "that has them: --archive FOLDER." in refused.output
    partly = typed(*inside, "2024-03-01", "--format", "csv")
    assert partly.exit_code == 0
    assert "the log has all changes only from 2024-02-01 00:00:00+00:00 on" in partly.output
    assert typed(*inside, "2024-02-01", "--archive", kept).exit_code == 0


def test_rows_that_are_not_in_the_archive_are_an_exit_code(typed: Typed, log: str, kept: Path):
    with connect(log, autocommit=True) as db:
        db.rows(ROW, (900, "2024-01-20Z", 1))
    assert typed("prune", log, kept, "--keep", "12 months").exit_code == 1
    refused = typed("prune", log, kept, "--keep", "12 months", "--yes")
    assert refused.exit_code == 2
    assert "1 row of entity_change_log_2024_01 is not in the archive (id 31)" in refused.output
    assert typed("prune", log, kept).exit_code == 2


def test_a_hold_is_placed_told_and_released(typed: Typed, log: str, kept: Path):
    assert "nothing is held" in typed("hold", kept).output
    assert typed("hold", kept, "case", "-t", "shop.orders", "--to", "2024-02-01").exit_code == 0
    assert "hold 'case' (shop.orders, before 2024-02-01T00:00:00+00:00" in typed("hold", kept).output
    told = typed("prune", log, kept, "--keep", "12 months", "--execute")
    assert "10 changes are under the hold 'case'" in told.output
    assert "would" not in told.output
    assert months_of(log) == ["2024_01"]
    assert "released" in typed("hold", kept, "case", "--release").output
    assert typed("hold", kept, "case", "--release").exit_code == 2
    assert typed("hold", kept, "--release").exit_code == 2

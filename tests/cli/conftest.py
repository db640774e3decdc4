"""How the tests type a command, and the log that they type it on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from small_log import STEPS
from typer.testing import CliRunner

from auditlab.cli import app
from auditlab.testing import make_log

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from typer.testing import Result


@pytest.fixture
def typed() -> Callable[..., Result]:
    """Runs the command line in this process: ``typed("as-of", "log.parquet")``."""

    def run(*words: object) -> Result:
        return CliRunner().invoke(app, [str(word) for word in words])

    return run


@pytest.fixture
def log_file(tmp_path: Path) -> Path:
    """A small log as Parquet, a change a second from 2024-01-01 on: two orders, one deleted, and an item."""
    path = tmp_path / "log.parquet"
    make_log(STEPS, entity_type="orders.orders").write_parquet(path)
    return path

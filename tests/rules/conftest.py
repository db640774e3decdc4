"""What the tests of the rules share: each question is asked on both engines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import auditlab as al
from auditlab.testing import make_log

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(params=["polars", "duckdb"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def log_of(engine: str) -> Callable[..., al.ChangeLog[Any]]:
    """A log from steps as ``make_log`` takes them, in any order of rows."""

    def make(steps: list[tuple[Any, ...]], **options: Any) -> al.ChangeLog[Any]:  # noqa: ANN401 - from_arrow's own
        return al.from_arrow(make_log(steps)[::-1], **options).on(engine)

    return make

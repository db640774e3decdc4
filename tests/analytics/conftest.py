"""What the tests of evidence and reconcile share: a table that our capture records, or the published trigger."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from recorded_shop import FILL, PUBLISHED_TRIGGER, SHOP

from auditlab.capture import track
from auditlab.connection import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(params=["ours", "published"])
def shop(request: pytest.FixtureRequest) -> Iterator[Callable[..., None]]:
    """Runs statements, each its own transaction, on a database whose table shop is recorded; ``.dsn`` is where."""
    dsn: str = request.getfixturevalue("captured" if request.param == "ours" else "published")
    with connect(dsn, autocommit=True) as connection:
        connection.execute(SHOP)
        if request.param == "ours":
            track(dsn, "shop")
        else:
            connection.execute(PUBLISHED_TRIGGER)
        connection.execute(FILL)
        connection.execute("UPDATE shop SET total = total + 1")

        def run(*statements: str) -> None:
            for statement in statements:
                connection.execute(statement)

        run.dsn = dsn  # type: ignore[attr-defined]
        run.published = request.param == "published"  # type: ignore[attr-defined]
        yield run

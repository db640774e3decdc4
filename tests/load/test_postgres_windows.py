"""A window of a log in PostgreSQL, and the baseline of what was there before it."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from auditlab.load.postgres import read_postgres

if TYPE_CHECKING:
    from collections.abc import Callable


def test_a_window_is_closed_at_its_start_and_open_at_its_end(plain_log: str):
    start, end = datetime(2024, 1, 2, tzinfo=UTC), datetime(2024, 1, 3, tzinfo=UTC)
    loaded = read_postgres(plain_log, start=start, end=end)
    assert loaded.changes["changed_at"].min() == start
    assert loaded.changes["changed_at"].max() == end - timedelta(minutes=1)
    assert loaded.changes.height == 24 * 60
    assert (loaded.facts.coverage.start, loaded.facts.coverage.end) == (start, end - timedelta(microseconds=1))
    assert loaded.facts.coverage.complete
    assert loaded.baseline is not None
    assert loaded.baseline["id"].to_list() == list(range(24 * 60 - 600 + 1, 24 * 60 + 1))


def test_without_a_baseline_a_window_is_a_log_of_changes_only(plain_log: str):
    loaded = read_postgres(plain_log, start="2024-01-02", baseline=False)
    assert loaded.baseline is None
    assert loaded.facts.coverage.why == "loaded from a start without a baseline"


def test_the_baseline_of_a_type_holds_its_last_truncate(shop: str):
    loaded = read_postgres(shop, start=datetime.now(UTC) + timedelta(days=1))
    assert loaded.changes.is_empty()
    assert loaded.baseline is not None
    lines = loaded.baseline.filter(entity_type="shop.lines").sort("id")
    assert lines["operation"].to_list()[-2:] == ["TRUNCATE", "INSERT"]


def test_naive_bounds_are_read_in_the_logs_zone(plain_log: str):
    loaded = read_postgres(plain_log, start="2024-01-02T09:00", end="2024-01-02T10:00", zone="Asia/Tokyo")
    assert loaded.changes["changed_at"].min() == datetime(2024, 1, 2, tzinfo=UTC)
    assert loaded.changes.height == 60


@pytest.mark.parametrize("seed", range(3))
def test_a_window_goes_by_effective_time(database: str, execute: Callable[[str, str], None], seed: int):
    """Rows whose own time lies behind an earlier row of their entity count by that row's time."""
    rng = random.Random(seed)  # noqa: S311 - test data
    rows = [(n, rng.randrange(6), rng.randrange(30)) for n in range(1, 121)]
    values = ", ".join(
        f"({n}, 's.t', md5('{entity}')::uuid, 'UPDATE',"
        f" timestamptz '2024-01-01 00:00+00' + {minute} * interval '1 minute', '{{}}', '{{}}', {n})"
        for n, entity, minute in rows
    )
    execute(
        database,
        "CREATE TABLE log (id bigint, entity_type text, entity_id uuid, operation text, changed_at timestamptz,"
        f" before_snapshot jsonb, after_snapshot jsonb, transaction_id bigint);\nINSERT INTO log VALUES {values}",
    )
    effective: dict[int, int] = {}
    reached: dict[int, int] = {}
    for n, entity, minute in rows:
        reached[entity] = effective[n] = max(reached.get(entity, 0), minute)
    for start, end in ((10, 20), (0, 15), (25, 40), (15, 16)):
        moment = [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=minute) for minute in (start, end)]
        loaded = read_postgres(database, table="log", start=moment[0], end=moment[1])
        assert loaded.changes["id"].to_list() == [n for n, _, _ in rows if start <= effective[n] < end]
        assert loaded.baseline is not None
        last = {entity: n for n, entity, _ in rows if effective[n] < start}
        assert loaded.baseline["id"].to_list() == sorted(last.values())


def test_the_baseline_is_the_last_in_order_not_by_id(database: str, execute: Callable[[str, str], None]):
    """Inside a transaction the images tell the order: here the change with the larger id came first."""
    execute(
        database,
        """CREATE TABLE log (id bigint, entity_type text, entity_id text, operation text, changed_at timestamptz,
    before_snapshot jsonb, after_snapshot jsonb, transaction_id bigint);
INSERT INTO log VALUES
    (1, 's.t', 'x', 'INSERT', '2024-01-01Z', NULL, '{"n": 0}', 1),
    (2, 's.t', 'x', 'UPDATE', '2024-01-02Z', '{"n": 1}', '{"n": 2}', 2),
    (3, 's.t', 'x', 'UPDATE', '2024-01-02Z', '{"n": 0}', '{"n": 1}', 2)""",
    )
    loaded = read_postgres(database, table="log", start="2024-06-01")
    assert loaded.baseline is not None
    assert loaded.baseline["after_snapshot"].to_list() == ['{"n": 2}']

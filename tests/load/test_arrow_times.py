"""Times from Arrow: the same instants, exactly, or a named error with the row."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from arrow_log import NOON, a_log, the_changes
from polars.testing import assert_frame_equal

from auditlab.errors import BadOption, BadTime
from auditlab.load.arrow import from_arrow


def test_times_of_any_zone_are_the_same_instant():
    column = pa.array([NOON, NOON, NOON + timedelta(microseconds=1)], pa.timestamp("us", "Asia/Tokyo"))
    assert_frame_equal(from_arrow(a_log(changed_at=column)).changes, the_changes())


def test_naive_times_are_read_in_the_logs_zone():
    naive = [datetime(2024, 6, 1, 14), datetime(2024, 6, 1, 14), datetime(2024, 6, 1, 14, 0, 0, 1)]  # noqa: DTZ001
    told = from_arrow(a_log(changed_at=pa.array(naive, pa.timestamp("us"))), zone="Europe/Berlin")
    assert_frame_equal(told.changes, the_changes())
    assert told.facts.zone == "Europe/Berlin"


@pytest.mark.parametrize("hour", [datetime(2024, 10, 27, 2, 30), datetime(2024, 3, 31, 2, 30)])  # noqa: DTZ001
def test_a_local_time_that_is_none_or_two_instants_is_refused_with_its_row(hour: datetime):
    naive = [datetime(2024, 1, 1), hour, datetime(2024, 1, 1)]  # noqa: DTZ001
    with pytest.raises(BadTime, match="row id 2: changed_at"):
        from_arrow(a_log(changed_at=pa.array(naive, pa.timestamp("us"))), zone="Europe/Berlin")


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_whole_microseconds_of_any_unit_are_exact(unit: str):
    column = pa.array([NOON, NOON, NOON + timedelta(seconds=1)], pa.timestamp(unit, "UTC"))
    assert from_arrow(a_log(changed_at=column)).changes["changed_at"].to_list() == [
        NOON,
        NOON,
        NOON + timedelta(seconds=1),
    ]


def test_nanoseconds_are_never_cut_off():
    ticks = pa.array([0, 1_000, 1_001], pa.int64()).cast(pa.timestamp("ns", "UTC"))
    with pytest.raises(BadTime, match="row id 3: changed_at = 1001 ns"):
        from_arrow(a_log(changed_at=ticks))


def test_a_time_beyond_the_years_is_refused_with_its_row():
    ticks = pa.array([0, 2**62, 0], pa.int64()).cast(pa.timestamp("us", "UTC"))
    with pytest.raises(BadTime, match="row id 2: changed_at"):
        from_arrow(a_log(changed_at=ticks))


def test_seconds_that_do_not_fit_microseconds_are_refused_with_their_row():
    ticks = pa.array([0, 2**62, 0], pa.int64()).cast(pa.timestamp("s", "UTC"))
    with pytest.raises(BadTime, match="row id 2: changed_at"):
        from_arrow(a_log(changed_at=ticks))


def test_coverage_is_first_to_last_change_unless_it_is_given():
    assert from_arrow(a_log()).facts.coverage.start == NOON
    assert from_arrow(a_log()).facts.coverage.end == NOON + timedelta(microseconds=1)
    given = from_arrow(a_log(), coverage=("2024-06-01", "2024-07-01"), zone="Europe/Berlin").facts.coverage
    assert (given.start, given.end) == (datetime(2024, 5, 31, 22, tzinfo=UTC), datetime(2024, 6, 30, 22, tzinfo=UTC))


@pytest.mark.parametrize(
    "coverage", [("2024-06-02", "2024-07-01"), ("2024-05-01", "2024-06-01"), ("2025", "2024-01-01")]
)
def test_a_coverage_that_does_not_hold_the_changes_is_refused(coverage: tuple[str, str]):
    with pytest.raises((BadOption, BadTime)):
        from_arrow(a_log(), coverage=coverage)

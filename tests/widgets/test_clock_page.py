"""clock.js in a real browser: times of a zone as Python has them, to the microsecond, and none that is guessed."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from auditlab.clock import instant
from auditlab.errors import BadTime
from auditlab.widgets import script

if TYPE_CHECKING:
    from collections.abc import Callable

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe")
CLOCK = script.parts(())[0]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.fixture
def run(watch: Callable[..., Any]) -> Callable[[str, Any], Any]:
    """Runs an expression over ``given`` in a page that knows clock.js."""
    page = watch().page
    return lambda expression, given: page.evaluate(f"(given) => {{ {CLOCK}\n return {expression}; }}", given)


def moments() -> list[datetime]:
    draw = random.Random(5)  # noqa: S311 - no secret
    spread = [EPOCH + timedelta(microseconds=draw.randrange(0, 4_000_000_000_000_000)) for _ in range(200)]
    edges = [datetime(2024, 3, 31, 1, tzinfo=UTC), datetime(2024, 10, 27, 1, tzinfo=UTC)]
    return spread + [edge + timedelta(microseconds=away) for edge in edges for away in (-1, 0, 1, 3_600_000_000)]


@pytest.mark.parametrize("zone", ZONES)
def test_a_time_is_shown_and_read_as_python_does(run: Callable[[str, Any], Any], zone: str):
    times = moments()
    given = [[(at - EPOCH) / timedelta(microseconds=1) / 1000, zone] for at in times]
    shown = run("given.map(([ms, zone]) => timeText(ms, zone, true))", given)
    assert shown == [at.astimezone(ZoneInfo(zone)).isoformat(sep=" ") for at in times]
    back = run("given.map(([text, zone]) => Math.round(timeOf(text, zone) * 1000))", [[text, zone] for text in shown])
    assert back == [(at - EPOCH) // timedelta(microseconds=1) for at in times]


@pytest.mark.parametrize(
    "text",
    ["2024-06-01", "2024-06-01 12:30", "2024-03-31 02:30:00", "2024-10-27 02:30:00", "2024-10-27T02:30:00+02:00",
     "2024-10-27 01:59:59.999999", "2024-02-30", "2024-13-01", "soon", "2024-06-01 24:00"],
)  # fmt: skip
def test_a_naive_time_is_read_in_the_zone_or_refused_as_python_does(run: Callable[[str, Any], Any], text: str):
    zone = "Europe/Berlin"
    try:
        expected: float | None = (instant(text, zone) - EPOCH) / timedelta(milliseconds=1)
    except BadTime:
        expected = None
    read = "(() => { try { return timeOf(given[0], given[1]); } catch { return null; } })()"
    assert run(read, [text, zone]) == expected


def test_ticks_stand_on_round_times_of_the_zone(run: Callable[[str, Any], Any]):
    spans = [1e-1, 5, 1e3, 1e5, 1e7, 3e8, 1e10, 1e12]
    for zone in ZONES:
        found = run(f"given.map((span) => ticks(1711800000000, 1711800000000 + span, 8, {json.dumps(zone)}))", spans)
        for span, ticks in zip(spans, found, strict=True):
            assert 1 <= len(ticks) <= 10, (zone, span)
            assert all(1711800000000 <= tick["ms"] <= 1711800000000 + span for tick in ticks)
            assert sorted({tick["ms"] for tick in ticks}) == [tick["ms"] for tick in ticks]
    days = run("ticks(1711800000000, 1711800000000 + 10 * 864e5, 12, 'Europe/Berlin')", None)
    expected = ["2024-03-31", *(f"2024-04-0{day}" for day in range(1, 10))]  # one of these days has 23 hours
    assert [tick["text"] for tick in days] == expected
    assert days[2]["ms"] == (instant("2024-04-02", "Europe/Berlin") - EPOCH) / timedelta(milliseconds=1)

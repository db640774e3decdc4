"""Where a time axis has its labels: on whole hours, days, months or years of the log's time zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from zoneinfo import ZoneInfo

__all__ = ["ticks"]

_STEPS = (
    (timedelta(seconds=5), "%H:%M:%S"),
    (timedelta(seconds=15), "%H:%M:%S"),
    (timedelta(minutes=1), "%H:%M"),
    (timedelta(minutes=5), "%H:%M"),
    (timedelta(minutes=15), "%H:%M"),
    (timedelta(hours=1), "%H:%M"),
    (timedelta(hours=3), "%H:%M"),
    (timedelta(hours=6), "%d %b %H:%M"),
    (timedelta(hours=12), "%d %b %H:%M"),
    (timedelta(days=1), "%d %b"),
    (timedelta(days=2), "%d %b"),
    (timedelta(days=7), "%d %b"),
    (timedelta(days=14), "%d %b"),
)
_MONTHS = ((1, "%b %Y"), (3, "%b %Y"), (6, "%b %Y"), (12, "%Y"), (24, "%Y"), (60, "%Y"), (120, "%Y"), (600, "%Y"))
_LAST_YEAR = 9999


def ticks(start: datetime, end: datetime, zone: ZoneInfo, *, most: int = 6) -> list[tuple[datetime, str]]:
    """Instants between ``start`` and ``end`` with their labels in the zone, ``most`` at the most.

    A span between two of them has the time of its start alone.
    """
    for step, form in _STEPS:
        if (end - start) / step <= most:
            found = list(_by_step(start, end, zone, step))
            return [(when, f"{when.astimezone(zone):{form}}") for when in found] or [
                (start, f"{start.astimezone(zone):%H:%M:%S}")
            ]
    for months, form in _MONTHS:
        found = list(_by_months(start, end, zone, months))
        if len(found) <= most:
            return [(when, f"{when.astimezone(zone):{form}}") for when in found]
    return []


def _by_step(start: datetime, end: datetime, zone: ZoneInfo, step: timedelta) -> Iterator[datetime]:
    """Local times that are whole steps of their day, or of the days since the first one."""
    local = start.astimezone(zone).replace(tzinfo=None)
    wall = local.replace(hour=0, minute=0, second=0, microsecond=0)
    while (when := wall.replace(tzinfo=zone).astimezone(UTC)) <= end:
        if when >= start:
            yield when
        wall += step


def _by_months(start: datetime, end: datetime, zone: ZoneInfo, months: int) -> Iterator[datetime]:
    local = start.astimezone(zone)
    number = (local.year * 12 + local.month - 1) // months * months
    while number // 12 <= end.year + 1 and number // 12 <= _LAST_YEAR:
        when = datetime(max(number // 12, 1), number % 12 + 1, 1, tzinfo=zone).astimezone(UTC)
        if when > end:
            return
        if when >= start:
            yield when
        number += months

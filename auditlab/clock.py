"""The one clock of a log: how times that people type become instants."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from auditlab.errors import BadTime

__all__ = ["FINER", "Moment", "instant", "zone"]

FINER = re.compile(r"[.,]\d{6}0*[1-9]")
"""In a time as text: what is finer than microseconds."""

Moment = datetime | date | str
"""A time as people give it: an aware datetime, a date, an ISO 8601 text; naive ones are read in the log's zone."""


def zone(name: str) -> ZoneInfo:
    """The time zone of that name, or ``BadTime``."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
        raise BadTime(f"no time zone {name!r}. Use an IANA name such as 'UTC' or 'Europe/Berlin'.") from exc


def instant(moment: Moment, tz: str, *, bound: bool = False) -> datetime:
    """The instant that ``moment`` names, in UTC.

    A bare date is 00:00 of that day in ``tz``; a naive time is read in ``tz``. One that lies between two microseconds
    is the earlier of them, which has the same changes up to it; as the ``bound`` of a closed-open span it is the later,
    which has the same changes before it.

    Raises:
        BadTime: the text is no ISO 8601 time, or the local time does not exist or exists twice in ``tz``.
    """
    value, local = _parse(moment), zone(tz)
    finer = FINER.search(moment) if isinstance(moment, str) else getattr(moment, "nanosecond", 0)
    try:
        return _in_utc(value, local, tz) + timedelta(microseconds=bool(bound and finer))
    except BadTime:
        raise
    except (OverflowError, ValueError) as exc:  # ValueError: a time that is none, such as pandas' NaT
        raise BadTime(f"{moment} is no time of the years 1 to 9999 in UTC.") from exc


def _in_utc(value: datetime, local: ZoneInfo, tz: str) -> datetime:
    if value.tzinfo is not None:
        return value.astimezone(UTC)
    first, second = value.replace(tzinfo=local, fold=0), value.replace(tzinfo=local, fold=1)
    if first.utcoffset() != second.utcoffset():
        exists = first.astimezone(UTC).astimezone(local).replace(tzinfo=None) == value
        what = "exists twice" if exists else "does not exist"
        raise BadTime(
            f"{value.isoformat()} {what} in {tz} (the clocks change). Give the offset, e.g. {first.isoformat()}."
        )
    return first.astimezone(UTC)


def _parse(moment: Moment) -> datetime:
    if isinstance(moment, datetime):
        return moment
    if isinstance(moment, date):
        return datetime.combine(moment, time())
    if isinstance(moment, str):
        try:
            return datetime.fromisoformat(moment.strip())
        except ValueError as exc:
            raise BadTime(
                f"cannot read the time {moment!r}. Write e.g. '2024-06-01' or '2024-06-01T12:30:00+02:00'."
            ) from exc
    mark = (
        " As of a mark answer as_of(mark=), blame(mark=) and compare(marks=)."
        if type(moment).__name__ == "Mark"
        else ""
    )
    raise BadTime(
        f"cannot read a time from {type(moment).__name__}. Give a datetime, a date or an ISO 8601 text.{mark}"
    )

"""Activity: what happened when, by whom, to what, and in how large transactions; the counts behind the dashboard."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from html import escape
from typing import TYPE_CHECKING

import polars as pl

from auditlab import queries
from auditlab.analytics.summary import PERIODS
from auditlab.errors import BadOption
from auditlab.printable import printable_lines
from auditlab.schema import TIME

if TYPE_CHECKING:
    from auditlab.schema import LogFacts
    from auditlab.selection import Selected

__all__ = ["SIZES", "Activity", "activity", "dated", "period_ends"]

SIZES: dict[int, int | None] = {1: 1, 2: 5, 6: 20, 21: 100, 101: 1000, 1001: None}
"""The ranges of transaction sizes: the least number of changes -> the largest, None where there is no largest."""

SPANS = {
    "second": timedelta(minutes=1),
    "minute": timedelta(hours=1),
    "hour": timedelta(days=2),
    "day": timedelta(days=60),
    "week": timedelta(days=420),
    "month": timedelta(days=1830),
}
"""How long a log may be so that its activity is counted by this period where none is asked for."""

_BEYOND = {"day": 36, "week": 240, "month": 1080, "year": 9600}
"""Hours that lead from a period's start into the next one, whatever the clocks and the calendar do."""

_COUNTS = ("changes", "transactions", "entities", "largest", "at_least", "weekday", "hour")
_DTYPES = {**dict.fromkeys(_COUNTS, pl.Int64()), "first_change": TIME, "last_change": TIME}
_NAMES = ("by_operation", "by_user", "by_hour", "by_entity", "by_size")


@dataclass(frozen=True, slots=True)
class Activity:
    """What happened in a log, or in the selected changes, counted. A SNAPSHOT is nobody's change and is never counted.

    Changes and transactions are different questions: every table has both. Times are the log's clock, periods, hours
    and weekdays are of its time zone.

    Args:
        period: second, minute, hour, day, week, month or year.
        by_operation: period (its start, in the log's zone), operation, changes, transactions.
        by_user: period, changed_by (null: no user recorded), changes, transactions.
        by_hour: weekday (1 is Monday), hour (0 to 23), changes, transactions.
        by_entity: entity_type, entity_id, changes, transactions, first_change, last_change (UTC), most changed first.
        by_field: entity_type, field, changes (UPDATEs that changed it), transactions, entities, most changed first.
        by_size: at_least and largest (changes in a transaction), transactions, changes; see ``SIZES``.
    """

    period: str
    by_operation: pl.DataFrame
    by_user: pl.DataFrame
    by_hour: pl.DataFrame
    by_entity: pl.DataFrame
    by_field: pl.DataFrame
    by_size: pl.DataFrame

    def _tables(self) -> dict[str, pl.DataFrame]:
        return {
            f"by {self.period} and operation": self.by_operation,
            f"by {self.period} and user": self.by_user,
            "by weekday and hour": self.by_hour,
            "by entity": self.by_entity,
            "by field": self.by_field,
            "by transaction size": self.by_size,
        }

    def __repr__(self) -> str:
        with pl.Config(tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True, tbl_rows=12):
            return printable_lines("\n".join(f"{title}\n{table}" for title, table in self._tables().items()))

    def _repr_html_(self) -> str:
        return "".join(f"<h4>{escape(title)}</h4>{table._repr_html_()}" for title, table in self._tables().items())


def activity(selected: Selected, *, period: str | None = None) -> Activity:
    """What happened when, by whom, to what, and in how large transactions.

    Args:
        selected: The log, or any part of it.
        period: second, minute, hour, day, week, month or year, of the log's time zone.
            Without one, what suits the log's length.

    Raises:
        BadOption: no such period.

    >>> from auditlab import from_arrow
    >>> from auditlab.testing import make_log
    >>> log = from_arrow(make_log([("INSERT", "a", {"x": 1}), ("UPDATE", "a", {"x": 2}), ("UPDATE", "a", {"x": 3})]))
    >>> log.activity().by_field.row(0)
    ('t', 'x', 2, 2, 1)
    """
    if period is not None and period not in PERIODS:
        raise BadOption(f"no period {period!r}. There are {', '.join(map(repr, PERIODS))}.")
    facts = selected.recorded.facts
    rows = selected.changes()
    done = rows.filter(pl.col("operation") != "SNAPSHOT")
    period = period or _fitting(done[facts.clock])
    counted = dated(rows, facts, period).select(
        "position", "operation", "changed_by", "entity_type", "entity_id", "transaction_id", "at", "weekday", "hour",
        pl.col("period").dt.convert_time_zone("UTC"),
    )  # fmt: skip
    found = {
        name: selected.engine.run(queries.text("analysis", f"activity_{name}"), {"changes": counted}, _DTYPES)
        for name in _NAMES
    }
    for name in ("by_operation", "by_user"):
        found[name] = found[name].with_columns(pl.col("period").dt.convert_time_zone(facts.zone))
    return Activity(period, **found, by_field=_by_field(selected, counted))


def dated(rows: pl.DataFrame, facts: LogFacts, period: str) -> pl.DataFrame:
    """Changes with ``at`` (their time by the log's clock), and what it is in the log's zone: period, weekday, hour."""
    local = pl.col(facts.clock).dt.convert_time_zone(facts.zone)
    return rows.with_columns(
        at=facts.clock, period=local.dt.truncate(PERIODS[period]), weekday=local.dt.weekday(), hour=local.dt.hour()
    )


def period_ends(starts: pl.Series, period: str) -> pl.Series:
    """Of periods by their starts, in the log's zone: when the next one starts."""
    if period in _BEYOND:
        return (starts + timedelta(hours=_BEYOND[period])).dt.truncate(PERIODS[period])
    ends = starts + timedelta(**{f"{period}s": 1})
    if period != "hour":
        return ends
    longer = ends.dt.truncate("1h") == starts  # Lord Howe's clocks go back by half an hour
    return ends + longer.cast(pl.Int64) * timedelta(minutes=30)


def _fitting(times: pl.Series) -> str:
    """The shortest period by which a picture of these times has not too many columns."""
    first, last = times.min(), times.max()
    if not (isinstance(first, datetime) and isinstance(last, datetime)):
        return "day"  # there is no change
    length = last - first
    return next((name for name, longest in SPANS.items() if length <= longest), "year")


def _by_field(selected: Selected, changes: pl.DataFrame) -> pl.DataFrame:
    """Over all selected types, the most changed fields first."""
    schema = {"entity_type": pl.String(), "field": pl.String(), **{name: _DTYPES[name] for name in _COUNTS[:3]}}
    frames = [pl.DataFrame(schema=schema)]
    for shape in selected.shapes():
        fields = shape.field_changes
        if selected.entity_id is not None:
            fields = fields.filter(pl.col("entity_id") == selected.entity_id)
        tables = {"field_changes": fields, "changes": changes}
        frames.append(selected.engine.run(queries.text("analysis", "activity_by_field"), tables, _DTYPES))
    rows = pl.concat([frame.select(*schema) for frame in frames])
    return rows.sort("changes", "entity_type", "field", descending=[True, False, False])

"""Activity: what happened when, by whom, to what, and in how large transactions; the counts behind the dashboard."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from html import escape
from typing import TYPE_CHECKING

import polars as pl

from auditlab import queries
from auditlab.analytics.summary import PERIODS
from auditlab.buckets.answers import asked, in_order
from auditlab.buckets.bucketed import Bucketed
from auditlab.buckets.compartments import Compartments
from auditlab.buckets.spill import compact
from auditlab.errors import BadOption
from auditlab.printable import printable_lines
from auditlab.schema import TIME

if TYPE_CHECKING:
    from collections.abc import Iterator

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
_OF = {
    "by_operation": ("period", "operation"),
    "by_user": ("period", "changed_by"),
    "by_hour": ("weekday", "hour"),
    "by_size": ("at_least",),
}
"""What the tables have one row of that are counted by transaction, in their order."""

_ENTITY = ("entity_type", "entity_id")
_FIELD = ("entity_type", "field")

_UNSUMMED = 8
"""Tables of compartments that wait until they are summed."""

_WAITING = 64
"""The part (1 in ...) of a question's room that narrow rows may take before they are written."""


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
    selected.warn_gone(*selected.entity_types, changes=True)
    recorded = selected.recorded
    if isinstance(recorded, Bucketed):
        period, found = _summed(recorded, selected, period)
    else:
        rows = _narrow(selected)
        period = period or _fitting(_times(rows))
        counted = _counted(rows, recorded.facts, period)
        found = {name: _table(selected, name, counted) for name in (*_OF, "by_entity")}
        found["by_field"] = _by_field(selected, counted)
    for name in ("by_operation", "by_user"):
        found[name] = found[name].with_columns(pl.col("period").dt.convert_time_zone(recorded.facts.zone))
    return Activity(period, **found)


def _narrow(selected: Selected) -> pl.DataFrame:
    """What is looked at of each selected change; ``at`` is its time by the log's clock."""
    columns = ("position", "operation", "changed_by", "entity_type", "entity_id", "transaction_id")
    return selected.changes().select(*columns, at=selected.recorded.facts.clock)


def _times(narrow: pl.DataFrame) -> list[datetime]:
    """The first and the last time of a change; nothing where there is none."""
    done = narrow.filter(pl.col("operation") != "SNAPSHOT")["at"]
    return [done.min(), done.max()] if len(done) else []  # type: ignore[list-item]  # a column of times


def _counted(narrow: pl.DataFrame, facts: LogFacts, period: str) -> pl.DataFrame:
    """The rows with their period (its start in UTC), weekday and hour."""
    rows = dated(narrow, replace(facts, clock="at"), period)
    return rows.with_columns(pl.col("period").dt.convert_time_zone("UTC"))


def _table(selected: Selected, name: str, counted: pl.DataFrame) -> pl.DataFrame:
    return selected.engine.run(queries.text("analysis", f"activity_{name}"), {"changes": counted}, _DTYPES)


def _summed(recorded: Bucketed, selected: Selected, period: str | None) -> tuple[str, dict[str, pl.DataFrame]]:
    """The period, and the tables of a log that is dealt out.

    Entities are counted in their buckets. Transactions are not in one bucket each, so narrow rows are dealt out once
    more, by transaction; then each is counted where it is.
    """
    changes, fields = (Compartments(recorded.count, room=recorded.room // _WAITING) for _ in range(2))
    by_field: list[pl.DataFrame] = []
    times: list[datetime] = []

    def entities() -> Iterator[pl.DataFrame]:
        for part, rows in asked(recorded, selected, _narrow):
            own = replace(selected, recorded=part)
            times.extend(_times(rows))
            by_field.append(compact(_by_field(own, rows)))
            changes.deal(rows.drop("position"), rows["transaction_id"].fill_null(-1).hash() % recorded.count)
            pairs = _by_transaction(own, rows)
            fields.deal(pairs, pairs["transaction_id"].hash() % recorded.count)
            yield _table(own, "by_entity", rows)

    by_entity = in_order(recorded, entities(), -pl.col("changes"), *map(pl.col, _ENTITY))
    period = period or _fitting(times)
    tables: dict[str, list[pl.DataFrame]] = {name: [] for name in _OF}
    transactions = []
    for number in range(recorded.count):
        counted = _counted(changes.read(number), recorded.facts, period)
        for name, parts in tables.items():
            parts.append(_table(selected, name, counted))
            if len(parts) == _UNSUMMED:  # each may have a row for every period and user
                tables[name] = [compact(_sum(parts, _OF[name]))]
        own_pairs = fields.read(number).unique()
        transactions.append(compact(own_pairs.group_by(_FIELD).agg(transactions=pl.len().cast(pl.Int64))))
    found = {name: _sum(parts, _OF[name]) for name, parts in tables.items()}
    found["by_entity"] = by_entity.collect()
    own_counts, told = _sum(by_field, _FIELD), _sum(transactions, _FIELD)
    columns = by_field[0].columns
    whole = own_counts.drop("transactions").join(told, on=_FIELD, how="left", maintain_order="left")
    whole = whole.with_columns(pl.col("transactions").fill_null(0)).select(columns)
    found["by_field"] = whole.sort("changes", *_FIELD, descending=[True, False, False])
    return period, found


def _sum(parts: list[pl.DataFrame], key: tuple[str, ...]) -> pl.DataFrame:
    """One table over all parts, by its key."""
    columns = parts[0].columns
    adding = [(pl.max if name == "largest" else pl.sum)(name) for name in columns if name not in key]
    return pl.concat(parts).group_by(key).agg(adding).select(columns).sort(key, nulls_last=True)


def dated(rows: pl.DataFrame, facts: LogFacts, period: str) -> pl.DataFrame:
    """Changes with ``at`` (their time by the log's clock), and what it is in the log's zone: period, weekday, hour."""
    local = pl.col(facts.clock).dt.convert_time_zone(facts.zone)
    return rows.with_columns(
        at=facts.clock, period=local.dt.truncate(PERIODS[period]), weekday=local.dt.weekday(), hour=local.dt.hour()
    )


def period_ends(starts: pl.Series, period: str) -> pl.Series:
    """Of periods by their starts, in the log's zone: when the next one starts, in the year 9999 at the latest."""
    if period in _BEYOND:
        ends = (starts + timedelta(hours=_BEYOND[period])).dt.truncate(PERIODS[period])
    else:
        ends = starts + timedelta(**{f"{period}s": 1})
    if period == "hour":
        longer = ends.dt.truncate("1h") == starts  # Lord Howe's clocks go back by half an hour
        ends += longer.cast(pl.Int64) * timedelta(minutes=30)
    zone = starts.dtype.time_zone  # type: ignore[attr-defined]  # a column of times
    last = pl.Series([datetime.max.replace(tzinfo=UTC)])
    both = pl.concat([last.dt.convert_time_zone(zone), last.dt.replace_time_zone(zone)])
    return ends.clip(upper_bound=both.min())  # type: ignore[arg-type]  # a column of times


def _fitting(times: list[datetime]) -> str:
    """The shortest period by which a picture of these times has not too many columns."""
    if not times:
        return "day"  # there is no change
    length = max(times) - min(times)
    return next((name for name, longest in SPANS.items() if length <= longest), "year")


def _by_field(selected: Selected, changes: pl.DataFrame) -> pl.DataFrame:
    """Over all selected types, the most changed fields first. All are counted at once: each join reads all changes."""
    schema = {"position": changes.schema["position"], **dict.fromkeys((*_FIELD, "entity_id"), pl.String())}
    told = pl.concat([pl.DataFrame(schema=schema), *(fields.select(*schema) for fields in _field_changes(selected))])
    tables = {"field_changes": told, "changes": changes}
    rows = selected.engine.run(queries.text("analysis", "activity_by_field"), tables, _DTYPES)
    return rows.sort("changes", *_FIELD, descending=[True, False, False])


def _by_transaction(selected: Selected, changes: pl.DataFrame) -> pl.DataFrame:
    """The transactions that ``activity_by_field`` counts: one row a type, field and transaction."""
    updates = changes.filter((pl.col("operation") == "UPDATE") & pl.col("transaction_id").is_not_null())
    updates = updates.select("position", "transaction_id")
    frames = [pl.DataFrame(schema={**dict.fromkeys(_FIELD, pl.String()), "transaction_id": pl.Int64()})]
    told = (fields.select("position", *_FIELD).join(updates, on="position") for fields in _field_changes(selected))
    return pl.concat([*frames, *(fields.drop("position").unique() for fields in told)])


def _field_changes(selected: Selected) -> Iterator[pl.DataFrame]:
    """The field changes of each selected type, of the selected entity if there is one."""
    for shape in selected.shapes():
        fields = shape.field_changes
        yield fields if selected.entity_id is None else fields.filter(pl.col("entity_id") == selected.entity_id)

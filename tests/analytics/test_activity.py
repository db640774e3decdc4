"""Activity: changes and transactions by period, user, hour, entity, field and size, as a loop counts them."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from auditlab import from_arrow
from auditlab.analytics.activity import period_ends
from auditlab.errors import BadOption
from auditlab.schema import TIME
from auditlab.testing import make_log
from auditlab.testing.logs import START

if TYPE_CHECKING:
    from auditlab import ChangeLog

ZONE = "Europe/Berlin"


def steps() -> list[tuple[Any, ...]]:
    """A day and a half over the change to winter time: two types, three users, transactions of 1 to 30 changes."""
    chance = random.Random(7)  # noqa: S311 - a test's log, not a secret
    start = datetime(2024, 10, 26, 12, tzinfo=UTC)
    live: dict[str, dict[str, int]] = {}
    made: list[tuple[Any, ...]] = [("SNAPSHOT", "base", {"x": 0}, {"changed_at": start, "transaction_id": 999})]
    for transaction in range(60):
        columns = {
            "changed_at": start + timedelta(minutes=37 * transaction),
            "transaction_id": transaction if transaction % 20 else None,
            "changed_by": chance.choice(["ann", "bob", None]),
            "entity_type": chance.choice(["a", "b"]),
        }
        for _ in range(chance.choice([1, 1, 3, 30])):
            name = f"{columns['entity_type']}{chance.randrange(9)}"
            if name not in live:
                live[name] = {"x": 1, "y": 1}
                made.append(("INSERT", name, dict(live[name]), columns))
            elif chance.random() < 0.1:
                del live[name]
                made.append(("DELETE", name, columns))
            else:
                live[name] = live[name] | {chance.choice("xy"): chance.randrange(3)}
                made.append(("UPDATE", name, dict(live[name]), columns))
    return made


@pytest.fixture(scope="module", params=["polars", "duckdb"])
def log(request: pytest.FixtureRequest) -> ChangeLog[pl.DataFrame]:
    return from_arrow(make_log(steps(), entity_type="a"), zone=ZONE).on(request.param)


def done(log: ChangeLog[pl.DataFrame]) -> list[dict[str, Any]]:
    """The changes that count, each with its local time."""
    rows = log.changes().filter(pl.col("operation") != "SNAPSHOT").to_dicts()
    return [row | {"local": row["changed_at"].astimezone(ZoneInfo(ZONE))} for row in rows]


def counted(rows: list[dict[str, Any]], *keys: Any) -> dict[Any, tuple[int, int]]:  # noqa: ANN401 - a column or a function
    """Changes and distinct transactions by key, counted one by one."""
    changes: Counter[Any] = Counter()
    transactions = defaultdict(set)
    for row in rows:
        key = tuple(one(row) if callable(one) else row[one] for one in keys)
        changes[key] += 1
        if row["transaction_id"] is not None:
            transactions[key].add(row["transaction_id"])
    return {key: (number, len(transactions[key])) for key, number in changes.items()}


def told(frame: pl.DataFrame, *keys: str) -> dict[Any, tuple[int, int]]:
    return {row[:-2]: row[-2:] for row in frame.select(*keys, "changes", "transactions").iter_rows()}


def hour_of(row: dict[str, Any]) -> datetime:
    return row["changed_at"].replace(minute=0, second=0, microsecond=0)


def test_by_period_operation_and_user_count_what_happened_and_no_snapshot(log):
    found = log.activity()
    assert found.period == "hour"
    utc = pl.col("period").dt.convert_time_zone("UTC")
    assert told(found.by_operation.with_columns(utc), "period", "operation") == counted(done(log), hour_of, "operation")
    assert told(found.by_user.with_columns(utc), "period", "changed_by") == counted(done(log), hour_of, "changed_by")
    assert found.by_operation.schema == {
        "period": pl.Datetime("us", ZONE), "operation": pl.String, "changes": pl.Int64, "transactions": pl.Int64,
    }  # fmt: skip


def test_hours_and_weekdays_are_of_the_logs_zone_over_a_change_of_the_clocks(log):
    expected = counted(done(log), lambda row: row["local"].isoweekday(), lambda row: row["local"].hour)
    assert told(log.activity().by_hour, "weekday", "hour") == expected


def test_days_are_of_the_logs_zone_and_end_where_the_next_begins(log):
    found = log.activity(period="day")
    expected = counted(done(log), lambda row: row["local"].date(), "operation")
    by_date = found.by_operation.with_columns(pl.col("period").dt.date())
    assert told(by_date, "period", "operation") == expected
    starts = found.by_operation["period"].unique().sort()
    assert period_ends(starts, "day").to_list()[:-1] == starts.to_list()[1:]


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Honolulu", "Asia/Tokyo"])
@pytest.mark.parametrize("period", ["hour", "day", "week", "month", "year"])
def test_a_period_of_the_last_year_ends_with_it(zone, period):
    late = datetime(9999, 12, 31, 12, 30, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    log = make_log([("INSERT", "a", {"x": 1}), ("UPDATE", "a", {"x": 2})])
    dated = log.with_columns(changed_at=pl.Series([START, late], dtype=TIME))
    view = from_arrow(dated, zone=zone).dashboard(period=period)
    assert view.frame.filter(pl.col("picture").str.contains("and operation"))["changes"].to_list() == [1, 1]
    view.select(view.frame["name"][1])
    assert view.rows()["changed_at"].to_list() == [late]


@pytest.mark.parametrize("period", ["second", "minute", "hour", "day", "week", "month", "year"])
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/Santiago", "Australia/Lord_Howe", "Asia/Kathmandu"])
def test_a_period_ends_where_the_next_one_begins_in_every_zone(zone, period):
    every = {"second": "1s", "minute": "1m", "hour": "1h", "day": "1d", "week": "1w", "month": "1mo", "year": "1y"}[
        period
    ]
    first = datetime(2019, 1, 1, tzinfo=UTC)
    times = pl.datetime_range(first, first + timedelta(days=900), "30m", eager=True, time_zone="UTC")
    starts = times.dt.convert_time_zone(zone).dt.truncate(every)
    ends = period_ends(starts, period)
    local = times.dt.convert_time_zone(zone)
    assert (starts <= local).all()
    assert (local < ends).all()
    if period in ("day", "week", "month", "year"):
        assert ends.filter(~ends.is_in(starts.implode())).n_unique() <= 1


def test_by_entity_counts_each_with_its_first_and_last_change_most_changed_first(log):
    found = log.activity().by_entity
    assert told(found, "entity_type", "entity_id") == counted(done(log), "entity_type", "entity_id")
    assert found["changes"].is_sorted(descending=True)
    first = found.row(0, named=True)
    own = [row["changed_at"] for row in done(log) if row["entity_id"] == first["entity_id"]]
    assert (first["first_change"], first["last_change"]) == (min(own), max(own))


def test_by_field_counts_updates_alone(log):
    edits = log.diffs().filter(pl.col("id").is_in([row["id"] for row in done(log) if row["operation"] == "UPDATE"]))
    found = log.activity().by_field
    assert told(found, "entity_type", "field") == counted(edits.to_dicts(), "entity_type", "field")
    assert found.columns == ["entity_type", "field", "changes", "transactions", "entities"]


def test_by_size_counts_transactions_and_leaves_out_changes_without_one(log):
    sizes = Counter(row["transaction_id"] for row in done(log) if row["transaction_id"] is not None).values()
    expected = []
    for least, most in ((1, 1), (2, 5), (6, 20), (21, 100), (101, 1000)):
        inside = [size for size in sizes if least <= size <= most]
        if inside:
            expected.append((least, max(inside), len(inside), sum(inside)))
    assert log.activity().by_size.rows() == expected


def test_activity_of_picked_changes_counts_those_alone(log):
    ann = log.by("ann").activity(period="year")
    assert ann.by_user["changed_by"].to_list() == ["ann"]
    assert ann.by_user["changes"].sum() == len([row for row in done(log) if row["changed_by"] == "ann"])
    one = log.entity("a1").activity().by_field
    assert set(one["entity_type"]) <= {"a"}
    assert one["entities"].unique().to_list() == [1]


def test_a_log_of_nothing_has_no_activity():
    found = from_arrow(make_log([("SNAPSHOT", "a", {"x": 1})])).activity()
    assert [len(table) for table in found._tables().values()] == [0] * 6  # noqa: SLF001 - every table
    assert found.period == "day"


def test_an_unknown_period_names_what_there_is(log):
    with pytest.raises(BadOption, match="no period 'fortnight'"):
        log.activity(period="fortnight")


def test_the_repr_names_each_table(log):
    assert all(title in repr(log.activity()) for title in ("by weekday and hour", "by transaction size"))
    assert "<h4>by field</h4>" in log.activity()._repr_html_()


@pytest.mark.parametrize("clock", ["changed_at", "committed_at"])
def test_activity_and_summary_count_periods_by_the_log_s_one_clock(clock: str):
    begun = datetime(2024, 5, 31, 23, 59, tzinfo=UTC)
    columns = {"changed_at": begun, "transaction_id": 7}
    later = {"committed_at": begun + timedelta(minutes=2)} if clock == "committed_at" else {}
    log = from_arrow(make_log([("INSERT", "a", {"x": 1}, columns | later)]))
    assert log.facts.clock == clock
    found = log.summary(period="month")
    want = datetime(2024, 6 if later else 5, 1, tzinfo=UTC)
    assert (
        found.by_period["period"].to_list() == log.activity(period="month").by_operation["period"].to_list() == [want]
    )
    assert found.totals["first_change"].to_list() == [begun + timedelta(minutes=2 if later else 0)]

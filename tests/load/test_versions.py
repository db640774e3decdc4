"""Logs whose rows are versions, each true from one time to another: temporal tables, SCD2."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest

import auditlab as al
from auditlab.errors import BadOption, BadTime, PerhapsInclusive, SchemaMismatch

COLUMNS = {"valid_from": "since", "valid_to": "until", "changed_by": None, "transaction_id": None}


def versions(*rows: tuple[str, str, str | None, int], **options: Any) -> al.ChangeLog[Any]:  # noqa: ANN401
    frame = pl.DataFrame(rows, schema=["sku", "since", "until", "price"], orient="row")
    options = {"columns": COLUMNS, "fields": "rest", "entity_type": "shop.prices", "key": "sku"} | options
    return al.from_arrow(frame, **options)


def told(log: al.ChangeLog[Any]) -> list[tuple[Any, ...]]:
    columns = ("id", "entity_id", "operation", "changed_at", "before_snapshot", "after_snapshot")
    return [
        (*row[:3], row[3].isoformat()[:10], *(image and image.split()[-1] for image in row[4:]))
        for row in log.changes().select(columns).iter_rows()
    ]


def test_versions_are_the_changes_that_begin_and_end_them_in_the_order_of_time():
    log = versions(
        ("b", "2024-01-01", "2024-01-15", 5),
        ("a", "2024-03-01", None, 3),  # after a time without one
        ("a", "2024-01-01", "2024-02-01", 1),
        ("a", "2024-02-01", "2024-02-10", 2),
    )
    assert told(log) == [
        (1, "a", "INSERT", "2024-01-01", None, "1}"),
        (2, "b", "INSERT", "2024-01-01", None, "5}"),
        (3, "b", "DELETE", "2024-01-15", "5}", None),
        (4, "a", "UPDATE", "2024-02-01", None, "2}"),
        (5, "a", "DELETE", "2024-02-10", "2}", None),
        (6, "a", "INSERT", "2024-03-01", None, "3}"),
    ]
    assert log.history("a").select("version", "life", "price").rows() == [(1, 1, 1), (2, 1, 2), (3, 2, 3)]


def test_a_version_that_ended_as_it_began_stands_before_what_then_held():
    log = versions(
        ("a", "2024-02-01", None, 3), ("a", "2024-02-01", "2024-02-01", 2), ("a", "2024-01-01", "2024-02-01", 1)
    )
    assert [row[5] for row in told(log)] == ["1}", "2}", "3}"]
    assert log.as_of("2024-02-01")["price"].to_list() == [3]
    alone = versions(("a", "2024-02-01", "2024-02-01", 2), ("a", "2024-03-01", None, 3))
    assert [row[2] for row in told(alone)] == ["INSERT", "DELETE", "INSERT"]


@pytest.mark.parametrize(
    "end",
    [
        None,
        "infinity",
        "9999-12-31",
        "9999-12-31 23:59:59.9999999",
        "2038-01-19 03:14:07.999999",
        "2106-02-07 06:28:15",
    ],
)
def test_an_end_that_is_not_there_yet_is_none(end: str | None):
    assert told(versions(("a", "2024-01-01", end, 1))) == [(1, "a", "INSERT", "2024-01-01", None, "1}")]
    if end and end[0] != "i" and "9999999" not in end:
        frame = pl.DataFrame({"sku": ["a"], "since": [datetime(2024, 1, 1, tzinfo=UTC)],
                              "until": [datetime.fromisoformat(end).replace(tzinfo=UTC)]})  # fmt: skip
        log = al.from_arrow(frame, columns=COLUMNS, fields=["sku"], entity_type="shop.prices", key="sku")
        assert log.changes()["operation"].to_list() == ["INSERT"]


def test_a_range_has_both_ends():
    rows = [("a", '["2024-01-01 00:00:00+00","2024-02-01 00:00:00+00")', 1), ("a", '["2024-02-01 00:00:00+00",)', 2)]
    rows += [("b", "[2024-01-01 00:00:00+00,infinity)", 5)]
    frame = pl.DataFrame(rows, schema=["sku", "sys_period", "price"], orient="row")
    options: dict[str, Any] = {"fields": "rest", "entity_type": "shop.prices", "key": "sku"}
    columns = {"valid_from": "sys_period", "changed_by": None, "transaction_id": None}
    assert [row[1:4] for row in told(al.from_arrow(frame, columns=columns, **options))] == [
        ("a", "INSERT", "2024-01-01"), ("b", "INSERT", "2024-01-01"), ("a", "UPDATE", "2024-02-01"),
    ]  # fmt: skip
    for odd in ("empty", "(,2024-01-01)", '("2024-01-01","2024-02-01"]', "2024-01-01"):
        with pytest.raises(BadTime, match=r"row 1: valid_from = .* is no range that has its start"):
            al.from_arrow(frame.with_columns(sys_period=pl.lit(odd)), columns=columns, **options)
    with pytest.raises(BadOption, match="Name the column of the end, too: 'valid_to'"):
        al.from_arrow(frame.with_columns(sys_period=datetime(2024, 1, 1)), columns=columns, **options)  # noqa: DTZ001


def test_versions_that_overlap_or_end_early_are_refused_by_their_rows():
    with pytest.raises(BadOption, match="'a' hold at once: that in row 2 until now, and that in row 1 from 2024-02-01"):
        versions(("a", "2024-02-01", None, 2), ("a", "2024-01-01", None, 1))
    with pytest.raises(BadOption, match=r"name all of them: key=\['a', 'b'\]"):
        versions(("a", "2024-01-01", "2024-03-01", 2), ("a", "2024-01-01", "2024-02-01", 1))
    with pytest.raises(BadOption, match=r"the version in row 1, of shop.prices 'a', ends \(2024-01-01"):
        versions(("a", "2024-02-01", "2024-01-01", 2))


def test_ends_that_seem_to_be_the_last_moment_of_a_version_are_told_of():
    with pytest.warns(
        PerhapsInclusive, match="each version of the 2 that another follows ends a day before that begins"
    ):
        versions(("a", "2024-01-01", "2024-01-31", 1), ("a", "2024-02-01", None, 2), ("b", "2024-02-01", None, 2),
                 ("b", "2024-01-01", "2024-01-31", 2))  # fmt: skip
    versions(("a", "2024-01-01", "2024-01-31", 1), ("a", "2024-02-01", "2024-03-01", 2), ("a", "2024-03-01", None, 3))


def test_rows_that_come_back_later_do_not_hide_that_ends_seem_to_be_last_moments():
    days = [("a", "2024-01-01", "2024-01-31", 1), ("a", "2024-02-01", "2024-02-29", 2)]
    with pytest.warns(PerhapsInclusive, match="1 versions of the 2 that another follows end a day before that begins"):
        versions(*days, ("a", "2024-06-01", None, 3))
    versions(days[0], ("a", "2024-05-01", "2024-05-31", 2), ("a", "2024-08-01", None, 3))


def test_a_date_is_its_beginning():
    frame = pl.DataFrame({"sku": ["a"], "since": [date(2024, 1, 1)], "until": [date(2024, 2, 1)]})
    log = al.from_arrow(frame, columns=COLUMNS, fields=["sku"], entity_type="a.b", key="sku", zone="Europe/Berlin")
    assert [at.isoformat() for at in log.changes()["changed_at"]] == [
        "2023-12-31T23:00:00+00:00", "2024-01-31T23:00:00+00:00",
    ]  # fmt: skip


def test_times_may_be_numbers_and_who_and_in_which_transaction_is_of_the_beginning():
    frame = pl.DataFrame({"sku": ["a"], "t0": [1_704_067_200], "t1": [1_704_153_600.5], "who": ["ann"], "tx": [7]})
    log = al.from_arrow(
        frame, columns={"valid_from": "t0", "valid_to": "t1", "changed_by": "who", "transaction_id": "tx"},
        fields="rest", entity_type="shop.prices", key="sku", unit="s",
    )  # fmt: skip
    assert log.changes().select("operation", "changed_at", "changed_by", "transaction_id").rows() == [
        ("INSERT", datetime(2024, 1, 1, tzinfo=UTC), "ann", 7),
        ("DELETE", datetime(2024, 1, 2, 0, 0, 0, 500_000, tzinfo=UTC), None, None),
    ]


@pytest.mark.parametrize(
    ("columns", "error", "words"),
    [
        ({"valid_to": "until"}, BadOption, "'valid_to', which tells nothing without 'valid_from'"),
        (COLUMNS | {"id": "sku"}, BadOption, "'valid_from' makes that, and columns= gives id"),
        (COLUMNS | {"changed_at": "sku"}, BadOption, "'changed_at' and 'valid_from', which is the same"),
        (COLUMNS | {"valid_to": "until_"}, SchemaMismatch, r"valid_to \(from 'until_'\): missing"),
        (COLUMNS | {"valid_to": "price"}, SchemaMismatch, "is int64, want a timestamp, or unit='s', 'ms' or 'us'"),
    ],
)
def test_columns_that_say_too_little_or_too_much_are_refused(columns: dict[str, Any], error: type, words: str):
    with pytest.raises(error, match=words):
        versions(("a", "2024-01-01", None, 1), columns=columns)

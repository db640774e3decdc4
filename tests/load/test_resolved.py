"""Rows of which the rows around tell what they are: BEFORE and UPSERT; and those that are no changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

import auditlab as al
from auditlab.errors import BadOption, MalformedChange

NOON = datetime(2024, 6, 1, 12, tzinfo=UTC)
PAIRS = {"pre": "BEFORE", "post": "UPDATE"}


def changes(*rows: tuple[str, int, int, int | None], **options: Any) -> list[tuple[Any, ...]]:  # noqa: ANN401
    """Rows (word, key, value, transaction), a minute a transaction, as the changes that they are."""
    told = [
        {"word": word, "k": key, "v": value, "tx": transaction, "at": NOON + timedelta(minutes=transaction or 0)}
        for word, key, value, transaction in rows
    ]
    log = al.from_arrow(
        pl.DataFrame(told, infer_schema_length=None, schema_overrides={"tx": pl.Int64}),
        columns={"id": None, "operation": "word", "changed_at": "at", "transaction_id": "tx", "changed_by": None},
        fields="rest", entity_type="a.b", key="k", **options,
    )  # fmt: skip
    return [
        (row[0], row[1], *(image and int(image.split()[-1][:-1]) for image in row[2:]))
        for row in log.changes().select("operation", "entity_id", "before_snapshot", "after_snapshot").iter_rows()
    ]


def test_a_row_that_shows_what_an_update_found_is_its_before_image_in_whatever_order():
    found = [("INSERT", "1", None, 5), ("UPDATE", "1", 5, 6), ("UPDATE", "1", 6, 7)]
    assert changes(("+", 1, 5, 1), ("pre", 1, 5, 2), ("post", 1, 6, 2), ("pre", 1, 6, 3), ("post", 1, 7, 3),
                   operations=PAIRS) == found  # fmt: skip
    assert changes(("+", 1, 5, 1), ("post", 1, 6, 2), ("pre", 1, 5, 2), ("post", 1, 7, 3), ("pre", 1, 6, 3),
                   operations=PAIRS) == found  # fmt: skip


def test_without_transactions_what_was_at_one_time_belongs_together():
    assert changes(("pre", 1, 5, None), ("post", 1, 6, None), operations=PAIRS) == [("UPDATE", "1", 5, 6)]


def test_a_row_whose_key_changed_is_a_delete_and_an_insert():
    rows = [("+", 1, 5, 1), ("+", 3, 9, 1), ("pre", 1, 5, 2), ("post", 2, 5, 2), ("pre", 3, 9, 2), ("post", 3, 8, 2)]
    assert changes(*rows, operations=PAIRS)[2:] == [
        ("DELETE", "1", 5, None), ("INSERT", "2", None, 5), ("UPDATE", "3", 9, 8),
    ]  # fmt: skip


def test_an_update_whose_row_before_is_not_told_stays_one():
    rows = [("post", 1, 6, 2), ("pre", 2, 5, 3), ("post", 2, 6, 3), ("post", 1, 7, 4)]
    assert [row[0] for row in changes(*rows, operations=PAIRS)] == ["UPDATE", "UPDATE", "UPDATE"]


def test_a_row_that_is_put_there_inserts_where_there_is_none_and_else_updates():
    rows = [("x", 1, 5, 1), ("x", 1, 6, 2), ("x", 2, 5, 2), ("-", 1, 6, 3), ("x", 1, 7, 4), ("x", 1, 8, 4)]
    assert [row[:2] for row in changes(*rows, operations={"x": "UPSERT"})] == [
        ("INSERT", "1"), ("UPDATE", "1"), ("INSERT", "2"), ("DELETE", "1"), ("INSERT", "1"), ("UPDATE", "1"),
    ]  # fmt: skip
    cut = [("x", 1, 5, 1), ("truncate", 0, 0, 2), ("x", 1, 6, 3)]
    assert [row[0] for row in changes(*cut, operations={"x": "upsert"})] == ["INSERT", "TRUNCATE", "INSERT"]


def test_rows_of_a_word_that_means_none_are_left_out():
    rows = [("begin", 1, 5, 1), ("+", 1, 5, 1), ("access", 1, 5, 2)]
    assert changes(*rows, operations={"begin": None, "Access": None}) == [("INSERT", "1", None, 5)]
    with pytest.raises(MalformedChange, match="operation 'begin' in 1 rows"):
        changes(*rows, operations={"access": None})
    with pytest.raises(BadOption, match="two meanings"):
        changes(*rows, operations={"begin": None, "BEGIN": "INSERT"})

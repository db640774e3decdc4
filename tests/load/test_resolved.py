"""Rows of which the rows around tell what they are: BEFORE and UPSERT; and those that are no changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

import auditlab as al
from auditlab.errors import BadOption, IncompleteStates, MalformedChange

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


TAKEN_AND_PUT = {"-": "BEFORE", "+": "UPSERT"}


def test_a_row_that_is_taken_away_and_put_there_again_at_once_was_updated():
    rows = [("+", 1, 5, 1), ("+", 2, 5, 1), ("-", 1, 5, 2), ("+", 1, 6, 2), ("-", 2, 5, 3), ("+", 2, 7, 4)]
    assert changes(*rows, operations=TAKEN_AND_PUT) == [
        ("INSERT", "1", None, 5), ("INSERT", "2", None, 5), ("UPDATE", "1", 5, 6),
        ("DELETE", "2", 5, None), ("INSERT", "2", None, 7),
    ]  # fmt: skip
    taken_first = [("+", 1, 5, 1), ("+", 2, 8, 1), ("-", 1, 5, 2), ("-", 2, 8, 2), ("+", 2, 9, 2), ("+", 1, 6, 2)]
    assert changes(*taken_first, operations=TAKEN_AND_PUT)[2:] == [("UPDATE", "2", 8, 9), ("UPDATE", "1", 5, 6)]


def test_a_row_that_is_put_there_and_taken_away_at_once_is_not_there():
    rows = [("+", 1, 5, 1), ("-", 1, 5, 1), ("-", 2, 5, 1), ("+", 2, 6, 1), ("-", 2, 6, 1), ("+", 3, 5, 1)]
    assert changes(*rows, operations=TAKEN_AND_PUT) == [
        ("INSERT", "1", None, 5), ("DELETE", "1", 5, None), ("UPDATE", "2", 5, 6), ("DELETE", "2", 6, None),
        ("INSERT", "3", None, 5),
    ]  # fmt: skip


def test_rows_of_a_word_that_means_none_are_left_out():
    rows = [("begin", 1, 5, 1), ("+", 1, 5, 1), ("access", 1, 5, 2)]
    assert changes(*rows, operations={"begin": None, "Access": None}) == [("INSERT", "1", None, 5)]
    with pytest.raises(MalformedChange, match="operation 'begin' in 1 rows"):
        changes(*rows, operations={"access": None})
    with pytest.raises(BadOption, match="two meanings"):
        changes(*rows, operations={"begin": None, "BEGIN": "INSERT"})


def test_a_log_of_states_alone_says_so_and_is_warned_of():
    told = {"k": [1, 2, 1], "v": [5, 6, 7], "at": [NOON, NOON, NOON + timedelta(minutes=1)]}
    columns = {"id": None, "operation": None, "changed_at": "at", "transaction_id": None, "changed_by": None}
    with pytest.warns(IncompleteStates, match="no column tells what was done: .* and none was deleted"):
        log = al.from_arrow(pl.DataFrame(told), columns=columns, fields="rest", entity_type="a.b", key="k")
    assert log.history().select("entity_id", "operation", "v").rows() == [
        ("1", "INSERT", 5), ("1", "UPDATE", 7), ("2", "INSERT", 6),
    ]  # fmt: skip
    data = pl.DataFrame(told).with_columns(now=pl.struct("v").struct.json_encode(), k=pl.col("k").cast(pl.String))
    images = columns | {"entity_id": "k", "before_snapshot": None, "after_snapshot": "now"}
    with pytest.warns(IncompleteStates, match="none was deleted"):
        assert al.from_arrow(data, columns=images, entity_type="a.b").as_of()["v"].to_list() == [7, 6]


@pytest.mark.filterwarnings("ignore::auditlab.errors.IncompleteStates")
def test_versions_and_histories_of_fields_may_say_that_no_column_tells_operations():
    versions = pl.DataFrame({"k": [1], "v": [5], "since": [NOON], "until": [NOON + timedelta(1)]})
    columns = {"operation": None, "transaction_id": None, "changed_by": None}
    asked: dict[str, Any] = {"entity_type": "a.b", "key": "k"}
    log = al.from_arrow(
        versions, columns=columns | {"valid_from": "since", "valid_to": "until"}, fields="rest", **asked
    )
    assert log.changes()["operation"].to_list() == ["INSERT", "DELETE"]
    fields = pl.DataFrame({"e": ["1"], "f": ["v"], "n": ["5"], "at": [NOON]})
    of_fields = columns | {"id": None, "entity_id": "e", "field": "f", "new": "n", "changed_at": "at"}
    log = al.from_arrow(fields, columns=of_fields, entity_type="a.b")

    assert log.changes()["operation"].to_list() == ["UPDATE"]

"""``why_not`` says in words why an entity is absent: each reason, with the change that proves it."""

from __future__ import annotations

from datetime import timedelta

import pytest

import auditlab as al
from auditlab.errors import BadOption, IncompleteLog
from auditlab.testing import make_log
from auditlab.testing.logs import START

ORDERS, ITEMS = {"entity_type": "orders"}, {"entity_type": "items"}
SECOND = timedelta(seconds=1)


def log() -> al.ChangeLog:
    return al.from_arrow(
        make_log(
            [
                ("INSERT", "first", {"x": 1}, {**ORDERS, "changed_by": "ann"}),
                ("INSERT", "o", {"x": 1}, {**ORDERS, "changed_by": "ann", "transaction_id": 71}),
                ("DELETE", "o", {**ORDERS, "changed_by": "bob", "transaction_id": 72}),
                ("INSERT", "o", {"x": 2}, ORDERS),
                ("INSERT", "i", {"x": 1}, ITEMS),
                ("TRUNCATE", {**ITEMS, "changed_by": "eve", "transaction_id": 73}),
                ("UPDATE", "old", {"x": 2}, {**ORDERS, "before_snapshot": {"x": 1}}),
                ("INSERT", "late", {"x": 1}, {**ORDERS, "transaction_id": None}),
                ("INSERT", "i", {"x": 1}, ITEMS),
                ("DELETE", "late", ORDERS),
            ]
        )
    )


def test_never_seen_says_what_the_log_covers_and_what_may_not_be_in_it():
    words = log().of("items").why_not("nobody")
    assert words.startswith("no entity 'nobody' was ever seen among 'items' in this log, which covers 2024-01-01")
    assert "never changed" not in words
    assert "Rows of orders that were there before the log began and never changed" in log().why_not("nobody")


def test_a_key_of_another_type_is_named_there():
    assert "The key is known under 'items'." in log().of("orders").why_not("i")
    assert "The key is known under 'orders'." in log().why_not("o", entity_type="items")


def test_not_yet_inserted_names_the_first_change():
    assert log().why_not("o", START) == (
        "orders o was not yet there at 2024-01-01 00:00:00 UTC: "
        "it was inserted at 2024-01-01 00:00:01 UTC by ann in transaction 71 (change 2)."
    )
    assert "by an unnamed user in an unnumbered transaction (change 8)" in log().why_not("late", START)


def test_deleted_names_who_when_and_in_which_transaction_and_that_it_came_back():
    assert log().why_not("o", START + 2 * SECOND) == (
        "orders o is absent at 2024-01-01 00:00:02 UTC: "
        "it was deleted, at 2024-01-01 00:00:02 UTC by bob in transaction 72 (change 3). "
        "It came back by a later INSERT, at 2024-01-01 00:00:03 UTC by an unnamed user in transaction 4 (change 4)."
    )
    assert log().why_not("late") == (
        "orders late is absent now: "
        "it was deleted, at 2024-01-01 00:00:09 UTC by an unnamed user in transaction 10 (change 10)."
    )


def test_truncated_says_so():
    words = log().why_not("i", START + 5 * SECOND)
    assert "its table was emptied by TRUNCATE, at 2024-01-01 00:00:05 UTC by eve in transaction 73 (change 6)" in words


def test_outside_the_coverage_it_cannot_be_told():
    words = log().why_not("o", START - SECOND)
    assert words.startswith("It cannot be told whether orders o was there: the log covers")
    assert "2023-12-31 23:59:59 UTC is outside of that." in log().why_not("nobody", START - SECOND)


def test_an_entity_that_is_there_is_not_absent():
    assert "orders o is not absent now: it is there as the INSERT at 2024-01-01 00:00:03 UTC" in log().why_not("o")
    words = log().why_not("old", START)
    assert "is not absent at 2024-01-01 00:00:00 UTC: it was there before its first logged change" in words


def test_picked_changes_cannot_tell():
    with pytest.raises(IncompleteLog, match="why_not"):
        log().by("ann").why_not("o")


def test_a_key_of_several_types_must_say_which():
    both = al.from_arrow(make_log([("INSERT", "a", {"x": 1}, ORDERS), ("INSERT", "a", {"x": 1}, ITEMS)]))
    with pytest.raises(BadOption, match="entity_type="):
        both.why_not("a")
    assert "is not absent" in both.why_not("a", entity_type="items")

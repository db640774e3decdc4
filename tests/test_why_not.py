"""``why_not`` says in words why an entity is absent: each reason, with the change that proves it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from soak import generated

import auditlab as al
from auditlab.errors import BadOption, IncompleteLog
from auditlab.temporal.why_not import DOUBT
from auditlab.testing import Oracle, histories, make_log
from auditlab.testing.logs import START

if TYPE_CHECKING:
    import polars as pl

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


def test_in_a_log_by_commit_times_both_times_are_told():
    later = {"changed_at": START + SECOND, "committed_at": START + 3 * SECOND, "transaction_id": 71}
    committed = al.from_arrow(
        make_log([("INSERT", "a", {"x": 1}, {"changed_at": START, "committed_at": START}), ("INSERT", "o", {}, later)])
    )
    assert committed.facts.clock == "committed_at"
    assert committed.why_not("o", START + 2 * SECOND).endswith(
        "o was not yet there at 2024-01-01 00:00:02 UTC: it was inserted at 2024-01-01 00:00:01 UTC "
        "(in effect from 2024-01-01 00:00:03 UTC) by an unnamed user in transaction 71 (change 2)."
    )


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


def test_an_entity_that_is_there_is_said_to_be():
    assert log().why_not("o") == (
        "orders o is there now: "
        "the INSERT at 2024-01-01 00:00:03 UTC by an unnamed user in transaction 4 (change 4) left it."
    )
    words = log().why_not("old", START)
    assert "orders old was there at 2024-01-01 00:00:00 UTC: it was there before its first logged change" in words


def test_a_state_that_the_log_itself_puts_in_doubt_is_said_to_be():
    steps = [("INSERT", "a", {"x": 1}), ("UPDATE", "a", {"x": 3}, {"before_snapshot": {"x": 2}})]
    odd = al.from_arrow(make_log(steps))
    assert odd.why_not("a", START).endswith("left it. " + DOUBT)
    assert "not certain" not in odd.why_not("a")


def test_before_a_first_image_it_cannot_be_told_but_after_a_truncate():
    found = [("INSERT", "z", {"x": 1}), ("SNAPSHOT", "a", {"x": 1})]
    assert al.from_arrow(make_log(found)).why_not("a", START) == (
        "It cannot be told whether t a was there at 2024-01-01 00:00:00 UTC: the log first has it by a SNAPSHOT at "
        "2024-01-01 00:00:01 UTC by an unnamed user in transaction 2 (change 2); what was before is not in the log."
    )
    emptied = [("INSERT", "z", {"x": 1}), ("TRUNCATE",), ("SNAPSHOT", "a", {"x": 1})]
    words = al.from_arrow(make_log(emptied)).why_not("a", START + SECOND)
    assert words.startswith("t a was not yet there at 2024-01-01 00:00:01 UTC: the log first has it by a SNAPSHOT at")
    assert "after its table was emptied by TRUNCATE, at 2024-01-01 00:00:01 UTC" in words


def test_picked_changes_cannot_tell():
    with pytest.raises(IncompleteLog, match="why_not"):
        log().by("ann").why_not("o")


def test_a_key_of_several_types_must_say_which():
    both = al.from_arrow(make_log([("INSERT", "a", {"x": 1}, ORDERS), ("INSERT", "a", {"x": 1}, ITEMS)]))
    with pytest.raises(BadOption, match="entity_type="):
        both.why_not("a")
    assert "items a is there now" in both.why_not("a", entity_type="items")


OPENINGS = {
    "live": "{who} was there at ",
    "deleted": "{who} is absent at ",
    "not yet": "{who} was not yet there at ",
    "not recorded": "It cannot be told whether {who} was there at ",
}


def agree(frame: pl.DataFrame) -> None:
    """Of every entity at every time: the words open as the oracle says, and name the change that made it so."""
    oracle = Oracle(frame.to_dicts())
    log = al.from_arrow(frame)
    operations = dict(frame.select("id", "operation").iter_rows())
    times = sorted({time for time in frame[oracle.clock] for time in (time, time - SECOND)})
    times = [time for time in times if time >= frame[oracle.clock].min()][:: max(1, len(times) // 5)]
    for entity_type, entity_id in (
        frame.select("entity_type", "entity_id").drop_nulls().unique(maintain_order=True).rows()
    ):
        begun = log._selected.recorded.begun.get(entity_type)  # noqa: SLF001 - a baseline bounds the coverage
        for at in times:
            words = log.why_not(entity_id, at, entity_type=entity_type)
            if begun is not None and at < begun:
                assert words.startswith("It cannot be told")
                assert "(its baseline)" in words
                continue
            steps = oracle.presences(entity_type, entity_id)
            _, word, change = [step for step in steps if step[0] is None or step[0] <= at][-1]
            assert words.startswith(OPENINGS[word].format(who=f"{entity_type} {entity_id}")), words
            assert f"(change {steps[1][2] if change is None else change})" in words
            operation = operations.get(change)
            assert ("emptied by TRUNCATE" in words) == (operation == "TRUNCATE") or word == "not yet"
            moved = "its key was changed to" in words
            assert moved <= bool(oracle.changed)
            assert ("it was deleted" in words) == (operation == "DELETE" and not moved)
            again = any(since > at for since, _, _ in steps[1:])
            back = "It came back" in words or "Its key was taken again" in words
            assert back == (word == "deleted" and again)


@pytest.mark.parametrize(
    "options", [{}, {"lossy": True}, {"rekeyed": True}], ids=["whole", "with rows lost", "with keys changed"]
)
def test_the_words_name_the_reason_that_the_oracle_finds_over_histories(options: dict[str, bool]):
    generated(600, few=15)(given(histories(**options))(agree))()

"""Rules 1 to 4, 15 and 17: order comes from ids and images, never from time; lives, versions and their validity."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import auditlab as al
from auditlab import links, order
from auditlab.links import ABSENT, Step, link
from auditlab.testing import make_log
from auditlab.testing.logs import START

A, B, C, D = ((("x", value),) for value in "abcd")
ELSEWHERE = (("x", "elsewhere"),)
HELD = (("note", '"__debezium_unavailable_value"'), ("x", "b"))


@pytest.mark.parametrize(
    ("steps", "start", "order", "certain"),
    [
        ([Step(B, C), Step(A, B)], A, [1, 0], True),
        ([Step(B, C), Step(A, B)], None, [1, 0], True),
        ([Step(A, B), Step(B, A)], A, [0, 1], True),
        ([Step(B, A), Step(A, B)], A, [1, 0], True),
        ([Step(C, A), Step(A, B), Step(B, C)], A, [1, 2, 0], True),
        ([Step(B, C), Step(C, A), Step(A, B)], None, [0, 1, 2], True),
        ([Step(B, C), Step(A, B), Step(C, A)], None, [0, 1, 2], False),
        ([Step(B, B), Step(A, B)], A, [1, 0], True),
        ([Step(ABSENT, B), Step(A, ABSENT)], A, [1, 0], True),
        ([Step(B, C), Step(A, B)], ELSEWHERE, [1, 0], True),
        ([Step(A, B), Step(C, D)], A, [0, 1], False),
        ([Step(B, A), Step(A, B), Step(C, A), Step(A, C)], A, [1, 0, 3, 2], False),
        ([Step(None, B), Step(A, B)], A, [1, 0], False),
        ([Step(None, B), Step(None, C)], A, [0, 1], False),
        ([Step((("note", "n"), ("x", "a")), HELD), Step((("note", "n"), ("x", "b")), ABSENT)], None, [0, 1], True),
        ([Step((("note", "n"), ("x", "b")), ABSENT), Step((("note", "n"), ("x", "a")), HELD)], None, [1, 0], True),
    ],
)
def test_changes_of_one_transaction_are_linked_where_exactly_one_walk_takes_them_all(steps, start, order, certain):
    assert link(steps, start)[:2] == (order, certain)


def test_all_orders_from_a_known_state_end_alike_so_the_state_is_right():
    steps = [Step(A, A), Step(B, A), Step(A, B)]
    assert link(steps, A) == ([0, 2, 1], False, A)


def test_a_search_that_takes_too_long_counts_as_ambiguous(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(links, "MOST_TRIALS", 50)
    states = [(("x", str(n)),) for n in range(12)]
    steps = [Step(one, other) for one in states for other in states if one != other]
    order, certain, _ = link(steps[::-1], states[0])
    assert sorted(order) == list(range(len(steps)))
    assert not certain


def history(log, entity="e"):
    return al.from_arrow(log).history(entity).select("version", "life", "x", "operation", "ended_by", "origin").rows()


def test_an_inner_change_that_was_logged_first_comes_last():
    log = make_log(
        [
            ("INSERT", "e", {"x": 1, "touched": 0}),
            ("UPDATE", "e", {"x": 2, "touched": 1}, {"transaction_id": 2, "before_snapshot": {"x": 2, "touched": 0}}),
            ("UPDATE", "e", {"x": 2, "touched": 0}, {"transaction_id": 2, "before_snapshot": {"x": 1, "touched": 0}}),
        ]
    )
    opened = al.from_arrow(log)
    assert opened.as_of()["touched"].to_list() == [1]
    assert opened.changes()["id"].to_list() == [1, 3, 2]
    assert opened.history()["certain"].all()


def test_ambiguous_order_stays_by_id_and_is_not_certain():
    log = make_log(
        [
            ("INSERT", "e", {"x": 1}),
            ("UPDATE", "e", {"x": 5}, {"transaction_id": 2, "before_snapshot": {"x": 4}}),
            ("UPDATE", "e", {"x": 9}, {"transaction_id": 2, "before_snapshot": {"x": 8}}),
        ]
    )
    found = al.from_arrow(log).as_of()
    assert found.select("x", "certain").rows() == [(9, False)]


def test_valid_from_never_runs_backwards_and_a_version_without_length_is_kept_but_not_seen():
    log = make_log(
        [
            ("INSERT", "e", {"x": 1}, {"changed_at": START + timedelta(seconds=9)}),
            ("UPDATE", "e", {"x": 2}, {"changed_at": START}),
            ("INSERT", "other", {"x": 0}, {"changed_at": START}),
        ]
    )
    opened = al.from_arrow(log)
    rows = opened.history("e")
    assert rows["valid_from"].to_list() == [START + timedelta(seconds=9)] * 2
    assert rows["valid_to"].to_list() == [START + timedelta(seconds=9), None]
    assert opened.entity("e").as_of(START + timedelta(seconds=8)).is_empty()
    assert opened.entity("e").as_of(START + timedelta(seconds=9))["x"].to_list() == [2]


def test_a_delete_ends_a_life_and_an_insert_begins_the_next():
    log = make_log([("INSERT", "e", {"x": 1}), ("DELETE", "e"), ("INSERT", "e", {"x": 2})])
    assert history(log) == [(1, 1, 1, "INSERT", 2, "observed"), (2, 2, 2, "INSERT", None, "observed")]


def test_truncate_ends_every_live_entity_of_its_type_and_a_later_insert_begins_a_life():
    log = make_log(
        [
            ("INSERT", "e", {"x": 1}),
            ("INSERT", "gone", {"x": 1}),
            ("DELETE", "gone"),
            ("TRUNCATE",),
            ("INSERT", "e", {"x": 2}),
            ("TRUNCATE",),
            ("TRUNCATE",),
        ]
    )
    assert history(log) == [(1, 1, 1, "INSERT", 4, "observed"), (2, 2, 2, "INSERT", 6, "observed")]
    removed = al.from_arrow(log).diffs().filter(kind="removed").select("id", "entity_id", "old").rows()
    assert removed == [(3, "gone", "1"), (4, "e", "1"), (6, "e", "2")]
    assert al.from_arrow(log).as_of().is_empty()


def test_entities_that_share_a_hash_or_an_id_stay_apart(monkeypatch: pytest.MonkeyPatch):
    steps = [("INSERT", "e", {"x": 1}), ("INSERT", "f", {"x": 2}), ("UPDATE", "e", {"x": 3}), ("TRUNCATE",)]
    steps += [("INSERT", "f", {"x": 4}), ("DELETE", "f")]
    types = {name: make_log(steps, entity_type=name) for name in ("s.one", "s.two")}
    log = pl.concat(types.values()).with_columns(id=pl.Series([*range(1, 12, 2), *range(2, 13, 2)]))
    expected = al.from_arrow(log)
    assert expected.of("s.one").history()["version"].to_list() == [1, 2, 1, 2]
    monkeypatch.setattr(order, "_hashes", lambda by_id: pl.repeat(7, len(by_id), dtype=pl.UInt64, eager=True))
    found = al.from_arrow(log)
    for name in types:
        assert_frame_equal(found.of(name).history(), expected.of(name).history())
    assert_frame_equal(found.diffs(), expected.diffs())


def test_an_entity_first_seen_by_an_update_was_there_before_the_log():
    log = make_log(
        [("INSERT", "other", {"x": 0}), ("UPDATE", "e", {"x": 2}, {"before_snapshot": {"x": 1}}), ("DELETE", "e")]
    )
    assert history(log) == [(1, 1, 1, None, 2, "unknown"), (2, 1, 2, "UPDATE", 3, "observed")]
    opened = al.from_arrow(log).entity("e")
    assert opened.as_of(START)["x"].to_list() == [1]
    assert opened.history()["valid_from"].to_list()[0] is None


def test_an_update_after_a_delete_has_a_state_of_unknown_origin_that_held_for_no_known_time():
    log = make_log(
        [("INSERT", "e", {"x": 1}), ("DELETE", "e"), ("UPDATE", "e", {"x": 3}, {"before_snapshot": {"x": 2}})]
    )
    assert [row[:3] for row in history(log)] == [(1, 1, 1), (2, 2, 2), (3, 2, 3)]
    assert al.from_arrow(log).as_of(START + timedelta(seconds=1)).is_empty()


def test_a_state_that_the_next_change_contradicts_is_not_certain():
    log = make_log([("INSERT", "e", {"x": 1}), ("UPDATE", "e", {"x": 3}, {"before_snapshot": {"x": 2}})])
    assert al.from_arrow(log).history()["certain"].to_list() == [False, True]


def test_another_rendering_of_the_same_state_contradicts_nothing():
    log = make_log(
        [("INSERT", "e", {"x": 1, "y": 2}), ("UPDATE", "e", {"x": 3}, {"before_snapshot": '{"y":2.0,"x":1}'})]
    )
    assert al.from_arrow(log).history()["certain"].all()


def test_rows_in_any_order_give_the_same_log():
    log = make_log([("INSERT", "e", {"x": 1}), ("UPDATE", "e", {"x": 2}), ("DELETE", "e"), ("INSERT", "f", {"x": 3})])
    assert al.from_arrow(log.reverse()).history().equals(al.from_arrow(log).history())


def test_a_change_that_is_told_twice_counts_once_and_is_set_apart():
    log = make_log([("INSERT", "e", {"x": 1}), ("UPDATE", "e", {"x": 2}), ("INSERT", "f", {"x": 1})])
    opened = al.from_arrow(pl.concat([log, log.tail(2)]))
    assert history(pl.concat([log, log])) == history(log)
    assert opened.changes()["id"].to_list() == [1, 2, 3]
    assert opened.malformed.select("kind", "id").rows() == [
        ("identical copy of another row", number) for number in (2, 3)
    ]


def test_different_changes_of_one_entity_with_one_id_are_not_certain():
    log = make_log([("INSERT", "e", {"x": 1}), ("UPDATE", "e", {"x": 2}), ("INSERT", "f", {"x": 1})])
    doubled = pl.concat([log, make_log([("INSERT", "e", {"x": 7})])])
    assert al.from_arrow(doubled).as_of().select("entity_id", "certain").rows() == [("e", True), ("f", True)]
    other = log.filter(id=2).with_columns(after_snapshot=pl.lit('{"x": 3}'))
    assert al.from_arrow(pl.concat([log, other])).as_of().select("entity_id", "certain").rows() == [
        ("e", False),
        ("f", True),
    ]

"""What the oracle says of small logs, against answers worked out by hand from the rules."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from auditlab.testing import Oracle, make_log
from auditlab.testing.logs import START

if TYPE_CHECKING:
    from collections.abc import Sequence


def of(steps: Sequence[tuple[object, ...]]) -> Oracle:
    return Oracle(make_log(steps).to_dicts())


def seconds(number: float) -> datetime:
    return START + timedelta(seconds=number)


def versions(oracle: Oracle) -> list[tuple[object, ...]]:
    """Version, life, from and to in seconds, the change, what ended it, x."""
    return [
        (
            each.version,
            each.life,
            None if each.valid_from is None else (each.valid_from - START).total_seconds(),
            None if each.valid_to is None else (each.valid_to - START).total_seconds(),
            each.id,
            each.ended_by,
            each.state["x"].decoded if "x" in each.state else None,
        )
        for each in oracle.history()
    ]


def test_a_deleted_entity_is_absent_and_an_inserted_one_begins_a_life():
    oracle = of([("INSERT", "a", {"x": 1}), ("UPDATE", "a", {"x": 2}), ("DELETE", "a"), ("INSERT", "a", {"x": 3})])
    assert versions(oracle) == [(1, 1, 0, 1, 1, 2, 1), (2, 1, 1, 2, 2, 3, 2), (3, 2, 3, None, 4, None, 3)]
    assert oracle.as_of(seconds(2)) == {}
    assert oracle.as_of(seconds(1)).keys() == oracle.as_of(id=2).keys() == {("t", "a")}
    assert oracle.as_of(transaction=3) == {}


def test_truncate_ends_every_live_entity_of_its_type_and_no_other():
    oracle = of(
        [
            ("INSERT", "a", {"x": 1}),
            ("INSERT", "b", {"x": 2}, {"entity_type": "other"}),
            ("TRUNCATE",),
            ("INSERT", "a", {"x": 3}),
        ]
    )
    assert versions(oracle) == [(1, 1, 1, None, 2, None, 2), (1, 1, 0, 2, 1, 3, 1), (2, 2, 3, None, 4, None, 3)]
    assert [(each.id, each.kind, each.version) for each in oracle.diffs() if each.entity_type == "t"] == [
        (1, "added", 1),
        (3, "removed", 1),
        (4, "added", 2),
    ]


def test_effective_time_never_runs_backwards_inside_an_entity():
    late = {"changed_at": seconds(-60)}
    oracle = of([("INSERT", "a", {"x": 1}), ("UPDATE", "a", {"x": 2}, late), ("UPDATE", "a", {"x": 3})])
    assert versions(oracle) == [(1, 1, 0, 0, 1, 2, 1), (2, 1, 0, 2, 2, 3, 2), (3, 1, 2, None, 3, None, 3)]
    assert oracle.as_of(seconds(0))["t", "a"]["x"].decoded == 2


def test_an_entity_first_seen_by_an_update_or_a_delete_was_there_before_the_log():
    oracle = of(
        [("UPDATE", "a", {"x": 2}, {"before_snapshot": {"x": 1}}), ("DELETE", "b", {"before_snapshot": {"x": 9}})]
    )
    assert versions(oracle) == [(1, 1, None, 0, None, 1, 1), (2, 1, 0, None, 1, None, 2), (1, 1, None, 1, None, 2, 9)]
    assert [each.origin for each in oracle.history()] == ["unknown", "observed", "unknown"]


def test_an_update_after_an_end_shows_that_an_insert_was_missed():
    oracle = of([("INSERT", "a", {"x": 1}), ("DELETE", "a"), ("UPDATE", "a", {"x": 3}, {"before_snapshot": {"x": 2}})])
    assert versions(oracle) == [(1, 1, 0, 1, 1, 2, 1), (2, 2, 2, 2, None, 3, 2), (3, 2, 2, None, 3, None, 3)]
    assert [(each.old, each.new, each.version) for each in oracle.diffs() if each.id == 3] == [("2", "3", 3)]


def update(old: int, new: int, transaction: int = 9) -> tuple[object, ...]:
    return ("UPDATE", "a", {"x": new}, {"before_snapshot": {"x": old}, "transaction_id": transaction})


def ids(oracle: Oracle) -> list[int | None]:
    return [each.id for each in oracle.history() if each.id is not None]


def test_changes_of_one_transaction_are_linked_where_the_links_are_plain():
    assert ids(of([("INSERT", "a", {"x": 0}), update(1, 2), update(0, 1)])) == [1, 3, 2]
    assert ids(of([update(1, 2), ("INSERT", "a", {"x": 1}, {"transaction_id": 9})])) == [2, 1]
    assert ids(of([("INSERT", "a", {"x": 0}), update(1, 2, 8), update(0, 1, 9)])) == [1, 2, 3]


def test_of_several_orders_that_link_from_a_known_state_the_one_nearest_to_the_ids_is_taken():
    assert ids(of([("INSERT", "a", {"x": 0}), update(1, 0), update(0, 1), update(0, 0)])) == [1, 3, 2, 4]
    assert ids(of([("INSERT", "a", {"x": 0}), update(0, 0), update(1, 0), update(0, 1), update(0, 0)])) == [
        1,
        2,
        4,
        3,
        5,
    ]


def test_what_is_ambiguous_or_links_in_id_order_stays_in_id_order():
    assert ids(of([update(0, 1), update(1, 0)])) == [1, 2]
    assert ids(of([update(1, 2), update(0, 1), update(2, 0)])) == [1, 2, 3]
    assert ids(of([("INSERT", "a", {"x": 0}), update(5, 6), update(7, 8)])) == [1, 2, 3]
    assert ids(of([("INSERT", "a", {"x": 1}), update(0, 1), update(1, 0)])) == [1, 3, 2]


def test_a_truncate_parts_the_changes_of_its_transaction():
    nine = {"transaction_id": 9}
    steps = [
        ("INSERT", "a", {"x": 1}, nine),
        ("TRUNCATE", nine),
        update(5, 6),
        ("INSERT", "a", {"x": 5}, nine),
    ]
    assert ids(of(steps)) == [1, 4, 3]


def test_a_snapshot_sets_the_state_and_is_nobodys_change():
    oracle = of([("SNAPSHOT", "a", {"x": 1}), ("UPDATE", "a", {"x": 2}), ("SNAPSHOT", "a", {"x": 2})])
    assert versions(oracle) == [(1, 1, 0, 1, 1, 2, 1), (2, 1, 1, 2, 2, 3, 2), (3, 1, 2, None, 3, None, 2)]
    assert [each.id for each in oracle.diffs()] == [2]


def test_an_unavailable_value_is_carried_forward_and_is_no_edit():
    kept = {"x": "__debezium_unavailable_value", "y": 2}
    oracle = of([("INSERT", "a", {"x": "long", "y": 1}), ("UPDATE", "a", kept), ("UPDATE", "a", kept | {"y": 3})])
    assert [each.state["x"].decoded for each in oracle.history()] == ["long"] * 3
    assert [(each.id, each.field) for each in oracle.diffs()] == [(1, "x"), (1, "y"), (2, "y"), (3, "y")]


def test_null_is_not_missing_and_the_stored_changed_fields_count_for_nothing():
    oracle = of(
        [
            ("INSERT", "a", {"x": 1, "y": 1}),
            ("UPDATE", "a", {"x": None, "y": 1.0}, {"changed_fields": {"y": 1}}),
            ("UPDATE", "a", {"y": 1}),
        ]
    )
    assert [(each.id, each.field, each.kind, each.new) for each in oracle.diffs()][2:] == [
        (2, "x", "modified", "null"),
        (3, "x", "removed", None),
    ]


def test_compare_is_between_states_and_an_absent_one_has_no_fields():
    oracle = of([("INSERT", "a", {"x": 1}), ("INSERT", "b", {"x": 1}), ("DELETE", "a"), ("UPDATE", "b", {"x": 1})])
    net = [(each.entity_id, each.kind, each.old, each.new) for each in oracle.compare(seconds(0), seconds(3))]
    assert net == [("a", "removed", "1", None), ("b", "added", None, "1")]
    assert [each.id for each in oracle.steps(seconds(0), seconds(2))] == [2, 3]


def test_the_clock_is_the_commit_where_every_change_has_one():
    committed = {"committed_at": datetime(2024, 2, 1, tzinfo=UTC)}
    assert of([("INSERT", "a", {"x": 1}, committed)]).history()[0].valid_from == committed["committed_at"]
    mixed = of([("INSERT", "a", {"x": 1}, committed), ("INSERT", "b", {"x": 1})])
    assert mixed.history()[0].valid_from == START

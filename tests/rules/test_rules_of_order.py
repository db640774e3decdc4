"""The rules of order and time, each under its number."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

import auditlab as al
from auditlab.connection import connect
from auditlab.errors import BadTime, UnsafeOrder
from auditlab.testing.logs import START

if TYPE_CHECKING:
    from collections.abc import Callable

    LogOf = Callable[..., al.ChangeLog[Any]]

INNER = """
CREATE FUNCTION orders.touch() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN UPDATE orders.orders SET total = 1 WHERE id = NEW.id AND total = 0; RETURN NULL; END $$;
CREATE TRIGGER a_touch AFTER UPDATE OF status ON orders.orders FOR EACH ROW EXECUTE FUNCTION orders.touch()
"""
ONE = "00000000-0000-4000-8000-000000000001"


def second(number: float) -> datetime:
    return START + timedelta(seconds=number)


def test_rule_01_inside_a_transaction_images_that_link_repair_the_order(published: str, engine: str):
    with connect(published, autocommit=True) as shop:
        shop.execute(INNER)
        shop.execute(f"INSERT INTO orders.orders (id) VALUES ('{ONE}')")
        shop.execute(f"UPDATE orders.orders SET status = 'paid' WHERE id = '{ONE}'")
        (live,) = shop.rows("SELECT status, total::text AS total FROM orders.orders")
        by_id = shop.rows("SELECT after_snapshot ->> 'total' AS total FROM audit.entity_change_log ORDER BY id DESC")
    orders = al.read_postgres(published, progress=False).of("orders.orders").on(engine)
    assert (live["total"], by_id[0]["total"]) == ("1.00", "0.00"), "the last by id is not what the table has"
    (row,) = orders.as_of().to_dicts()
    assert (row["status"], str(row["total"]), row["certain"]) == (live["status"], live["total"], True)
    assert orders.history()["status"].to_list() == ["draft", "paid", "paid"]


def test_rule_01_an_ambiguous_order_is_said(log_of: LogOf):
    same = {"transaction_id": 2, "changed_at": second(1)}
    circle = [
        ("INSERT", "a", {"x": 1}),
        ("UPDATE", "a", {"x": 1}, {**same, "before_snapshot": {"x": 2}}),
        ("UPDATE", "a", {"x": 3}, {**same, "before_snapshot": {"x": 1}}),
        ("UPDATE", "a", {"x": 1}, {**same, "before_snapshot": {"x": 3}}),
        ("UPDATE", "a", {"x": 2}, {**same, "before_snapshot": {"x": 1}}),
    ]
    log = log_of(circle)
    (row,) = log.as_of().to_dicts()
    assert (row["x"], row["certain"]) == (1, False)
    assert "order ambiguous" in log.evidence().findings["kind"].to_list()


def test_rule_02_a_gap_in_the_ids_is_a_hint_and_never_proof(log_of: LogOf):
    later = [("UPDATE", "a", {"x": number}, {"id": number}) for number in (9, 10)]
    log = log_of([("INSERT", "a", {"x": 1}), *later])
    (finding,) = log.evidence().findings.to_dicts()
    assert (finding["kind"], finding["severity"], finding["count"]) == ("id gaps", "hint", 1)
    assert log.as_of()["certain"].to_list() == [True]


def test_rule_02_ids_that_are_handed_out_in_batches_are_refused(published: str):
    with connect(published, autocommit=True) as shop:
        shop.execute("ALTER SEQUENCE audit.entity_change_log_id_seq CACHE 20")
    with pytest.raises(UnsafeOrder, match="CACHE 20"):
        al.read_postgres(published, progress=False)


def test_rule_03_effective_time_is_the_running_maximum_and_inversions_are_evidence(log_of: LogOf):
    steps = [
        ("INSERT", "a", {"x": 1}, {"changed_at": second(5)}),
        ("UPDATE", "a", {"x": 2}, {"changed_at": second(1)}),
        ("UPDATE", "a", {"x": 3}, {"changed_at": second(9)}),
    ]
    log = log_of(steps, coverage=(second(0), second(9)))
    assert log.history().select("x", "valid_from").rows() == [(1, second(5)), (2, second(5)), (3, second(9))]
    assert log.as_of(second(5))["x"].to_list() == [2]
    assert log.as_of(second(2)).is_empty()
    assert log.evidence().rows("time inversions")["id"].to_list() == [2]


def test_rule_03_a_log_has_one_clock_the_commit_s_where_every_change_has_it(log_of: LogOf):
    late = [{"committed_at": second(100 + n)} for n in range(2)]
    both = [("INSERT", "a", {"x": 1}, late[0]), ("UPDATE", "a", {"x": 2}, late[1])]
    assert log_of(both).facts.clock == "committed_at"
    assert log_of(both).history()["valid_from"].to_list() == [second(100), second(101)]
    one = [("INSERT", "a", {"x": 1}, late[0]), ("UPDATE", "a", {"x": 2})]
    assert log_of(one).facts.clock == "changed_at"
    assert log_of(one).history()["valid_from"].to_list() == [second(0), second(1)]


def test_rule_04_as_of_is_inclusive_and_ranges_are_closed_open(log_of: LogOf):
    log = log_of([("INSERT", "a", {"x": 1}), ("UPDATE", "a", {"x": 2}), ("DELETE", "a")])
    just_before = second(1) - timedelta(microseconds=1)
    assert log.as_of(just_before)["x"].to_list() == [1]
    assert log.as_of(second(1))["x"].to_list() == [2]
    assert log.as_of(second(2)).is_empty()
    assert log.between(second(0), second(1)).changes()["id"].to_list() == [1]
    assert log.between(second(1), second(2)).changes()["id"].to_list() == [2]
    assert log.history().select("valid_from", "valid_to").rows() == [(second(0), second(1)), (second(1), second(2))]


def test_rule_04_a_version_without_length_is_in_the_history_and_in_no_state(log_of: LogOf):
    same = {"changed_at": second(0)}
    log = log_of([("INSERT", "a", {"x": 1}), ("UPDATE", "a", {"x": 2}, same), ("UPDATE", "a", {"x": 3})])
    assert log.history()["x"].to_list() == [1, 2, 3]
    assert log.as_of(second(0))["x"].to_list() == [2]


def test_rule_05_as_of_a_change_a_transaction_and_a_time(log_of: LogOf):
    steps = [
        ("INSERT", "a", {"x": 1}, {"transaction_id": 7}),
        ("INSERT", "b", {"x": 5}, {"transaction_id": 8}),
        ("UPDATE", "a", {"x": 2}, {"transaction_id": 7}),
        ("UPDATE", "b", {"x": 6}, {"transaction_id": 8}),
    ]
    log = log_of(steps)
    assert log.as_of(id=2)["x"].to_list() == [1, 5]
    assert log.as_of(second(2))["x"].to_list() == [2, 5]
    after = log.as_of(transaction=7)
    assert after["x"].to_list() == [2, 5]
    assert after["certain"].to_list() == [True, False], "what a transaction touched that goes on may differ"


def test_rule_06_naive_times_are_read_in_the_log_s_zone(log_of: LogOf):
    steps = [("INSERT", "a", {"x": 1}), ("UPDATE", "a", {"x": 2}, {"changed_at": START + timedelta(hours=3)})]
    berlin = log_of(steps, zone="Europe/Berlin")
    assert berlin.as_of("2024-01-01T03:59")["x"].to_list() == [1]
    assert berlin.as_of("2024-01-01T04:00")["x"].to_list() == [2]
    assert berlin.as_of("2024-01-01T03:00Z")["x"].to_list() == [2]
    assert log_of(steps).as_of("2024-01-01T03:00")["x"].to_list() == [2]
    assert "Europe/Berlin" in repr(berlin)
    with pytest.raises(BadTime, match="exists twice"):
        berlin.as_of("2024-10-27T02:30")
    assert berlin.history()["valid_from"].dtype == pl.Datetime("us", "UTC")
    assert berlin.history()["valid_from"][0] == datetime(2024, 1, 1, tzinfo=UTC)


def test_rule_05_a_mark_is_what_a_reader_saw_and_a_time_says_where_it_may_not_be(published: str, engine: str):
    with connect(published, autocommit=True) as shop, connect(published) as late:
        shop.execute(f"INSERT INTO orders.orders (id, status) VALUES ('{ONE}', 'draft')")
        late.execute(f"UPDATE orders.orders SET status = 'late' WHERE id = '{ONE}'")
        seen = shop.rows("SELECT status FROM orders.orders")
        (snapshot,) = shop.rows("SELECT txid_current_snapshot()::text AS text")
        mark = al.mark(published)
        late.commit()
    orders = al.read_postgres(published, progress=False).of("orders.orders").on(engine)
    assert orders.as_of(mark=mark)["status"].to_list() == [row["status"] for row in seen] == ["draft"]
    assert orders.as_of(snapshot=snapshot["text"])["status"].to_list() == ["draft"]
    begun = al.read_postgres(published, clock="changed_at", progress=False).of("orders.orders").on(engine)
    at = begun.as_of(mark.at)
    assert (at["status"].to_list(), at["certain"].to_list()) == (["late"], [False]), "wrong by its time, and flagged"

"""The rules of entities, each under its number."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

import auditlab as al
from auditlab.capture.track import track
from auditlab.connection import connect
from auditlab.errors import IncompleteLog, IncompletePopulation, NoData, UnlinkedKeys
from auditlab.testing import json_text
from auditlab.testing.logs import START

if TYPE_CHECKING:
    from collections.abc import Callable

    LogOf = Callable[..., al.ChangeLog[Any]]

KEYS = """
CREATE SCHEMA k;
CREATE TABLE k.numbers (id int PRIMARY KEY, v text);
CREATE TABLE k.names (name text PRIMARY KEY, v text);
CREATE TABLE k.pairs (b int, a text, v text, PRIMARY KEY (a, b));
"""
ONE = "00000000-0000-4000-8000-000000000001"
TWO = "00000000-0000-4000-8000-000000000002"


def second(number: float) -> datetime:
    return START + timedelta(seconds=number)


def test_rule_13_any_key_works_and_no_column_need_be_called_id(captured: str, engine: str):
    with connect(captured, autocommit=True) as db:
        db.execute(KEYS)
        track(captured, ["k.numbers", "k.names", "k.pairs"])
        db.execute("INSERT INTO k.numbers VALUES (42, 'n'); INSERT INTO k.names VALUES ('ann', 't')")
        db.execute("INSERT INTO k.pairs VALUES (1, 'x', 'p'), (2, 'x', 'q')")
        db.execute("UPDATE k.pairs SET v = 'r' WHERE (a, b) = ('x', 2)")
    log = al.read_postgres(captured, progress=False).on(engine)
    assert log.of("k.numbers").entity(42).as_of()["v"].to_list() == ["n"]
    assert log.of("k.names").entity("ann").as_of()["v"].to_list() == ["t"]
    assert log.of("k.pairs").entity({"b": 2, "a": "x"}).history()["v"].to_list() == ["q", "r"]
    assert log.of("k.pairs").as_of()["v"].sort().to_list() == ["p", "r"]


@pytest.mark.parametrize("key", ["7", "a b", "é 'q\"", ""])
def test_rule_13_an_entity_id_is_any_text(log_of: LogOf, key: str):
    log = log_of([("INSERT", key, {"x": 1}), ("UPDATE", key, {"x": 2}), ("INSERT", "other", {"x": 3})])
    assert log.entity(key).history()["x"].to_list() == [1, 2]


def test_rule_15_truncate_deletes_every_live_entity_of_its_type(log_of: LogOf):
    steps = [
        ("INSERT", "a", {"x": 1}),
        ("INSERT", "b", {"x": 2}),
        ("INSERT", "c", {"x": 3}, {"entity_type": "other"}),
        ("TRUNCATE",),
        ("INSERT", "a", {"x": 4}),
    ]
    log = log_of(steps)
    assert log.as_of(second(3))["entity_id"].to_list() == ["c"]
    table = log.of("t")
    assert table.history().select("entity_id", "life", "ended_by").rows() == [("a", 1, 4), ("a", 2, None), ("b", 1, 4)]
    assert table.where(operation="TRUNCATE").diffs().select("entity_id", "kind").rows() == [
        ("a", "removed"),
        ("b", "removed"),
    ]


def test_rule_17_what_was_there_before_the_log_has_its_before_image_as_its_earliest_state(log_of: LogOf):
    steps = [("UPDATE", "a", {"x": 2}, {"before_snapshot": {"x": 1}}), ("DELETE", "b", {"before_snapshot": {"x": 9}})]
    log = log_of(steps)
    assert log.history().select("entity_id", "valid_from", "valid_to", "x", "origin").rows() == [
        ("a", None, second(0), 1, "unknown"),
        ("a", second(0), None, 2, "observed"),
        ("b", None, second(1), 9, "unknown"),
    ]
    assert log.entity("b").as_of(second(0))["x"].to_list() == [9]
    assert log.entity("b").as_of(second(1)).is_empty()
    assert log.evidence().rows("unknown origin")["entity_id"].to_list() == ["a", "b"]


QUESTIONS: dict[str, Callable[[al.ChangeLog[Any], datetime], object]] = {
    "as_of": lambda log, at: log.as_of(at),
    "compare from": lambda log, at: log.compare(at, second(1)),
    "compare to": lambda log, at: log.compare(second(0), at),
    "blame": lambda log, at: log.blame(at=at),
    "replay": lambda log, at: log.replay(at),
    "aggregate": lambda log, at: log.aggregate("t", items=("t", "parent"), at=at),
    "pit_join": lambda log, at: log.pit_join(log.changes().select("entity_id").with_columns(at=at)),
}
STATE_VERBS: dict[str, Callable[[al.ChangeLog[Any]], object]] = {
    **{name: lambda log, ask=ask: ask(log, second(0)) for name, ask in QUESTIONS.items()},  # type: ignore[misc]
    "as_of now": lambda log: log.as_of(),
    "as_of a change": lambda log: log.as_of(id=1),
    "history": lambda log: log.history(),
}


@pytest.mark.parametrize("outside", [-1, 99], ids=["before", "after"])
@pytest.mark.parametrize("question", QUESTIONS)
def test_rule_19_outside_its_coverage_a_log_does_not_answer(log_of: LogOf, question: str, outside: int):
    log = log_of([("INSERT", "a", {"x": 1, "parent": None}), ("UPDATE", "a", {"x": 2, "parent": None})])
    with pytest.raises(NoData, match="covers|log has"):
        QUESTIONS[question](log, second(outside))


@pytest.mark.parametrize("outside", [-1, 99], ids=["before", "after"])
def test_rule_19_why_not_says_that_the_log_cannot_tell(log_of: LogOf, outside: int):
    log = log_of([("INSERT", "a", {"x": 1}), ("UPDATE", "a", {"x": 2})])
    assert "log covers" in log.why_not("a", second(outside))


@pytest.mark.parametrize("verb", STATE_VERBS)
def test_rule_19_picked_changes_tell_no_state(log_of: LogOf, verb: str):
    log = log_of([("INSERT", "a", {"x": 1, "parent": None}), ("UPDATE", "a", {"x": 2, "parent": None})])
    picked = log.where(operation="UPDATE")
    with pytest.raises(IncompleteLog, match="needs whole histories"):
        STATE_VERBS[verb](picked)


@pytest.mark.parametrize("verb", STATE_VERBS)
def test_rule_19_a_load_without_its_baseline_tells_no_state(published: str, engine: str, verb: str):
    with connect(published, autocommit=True) as shop:
        shop.execute(f"INSERT INTO orders.orders (id) VALUES ('{ONE}')")
        (row,) = shop.rows("SELECT clock_timestamp() AS now")
        shop.execute("UPDATE orders.orders SET status = 'paid'")
    log = al.read_postgres(published, start=row["now"], baseline=False, progress=False).on(engine)
    with pytest.raises(IncompleteLog, match="needs whole histories"):
        STATE_VERBS[verb](log)


def test_rule_19_rows_that_no_change_touched_are_told_of(published: str, engine: str):
    with connect(published, autocommit=True) as shop:
        shop.execute("ALTER TABLE orders.orders DISABLE TRIGGER USER")
        shop.execute(f"INSERT INTO orders.orders (id) VALUES ('{ONE}'), ('{TWO}')")
        shop.execute("ALTER TABLE orders.orders ENABLE TRIGGER USER")
        shop.execute(f"UPDATE orders.orders SET status = 'paid' WHERE id = '{ONE}'")
    log = al.read_postgres(published, progress=False).on(engine)
    with pytest.warns(IncompletePopulation, match="before the log began"):
        assert log.of("orders.orders").as_of()["entity_id"].to_list() == [ONE]


def test_rule_20_a_snapshot_sets_state_and_is_nobody_s_change(log_of: LogOf):
    log = log_of([("SNAPSHOT", "a", {"x": 1}), ("SNAPSHOT", "b", {"x": 2}), ("UPDATE", "a", {"x": 3})])
    assert log.as_of()["x"].to_list() == [3, 2]
    assert log.diffs()["id"].to_list() == [3]
    summary = log.summary()
    assert summary.totals["changes"].to_list() == [1]
    assert summary.by_operation["operation"].to_list() == ["UPDATE"]
    assert repr(summary).endswith("\nnot counted: 2 SNAPSHOT rows, states that were read, not changes")
    assert summary._repr_html_().endswith("states that were read, not changes</p>")
    assert "SNAPSHOT" not in repr(log.where(operation="UPDATE").summary())
    assert log.blame("b").select("field", "set_by", "id").rows() == [("x", None, None)]


def test_rule_14_a_changed_primary_key_ends_one_entity_and_begins_another_linked(published: str, engine: str):
    with connect(published, autocommit=True) as shop:
        shop.execute(f"INSERT INTO orders.orders (id, status) VALUES ('{ONE}', 'draft')")
        shop.execute(f"UPDATE orders.orders SET status = 'paid' WHERE id = '{ONE}'")
        shop.execute(f"UPDATE orders.orders SET id = '{TWO}' WHERE id = '{ONE}'")
        named = shop.rows("SELECT entity_id::text AS id FROM audit.entity_change_log ORDER BY id DESC LIMIT 1")
    assert named == [{"id": TWO}], "the log names only the new one"
    orders = al.read_postgres(published, progress=False).of("orders.orders").on(engine)
    assert orders.as_of()["entity_id"].to_list() == [TWO]
    assert orders.key_changes().select("old_entity_id", "new_entity_id", "id").rows() == [(ONE, TWO, 3)]
    assert orders.history(ONE)["ended_by"].to_list() == [2, 3]
    assert orders.blame(TWO).filter(field="status")["id"].to_list() == [2], "it was set under the old key"


@pytest.mark.parametrize("written", ['"a/2"', '"a\\/2"', '"\\u0061/2"'])
def test_rule_14_a_key_is_known_however_the_image_writes_it(log_of: LogOf, written: str):
    images = {"before_snapshot": '{"id": "a/1"}', "after_snapshot": f'{{"id": {written}}}'}
    log = log_of([("INSERT", "a/1", {"id": "a/1"}), ("UPDATE", "a/2", {}, images)])
    assert log.key_changes().select("old_entity_id", "new_entity_id", "id").rows() == [("a/1", "a/2", 2)]


def hidden(**before: object) -> list[tuple[Any, ...]]:
    """As supa_audit and others write it: the id is made of the key, and in no image."""
    return [
        ("INSERT", "aa11", {"id": 1, "status": "draft"}),
        ("UPDATE", "aa11", {"id": 1, "status": "paid"}),
        ("INSERT", "cc33", {"id": 3, "status": "paid"}),
        ("UPDATE", "bb22", {"id": 2, "status": "paid"}, {"before_snapshot": json_text(before)}),
    ]


def test_rule_14_a_row_that_comes_under_an_id_that_no_image_has_may_have_left_another_and_a_warning_says_so(
    log_of: LogOf,
):
    log = log_of(hidden(id=1, status="paid"))
    with pytest.warns(UnlinkedKeys, match="first from aa11 to bb22"):
        log.as_of()
    found = log.evidence().findings.select("kind", "severity", "count")
    assert found.rows()[0] == ("half-logged key change", "warning", 1)


@pytest.mark.parametrize(
    "steps",
    [
        hidden(id=7, status="paid"),  # no row here was left so
        [(*step[:2], {"status": step[2]["status"]}, *step[3:]) for step in hidden(status="paid")],  # two were
        [
            ("INSERT", "a", {"status": "draft"}),
            ("UPDATE", "a", {"status": "paid"}),
            ("UPDATE", "b", {"status": "draft"}, {"before_snapshot": {"status": "paid"}}),  # what changed is no key
        ],
    ],
)
@pytest.mark.filterwarnings("ignore::auditlab.errors.IncompletePopulation")
def test_rule_14_of_a_row_that_no_other_or_more_than_one_was_left_as_nothing_is_said(
    log_of: LogOf, steps: list[tuple[Any, ...]]
):
    log = log_of(steps)
    assert sorted(log.as_of()["entity_id"]) == sorted({step[1] for step in steps})
    assert "half-logged key change" not in log.evidence().findings["kind"].to_list()


PARTITIONED = """
CREATE TABLE orders.parts (id uuid, region text, note text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE orders.parts_eu PARTITION OF orders.parts FOR VALUES IN ('eu');
CREATE TABLE orders.parts_us PARTITION OF orders.parts FOR VALUES IN ('us');
CREATE TRIGGER log_parts AFTER INSERT OR UPDATE OR DELETE ON orders.parts
    FOR EACH ROW EXECUTE FUNCTION audit.log_entity_change()
"""


def test_rule_16_leaves_are_their_parent_and_a_move_between_them_is_one_update(published: str, engine: str):
    with connect(published, autocommit=True) as shop:
        shop.execute(PARTITIONED)
        shop.execute(f"INSERT INTO orders.parts VALUES ('{ONE}', 'eu', 'n')")
        shop.execute("UPDATE orders.parts SET region = 'us'")
        logged = shop.rows("SELECT entity_type, operation FROM audit.entity_change_log ORDER BY id")
    assert [tuple(row.values()) for row in logged] == [
        ("orders.parts_eu", "INSERT"),
        ("orders.parts_eu", "DELETE"),
        ("orders.parts_us", "INSERT"),
    ]
    log = al.read_postgres(published, progress=False).on(engine)
    assert log.entity_types == ("orders.parts",)
    assert log.history().select("life", "region", "operation").rows() == [(1, "eu", "INSERT"), (1, "us", "UPDATE")]
    moved = log.diffs().filter(kind="modified")
    assert moved.select("field", "old", "new").rows() == [("region", "eu", "us")]

"""What a log tells: states, aggregates, records, fields, its repr; and names and values that collide."""

from __future__ import annotations

import inspect
import re
from datetime import timedelta
from decimal import Decimal

import polars as pl
import pytest
from small_shop import rows

import auditlab as al
from auditlab.errors import (
    BadOption,
    MalformedChange,
    NoData,
    UnknownField,
)
from auditlab.recorded import Recorded
from auditlab.schema import Coverage, LogFacts
from auditlab.selection import Selected
from auditlab.testing import make_log
from auditlab.testing.logs import START


@pytest.fixture(params=["polars", "duckdb"])
def log(request: pytest.FixtureRequest) -> al.ChangeLog[pl.DataFrame]:
    return al.from_arrow(rows(), source="a test").on(request.param)


def test_as_of_a_change_and_of_a_transaction(log):
    orders = log.of("orders")
    assert orders.as_of(id=2)["total"].to_list() == [Decimal("1.10")]
    assert orders.as_of(id=3)["total"].to_list() == [Decimal("2.50")]
    assert orders.as_of(transaction=3)["total"].to_list() == [Decimal("2.50")]
    with pytest.raises(BadOption, match="one of at, id, transaction, mark and snapshot"):
        orders.as_of(START, id=1)


def test_entities_of_a_transaction_that_goes_on_are_flagged(log):
    assert log.of("items").as_of(transaction=5).select("entity_id", "certain").rows() == [("i1", False), ("i2", True)]


def test_an_aggregate_has_the_children_that_were_its_own_then(log):
    items = ("items", "order_id")

    def children(at):
        found = log.aggregate("orders", items=items, at=START + timedelta(seconds=at))
        return {row["entity_id"]: [item["entity_id"] for item in row["items"]] for row in found.to_dicts()}

    assert children(1) == {"o1": ["i1"]}
    assert children(4) == {"o1": ["i1", "i2"], "o2": []}
    assert children(5) == {"o1": ["i1"], "o2": ["i2"]}
    assert children(6) == {"o1": [], "o2": ["i2"]}
    one = log.aggregate("orders", items={"lines": items}, entity="o2")
    assert (one["entity_id"].to_list(), [item["id"] for item in one["lines"][0]]) == (["o2"], ["i2"])
    with pytest.raises(UnknownField, match="items never had a field 'order'. It has 'id', 'order_id'"):
        log.aggregate("orders", items=("items", "order"))


def test_an_aggregate_finds_children_by_the_value_of_the_key_however_it_is_written():
    parent, child = {"entity_type": "p"}, {"entity_type": "c"}
    keys = [Decimal("1.5"), Decimal(2), Decimal("1.10"), Decimal(100)]
    steps = [("INSERT", str(key), {"id": key}, parent) for key in keys]
    steps += [("INSERT", f"c{key}", {"p": key}, child) for key in (Decimal(2), Decimal("1.1"), Decimal(100))]
    log = al.from_arrow(make_log(steps))
    for engine in ("polars", "duckdb"):
        found = log.on(engine).aggregate("p", items=("c", "p"))
        assert dict(found.select("id", pl.col("c").list.len()).iter_rows()) == dict(
            zip(keys, [0, 1, 1, 1], strict=True)
        )


def test_a_timeline_has_a_truncate_that_ended_nothing_the_log_knows_of():
    steps = [("TRUNCATE", {"changed_by": "eve"}), ("INSERT", "a", {"x": 1}), ("TRUNCATE",)]
    log = al.from_arrow(make_log(steps))
    for engine in ("polars", "duckdb"):
        found = log.on(engine).timeline().select("id", "operation", "entity_id", "field")
        assert found.rows() == [(1, "TRUNCATE", None, None), (2, "INSERT", "a", "x"), (3, "TRUNCATE", "a", "x")]
        assert log.on(engine).by("eve").timeline()["id"].to_list() == [1]
    assert log.entity("a").timeline()["id"].to_list() == [2, 3]


def test_compare_knows_absence_as_a_state_and_has_steps(log):
    orders = log.of("orders")
    net = orders.compare(START, START + timedelta(seconds=6))
    assert net.select("entity_id", "field", "kind", "old", "new").rows() == [
        ("o1", "total", "modified", "1.10", "2.50"),
        ("o2", "id", "added", None, "o2"),
        ("o2", "total", "added", None, None),
    ]
    assert orders.compare(START, START + timedelta(seconds=6), steps=True)["id"].to_list() == [3, 4, 4]
    with pytest.raises(BadOption, match="from the earlier to the later"):
        orders.compare(START + timedelta(seconds=1), START)


def test_replay_is_another_way_to_the_same_state(log):
    for at in [*(START + timedelta(seconds=second) for second in range(7)), None]:
        for name in log.entity_types:
            one, other = log.of(name).as_of(at).drop("certain"), log.of(name).replay(at)
            assert one.equals(other)
    steps = log.of("items").replay(steps=True)
    assert steps.select("id", "operation", "live", "order_id").rows() == [
        (2, "INSERT", True, "o1"),
        (5, "INSERT", True, "o1"),
        (6, "UPDATE", True, "o2"),
        (7, "DELETE", False, None),
    ]


def test_records_have_exact_documents(log):
    first = next(iter(log))
    assert isinstance(first, al.EntityChange)
    assert first.after_snapshot == {"id": "o1", "total": Decimal("1.10")}
    assert [change.id for change in log] == [1, 2, 3, 4, 5, 6, 7]


def test_records_hold_what_the_verbs_hold_or_say_which_change_does_not():
    digits = "9" * 5000
    log = al.from_arrow(make_log([("INSERT", "a", f'{{"n": {digits}, "t": "a\tb"}}')]))
    assert next(iter(log)).after_snapshot == {"n": Decimal(digits), "t": "a\tb"}
    for text in ('{"x": 1,}', '{"x": 1e99999999999999999999}'):
        with pytest.raises(MalformedChange, match="change 1 holds a document that cannot be decoded"):
            list(al.from_arrow(make_log([("INSERT", "a", text)])))


def test_fields_tell_their_types(log):
    assert log.of("orders").fields().rows() == [
        ("orders", "id", "String", "text", ""),
        ("orders", "total", "Decimal(precision=38, scale=2)", "decimal", ""),
    ]


def test_the_repr_tells_types_coverage_clock_and_source(log):
    shown = repr(log.by("ann"))
    for words in ("orders (1 change, 1 entity)", "2024-01-01 00:00:00 to", "changed_at", "a test", "by ann"):
        assert words in shown
    shown = al.from_arrow(rows(), source="<b>")._repr_html_()
    assert "&lt;" in shown
    assert shown.count("<td") == shown.count('<td style="text-align: left">')


def test_a_log_is_an_arrow_stream_and_comes_back_from_it(log):
    again = al.from_arrow(log)
    assert again.changes().equals(log.changes())


def test_every_verb_shows_its_sql(log):
    assert "valid_from" in log.sql("as_of")
    assert log.sql("summary").count("SELECT") == 5
    with pytest.raises(BadOption, match="no SQL behind 'explore'"):
        log.sql("explore")


def test_fields_that_collide_keep_their_names_where_they_can_and_lose_nothing():
    hostile = {"id": 1, "entity_id": "x", "certain": "y", "Name": 1, "name": 2, "": 3, "f0": 4, "field.id": 5, "a.b": 6}
    log = al.from_arrow(make_log([("INSERT", "e", hostile)]))
    for engine in ("polars", "duckdb"):
        state = log.on(engine).as_of().to_dicts()[0]
        assert state == {
            "entity_id": "e",
            "certain": True,
            "id": 1,
            "field.entity_id": "x",
            "field.certain": "y",
            "Name": 1,
            "field.name": 2,
            "": 3,
            "f0": 4,
            "field.id": 5,
            "a.b": 6,
        }
        assert set(hostile) <= {name.removeprefix("field.") for name in log.on(engine).history().columns} | {"field.id"}
        assert set(log.on(engine).diffs()["field"]) == set(hostile)


def test_a_log_without_changes_answers_with_nothing_or_says_so():
    log = al.from_arrow(make_log([]))
    assert log.as_of().is_empty()
    assert log.diffs().is_empty()
    assert log.summary().totals["changes"].to_list() == [0]
    assert "no changes" in repr(log)
    with pytest.raises(NoData, match="holds no change"):
        log.as_of("2024-01-01")


def test_a_snapshot_is_nobodys_change():
    log = al.from_arrow(make_log([("SNAPSHOT", "e", {"x": 1}), ("UPDATE", "e", {"x": 2})]))
    assert log.summary().totals["changes"].to_list() == [1]
    assert log.diffs()["id"].to_list() == [2]
    assert log.summary().recent["id"].to_list() == [2]
    assert log.as_of(START)["x"].to_list() == [1]


def test_summary_counts_changes_and_transactions_apart(log):
    found = log.summary(users=2, recent=3, period="month")
    assert found.totals.select("changes", "transactions", "entities", "users").row(0) == (7, 5, 4, 2)
    assert found.by_operation.rows() == [("INSERT", 4, 3), ("UPDATE", 2, 2), ("DELETE", 1, 1)]
    assert found.by_user.select("changed_by", "changes", "transactions").rows() == [(None, 4, 4), ("ann", 2, 1)]
    assert found.by_type.select("entity_type", "changes", "entities").rows() == [("items", 4, 2), ("orders", 3, 2)]
    assert found.by_period["changes"].to_list() == [7]
    assert found.recent["id"].to_list() == [7, 6, 5]
    assert "by user" in repr(found)
    with pytest.raises(BadOption, match="no period 'fortnight'"):
        log.summary(period="fortnight")


def test_a_user_cannot_hide_a_value_behind_the_placeholder_of_another_capture():
    rows = make_log([("INSERT", "a", {"x": "clean"}), ("UPDATE", "a", {"x": "__debezium_unavailable_value"})])
    coverage = Coverage(START, START + timedelta(days=1))
    facts = LogFacts(coverage=coverage, kinds={"t": {"x": "text"}})
    seen = al.ChangeLog(Selected(Recorded(rows, facts), ("t",)))
    assert seen.as_of()["x"].to_list() == ["__debezium_unavailable_value"]
    assert seen.diffs()["new"].to_list() == ["clean", "__debezium_unavailable_value"]
    assert al.from_arrow(rows).as_of()["x"].to_list() == ["clean"]


def test_a_changed_key_in_a_log_that_names_only_the_new_one_ends_the_old_one():
    def image(key: str) -> dict[str, object]:
        return {"id": key, "x": 1}

    steps = [("INSERT", "k1", image("k1")), ("INSERT", "k2", image("k2"))]
    sound = al.from_arrow(make_log([*steps, ("UPDATE", "k1", {"id": "k1", "x": 2})]))
    assert sound.as_of()["entity_id"].to_list() == ["k1", "k2"]
    assert sound.key_changes().is_empty()
    moved = al.from_arrow(make_log([*steps, ("UPDATE", "k9", image("k9"), {"before_snapshot": image("k1")})]))
    assert moved.as_of()["entity_id"].to_list() == ["k2", "k9"]
    assert moved.entity("k1").as_of().is_empty()
    assert moved.key_changes().select("old_entity_id", "new_entity_id", "id").rows() == [("k1", "k9", 3)]


def test_a_field_that_takes_the_value_of_the_id_is_no_changed_key():
    steps = [("INSERT", "1", {"id": 1, "parent": 5}), ("INSERT", "5", {"id": 5, "parent": None})]
    log = al.from_arrow(make_log([*steps, ("UPDATE", "1", {"id": 1, "parent": 1})]))
    assert log.as_of().height == 2
    other = make_log([("INSERT", "a1", {"x": "b"}), ("UPDATE", "a1", {"x": "a1"})])
    assert al.from_arrow(other).as_of()["x"].to_list() == ["a1"]


def test_an_image_that_is_no_json_is_refused_by_name_also_where_a_key_seems_changed():
    broken = make_log(
        [("INSERT", "k1", {"id": "k1"}), ("UPDATE", "k1", '{"id": "k1"', {"before_snapshot": '{"id": "k2"'})]
    )
    log = al.from_arrow(broken)
    assert "2 changes" in repr(log)
    with pytest.raises(MalformedChange, match="not JSON: 1"):
        log.as_of()


def test_help_says_of_every_question_what_it_takes_and_gives():
    named = re.compile(r"^    (\w+): ", re.MULTILINE)
    for name, method in inspect.getmembers(al.ChangeLog, inspect.isfunction):
        if name.startswith("_"):
            continue
        told = inspect.getdoc(method) or ""
        assert not told.startswith(":func:"), name
        args = told.partition("Args:\n")[2].partition("\n\n")[0]
        takes = set(inspect.signature(method).parameters) - {"self"}
        assert set(named.findall(args)) in (takes, set()), name
    for name in ("as_of", "history", "diffs", "compare", "blame", "pit_join", "aggregate"):
        told = inspect.getdoc(getattr(al.ChangeLog, name)) or ""
        assert "Returns:" in told, name
        assert "Raises:" in told, name
    assert "    entity: Its id, the value of" in (inspect.getdoc(al.ChangeLog.history) or "")
    assert "selected: " not in (inspect.getdoc(al.ChangeLog.blame) or "")

"""Selectors, coverage, fields and records: what a log tells, and what it refuses because it cannot tell."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import polars as pl
import pytest

import auditlab as al
from auditlab.errors import (
    BadOption,
    BadTime,
    IncompleteLog,
    IncompletePopulation,
    MalformedChange,
    NoData,
    UnknownChange,
    UnknownEntity,
    UnknownEntityType,
    UnknownField,
)
from auditlab.recorded import Recorded
from auditlab.schema import Coverage, LogFacts
from auditlab.selection import Selected
from auditlab.testing import make_log
from auditlab.testing.logs import START

STATE_VERBS = {
    "as_of": lambda log: log.as_of(),
    "history": lambda log: log.history(),
    "compare": lambda log: log.compare(START, START),
    "blame": lambda log: log.blame(),
    "pit_join": lambda log: log.pit_join(pl.DataFrame({"entity_id": ["o1"], "at": [START]})),
    "replay": lambda log: log.replay(),
    "aggregate": lambda log: log.aggregate("orders", items=("items", "order_id")),
}


def rows() -> pl.DataFrame:
    order, item = {"entity_type": "orders"}, {"entity_type": "items"}
    return make_log(
        [
            (
                "INSERT",
                "o1",
                {"id": "o1", "total": Decimal("1.10")},
                {**order, "changed_by": "ann", "transaction_id": 7},
            ),
            ("INSERT", "i1", {"id": "i1", "order_id": "o1"}, {**item, "changed_by": "ann", "transaction_id": 7}),
            (
                "UPDATE",
                "o1",
                {"id": "o1", "total": Decimal("2.50")},
                {**order, "changed_by": "bob", "correlation_id": "c"},
            ),
            ("INSERT", "o2", {"id": "o2", "total": None}, order),
            ("INSERT", "i2", {"id": "i2", "order_id": "o1"}, item),
            ("UPDATE", "i2", {"id": "i2", "order_id": "o2"}, item),
            ("DELETE", "i1", item),
        ]
    )


@pytest.fixture(params=["polars", "duckdb"])
def log(request: pytest.FixtureRequest) -> al.ChangeLog[pl.DataFrame]:
    return al.from_arrow(rows(), source="a test").on(request.param)


def test_of_and_entity_keep_whole_histories(log):
    assert log.of("orders").as_of()["id"].to_list() == ["o1", "o2"]
    assert log.entity("o1").history()["total"].to_list() == [Decimal("1.10"), Decimal("2.50")]
    assert log.history("o1").height == 2
    assert log.of("orders", "items").entity_types == ("items", "orders")


def test_an_unknown_type_or_entity_names_what_there_is(log):
    with pytest.raises(UnknownEntityType, match="no entity type 'order' in this log. It has 'items', 'orders'"):
        log.of("order")
    with pytest.raises(UnknownEntity, match="no entity 'o9' among 'orders'"):
        log.entity("o9", "orders")
    with pytest.raises(UnknownChange, match="no transaction 99 in this log. It has 3 to 7"):
        log.as_of(transaction=99)


def test_an_entity_id_of_several_types_must_say_which():
    both = make_log([("INSERT", "1", {"x": 1}, {"entity_type": name}) for name in ("a", "b")])
    with pytest.raises(BadOption, match="in several types: 'a', 'b'"):
        al.from_arrow(both).entity("1")
    assert al.from_arrow(both).entity(1, "b").entity_types == ("b",)


@pytest.mark.parametrize(
    ("pick", "ids"),
    [
        (lambda log: log.by("ann"), [1, 2]),
        (lambda log: log.by(None), [4, 5, 6, 7]),
        (lambda log: log.transaction(7), [1, 2, 7]),
        (lambda log: log.correlation("c"), [3]),
        (lambda log: log.between(START + timedelta(seconds=1), START + timedelta(seconds=3)), [2, 3]),
        (lambda log: log.where(pl.col("id") > 4, operation="UPDATE"), [6]),
        (lambda log: log.where(operation="DELETE").by("ann"), []),
    ],
)
def test_picks_select_changes_whose_diffs_were_computed_before(log, pick, ids):
    picked = pick(log)
    assert picked.changes()["id"].to_list() == ids
    assert len(picked) == len(ids)
    whole = log.diffs()
    assert picked.diffs().equals(whole.filter(pl.col("id").is_in(ids)))
    assert set(picked.timeline()["id"]) == set(ids)
    assert picked.summary().totals["changes"].to_list() == [len(ids)]


@pytest.mark.parametrize("verb", STATE_VERBS)
def test_state_verbs_refuse_a_pick_and_say_why(log, verb):
    with pytest.raises(IncompleteLog, match=rf"{verb}\(\) needs whole histories.*by ann"):
        STATE_VERBS[verb](log.by("ann"))


@pytest.mark.parametrize("verb", STATE_VERBS)
def test_state_verbs_refuse_a_log_of_changes_only_and_say_why(verb):
    facts = LogFacts(coverage=Coverage(START, START, complete=False, why="loaded with user='ann'"))
    log = al.ChangeLog(Selected(Recorded(rows(), facts), ("items", "orders")))
    with pytest.raises(IncompleteLog, match=r"changes only: loaded with user='ann'"):
        STATE_VERBS[verb](log)
    assert log.diffs().height > 0


@pytest.mark.parametrize("moment", [START - timedelta(microseconds=1), START + timedelta(days=1)])
def test_a_time_outside_the_coverage_is_an_error_and_not_a_plausible_answer(log, moment):
    for ask in (log.as_of, log.replay, lambda at: log.compare(START, at) if at > START else log.compare(at, START)):
        with pytest.raises(NoData, match="the log covers 2024-01-01 00:00:00"):
            ask(moment)
    with pytest.raises(NoData, match="changes 1 to 7"):
        log.as_of(id=8)


def test_a_baseline_makes_states_whole_and_counts_in_no_activity():
    early, late = rows().head(2), rows().tail(5)
    facts = LogFacts(coverage=Coverage(START + timedelta(seconds=2), START + timedelta(seconds=9)))
    log = al.ChangeLog(Selected(Recorded(late, facts, baseline=early), ("items", "orders")))
    assert log.of("orders").as_of(START + timedelta(seconds=2))["total"].to_list() == [Decimal("2.50")]
    assert log.entity("i1").as_of(START + timedelta(seconds=5)).height == 1
    assert log.changes()["id"].to_list() == [3, 4, 5, 6, 7]
    assert set(log.diffs()["id"]) == {3, 4, 5, 6, 7}
    assert log.summary().totals["changes"].to_list() == [5]
    with pytest.raises(NoData):
        log.as_of(START)


def test_changes_before_a_baseline_are_not_known_whole_and_the_baseline_is_no_missing_population():
    rows = make_log(
        [("INSERT", "a", {"x": 1}), ("INSERT", "b", {"x": 1}), *(("UPDATE", "b", {"x": n}) for n in (2, 3, 4))]
    )
    coverage = Coverage(START + timedelta(seconds=3), START + timedelta(seconds=9))
    facts = LogFacts(coverage=coverage, filters=("changes from then on",))
    baseline = rows.filter(pl.col("id").is_in([1, 3]))
    log = al.ChangeLog(Selected(Recorded(rows.tail(2), facts, baseline=baseline), ("t",)))
    assert log.as_of()["x"].to_list() == [1, 4]  # a warning would be an error
    assert log.as_of(id=3)["x"].to_list() == [1, 2]
    assert log.as_of(transaction=4)["x"].to_list() == [1, 3]
    for early in ({"id": 1}, {"id": 2}, {"transaction": 1}, {"transaction": 3}):
        with pytest.raises(NoData, match="t since change 3"):
            log.as_of(**early)


def test_naive_times_are_read_in_the_logs_zone():
    log = al.from_arrow(rows(), zone="Europe/Berlin", coverage=("2023-12-31", "2024-01-02"))
    assert "Europe/Berlin" in repr(log)
    assert log.of("orders").as_of("2024-01-01T00:59:59").is_empty()
    assert log.of("orders").as_of("2024-01-01T01:00:00").height == 1
    assert log.of("orders").as_of(date(2024, 1, 1)).is_empty()
    assert log.of("orders").as_of(datetime(2024, 1, 1, tzinfo=UTC)).height == 1


@pytest.mark.parametrize(
    "moment", ["yesterday", "2024-03-31T02:30:00", "2024-10-27T02:30:00", 5, "0001-01-01T00:00+14:00"]
)
def test_a_time_that_cannot_be_read_or_is_ambiguous_is_an_error(moment):
    with pytest.raises(BadTime):
        al.from_arrow(rows(), zone="Europe/Berlin").as_of(moment)


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
    assert "&lt;" in al.from_arrow(rows(), source="<b>")._repr_html_()


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


def test_an_answer_about_a_type_that_had_rows_before_its_log_says_so():
    rows = make_log([("INSERT", "a", {"x": 1}), ("UPDATE", "e", {"x": 2}, {"before_snapshot": {"x": 1}})])
    log = al.from_arrow(rows)
    for ask in (log.as_of, log.replay, lambda: log.aggregate("t", items=("t", "x"))):
        with pytest.warns(IncompletePopulation, match=r"rows of t \(1 of them were changed later\) were there before"):
            ask()
    assert log.entity("e").as_of()["x"].to_list() == [2]
    assert "incomplete: rows of t" in repr(log)


def test_a_type_tracked_without_a_baseline_says_so_from_the_start():
    facts = LogFacts(coverage=Coverage(START, START + timedelta(days=1)), partial=("t",))
    log = al.ChangeLog(Selected(Recorded(make_log([("INSERT", "a", {"x": 1})]), facts), ("t",)))
    with pytest.warns(IncompletePopulation):
        log.as_of()


def test_before_its_baseline_a_type_is_not_known_and_other_types_are():
    steps = [("INSERT", "a", {"x": 1}), ("SNAPSHOT", "b", {"x": 1}, {"entity_type": "later"}), ("DELETE", "a")]
    log = al.from_arrow(make_log(steps))
    assert log.of("t").as_of(START).height == 1
    assert log.of("later").as_of(START + timedelta(seconds=1)).height == 1
    for early in (log, log.of("later"), log.entity("b")):
        with pytest.raises(NoData, match="later since 2024-01-01 00:00:01"):
            early.as_of(START)


def test_a_change_before_a_types_baseline_is_no_empty_answer():
    later = {"entity_type": "later", "transaction_id": 9}
    steps = [("INSERT", "a", {"x": 1}), ("SNAPSHOT", "b", {"x": 1}, later), ("SNAPSHOT", "c", {"x": 1}, later)]
    frame = make_log([*steps, ("DELETE", "a")]).with_columns(
        changed_at=pl.when(pl.col("entity_type") == "later")
        .then(pl.lit(START + timedelta(seconds=1)))
        .otherwise("changed_at")
    )
    log = al.from_arrow(frame)
    assert log.of("t").as_of(id=1).height == 1
    assert log.of("later").as_of(id=3).height == log.of("later").as_of(transaction=9).height == 2
    for asked in ({"id": 1}, {"id": 2}, {"transaction": 1}):
        with pytest.raises(NoData, match="later since change 3"):
            log.of("later").as_of(**asked)


def test_a_user_cannot_hide_a_value_behind_the_placeholder_of_another_capture():
    rows = make_log([("INSERT", "a", {"x": "clean"}), ("UPDATE", "a", {"x": "__debezium_unavailable_value"})])
    coverage = Coverage(START, START + timedelta(days=1))
    facts = LogFacts(coverage=coverage, kinds={"t": {"x": "text"}})
    seen = al.ChangeLog(Selected(Recorded(rows, facts), ("t",)))
    assert seen.as_of()["x"].to_list() == ["__debezium_unavailable_value"]
    assert seen.diffs()["new"].to_list() == ["clean", "__debezium_unavailable_value"]
    assert al.from_arrow(rows).as_of()["x"].to_list() == ["clean"]


@pytest.mark.parametrize(
    "ask",
    [
        lambda log: log.transaction("x"),
        lambda log: log.as_of(id="x"),
        lambda log: log.as_of(id=1.5),
        lambda log: log.as_of(id=True),
        lambda log: log.as_of(transaction="x"),
        lambda log: log.where(id="x"),
        lambda log: log.where(operation=5),
        lambda log: log.where("id"),
        lambda log: log.where(nothing=1),
        lambda log: log.where(pl.col("nothing") == 1),
    ],
)
def test_a_value_of_another_type_is_a_clear_error(log, ask):
    with pytest.raises(BadOption, match=r"whole number|takes|has no column"):
        ask(log)


def test_times_in_where_are_read_like_all_times(log):
    assert log.where(changed_at="2024-01-01T00:00:02").changes()["id"].to_list() == [3]
    with pytest.raises(BadTime):
        log.where(changed_at="2024-13-01")


def test_a_log_of_some_types_answers_as_of_any_change_and_one_that_was_cut_does_not():
    facts = LogFacts(coverage=Coverage(START, START), filters=("entity types orders",))
    log = al.ChangeLog(Selected(Recorded(rows().filter(entity_type="orders"), facts), ("orders",)))
    assert log.as_of(id=7).height == 2
    cut = LogFacts(coverage=Coverage(START, START), filters=("changes before 2024-01-01T00:00:03+00:00",))
    with pytest.raises(NoData, match="changes 1 to 3"):
        al.ChangeLog(Selected(Recorded(rows().head(3), cut), ("items", "orders"))).as_of(id=5)


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

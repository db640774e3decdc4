"""Point-in-time join by its rules: no row lost or doubled, ties exact, every absence told apart."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pyarrow as pa
import pytest
from polars.testing import assert_frame_equal

import auditlab as al
from auditlab import queries
from auditlab.engines import DuckDBEngine, PolarsEngine
from auditlab.errors import BadOption, BadTime, IncompletePopulation, NoData, UnknownField
from auditlab.recorded import Recorded
from auditlab.schema import TIME, LogFacts
from auditlab.spans import EntityCodes, found_at
from auditlab.testing import make_log
from auditlab.testing.logs import START

SECOND, MICRO = timedelta(seconds=1), timedelta(microseconds=1)
STEPS = [
    ("INSERT", "a", {"x": 1, "y": "one"}),
    ("UPDATE", "a", {"x": 2, "y": "one"}),
    ("DELETE", "a"),
    ("INSERT", "a", {"x": 3, "y": None}),
    ("INSERT", "b", {"x": 10}),
    ("TRUNCATE",),
    ("INSERT", "a", {"x": 4}),
]


@pytest.fixture(params=["polars", "duckdb"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def log(engine: str) -> al.ChangeLog:
    return al.from_arrow(make_log(STEPS)).on(engine)


def spine(*rows: tuple[str | None, datetime | None]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"entity_id": pl.String, "at": TIME}, orient="row")


def after(seconds: float) -> datetime:
    return START + seconds * SECOND


def test_each_row_has_the_state_as_of_its_time_in_the_spines_order(log: al.ChangeLog):
    asked = spine(
        ("a", after(6)), ("a", after(1)), ("b", after(4)), ("a", after(0)), ("a", after(1)), ("a", after(1.5))
    )
    want = asked.with_columns(
        pl.lit("live").alias("presence"),
        pl.lit(value=True).alias("certain"),
        pl.Series("x", [4, 2, 10, 1, 2, 2]),
        pl.Series("y", [None, "one", None, "one", "one", "one"]),
    )
    assert_frame_equal(log.pit_join(asked), want)
    assert_frame_equal(al.pit_join(asked, log, fields=["x"]), want.drop("y"))


def test_absent_entities_are_told_apart(log: al.ChangeLog):
    asked = spine(
        ("a", after(2)), ("a", after(5)), ("b", after(4) - MICRO), ("b", after(6)), ("c", after(6)), (None, after(6)),
        ("a", None), (None, None),
    )  # fmt: skip
    shown = log.pit_join(asked)
    words = ["deleted", "deleted", "not yet", "deleted", "unknown entity", "no entity", "no time", "no entity"]
    assert shown["presence"].to_list() == words
    assert shown.drop("entity_id", "at", "presence").null_count().row(0) == (8, 8, 8)


def test_what_was_before_a_first_image_is_not_recorded(engine: str):
    steps = [("INSERT", "z", {"x": 1}), ("SNAPSHOT", "a", {"x": 1}), ("UPDATE", "b", {"x": 1})]
    log = al.from_arrow(make_log(steps)).on(engine)
    shown = log.pit_join(spine(("a", after(0)), ("b", after(1)), ("a", after(2)), ("b", after(2))))
    assert shown["presence"].to_list() == ["not recorded", "not recorded", "live", "live"]


def test_a_state_from_before_the_log_is_live_from_its_beginning(engine: str):
    steps = [("INSERT", "z", {"x": 1}), ("UPDATE", "a", {"x": 2}, {"before_snapshot": {"x": 1}})]
    shown = al.from_arrow(make_log(steps)).on(engine).pit_join(spine(("a", after(0)), ("a", after(1))))
    assert shown["x"].to_list() == [1, 2]


def test_of_ties_the_last_in_the_logs_order_counts(engine: str):
    now = {"changed_at": after(1)}
    steps = [("INSERT", "z", {"x": 0}), ("INSERT", "a", {"x": 1}, now), ("UPDATE", "a", {"x": 2}, now)]
    gone = [*steps, ("DELETE", "a", now)]
    asked = spine(("a", after(1)), ("a", after(1) - MICRO))
    shown = al.from_arrow(make_log(steps)).on(engine).pit_join(asked)
    assert shown.select("presence", "x").rows() == [("live", 2), ("not yet", None)]
    ended = al.from_arrow(make_log(gone)).on(engine).pit_join(asked)
    assert ended["presence"].to_list() == ["deleted", "not yet"]


def test_times_outside_the_coverage_are_an_error_that_counts_them_or_a_flag(log: al.ChangeLog):
    asked = spine(("a", after(-1)), ("a", after(6)), ("b", after(7)), (None, after(9)))
    with pytest.raises(NoData, match=r"2 of 4 rows have times \(2023-12-31 23:59:59.*2024-01-01 00:00:07"):
        log.pit_join(asked)
    shown = log.pit_join(asked, outside="flag")
    assert shown.select("presence", "x").rows() == [
        ("outside", None),
        ("live", 4),
        ("outside", None),
        ("no entity", None),
    ]


def test_before_a_baseline_is_outside(engine: str):
    other = {"entity_type": "u"}
    frame = make_log([("INSERT", "q", {"x": 1}, other), ("SNAPSHOT", "a", {"x": 1}), ("INSERT", "b", {"x": 1})])
    log = al.from_arrow(frame).on(engine).of("t")
    with pytest.raises(NoData, match=r"1 of 2 rows .* t since 2024-01-01 00:00:01\+00:00 \(its baseline\)"):
        log.pit_join(spine(("a", after(0)), ("a", after(1))))


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_times_of_every_unit_and_zone(log: al.ChangeLog, unit: str):
    there = pl.Series([after(1)], dtype=TIME).dt.convert_time_zone("Asia/Tokyo").cast(pl.Datetime(unit, "Asia/Tokyo"))
    asked = pl.DataFrame({"entity_id": ["a"], "at": there})
    shown = log.pit_join(asked)
    assert_frame_equal(shown.select("entity_id", "at"), asked)
    assert shown["x"].to_list() == [2]


def test_nanoseconds_just_before_a_change_are_before_it(log: al.ChangeLog):
    at = pl.Series([after(1)], dtype=TIME).cast(pl.Datetime("ns", "UTC"))
    asked = pl.concat([at, at.dt.offset_by("-1ns"), at.dt.offset_by("1ns")])
    shown = log.pit_join(pl.DataFrame({"entity_id": ["a"] * 3, "at": asked}))
    assert shown["x"].to_list() == [2, 1, 2]


def test_naive_times_dates_and_texts_are_read_in_the_logs_zone(engine: str):
    berlin = datetime(2024, 7, 1, tzinfo=UTC) - timedelta(hours=2)
    frame = make_log([("INSERT", "a", {"x": 1}), ("UPDATE", "a", {"x": 2}, {"changed_at": berlin})])
    log = al.from_arrow(frame, zone="Europe/Berlin").on(engine)
    for at in (datetime(2024, 7, 1), date(2024, 7, 1), "2024-07-01", "2024-06-30T22:00Z"):  # noqa: DTZ001 - naive on purpose
        assert log.pit_join(pl.DataFrame({"entity_id": ["a"], "at": [at]}))["x"].to_list() == [2], at
    twice = datetime(2024, 10, 27, 2, 30)  # noqa: DTZ001 - the same
    with pytest.raises(BadTime, match=r"1 naive times of the spine .* in Europe/Berlin .* 2024-10-27T02:30:00"):
        log.pit_join(pl.DataFrame({"entity_id": ["a", "a"], "at": [twice, None]}))
    with pytest.raises(BadTime, match="'at' is Int64"):
        log.pit_join(pl.DataFrame({"entity_id": ["a"], "at": [1]}))


def test_a_column_of_nulls_has_no_times_and_an_empty_spine_no_rows(log: al.ChangeLog):
    nulls = pl.DataFrame({"entity_id": ["a"], "at": [None]})
    assert log.pit_join(nulls)["presence"].to_list() == ["no time"]
    texts = nulls.cast({"at": pl.String})
    assert log.pit_join(texts)["presence"].to_list() == ["no time"]
    assert log.pit_join(spine()).schema == log.pit_join(spine(("a", after(1)))).schema


def test_colliding_names_lose_nothing(engine: str):
    frame = make_log([("INSERT", "a", {"at": 5, "presence": "mine", "X": 1, "id": "a"})])
    asked = pl.DataFrame({"at": [START], "id": ["a"], "x": [0], "certain": ["mine"]})
    shown = al.from_arrow(frame).on(engine).pit_join(asked, entity="id")
    assert shown.to_dicts() == [
        {
            "at": START, "id": "a", "x": 0, "certain": "mine", "presence": "live", "log.certain": True,
            "field.at": 5, "field.presence": "mine", "field.X": 1, "field.id": "a",
        }
    ]  # fmt: skip


def test_any_arrow_stream_is_a_spine(log: al.ChangeLog):
    asked = spine(("a", after(1)), ("b", after(5) - MICRO))
    for given in (asked.to_pandas(), asked.to_arrow(), asked.to_arrow().to_reader()):
        assert log.pit_join(given)["x"].to_list() == [2, 10]


def test_keys_stand_for_entity_ids(engine: str):
    rows = [(al.entity_uuid("t", 7), 1), (al.entity_uuid("t", {"a": 1, "b": "q"}), 2), ("8", 3)]
    log = al.from_arrow(make_log([("INSERT", str(key), {"x": x}) for key, x in rows])).on(engine)
    one = pl.DataFrame({"k": [7, 8, 9, None], "at": [after(2)] * 4})
    assert log.pit_join(one, entity="k").select("presence", "x").rows() == [
        ("live", 1), ("live", 3), ("unknown entity", None), ("no entity", None),
    ]  # fmt: skip
    floats = one.with_columns(pl.col("k").cast(pl.Float64))  # as pandas has whole numbers beside nulls
    assert log.pit_join(floats, entity="k")["presence"].to_list() == ["live", "live", "unknown entity", "no entity"]
    several = pl.DataFrame({"k": [{"a": 1, "b": "q"}, {"a": 2, "b": "q"}], "at": [after(2)] * 2})
    assert log.pit_join(several, entity="k")["presence"].to_list() == ["live", "unknown entity"]


def test_what_cannot_be_joined_is_said(log: al.ChangeLog):
    asked = spine(("a", after(1)))
    with pytest.raises(BadOption, match="no column 'who', 'when'. It has 'entity_id', 'at'"):
        log.pit_join(asked, entity="who", at="when")
    with pytest.raises(BadOption, match="Collect it first"):
        log.pit_join(asked.lazy())
    with pytest.raises(BadOption, match="a list has no Arrow stream"):
        log.pit_join([1])
    with pytest.raises(BadOption, match="not a table"):
        log.pit_join(pa.table([["a"], ["a"]], names=["entity_id", "entity_id"]))
    with pytest.raises(UnknownField, match="never had 'z'. It has 'x', 'y'"):
        log.pit_join(asked, fields=["x", "z"])
    with pytest.raises(BadOption, match="outside='keep'"):
        log.pit_join(asked, outside="keep")
    with pytest.raises(BadOption, match="one whole entity type; selected is the entity 'a' of 't'"):
        log.entity("a").pit_join(asked)
    with pytest.raises(BadOption, match="selected is 't', 'u'"):
        al.from_arrow(make_log([*STEPS, ("INSERT", "a", {}, {"entity_type": "u"})])).pit_join(asked)


def test_unknown_entities_of_a_partial_log_come_with_a_warning(engine: str):
    steps = [("UPDATE", "a", {"x": 2}, {"before_snapshot": {"x": 1}})]
    log = al.from_arrow(make_log(steps)).on(engine)
    assert log.pit_join(spine(("a", START)))["presence"].to_list() == ["live"]
    with pytest.warns(IncompletePopulation):
        log.pit_join(spine(("b", START)))


@pytest.mark.parametrize("query", ["pit_join", "pit_join_sorted"])
def test_the_query_gives_the_same_on_both_engines(query: str):
    shape = Recorded(make_log(STEPS), LogFacts()).shape("t")
    asked = spine(*((who, after(at / 2)) for who in ("a", "b", "c", None) for at in range(13))).with_row_index("line")
    entity, at = shape.span_index.codes.find(asked["entity_id"]), asked["at"]
    tables = {"spine": asked.select("line", pl.col("at").dt.epoch("us"), entity=entity), "spans": shape.spans}
    answers = [
        engine.run(queries.text("analysis", query), tables, {}).sort("line")
        for engine in (PolarsEngine(), DuckDBEngine())
    ]
    assert_frame_equal(*answers)
    found = answers[0]
    assert found["line"].to_list() == entity.is_not_null().arg_true().to_list()  # none is lost, and none is doubled
    assert_frame_equal(found_at(found["line"], found["word"], found["number"], 52), shape.span_index.find(entity, at))


def test_no_row_looks_at_each_of_very_many_spans_of_one_entity(monkeypatch: pytest.MonkeyPatch):
    busy = [("INSERT", "a", {"x": 0}), *(("UPDATE", "a", {"x": x}) for x in range(1, 200)), ("INSERT", "b", {"x": 1})]
    log = al.from_arrow(make_log(busy))
    often = spine(*(("a", after(at / 2)) for at in range(400)), ("b", after(200)), ("c", after(3)), (None, after(3)))
    once = often.tail(4)
    asked: list[str] = []
    text = queries.text
    monkeypatch.setattr(queries, "text", lambda folder, name: text(folder, asked.append(name) or name))  # type: ignore[func-returns-value]
    for rows in (often, once):
        assert_frame_equal(log.on("duckdb").pit_join(rows), log.pit_join(rows))
    assert asked == ["pit_join_sorted", "pit_join"]


@pytest.mark.parametrize("count", [0, 1, 2, 1000])
def test_entities_are_found_by_their_ids_also_where_hashes_cannot_tell_them(count: int):
    ids = pl.Series([f"entity {n}" for n in range(count)], dtype=pl.String)
    codes = EntityCodes.of(ids)
    asked = pl.Series([f"entity {n}" for n in range(count + 500)] + [None], dtype=pl.String).shuffle(1)
    places = dict(zip(ids, range(count), strict=True))
    for each in (codes, replace(codes, hashes=codes.hashes[:0])):
        assert each.find(asked).to_list() == [places.get(name) for name in asked]


def test_far_times_do_not_overflow():
    far = [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)]
    steps = [(what, who, *rest) for who in ("a", "b") for what, *rest in (("INSERT", {"x": who}), ("DELETE",))]
    dated = make_log(steps).with_columns(changed_at=pl.Series(far * 2, dtype=TIME))
    for engine in ("polars", "duckdb"):
        log = al.from_arrow(dated).on(engine)
        shown = log.pit_join(spine(("b", far[0]), ("b", far[1] - MICRO), ("a", far[1])))
        assert shown.select("presence", "x").rows() == [("live", "b"), ("live", "b"), ("deleted", None)]

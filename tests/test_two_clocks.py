"""Point-in-time join by two clocks: what was true, as it was known by then."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl
import pytest
from hypothesis import given
from polars.testing import assert_frame_equal
from soak import generated

import auditlab as al
from auditlab import queries
from auditlab.errors import BadOption, NoData, UnknownField
from auditlab.schema import TIME
from auditlab.temporal import pit
from auditlab.testing import Oracle, Version, assert_states, histories, make_log
from auditlab.testing.known import changed_as_known, true_as_known, valid_time

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ENGINES = ("polars", "duckdb")
BERLIN = "Europe/Berlin"


def day(month: int, number: int = 1) -> datetime:
    return datetime(2024, month, number, tzinfo=UTC)


PAY = [
    ("INSERT", "z", {"pay": 1, "since": "2023-01-01"}, {"changed_at": day(1)}),
    ("INSERT", "a", {"pay": 100, "since": "2024-01-01"}, {"changed_at": day(1, 5)}),
    ("UPDATE", "a", {"pay": 120, "since": "2024-06-01"}, {"changed_at": day(5, 20)}),
    ("UPDATE", "a", {"pay": 110, "since": "2024-01-01"}, {"changed_at": day(7)}),
    ("DELETE", "a", {"changed_at": day(9)}),
    ("INSERT", "a", {"pay": 200, "since": "2024-10-01"}, {"changed_at": day(10)}),
    ("UPDATE", "z", {"pay": 2, "since": "2024-12-01"}, {"changed_at": day(12)}),
]


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def told(log: al.ChangeLog, *rows: tuple[str | None, object, object], valid: str = "since") -> list[tuple]:
    """Presence, certain and pay of rows of (entity, valid time, known time)."""
    spine = pl.DataFrame(rows, schema=["entity_id", "at", "known"], orient="row")
    return log.pit_join(spine, known="known", valid=valid).select("presence", "certain", "pay").rows()


def test_a_correction_counts_from_when_it_was_recorded_and_a_plan_from_when_it_is_true(engine: str):
    log = al.from_arrow(make_log(PAY)).on(engine)
    march, july = day(3), day(7)
    assert told(log, ("a", march, day(2)), ("a", march, day(8)), ("a", july, day(8)), ("a", july, day(5, 19))) == [
        ("live", True, 100),
        ("live", True, 110),
        ("live", True, 120),
        ("live", True, 100),
    ]


def test_nothing_that_was_recorded_later_is_seen_and_both_times_are_inclusive(engine: str):
    log = al.from_arrow(make_log(PAY)).on(engine)
    micro = timedelta(microseconds=1)
    assert told(log, ("a", day(6), day(5, 20)), ("a", day(6), day(5, 20) - micro), ("a", day(6) - micro, day(6))) == [
        ("live", True, 120),
        ("live", True, 100),
        ("live", True, 100),
    ]


def test_each_absence_has_its_word(engine: str):
    log = al.from_arrow(make_log(PAY)).on(engine)
    asked = [
        ("a", day(3), day(1, 4)), ("a", datetime(2023, 6, 1, tzinfo=UTC), day(3)), ("a", day(3), day(9)),
        ("a", day(3), day(11)), ("nobody", day(3), day(3)), (None, day(3), day(3)), ("a", None, day(3)),
        ("a", day(3), None),
    ]  # fmt: skip
    words = ["not known", "not yet", "deleted", "not yet", "unknown entity", "no entity", "no time", "no time"]
    assert told(log, *asked) == [(word, None, None) for word in words]


def test_a_deletion_withdraws_what_was_recorded_before_it(engine: str):
    log = al.from_arrow(make_log(PAY)).on(engine)
    assert told(log, ("a", day(10), day(10)), ("a", day(9), day(11))) == [("live", True, 200), ("not yet", None, None)]


def test_a_version_without_a_valid_time_never_counts_and_makes_its_entity_uncertain(engine: str):
    steps = [
        ("INSERT", "z", {"pay": 0, "since": "2024-01-01"}),
        ("INSERT", "a", {"pay": 1, "since": None}),
        ("UPDATE", "a", {"pay": 2, "since": "2024-01-01"}),
        ("UPDATE", "a", {"pay": 3}),
        ("UPDATE", "z", {"pay": 4, "since": "soon"}),
    ]
    log = al.from_arrow(make_log(steps)).on(engine)
    second = [day(1) + timedelta(seconds=number) for number in range(5)]
    assert told(log, *(("a", day(2), known) for known in second[1:])) == [
        ("undated", None, None),
        ("live", False, 2),
        ("live", False, 2),
        ("live", False, 2),
    ]
    assert told(log, *(("z", day(2), known) for known in second[3:])) == [("live", True, 0), ("live", False, 0)]


def test_what_was_there_before_the_log_began_may_have_had_other_valid_times(engine: str):
    steps = [
        ("INSERT", "z", {"pay": 0, "since": "2024-01-01"}),
        ("UPDATE", "a", {"pay": 2, "since": "2024-03-01"}, {"before_snapshot": {"pay": 1, "since": "2024-02-01"}}),
        ("SNAPSHOT", "b", {"pay": 5, "since": "2024-02-01"}),
    ]
    log = al.from_arrow(make_log(steps)).on(engine)
    end = day(1) + timedelta(seconds=2)
    found = told(
        log, ("a", day(1), end), ("a", day(2), end), ("a", day(3), end), ("b", day(3), day(1)), ("b", day(3), end)
    )
    assert found == [
        ("not recorded", None, None),
        ("live", False, 1),
        ("live", False, 2),
        ("not recorded", None, None),
        ("live", False, 5),
    ]


def test_known_outside_the_coverage_is_an_error_or_a_flag_and_valid_times_have_no_bounds(engine: str):
    log = al.from_arrow(make_log(PAY)).on(engine)
    spine = pl.DataFrame({"entity_id": ["z"] * 3, "at": [day(1) - timedelta(days=9999), day(3), day(3)]})
    spine = spine.with_columns(known=pl.Series([day(3), day(12), day(12, 2)], dtype=TIME))
    with pytest.raises(NoData, match=r"1 of 3 rows have times \(2024-12-02"):
        log.pit_join(spine, known="known", valid="since")
    shown = log.pit_join(spine, known="known", valid="since", outside="flag")
    assert shown["presence"].to_list() == ["not yet", "live", "outside"]


@pytest.mark.parametrize(
    ("value", "at"),
    [
        ("2024-07-01", "2024-06-30T22:00:00Z"),
        ("2024-07-01T00:00:00", "2024-06-30T22:00:00Z"),
        ("2024-07-01T00:00:00+02:00", "2024-06-30T22:00:00Z"),
        ("20240701T000000+0200", "2024-06-30T22:00:00Z"),
        ("-infinity", "0001-01-01T00:00:00Z"),
    ],
)
def test_valid_times_are_read_in_the_logs_zone(engine: str, value: str, at: str):
    log = al.from_arrow(make_log([("INSERT", "a", {"pay": 1, "since": value})]), zone=BERLIN).on(engine)
    moment = datetime.fromisoformat(at)
    assert told(log, ("a", moment, day(1))) == [("live", True, 1)]
    if moment.year > 1:
        assert told(log, ("a", moment - timedelta(microseconds=1), day(1))) == [("not yet", None, None)]


@pytest.mark.parametrize("value", ["2024-03-31T02:30:00", "2024-10-27T02:30:00", "2024-01-01T00:00:00.0000001Z", ""])
def test_a_valid_time_that_is_no_one_instant_is_none(engine: str, value: str):
    steps = [("INSERT", "a", {"pay": 1, "since": value}), ("INSERT", "b", {"pay": 1, "since": "2024-01-01T00:00:00"})]
    log = al.from_arrow(make_log(steps), zone=BERLIN).on(engine)
    assert told(log, ("a", "9999-12-31", day(1))) == [("undated", None, None)]


def test_what_was_recorded_so_shortly_before_that_it_may_not_have_been_seen_is_not_certain(engine: str):
    log = al.from_arrow(make_log(PAY)).on(engine).with_marks((), visible_within=3600)
    soon, later = timedelta(minutes=59), timedelta(hours=1)
    recorded, gone = day(5, 20), day(9)
    asked = [("a", day(7), recorded + soon), ("a", day(7), recorded + later), ("a", day(7), gone), ("a", None, gone)]
    assert told(log, *asked) == [
        ("live", False, 120), ("live", True, 120), ("deleted", False, None), ("no time", None, None),
    ]  # fmt: skip


def test_infinity_is_never(engine: str):
    log = al.from_arrow(make_log([("INSERT", "a", {"pay": 1, "since": "infinity"})])).on(engine)
    assert told(log, ("a", "9999-12-31T23:59:59.999999", day(1))) == [("not yet", None, None)]


def committed() -> pl.DataFrame:
    """Two writers: what b began first it committed last."""
    steps = [
        ("INSERT", "a", {"pay": 1}, {"changed_at": day(1), "committed_at": day(2)}),
        ("UPDATE", "a", {"pay": 2}, {"changed_at": day(4), "committed_at": day(4)}),
        ("UPDATE", "a", {"pay": 3}, {"changed_at": day(3), "committed_at": day(5)}),
        ("DELETE", "a", {"changed_at": day(6), "committed_at": day(7)}),
        ("INSERT", "b", {"pay": 9}, {"changed_at": day(7), "committed_at": day(8)}),
    ]
    return make_log(steps)


def test_by_changed_at_in_a_log_by_commit_times_a_deletion_holds_from_its_own_time_on(engine: str):
    log = al.from_arrow(committed()).on(engine)
    assert log.facts.clock == "committed_at"
    asked = [
        ("a", day(3), day(8)), ("a", day(4), day(4)), ("a", day(4), day(8)), ("a", day(5), day(8)),
        ("a", day(6), day(8)), ("a", day(6), day(6)), ("b", day(7), day(7)), ("b", day(6), day(8)),
    ]  # fmt: skip
    assert told(log, *asked, valid="changed_at") == [
        ("live", True, 1), ("live", True, 2), ("live", True, 3), ("live", True, 3), ("deleted", None, None),
        ("live", True, 3), ("not known", None, None), ("not yet", None, None),
    ]  # fmt: skip
    before = pl.DataFrame({"entity_id": ["a"], "at": [day(1)], "known": [day(8)]})
    with pytest.raises(NoData):
        log.pit_join(before, known="known", valid="changed_at")


def test_options_that_do_not_go_together_are_said(engine: str):
    log = al.from_arrow(make_log([("INSERT", "a", {"pay": 1, "since": "2024-01-01", "changed_at": "2024-01-01"})]))
    spine = pl.DataFrame({"entity_id": ["a"], "at": [day(1)], "known": [day(1)]})
    for options in ({"known": "known"}, {"valid": "since"}):
        with pytest.raises(BadOption, match="by two clocks takes both"):
            log.pit_join(spine, **options)
    with pytest.raises(BadOption, match="no column 'then'"):
        log.pit_join(spine, known="then", valid="since")
    with pytest.raises(BadOption, match="'pay' tells no valid time: it is int, e.g. '1'"):
        log.pit_join(spine, known="known", valid="pay")
    with pytest.raises(UnknownField, match="no valid time 'when'. valid= takes a field: 'pay', 'since', 'changed_at'"):
        log.pit_join(spine, known="known", valid="when")
    with pytest.raises(UnknownField, match="The log has one clock, changed_at: known= asks it already"):
        log.pit_join(spine, known="known", valid="changed_at")
    assert log.on(engine).pit_join(spine, known="known", valid="field.changed_at")["presence"].to_list() == ["live"]


def test_entities_with_very_many_versions_out_of_order(engine: str):
    """Every version against valid times that lie between two: as the definition says, one by one."""
    draw = random.Random(3)  # noqa: S311 - no secret
    start = datetime(2023, 1, 1, tzinfo=UTC)
    done = [(draw.choice("aaabbc"), draw.randrange(1, 300)) for _ in range(900)]
    steps, seen = [], set()
    for number, (who, since) in enumerate(done):
        state = {"pay": number, "since": (start + timedelta(days=since)).isoformat()}
        steps.append(("UPDATE" if who in seen else "INSERT", who, state))
        seen.add(who)
    log = al.from_arrow(make_log(steps)).on(engine)
    asked = [(draw.choice("abc"), draw.randrange(301), draw.randrange(900)) for _ in range(1500)]
    want = []
    for who, at, known in asked:
        by_then = [(since, number) for number, (whose, since) in enumerate(done[: known + 1]) if whose == who]
        valid = [each for each in by_then if each[0] <= at]
        absent = ("not yet" if by_then else "not known", None, None)
        want.append(("live", True, max(valid)[1]) if valid else absent)
    rows = [(who, start + timedelta(days=at), day(1) + timedelta(seconds=known)) for who, at, known in asked]
    assert told(log, *rows) == want


VALID = [datetime(2024, 2, 1, tzinfo=UTC), day(3), day(3) + timedelta(microseconds=1), day(4, 1), day(12)]
MICRO = timedelta(microseconds=1)
Answer = tuple[str, Version | None, bool | None]


def agree(frame: pl.DataFrame, valid: str, times: Sequence[datetime], right: Callable[..., Answer]) -> None:
    """Both engines answer ``right(oracle, entity, at, known, doubted)`` for some rows of every entity."""
    oracle = Oracle(frame.to_dicts())
    recorded = sorted(set(frame[oracle.clock].to_list()))
    moments = [each for time in recorded for each in (time - MICRO, time) if recorded[0] <= each]
    first = {row["entity_type"]: row for row in reversed(oracle.rows)}
    for whole in (al.from_arrow(frame, zone=BERLIN).on(engine) for engine in ENGINES):
        for entity_type in whole.entity_types:
            log = whole.of(entity_type)
            if valid not in {"changed_at", *log.fields()["field"]}:
                continue
            uncertain = log.history().filter(~pl.col("certain")).select("entity_id", "version").rows()
            ids = [*frame["entity_id"].drop_nulls().unique().sort(), "nobody"]
            asked = [(each, at, known) for each in ids for at in times for known in moments]
            asked = random.Random(len(asked)).sample(asked, min(len(asked), 150))  # noqa: S311 - no secret
            spine = pl.DataFrame(asked, schema={"who": pl.String, "at": TIME, "known": TIME}, orient="row")
            spine = spine.with_columns(entity_id=pl.int_range(pl.len()).cast(pl.String).str.zfill(4))
            shown = log.pit_join(spine, entity="who", known="known", valid=valid, outside="flag")
            begun = first[entity_type][oracle.clock] if first[entity_type]["operation"] == "SNAPSHOT" else recorded[0]
            states = {}
            for row in shown.iter_rows(named=True):
                who, at, known = row["who"], row["at"], row["known"]
                word, version, certain = right(oracle, (entity_type, who), at, known, doubted=set(uncertain))
                if known < begun or (valid == "changed_at" and at < begun):
                    word, version = "outside", None
                assert (row["presence"], row["certain"]) == (word, None if version is None else certain), row
                if version is not None:
                    states[row["entity_id"]] = version.state
            own = [*spine.columns, "presence", "certain"]
            assert_states(shown.filter(pl.col("presence") == "live"), states, own=own, verbatim=True)
            absent = shown.filter(pl.col("presence") != "live").drop(*spine.columns, "presence")
            assert sum(absent.null_count().row(0)) == absent.height * absent.width


def by_field(oracle: Oracle, entity: tuple[str, str], at: datetime, known: datetime, *, doubted: set) -> Answer:
    return true_as_known(
        oracle,
        entity,
        at,
        known,
        valid=lambda version: valid_time(version.state.get("since"), BERLIN),
        doubted=lambda version: (version.entity_id, version.version) in doubted,
    )


def agree_by_field(frame: pl.DataFrame) -> None:
    try:
        agree(frame, "since", VALID, by_field)
    except BadOption as exc:
        assert "tells no valid time" in str(exc)  # noqa: PT017 - a history may hold no time at all


def agree_by_clock(frame: pl.DataFrame) -> None:
    changed = Oracle((frame.with_columns(committed_at=pl.lit(None, dtype=TIME))).to_dicts())

    def by_clock(oracle: Oracle, entity: tuple[str, str], at: datetime, known: datetime, *, doubted: set) -> Answer:
        word, version = changed_as_known(oracle, changed, entity, at, known)
        return word, version, version is not None and (version.entity_id, version.version) not in doubted

    times = sorted(set(frame["changed_at"].to_list()))
    agree(frame, "changed_at", [each for time in times for each in (time, time - MICRO)], by_clock)


KINDS = {
    "by a field": (agree_by_field, {"dated": True}, 14),
    "by a field, rows lost": (agree_by_field, {"dated": True, "lossy": True}, 14),
    "by a field, keys changed": (agree_by_field, {"dated": True, "rekeyed": True, "partitioned": True}, 10),
    "by changed_at": (agree_by_clock, {"committed": True}, 6),
    "by changed_at, rows lost": (agree_by_clock, {"committed": True, "lossy": True}, 6),
    "by changed_at, keys changed": (agree_by_clock, {"committed": True, "rekeyed": True, "partitioned": True}, 6),
}


@pytest.mark.filterwarnings("ignore::auditlab.errors.IncompletePopulation")
@pytest.mark.parametrize("kind", KINDS)
def test_both_engines_agree_with_the_oracle_over_histories(kind: str):
    verb, options, examples = KINDS[kind]
    generated(examples * 40, few=examples)(given(histories(**options))(verb))()


def test_no_row_looks_at_each_of_very_many_records_of_one_entity(monkeypatch: pytest.MonkeyPatch):
    draw = random.Random(3)  # noqa: S311 - no secret
    days = [f"2024-{draw.randint(1, 12):02}-{draw.randint(1, 28):02}" for _ in range(300)]
    busy = [("UPDATE" if place else "INSERT", "a", {"pay": place, "since": each}) for place, each in enumerate(days)]
    log = al.from_arrow(make_log([*busy, ("INSERT", "b", {"pay": 1, "since": "2024-03-01"})]))
    first, last = log.facts.coverage.start, log.facts.coverage.end
    assert first is not None
    assert last is not None
    rows = [("a", day(1 + n % 12), first + (last - first) * (n / 400)) for n in range(400)]
    rows += [("b", day(4), last), ("c", day(4), last), (None, day(4), last)]
    often = pl.DataFrame(rows, schema=["entity_id", "at", "known"], orient="row")
    asked: list[str] = []
    text = queries.text
    monkeypatch.setattr(queries, "text", lambda folder, name: text(folder, asked.append(name) or name))  # type: ignore[func-returns-value]
    for spine in (often, often.tail(3)):
        joined = [log.on(engine).pit_join(spine, known="known", valid="since") for engine in ENGINES]
        assert_frame_equal(*joined)
    assert asked == ["pit_join_known"]
    monkeypatch.setattr(pit, "MEETINGS_A_SPAN", 10_000)
    assert_frame_equal(
        log.on("duckdb").pit_join(often, known="known", valid="since"),
        log.pit_join(often, known="known", valid="since"),
    )

"""A log that is dealt out into buckets answers every question as the same log in memory does, on both engines."""

from __future__ import annotations

import os
from decimal import Decimal
from itertools import count
from pathlib import Path

import polars as pl
import pytest
from dealt import ENOUGH, asked_of, dealt_out
from hypothesis import given
from polars.testing import assert_frame_equal
from same_answers import assert_same, some_of
from soak import generated

import auditlab as al
from auditlab.errors import NoData, UncertainTime
from auditlab.testing import histories, make_log

pytestmark = pytest.mark.filterwarnings("error")

OUTSIDE = "AUDITLAB_TEST_DATA"


def assert_all_same(frame: pl.DataFrame, *, buckets: int, engine: str, turn: int = 0) -> None:
    """Every verb, or some of them in turn, where a soak is not asked for."""
    whole = al.from_arrow(frame).on(engine)
    assert_same(whole, dealt_out(whole, buckets), some_of(asked_of(whole), turn, one_in=6))


KINDS: dict[str, dict[str, bool]] = {
    "plain": {},
    "with rows lost": {"lossy": True},
    "with unavailable values": {"unavailable": True},
    "with commit times": {"committed": True},
    "with keys that change": {"rekeyed": True, "unavailable": True},
    "with keys that change, partitions, rows lost": {"rekeyed": True, "partitioned": True, "lossy": True},
}


@pytest.mark.parametrize("place", range(len(KINDS)), ids=list(KINDS))
def test_generated_logs_answer_alike_in_any_number_of_buckets(place: int):
    turns = count(2 * place)

    @generated(40, few=2)
    @given(histories(max_steps=24, **list(KINDS.values())[place]).filter(lambda frame: len(frame) >= ENOUGH))
    def run(frame: pl.DataFrame) -> None:
        turn = next(turns)
        assert_all_same(frame, buckets=2 + len(frame) % 3, engine=("polars", "duckdb")[turn % 2], turn=turn)

    run()


@pytest.mark.parametrize(("folder", "buckets", "engine"), [("sp500", 3, "duckdb"), ("shop", 4, "polars")])
def test_real_logs_answer_alike_in_buckets(folder: str, buckets: int, engine: str):
    given = os.environ.get(OUTSIDE)
    if not given:
        pytest.skip(f"{OUTSIDE} is not set: {folder} cannot be read")
    frame = pl.read_parquet(Path(given) / folder / "log.parquet")
    assert_all_same(frame, buckets=buckets, engine=engine, turn=buckets)


def test_a_field_has_the_type_of_the_whole_log_in_every_bucket():
    """One value in one bucket widens the field in all of them; the order of the fields is that of the whole log."""
    plain = [("INSERT", f"e{n}", {"n": n, "at": "2024-01-01", "same": True}) for n in range(40)]
    wide = [
        ("INSERT", "wide", {"late": 1, "n": Decimal("0.125"), "at": "2024-01-01T00:00:00"}),
        ("INSERT", "wider", {"n": Decimal("1E+30"), "only here": None}),
    ]
    log = al.from_arrow(make_log([*plain, *wide]))
    parts = dealt_out(log, 6)
    assert parts.as_of().collect_schema() == log.as_of().schema
    assert parts.as_of().collect_schema()["n"] == pl.Decimal(38, 3)
    assert_frame_equal(parts.fields(), log.fields())


def test_a_field_that_a_bucket_lacks_was_not_changed_there():
    log = al.from_arrow(make_log([*(("INSERT", f"e{n}", {"n": n}) for n in range(9)), ("INSERT", "wide", {"late": 1})]))
    assert_frame_equal(dealt_out(log, 6).diffs().collect(), log.diffs())


def test_a_warning_of_two_equal_moments_counts_each_entity_once():
    log = al.from_arrow(make_log([("INSERT", f"e{n}", {"n": n}) for n in range(9)]))
    mark = al.Mark(at=log.facts.coverage.end, snapshot="100:100:")
    for each in (log, dealt_out(log, 4)):
        with pytest.warns(UncertainTime, match=": 5 of t. "):
            each.with_marks(mark, visible_within=60).compare("2024-01-01T00:00:04Z", "2024-01-01T00:00:04Z")


def test_a_mark_before_the_first_states_is_refused_whichever_bucket_holds_them():
    steps = [("INSERT", "early", {"n": 0}), *(("SNAPSHOT", f"e{n}", {"n": n}) for n in range(9))]
    read = pl.col("operation") == "SNAPSHOT"
    frame = make_log([*steps, ("INSERT", "late", {"n": 9})]).with_columns(
        entity_type=pl.when(pl.col("entity_id") == "early").then(pl.lit("u")).otherwise("entity_type"),
        transaction_id=pl.when(read).then(200).when(pl.col("entity_id") == "late").then(201).otherwise(100),
        changed_at=pl.when(read).then(pl.col("changed_at").filter(read).min()).otherwise("changed_at"),
    )
    log = al.from_arrow(frame)
    mark = al.Mark(at=log.facts.coverage.end, snapshot="101:101:")
    for each in (log, dealt_out(log, 5)):
        marked = each.with_marks(mark, visible_within=0)
        for asked in (marked.of("t"), marked.of("t").entity("late"), marked.of("t").entity("e3")):
            with pytest.raises(NoData, match="log of t begins with states .a baseline. of which 9 were not there yet"):
                asked.as_of(mark=mark).lazy().collect()
        assert marked.of("u").as_of(mark=mark).lazy().collect()["n"].to_list() == [0]


def test_states_that_were_read_are_named_as_not_counted():
    log = al.from_arrow(make_log([("SNAPSHOT", f"e{n}", {"n": n}) for n in range(9)]))
    assert dealt_out(log, 5).summary().snapshots == log.summary().snapshots == 9


def test_a_truncate_is_told_once_whichever_buckets_it_ended_entities_in():
    steps = [("INSERT", f"e{n}", {"n": n}) for n in range(9)]
    log = al.from_arrow(make_log([("TRUNCATE",), *steps, ("TRUNCATE",), ("TRUNCATE",), ("INSERT", "e1", {"n": 1})]))
    parts = dealt_out(log, 5)
    assert parts.changes().collect().filter(pl.col("operation") == "TRUNCATE").height == 3
    assert_frame_equal(parts.timeline().collect(), log.timeline())
    assert_frame_equal(parts.summary().by_operation, log.summary().by_operation)

"""An archive answers what the log answered: verb by verb, as lazy frames, reading only what the question needs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import auditlab as al
from auditlab.archive.read import scan_archive as scan
from auditlab.errors import ArchiveCorrupt, BadOption, MalformedChange, NoData, UnknownChange, UnknownValue
from auditlab.recorded import Recorded
from auditlab.schema import Coverage, LogFacts
from auditlab.selection import Selected
from auditlab.testing import make_log

SHOP = Path(__file__).parent.parent / "data" / "shop" / "log.parquet"
ORDERS = "shop.orders"


@pytest.fixture
def log() -> al.ChangeLog[pl.DataFrame]:
    return al.read_parquet(SHOP)


@pytest.fixture
def kept(log: al.ChangeLog[pl.DataFrame], tmp_path: Path) -> al.ChangeLog[pl.LazyFrame]:
    log.to_archive(tmp_path / "kept")
    return al.scan_archive(tmp_path / "kept")


VERBS = {
    "changes": lambda log: log.changes(),
    "as_of": lambda log: log.of(ORDERS).as_of(),
    "as_of a change": lambda log: log.of(ORDERS).as_of(id=400),
    "as_of all types": lambda log: log.as_of(),
    "history": lambda log: log.of(ORDERS).history(),
    "diffs": lambda log: log.diffs(),
    "compare": lambda log: log.of(ORDERS).compare(log.facts.coverage.start, log.facts.coverage.end),
    "timeline": lambda log: log.of("shop.customers").timeline(),
    "replay": lambda log: log.of(ORDERS).replay(steps=True),
    "aggregate": lambda log: log.aggregate(ORDERS, items=("shop.order_items", "order_id")),
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("engine", ["polars", "duckdb"])
def test_an_archive_answers_what_the_log_answers(log, kept, verb, engine):
    answer = VERBS[verb](kept.on(engine))
    assert isinstance(answer, pl.LazyFrame)
    assert_frame_equal(answer.collect(), VERBS[verb](log))


def test_the_facts_and_the_summary_come_back(log, kept):
    assert kept.facts == log.facts
    assert kept.entity_types == log.entity_types
    assert kept.summary().totals.equals(log.summary().totals)


def test_a_question_about_some_types_reads_those_alone_and_once(log, tmp_path: Path):
    log.to_archive(tmp_path / "kept")
    scanned = scan(tmp_path / "kept")
    whole = Recorded(scanned.changes, scanned.facts, entity_types=scanned.entity_types)
    part = whole.part((ORDERS,))
    assert len(part) == len(log.of(ORDERS))
    assert whole.part((ORDERS,)) is part
    assert len(whole) == len(log)
    assert whole.part(("shop.customers",)) is whole, "what was read is not read again"


def test_a_part_of_a_log_answers_as_of_any_change_of_the_whole(log, kept):
    last = log.changes()["id"].max()
    assert log.of("shop.customers").changes()["id"].max() < last
    assert_frame_equal(kept.of("shop.customers").as_of(id=last).collect(), log.of("shop.customers").as_of(id=last))


@pytest.mark.parametrize("memory", [None, "2 kB"])
def test_ids_of_other_types_leave_no_gap(tmp_path: Path, memory: str | None):
    steps = [("INSERT", f"e{number}", {"n": number}, {"entity_type": "ab"[number % 2]}) for number in range(12)]
    al.from_arrow(make_log(steps)).to_archive(tmp_path / "kept")
    assert al.scan_archive(tmp_path / "kept", memory=memory).of("a").evidence().findings.is_empty()


@pytest.mark.parametrize("memory", [None, "2 kB"])
def test_one_entity_has_its_truncates_whichever_bucket_it_is_in(tmp_path: Path, memory: str | None):
    steps = [("INSERT", f"e{number}", {"n": number}) for number in range(12)]
    log = al.from_arrow(make_log([*steps, ("TRUNCATE",), ("INSERT", "e1", {"n": 1}), ("INSERT", "e7", {"n": 1})]))
    log.to_archive(tmp_path / "kept")
    for checkpointed in (False, True):
        if checkpointed:
            al.checkpoint(tmp_path / "kept")
        for entity in ("e1", "e2", "e7", "e11"):
            one, own = al.scan_archive(tmp_path / "kept", memory=memory).entity(entity), log.entity(entity)
            assert_frame_equal(one.changes().collect(), own.changes())
            assert_frame_equal(one.timeline().collect(), own.timeline())
            assert len(one) == len(own)
            assert one.summary().totals.equals(own.summary().totals)


@pytest.mark.parametrize("memory", [None, "2 kB"])
def test_a_type_answers_as_of_changes_of_others_in_buckets_too(tmp_path: Path, memory: str | None):
    types = "aabbbbba"
    steps = [("INSERT", f"e{number}", {"n": number}, {"entity_type": name}) for number, name in enumerate(types)]
    log = al.from_arrow(make_log(steps))
    log.to_archive(tmp_path / "kept")
    for number in (1, 2, 3, 5, 7, 8):
        kept = al.scan_archive(tmp_path / "kept", memory=memory)
        assert_frame_equal(kept.of("b").as_of(id=number).collect(), log.of("b").as_of(id=number))


@pytest.mark.parametrize("memory", [None, "8 kB"])
def test_a_snapshot_from_before_a_types_first_change_sees_none_of_it_in_an_archive_too(tmp_path: Path, memory):
    steps = [("INSERT", f"e{number}", {"n": number}, {"entity_type": "aabb"[number]}) for number in range(4)]
    read = al.from_arrow(make_log(steps))
    facts = replace(read.facts, snapshot="5:5:")
    recorded = Recorded(read.changes(), facts)
    log = al.ChangeLog(Selected(recorded, recorded.entity_types))
    log.to_archive(tmp_path / "kept")
    for checkpointed in (False, True):
        if checkpointed:
            al.checkpoint(tmp_path / "kept")
        kept = al.scan_archive(tmp_path / "kept", memory=memory).of("b")
        answer = kept.as_of(snapshot="3:3:").collect()
        assert answer.is_empty()
        assert_frame_equal(answer, log.of("b").as_of(snapshot="3:3:"))
        assert_frame_equal(kept.blame(snapshot="4:4:").collect(), log.of("b").blame(snapshot="4:4:"))
        with pytest.raises(NoData, match="the snapshot saw no change of this log"):
            al.scan_archive(tmp_path / "kept", memory=memory).of("b").as_of(snapshot="1:1:")


@pytest.mark.parametrize("memory", [None, "20 kB"])
def test_a_type_of_an_archive_knows_up_to_which_change_and_transaction_the_whole_log_goes(tmp_path: Path, memory):
    """A transaction that has changes of two types ends with the last of either, whichever type is asked about."""
    told = [("a", 7), ("a", 8), ("b", 7), ("a", 9), ("a", 8), ("b", 7), ("a", 9)]
    steps = [
        ("INSERT", f"e{number}", {"n": number}, {"entity_type": name, "transaction_id": transaction})
        for number, (name, transaction) in enumerate(told)
    ]
    log = al.from_arrow(make_log(steps))
    log.to_archive(tmp_path / "kept")
    for checkpointed in (False, True):
        if checkpointed:
            al.checkpoint(tmp_path / "kept")
        kept = al.scan_archive(tmp_path / "kept", memory=memory)
        for name in ("a", "b"):
            for number in (0, 8):
                for each in (log.of(name), kept.of(name), al.scan_archive(tmp_path / "kept", entity_types=name)):
                    with pytest.raises(NoData, match="the log holds the changes 1 to 7; asked for the state as of"):
                        each.as_of(id=number)
            for number in (7, 9) if memory else (7, 8, 9):
                answer = kept.of(name).as_of(transaction=number).collect()
                assert_frame_equal(answer, log.of(name).as_of(transaction=number))
            for number in (3, 7):
                answer = al.scan_archive(tmp_path / "kept", entity_types=name, memory=memory).as_of(id=number).collect()
                assert_frame_equal(answer, log.of(name).as_of(id=number))
            with pytest.raises(UnknownChange, match="no transaction 6"):
                kept.of(name).as_of(transaction=6)
    alone = al.scan_archive(tmp_path / "kept", entity_types="b", memory=memory)
    assert alone.evidence().findings.is_empty(), "ids of the other type leave no gap"


@pytest.mark.parametrize("memory", [None, "20 kB"])
def test_a_value_that_no_change_has_is_told_by_an_archive_too(tmp_path: Path, memory: str | None):
    steps = [("INSERT", f"e{number}", {"n": number}, {"changed_by": f"user {number:02}"}) for number in range(12)]
    log = al.from_arrow(make_log(steps))
    log.to_archive(tmp_path / "kept")
    for checkpointed in (False, True):
        if checkpointed:
            al.checkpoint(tmp_path / "kept")
        for each in (log, al.scan_archive(tmp_path / "kept", memory=memory)):
            with pytest.warns(UnknownValue, match="no change of t has transaction_id 99. There are 1 to 12"):
                each.entity("e1").transaction(99).diffs()
            with pytest.warns(
                UnknownValue, match="changed_by 'user 1'. There is 'user 11', 'user 10', 'user 01' and more"
            ):
                each.by("user 1").changes()
            with pytest.warns(
                UnknownValue, match="changed_by 'zoe'. There is 'user 00', 'user 01', 'user 02' and more"
            ):
                each.by("zoe").summary()


def test_rows_that_are_no_changes_are_kept_as_they_are_and_refused_when_asked(tmp_path: Path):
    rows = make_log([("INSERT", "a", {"x": 1}), ("UPDATE", "a", {"x": 2})])
    broken = rows.with_columns(
        pl.when(pl.col("id") == 2).then(None).otherwise("after_snapshot").alias("after_snapshot")
    )
    log = al.from_arrow(broken, strict=False)
    assert log.malformed["id"].to_list() == [2]
    log.to_archive(tmp_path / "kept")
    with pytest.raises(MalformedChange, match="UPDATE without an after image in 1 rows"):
        al.scan_archive(tmp_path / "kept").as_of()
    again = al.scan_archive(tmp_path / "kept", strict=False)
    assert again.malformed.equals(log.malformed)
    assert again.as_of().collect()["x"].to_list() == [1]


def test_an_archive_holds_whole_histories(log, tmp_path: Path):
    for picked in (log.where(operation="DELETE"), log.entity(log.changes()["entity_id"][0])):
        with pytest.raises(BadOption, match="whole histories"):
            picked.to_archive(tmp_path / "kept")
    log.of(ORDERS).to_archive(tmp_path / "orders")
    assert al.scan_archive(tmp_path / "orders").entity_types == (ORDERS,)


def test_a_window_with_its_baseline_comes_back(log, tmp_path: Path):
    middle = log.changes()["changed_at"][400]
    whole = log.of(ORDERS)
    rows = whole.changes()
    facts = LogFacts(coverage=Coverage(middle, log.facts.coverage.end))
    late = pl.col("changed_at") >= middle
    recorded = Recorded(rows.filter(late), facts, baseline=rows.filter(~late))
    al.ChangeLog(Selected(recorded, recorded.entity_types)).to_archive(tmp_path / "window")
    kept = al.scan_archive(tmp_path / "window")
    assert_frame_equal(kept.as_of().collect(), whole.as_of())
    assert kept.changes().collect()["changed_at"].min() >= middle
    with pytest.raises(NoData):
        kept.as_of(log.facts.coverage.start)


def test_a_changed_byte_is_found_before_anything_is_answered(log, tmp_path: Path):
    log.to_archive(tmp_path / "kept")
    victim = max((tmp_path / "kept" / "data").iterdir(), key=lambda path: path.stat().st_size)
    damaged = bytearray(victim.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    victim.write_bytes(bytes(damaged))
    with pytest.raises(ArchiveCorrupt, match="SHA-256"):
        al.scan_archive(tmp_path / "kept")

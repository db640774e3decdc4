"""A log answers from its checkpoints as it does from all of its changes, on both engines, in memory and in buckets."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

import pytest
from checkpointed import KINDS, USED, add, as_of_any, assert_same, of_entity, pulled, whole
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from same_answers import some_of
from soak import SOAK, generated

import auditlab as al
from auditlab.archive.checkpoint import checkpoint
from auditlab.archive.compact import compact
from auditlab.capture.track import track
from auditlab.connection import connect
from auditlab.testing import histories, make_log
from auditlab.testing.schedules import schedule

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl
    from same_answers import Verbs


@pytest.mark.parametrize("place", range(len(KINDS)), ids=list(KINDS))
def test_an_entity_is_answered_alike_from_any_checkpoint(place: int, tmp_path_factory: pytest.TempPathFactory):
    turns = count(place)

    @generated(60, few=2)
    @given(
        histories(max_steps=24, **list(KINDS.values())[place]).filter(lambda frame: len(frame) > 8),
        st.lists(st.floats(0, 1), max_size=3),
        st.integers(0, 3),
    )
    def run(frame: pl.DataFrame, cuts: list[float], written: int) -> None:
        turn = next(turns)
        folder = tmp_path_factory.mktemp("archive") / "archive"
        facts = al.from_arrow(frame).facts
        pieces = pulled(frame, cuts)
        for number, piece in enumerate(pieces):
            add(folder, piece, facts)
            if number == min(written, len(pieces) - 1):
                checkpoint(folder)
        if turn % 3 == 0:
            compact(folder, grace=0)
        assert al.verify(folder) == []
        entities = frame.select("entity_type", "entity_id").drop_nulls().unique(maintain_order=True)
        verbs: Verbs = {}
        middle = facts.coverage.start + (facts.coverage.end - facts.coverage.start) / 2  # type: ignore[operator]
        for entity_type, key in entities.head(4).iter_rows():
            verbs |= of_entity(entity_type, key, middle)
        assert_same(folder, some_of(verbs, turn, one_in=6), engine=("polars", "duckdb")[turn % 2])

    run()
    assert USED["of_entity used"] > USED["of_entity not used"]


@pytest.mark.parametrize("place", range(len(KINDS)), ids=list(KINDS))
def test_states_are_answered_alike_from_any_checkpoint(place: int, tmp_path_factory: pytest.TempPathFactory):
    turns = count(place)

    @generated(60, few=2)
    @given(
        histories(max_steps=24, **list(KINDS.values())[place]).filter(lambda frame: len(frame) > 8),
        st.lists(st.floats(0, 1), min_size=1, max_size=4),
        st.lists(st.integers(0, 4), min_size=1, max_size=2),
        st.sampled_from([(), ("shop.items",)]),
    )
    def run(frame: pl.DataFrame, cuts: list[float], written: list[int], partial: tuple[str, ...]) -> None:
        turn = next(turns)
        folder = tmp_path_factory.mktemp("archive") / "archive"
        facts = replace(al.from_arrow(frame).facts, partial=partial)
        pieces = pulled(frame, cuts)
        for number, piece in enumerate(pieces):
            add(folder, piece, facts)
            if number in written or number == len(pieces) - 2:
                checkpoint(folder)
        verbs = as_of_any(al.scan_archive(folder), frame)
        late = {
            name: verb for name, verb in verbs.items() if name.startswith(("now", "at 1.0", "of id 1.0", "of mark 1.0"))
        }
        picked = some_of(verbs, turn, one_in=8) | some_of(late, turn, one_in=3)
        assert_same(folder, picked, engine=("polars", "duckdb")[turn % 2])

    before = USED["onwards used"]
    run()
    if place < 3:  # keys that changed, and values that were not sent, leave many a log to be asked as a whole
        assert USED["onwards used"] > before


@pytest.mark.parametrize("seed", range(40 if SOAK else 4))
def test_marks_and_times_are_answered_alike_whoever_was_at_work(tmp_path: Path, seed: int):
    """Transactions that overlap each other, the pulls and the checkpoints, with all that marks tell of them."""
    told = schedule(seed, steps=160)
    within = told.longest.total_seconds() * (0.5 if seed % 3 == 0 else 1)  # too short: marks tell of longer ones
    rows = told.log if seed % 2 else told.committed()
    facts = replace(al.from_arrow(rows).facts, marks=told.marks[: len(told.marks) // 2], visible_within=within)
    facts = replace(facts, coverage=replace(facts.coverage, end=told.end))
    for number, piece in enumerate(pulled(rows, (0.3, 0.6, 0.8))):
        add(tmp_path / "archive", piece, facts)
        if number < 3:
            checkpoint(tmp_path / "archive")
    verbs: Verbs = {"now": lambda log: log.as_of()}
    for place, mark in list(enumerate(told.marks))[:: 1 if SOAK else 6]:
        verbs |= {
            f"mark {place}": lambda log, mark=mark: log.as_of(mark=mark),
            f"snapshot {place}": lambda log, mark=mark: log.as_of(snapshot=mark.snapshot),
            f"time {place}": lambda log, mark=mark: log.as_of(mark.at),
            f"doubtful {place}": lambda log, mark=mark: log.doubtful(mark.at),
            f"all marks, time {place}": lambda log, mark=mark: log.with_marks(told.marks).as_of(mark.at),
            f"all marks, doubtful {place}": lambda log, mark=mark: log.with_marks(told.marks).doubtful(mark.at),
        }
    assert_same(tmp_path / "archive", verbs, engine=("polars", "duckdb")[seed % 2])


def test_pulls_and_a_log_in_two_places_go_on_over_checkpoints(captured: str, tmp_path: Path):
    """On a real PostgreSQL: with the catalog's types and keys, a changed key, a TRUNCATE, and what came after."""
    folder = tmp_path / "archive"
    with connect(captured, autocommit=True) as db:
        db.execute("CREATE TABLE public.t (id int PRIMARY KEY, v numeric(12,2), at timestamptz DEFAULT now())")
        db.execute("CREATE TABLE public.u (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), n int)")
    track(captured, ["public.t", "public.u"])
    works = (
        (
            "INSERT INTO public.t SELECT n, n * 1.10 FROM generate_series(1, 40) AS n;"
            "INSERT INTO public.u (n) SELECT n FROM generate_series(1, 40) AS n"
        ),
        (
            "UPDATE public.t SET id = id + 1000 WHERE id < 5; UPDATE public.u SET n = -n WHERE n % 2 = 0;"
            "DELETE FROM public.u WHERE n % 5 = 0"
        ),
        "UPDATE public.t SET v = v + 1 WHERE id > 20; INSERT INTO public.u (n) VALUES (7)",
        "DELETE FROM public.t WHERE id > 1000; TRUNCATE public.u; INSERT INTO public.u (n) VALUES (8)",
    )
    for number, work in enumerate(works):
        with connect(captured, autocommit=True) as db:
            for statement in work.split(";"):
                db.execute(statement)
        al.archive_postgres(captured, folder)
        if number in (1, 2):
            told = checkpoint(folder)
            assert set(told.rows) == {"public.t", "public.u"}
        log = whole(folder)
        end = log.facts.coverage.end
        ids = {name: log.of(name).as_of().collect()["entity_id"][0] for name in log.entity_types}
        verbs: Verbs = {
            "now": lambda log: log.as_of(),
            "then": lambda log, end=end: log.as_of(end),
            "doubtful": lambda log, end=end: log.doubtful(end),
        }
        for name, key in ids.items():
            verbs[f"now of {name}"] = lambda log, own=name: log.of(own).as_of()
            verbs |= of_entity(name, key, end)
        before = Counter(USED)
        assert_same(folder, some_of(verbs, number, one_in=3))
        if number:
            assert (USED - before)["onwards used"]
            assert (USED - before)["of_entity used"] > (USED - before)["of_entity not used"]
    assert al.verify(folder) == []
    assert_frame_equal(
        al.scan(captured, folder).of("public.t").as_of().collect(), al.read_postgres(captured).of("public.t").as_of()
    )


def test_a_log_that_is_read_otherwise_is_not_answered_from_what_was_recorded(tmp_path: Path):
    frame = make_log([("INSERT", "a", {"n": 1}), ("INSERT", "b", {"n": 2}), ("UPDATE", "a", {"m": 1})])
    log = al.from_arrow(frame)
    add(tmp_path / "archive", frame, log.facts)
    assert checkpoint(tmp_path / "archive").number
    upcasters = al.Upcasters(default=1)
    upcasters.register("t", 1, lambda document: {"m": document.get("n", document.get("m"))})
    verbs: Verbs = {
        "now": lambda log: log.as_of(),
        "one": lambda log: log.entity("a").history(),
        "in doubt": lambda log: log.doubtful(log.facts.coverage.end),
    }
    assert_same(
        tmp_path / "archive",
        {
            f"{name} {how}": lambda log, verb=verb, read=read: verb(read(log))
            for how, read in {
                "renamed": lambda log: log.renamed({"n": "m"}),
                "upcast": lambda log: log.upcast(upcasters),
            }.items()
            for name, verb in verbs.items()
        },
    )
    assert al.scan_archive(tmp_path / "archive").renamed({"n": "m"}).as_of().collect()["m"].to_list() == [1, 2]

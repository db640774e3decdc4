"""A log answers from its checkpoints as it does from all of its changes, on both engines, in memory and in buckets."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from archived_log import forge
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from test_crash import run

import auditlab as al
from auditlab.archive.checkpoint import checkpoint
from auditlab.archive.compact import compact
from auditlab.archive.manifest import read_chain
from auditlab.archive.seal import new_key
from auditlab.archive.write import ArchiveWriter
from auditlab.capture.track import track
from auditlab.connection import connect
from auditlab.errors import ArchiveCorrupt, AuditlabError, BadOption, UnknownEntity
from auditlab.load.source import batches
from auditlab.schema import CHANGES
from auditlab.testing import histories, make_log
from auditlab.testing.schedules import schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from auditlab.schema import LogFacts

SOAK = os.environ.get("AUDITLAB_SOAK") == "1"
KILLED = Path(__file__).parent / "killed_compactor.py"
USED: Counter[str] = Counter()
"""How often a question was answered from a checkpoint, and how often it was not."""


def add(folder: Path, rows: pl.DataFrame, facts: LogFacts, baseline: pl.DataFrame | None = None) -> None:
    """Add rows to an archive, or begin one with them, as a pull does."""
    chain = read_chain(folder) if folder.exists() else ()
    with ArchiveWriter(folder, chain=chain) as writer:
        for batch in () if baseline is None else batches(baseline.select(*CHANGES)):
            writer.write(batch, role="baseline")
        for batch in batches(rows.select(*CHANGES)):
            writer.write(batch)
        writer.commit(facts)


def pulled(frame: pl.DataFrame, cuts: Iterable[float]) -> list[pl.DataFrame]:
    """The rows as several pulls bring them, each with the transactions up to one."""
    ids = frame["transaction_id"].drop_nulls().unique().sort()
    if len(ids) < 2 or frame["transaction_id"].null_count():
        return [frame]
    bounds = sorted({int(ids[int(cut * (len(ids) - 1))]) for cut in cuts})
    number = pl.Series(bounds).search_sorted(frame["transaction_id"], side="left")
    return [own for place in range(len(bounds) + 1) if len(own := frame.filter(number == place))]


def whole(folder: Path) -> al.ChangeLog[pl.LazyFrame]:
    """The archive's log, asked without its checkpoints."""
    log = al.scan_archive(folder)
    log.selected.recorded.shortcuts = None
    return log


class Watched:
    """The shortcuts of a log, counted."""

    def __init__(self, log: al.ChangeLog[Any]) -> None:
        self._own = log.selected.recorded.shortcuts
        log.selected.recorded.shortcuts = self

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def asked(*args: Any) -> Any:  # noqa: ANN401 - whatever it answers
            found = getattr(self._own, name)(*args)
            USED[f"{name} {'not ' if found is None else ''}used"] += 1
            return found

        return asked


def answer(log: al.ChangeLog[Any], verb: Callable[[al.ChangeLog[Any]], Any]) -> Any:  # noqa: ANN401 - any answer
    """What a verb answers, collected, and its warnings; the words of its error."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = verb(log)
        except AuditlabError as exc:
            return f"{type(exc).__name__}: {exc}", []
    return (found.collect() if isinstance(found, pl.LazyFrame) else found), sorted({str(one.message) for one in caught})


def assert_same(
    folder: Path, verbs: dict[str, Callable[..., Any]], *, engine: str = "duckdb", memory: str | None = None
) -> None:
    """Each verb, asked of a log of its own: with and without checkpoints the same frame, error and warnings."""
    reference = whole(folder).on(engine)
    for name, verb in verbs.items():
        log = al.scan_archive(folder, memory=memory).on(engine)  # once it was read, it is asked itself
        Watched(log)
        (want, told), (got, said) = answer(reference, verb), answer(log, verb)
        assert said == told, f"{name}: {want if isinstance(want, str) else got}"
        if isinstance(want, pl.DataFrame):
            assert isinstance(got, pl.DataFrame), f"{name}: {got}"
            try:
                assert_frame_equal(got, want)
            except AssertionError as exc:
                raise AssertionError(f"{name}: {exc}") from exc
        else:
            assert got == want, name


def of_entity(entity_type: str, key: str, middle: Any) -> dict[str, Callable[..., Any]]:  # noqa: ANN401 - a time
    """Every verb that tells of one entity."""

    def own(log: al.ChangeLog[Any]) -> al.ChangeLog[Any]:
        return log.of(entity_type).entity(key)

    return {
        f"{name} of {key!r} of {entity_type}": verb
        for name, verb in {
            "changes": lambda log: own(log).changes(),
            "history": lambda log: own(log).history(),
            "diffs": lambda log: log.entity(key, entity_type).diffs(),
            "blame": lambda log: own(log).blame(),
            "as of": lambda log: own(log).as_of(),
            "as of a time": lambda log: own(log).as_of(middle),
            "as of an id": lambda log: own(log).as_of(id=7),
            "compare": lambda log: own(log).compare(middle, log.facts.coverage.end),
            "timeline": lambda log: own(log).timeline(),
            "replay": lambda log: own(log).replay(steps=True),
            "key changes": lambda log: own(log).key_changes(),
            "doubtful": lambda log: own(log).doubtful(middle),
            "picked": lambda log: own(log).where(operation="UPDATE").diffs(),
        }.items()
    }


KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "with rows lost": {"lossy": True},
    "with commit times": {"committed": True},
    "with keys that change": {"rekeyed": True},
    "with keys that change and partitions": {"rekeyed": True, "partitioned": True},
    "with unavailable values": {"unavailable": True},
}
GENERATED = settings(
    max_examples=60 if SOAK else 4,
    deadline=None,
    derandomize=not SOAK,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)


@pytest.mark.parametrize("place", range(len(KINDS)), ids=list(KINDS))
def test_an_entity_is_answered_alike_from_any_checkpoint(place: int, tmp_path_factory: pytest.TempPathFactory):
    turns = count(place)

    @GENERATED
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
        verbs: dict[str, Callable[..., Any]] = {}
        middle = facts.coverage.start + (facts.coverage.end - facts.coverage.start) / 2  # type: ignore[operator]
        for entity_type, key in entities.head(4).iter_rows():
            verbs |= of_entity(entity_type, key, middle)
        verbs = dict(list(verbs.items())[turn % 3 :: 1 if SOAK else 3])
        assert_same(folder, verbs, engine=("polars", "duckdb")[turn % 2])

    run()
    assert USED["of_entity used"] > USED["of_entity not used"]


def orders(count: int, *, first: int = 0) -> pl.DataFrame:
    """A log of orders with uuids for ids: each is inserted and updated, every fifth is deleted."""
    keys = [f"00000000-0000-4000-8000-{number:012d}" for number in range(first, first + count)]
    steps: list[tuple[Any, ...]] = [("INSERT", key, {"id": key, "n": n}) for n, key in enumerate(keys)]
    steps += [("UPDATE", key, {"id": key, "n": -n}) for n, key in enumerate(keys)]
    return make_log([*steps, *(("DELETE", key) for key in keys[::5])], entity_type="shop.orders")


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """An archive of two pulls with a checkpoint between them."""
    frame = orders(40)
    facts = al.from_arrow(frame).facts
    add(tmp_path / "archive", frame[:70], facts)
    checkpoint(tmp_path / "archive")
    add(tmp_path / "archive", frame[70:], facts)
    return tmp_path / "archive"


def test_one_entity_is_found_without_reading_the_others(kept: Path, monkeypatch: pytest.MonkeyPatch):
    log = whole(kept)
    keys = log.as_of().collect()["entity_id"]
    wanted = {key: log.of("shop.orders").entity(key).history().collect() for key in keys}
    for engine, memory in (("polars", None), ("duckdb", None), ("polars", "80 kB")):
        assert_same(kept, of_entity("shop.orders", keys[3], log.facts.coverage.end), engine=engine, memory=memory)

    def refuse(*_: object) -> None:
        raise AssertionError("rows of others were read")

    monkeypatch.setattr("auditlab.archive.rows._file_rows", refuse)
    asked = al.scan_archive(kept)
    for key, history in wanted.items():
        assert_frame_equal(asked.of("shop.orders").entity(key).history().collect(), history)
    with pytest.raises(UnknownEntity, match="no entity 'nobody'"):
        asked.entity("nobody")


def test_a_folder_whose_name_is_a_pattern_is_read_without_the_filters(kept: Path, tmp_path: Path):
    odd = tmp_path / "a[b]*?"
    odd.mkdir()
    kept.rename(odd / "archive")
    key = whole(odd / "archive").as_of().collect()["entity_id"][3]
    assert_same(odd / "archive", of_entity("shop.orders", key, "2024-01-01T00:01:00Z"))


def test_a_checkpoint_is_no_part_of_the_log(kept: Path):
    manifests = [manifest for manifest, _ in read_chain(kept)]
    assert [(one.format, one.checkpoint is not None) for one in manifests] == [(3, False), (4, True), (3, False)]
    assert manifests[1].segments == ()
    assert len(al.scan_archive(kept)) == 88
    assert pl.read_parquet(kept / "data" / "*.parquet", columns=["id"]).height == 88
    before = al.head(kept)
    compact(kept, grace=0)
    assert al.verify(kept, heads=[before]) == []
    key = whole(kept).as_of().collect()["entity_id"][0]
    assert_same(kept, of_entity("shop.orders", key, "2024-01-01T00:01:00Z"))
    assert USED["of_entity used"]


def test_only_what_is_due_is_written(kept: Path):
    last = read_chain(kept)[1][0].checkpoint
    assert last is not None
    assert [part.rows for part in last.parts] == [40]
    again = checkpoint(kept, due=True)
    assert (again.number, again.since, str(again)) == (
        None,
        18,
        f"no checkpoint written in {kept}: 18 rows since the last one",
    )
    new = checkpoint(kept)
    assert (new.number, new.changes, new.rows, new.since) == (4, 88, {"shop.orders": 32}, 18)
    assert checkpoint(kept).number is None


FORGED: dict[str, Callable[[dict[str, Any]], None]] = {
    "it stands for less": lambda body: body["checkpoint"].update(covers=1),
    "no part": lambda body: body["checkpoint"].update(parts=[]),
    "of a manifest to come": lambda body: body["checkpoint"].update(covers=9),
    "a part of the log": lambda body: body["checkpoint"]["parts"][0].update(role="changes"),
    "of an older format": lambda body: body.update(format=3),
}


@pytest.mark.parametrize("place", range(len(FORGED)), ids=list(FORGED))
def test_a_checkpoint_that_is_not_what_the_rows_make_is_found(kept: Path, place: int):
    checkpoint(kept)
    assert al.verify(kept) == []
    forge(kept, list(FORGED.values())[place], number=4)
    found = al.verify(kept)
    words = "with other rows than those that decide the states" if not place else "does not hold what a manifest must"
    assert words in str(found[0])


def test_a_damaged_checkpoint_is_found_before_it_is_used(kept: Path):
    (path,) = (kept / "checkpoints").iterdir()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    key = whole(kept).as_of().collect()["entity_id"][0]
    with pytest.raises(ArchiveCorrupt, match="SHA-256 differs"):
        al.scan_archive(kept).of("shop.orders").entity(key)
    assert "SHA-256 differs" in str(al.verify(kept)[0])


def test_a_writer_of_checkpoints_killed_at_any_step_leaves_the_archive_as_it_was_or_with_one(
    tmp_path: Path, kept: Path
):
    (tmp_path / "k").mkdir()
    heads = [al.head(kept)]
    steps = int(run(str(KILLED), str(kept), str(tmp_path / "k"), "checkpoint"))
    assert steps > 5
    written = 0
    for step in range(1, steps + 1):
        folder = tmp_path / "k" / str(step)
        there = len(read_chain(folder)) == 4
        written += there
        assert al.verify(folder, heads=heads) == []
        assert len(al.scan_archive(folder)) == 88
        assert (checkpoint(folder).number is None) == there
    assert 0 < written < steps


def test_a_type_whose_log_leaves_something_open_has_nothing_in_it(tmp_path: Path):
    open_ = make_log([("INSERT", "a", {"n": 1}), ("UPDATE", "a", None, {"changed_fields": {"n": 2}})])
    gone = make_log([("INSERT", "b", {"n": 1}), ("DELETE", "b")], entity_type="u")
    add(tmp_path / "archive", pl.concat([open_, gone]), al.from_arrow(open_).facts)
    told = checkpoint(tmp_path / "archive")
    assert told.number is None
    assert told.left_out == {
        "t": "changes leave out values that only other changes tell",
        "u": "none of its rows is live",
    }


def test_a_signed_archive_takes_a_checkpoint_with_the_key(tmp_path: Path):
    private, public = new_key(tmp_path / "key")
    frame = orders(10)
    al.from_arrow(frame).to_archive(tmp_path / "archive", sign=private)
    with pytest.raises(BadOption, match="is signed"):
        checkpoint(tmp_path / "archive")
    assert checkpoint(tmp_path / "archive", sign=private).number == 2
    assert al.verify(tmp_path / "archive", keys=[public]) == []


def as_of_any(log: al.ChangeLog[Any], frame: pl.DataFrame) -> dict[str, Callable[..., Any]]:
    """As of times, ids and marks all over a log, of all types and of each."""
    coverage = log.facts.coverage
    assert coverage.start is not None
    assert coverage.end is not None
    ids, transactions = frame["id"].unique().sort(), frame["transaction_id"].drop_nulls().unique().sort()
    verbs: dict[str, Callable[..., Any]] = {"now": lambda log: log.as_of()}
    for share in (0.2, 0.5, 0.8, 1.0):
        at = coverage.start + (coverage.end - coverage.start) * share
        id_ = int(ids[int(share * (len(ids) - 1))])
        verbs[f"at {share}"] = lambda log, at=at: log.as_of(at)
        verbs[f"doubtful at {share}"] = lambda log, at=at: log.with_marks([], visible_within=40).doubtful(at)
        verbs[f"in doubt at {share}"] = lambda log, at=at: log.with_marks([], visible_within=4000).as_of(at)
        verbs[f"of id {share}"] = lambda log, id_=id_: log.as_of(id=id_)
        if len(transactions):
            last = int(transactions[int(share * (len(transactions) - 1))])
            mark = al.Mark(at=at, snapshot=f"{last}:{last + 2}:{last}")
            verbs[f"of mark {share}"] = lambda log, mark=mark: log.with_marks(mark, visible_within=0).as_of(mark=mark)
            verbs[f"beside mark {share}"] = lambda log, mark=mark, at=at: log.with_marks(mark, visible_within=60).as_of(
                at
            )
    own = {
        f"{name} of {entity_type}": lambda log, verb=verb, entity_type=entity_type: verb(log.of(entity_type))
        for name, verb in verbs.items()
        for entity_type in log.entity_types
    }
    return verbs | own


@pytest.mark.parametrize("place", range(len(KINDS)), ids=list(KINDS))
def test_states_are_answered_alike_from_any_checkpoint(place: int, tmp_path_factory: pytest.TempPathFactory):
    turns = count(place)

    @GENERATED
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
        late = [name for name in verbs if name.startswith(("now", "at 1.0", "of id 1.0", "of mark 1.0"))]
        picked = dict(list(verbs.items())[turn % 4 :: 1 if SOAK else 4])
        verbs = picked | {name: verbs[name] for name in late}
        assert_same(folder, verbs, engine=("polars", "duckdb")[turn % 2])

    before = USED["onwards used"]
    run()
    if place < 3:  # keys that changed, and values that were not sent, leave many a log to be asked as a whole
        assert USED["onwards used"] > before


@pytest.mark.parametrize("seed", range(40 if SOAK else 6))
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
    verbs: dict[str, Callable[..., Any]] = {"now": lambda log: log.as_of()}
    for place, mark in list(enumerate(told.marks))[:: 1 if SOAK else 3]:
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
        verbs: dict[str, Callable[..., Any]] = {
            "now": lambda log: log.as_of(),
            "then": lambda log, end=end: log.as_of(end),
            "doubtful": lambda log, end=end: log.doubtful(end),
        }
        for name, key in ids.items():
            verbs[f"now of {name}"] = lambda log, own=name: log.of(own).as_of()
            verbs |= of_entity(name, key, end)
        before = Counter(USED)
        assert_same(folder, verbs)
        if number:
            assert (USED - before)["onwards used"]
            assert (USED - before)["of_entity used"] > (USED - before)["of_entity not used"]
    assert al.verify(folder) == []
    assert_frame_equal(
        al.scan(captured, folder).of("public.t").as_of().collect(), al.read_postgres(captured).of("public.t").as_of()
    )

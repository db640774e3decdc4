"""A log that is dealt out into buckets answers every question as the same log in memory does, on both engines."""

from __future__ import annotations

import gc
import os
import tempfile
import warnings
from dataclasses import replace
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from polars.testing import assert_frame_equal

import auditlab as al
from auditlab.buckets.bucketed import AMPLIFIED, SHARE, Bucketed, Rows
from auditlab.changelog import ChangeLog
from auditlab.errors import (
    AuditlabError,
    BadOption,
    LogTooLarge,
    MalformedChange,
    NoData,
    SpillFailed,
    UncertainTime,
    WithheldFields,
)
from auditlab.schema import CHANGES
from auditlab.testing import histories, make_log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.filterwarnings("error")

SOAK = os.environ.get("AUDITLAB_SOAK") == "1"
OUTSIDE = "AUDITLAB_TEST_DATA"
ENOUGH = 12
"""Changes that a generated log has at the least, so that several buckets have some."""


def dealt_out(log: al.ChangeLog[Any], buckets: int) -> al.ChangeLog[pl.LazyFrame]:
    """The same log, asked in so many buckets."""
    selected = log._selected  # noqa: SLF001 - what a scanned archive would be, without the archive
    recorded = selected.recorded
    rows = recorded.changes.sort("row")  # as it came: by id
    size = int(rows.estimated_size())

    def batches(entity_types: tuple[str, ...]) -> Iterator[tuple[pl.DataFrame, bool]]:
        own = rows.filter(pl.col("entity_type").is_in(entity_types))
        for early in (True, False):
            for part in own.filter(pl.col("baseline") == early).select(*CHANGES).iter_slices(7):
                yield part, early

    room = -(-size * AMPLIFIED * SHARE // buckets)
    bucketed = Bucketed(Rows(batches, len(rows), size), recorded.facts, entity_types=recorded.entity_types, room=room)
    assert -(-bucketed.needed * SHARE // room) == buckets
    return ChangeLog(replace(selected, recorded=bucketed), lazy=True)


def answer(log: al.ChangeLog[Any], verb: Callable[[al.ChangeLog[Any]], Any]) -> Any:  # noqa: ANN401 - any answer
    """What a verb answers, collected; the words of its error, or of its warnings beside it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = verb(log)
        except AuditlabError as exc:
            return f"{type(exc).__name__}: {exc}"
    told = sorted({str(one.message) for one in caught})
    if isinstance(found, pl.LazyFrame):
        found = found.collect()
    return found, told


def assert_same(whole: al.ChangeLog[Any], parts: al.ChangeLog[Any], verbs: dict[str, Callable[..., Any]]) -> None:
    """Every verb, the same frame, the same errors, the same warnings."""
    for name, verb in verbs.items():
        want, got = answer(whole, verb), answer(parts, verb)
        if isinstance(want, str) or isinstance(got, str):
            assert isinstance(want, str), f"{name}: {got}"
            assert got == want, name
            continue
        assert got[1] == want[1], name
        if isinstance(want[0], pl.DataFrame):
            try:
                assert_frame_equal(got[0], want[0])
            except AssertionError as exc:
                raise AssertionError(f"{name}: {exc}") from exc
        else:
            assert str(got[0]) == str(want[0]), name


def rows_of_evidence(log: al.ChangeLog[Any]) -> pl.DataFrame:
    """The rows behind all findings; those of one change in any order."""
    found = log.evidence()
    rows = [found.rows(kind).with_columns(kind=pl.lit(kind)) for kind in found.findings["kind"].sort()]
    return pl.concat(rows).sort(pl.all()) if rows else pl.DataFrame()


def asked_of(log: al.ChangeLog[Any]) -> dict[str, Callable[[al.ChangeLog[Any]], Any]]:
    """Every verb that a log in buckets answers, over all types and over each of them."""
    coverage = log.facts.coverage
    assert coverage.start is not None
    assert coverage.end is not None
    start, end = coverage.start, coverage.end
    middle = start + (end - start) / 2
    rows = log._selected.recorded.changes  # noqa: SLF001 - to choose what to ask for
    ids = rows["id"].unique().sort()
    transactions = rows["transaction_id"].drop_nulls().unique().sort()
    transaction = transactions[len(transactions) // 2] if len(transactions) else 1
    mark = al.Mark(at=middle, snapshot=f"{transaction}:{transaction + 1}:{transaction}")
    user = next(iter(rows["changed_by"].drop_nulls()), None)
    spine = pl.DataFrame(
        {
            "entity_id": [*rows["entity_id"].drop_nulls().unique().sort()[:40], "nobody", None],
        }
    ).join(
        pl.DataFrame({"at": [start, middle, end, None]}, schema_overrides={"at": pl.Datetime("us", "UTC")}), how="cross"
    )
    every: dict[str, Callable[[al.ChangeLog[Any]], Any]] = {
        "changes": lambda log: log.changes(),
        "as of": lambda log: log.as_of(),
        "as of a time": lambda log: log.as_of(middle),
        "as of an id": lambda log: log.as_of(id=int(ids[len(ids) // 2])),
        "as of a transaction": lambda log: log.as_of(transaction=transaction),
        "as of no transaction": lambda log: log.as_of(transaction=-7),
        "as of a mark": lambda log: log.with_marks(mark, visible_within=0).as_of(mark=mark),
        "blame as of a mark": lambda log: log.with_marks(mark, visible_within=0).blame(mark=mark),
        "compare marks": lambda log: log.with_marks(mark, visible_within=0).compare(marks=(mark, mark)),
        "as of a time with a mark": lambda log: log.with_marks(mark, visible_within=60).as_of(middle),
        "compare with a mark": lambda log: log.with_marks(mark, visible_within=60).compare(start, middle),
        "doubtful": lambda log: log.with_marks(mark, visible_within=60).doubtful(middle),
        "history": lambda log: log.history(),
        "diffs": lambda log: log.diffs(),
        "compare": lambda log: log.compare(middle, end),
        "compare steps": lambda log: log.compare(start, middle, steps=True),
        "blame": lambda log: log.blame(),
        "blame at a time": lambda log: log.blame(at=middle),
        "timeline": lambda log: log.timeline(),
        "replay": lambda log: log.replay(middle),
        "replay steps": lambda log: log.replay(steps=True),
        "key changes": lambda log: log.key_changes(),
        "fields": lambda log: log.fields(),
        "length": len,
        "repr": repr,
        "picked diffs": lambda log: log.by(user).diffs(),
        "picked changes": lambda log: log.where(operation="UPDATE").changes(),
        "picked timeline": lambda log: log.between(start, middle).timeline(),
        **{
            f"summary {name}": lambda log, name=name: getattr(log.summary(period="hour", recent=5), name)
            for name in ("totals", "by_operation", "by_user", "by_type", "by_period", "recent")
        },
        "why not an unknown one": lambda log: log.why_not("nobody", middle),
        "records": list,
        "an Arrow stream": pl.DataFrame,
        "picked records": lambda log: list(log.by(user)),
        **{
            f"activity {name}": lambda log, name=name: getattr(log.activity(), name)
            for name in ("period", "by_operation", "by_user", "by_hour", "by_entity", "by_field", "by_size")
        },
        "picked activity": lambda log: log.by(user).activity(period="hour").by_field,
        "evidence": lambda log: log.evidence().findings,
        "evidence without documents": lambda log: log.evidence(documents=False).findings,
        "changes looked at": lambda log: log.evidence(documents=False).changes,
        "evidence rows": rows_of_evidence,
        "drift": lambda log: log.drift(),
        "picked summary": lambda log: log.where(operation="UPDATE").summary().totals,
    }
    for entity_type in log.entity_types:
        entity = rows.filter(pl.col("entity_type") == entity_type)["entity_id"].drop_nulls()
        for name in ("as of a time", "history", "diffs", "blame", "compare", "replay", "replay steps", "fields"):
            every[f"{name} of {entity_type}"] = lambda log, name=name, own=entity_type: every[name](log.of(own))
        every[f"join {entity_type}"] = lambda log, own=entity_type: log.of(own).pit_join(spine, outside="flag")
        every[f"evidence of {entity_type}"] = lambda log, own=entity_type: rows_of_evidence(log.of(own))
        every[f"activity of {entity_type}"] = lambda log, own=entity_type: log.of(own).activity().by_field
        if len(entity):
            every[f"evidence of one of {entity_type}"] = lambda log, own=entity_type, key=entity[0]: rows_of_evidence(
                log.of(own).entity(key)
            )
        for key in entity.unique().sort()[:3]:
            for at in (start, middle, None):
                every[f"why not {key} of {entity_type} at {at}"] = lambda log, own=entity_type, key=key, at=at: (
                    log.why_not(key, at, entity_type=own)
                )
        if len(entity):
            every[f"one of {entity_type}"] = lambda log, own=entity_type, key=entity[0]: log.of(own).history(key)
            every[f"the timeline of one of {entity_type}"] = lambda log, own=entity_type, key=entity[0]: log.of(
                own
            ).timeline(key)
    return every


def assert_all_same(frame: pl.DataFrame, *, buckets: int, engine: str, turn: int = 0) -> None:
    """Every verb, or every third in turn, where a soak is not asked for."""
    whole = al.from_arrow(frame).on(engine)
    verbs = list(asked_of(whole).items())
    assert_same(whole, dealt_out(whole, buckets), dict(verbs if SOAK else verbs[turn % 3 :: 3]))


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
    turns = count(place)

    @settings(
        max_examples=40 if SOAK else 2,
        deadline=None,
        derandomize=not SOAK,
        database=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )
    @given(histories(max_steps=24, **list(KINDS.values())[place]).filter(lambda frame: len(frame) >= ENOUGH))
    def run(frame: pl.DataFrame) -> None:
        turn = next(turns)
        assert_all_same(frame, buckets=3 + len(frame) % 5, engine=("polars", "duckdb")[turn % 2], turn=turn)

    run()


@pytest.mark.parametrize(("folder", "buckets", "engine"), [("sp500", 5, "duckdb"), ("shop", 7, "polars")])
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


def test_what_needs_all_changes_at_once_says_how_much_memory_it_takes():
    log = dealt_out(al.from_arrow(make_log([("INSERT", f"e{n}", {"n": n}) for n in range(20)])), 3)
    with pytest.raises(LogTooLarge, match=r"needs all 20 changes in memory at once, about .* GB, and may take"):
        log.renamed({"n": "m"})
    refused: list[Callable[[al.ChangeLog[Any]], object]] = [
        lambda log: log.aggregate("t", items=("t", "n")),
    ]
    for ask in refused:
        with pytest.raises(LogTooLarge, match="needs all 20 changes"):
            ask(log)
    without = make_log([("INSERT", "a", {"n": 1}), ("UPDATE", "a", None, {"changed_fields": {"n": 2}})])
    with pytest.raises(LogTooLarge, match=r"changes of t \(id 2\) have no after image"):
        dealt_out(al.from_arrow(without), 2).history()
    with pytest.raises(BadOption, match="looks at one change at a time"):
        log.where(pl.col("id") == pl.col("id").max()).changes()
    assert log.where(pl.col("id") > 5, pl.col("entity_id").str.contains("1")).changes().collect().height == 10


@pytest.mark.parametrize("missing", ["before", "after", "images", "all", "some"])
def test_images_that_are_missing_are_completed_as_in_memory_or_refused(missing: str):
    """What changed fields mean, and whether a missing image is a fault, all changes of a type decide together."""
    told = {"answered": 0, "refused": 0}

    @settings(
        max_examples=40 if SOAK else 3,
        deadline=None,
        derandomize=not SOAK,
        database=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    @given(histories(missing=missing, max_steps=24).filter(lambda frame: len(frame) >= ENOUGH))
    def run(frame: pl.DataFrame) -> None:
        while len(kept := al.from_arrow(frame, strict=False).changes()) < len(frame):
            frame = kept
        whole = al.from_arrow(frame)
        silent = frame.filter(pl.col("operation").is_in(["INSERT", "UPDATE"]) & pl.col("after_snapshot").is_null())
        for entity_type in whole.entity_types:
            own = whole.of(entity_type)
            for verb in (lambda log: log.history(), lambda log: log.diffs(), lambda log: log.blame()):
                got = answer(dealt_out(whole, 3).of(entity_type), verb)
                if isinstance(got, str) and got.startswith("LogTooLarge") and entity_type in silent["entity_type"]:
                    assert "have no after image" in got
                    told["refused"] += 1
                    continue
                want = answer(own, verb)
                told["answered"] += 1
                assert isinstance(got, str) == isinstance(want, str), (got, want)
                if not isinstance(want, str):
                    assert_frame_equal(got[0], want[0])
                    assert got[1] == want[1]

    run()
    assert told["answered" if missing == "before" else "refused"] > 0


def test_an_archive_under_a_memory_limit_answers_as_one_without(tmp_path: Path):
    steps = [("INSERT", f"e{n}", {"n": n, "text": "x" * 50}) for n in range(60)]
    steps += [("UPDATE", f"e{n}", {"n": -n, "text": "y" * 50}) for n in range(0, 60, 3)]
    al.from_arrow(make_log(steps)).to_archive(tmp_path / "archive")
    limited = al.scan_archive(tmp_path / "archive", memory="80 kB")
    whole = al.scan_archive(tmp_path / "archive")
    assert isinstance(limited._selected.recorded, Bucketed)  # noqa: SLF001 - that the limit was below it
    assert limited._selected.recorded.count > 2  # noqa: SLF001 - the same
    for verb in ("as_of", "history", "diffs", "blame", "timeline"):
        assert_frame_equal(getattr(limited, verb)().collect(), getattr(whole, verb)().collect())
    assert_frame_equal(limited.history().select("n").collect(), whole.history().select("n").collect())
    assert_frame_equal(limited.diffs().head(3).collect(), whole.diffs().head(3).collect())
    only = pl.col("entity_id") == "e3"
    assert_frame_equal(limited.history().filter(only).collect(), whole.history().filter(only).collect())


def test_an_archive_larger_than_memory_is_written_as_another(tmp_path: Path):
    """Row by row, those that were set apart too; masked as told, and nothing is left where a mask names no field."""
    steps = [("SNAPSHOT", f"e{n}", {"n": n, "text": "x" * 50}) for n in range(20)]
    steps += [("INSERT", f"e{n}", {"n": n, "text": "x" * 50}) for n in range(20, 60)]
    steps += [("UPDATE", f"e{n}", {"n": -n, "text": "y" * 50}) for n in range(0, 60, 3)]
    frame = make_log(steps)
    odd = frame.tail(1).with_columns(id=pl.lit(1000, dtype=pl.Int64), after_snapshot=pl.lit("[]"))
    al.from_arrow(pl.concat([frame, odd]), strict=False).to_archive(tmp_path / "one")
    strict = al.scan_archive(tmp_path / "one", memory="20 kB")
    assert isinstance(strict._selected.recorded, Bucketed)  # noqa: SLF001 - that the limit was below it
    with pytest.raises(MalformedChange):
        strict.to_archive(tmp_path / "refused")
    log = al.scan_archive(tmp_path / "one", memory="20 kB", strict=False)
    log.to_archive(tmp_path / "two")
    rows, again = (al.scan_archive(tmp_path / name, strict=False) for name in ("one", "two"))
    assert_frame_equal(again.changes().collect(), rows.changes().collect())
    assert_frame_equal(again.malformed, rows.malformed)
    with pytest.raises(BadOption, match="no change has a field 't.nope'"):
        log.to_archive(tmp_path / "three", mask_fields=["t.nope"])
    assert not (tmp_path / "three").exists()
    log.to_archive(tmp_path / "three", mask_fields=["t.text"])
    masked = al.scan_archive(tmp_path / "three", strict=False)
    with pytest.warns(WithheldFields):
        assert set(masked.as_of().collect()["text"]) == {"***"}


@pytest.mark.parametrize("memory", ["much", "", "0", -1, True, "3 parsecs"])
def test_a_limit_that_is_no_size_is_refused(tmp_path: Path, memory: object):
    al.from_arrow(make_log([("INSERT", "a", {"n": 1})])).to_archive(tmp_path / "archive")
    with pytest.raises(BadOption, match="is no size"):
        al.scan_archive(tmp_path / "archive", memory=memory)  # type: ignore[arg-type]  # that is the question


def test_the_private_folder_goes_with_the_last_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    log = dealt_out(al.from_arrow(make_log([("INSERT", f"e{n}", {"n": n}) for n in range(30)])), 3)
    answer = log.history()
    folders = list(tmp_path.iterdir())
    assert folders
    assert {folder.stat().st_mode & 0o777 for folder in folders} == {0o700}
    del log
    gc.collect()
    assert answer.select("n").collect().height == 30
    del answer
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_a_temporary_folder_that_cannot_be_used_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    log = dealt_out(al.from_arrow(make_log([("INSERT", f"e{n}", {"n": n}) for n in range(30)])), 3)
    with pytest.raises(SpillFailed, match="cannot use the temporary folder .*gone"):
        log.history()

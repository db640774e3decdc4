"""A live log and its archive are one log: no change twice, none missing, also after old partitions were dropped."""

from __future__ import annotations

import threading
import warnings
from typing import TYPE_CHECKING

import pytest
from old_log import ROW, fill_months, months_of
from polars.testing import assert_frame_equal

from auditlab.archive import together as joining
from auditlab.archive.export import archive_postgres
from auditlab.archive.prune import prune
from auditlab.archive.together import together
from auditlab.capture.track import track
from auditlab.connection import connect
from auditlab.errors import BadOption, CursorMismatch, IncompletePopulation, LogTooLarge, UnknownEntityType
from auditlab.sources import read_postgres, scan

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import polars as pl

TABLE = "CREATE SCHEMA s; CREATE TABLE s.t (id int PRIMARY KEY, v numeric); CREATE TABLE s.u (id int PRIMARY KEY)"
WORK = """
INSERT INTO s.t SELECT n, n * 1.10 FROM generate_series(1, 5) AS n;
UPDATE s.t SET v = v + 1 WHERE id <= 3;
DELETE FROM s.t WHERE id = 2
"""


@pytest.fixture
def log(captured: str) -> str:
    """A database with old months, and our capture on two tables."""
    fill_months(captured)
    with connect(captured) as db:
        db.execute(TABLE)
    track(captured, ["s.t", "s.u"])
    return captured


def work(dsn: str, script: str) -> None:
    with connect(dsn, autocommit=True) as db:
        for statement in script.split(";\n"):
            db.execute(statement)


def rows_of(dsn: str, folder: Path) -> pl.DataFrame:
    return together(dsn, folder).changes.collect().sort("id")


def test_it_is_the_log_wherever_the_seam_lies(log: str, tmp_path: Path):
    for script in (WORK, "INSERT INTO s.t VALUES (2, 7)", "UPDATE s.t SET v = 0;\nINSERT INTO s.u VALUES (1)"):
        archive_postgres(log, tmp_path / "a")
        work(log, script)
        assert_frame_equal(
            rows_of(log, tmp_path / "a"),
            read_postgres(log)
            .changes()
            .select(together(log, tmp_path / "a").changes.collect_schema().names())
            .sort("id"),
        )
    assert len(together(log, tmp_path / "a").live) == 6


@pytest.mark.parametrize("engine", ["polars", "duckdb"])
def test_every_verb_answers_across_the_seam_as_the_whole_log_did(log: str, tmp_path: Path, engine: str):
    work(log, WORK)
    archive_postgres(log, tmp_path / "a")
    work(log, "INSERT INTO s.t VALUES (2, 7.0);\nUPDATE s.t SET v = 99 WHERE id = 1")
    whole = read_postgres(log)
    prune(log, tmp_path / "a", before="2024-03-01", execute=True)
    assert months_of(log) == ["2024_03"]
    one = scan(log, tmp_path / "a").on(engine)
    for name in ("s.t", "shop.orders"):
        ours, theirs = one.of(name), whole.of(name).on(engine)
        assert_frame_equal(ours.as_of().collect(), theirs.as_of())
        assert_frame_equal(ours.history().collect(), theirs.history())
        assert_frame_equal(ours.diffs().collect(), theirs.diffs())
        assert_frame_equal(ours.blame().collect(), theirs.blame())
        assert_frame_equal(ours.timeline().collect(), theirs.timeline())
    assert_frame_equal(one.of("shop.orders").as_of("2024-02-20").collect(), whole.of("shop.orders").as_of("2024-02-20"))
    assert one.facts.coverage.start == whole.facts.coverage.start
    assert one.facts.coverage.end is not None
    assert one.facts.coverage.end >= whole.facts.coverage.end  # type: ignore[operator]
    assert one.facts.kinds == whole.facts.kinds
    assert_frame_equal(one.evidence().findings, whole.evidence().findings)
    with warnings.catch_warnings():
        warnings.simplefilter("error", IncompletePopulation)
        one.of("shop.orders").as_of()


def test_what_is_larger_than_memory_is_asked_bucket_by_bucket_across_the_seam(captured: str, tmp_path: Path):
    fill_months(captured, 1000)
    archive_postgres(captured, tmp_path / "a")
    with connect(captured, autocommit=True) as db:
        db.rows(ROW, (9000, "2026-11-02Z", 5))
    large, small = (scan(captured, tmp_path / "a", memory=memory) for memory in (None, "1MB"))
    assert "bucket" in type(small._selected.recorded).__name__.lower()  # noqa: SLF001 - which way it goes
    assert_frame_equal(small.of("shop.orders").as_of().collect(), large.of("shop.orders").as_of().collect())
    assert len(small.of("shop.orders").as_of().collect()) == 3005


def test_what_is_open_while_it_is_read_is_not_in_it_and_comes_once(log: str, tmp_path: Path):
    with connect(log) as late:
        late.execute("INSERT INTO s.t VALUES (1, 1)")
        work(log, "INSERT INTO s.t VALUES (2, 2)")
        archive_postgres(log, tmp_path / "a")
        assert [row["entity_type"] for row in rows_of(log, tmp_path / "a").to_dicts()].count("s.t") == 1
        late.commit()
    rows = rows_of(log, tmp_path / "a")
    assert rows["id"].is_unique().all()
    assert (rows["entity_type"] == "s.t").sum() == 2


def test_a_pull_and_a_prune_while_it_is_opened_cost_no_row(log: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder, stream = tmp_path / "a", joining.ChangeStream
    archive_postgres(log, folder)
    calls = []

    def meanwhile(*args: object, **options: object) -> object:
        calls.append(1)
        if len(calls) == 1:  # between the archive's cursor and the live log's snapshot
            with connect(log, autocommit=True) as db:
                db.rows(ROW, (900, "2024-01-20Z", 3))
            archive_postgres(log, folder)
            prune(log, folder, before="2024-03-01", execute=True)
        return stream(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(joining, "ChangeStream", meanwhile)
    rows = rows_of(log, folder)
    assert len(calls) == 2
    assert rows["id"].to_list() == list(range(1, 34))
    assert months_of(log) == ["2024_03"]


def test_it_is_right_while_others_write_pull_and_prune(log: str, tmp_path: Path):
    folder, done, seen = tmp_path / "a", threading.Event(), []
    archive_postgres(log, folder)

    def write() -> None:
        with connect(log, autocommit=True) as db:
            n = 1000
            while not done.is_set():
                db.rows(ROW, (n, "2026-11-02Z", 3))
                n += 3

    def pull() -> None:
        while not done.is_set():
            archive_postgres(log, folder, progress=False)

    threads = [threading.Thread(target=target) for target in (write, pull)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(4):
            ids = rows_of(log, folder)["id"]
            assert ids.is_unique().all()
            assert ids.to_list() == list(range(1, len(ids) + 1)), "one writer: what is committed has no gap"
            seen.append(len(ids))
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert seen == sorted(seen)


def test_types_are_those_of_both_and_what_neither_has_is_named(log: str, tmp_path: Path):
    archive_postgres(log, tmp_path / "a")
    work(log, "INSERT INTO s.u VALUES (1)")
    prune(log, tmp_path / "a", before="2024-04-01", execute=True)
    assert scan(log, tmp_path / "a").entity_types == ("s.u", "shop.orders")
    assert len(scan(log, tmp_path / "a", entity_types="shop.orders").changes().collect()) == 30
    assert len(scan(log, tmp_path / "a", entity_types=["s.u"]).changes().collect()) == 1
    with pytest.raises(UnknownEntityType, match=r"no entity type 's\.x' .* It has 's\.u', 'shop\.orders'"):
        scan(log, tmp_path / "a", entity_types=["s.u", "s.x"])


def test_what_is_not_one_log_is_refused(
    log: str, make_database: Callable[..., str], captured_template: str, tmp_path: Path
):
    archive_postgres(log, tmp_path / "a")
    with pytest.raises(CursorMismatch, match="is for database"):
        scan(make_database(captured_template), tmp_path / "a")
    archive_postgres(log, tmp_path / "closed", once=True)
    with pytest.raises(CursorMismatch, match="is closed: no cursor says"):
        scan(log, tmp_path / "closed")
    archive_postgres(log, tmp_path / "part", entity_types="shop.orders")
    with pytest.raises(BadOption, match=r"holds entity types shop\.orders\. Ask for the same"):
        scan(log, tmp_path / "part")
    assert scan(log, tmp_path / "part", entity_types="shop.orders").entity_types == ("shop.orders",)
    work(log, "INSERT INTO s.t VALUES (1, 1)")
    with pytest.raises(LogTooLarge):
        together(log, tmp_path / "a", memory_limit=1)

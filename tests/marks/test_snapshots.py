"""A log that begins with a snapshot of its entities answers as the whole log does, whoever was at work meanwhile.

In the same runs what comes after a snapshot is also read as the published schema suggests, by ``id > last_change_id``
and by ``changed_at > snapshot_at``: both must lose changes, or the runs show nothing.
"""

from __future__ import annotations

import random
import threading
import warnings
from typing import TYPE_CHECKING

import polars as pl
import pytest
from planted import ORDERS, Planted, key
from polars.testing import assert_frame_equal
from test_planted import TABLE, plant, plant_more, plant_what_ours_sees

import auditlab as al
from auditlab.connection import connect
from auditlab.errors import DatabaseError, NoData, UncertainTime
from auditlab.testing import assert_states
from auditlab.testing.copies import copy_tables

if TYPE_CHECKING:
    from auditlab.testing.copies import Copy

WRITERS = 4
UNSEEN = """
SELECT count(*) AS unseen,
       count(*) FILTER (WHERE l.id <= s.last_id) AS lost_by_id,
       count(*) FILTER (WHERE l.changed_at <= s.snapshot_at) AS lost_by_time
FROM audit.snapshot AS s
JOIN audit.mark AS m ON m.id = s.mark
JOIN audit.entity_change_log AS l ON NOT txid_visible_in_snapshot(l.transaction_id, m.snapshot::text::txid_snapshot)
"""
SHAPES = {
    "s.plain": "CREATE TABLE s.plain (id uuid PRIMARY KEY, v text)",
    "s.pair": "CREATE TABLE s.pair (a int, b text, v text, PRIMARY KEY (a, b))",
    "s.split": "CREATE TABLE s.split (id int, part int, v text, PRIMARY KEY (id, part)) PARTITION BY LIST (part);"
    "CREATE TABLE s.split_0 PARTITION OF s.split FOR VALUES IN (0);"
    "CREATE TABLE s.split_1 PARTITION OF s.split FOR VALUES IN (1)",
}


def loaded(dsn: str, **options: object) -> al.ChangeLog:
    return al.read_postgres(dsn, progress=False, **options)  # type: ignore[arg-type]


def marks_of_snapshots(dsn: str) -> list[al.Mark]:
    """The marks with which snapshots were taken, in their order."""
    with connect(dsn) as db:
        times = [row["snapshot_at"] for row in db.rows("SELECT snapshot_at FROM audit.snapshot ORDER BY mark")]
    return [mark for mark in loaded(dsn).facts.marks if mark.at in times]


def lost(dsn: str) -> tuple[int, int]:
    """How many changes that came after a snapshot the two ways to read on would lose."""
    with connect(dsn) as db:
        row = db.rows(UNSEEN)[0]
    return row["lost_by_id"], row["lost_by_time"]


def states(log: al.ChangeLog, types: tuple[str, ...], **when: object) -> pl.DataFrame:
    """The states of several types, whatever the answer warns of."""
    held = [name for name in types if name in log.entity_types]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UncertainTime)
        frames = [log.of(name).as_of(**when) for name in held]  # type: ignore[arg-type]
    rows = [(name, *row.values()) for name, frame in zip(held, frames, strict=True) for row in frame.to_dicts()]
    return pl.DataFrame({"row": sorted(map(repr, rows))}, schema={"row": pl.String})


def assert_alike(whole: al.ChangeLog, begun: al.ChangeLog, types: tuple[str, ...], copies: list[Copy] = []) -> int:  # noqa: B006
    """The two logs answer alike from the snapshot on; gives the number of states that were compared."""
    assert begun.facts.since is not None
    mark, checks = begun.facts.since.mark, 0
    for name in types:
        if name in begun.entity_types:
            own, theirs = begun.of(name).as_of(), whole.of(name).as_of()
            if theirs.is_empty() and begun.fields().filter(entity_type=name).is_empty():
                theirs = theirs.select(own.columns)  # a TRUNCATE of an empty table tells of no field
            assert_frame_equal(own, theirs, check_column_order=False)
    later = [copy for copy in copies if copy.mark.sees.unseen_of(mark.sees) is None and copy.mark.at >= mark.at]
    there = whole.facts.coverage.start is not None and whole.facts.coverage.start <= mark.at
    for when in (
        *(({"mark": mark}, {"at": mark.at}) if there else ()),
        *({"mark": copy.mark} for copy in later),
        *({"at": at} for copy in later for at in (copy.mark.since, copy.mark.at) if at >= mark.at),
    ):
        told, truth = states(begun, types, **when), states(whole, types, **when)
        assert_frame_equal(told, truth)
        checks += len(truth)
    ids = begun.changes()["id"]
    diffs = ["id", "entity_id", "field", "kind", "old", "new", "changed_by"]
    theirs = whole.diffs().filter(pl.col("id").is_in(ids.implode()))
    assert_frame_equal(begun.diffs().select(diffs), theirs.select(diffs))
    assert set(whole.changes()["id"]) - set(ids) == {
        change.id for change in whole if mark.sees.sees(change.transaction_id or 0)
    }
    return checks


def test_the_planted_schedule_from_every_snapshot_on(captured: str):
    with connect(captured, autocommit=True) as connection:
        connection.execute(TABLE)
    al.track(captured, ORDERS)
    with Planted(captured) as planted:
        al.snapshot(captured, "empty", always=True)
        for part in (plant, plant_more, plant_what_ours_sees):
            part(planted, lambda name: al.snapshot(captured, name, always=True))
        copies = planted.copies
    whole = loaded(captured)
    marks = marks_of_snapshots(captured)
    assert len(marks) >= 6
    for mark in marks:
        begun = loaded(captured, since=mark)
        assert begun.facts.since is not None
        assert begun.facts.since.mark == mark
        assert_alike(whole, begun, (ORDERS,), copies)
        for copy in copies:
            older = copy.mark.sees.unseen_of(mark.sees) is not None
            if older or copy.mark.at < mark.at:
                with pytest.raises(NoData):
                    begun.of(ORDERS).as_of(mark=copy.mark)
            else:
                for engine in ("polars", "duckdb"):
                    assert_states(begun.of(ORDERS).on(engine).as_of(mark=copy.mark), copy.rows[ORDERS])
        assert al.reconcile(begun, captured).findings.is_empty()
        assert [
            finding for finding in begun.evidence().findings.iter_rows(named=True) if finding["severity"] == "error"
        ] == []
    assert all(lost(captured)), "reading on by id and by time must lose changes, or the schedule shows nothing"


def work(dsn: str, seed: int, stop: threading.Event) -> None:
    """Short and long transactions over tables of every shape, keys that change, rows that go and come, TRUNCATE."""
    choose = random.Random(seed)  # noqa: S311 - a workload, not a secret
    with connect(dsn) as db:
        while not stop.is_set():
            try:
                for _ in range(choose.randint(1, 4)):
                    db.execute(statement(choose))
                    stop.wait(choose.random() * 0.2 if choose.randrange(6) == 0 else 0)
                if choose.randrange(8):
                    db.commit()
                else:
                    db.rollback()
            except DatabaseError:  # a deadlock, or a key that is taken
                db.rollback()


def statement(choose: random.Random) -> str:
    n, other, v, part = choose.randrange(12), choose.randrange(12), choose.randrange(10**6), choose.randrange(2)
    return choose.choices(
        [
            f"INSERT INTO s.plain VALUES ('{key(n)}', '{v}') ON CONFLICT (id) DO UPDATE SET v = excluded.v",
            f"DELETE FROM s.plain WHERE id = '{key(n)}'",
            f"DELETE FROM s.plain WHERE id = '{key(n)}'; INSERT INTO s.plain VALUES ('{key(n)}', '{v}')",
            f"UPDATE s.plain SET id = '{key(other)}', v = '{v}' WHERE id = '{key(n)}'",
            f"INSERT INTO s.pair VALUES ({n}, 'b', '{v}') ON CONFLICT (a, b) DO UPDATE SET v = excluded.v",
            f"UPDATE s.pair SET a = {other} WHERE a = {n}",
            f"DELETE FROM s.pair WHERE a = {n}",
            f"INSERT INTO s.split VALUES ({n}, {part}, '{v}') ON CONFLICT (id, part) DO UPDATE SET v = excluded.v",
            f"UPDATE s.split SET part = {part}, v = '{v}' WHERE id = {n}",
            f"DELETE FROM s.split WHERE id = {n}",
            f"TRUNCATE {choose.choice(['s.pair', 's.split'])}",  # no snapshot hides it: not what is copied
        ],
        [8, 2, 2, 2, 6, 2, 2, 6, 3, 2, 1],
    )[0]


@pytest.fixture
def shapes(captured: str) -> str:
    """A database that records tables with keys of one and several columns, one of them partitioned."""
    with connect(captured, autocommit=True) as db:
        db.execute("CREATE SCHEMA s")
        for ddl in SHAPES.values():
            db.execute(ddl)
        db.execute("INSERT INTO s.pair SELECT n, 'old', 'untouched' FROM generate_series(100, 104) AS n")
    al.track(captured, list(SHAPES))
    return captured


def test_under_writers_at_work_every_snapshot_is_what_a_reader_saw(shapes: str):
    stop = threading.Event()
    writers = [threading.Thread(target=work, args=(shapes, seed, stop)) for seed in range(WRITERS)]
    for writer in writers:
        writer.start()
    copies: list[Copy] = []
    try:
        for number in range(8):
            stop.wait(0.25)
            al.snapshot(shapes, f"number {number}", always=True)
            copies.append(copy_tables(shapes, {"s.plain": "id"}))
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    whole = loaded(shapes)
    checks = 0
    for mark in marks_of_snapshots(shapes):
        begun = loaded(shapes, since=mark)
        checks += assert_alike(whole, begun, tuple(SHAPES), copies)
        for copy in copies:
            if (
                copy.mark.sees.unseen_of(mark.sees) is None
                and copy.mark.at >= mark.at
                and "s.plain" in begun.entity_types
            ):
                assert_states(begun.of("s.plain").as_of(mark=copy.mark), copy.rows["s.plain"])
        assert al.reconcile(begun, shapes).findings.is_empty()
    assert checks > 500
    assert sum(lost(shapes)) > 0, "reading on by id or by time must lose changes, or the run shows nothing"


def test_a_log_that_begins_with_a_snapshot_is_held_against_tables_that_nothing_touched_since(shapes: str):
    begun = loaded(shapes, since=al.snapshot(shapes, always=True).mark)
    found = al.reconcile(begun, shapes)
    assert found.findings.is_empty()
    assert found.tables.filter(pl.col("entity_type") == "s.pair")["equal"].to_list() == [5]

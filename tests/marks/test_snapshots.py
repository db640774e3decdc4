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
from old_log import ROW, fill_months, months_of
from planted import ORDERS, Planted, key
from polars.testing import assert_frame_equal
from test_planted import TABLE, plant, plant_more, plant_what_ours_sees

import auditlab as al
from auditlab.connection import Connection, connect
from auditlab.errors import (
    AuditlabError,
    BadOption,
    BadTime,
    DatabaseError,
    IncompleteLog,
    IncompletePopulation,
    NoData,
    UncertainTime,
)
from auditlab.testing import assert_states
from auditlab.testing.copies import copy_tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from auditlab.testing.copies import Copy

WRITERS = 4
UNSEEN = """
SELECT count(*) AS unseen,
       count(*) FILTER (WHERE l.id <= s.last_id) AS lost_by_id,
       count(*) FILTER (WHERE l.changed_at <= s.snapshot_at) AS lost_by_time
FROM audit.snapshot AS s
JOIN audit.mark AS m ON m.id = s.mark
JOIN audit.entity_change_log AS l ON NOT pg_visible_in_snapshot(l.transaction_id::text::xid8, m.snapshot)
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


@pytest.fixture
def old(captured: str, tmp_path: Path) -> Iterator[tuple[str, Path, Connection]]:
    """A log with ten new orders in each of three old months, its archive, and a connection."""
    fill_months(captured)
    with connect(captured, autocommit=True) as db:
        yield captured, tmp_path / "a", db


def prune(dsn: str, folder: Path, before: str) -> None:
    al.archive_postgres(dsn, folder, progress=False)
    al.prune(dsn, folder, before=before, execute=True)


def test_a_log_whose_partitions_were_dropped_answers_from_its_snapshot_on(old: tuple[str, Path, Connection]):
    dsn, folder, db = old
    taken = al.snapshot(dsn)
    before = loaded(dsn).of("shop.orders").as_of()
    prune(dsn, folder, "2024-03-01")
    assert months_of(dsn) == ["2024_03"]
    db.rows(ROW, (900, "2024-03-20Z", 2))
    begun = loaded(dsn, since=taken.mark, entity_types=["shop.orders"])
    assert begun.facts.partial == ()
    assert begun.as_of(taken.mark.at).equals(before), "those that nothing touched since are in it"
    assert begun.as_of().height == 32
    assert loaded(dsn, since=taken.mark, connections=2).as_of().equals(begun.as_of())
    together = al.scan(dsn, folder).of("shop.orders").as_of().collect()
    assert begun.as_of().sort("entity_id").equals(together.sort("entity_id"))
    assert begun.blame().filter(pl.col("origin") == "unknown").height == 60, "who set them is not known"
    with pytest.raises(
        NoData, match=r"ask it together with its archive, al\.scan\(dsn, archive\), for what was before"
    ):
        begun.as_of("2024-02-01")

    again = al.snapshot(dsn, always=True, keep=1)
    assert (again.entities, again.changes) == (32, 2), "from the snapshot before, and what came since"
    prune(dsn, folder, "2024-04-01")
    assert loaded(dsn, since="2999-01-01").of("shop.orders").as_of().equals(begun.as_of())


def test_what_was_dropped_before_a_snapshot_saw_it_is_not_made_up(old: tuple[str, Path, Connection]):
    dsn, folder, db = old
    al.archive_postgres(dsn, folder, progress=False)
    taken = al.snapshot(dsn)
    db.rows(ROW, (900, "2024-01-20Z", 1))
    prune(dsn, folder, "2024-02-01")
    with pytest.raises(
        IncompleteLog, match=r"1 partitions were dropped .* with changes that the snapshot .* may not have seen"
    ):
        loaded(dsn, since=taken.mark)
    with pytest.raises(IncompleteLog, match="1 partitions were dropped from the log with changes that no snapshot saw"):
        al.snapshot(dsn, always=True)


def test_a_log_without_a_snapshot_says_so_once_partitions_were_dropped(old: tuple[str, Path, Connection]):
    dsn, folder, _ = old
    prune(dsn, folder, "2024-02-01")
    with pytest.raises(IncompleteLog, match="changes that no snapshot saw"):
        al.snapshot(dsn)
    with pytest.raises(NoData, match="There is none: auditlab snapshot DSN takes one"):
        loaded(dsn, since="2999-01-01")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"start": "2024-01-01"}, "start="),
        ({"end": "2024-01-01", "user": "x"}, "end=, user="),
        ({"partitions": "p"}, "partitions="),
        ({"entity": 1}, "entity="),
        ({"baseline": False}, "baseline="),
    ],
)
def test_since_goes_with_entity_types_alone(captured: str, options: dict[str, object], told: str):
    with pytest.raises(BadOption, match=f"since= does not go together with {told}"):
        loaded(captured, since="2999-01-01", **options)


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda log: log.as_of("2020-01-01"), "It begins with the states of the snapshot as of 'here'"),
        (lambda log: log.as_of(id=3), "since change 3"),
        (lambda log: log.as_of(snapshot="700:700:"), "older than what the log has"),
        (lambda log: log.to_archive("nowhere"), "an archive begins where its log does"),
    ],
)
def test_what_was_before_is_an_error_that_says_so(captured: str, ask: Callable[[al.ChangeLog], object], told: str):
    with connect(captured, autocommit=True) as db:
        db.execute("CREATE SCHEMA s; CREATE TABLE s.t (id int PRIMARY KEY, v text)")
        al.track(captured, "s.t")
        db.execute("INSERT INTO s.t VALUES (1, 'a'), (2, 'a'); DELETE FROM s.t WHERE id = 2")
        al.snapshot(captured, "here")
        db.execute("UPDATE s.t SET v = 'b'")
    log = loaded(captured, since="2999-01-01")
    assert "begins     with the snapshot of 1 entity as of 'here'" in repr(log)
    with pytest.raises(AuditlabError, match=told):
        ask(log) if told != "since change 3" else log.as_of(id=2)
    assert log.as_of(id=4).height == 1


def test_a_snapshot_is_told_by_the_name_of_its_mark_too_and_a_wrong_name_says_which_there_are(captured: str):
    with connect(captured, autocommit=True) as db:
        db.execute("CREATE SCHEMA s; CREATE TABLE s.t (id int PRIMARY KEY, v text)")
        al.track(captured, "s.t")
        with pytest.raises(
            BadTime, match=r"cannot read the time 'one'.* no mark 'one' beside this log. There are none"
        ):
            loaded(captured, since="one")
        for number, name in enumerate(("one", "two")):
            db.execute(f"INSERT INTO s.t VALUES ({number}, 'a')")
            al.snapshot(captured, name, always=True)
    for name, rows in (("one", 1), ("two", 2)):
        log = loaded(captured, since=name)
        assert log.facts.since is not None
        assert (log.facts.since.mark.name, log.facts.since.entities) == (name, rows)
        assert log.as_of().height == 2
    with pytest.raises(BadTime, match="cannot read the time 'three'.* There are 'one', 'two'"):
        loaded(captured, since="three")


def test_blame_and_why_not_say_what_a_snapshot_does_not_tell(captured: str):
    with connect(captured, autocommit=True) as db:
        db.execute("CREATE SCHEMA s; CREATE TABLE s.t (id int PRIMARY KEY, v text)")
        al.track(captured, "s.t")
        db.execute("INSERT INTO s.t VALUES (1, 'a'), (2, 'a'), (3, 'a'); DELETE FROM s.t WHERE id = 2")
        taken = al.snapshot(captured, "here")
        db.execute("UPDATE s.t SET v = 'b' WHERE id = 1")
    log = loaded(captured, since=taken.mark).of("s.t")
    told = log.blame().filter(pl.col("field") == "v").select("value", "origin", "id", "set_by", "set_at")
    assert told.sort("value").rows()[0] == ("a", "unknown", None, None, None)
    assert told.sort("value")["origin"].to_list() == ["unknown", "observed"]
    assert log.why_not(3).endswith(f"the log begins with this state, in the snapshot as of {taken.mark}.")
    assert "what was deleted by then is not in it" in log.why_not(2)


def test_rows_from_before_the_log_are_said_to_be_missing_as_the_whole_log_says_it(captured: str):
    with connect(captured, autocommit=True) as db:
        db.execute(
            "CREATE SCHEMA s; CREATE TABLE s.t (id int PRIMARY KEY, v text);"
            "CREATE TABLE s.u (id int PRIMARY KEY, n int); CREATE TABLE s.w (id int PRIMARY KEY);"
            "INSERT INTO s.t SELECT n, 'old' FROM generate_series(1, 3) AS n;"
            "CREATE FUNCTION s.touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " UPDATE s.u SET n = n + 1 WHERE id = NEW.id; RETURN NULL; END $$;"
            "CREATE TRIGGER a_first AFTER INSERT ON s.u FOR EACH ROW EXECUTE FUNCTION s.touch()"
        )
        al.track(captured, ["s.t", "s.u", "s.w"], baseline=False)
        # as in a log that others made: nothing beside it says that rows were there before
        db.execute("UPDATE audit.tracked_table SET baseline = true")
        db.execute("INSERT INTO s.u VALUES (1, 0); INSERT INTO s.w VALUES (1)")
        db.execute(
            "BEGIN; UPDATE s.t SET v = 'a' WHERE id = 1; DELETE FROM s.t WHERE id = 1;"
            "INSERT INTO s.t VALUES (1, 'b'); COMMIT"
        )
        al.snapshot(captured, always=True)
        db.execute("UPDATE s.t SET v = 'c' WHERE id = 1; UPDATE s.w SET id = 2")
        taken = al.snapshot(captured, always=True)
        db.execute("UPDATE s.t SET v = 'd' WHERE id = 1")
    for log in (loaded(captured), loaded(captured, since=taken.mark)):
        with pytest.warns(IncompletePopulation, match=r"rows of s\.t .* were there before the log began"):
            assert log.of("s.t").as_of().height == 1
        for whole in ("s.u", "s.w"):
            with warnings.catch_warnings():
                warnings.simplefilter("error", IncompletePopulation)
                assert log.of(whole).as_of().height == 1

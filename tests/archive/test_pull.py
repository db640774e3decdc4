"""A log fed into an archive part by part: no row lost, none twice, whoever commits late and whoever else reads."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest
from polars.testing import assert_frame_equal
from soak import SOAK

from auditlab.archive.export import archive_postgres
from auditlab.archive.manifest import read_chain
from auditlab.archive.read import scan_archive
from auditlab.archive.verify import verify
from auditlab.capture.track import track
from auditlab.connection import connect
from auditlab.errors import BadOption, CursorMismatch, MalformedChange, UntrackableChanges, WatermarkHeld
from auditlab.load.postgres import read_postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import polars as pl

    from auditlab.connection import Connection

TABLE = "CREATE SCHEMA s; CREATE TABLE s.t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v int)"
IDS = "SELECT id, transaction_id FROM audit.entity_change_log ORDER BY id"
ROUNDS = 1500 if SOAK else 40
"""Transactions of each of eight writers: seven of eight are committed, so a soak leaves more than 50,000 rows."""
AFTER = "SELECT id FROM audit.entity_change_log WHERE id > $1 ORDER BY id"


@pytest.fixture
def tracked(captured: str) -> str:
    """A database with our capture on s.t."""
    with connect(captured) as db:
        db.execute(TABLE)
    track(captured, ["s.t"])
    return captured


@pytest.fixture
def db(tracked: str) -> Iterator[Connection]:
    with connect(tracked, autocommit=True) as connection:
        yield connection


def archived(folder: Path) -> pl.DataFrame:
    return scan_archive(folder).changes.collect().sort("id")


def ids(folder: Path) -> list[int]:
    return archived(folder)["id"].to_list()


def test_each_pull_adds_what_is_new_and_one_without_anything_new_writes_nothing(
    tracked: str, db: Connection, tmp_path: Path
):
    folder, counts = tmp_path / "a", []
    for number in range(3):
        db.execute(f"INSERT INTO s.t (v) SELECT n FROM generate_series(1, {number + 2}) AS n")
        counts.append(archive_postgres(tracked, folder).rows)
        assert archive_postgres(tracked, folder).rows == 0
    assert counts == [2, 3, 4]
    assert len(read_chain(folder)) == 3
    assert verify(folder) == []
    assert_frame_equal(archived(folder), read_postgres(tracked).changes)


def test_segments_are_ranges_of_transactions_without_a_gap(tracked: str, db: Connection, tmp_path: Path):
    for _ in range(3):
        db.execute("INSERT INTO s.t (v) VALUES (1)")
        archive_postgres(tracked, tmp_path / "a")
    chain = [manifest for manifest, _ in read_chain(tmp_path / "a")]
    spans = [(segment.first, segment.last) for manifest in chain for segment in manifest.segments]
    assert spans[0][0] == 0
    assert [first for first, _ in spans[1:]] == [last + 1 for _, last in spans[:-1] if last is not None]
    assert [manifest.cursor.transaction for manifest in chain if manifest.cursor] == [
        last + 1 for _, last in spans if last
    ]


def test_what_commits_late_is_left_and_told_and_comes_with_the_next_pull(tracked: str, db: Connection, tmp_path: Path):
    folder = tmp_path / "a"
    with connect(tracked) as late:
        late.execute("INSERT INTO s.t (v) VALUES (1)")
        db.execute("INSERT INTO s.t (v) VALUES (2)")
        first = archive_postgres(tracked, folder)
        assert first.left is not None
        assert (first.rows, first.left.rows) == (0, 1)
        assert "has a transaction open since" in str(first)
        assert "1 rows wait for the next pull" in str(first)
        assert first.facts.coverage.end is None or first.facts.coverage.end < first.left.since  # type: ignore[operator]
        late.commit()
    second = archive_postgres(tracked, folder)
    assert (second.rows, str(second.left)) == (2, "")
    assert ids(folder) == [row["id"] for row in db.rows(IDS)]


def test_a_prepared_transaction_that_holds_the_watermark_is_named(tracked: str, db: Connection, tmp_path: Path):
    with connect(tracked) as two_phase:
        two_phase.execute("INSERT INTO s.t (v) VALUES (1)")
        two_phase.execute("PREPARE TRANSACTION 'orphan'")
    try:
        assert "prepared transaction 'orphan'" in str(archive_postgres(tracked, tmp_path / "a"))
    finally:
        db.execute("COMMIT PREPARED 'orphan'")
    assert archive_postgres(tracked, tmp_path / "a").rows == 1


def test_who_holds_the_watermark_for_too_long_is_an_error_after_the_rest_is_archived(
    tracked: str, db: Connection, tmp_path: Path
):
    db.execute("INSERT INTO s.t (v) VALUES (0)")
    with connect(tracked) as late:
        late.execute("INSERT INTO s.t (v) VALUES (1)")
        assert archive_postgres(tracked, tmp_path / "a", held_at_most=600).rows == 1
        db.execute("INSERT INTO s.t (v) VALUES (2)")
        with pytest.raises(
            WatermarkHeld, match=r"pid \d+ .* has a transaction open since .*; 1 rows wait .* at most 0 s"
        ):
            archive_postgres(tracked, tmp_path / "a", held_at_most=0)


class Writers:
    """Eight that write at once: short and long transactions, savepoints, rollbacks, two phases."""

    def __init__(self, dsn: str, rounds: int) -> None:
        self._dsn, self._rounds = dsn, rounds
        self._threads = [threading.Thread(target=self._write, args=(number,)) for number in range(8)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for thread in self._threads:
            thread.join()

    @property
    def busy(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def _write(self, number: int) -> None:
        with connect(self._dsn) as connection:
            for turn in range(self._rounds):
                connection.execute("INSERT INTO s.t (v) SELECT n FROM generate_series(1, 5) AS n")
                kind = (turn * 7 + number) % 8
                if kind == 0:
                    connection.execute("SAVEPOINT a; INSERT INTO s.t (v) VALUES (0); ROLLBACK TO a")
                elif kind == 1:
                    connection.rows("SELECT pg_sleep(0.05)::text AS slept")
                elif kind == 2:
                    name = f"w{number}_{turn}"
                    connection.execute(f"PREPARE TRANSACTION '{name}'")
                    connection.commit()
                    with connect(self._dsn, autocommit=True) as other:
                        other.execute(f"COMMIT PREPARED '{name}'")
                    continue
                if kind == 3:
                    connection.rollback()
                else:
                    connection.commit()


def test_no_row_is_lost_or_read_twice_while_eight_write_and_reading_by_id_does_lose(
    tracked: str, db: Connection, tmp_path: Path
):
    folder, by_id = tmp_path / "a", list[int]()

    def pull_and_read_by_id() -> None:
        archive_postgres(tracked, folder)
        by_id.extend(row["id"] for row in db.rows(AFTER, (max(by_id, default=0),)))

    with Writers(tracked, rounds=ROUNDS) as writers:
        while writers.busy:
            pull_and_read_by_id()
    # What decides is planted: how often the writers were read between is up to the machine.
    with connect(tracked) as late:
        late.execute("INSERT INTO s.t (v) VALUES (1)")
        db.execute("INSERT INTO s.t (v) VALUES (2)")
        pull_and_read_by_id()
        late.commit()
    pull_and_read_by_id()
    there = [row["id"] for row in db.rows(IDS)]
    assert ids(folder) == there
    assert len(there) > (50_000 if SOAK else 1000)
    assert len(by_id) < len(there), "'id > last' must lose the row that was committed late"
    assert verify(folder) == []


def test_three_exporters_at_once_never_add_a_row_twice(tracked: str, db: Connection, tmp_path: Path):
    folder = tmp_path / "a"

    def pull(_: int) -> int:
        return sum(archive_postgres(tracked, folder).rows for _ in range(100 if SOAK else 8))

    with Writers(tracked, rounds=250 if SOAK else 20), ThreadPoolExecutor(3) as exporters:
        rows = sum(exporters.map(pull, range(3)))
    rows += archive_postgres(tracked, folder).rows
    there = [row["id"] for row in db.rows(IDS)]
    assert ids(folder) == there
    assert rows == len(there)
    assert verify(folder) == []


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("transaction_id = NULL", "1 without a transaction id"),
        ("transaction_id = -5", "1 with an impossible transaction id"),
        ("transaction_id = 1", "1 with an impossible transaction id"),
        ("transaction_id = 1::bigint << 62", "1 with a transaction id of the future"),
    ],
)
def test_rows_that_no_watermark_sees_are_told_with_their_number(published: str, tmp_path: Path, damage: str, told: str):
    with connect(published, autocommit=True) as db:
        db.execute("INSERT INTO orders.orders (total) SELECT n FROM generate_series(1, 4) AS n")
        db.execute(f"UPDATE audit.entity_change_log SET {damage} WHERE id = 3")
    with pytest.raises(UntrackableChanges, match=told):
        archive_postgres(published, tmp_path / "a")
    assert list(tmp_path.iterdir()) == []
    negative = damage.endswith("-5")  # such a row is no change either, and only kept where that is asked for
    if negative:
        with pytest.raises(MalformedChange, match=r"transaction id below 0 in 1 rows .row id 3"):
            archive_postgres(published, tmp_path / "a", once=True)
    assert archive_postgres(published, tmp_path / "a", once=True, strict=not negative).rows == 4


def test_another_database_is_refused_and_not_silently_empty(
    tracked: str, db: Connection, make_database: Callable[..., str], captured_template: str, tmp_path: Path
):
    db.execute("INSERT INTO s.t (v) VALUES (1)")
    archive_postgres(tracked, tmp_path / "a")
    with pytest.raises(CursorMismatch, match="the cursor is for database .* connected to"):
        archive_postgres(make_database(captured_template), tmp_path / "a")


def test_another_table_of_that_name_is_refused(published: str, tmp_path: Path):
    with connect(published, autocommit=True) as db:
        db.execute("INSERT INTO orders.orders DEFAULT VALUES")
        archive_postgres(published, tmp_path / "a")
        db.execute("CREATE TABLE audit.again (LIKE audit.entity_change_log INCLUDING ALL)")
        db.execute("INSERT INTO audit.again SELECT * FROM audit.entity_change_log")
        with pytest.raises(
            CursorMismatch, match=r"the cursor is for audit.entity_change_log \(oid \d+\); read is audit.again"
        ):
            archive_postgres(published, tmp_path / "a", table="audit.again")
        db.execute(
            "ALTER TABLE audit.entity_change_log RENAME TO old; ALTER TABLE audit.again RENAME TO entity_change_log"
        )
        with pytest.raises(CursorMismatch, match="The log was made anew since, or another one"):
            archive_postgres(published, tmp_path / "a")


def test_another_part_of_the_log_is_refused(tracked: str, db: Connection, tmp_path: Path):
    db.execute("INSERT INTO s.t (v) VALUES (1)")
    archive_postgres(tracked, tmp_path / "a", entity_types="s.t")
    with pytest.raises(BadOption, match="holds entity types s.t. Ask for the same again"):
        archive_postgres(tracked, tmp_path / "a")
    db.execute("INSERT INTO s.t (v) VALUES (2)")
    assert archive_postgres(tracked, tmp_path / "a", entity_types=["s.t"]).rows == 1


def test_an_archive_that_was_fed_answers_as_the_log(tracked: str, db: Connection, tmp_path: Path):
    import auditlab as al  # noqa: PLC0415 - the whole of it is needed here alone

    for value in range(4):
        db.execute("INSERT INTO s.t (v) VALUES (0)")
        db.execute(f"UPDATE s.t SET v = {value}")
        archive_postgres(tracked, tmp_path / "a")
    log, kept = al.read_postgres(tracked), al.scan_archive(tmp_path / "a")
    assert_frame_equal(kept.of("s.t").history().collect(), log.of("s.t").history())
    assert_frame_equal(kept.of("s.t").as_of().collect(), log.of("s.t").as_of())
    assert kept.facts.kinds == log.facts.kinds
    assert kept.facts.coverage.start == log.facts.coverage.start


@pytest.mark.parametrize("drawn", [[], ["7"]], ids=["at every step", "at random steps"])
def test_a_puller_that_is_killed_is_resumed_by_the_next_one(
    tracked: str, db: Connection, tmp_path: Path, drawn: list[str]
):
    folder, program = tmp_path / "a", Path(__file__).parent / "killed_puller.py"
    stride = "1" if SOAK else "5"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(program.parent), *sys.path])}
    command = [sys.executable, str(program), tracked, str(folder), stride, *drawn]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    killed, lived = map(int, done.stdout.split())
    assert killed > 5
    assert lived > 0, "the last steps must be after the end"
    archive_postgres(tracked, folder)
    assert ids(folder) == [row["id"] for row in db.rows(IDS)]
    assert verify(folder) == []

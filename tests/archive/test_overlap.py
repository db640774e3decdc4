"""A log without transaction ids: what was read last is read again, known by what it says; a sweep finds the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from polars.testing import assert_frame_equal

from auditlab.archive.export import archive_postgres
from auditlab.archive.manifest import read_chain
from auditlab.archive.read import scan_archive
from auditlab.archive.together import together
from auditlab.archive.verify import verify
from auditlab.connection import connect
from auditlab.errors import BadOption, CursorMismatch
from auditlab.load.postgres import read_postgres

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from auditlab.connection import Connection

LOG = """
CREATE SCHEMA audit;
CREATE TABLE audit.entity_change_log (
    id bigserial PRIMARY KEY, entity_type text NOT NULL, entity_id uuid NOT NULL, operation text NOT NULL,
    changed_at timestamptz NOT NULL, before_snapshot jsonb, after_snapshot jsonb
)
"""
ROW = """
INSERT INTO audit.entity_change_log (entity_type, entity_id, operation, changed_at, after_snapshot)
SELECT 's.t', md5(random()::text)::uuid, 'INSERT', now() - $1::text::interval, '{"n": 1.10}'
FROM generate_series(1, $2::int)
RETURNING id
"""


@pytest.fixture
def log(database: str) -> str:
    with connect(database) as connection:
        connection.execute(LOG)
    return database


@pytest.fixture
def db(log: str) -> Iterator[Connection]:
    with connect(log, autocommit=True) as connection:
        yield connection


def ids(folder: Path) -> list[int]:
    return scan_archive(folder).changes.collect()["id"].sort().to_list()


def test_each_pull_adds_what_is_new_by_position(log: str, db: Connection, tmp_path: Path):
    folder, counts = tmp_path / "a", []
    for rows in (3, 4, 5):
        db.rows(ROW, ("0", rows))
        counts.append(archive_postgres(log, folder).rows)
        assert archive_postgres(log, folder).rows == 0
    assert counts == [3, 4, 5]
    chain = [manifest for manifest, _ in read_chain(folder)]
    assert [manifest.ranges for manifest in chain] == ["position"] * 3
    assert [(one.first, one.last) for manifest in chain for one in manifest.segments] == [(1, 3), (4, 7), (8, 12)]
    assert_frame_equal(scan_archive(folder).changes.collect().sort("id"), read_postgres(log).changes)
    assert verify(folder) == []


def test_what_commits_late_comes_while_it_is_within_the_overlap(log: str, db: Connection, tmp_path: Path):
    folder = tmp_path / "a"
    with connect(log) as late:
        late.rows(ROW, ("0", 2))
        db.rows(ROW, ("0", 2))
        assert archive_postgres(log, folder).rows == 2
        late.commit()
    assert archive_postgres(log, folder).rows == 2
    assert ids(folder) == [1, 2, 3, 4]


def test_what_commits_later_than_that_comes_with_a_sweep(log: str, db: Connection, tmp_path: Path):
    folder = tmp_path / "a"
    with connect(log) as late:
        late.rows(ROW, ("2 hours", 2))
        db.rows(ROW, ("0", 2))
        archive_postgres(log, folder)
        late.commit()
    assert archive_postgres(log, folder).rows == 0, "a lower id and an earlier time: nothing tells that it is new"
    assert archive_postgres(log, folder, sweep=True).rows == 2
    assert archive_postgres(log, folder, sweep=True).rows == 0
    assert ids(folder) == [1, 2, 3, 4]


def test_an_earlier_time_with_a_higher_id_needs_no_sweep(log: str, db: Connection, tmp_path: Path):
    folder = tmp_path / "a"
    db.rows(ROW, ("0", 1))
    archive_postgres(log, folder)
    db.rows(ROW, ("3 years", 1))
    assert archive_postgres(log, folder, overlap=0).rows == 1


def test_the_live_log_and_such_an_archive_are_one_log(log: str, db: Connection, tmp_path: Path):
    db.rows(ROW, ("0", 3))
    archive_postgres(log, tmp_path / "a")
    db.rows(ROW, ("0", 2))
    found = together(log, tmp_path / "a")
    assert (len(found.live), found.changes.collect()["id"].sort().to_list()) == (2, [1, 2, 3, 4, 5])


def test_a_fed_archive_does_not_change_its_kind(log: str, db: Connection, tmp_path: Path):
    db.rows(ROW, ("0", 1))
    archive_postgres(log, tmp_path / "a")
    db.execute("ALTER TABLE audit.entity_change_log ADD COLUMN transaction_id bigint")
    db.execute("UPDATE audit.entity_change_log SET transaction_id = txid_current()")
    archive_postgres(log, tmp_path / "b")
    db.execute("ALTER TABLE audit.entity_change_log DROP COLUMN transaction_id")
    with pytest.raises(CursorMismatch, match="has no transaction ids"):
        archive_postgres(log, tmp_path / "b")
    with pytest.raises(BadOption, match="overlap=-1"):
        archive_postgres(log, tmp_path / "a", overlap=-1)

"""An archive that was begun before ``auditlab init`` adopted its log goes on: no row lost, none twice."""

from __future__ import annotations

import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import auditlab as al
from auditlab.archive import prune as pruning
from auditlab.archive.export import archive_postgres
from auditlab.archive.manifest import read_chain
from auditlab.archive.prune import DROPPED, STAYS, prune
from auditlab.archive.read import scan_archive
from auditlab.archive.together import together
from auditlab.archive.verify import verify
from auditlab.capture.install import install
from auditlab.capture.track import track
from auditlab.connection import connect
from auditlab.errors import AccessDenied, CursorMismatch
from auditlab.sources import read_postgres, scan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from auditlab.connection import Connection

TABLES = ["orders.orders", "orders.order_items"]
ADOPTED = "audit.entity_change_log_adopted"
BOUND = "SELECT pg_get_expr(relpartbound, oid) AS bound FROM pg_class WHERE oid = to_regclass($1)"
BY_HAND = """
ALTER TABLE audit.entity_change_log RENAME TO entity_change_log_adopted;
CREATE TABLE audit.entity_change_log (LIKE audit.entity_change_log_adopted) PARTITION BY RANGE (changed_at);
ALTER TABLE audit.entity_change_log
    ATTACH PARTITION audit.entity_change_log_adopted FOR VALUES FROM (MINVALUE) TO ('2999-01-01Z');
CREATE TABLE audit.more PARTITION OF audit.entity_change_log FOR VALUES FROM ('2999-01-01Z') TO (MAXVALUE)
"""


@pytest.fixture
def db(published: str) -> Iterator[Connection]:
    """A log that the published trigger has written for a while."""
    with connect(published, autocommit=True) as connection:
        connection.execute("INSERT INTO orders.orders (total) SELECT n * 1.10 FROM generate_series(1, 20) AS n")
        connection.execute("UPDATE orders.orders SET status = 'paid' WHERE total > 11")
        connection.execute("DELETE FROM orders.orders WHERE total = 22")
        connection.execute("INSERT INTO orders.order_items (order_id) SELECT id FROM orders.orders")
        yield connection


@pytest.fixture
def begun(published: str, db: Connection, tmp_path: Path) -> Path:
    """An archive of that log."""
    archive_postgres(published, tmp_path / "a")
    assert db is not None
    return tmp_path / "a"


def rows_of(dsn: str) -> pl.DataFrame:
    return read_postgres(dsn, progress=False).changes().sort("id")


def archived(folder: Path) -> pl.DataFrame:
    return scan_archive(folder).changes.collect().sort("id")


def oids(folder: Path) -> list[int]:
    return [manifest.cursor.oid for manifest, _ in read_chain(folder) if manifest.cursor is not None]


def oid_of(db: Connection, table: str = "audit.entity_change_log") -> int:
    number: int = db.rows("SELECT to_regclass($1::text)::oid::bigint AS oid", (table,))[0]["oid"]
    return number


def adopt_and_work(dsn: str, db: Connection) -> None:
    """The log is adopted, then written to by both kinds of triggers."""
    install(dsn)
    db.execute("UPDATE orders.orders SET status = 'sent' WHERE total < 5")
    track(dsn, TABLES)
    db.execute("INSERT INTO orders.orders (total) SELECT n FROM generate_series(100, 109) AS n")
    db.execute("DELETE FROM orders.orders WHERE total = 1.10")


def test_it_goes_on_and_has_each_row_once(published: str, db: Connection, begun: Path):
    before, was = archived(begun), oid_of(db)
    db.execute("UPDATE orders.orders SET total = total + 1 WHERE total = 2.20")  # not archived when it is adopted
    adopt_and_work(published, db)
    live = rows_of(published)
    assert archive_postgres(published, begun).rows == len(live) - len(before)
    assert_frame_equal(archived(begun), live.select(archived(begun).columns))
    assert_frame_equal(archived(begun).head(len(before)), before)
    assert archive_postgres(published, begun).rows == 0
    assert oids(begun) == [was, oid_of(db)]
    db.execute("INSERT INTO orders.orders (total) VALUES (7)")
    assert archive_postgres(published, begun).rows == 1
    assert verify(begun) == []


@pytest.mark.parametrize("engine", ["polars", "duckdb"])
def test_both_are_one_log_before_and_after_it_goes_on(published: str, db: Connection, begun: Path, engine: str):
    adopt_and_work(published, db)
    whole = read_postgres(published, progress=False)
    for _ in range(2):
        one = scan(published, begun, progress=False).on(engine)
        assert one.entity_types == whole.entity_types
        for name in TABLES:
            ours, theirs = one.of(name), whole.of(name).on(engine)
            assert_frame_equal(ours.as_of().collect(), theirs.as_of())
            assert_frame_equal(ours.history().collect(), theirs.history())
            assert_frame_equal(ours.diffs().collect(), theirs.diffs())
            assert_frame_equal(ours.blame().collect(), theirs.blame())
        assert_frame_equal(one.evidence().findings, whole.evidence().findings)
        assert al.reconcile(one, published).worst is None
        archive_postgres(published, begun)


def test_who_was_at_work_while_it_was_adopted_is_not_lost(published: str, db: Connection, tmp_path: Path):
    """A transaction is older than the cursor and than the adoption, and writes after both."""
    with connect(published) as late:
        late.rows("SELECT txid_current()::text AS number")
        archive_postgres(published, tmp_path / "a")
        install(published)
        late.execute("INSERT INTO orders.orders (total) VALUES (77)")
        db.execute("INSERT INTO orders.orders (total) VALUES (78)")
        assert archive_postgres(published, tmp_path / "a").rows == 0
        late.commit()
    assert archive_postgres(published, tmp_path / "a").rows == 2
    assert_frame_equal(archived(tmp_path / "a"), rows_of(published))


def test_it_is_whole_when_it_is_adopted_under_load(published: str, db: Connection, tmp_path: Path):
    folder, adopted = tmp_path / "a", threading.Event()

    def write(number: int) -> None:
        with connect(published) as writer:
            left = 20
            while left:
                left -= adopted.is_set()
                writer.execute(f"INSERT INTO orders.orders (total, status) VALUES ({left}, 'of {number}')")
                writer.execute(f"UPDATE orders.orders SET total = total + 1 WHERE status = 'of {number}' AND total < 5")
                (writer.rollback if left % 7 == 3 else writer.commit)()

    def pull() -> int:
        pulls = 0
        while not adopted.is_set() or pulls < 3:
            archive_postgres(published, folder, checkpoint_after=None)
            pulls += 1
        return pulls

    with ThreadPoolExecutor() as at_work:
        jobs = [at_work.submit(write, number) for number in range(3)] + [at_work.submit(pull)]
        while not ((folder / "manifests" / "00000003.json").exists() or jobs[-1].done()):
            time.sleep(0.01)
        try:
            install(published)
        finally:
            adopted.set()
        for job in jobs:
            job.result()
    archive_postgres(published, folder)
    assert_frame_equal(archived(folder), rows_of(published))
    assert archived(folder)["id"].is_unique().all()
    assert oids(folder)[-1] == oid_of(db)
    assert verify(folder) == []


def test_rows_that_were_purged_once_they_were_archived_lend_no_new_row_their_id(
    published: str, db: Connection, begun: Path
):
    before = archived(begun)
    db.execute("DELETE FROM audit.entity_change_log")
    install(published)
    db.execute("UPDATE orders.orders SET status = 'sent'")
    assert archive_postgres(published, begun).rows == 19
    rows = archived(begun)
    assert rows["id"].is_unique().all()
    assert rows["id"].to_list()[len(before) :] == [
        row["id"] for row in db.rows("SELECT id FROM audit.entity_change_log")
    ]


def test_a_log_without_transaction_ids_goes_on_by_position(published: str, db: Connection, tmp_path: Path):
    folder = tmp_path / "a"
    db.execute("UPDATE audit.entity_change_log SET transaction_id = NULL")
    archive_postgres(published, folder)
    db.execute("UPDATE orders.orders SET total = total + 1 WHERE total = 2.20")
    db.execute("UPDATE audit.entity_change_log SET transaction_id = NULL")
    adopt_and_work(published, db)
    live = rows_of(published)
    assert_frame_equal(together(published, folder).changes.collect().sort("id"), live)
    for sweep in (False, True):
        archive_postgres(published, folder, sweep=sweep)
        assert_frame_equal(archived(folder), live)
    db.execute("INSERT INTO orders.orders (total) VALUES (7)")
    assert archive_postgres(published, folder).rows == 1
    chain = [manifest for manifest, _ in read_chain(folder)]
    assert [manifest.ranges for manifest in chain] == ["position"] * 3
    assert [chain[number].segments[0].last for number in (-2, -1)] == [len(live), len(live) + 1]
    assert verify(folder) == []


def test_the_adopted_partition_is_pruned_once_the_archive_has_gone_on(
    published: str, db: Connection, begun: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    install(published)
    shutil.copytree(begun, tmp_path / "behind")
    adopted = datetime.now(UTC)  # the log's end then; months later it is before the limit
    monkeypatch.setattr(pruning, "_limit", lambda *_: adopted)
    fate = next(one for one in prune(published, begun, keep="1 month", execute=True).partitions if one.name == ADOPTED)
    assert (fate.fate, "first feed it" in fate.why) == (STAYS, True)
    assert archive_postgres(published, begun).rows == 0
    adopt_and_work(published, db)
    archive_postgres(published, begun)
    whole = read_postgres(published, progress=False)
    found = prune(published, begun, keep="1 month", execute=True)
    assert {one.name for one in found.partitions if one.fate == DROPPED} == {ADOPTED}
    assert len(rows_of(published)) < len(whole.changes())
    db.execute("INSERT INTO orders.orders (total) VALUES (9)")
    assert archive_postgres(published, begun).rows == 1
    assert al.compact(begun).rows
    assert verify(begun) == []
    both = scan(published, begun, progress=False).changes().collect().sort("id")
    assert_frame_equal(both.filter(pl.col("id") <= whole.changes()["id"].max()), whole.changes().sort("id"))
    with pytest.raises(CursorMismatch, match="neither dropped nor detached since"):
        archive_postgres(published, tmp_path / "behind")


def read_each_way(dsn: str, folder: Path) -> tuple[Callable[[], object], ...]:
    return (
        lambda: archive_postgres(dsn, folder),
        lambda: scan(dsn, folder),
        lambda: prune(dsn, folder, keep="1 month"),
    )


@pytest.mark.parametrize("again", [False, True], ids=["detached", "attached again"])
def test_a_partition_that_was_detached_is_refused(published: str, db: Connection, begun: Path, again: bool):  # noqa: FBT001
    install(published)
    bound = db.rows(BOUND, (ADOPTED,))[0]["bound"]
    db.execute("ALTER TABLE audit.entity_change_log DETACH PARTITION audit.entity_change_log_adopted")
    if again:
        db.execute(f"ALTER TABLE audit.entity_change_log ATTACH PARTITION audit.entity_change_log_adopted {bound}")
    for read in read_each_way(published, begun):
        with pytest.raises(CursorMismatch, match="neither dropped nor detached since"):
            read()


def test_what_was_attached_by_hand_is_refused(published: str, db: Connection, begun: Path):
    db.execute(BY_HAND)
    for read in read_each_way(published, begun):
        with pytest.raises(CursorMismatch, match=r"is for audit.entity_change_log \(oid \d+\); read is .*made anew"):
            read()


def test_no_other_table_is_taken_for_the_adopted_one(published: str, db: Connection, begun: Path):
    before = read_chain(begun)[-1][0].cursor
    assert before is not None
    install(published)
    here = replace(before, oid=oid_of(db))
    before.check(here, db)
    db.execute("ALTER TABLE audit.entity_change_log_adopted RENAME TO entity_change_log_before")
    before.check(here, db)
    db.execute("CREATE TABLE audit.entity_change_log_adopted (LIKE audit.entity_change_log_before)")
    for table in ("entity_change_log_default", "entity_change_log_adopted", "installation"):
        with pytest.raises(CursorMismatch):
            replace(before, oid=oid_of(db, f"audit.{table}")).check(here, db)
    with pytest.raises(CursorMismatch):
        replace(before, table="audit.entity_change_log_before").check(here, db)
    with pytest.raises(CursorMismatch):
        before.check(replace(here, oid=oid_of(db, "audit.mark")), db)
    with pytest.raises(CursorMismatch, match="timeline"):
        before.check(replace(here, timeline=here.timeline + 1), db)
    with pytest.raises(CursorMismatch, match="watermark"):
        before.check(replace(here, transaction=0), db)


def test_it_stays_known_whatever_is_cleaned_up(published: str, db: Connection, begun: Path):
    install(published)
    for table in ("pg_inherits", "pg_class", "audit.installation"):
        for how in ("FREEZE", "FULL"):
            db.execute(f"VACUUM ({how}) {table}")
    assert archive_postgres(published, begun).rows == 0
    assert oids(begun)[-1] == oid_of(db)


def test_who_may_not_read_whether_it_was_adopted_is_told(
    published: str, db: Connection, begun: Path, make_role: Callable[..., tuple[str, str]]
):
    install(published)
    keeper, own = make_role(published, "keeper")
    db.execute(f"GRANT USAGE ON SCHEMA audit TO {keeper}")
    db.execute(f"GRANT SELECT ON audit.entity_change_log, audit.tracked_table TO {keeper}")
    with pytest.raises(AccessDenied, match=f"GRANT SELECT ON audit.installation TO {keeper}"):
        archive_postgres(own, begun)
    db.execute(f"GRANT auditlab_archiver TO {keeper}")
    assert archive_postgres(own, begun).rows == 0

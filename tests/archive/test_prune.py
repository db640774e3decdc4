"""A partition of the log goes only when every row of it is proven to be in the archive; what goes is not forgotten."""

from __future__ import annotations

import shutil
import threading
import time
from typing import TYPE_CHECKING

import pytest
from old_log import ROW, fill_months, ids_of, leaves_of, months_of

from auditlab.archive import drop as dropping
from auditlab.archive.export import archive_postgres
from auditlab.archive.holds import hold, holds, release
from auditlab.archive.prune import DROPPED, STAYS, WOULD_GO, Pruning, prune
from auditlab.archive.read import scan_archive
from auditlab.connection import connect
from auditlab.errors import (
    AccessDenied,
    ArchiveCorrupt,
    BadOption,
    CursorMismatch,
    DropRefused,
    IncompleteLog,
    IncompletePopulation,
    NoData,
)
from auditlab.queries import text
from auditlab.sources import read_postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from auditlab.connection import Connection

EDIT = """
ALTER TABLE audit.entity_change_log_2024_01 DISABLE TRIGGER ALL;
UPDATE audit.entity_change_log_2024_01 SET {change} WHERE id = 3
"""


BY_HAND = """
ALTER TABLE audit.entity_change_log RENAME TO flat;
CREATE TABLE audit.entity_change_log (LIKE audit.flat INCLUDING DEFAULTS) PARTITION BY RANGE (changed_at);
CREATE TABLE audit.old PARTITION OF audit.entity_change_log FOR VALUES FROM (MINVALUE) TO ('2024-02-01Z');
CREATE TABLE audit."O'Feb" PARTITION OF audit.entity_change_log FOR VALUES FROM ('2024-02-01Z') TO ('2024-03-01Z');
CREATE TABLE audit.rest PARTITION OF audit.entity_change_log FOR VALUES FROM ('2024-03-01Z') TO (MAXVALUE)
"""
UPDATE = """
INSERT INTO audit.entity_change_log
    (entity_type, entity_id, operation, before_snapshot, after_snapshot, changed_fields, transaction_id)
VALUES ('shop.orders', md5('1')::uuid, 'UPDATE', '{"n": 1, "price": 1.10}', '{"n": 1, "price": 2}', '{"price": 2}',
        txid_current())
"""


@pytest.fixture
def log(captured: str) -> str:
    """A database with our log, ten changes in each of three old months."""
    fill_months(captured)
    return captured


@pytest.fixture
def db(log: str) -> Iterator[Connection]:
    with connect(log, autocommit=True) as connection:
        yield connection


@pytest.fixture
def kept(log: str, tmp_path: Path) -> Path:
    """The archive of that log."""
    archive_postgres(log, tmp_path / "a")
    return tmp_path / "a"


def fates(found: object) -> dict[str, str]:
    return {one.name.removeprefix("audit.entity_change_log_"): one.fate for one in found.partitions}  # type: ignore[attr-defined]


def test_without_execute_it_tells_what_would_go_and_changes_nothing(log: str, kept: Path):
    found = prune(log, kept, before="2024-03-01")
    assert {name: fate for name, fate in fates(found).items() if fate != STAYS} == {
        "2024_01": WOULD_GO,
        "2024_02": WOULD_GO,
    }
    told = {one.name: one.why for one in found.partitions}
    assert told["audit.entity_change_log_2024_03"] == "it ends 2024-04-01, which is kept"
    assert "the default partition" in told["audit.entity_change_log_default"]
    assert [one.rows for one in found.partitions if one.fate == WOULD_GO] == [10, 10]
    assert "2 partitions would be dropped" in str(found)
    assert months_of(log) == ["2024_01", "2024_02", "2024_03"]
    assert ids_of(log) == list(range(1, 31))


def test_a_partition_of_another_role_than_the_logs_owner_stays_and_is_told_before(log: str, db: Connection, kept: Path):
    mend = "ALTER TABLE audit.entity_change_log_2024_01 OWNER TO auditlab_owner"
    db.execute("ALTER TABLE audit.entity_change_log_2024_01 OWNER TO CURRENT_USER")
    for execute in (False, True):
        found = prune(log, kept, before="2024-03-01", execute=execute)
        told = {one.name.removeprefix("audit.entity_change_log_"): one for one in found.partitions}
        assert (told["2024_01"].fate, told["2024_01"].rows) == (STAYS, 10)
        assert told["2024_01"].why.endswith(f", and not to auditlab_owner as the log: {mend}")
    assert months_of(log) == ["2024_01", "2024_03"]
    db.execute(mend)
    assert fates(prune(log, kept, before="2024-03-01", execute=True))["2024_01"] == DROPPED


def test_what_is_proven_goes_and_is_recorded_and_the_rest_stays(log: str, db: Connection, kept: Path):
    before = leaves_of(log)
    found = prune(log, kept, before="2024-03-01", execute=True)
    assert [name for name, fate in fates(found).items() if fate == DROPPED] == ["2024_01", "2024_02"]
    assert leaves_of(log) == [name for name in before if name not in ("2024_01", "2024_02")]
    assert ids_of(log) == list(range(21, 31))
    rows = db.rows("SELECT partition, rows, last_id, archive FROM audit.entity_change_log_pruned ORDER BY 1")
    assert [tuple(row.values()) for row in rows] == [
        ("entity_change_log_2024_01", 10, 10, f"{kept} manifest 1"),
        ("entity_change_log_2024_02", 10, 20, f"{kept} manifest 1"),
    ]
    assert scan_archive(kept).changes.collect()["id"].sort().to_list() == list(range(1, 31))
    assert fates(prune(log, kept, before="2024-03-01", execute=True))["2024_03"] == STAYS


@pytest.mark.parametrize("keep", ["1 month", "0 months", "3 days", "1 year"])
def test_a_span_is_kept_by_the_servers_clock_and_this_month_always(log: str, kept: Path, keep: str):
    found = fates(prune(log, kept, keep=keep))
    assert [name for name, fate in found.items() if fate == WOULD_GO] == ["2024_01", "2024_02", "2024_03"]
    assert fates(prune(log, kept, before="2999-01-01")) == found


@pytest.mark.parametrize("options", [{}, {"keep": "1 year", "before": "2024-01-01"}, {"keep": "some"}])
def test_how_much_stays_is_said_once_and_clearly(log: str, kept: Path, options: dict[str, str]):
    with pytest.raises(BadOption):
        prune(log, kept, **options)  # type: ignore[arg-type]


def test_a_row_that_is_not_in_the_archive_keeps_everything(log: str, db: Connection, kept: Path):
    late = db.rows(ROW, (900, "2024-01-20Z", 1))[0]["id"]
    told = rf"1 row of entity_change_log_2024_01 is not in the archive \(id {late}\)\. Nothing was dropped"
    with pytest.raises(DropRefused, match=told):
        prune(log, kept, before="2024-03-01", execute=True)
    assert months_of(log) == ["2024_01", "2024_02", "2024_03"]
    dry = prune(log, kept, before="2024-03-01")
    assert (fates(dry)["2024_01"], len(dry.unproven)) == (STAYS, 1)
    archive_postgres(log, kept)
    prune(log, kept, before="2024-03-01", execute=True)
    assert months_of(log) == ["2024_03"]


@pytest.mark.parametrize(
    "change",
    [
        "after_snapshot = '{\"n\": 3}'",
        "changed_by = md5('x')::uuid",
        "operation = 'DELETE', after_snapshot = NULL, before_snapshot = after_snapshot",
        "metadata = '{}'",
        "changed_at = changed_at + interval '1 microsecond'",
    ],
)
def test_rows_are_compared_by_what_they_say_not_counted(log: str, db: Connection, kept: Path, change: str):
    db.execute(EDIT.format(change=change))
    with pytest.raises(DropRefused, match=r"1 row of entity_change_log_2024_01 .*\(id 3\)"):
        prune(log, kept, before="2024-02-01", execute=True)
    assert "2024_01" in months_of(log)


def test_a_row_that_comes_while_the_others_are_proven_is_seen(
    log: str, db: Connection, kept: Path, monkeypatch: pytest.MonkeyPatch
):
    drop = dropping.drop

    def late(*args: object, **options: object) -> int:
        db.rows(ROW, (900, "2024-01-20Z", 1))
        return drop(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("auditlab.archive.prune.drop", late)
    with pytest.raises(DropRefused, match=r"is not in the archive \(id 31\): written since it was proven"):
        prune(log, kept, before="2024-03-01", execute=True)
    assert ids_of(log) == list(range(1, 32))


@pytest.mark.parametrize(
    "kept_by",
    [
        {"entity_type": "shop.orders", "entity": "c4ca4238-a0b9-2382-0dcc-509a6f75849b"},
        {"entity_type": "shop.orders", "end": "2024-02-01"},
        {"start": "2024-01-01", "end": "2024-01-11"},
    ],
)
def test_what_is_under_a_hold_stays_and_says_so(log: str, kept: Path, kept_by: dict[str, str]):
    hold(kept, "case 4711", **kept_by)
    found = prune(log, kept, before="2024-03-01", execute=True)
    assert "under the hold 'case 4711'" in next(one.why for one in found.partitions if one.fate == STAYS)
    assert months_of(log) == ["2024_01", "2024_03"]
    release(kept, "case 4711")
    prune(log, kept, before="2024-03-01", execute=True)
    assert months_of(log) == ["2024_03"]
    assert [one.released_at is not None for one in holds(kept)] == [True]


def test_it_says_whether_it_was_to_drop_what_it_did_and_why_nothing_went(log: str, kept: Path):
    for execute, would in ((False, "would be"), (True, "was")):
        told = str(prune(log, kept, before="2024-01-31", execute=execute)).splitlines()[0]
        assert told.endswith(f"before 2024-01-31 00:00 UTC: nothing {would} dropped: no partition ends by then")
    hold(kept, "case", entity_type="shop.orders")
    for execute, would in ((False, "would be"), (True, "was")):
        head, *parts = str(prune(log, kept, before="2024-02-01", execute=execute)).splitlines()
        assert head.endswith(f"UTC: nothing {would} dropped: 1 partition of before stays, below is why")
        assert any("2024_01: stays, 10 changes" in part and "under the hold 'case'" in part for part in parts)
    assert "nothing was dropped: 3 partitions of before stay" in str(prune(log, kept, keep="1 month", execute=True))
    release(kept, "case")
    done = prune(log, kept, before="2024-02-01", execute=True)
    assert "UTC: 1 partition dropped, 0." in str(done)
    assert (done.as_dict()["execute"], prune(log, kept, before="2024-02-01").as_dict()["execute"]) == (True, False)


def test_a_time_in_this_month_or_later_is_said_to_be_moved_to_its_beginning(log: str, kept: Path):
    found = prune(log, kept, before="2999-01-01")
    moved = "2999-01-01 00:00 UTC was asked for, but from the beginning of this month on all stays"
    assert str(found).splitlines()[0].endswith(f"3 partitions would be dropped, {_size(found)} MB; {moved}")
    assert found.as_dict()["asked"] == "2999-01-01T00:00:00+00:00" > found.as_dict()["before"]
    assert "was asked for" in str(prune(log, kept, keep="0 days"))
    assert "was asked for" not in str(prune(log, kept, keep="0 months"))
    assert "was asked for" not in str(prune(log, kept, before="2024-03-01"))


def _size(found: Pruning) -> str:
    return f"{sum(one.bytes for one in found.partitions if one.fate != STAYS) / 1e6:,.1f}"


def test_a_hold_of_other_rows_keeps_nothing(log: str, kept: Path):
    hold(kept, "others", entity_type="shop.items")
    hold(kept, "ann", user="11111111-1111-1111-1111-111111111111")
    hold(kept, "later", start="2025-01-01")
    assert fates(prune(log, kept, before="2024-03-01"))["2024_01"] == WOULD_GO
    for wrong in ({}, {"entity": 1}, {"start": "2024-02-01", "end": "2024-01-01"}):
        with pytest.raises(BadOption):
            hold(kept, "wrong", **wrong)  # type: ignore[arg-type]
    with pytest.raises(BadOption, match="placed already"):
        hold(kept, "ann", user="x")
    with pytest.raises(BadOption, match="There are: 'others', 'ann', 'later'"):
        release(kept, "nobody")


def test_holds_that_cannot_be_read_keep_everything(log: str, kept: Path):
    (kept / "holds.json").write_text("[")
    with pytest.raises(ArchiveCorrupt, match="what is held cannot be told"):
        prune(log, kept, before="2024-03-01", execute=True)
    assert "2024_01" in months_of(log)


def test_a_damaged_archive_proves_nothing(log: str, kept: Path):
    path = next((kept / "data").iterdir())
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ArchiveCorrupt):
        prune(log, kept, before="2024-03-01", execute=True)
    assert "2024_01" in months_of(log)


def test_it_never_waits_long_before_writers_and_says_who_holds_the_lock(
    log: str, kept: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(dropping, "_ATTEMPTS", 2)
    monkeypatch.setattr(dropping, "_PAUSE", 0.01)
    waits = []

    def write() -> None:
        with connect(log, autocommit=True) as other:
            while not done.is_set():
                begin = time.monotonic()
                other.rows(ROW, (2000, "2026-11-01Z", 1))
                waits.append(time.monotonic() - begin)

    done = threading.Event()
    with connect(log) as reader:
        pid = reader.rows("SELECT pg_backend_pid() AS pid, count(*) AS n FROM audit.entity_change_log")[0]["pid"]
        writer = threading.Thread(target=write)
        writer.start()
        try:
            with pytest.raises(DropRefused, match=rf"was not to be had in 2 attempts\. Locks .* held by .*pid {pid} "):
                prune(log, kept, before="2024-03-01", execute=True, lock_timeout=0.1)
        finally:
            done.set()
            writer.join()
    assert len(waits) > 1
    assert max(waits) < 2.0, "writers wait for the lock's time at the most"
    assert months_of(log) == ["2024_01", "2024_02", "2024_03"]
    prune(log, kept, before="2024-03-01", execute=True)
    assert months_of(log) == ["2024_03"]


def test_a_log_that_is_not_partitioned_says_so(published: str, tmp_path: Path):
    with connect(published, autocommit=True) as db:
        db.execute("INSERT INTO orders.orders DEFAULT VALUES")
    archive_postgres(published, tmp_path / "a")
    with pytest.raises(DropRefused, match="audit.entity_change_log is not partitioned: there is nothing to detach"):
        prune(published, tmp_path / "a", keep="1 month")


def test_the_published_log_partitioned_by_hand_is_pruned_too(published: str, tmp_path: Path):
    with connect(published, autocommit=True) as db:
        db.execute(BY_HAND)
        for number, month in enumerate(("2023-05", "2024-02", "2024-03")):
            db.rows(ROW, (number * 10, f"{month}-10Z", 10))
    archive_postgres(published, tmp_path / "a")
    found = prune(published, tmp_path / "a", before="2024-03-01", execute=True)
    assert {one.name: (one.fate, one.why) for one in found.partitions} == {
        "audit.old": (DROPPED, ""),
        "audit.O'Feb": (DROPPED, ""),
        "audit.rest": (STAYS, "it has no end"),
    }
    assert ids_of(published) == list(range(21, 31))


def test_who_does_not_own_the_log_is_told(
    log: str, db: Connection, kept: Path, make_role: Callable[..., tuple[str, str]]
):
    pruner, own = make_role(log, "pruner", "IN ROLE auditlab_auditor")
    assert fates(prune(own, kept, before="2024-03-01"))["2024_01"] == WOULD_GO
    with pytest.raises(AccessDenied, match=f"GRANT auditlab_owner TO {pruner}"):
        prune(own, kept, before="2024-03-01", execute=True)
    db.execute(f"GRANT auditlab_owner TO {pruner}")
    prune(own, kept, before="2024-03-01", execute=True)
    db.execute(f"REVOKE auditlab_owner FROM {pruner}")
    assert months_of(log) == ["2024_03"]
    assert read_postgres(own).facts.coverage.start.year == 2024  # type: ignore[union-attr]
    db.execute("REVOKE SELECT ON audit.entity_change_log_pruned FROM auditlab_auditor")
    with pytest.raises(AccessDenied, match="which says what was dropped from audit.entity_change_log"):
        read_postgres(own)


def test_a_load_after_a_prune_does_not_claim_what_was_dropped(log: str, db: Connection, kept: Path):
    db.execute(UPDATE)
    archive_postgres(log, kept)
    prune(log, kept, before="2024-03-01", execute=True)
    after = read_postgres(log).of("shop.orders")
    assert after.facts.coverage.start is not None
    assert f"{after.facts.coverage.start:%Y-%m-%d %H}" == "2024-03-01 01"
    with pytest.raises(NoData, match=r"2 partitions, up to 2024-03-01 00:00 UTC, were dropped .* al\.scan"):
        after.as_of("2024-02-20")
    with pytest.warns(IncompletePopulation, match="were there before the log began"):
        assert len(after.as_of("2024-03-20")) == 11
    assert len(after.entity("c4ca4238-a0b9-2382-0dcc-509a6f75849b").as_of("2024-03-20")) == 1


def test_who_reads_the_log_still_reads_what_was_dropped_after_an_upgrade(log: str, db: Connection, kept: Path):
    prune(log, kept, before="2024-03-01", execute=True)
    db.execute(text("capture", "grants"))
    allowed = "SELECT has_table_privilege($1::text, 'audit.entity_change_log_pruned', 'SELECT') AS may"
    readers = ("auditlab_auditor", "auditlab_archiver", "auditlab_app")
    assert [db.rows(allowed, (role,))[0]["may"] for role in readers] == [True, True, False]


def test_where_older_partitions_stay_before_dropped_ones_states_are_refused(log: str, kept: Path):
    hold(kept, "january", entity_type="shop.orders", end="2024-02-01")
    prune(log, kept, before="2024-03-01", execute=True)
    assert months_of(log) == ["2024_01", "2024_03"]
    after = read_postgres(log).of("shop.orders")
    with pytest.raises(IncompleteLog, match="changes from before are still there"):
        after.as_of()
    assert len(after.changes()) == 20


def test_an_archive_that_is_behind_the_one_that_proved_does_not_go_on_with_a_gap(
    log: str, db: Connection, kept: Path, tmp_path: Path
):
    shutil.copytree(kept, tmp_path / "behind")
    db.rows(ROW, (900, "2024-01-20Z", 1))
    archive_postgres(log, kept)
    prune(log, kept, before="2024-03-01", execute=True)
    with pytest.raises(CursorMismatch, match="proven against another archive. This one would have a gap"):
        archive_postgres(log, tmp_path / "behind")
    assert archive_postgres(log, kept).rows == 0


def test_an_archive_of_another_database_is_refused(
    make_database: Callable[..., str], captured_template: str, kept: Path
):
    with pytest.raises(CursorMismatch):
        prune(make_database(captured_template), kept, before="2024-03-01")


def test_no_partition_goes_while_a_log_is_read(log: str, kept: Path, monkeypatch: pytest.MonkeyPatch):
    from auditlab.load.postgres import ChangeStream  # noqa: PLC0415 - beside its only use

    monkeypatch.setattr(dropping, "_ATTEMPTS", 1)
    with ChangeStream(log) as stream:
        with pytest.raises(DropRefused, match="auditlab"):
            prune(log, kept, before="2024-03-01", execute=True)
        assert sum(batch.num_rows for batch in stream) == 30
        assert stream.facts.coverage.complete

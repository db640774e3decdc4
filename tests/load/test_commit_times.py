"""Commit times from the server: which changes get them, when they are the clock, and whose they must not be."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl
import pytest
from typer.testing import CliRunner

import auditlab as al
from auditlab.cli import app
from auditlab.connection import connect
from auditlab.demo.server import start_server
from auditlab.errors import BadOption, IncompleteLog, MarkMismatch, UncertainTime

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from auditlab.connection import Connection
    from auditlab.demo.server import Server

TABLE = "CREATE SCHEMA s; CREATE TABLE s.t (id uuid PRIMARY KEY, n int)"
KEY = "00000000-0000-4000-8000-000000000001"


@pytest.fixture(scope="module")
def stamping() -> Iterator[Server]:
    """A server that tracks commit times, and takes prepared transactions."""
    settings = ("fsync=off", "track_commit_timestamp=on", "max_prepared_transactions=5", "autovacuum=off")
    with start_server(settings=settings) as started:
        yield started


@pytest.fixture
def dsn(stamping: Server, request: pytest.FixtureRequest) -> str:
    """A database on it, one table tracked."""
    made = stamping.create_database(f"d{abs(hash(request.node.name))}")
    al.install(made)
    with connect(made, autocommit=True) as connection:
        connection.execute(TABLE)
    al.track(made, "s.t")
    return made


@pytest.fixture
def db(dsn: str) -> Iterator[Connection]:
    with connect(dsn, autocommit=True) as connection:
        yield connection


def stamps(connection: Connection) -> dict[int, object]:
    """By transaction that the log names, what the server says of it."""
    rows = connection.rows(
        "SELECT DISTINCT transaction_id AS number, pg_xact_commit_timestamp(transaction_id::text::xid) AS stamp"
        " FROM audit.entity_change_log"
    )
    return {row["number"]: row["stamp"] for row in rows}


def read(dsn: str, **options: object) -> al.ChangeLog:
    return al.read_postgres(dsn, progress=False, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("connections", [1, 2])
def test_every_change_has_its_commit_time_which_is_the_clock(dsn: str, db: Connection, connections: int):
    db.execute(f"INSERT INTO s.t VALUES ('{KEY}', 1)")
    db.execute("BEGIN")
    db.execute("SELECT now()")
    db.execute(f"SAVEPOINT a; UPDATE s.t SET n = 2; SAVEPOINT b; UPDATE s.t SET n = 3 WHERE id = '{KEY}'; RELEASE b")
    db.execute("COMMIT")
    db.execute("BEGIN; UPDATE s.t SET n = 4; PREPARE TRANSACTION 'p'")
    db.execute("COMMIT PREPARED 'p'")
    log = read(dsn, connections=connections)
    changes = log.changes()
    assert changes.height == 4
    assert log.facts.clock == "committed_at"
    assert log.facts.visible_within == 60
    assert (changes["committed_at"] > changes["changed_at"]).all()
    assert dict(changes.select("transaction_id", "committed_at").iter_rows()) == stamps(db)
    assert log.of("s.t").history()["valid_from"].to_list() == changes["committed_at"].to_list()
    assert log.facts.coverage.start == changes["committed_at"].min()
    assert "committed_at (when a commit was written down; seen by others within 1 minute)" in repr(log)


def test_an_archive_with_nothing_new_behind_it_keeps_its_clock(dsn: str, db: Connection, tmp_path: Path):
    db.execute(f"INSERT INTO s.t VALUES ('{KEY}', 1)")
    al.archive_postgres(dsn, tmp_path / "a", progress=False)
    for _ in range(2):
        facts = al.scan(dsn, tmp_path / "a", progress=False).facts
        assert (facts.clock, facts.visible_within) == ("committed_at", 60)
        assert al.scan(dsn, tmp_path / "a", progress=False, clock="changed_at").facts.clock == "changed_at"
        db.execute("UPDATE s.t SET n = 2")


def test_changes_that_were_put_in_later_than_they_were_made_are_dated_by_changed_at(dsn: str, db: Connection):
    db.execute(
        "INSERT INTO audit.entity_change_log (entity_type, entity_id, operation, changed_at, after_snapshot,"
        f" transaction_id) VALUES ('s.t', '{KEY}', 'INSERT', '2024-05-05Z', '{{}}',"
        " txid_current())"
    )
    asked = ["as-of", dsn, "-t", "s.t", "--at", "2024-05-06", "-f", "jsonl"]
    refused = CliRunner().invoke(app, asked)
    assert (refused.exit_code, "load it from its database with --clock changed_at" in refused.stderr) == (2, True)
    assert KEY in CliRunner().invoke(app, [*asked, "--clock", "changed_at"]).stdout


def test_the_clock_can_be_chosen_and_start_and_end_go_by_changed_at(dsn: str, db: Connection):
    db.execute(f"INSERT INTO s.t VALUES ('{KEY}', 1)")
    db.execute("BEGIN; UPDATE s.t SET n = 2; SELECT pg_sleep(0.05); COMMIT")
    begun = read(dsn, clock="changed_at")
    assert begun.facts.clock == "changed_at"
    assert begun.facts.visible_within == 3600
    assert begun.changes()["committed_at"].null_count() == 0
    last = begun.changes().row(-1, named=True)
    between = last["changed_at"] + timedelta(milliseconds=20)
    assert last["changed_at"] < between < last["committed_at"]
    for option in ("start", "end"):
        limited = read(dsn, **{option: between})
        assert limited.facts.clock == "changed_at"
        with pytest.raises(BadOption, match="do not go together"):
            read(dsn, clock="committed_at", **{option: between})
    assert read(dsn, end=between).of("s.t").as_of(between - timedelta(microseconds=1))["n"].to_list() == [2]
    committed, trusted = read(dsn).of("s.t").as_of(between), begun.of("s.t").as_of(between)
    assert committed["n"].to_list() == [1]
    assert trusted.select("n", "certain").rows() == [(2, False)]
    with pytest.raises(BadOption, match="clock='now'"):
        read(dsn, clock="now")
    with pytest.raises(BadOption, match="visible_within"):
        read(dsn, visible_within=-1)


def test_what_was_committed_long_enough_ago_is_certain_whatever_the_clock(dsn: str, db: Connection):
    """A commit time narrows the doubt of a log whose clock is the transactions' beginning."""
    db.execute(f"INSERT INTO s.t VALUES ('{KEY}', 1)")
    log = read(dsn, clock="changed_at")
    doubted = log.of("s.t").doubtful(log.changes()["committed_at"][0])
    assert doubted["until"].to_list() == [log.changes()["committed_at"][0] + timedelta(seconds=60)]


def test_a_restored_log_has_no_commit_times_of_other_transactions(dsn: str, db: Connection):
    """Its ids are those of its old server; here other transactions have them, and commit times of their own."""
    db.execute("CREATE TABLE public.unrelated (n int)")
    for number in range(5):
        db.execute(f"INSERT INTO public.unrelated VALUES ({number})")
    db.execute(
        "INSERT INTO audit.entity_change_log (entity_type, entity_id, operation, changed_at, after_snapshot,"
        " transaction_id) SELECT 's.t', md5(random()::text)::uuid, 'INSERT', now() - interval '1 day', '{}',"
        " u.xmin::text::bigint FROM public.unrelated AS u"
    )
    assert None not in stamps(db).values()
    log = read(dsn)
    assert log.changes()["committed_at"].null_count() == 5
    assert log.facts.clock == "changed_at"
    with pytest.raises(IncompleteLog, match="5 of 5 changes have no commit time"):
        read(dsn, clock="committed_at")


def test_an_id_of_an_older_epoch_does_not_get_a_newer_one_s_time(dsn: str, db: Connection):
    """The server is asked by 32 bits: 2^32 transactions later the same bits are another transaction."""
    db.execute(
        "INSERT INTO audit.entity_change_log (entity_type, entity_id, operation, after_snapshot, transaction_id)"
        f" SELECT 's.t', md5(random()::text)::uuid, 'INSERT', '{{}}', txid_current() + {2**32}"
    )
    log = read(dsn)
    assert log.changes()["committed_at"].to_list() == [None]
    with pytest.raises(MarkMismatch, match="1 changes have transaction ids .* of another system"):
        log.as_of(mark=al.mark(dsn))


def test_a_view_and_a_log_with_its_own_commit_times_are_left_alone(dsn: str, db: Connection):
    db.execute(f"INSERT INTO s.t VALUES ('{KEY}', 1)")
    db.execute("CREATE VIEW public.seen AS SELECT * FROM audit.entity_change_log")
    assert read(dsn, table="public.seen").facts.clock == "changed_at"
    db.execute("CREATE TABLE public.own AS SELECT *, changed_at + interval '1 s' AS committed_at FROM public.seen")
    own = read(dsn, table="public.own")
    assert own.facts.clock == "committed_at"
    assert own.changes().select((pl.col("committed_at") - pl.col("changed_at")).unique()).item() == timedelta(seconds=1)


def test_a_server_that_does_not_track_gives_none_and_leaves_more_open():
    with start_server(settings=("fsync=off", "track_commit_timestamp=off")) as server:
        dsn = server.create_database("plain")
        al.install(dsn)
        with connect(dsn, autocommit=True) as connection:
            connection.execute(TABLE)
        al.track(dsn, "s.t")
        with connect(dsn, autocommit=True) as connection:
            connection.execute(f"INSERT INTO s.t VALUES ('{KEY}', 1)")
            now = connection.rows("SELECT clock_timestamp() AS now")[0]["now"]
            connection.execute("DELETE FROM s.t")
            gone = connection.rows("SELECT clock_timestamp() AS now")[0]["now"]
        log = read(dsn)
    assert log.facts.clock == "changed_at"
    assert log.changes()["committed_at"].null_count() == 2
    assert "changed_at (when a transaction began; seen by others within 1 hour)" in repr(log)
    of = log.of("s.t")
    assert of.as_of(now)["certain"].to_list() == [False]
    with pytest.warns(UncertainTime, match="absent from this answer may have been there: 1 of s.t"):
        assert of.as_of(gone).is_empty()
    assert of.doubtful(gone).select("operation", "present").rows() == [("INSERT", False), ("DELETE", False)]
    assert "That is not certain" in of.why_not(KEY, gone)
    with pytest.warns(UncertainTime, match="this answer does not flag them: 1 of s.t"):
        of.compare(now, gone)
    spine = pl.DataFrame({"entity_id": [KEY, KEY, None], "at": [now, gone, now]})
    assert log.pit_join(spine)["certain"].to_list() == [False, False, None]
    assert read_again(log).as_of(now)["certain"].to_list() == [True]


def read_again(log: al.ChangeLog) -> al.ChangeLog:
    """The same rows as a frame, whose times are taken for the truth."""
    coverage = (log.facts.coverage.start, log.facts.coverage.end)
    assert coverage[0] is not None
    return al.from_arrow(log.changes(), coverage=coverage).of("s.t")  # type: ignore[arg-type]

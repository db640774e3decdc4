"""Taking marks: by the API and the command, kept in the database and in files, by whom, and where they are refused."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

import auditlab as al
from auditlab.cli.app import app
from auditlab.cli.mark import next_due
from auditlab.connection import connect
from auditlab.demo.server import start_server
from auditlab.errors import AccessDenied, BadMark, DatabaseError, MarkMismatch, NoData, OnStandby, UnknownMark
from auditlab.marks import TransactionSnapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


TABLE = "CREATE SCHEMA s; CREATE TABLE s.t (id uuid PRIMARY KEY DEFAULT md5(random()::text)::uuid, n int)"


def command(*words: object) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture
def tracked(captured: str) -> str:
    """A database with one tracked table and one row."""
    with connect(captured, autocommit=True) as connection:
        connection.execute(TABLE)
    al.track(captured, "s.t")
    with connect(captured, autocommit=True) as connection:
        connection.execute("INSERT INTO s.t (n) VALUES (1)")
    return captured


def test_a_mark_is_kept_by_the_database_and_comes_with_the_log(tracked: str, tmp_path: Path):
    before = datetime.now(UTC)
    taken = al.mark(tracked, "one")
    assert before - timedelta(seconds=5) <= taken.since <= taken.at
    assert taken.timeline == 1
    with connect(tracked, autocommit=True) as connection:
        connection.execute("UPDATE s.t SET n = 2")
    log = al.read_postgres(tracked, progress=False).of("s.t")
    assert log.facts.marks == (taken,)
    assert log.marks().select("name", "snapshot").rows() == [("one", taken.snapshot)]
    assert "marks      1 mark, the last 'one'" in repr(log)
    assert log.as_of(mark="one")["n"].to_list() == [1]
    assert log.as_of()["n"].to_list() == [2]

    log.to_archive(tmp_path / "kept")
    al.archive_postgres(tracked, tmp_path / "copied", progress=False)
    for folder in ("kept", "copied"):
        archive = al.scan_archive(tmp_path / folder)
        assert archive.facts.marks == (taken,)
        assert archive.facts.visible_within == log.facts.visible_within
        assert archive.of("s.t").as_of(mark="one").collect()["n"].to_list() == [1]


def test_the_command_takes_marks_and_as_of_finds_them(tracked: str, tmp_path: Path):
    file = tmp_path / "marks.jsonl"
    assert "kept in audit.mark" in command("mark", tracked, "--name", "here")
    assert str(file) in command("mark", tracked, "--file", file)
    (kept,) = al.read_marks(file)
    with connect(tracked, autocommit=True) as connection:
        connection.execute("UPDATE s.t SET n = 2")
    asked = ["as-of", tracked, "-t", "s.t", "-f", "jsonl"]
    for words in (["--mark", "here"], ["--snapshot", kept.snapshot], ["--mark", "here", "--with-marks", file]):
        assert json.loads(command(*asked, *words))["n"] == 1
        (blamed,) = map(json.loads, command("blame", *asked[1:], *words, "--field", "n").splitlines())
        assert (blamed["value"], blamed["operation"]) == ("1", "INSERT")
    assert json.loads(command(*asked))["n"] == 2
    command("mark", tracked, "--name", "after")
    net = json.loads(command("compare", *asked[1:], "--marks", "here", "after"))
    assert (net["field"], net["old"], net["new"]) == ("n", "1", "2")
    for words in ([], ["--from", "2024-01-01"], ["--marks", "here", "after", "--steps"]):
        done = CliRunner().invoke(app, ["compare", *asked[1:], *words])
        assert done.exit_code == 2
        assert "compare takes --from TIME and --to TIME, or --marks EARLIER LATER" in done.output
    for words, told in (
        (["--mark", "there"], "no mark 'there' beside this log. There are 'here'"),
        (["--snapshot", "1"], ""),
    ):
        done = CliRunner().invoke(app, [*asked, *words])
        assert done.exit_code == 2
        assert told in done.output


def test_every_goes_on_until_it_is_interrupted(tracked: str, tmp_path: Path):
    file = tmp_path / "marks.jsonl"
    words = [sys.executable, "-m", "auditlab", "mark", tracked, "--every", "0.02", "--file", str(file)]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while not file.exists() or len(file.read_text().splitlines()) < 3:
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    marks = al.read_marks(file)
    assert [one.at for one in marks] == sorted(one.at for one in marks)
    assert all(one.at - one.since < timedelta(seconds=5) for one in marks), "each in a transaction of its own"


@pytest.mark.parametrize(
    ("now", "expected"), [(10.0, (12.0, 2.0)), (11.5, (12.0, 0.5)), (12.0, (12.0, 0.0)), (30.0, (30.0, 0.0))]
)
def test_a_mark_that_is_late_is_taken_at_once_and_none_is_made_up_for(now: float, expected: tuple[float, float]):
    assert next_due(10.0, 2.0, now) == expected


def test_without_our_capture_a_mark_goes_to_a_file(database: str, tmp_path: Path):
    file = tmp_path / "marks.jsonl"
    done = CliRunner().invoke(app, ["mark", database])
    assert done.exit_code == 2
    assert "auditlab init DSN" in done.output
    assert "--file" in done.output
    command("mark", database, "--file", file, "--name", "x")
    assert al.read_marks(file)[0].name == "x"
    assert al.read_marks(file) == [al.Mark.of(json.loads(file.read_text()))]


def test_who_may_take_marks_and_that_nobody_forges_them(tracked: str, make_role: Callable[..., tuple[str, str]]):
    user, dsn = make_role(tracked, "marks", "IN ROLE auditlab_auditor")
    with connect(tracked, autocommit=True) as admin:
        assert al.mark(dsn).snapshot, "anyone may look at the moment"
        assert CliRunner().invoke(app, ["mark", dsn]).exit_code == 2
        with connect(dsn, autocommit=True) as mine:
            for attack in ("SELECT audit.take_mark()", "INSERT INTO audit.mark (name) VALUES ('x')"):
                with pytest.raises(AccessDenied):
                    mine.execute(attack)
        admin.execute(f"GRANT auditlab_archiver TO {user}")
        al.mark(dsn, "mine")
        assert admin.rows("SELECT name, taken_by FROM audit.mark") == [{"name": "mine", "taken_by": user}]
        assert al.read_postgres(dsn, progress=False).marks()["name"].to_list() == ["mine"]
        with pytest.raises(AccessDenied, match="append-only"):
            admin.execute("UPDATE audit.mark SET name = 'yours'")


def test_a_name_is_given_once_and_the_second_time_says_when_it_was(tracked: str):
    taken = al.mark(tracked, "closing")
    made = f"there is a mark 'closing' already, made {taken.at:%Y-%m-%d %H:%M:%S.%f} UTC and kept in audit.mark of"
    for again in (al.mark, al.snapshot):
        with pytest.raises(BadMark, match=f"^{re.escape(made)}.*: give this one another, such as 'closing 2'"):
            again(tracked, "closing")
    for words in (["mark"], ["snapshot", "--always"]):
        done = CliRunner().invoke(app, [*words, tracked, "--name", "closing"])
        assert done.exit_code == 2
        assert made in done.output
    assert al.read_postgres(tracked, progress=False).marks()["name"].to_list() == ["closing"]
    al.snapshot(tracked, "month-end", always=True)
    with pytest.raises(BadMark, match="'month-end' already"):
        al.mark(tracked, "month-end")
    with pytest.raises(BadMark, match="name is empty"):
        al.mark(tracked, "")
    al.mark(tracked)
    al.mark(tracked)


def test_a_file_of_marks_has_a_name_once(tracked: str, database: str, tmp_path: Path):
    file = tmp_path / "marks.jsonl"
    taken = al.mark(database, "x", file=file)
    with pytest.raises(BadMark, match=f"'x' already, made .* and kept in {re.escape(str(file))}"):
        al.mark(database, "x", file=file)
    with pytest.raises(BadMark, match="'x' already"):
        al.mark(tracked, "x", file=file)
    for name in (file, tmp_path / "new.jsonl"):
        with pytest.raises(BadMark, match="name is empty"):
            al.mark(database, "", file=name)
    with pytest.raises(BadMark, match="name is empty"):
        al.mark(database, "")
    assert al.read_marks(file) == [taken]
    assert not (tmp_path / "new.jsonl").exists()
    assert al.read_postgres(tracked, progress=False).facts.marks == (), "and nowhere else either"


def test_a_name_is_not_for_marks_that_go_on(tracked: str):
    done = CliRunner().invoke(app, ["mark", tracked, "--every", "60", "--name", "x"])
    assert done.exit_code == 2
    assert "--name is for one mark" in done.output


def test_a_mark_is_taken_in_a_transaction_of_its_own(tracked: str):
    with connect(tracked) as connection:
        connection.execute("UPDATE s.t SET n = 3")
        with pytest.raises(DatabaseError, match="a transaction of its own"):
            connection.rows("SELECT audit.take_mark()")
        connection.rollback()


def test_marks_that_say_nothing_about_the_log_are_refused(tracked: str):
    log = al.read_postgres(tracked, progress=False).of("s.t")
    later = al.mark(tracked)
    log.as_of(mark=later)
    with connect(tracked, autocommit=True) as connection:
        connection.execute("UPDATE s.t SET n = 2")
    younger = al.mark(tracked, "younger")
    with pytest.raises(NoData, match="younger than the log: it may have seen transaction"):
        log.as_of(mark=younger)
    at, text = younger.at, later.snapshot
    with pytest.raises(MarkMismatch, match="is of system 1"):
        log.as_of(mark=al.Mark(at, text, system="1"))
    with pytest.raises(MarkMismatch, match="timeline 2"):
        log.with_marks(al.Mark(at, text, timeline=2))
    with pytest.raises(UnknownMark, match="no mark 'x' beside this log. There are none"):
        log.as_of(mark="x")
    with pytest.raises(UnknownMark, match=f"2 marks are called 'twice': .*{text} at 20.*the snapshot that it saw"):
        log.with_marks([al.Mark(at, text, name="twice"), al.Mark(later.at, text, name="twice")]).as_of(mark="twice")
    with pytest.raises(BadMark, match="no transaction snapshot"):
        log.as_of(snapshot="12:11:")
    with pytest.raises(NoData, match="saw no change of this log"):
        log.as_of(snapshot="3:3:")


def test_a_mark_older_than_a_baseline_is_refused(captured: str):
    with connect(captured, autocommit=True) as connection:
        connection.execute(TABLE)
        connection.execute("CREATE TABLE s.u (id int PRIMARY KEY); INSERT INTO s.t (n) VALUES (1)")
    al.track(captured, "s.u")
    with connect(captured, autocommit=True) as connection:
        connection.execute("INSERT INTO s.u VALUES (1)")
    al.mark(captured, "early")
    al.track(captured, "s.t")
    al.mark(captured, "late")
    with connect(captured, autocommit=True) as connection:
        connection.execute("UPDATE s.t SET n = 2")
    log = al.read_postgres(captured, progress=False)
    assert log.of("s.u").as_of(mark="early").height == 1
    with pytest.raises(NoData, match="log of s.t begins with states .a baseline. of which 1 were not there yet"):
        log.of("s.t").as_of(mark="early")
    assert log.of("s.t").as_of(mark="late")["n"].to_list() == [1]
    assert log.as_of(mark="late").height == 2


@pytest.mark.parametrize(
    "text", ["", "1", "1:2", "0:1:", "5:4:", "1:9:9", "1:9:0", "3:9:5,4", "3:9:4,4", "a:b:c", "1:9:4,", f"1:{2**63}:"]
)
def test_what_is_no_snapshot_is_refused(text: str):
    with pytest.raises(BadMark):
        TransactionSnapshot.of(text)


def test_a_file_with_something_else_in_it_is_refused_by_its_line(tmp_path: Path):
    file = tmp_path / "marks.jsonl"
    good = json.dumps(al.Mark(datetime(2024, 1, 1, tzinfo=UTC), "3:4:").told())
    for bad in ("{", "[]", '{"at": "2024-01-01"}', '{"at": "2024-01-01T00:00Z", "snapshot": "3:4:", "more": 1}'):
        file.write_text(f"{good}\n{bad}\n")
        with pytest.raises(BadMark, match="line 2"):
            al.read_marks(file)
    with pytest.raises(BadMark, match="cannot read"):
        al.read_marks(tmp_path / "none")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the server's own user can reach, with a short path."""
    with tempfile.TemporaryDirectory(prefix="auditlab-") as made:
        Path(made).chmod(0o755)
        yield Path(made)


def test_a_standby_takes_no_marks_and_its_log_has_those_of_the_primary(folder: Path):
    """A copy of a stopped server's folder, told to be a standby."""
    with start_server(folder, settings=["fsync=off"]) as primary:
        dsn = primary.create_database("shop")
        al.install(dsn)
        with connect(dsn, autocommit=True) as connection:
            connection.execute(TABLE)
        al.track(dsn, "s.t")
        with connect(dsn, autocommit=True) as connection:
            connection.execute("INSERT INTO s.t (n) VALUES (1)")
        taken = al.mark(dsn, "kept")
        with connect(dsn, autocommit=True) as connection:
            connection.execute("UPDATE s.t SET n = 2")
    shutil.copytree(folder / "data", folder / "copy" / "data", copy_function=shutil.copy2)
    owner = (folder / "data").stat()
    for place in (folder / "copy", *(folder / "copy").rglob("*")):
        os.chown(place, owner.st_uid, owner.st_gid)
    (folder / "copy").chmod(0o755)
    (folder / "copy" / "data" / "standby.signal").touch()
    stopped = datetime.now(UTC)
    with start_server(folder / "copy", settings=["fsync=off", "hot_standby=on"]) as standby:
        dsn = standby.dsn_of("shop")
        with pytest.raises(OnStandby, match="Take the mark there"):
            al.mark(dsn)
        done = CliRunner().invoke(app, ["mark", dsn, "--file", str(folder / "marks.jsonl")])
        assert done.exit_code == 2
        assert "is a standby" in done.output
        log = al.read_postgres(dsn, progress=False).of("s.t")
        assert log.facts.snapshot is None
        assert log.facts.marks == (taken,)
        assert log.as_of(mark="kept")["n"].to_list() == [1]
        assert log.changes()["changed_at"].max() <= log.facts.coverage.end < stopped, (
            "what was not replayed is not known"
        )
        with pytest.raises(NoData, match="the log covers"):
            log.as_of(stopped)


def test_an_archive_that_grows_keeps_its_marks_and_one_clock(tracked: str, tmp_path: Path):
    folder = tmp_path / "archive"
    first = al.mark(tracked, "first")
    one = al.archive_postgres(tracked, folder, progress=False)
    assert one.facts.marks == (first,)
    with connect(tracked, autocommit=True) as connection:
        connection.execute("UPDATE s.t SET n = 2")
    second = al.mark(tracked, "second")
    with connect(tracked, autocommit=True) as connection:
        connection.execute("UPDATE s.t SET n = 3")
    al.archive_postgres(tracked, folder, progress=False, clock="changed_at", visible_within=7)
    archive = al.scan_archive(folder)
    assert (archive.facts.clock, archive.facts.visible_within) == ("changed_at", 7)
    assert archive.facts.marks == (first, second)
    for name, n in (("first", 1), ("second", 2)):
        assert archive.of("s.t").as_of(mark=name).collect()["n"].to_list() == [n]
    with connect(tracked, autocommit=True) as connection:
        connection.execute("UPDATE s.t SET n = 4")
    al.archive_postgres(tracked, folder, progress=False)
    assert al.scan_archive(folder).facts.clock == "changed_at", "what has had one clock keeps it"
    younger = al.mark(tracked)
    with connect(tracked, autocommit=True) as connection:
        connection.execute("UPDATE s.t SET n = 5")
    with pytest.raises(NoData, match="younger than the log"):
        al.scan_archive(folder).of("s.t").as_of(mark=al.mark(tracked))
    assert al.scan_archive(folder).of("s.t").as_of(mark=younger).collect()["n"].to_list() == [4]

"""What a log that begins with a snapshot of its entities knows, what it does not, and how it says so."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import polars as pl
import pytest
from old_log import ROW, fill_months, months_of

import auditlab as al
from auditlab.connection import Connection, connect
from auditlab.errors import AuditlabError, BadOption, BadTime, IncompleteLog, IncompletePopulation, NoData

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def loaded(dsn: str, **options: object) -> al.ChangeLog:
    return al.read_postgres(dsn, progress=False, **options)  # type: ignore[arg-type]


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

"""A planted schedule of interleavings on a real PostgreSQL: as of each mark, and of each time, against copies.

Long transactions from before a mark to after it, savepoints rolled back, rows deleted and inserted again, a key that
changes, TRUNCATE, writers that wait for each other's row, a prepared transaction: each copy was taken while they were
at work. In the same run the published query is held against the same copies: it must be wrong, or the schedule is none.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from oracle_frames import assert_blame
from planted import ORDERS, Planted, key

import auditlab as al
from auditlab.connection import connect
from auditlab.errors import UncertainTime
from auditlab.testing import Oracle, assert_states

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from auditlab.testing.copies import Copy

PUBLISHED_AS_OF = """
SELECT DISTINCT ON (entity_id) entity_id::text AS id, after_snapshot ->> 'status' AS status
FROM audit.entity_change_log
WHERE entity_type = 'orders.orders' AND changed_at <= $1 AND operation <> 'DELETE'
ORDER BY entity_id, changed_at DESC
"""
TABLE = "CREATE SCHEMA orders; CREATE TABLE orders.orders (id uuid PRIMARY KEY, total numeric(20, 2), status text)"


def plant(planted: Planted, moment: Callable[[str], Any]) -> None:
    """Long transactions, savepoints, a writer that waits; ``moment`` is called where a mark may be taken."""
    orders = ", ".join(f"('{key(number)}', {number}.10, 'draft')" for number in range(1, 9))
    planted.do("a", f"INSERT INTO orders.orders (id, total, status) VALUES {orders}")
    planted.copy()
    planted.do("early", "BEGIN", "SELECT now()")
    planted.do("long", "BEGIN")
    planted.set("long", 1, "long")
    moment("while the long transaction is at work")
    planted.set("b", 2, "b1")
    planted.copy()
    planted.do("saves", "BEGIN", "SAVEPOINT s")
    planted.set("saves", 3, "undone")
    planted.do("saves", "ROLLBACK TO s")
    planted.set("saves", 3, "kept")
    planted.do("saves", "SAVEPOINT t")
    planted.set("saves", 4, "inside")
    planted.do("saves", "RELEASE t")
    planted.do("waits", "BEGIN")
    planted.wait_to_set("waits", 1, "after long")
    planted.copy()
    planted.do("long", "COMMIT")
    planted.go("waits")
    planted.copy()


def plant_more(planted: Planted, moment: Callable[[str], Any]) -> None:
    """Second lives, what is rolled back or prepared, and the transaction that began first and wrote last."""
    planted.do("b", f"DELETE FROM orders.orders WHERE id = '{key(5)}'")
    planted.copy()
    planted.do("b", f"INSERT INTO orders.orders (id, total, status) VALUES ('{key(5)}', 5, 'second life')")
    moment("between two lives and more")
    planted.do("reborn", "BEGIN", f"DELETE FROM orders.orders WHERE id = '{key(6)}'")
    planted.do("reborn", f"INSERT INTO orders.orders (id, total, status) VALUES ('{key(6)}', 6, 'reborn')")
    planted.copy()
    planted.do("reborn", "COMMIT")
    planted.do("waits", "COMMIT")
    planted.copy()
    planted.do("saves", "COMMIT")
    planted.do("gives up", "BEGIN")
    planted.set("gives up", 7, "never")
    planted.copy()
    planted.do("gives up", "ROLLBACK")
    if planted.two_phases():
        planted.do("two", "BEGIN")
        planted.set("two", 7, "prepared")
        planted.do("two", "PREPARE TRANSACTION 'planted'")
        moment("while a transaction is prepared")
        planted.copy()
        planted.do("b", "COMMIT PREPARED 'planted'")
        planted.copy()
    planted.set("b", 8, "late, but first")
    planted.copy()
    planted.set("early", 8, "early, but last")
    planted.do("early", f"DELETE FROM orders.orders WHERE id = '{key(2)}'")
    planted.copy()
    planted.do("early", "COMMIT")
    moment("after all of them")
    planted.copy()


def plant_what_ours_sees(planted: Planted, moment: Callable[[str], Any]) -> None:
    """A key that changes, and TRUNCATE: the published trigger records neither so that states can be told."""
    planted.do("key", "BEGIN", f"UPDATE orders.orders SET id = '{key(13)}' WHERE id = '{key(3)}'")
    planted.do("empties", "BEGIN", "SELECT now()")
    planted.copy()
    planted.do("key", "COMMIT")
    planted.copy()
    planted.do("empties", "TRUNCATE orders.orders")
    planted.do("empties", f"INSERT INTO orders.orders (id, total, status) VALUES ('{key(4)}', 4, 'third life')")
    planted.do("empties", "COMMIT")
    moment("emptied")
    planted.copy()


@pytest.fixture(params=["ours", "published"])
def happened(
    request: pytest.FixtureRequest, make_database: Callable[..., str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, list[Copy], list[al.Mark]]:
    """A database with its log, the copies, and the marks that were taken meanwhile (ours keeps them itself)."""
    template = request.getfixturevalue(f"{'captured' if request.param == 'ours' else 'published'}_template")
    dsn = make_database(template)
    file = tmp_path_factory.mktemp("marks") / "marks.jsonl"
    if request.param == "ours":
        with connect(dsn, autocommit=True) as connection:
            connection.execute(TABLE)
        al.track(dsn, ORDERS)
    with Planted(dsn) as planted:
        plant(planted, lambda name: al.mark(dsn, name, file=file))
        plant_more(planted, lambda name: al.mark(dsn, name, file=file))
        if request.param == "ours":
            plant_what_ours_sees(planted, lambda name: al.mark(dsn, name, file=file))
        copies = planted.copies
    return dsn, copies, al.read_marks(file)


def statuses(frame: pl.DataFrame) -> dict[str, str]:
    return dict(frame.select("entity_id", "status").iter_rows())


def wrong(answer: dict[str, str], copy: Copy) -> set[str]:
    truth = {entity: state["status"].decoded for entity, state in copy.rows[ORDERS].items()}
    return {entity for entity in answer.keys() | truth.keys() if answer.get(entity) != truth.get(entity)}


def wrong_and_flagged(log: al.ChangeLog, copy: Copy, at: datetime) -> tuple[set[str], set[str]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UncertainTime)
        told = log.as_of(at)
    flagged = told.filter(~pl.col("certain"))["entity_id"]
    return wrong(statuses(told), copy), set(flagged) | set(log.doubtful(at)["entity_id"])


def test_blame_as_of_a_mark_names_the_last_setting_among_the_changes_that_it_saw(
    happened: tuple[str, list[Copy], list[al.Mark]],
):
    dsn, copies, _ = happened
    log = al.read_postgres(dsn, progress=False).of(ORDERS)
    oracle = Oracle(log.changes().to_dicts())
    for copy in copies:
        seen = {row["transaction_id"] for row in oracle.rows if copy.mark.sees.sees(row["transaction_id"])}
        values = {
            (entity, name): value.text for entity, row in copy.rows[ORDERS].items() for name, value in row.items()
        }
        blamed = oracle.blame_seen(seen)
        assert {(each.entity_id, each.field): each.value for each in blamed} == values
        for engine in ("polars", "duckdb"):
            assert_blame(log.on(engine).blame(mark=copy.mark), oracle, blamed)
            assert_blame(log.on(engine).blame(snapshot=copy.mark.snapshot), oracle, blamed)
    early = copies[1].mark  # the long transaction was at work: order 1 is as it was inserted, whatever was logged since
    first = log.entity(key(1))
    assert set(first.blame(mark=early).filter(field="status")["operation"]) == {"INSERT"}
    assert set(first.blame().filter(field="status")["operation"]) <= {"UPDATE"}


def test_as_of_marks_and_times_against_copies(happened: tuple[str, list[Copy], list[al.Mark]]):
    dsn, copies, marks = happened
    loaded = al.read_postgres(dsn, progress=False)
    log = loaded.of(ORDERS)
    for copy in copies:
        for engine in ("polars", "duckdb"):
            assert_states(log.on(engine).as_of(mark=copy.mark), copy.rows[ORDERS])
        assert_states(log.as_of(snapshot=copy.mark.snapshot), copy.rows[ORDERS])
    assert_states(log.as_of(snapshot=loaded.facts.snapshot), copies[-1].rows[ORDERS])

    published, plain = set(), set()
    begun = al.read_postgres(dsn, progress=False, clock="changed_at").of(ORDERS)
    coverage = (begun.facts.coverage.start, begun.facts.coverage.end)
    trusting = al.from_arrow(begun.changes().drop("committed_at"), coverage=coverage).of(ORDERS)
    with connect(dsn) as connection:
        for number, copy in enumerate(copies):
            for at in (copy.mark.since, copy.mark.at):
                for name, one in (("loaded", log), ("begun", begun), ("marked", begun.with_marks(marks))):
                    found, flagged = wrong_and_flagged(one, copy, at)
                    assert found <= flagged, (name, number, found - flagged)
                plain |= {(number, entity) for entity in wrong(statuses(trusting.as_of(at)), copy)}
            told = {row["id"]: row["status"] for row in connection.rows(PUBLISHED_AS_OF, (copy.mark.at,))}
            published |= {(number, entity) for entity in wrong(told, copy)}
    assert published, "the published query must be wrong somewhere, or the schedule shows nothing"
    assert plain, "and so must a cut by the time at which transactions began"

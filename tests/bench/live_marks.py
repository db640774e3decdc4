"""Writers at work on a real PostgreSQL while others copy its table and take marks; then every copy asked of the log."""

from __future__ import annotations

import random
import threading
import time
import warnings
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import polars as pl

import auditlab as al
from auditlab.connection import Connection, connect
from auditlab.errors import DatabaseError, UncertainTime
from auditlab.testing.copies import Copy, copy_tables

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from pathlib import Path

__all__ = ["ORDERS", "Live", "Verdict", "judge", "run"]

ORDERS = "orders.orders"
WRITERS = 8
LONG = 30
"""One of so many transactions is a long one."""
PUBLISHED = """
SELECT DISTINCT ON (entity_id) entity_id::text AS id, after_snapshot ->> 'status' AS status
FROM audit.entity_change_log
WHERE entity_type = 'orders.orders' AND changed_at <= $1 AND operation <> 'DELETE'
ORDER BY entity_id, changed_at DESC
"""

Answer = tuple[dict[str, str], set[str]]
"""The status by entity, and the entities that are flagged."""


@dataclass(slots=True)
class Live:
    """What a run left behind: the copies, and the marks that were taken beside them."""

    dsn: str
    copies: list[Copy] = field(default_factory=list)
    marks: list[al.Mark] = field(default_factory=list)


@dataclass(slots=True)
class Verdict:
    """Of one way to answer: how many (entity, moment) pairs were asked, wrong, not flagged, and flagged in vain."""

    checks: int = 0
    wrong: int = 0
    unflagged: int = 0
    in_vain: int = 0


def run(dsn: str, *, copies: int, entities: int, mark_every: float, longest: float, file: Path, seed: int = 1) -> Live:
    """Let the writers work until there are so many copies.

    Args:
        dsn: A database that records ``orders.orders``.
        copies: How many copies to take.
        entities: How many rows the writers write to.
        mark_every: Seconds between marks.
        longest: Seconds that a long transaction stays open.
        file: Where the marks go.
        seed: Of the writers' choices.
    """
    keys = [f"00000000-0000-4000-8000-{number:012d}" for number in range(entities)]
    with connect(dsn, autocommit=True) as connection:
        rows = ", ".join(f"('{key}', 1, 'new')" for key in keys)
        connection.execute(f"INSERT INTO orders.orders (id, total, status) VALUES {rows}")
    live, stop = Live(dsn), threading.Event()
    threads = [
        threading.Thread(target=_write, args=(dsn, keys, seed + number, longest, stop)) for number in range(WRITERS)
    ]
    threads.append(threading.Thread(target=_mark, args=(dsn, mark_every, file, stop)))
    for thread in threads:
        thread.start()
    try:
        while len(live.copies) < copies:
            assert all(thread.is_alive() for thread in threads), "a writer gave up"
            live.copies.append(copy_tables(dsn, {ORDERS: "id"}))
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    live.marks = al.read_marks(file)
    return live


def _write(dsn: str, keys: list[str], seed: int, longest: float, stop: threading.Event) -> None:
    choose = random.Random(seed)  # noqa: S311 - a workload, not a secret
    with connect(dsn) as connection:
        while not stop.is_set():
            pause = choose.random() * longest / 4 if choose.randrange(LONG) == 0 else 0.0
            try:
                for _ in range(choose.randint(1, 5)):
                    _statement(connection, choose, keys)
                    stop.wait(pause)
                if choose.randrange(10):
                    connection.commit()
                else:
                    connection.rollback()
            except DatabaseError:  # a deadlock, or an id that another inserted meanwhile
                connection.rollback()


def _statement(connection: Connection, choose: random.Random, keys: list[str]) -> None:
    key, status, what = choose.choice(keys), f"{choose.randrange(10**6)}", choose.randrange(12)
    update = f"UPDATE orders.orders SET status = '{status}' WHERE id = '{key}'"
    insert = f"INSERT INTO orders.orders (id, total, status) VALUES ('{key}', 1, '{status}') ON CONFLICT DO NOTHING"
    if what == 0:
        connection.execute(f"DELETE FROM orders.orders WHERE id = '{key}'")
    elif what == 1:
        connection.execute(f"DELETE FROM orders.orders WHERE id = '{key}'; {insert}")
    elif what == 2:
        connection.execute(f"SAVEPOINT s; {update}; ROLLBACK TO s; SAVEPOINT t; {insert}; RELEASE t")
    elif what in (3, 4):
        connection.execute(insert)
    else:
        connection.execute(update)


def _mark(dsn: str, every: float, file: Path, stop: threading.Event) -> None:
    while not stop.wait(every):
        al.mark(dsn, file=file)


def judge(live: Live) -> tuple[dict[str, Verdict], float]:
    """Every way to answer, held against every copy; and the seconds that an as-of of a mark took."""
    begun = al.read_postgres(live.dsn, progress=False, clock="changed_at").of(ORDERS)
    committed = al.read_postgres(live.dsn, progress=False).of(ORDERS)
    coverage = (begun.facts.coverage.start, begun.facts.coverage.end)
    plain = al.from_arrow(begun.changes().drop("committed_at"), coverage=coverage).of(ORDERS)
    times = {
        "changed_at, taken for the truth": plain,
        "changed_at": plain.with_marks([]),
        "changed_at and marks": begun.with_marks(live.marks),
    }
    if committed.facts.clock == "committed_at":
        stamped = al.from_arrow(committed.changes(), coverage=coverage).of(ORDERS)
        times["committed_at, taken for the truth"] = stamped
        times["committed_at"] = stamped.with_marks([], visible_within=committed.facts.visible_within)
        times["committed_at and marks"] = committed.with_marks(live.marks)
    verdicts: dict[str, Verdict] = {}
    begun.as_of(mark=live.copies[0].mark)  # the tables are derived once
    spent = 0.0
    with connect(live.dsn) as connection, warnings.catch_warnings():
        warnings.simplefilter("ignore", UncertainTime)
        for copy in live.copies:
            truth = {entity: state["status"].decoded for entity, state in copy.rows[ORDERS].items()}
            started = time.perf_counter()
            told = begun.as_of(mark=copy.mark)
            spent += time.perf_counter() - started
            _count(verdicts, "as of a mark", truth, [(_statuses(told), set())])
            moments = (copy.mark.since, copy.mark.at)
            published = [
                ({row["id"]: row["status"] for row in connection.rows(PUBLISHED, (at,))}, set[str]()) for at in moments
            ]
            _count(verdicts, "the published query", truth, published)
            for name, log in times.items():
                _count(verdicts, name, truth, [_at(log, at) for at in moments])
    return verdicts, spent / len(live.copies)


def _statuses(frame: pl.DataFrame) -> dict[str, str]:
    return dict(frame.select("entity_id", "status").iter_rows())


def _at(log: al.ChangeLog, at: datetime) -> Answer:
    told = log.as_of(at)
    flagged = set(told.filter(~pl.col("certain"))["entity_id"])
    return _statuses(told), flagged | set(log.doubtful(at)["entity_id"])


def _count(verdicts: dict[str, Verdict], name: str, truth: dict[str, str], answers: Iterable[Answer]) -> None:
    """The copy was taken at a moment between the two that are asked: what is right at either is right."""
    given = list(answers)
    verdict = verdicts.setdefault(name, Verdict())
    for entity in truth.keys() | given[0][0].keys() | given[-1][0].keys():
        kinds = Counter((told.get(entity) == truth.get(entity), entity in flagged) for told, flagged in given)
        right = any(found for found, _ in kinds)
        said = any(flag for found, flag in kinds if found == right)
        verdict.checks += 1
        verdict.wrong += not right
        verdict.unflagged += not right and not said
        verdict.in_vain += right and all(flag for _, flag in kinds)

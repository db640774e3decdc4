"""Snapshots of the entities as they are written: when, by whom, from where on, and what is refused."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from old_log import ROW, fill_months
from typer.testing import CliRunner

import auditlab as al
from auditlab.cli.app import app
from auditlab.connection import connect
from auditlab.errors import (
    AccessDenied,
    BadOption,
    DatabaseError,
    IncompleteLog,
    NotInstalled,
    UntrackableChanges,
)
from auditlab.order import sequence
from auditlab.testing import make_log

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditlab.connection import Connection

STATES = (
    "SELECT entity_id::text AS entity, snapshot_data::text AS state FROM audit.entity_snapshots ORDER BY snapshot_at, 1"
)
PUBLISHED = """
INSERT INTO audit.entity_snapshots (entity_type, entity_id, snapshot_at, snapshot_data, last_change_id)
SELECT entity_type, entity_id, NOW(), after_snapshot, id FROM audit.entity_change_log
WHERE entity_type = 's.t' AND entity_id = '{}' AND operation != 'DELETE'
ORDER BY changed_at DESC LIMIT 1
"""
LAST = """
SELECT c.place, audit.last_linked(
    array_agg((s.step ->> 'id')::bigint ORDER BY s.place),
    array_agg((s.step ->> 'transaction')::bigint ORDER BY s.place),
    array_agg(s.step -> 'before' ORDER BY s.place), array_agg(s.step -> 'after' ORDER BY s.place),
    nullif(c.item -> 'start', '"unknown"')
) AS last
FROM jsonb_array_elements($1::jsonb) WITH ORDINALITY AS c (item, place)
CROSS JOIN jsonb_array_elements(c.item -> 'steps') WITH ORDINALITY AS s (step, place)
GROUP BY c.place, c.item ORDER BY c.place
"""


@pytest.fixture
def one(tracked: Callable[..., None], db: Connection) -> Connection:
    """A connection to a database that records ``s.t``, with three rows in it."""
    tracked("CREATE SCHEMA s; CREATE TABLE s.t (id int PRIMARY KEY, v text)", "s.t")
    db.execute("INSERT INTO s.t SELECT n, 'a' FROM generate_series(1, 3) AS n")
    return db


def states(db: Connection) -> list[str]:
    return [row["state"] for row in db.rows(STATES)]


def test_it_is_written_when_more_changed_than_there_is_and_says_the_numbers(captured: str, one: Connection):
    first = al.snapshot(captured, "first")
    assert (first.taken, first.entities, first.changes, first.removed) == (True, 3, 3, 0)
    assert first.mark is not None
    assert first.mark.since <= first.mark.at
    one.execute("UPDATE s.t SET v = 'b'")
    idle = al.snapshot(captured)
    assert (idle.mark, idle.entities, idle.changes) == (None, 3, 3)
    assert "3 changes since the last one, which has 3 entities" in str(idle)
    assert [f.severity for f in al.check(captured) if f.kind == "snapshots"] == ["ok"]
    one.execute("DELETE FROM s.t WHERE id = 1")
    (told,) = [f for f in al.check(captured) if f.kind == "snapshots"]
    assert (told.severity, told.remedy) == ("info", "auditlab snapshot DSN")
    assert told.message.startswith("4 changes came since, and it has 3 entities")
    assert (second := al.snapshot(captured)).changes == 4
    assert second.entities == 2
    third = al.snapshot(captured, always=True, keep=2)
    assert (third.entities, third.changes, third.removed) == (2, 0, 1)
    assert len(states(one)) == 4
    assert [row["snapshot_at"] for row in one.rows("SELECT snapshot_at FROM audit.snapshot ORDER BY 1")] == [
        taken.mark.at for taken in (second, third) if taken.mark
    ]
    assert {mark.name for mark in al.read_postgres(captured, progress=False).facts.marks} == {"first", None}


def test_an_empty_log_has_an_empty_snapshot_where_it_is_asked_for(captured: str, db: Connection):
    assert not al.snapshot(captured).taken
    assert al.snapshot(captured, always=True).entities == 0
    assert states(db) == []


def test_the_command_tells_what_it_did(captured: str, one: Connection):
    def command(*words: str) -> str:
        done = CliRunner().invoke(app, ["snapshot", captured, *words])
        assert done.exit_code == 0, done.output
        return done.output

    assert "3 entities as of the mark 'one'" in command("--name", "one")
    assert "not taken: 0 changes since the last one, which has 3 entities" in command()
    assert "1 older ones removed" in command("--always", "--keep", "1")
    one.execute("UPDATE s.t SET v = 'later'")
    asked = CliRunner().invoke(app, ["as-of", captured, "-t", "s.t", "-f", "jsonl", "--since", "2999-01-01"])
    assert {json.loads(line)["v"] for line in asked.stdout.splitlines()} == {"later"}
    assert CliRunner().invoke(app, ["snapshot", captured, "--keep", "0"]).exit_code == 2


@pytest.mark.usefixtures("one")
def test_where_it_is_refused(captured: str, database: str):
    with pytest.raises(NotInstalled, match="auditlab init DSN"):
        al.snapshot(database)
    with pytest.raises(BadOption, match="the last snapshot stays"):
        al.snapshot(captured, keep=0)
    with connect(captured) as connection:
        connection.execute("UPDATE s.t SET v = 'mine'")
        with pytest.raises(DatabaseError, match="in a READ COMMITTED transaction of its own"):
            connection.rows("SELECT audit.take_snapshot()")
        connection.rollback()
    with connect(captured) as connection:
        connection.rows("SELECT pg_advisory_xact_lock(hashtext('auditlab snapshot')) IS NULL AS locked")
        with pytest.raises(DatabaseError, match="another snapshot of the entities is being taken"):
            al.snapshot(captured)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE audit.entity_snapshots SET snapshot_data = '{}'",
        "TRUNCATE audit.entity_snapshots",
        "UPDATE audit.snapshot SET last_id = 0",
    ],
)
def test_what_was_written_is_not_changed_by_mistake(captured: str, one: Connection, sql: str):
    al.snapshot(captured)
    with pytest.raises(AccessDenied, match="append-only"):
        one.execute(sql)


def test_an_archiver_takes_them_and_nobody_else(
    captured: str, one: Connection, make_role: Callable[..., tuple[str, str]]
):
    user, dsn = make_role(captured, "snapshots", "IN ROLE auditlab_auditor")
    with pytest.raises(AccessDenied, match=f"GRANT auditlab_archiver TO {user}"):
        al.snapshot(dsn)
    one.execute(f"GRANT auditlab_archiver TO {user}")
    al.snapshot(dsn)
    assert one.rows("SELECT taken_by FROM audit.snapshot") == [{"taken_by": user}]
    assert al.read_postgres(dsn, since="2999-01-01", progress=False).of("s.t").as_of().height == 3


def test_what_the_published_insert_gets_wrong_is_right_here(captured: str, one: Connection):
    """It takes the row that was deleted, and of two changes in one transaction whichever comes first."""
    one.execute(
        "UPDATE s.t SET v = 'b' WHERE id = 1; UPDATE s.t SET v = 'c' WHERE id = 1; DELETE FROM s.t WHERE id = 2"
    )
    gone = str(al.entity_uuid("s.t", 2))
    one.execute(PUBLISHED.format(gone))
    theirs = states(one)
    assert theirs == ['{"v": "a", "id": 2}'], "a row that is deleted"
    taken = al.snapshot(captured)
    assert sorted(states(one)[1:]) == ['{"v": "a", "id": 3}', '{"v": "c", "id": 1}']
    log = al.read_postgres(captured, since="2999-01-01", progress=False)
    assert log.facts.since is not None
    assert log.facts.since.mark == taken.mark, "rows without a mark of ours are none"
    assert log.of("s.t").as_of()["v"].sort().to_list() == ["a", "c"]


def test_transaction_ids_of_another_server_are_refused(captured: str, db: Connection):
    fill_months(captured)
    db.execute(
        "INSERT INTO audit.entity_change_log (entity_type, entity_id, operation, after_snapshot, transaction_id)"
        " VALUES ('s.t', gen_random_uuid(), 'INSERT', '{}', 4611686018427387904)"
    )
    with pytest.raises(
        UntrackableChanges, match=r"1 changes have transaction ids that are not of this server \(first id"
    ):
        al.snapshot(captured)
    assert db.rows("SELECT FROM audit.snapshot") == []
    assert db.rows("SELECT FROM audit.mark") == [], "all of it or nothing"


def test_a_last_state_that_an_adopted_log_does_not_have_is_refused(published: str):
    with connect(published, autocommit=True) as db:
        db.execute(
            "INSERT INTO audit.entity_change_log (entity_type, entity_id, operation, before_snapshot, after_snapshot,"
            " transaction_id) VALUES ('s.t', gen_random_uuid(), 'UPDATE', '{}', 'null', txid_current())"
        )
    al.install(published)
    with pytest.raises(IncompleteLog, match="1 entities have a last change without the row after it"):
        al.snapshot(published)


def test_keys_that_an_adopted_log_tells_by_images_alone_are_refused(published: str):
    """Its trigger logs a changed key as an UPDATE of the new one: the old one would live on."""
    with connect(published, autocommit=True) as db:
        db.execute("INSERT INTO orders.orders (id, total, status) VALUES (gen_random_uuid(), 1, 'new')")
        db.execute("UPDATE orders.orders SET id = gen_random_uuid()")
    al.install(published)
    with pytest.raises(IncompleteLog, match="names 1 rows only by the key that they were given"):
        al.snapshot(published)


def walked(choose: random.Random) -> dict[str, Any]:
    """Changes of one entity in one to three transactions, often a walk whose ids were shuffled inside a transaction."""
    pool = [None, {"n": 1}, {"n": 2}, {"n": 3}]
    start = choose.choice(["unknown", *pool])
    state = choose.choice(pool) if start == "unknown" else start
    steps: list[dict[str, Any]] = []
    for transaction in range(1, choose.randint(2, 4)):
        group = []
        for _ in range(choose.randint(1, 5)):
            if choose.random() < 0.05:
                state = choose.choice(pool)
            after = choose.choice([one for one in pool if one != state or one is not None])
            group.append({"transaction": transaction, "before": state, "after": after})
            state = after
        if choose.random() < 0.7:
            choose.shuffle(group)
        steps += group
    return {"start": start, "steps": [{"id": number, **step} for number, step in enumerate(steps, 10)]}


def last_in_our_order(cases: list[dict[str, Any]]) -> list[int]:
    """For each case the id of the change that ``auditlab.order`` puts last: all of them as entities of one log."""
    rows = []
    for number, case in enumerate(cases):
        entity, base = f"e{number:05d}", number * 1000
        if case["start"] != "unknown":
            image = case["start"]
            told = {"id": base + 1, "transaction_id": base + 99, "before_snapshot": {"n": 9} if image is None else None}
            rows.append(("DELETE" if image is None else "SNAPSHOT", entity, image, told))
        for step in case["steps"]:
            before, after = step["before"], step["after"]
            operation = "INSERT" if before is None else "DELETE" if after is None else "UPDATE"
            told = {"id": base + step["id"], "transaction_id": base + step["transaction"], "before_snapshot": before}
            rows.append((operation, entity, after, told))
    steps = [(operation, entity, *([] if after is None else [after]), told) for operation, entity, after, told in rows]
    last = (
        sequence(make_log(steps), clock="changed_at", kinds={})
        .changes.group_by("entity_id", maintain_order=True)
        .last()
    )
    return [id_ % 1000 for id_ in last.sort("entity_id")["id"]]


def test_the_last_change_of_a_transaction_is_the_one_that_our_order_puts_last(db: Connection):
    choose = random.Random(20)  # noqa: S311 - cases, not a secret
    cases = [
        case
        for case in (walked(choose) for _ in range(4000))
        if not any(step["before"] is None and step["after"] is None for step in case["steps"])
    ]
    told = [row["last"] for row in db.rows(LAST, (json.dumps(cases),))]
    expected = last_in_our_order(cases)
    wrong = [(case, got, want) for case, got, want in zip(cases, told, expected, strict=True) if got != want]
    assert not wrong, f"{len(wrong)} of {len(cases)}, e.g. {wrong[0]}"
    by_id = sum(case["steps"][-1]["id"] != want for case, want in zip(cases, expected, strict=True))
    assert by_id > len(cases) / 10, "the last by id must be wrong often, or the cases show nothing"


def test_a_trigger_that_changes_its_own_row_leaves_what_it_made(
    captured: str, tracked: Callable[..., None], db: Connection
):
    tracked("CREATE SCHEMA s; CREATE TABLE s.t (id int PRIMARY KEY, v text, touched int DEFAULT 0)", "s.t")
    db.execute(
        "CREATE FUNCTION s.touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " UPDATE s.t SET touched = touched + 1 WHERE id = NEW.id; RETURN NULL; END $$;"
        "CREATE TRIGGER a_first AFTER INSERT OR UPDATE OF v ON s.t FOR EACH ROW EXECUTE FUNCTION s.touch()"
    )
    db.execute("INSERT INTO s.t (id, v) VALUES (1, 'a'), (2, 'a')")
    al.snapshot(captured)
    db.execute("UPDATE s.t SET v = 'b' WHERE id = 1")
    al.snapshot(captured, always=True)
    by_id = db.rows(
        "SELECT DISTINCT ON (entity_id) after_snapshot ->> 'touched' AS n FROM audit.entity_change_log"
        " ORDER BY entity_id, id DESC"
    )
    live = db.rows("SELECT to_jsonb(t.*)::text AS state FROM s.t AS t ORDER BY 1")
    assert sorted(states(db)[2:]) == [row["state"] for row in live]
    assert [row["n"] for row in by_id] != ["2", "1"], "the last by id must be wrong, or this shows nothing"


def test_rows_of_months_ago_count_by_their_transactions(captured: str, db: Connection):
    fill_months(captured)
    first = al.snapshot(captured)
    assert (first.entities, first.changes) == (30, 30)
    db.rows(ROW, (900, "2024-01-20Z", 5))
    second = al.snapshot(captured, always=True)
    assert (second.entities, second.changes) == (35, 5)
    kept = pl.DataFrame(
        db.rows("SELECT snapshot_at, count(*) AS rows FROM audit.entity_snapshots GROUP BY 1 ORDER BY 1")
    )
    assert kept["rows"].to_list() == [30, 35]

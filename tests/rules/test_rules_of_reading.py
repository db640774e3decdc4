"""The rules of reading a live log, each under its number."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

import auditlab as al
from auditlab.connection import connect
from auditlab.errors import AccessDenied, CursorMismatch, IncompleteRead
from auditlab.load.postgres import ChangeStream

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    LogOf = Callable[..., al.ChangeLog[Any]]


def test_rule_22_partitions_that_are_read_in_parallel_are_one_snapshot(captured: str):
    """While rows change by twos, each reader sees both of a pair or none: the log's partitions are one moment."""
    with connect(captured, autocommit=True) as db:
        db.execute("CREATE SCHEMA s; CREATE TABLE s.t (id int PRIMARY KEY, v int)")
        al.track(captured, ["s.t"])
        db.execute("INSERT INTO s.t SELECT n, 0 FROM generate_series(1, 2000) AS n")
    stop = threading.Event()

    def write() -> None:
        with connect(captured) as writer:
            number = 0
            while not stop.is_set():
                number += 1
                writer.execute(f"UPDATE s.t SET v = {number} WHERE id IN (1, 2000)")
                writer.commit()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(5):
            with ChangeStream(captured, connections=3, progress=False) as stream:
                rows = [row for batch in stream for row in batch.select(["transaction_id", "operation"]).to_pylist()]
            counts: dict[int, int] = {}
            for row in rows:
                if row["operation"] == "UPDATE":
                    counts[row["transaction_id"]] = counts.get(row["transaction_id"], 0) + 1
            assert set(counts.values()) <= {2}
            assert len(rows) == 2000 + 2 * len(counts)
    finally:
        stop.set()
        thread.join()


def test_rule_23_rows_that_row_security_hides_are_an_error(published: str, make_role: Callable[..., tuple[str, str]]):
    reader, own = make_role(published, "narrow")
    with connect(published, autocommit=True) as db:
        db.execute("INSERT INTO orders.orders DEFAULT VALUES")
        db.execute("ALTER TABLE audit.entity_change_log ENABLE ROW LEVEL SECURITY")
        db.execute(f"GRANT USAGE ON SCHEMA audit TO {reader}")
        with pytest.raises(AccessDenied, match=reader):
            al.read_postgres(own, progress=False)
        db.execute(f"GRANT SELECT ON audit.entity_change_log TO {reader}")
        with pytest.raises(IncompleteRead, match="row security would filter audit.entity_change_log"):
            al.read_postgres(own, progress=False)


def test_rule_25_changes_and_transactions_are_counted_apart_and_cascades_log_the_parent_first(
    published: str, engine: str
):
    with connect(published) as shop:
        shop.execute("INSERT INTO orders.orders DEFAULT VALUES")
        shop.execute("INSERT INTO orders.order_items (order_id) SELECT id FROM orders.orders, generate_series(1, 3)")
        shop.commit()
        shop.execute("DELETE FROM orders.orders")
    log = al.read_postgres(published, progress=False).on(engine)
    (totals,) = log.summary().totals.to_dicts()
    assert (totals["changes"], totals["transactions"]) == (8, 2)
    assert log.where(operation="DELETE").changes()["entity_type"].to_list() == ["orders.orders"] + 3 * [
        "orders.order_items"
    ]


def test_rule_21_a_row_that_commits_late_is_not_lost(captured: str, tmp_path: Path):
    with connect(captured, autocommit=True) as db:
        db.execute("CREATE SCHEMA s; CREATE TABLE s.t (id int PRIMARY KEY)")
        al.track(captured, ["s.t"])
        with connect(captured) as late:
            late.execute("INSERT INTO s.t VALUES (1)")
            db.execute("INSERT INTO s.t VALUES (2)")
            (newest,) = db.rows("SELECT id, changed_at FROM audit.entity_change_log ORDER BY id DESC LIMIT 1")
            first = al.archive_postgres(captured, tmp_path / "kept")
            late.commit()
        beyond = "SELECT FROM audit.entity_change_log WHERE id > $1 OR changed_at > $2"
        assert db.rows(beyond, (newest["id"], newest["changed_at"])) == [], "reading on by id or by time loses it"
    assert first.left is not None
    assert (first.rows, first.left.rows) == (0, 1), "what is above the oldest open transaction waits, and is told"
    assert "pid " in str(first.left)
    second = al.archive_postgres(captured, tmp_path / "kept")
    assert second.rows == 2
    assert al.scan_archive(tmp_path / "kept").changes().collect()["id"].to_list() == [1, 2]


def test_rule_24_transaction_ids_of_another_source_are_not_taken_for_this_one_s(
    captured: str, make_database: Callable[..., str], captured_template: str, tmp_path: Path
):
    with connect(captured, autocommit=True) as db:
        db.execute("CREATE SCHEMA s; CREATE TABLE s.t (id int PRIMARY KEY)")
        al.track(captured, ["s.t"])
        db.execute("INSERT INTO s.t VALUES (1)")
    al.archive_postgres(captured, tmp_path / "kept")
    with pytest.raises(CursorMismatch, match="the cursor is for database"):
        al.archive_postgres(make_database(captured_template), tmp_path / "kept")

"""Under writers that never rest, nothing is found on a clean system, and one write past the log among them is."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import pytest

import auditlab as al
from auditlab.capture import track
from auditlab.connection import connect

WRITERS, TRANSACTIONS, STATEMENTS = 8, 12, 4
TABLES = """
CREATE TABLE orders (id uuid PRIMARY KEY, total numeric(20, 2) NOT NULL DEFAULT 0, note text);
CREATE TABLE items (id uuid PRIMARY KEY, order_id uuid NOT NULL REFERENCES orders ON DELETE CASCADE, price numeric);
CREATE TABLE {parts};
CREATE FUNCTION total() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE orders SET total = (SELECT coalesce(sum(price), 0) FROM items WHERE order_id = orders.id)
    WHERE id IN (NEW.order_id);
    RETURN NULL;
END $$;
CREATE TRIGGER total AFTER INSERT OR UPDATE ON items FOR EACH ROW EXECUTE FUNCTION total();
INSERT INTO orders (id) SELECT md5('o' || n)::uuid FROM generate_series(1, 10) AS n;
"""
PARTS = """parts (id uuid, region text, n int, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE parts_eu PARTITION OF parts FOR VALUES IN ('eu');
CREATE TABLE parts_us PARTITION OF parts FOR VALUES IN ('us')"""
PLAIN = "parts (id uuid PRIMARY KEY, region text, n int)"
WORK = (
    "UPDATE orders SET note = '{text}' WHERE id = {order}",
    "UPDATE orders SET note = note || '.', total = total + 1",
    "INSERT INTO items VALUES (gen_random_uuid(), {order}, {n}.50)",
    "UPDATE items SET price = price + 1 WHERE id IN (SELECT id FROM items ORDER BY id LIMIT 3)",
    "DELETE FROM items WHERE id IN (SELECT id FROM items ORDER BY random() LIMIT 1)",
    "DELETE FROM orders WHERE id = {order}",
    "INSERT INTO orders (id, note) VALUES ({order}, 'again') ON CONFLICT (id) DO UPDATE SET note = 'upserted'",
    "INSERT INTO parts VALUES (md5('{text}')::uuid, 'eu', {n}) ON CONFLICT DO NOTHING",
    "UPDATE parts SET region = CASE region WHEN 'eu' THEN 'us' ELSE 'eu' END, n = n + 1 WHERE n % 5 = {n} % 5",
)


@pytest.fixture(params=["ours", "published"])
def busy(request: pytest.FixtureRequest) -> str:
    """A database of tables with keys that cascade, triggers that write and rows that move, all recorded."""
    ours = request.param == "ours"
    dsn: str = request.getfixturevalue("captured" if ours else "published")
    with connect(dsn, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS orders CASCADE")
        connection.execute(TABLES.format(parts=PARTS if ours else PLAIN))
        if ours:
            track(dsn, ["orders", "items", "parts"])
        else:
            connection.execute("DELETE FROM orders")
            for table in ("orders", "items", "parts"):
                connection.execute(
                    f"CREATE TRIGGER trg AFTER INSERT OR UPDATE OR DELETE ON {table} "
                    "FOR EACH ROW EXECUTE FUNCTION audit.log_entity_change()"
                )
    return dsn


def write(dsn: str, seed: int) -> int:
    """Some transactions of several statements, some of them rolled back, or in part. How many were committed."""
    choose = random.Random(seed)  # noqa: S311 - which statement comes next
    done = 0
    with connect(dsn) as connection:
        connection.rows("SELECT set_config('deadlock_timeout', '20ms', false)")
        connection.commit()
        for _ in range(TRANSACTIONS):
            try:
                for _ in range(choose.randint(1, STATEMENTS)):
                    statement = choose.choice(WORK).format(
                        text=choose.randint(1, 99),
                        n=choose.randint(1, 99),
                        order=f"md5('o{choose.randint(1, 10)}')::uuid",
                    )
                    partly = choose.random() < 0.3
                    connection.execute("SAVEPOINT one")
                    connection.execute(statement)
                    connection.execute("ROLLBACK TO one" if partly else "RELEASE one")
                if choose.random() < 0.15:
                    connection.rollback()
                else:
                    connection.commit()
                    done += 1
            except al.errors.DatabaseError:  # a deadlock, a key that another took: what writers live with
                connection.rollback()
    return done


def test_nothing_is_found_under_eight_writers(busy: str):
    log = al.read_postgres(busy, progress=False)
    asked = 0
    with ThreadPoolExecutor(WRITERS) as pool:
        writers = [pool.submit(write, busy, seed) for seed in range(WRITERS)]
        while not all(writer.done() for writer in writers) or asked < 2:
            for one in (None, log):
                result = al.reconcile(one, busy, progress=False)
                assert result.findings.is_empty(), result
            asked += 1
        assert sum(writer.result() for writer in writers) > WRITERS
    result = al.reconcile(log, busy, progress=False)
    assert result.tables["logged"].to_list() == result.tables["live"].to_list() == result.tables["equal"].to_list()
    with connect(busy, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("INSERT INTO orders (id) VALUES (md5('ghost')::uuid)")
    for one in (None, log):
        found = al.reconcile(one, busy, progress=False).findings
        assert found.select("kind", "count").rows() == [("inserted outside the log", 1)]

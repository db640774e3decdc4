from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest

import auditlab as al
from auditlab.capture import check, create_partitions, install, track
from auditlab.capture.install import FILES, VERSION, Installation
from auditlab.connection import connect
from auditlab.errors import AccessDenied, DatabaseError, NotInstalled

if TYPE_CHECKING:
    from collections.abc import Callable


SQL = Path(__file__).parents[2] / "sql" / "capture"
COLUMNS = [
    ("id", "bigint"),
    ("entity_type", "text"),
    ("entity_id", "uuid"),
    ("operation", "text"),
    ("changed_by", "uuid"),
    ("changed_at", "timestamp with time zone"),
    ("before_snapshot", "jsonb"),
    ("after_snapshot", "jsonb"),
    ("changed_fields", "jsonb"),
    ("metadata", "jsonb"),
    ("transaction_id", "bigint"),
    ("correlation_id", "uuid"),
]
STATE = """
SELECT p.proname || pg_get_function_identity_arguments(p.oid) AS name, md5(p.prosrc) AS body,
    p.proowner::regrole::text AS owner, p.proacl::text AS rights
FROM pg_proc AS p WHERE p.pronamespace = 'audit'::regnamespace
UNION ALL
SELECT c.relname, coalesce(pg_get_expr(c.relpartbound, c.oid), c.relkind::text), c.relowner::regrole::text,
    c.relacl::text
FROM pg_class AS c WHERE c.relnamespace = 'audit'::regnamespace
ORDER BY 1
"""


def test_the_log_has_the_reference_columns_in_their_order(captured: str):
    with connect(captured) as connection:
        rows = connection.rows(
            "SELECT attname::text AS name, format_type(atttypid, NULL) AS type FROM pg_attribute"
            " WHERE attrelid = 'audit.entity_change_log'::regclass AND attnum > 0 ORDER BY attnum"
        )
    assert [(row["name"], row["type"]) for row in rows] == COLUMNS


def test_a_second_install_is_current_and_an_old_version_is_upgraded(database: str):
    assert install(database) == Installation(VERSION, "installed")
    with connect(database) as connection:
        first = connection.rows(STATE)
    assert install(database) == Installation(VERSION, "current")
    with connect(database) as connection:
        connection.execute("UPDATE audit.installation SET version = 0")
    assert install(database) == Installation(VERSION, "upgraded")
    with connect(database) as connection:
        assert connection.rows(STATE) == first
        assert connection.rows("SELECT audit.capture_version() AS v")[0]["v"] == VERSION


def test_every_file_runs_by_psql_and_makes_the_same(program: Callable[[str], str], captured: str, database: str):
    files = [part for name in FILES for part in ("-f", str(SQL / f"{name}.sql"))]
    for _ in range(2):
        done = subprocess.run(
            [program("psql"), "-q", "-X", "-1", "-v", "ON_ERROR_STOP=1", *files, database],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    with connect(captured) as ours, connect(database) as theirs:
        assert ours.rows(STATE) == theirs.rows(STATE)


def test_no_superuser_is_needed(database: str, make_role: Callable[..., tuple[str, str]]):
    with connect(database, autocommit=True) as admin:
        # Whoever made the roles may hand them on; the cluster's first installer has them by itself.
        there = admin.rows("SELECT 1 AS one FROM pg_roles WHERE rolname = 'auditlab_owner'")
        role, dsn = make_role(database, "dba", "" if there else "CREATEROLE")
        if there:
            admin.execute(f"GRANT auditlab_owner, auditlab_writer TO {role}")
        (name,) = admin.rows("SELECT current_database()::text AS name")[0].values()
        admin.execute(f"ALTER DATABASE {name} OWNER TO {role}")
    assert install(dsn).action == "installed"
    with connect(dsn, autocommit=True) as own:
        own.execute("CREATE SCHEMA s; CREATE TABLE s.t (id int PRIMARY KEY)")
        track(dsn, "s.t")
        own.execute("INSERT INTO s.t VALUES (1)")
        own.execute("TRUNCATE s.t")
        rows = own.rows("SELECT operation, metadata -> 'rows' AS rows FROM audit.entity_change_log ORDER BY id")
        assert [tuple(row.values()) for row in rows] == [("INSERT", None), ("TRUNCATE", "1")]
    create_partitions(dsn, ahead=4)


def test_a_role_that_may_not_install_is_told_who_may(database: str, make_role: Callable[..., tuple[str, str]]):
    _, dsn = make_role(database, "nobody")
    with pytest.raises(AccessDenied, match=r"CREATEROLE and CREATE on the database. .* WITH ADMIN OPTION"):
        install(dsn)


def test_without_an_installation_it_says_what_to_run(database: str):
    with pytest.raises(NotInstalled, match="auditlab init"):
        check(database)
    with pytest.raises(NotInstalled, match="auditlab init"):
        track(database, "s.t")


def test_a_failed_install_leaves_nothing(database: str):
    with connect(database) as connection:
        connection.execute("CREATE SCHEMA audit; CREATE TABLE audit.entity_change_log (id int, other text)")
    with pytest.raises(
        DatabaseError, match="id: is integer, want bigint.*entity_type: is missing.*more columns: other"
    ):
        install(database)
    with connect(database) as connection:
        left = connection.rows("SELECT relname::text AS name FROM pg_class WHERE relnamespace = 'audit'::regnamespace")
    assert [row["name"] for row in left] == ["entity_change_log"]


def test_a_log_that_cannot_be_adopted_is_told_what_to_do_with(database: str):
    with connect(database) as connection:
        connection.execute(
            "CREATE SCHEMA audit; CREATE TABLE audit.entity_change_log (id bigint) PARTITION BY LIST (id)"
        )
    with pytest.raises(DatabaseError, match=r"it is no plain table[^$]*read, archived and pruned as it is"):
        install(database)


def test_rows_that_a_published_log_names_otherwise_end_where_ours_begins(published: str):
    """Of a partition and of an old key nothing stays that is not in the table, and what ended is not ended again."""
    keys = [f"6f1c0000-0000-4000-8000-00000000000{number}" for number in range(1, 4)]
    with connect(published, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE orders.visits (id uuid, at date, n int, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);"
            "CREATE TABLE orders.visits_24 PARTITION OF orders.visits FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');"
            "CREATE TABLE orders.visits_25 PARTITION OF orders.visits FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');"
            "CREATE TRIGGER logged AFTER INSERT OR UPDATE OR DELETE ON orders.visits"
            " FOR EACH ROW EXECUTE FUNCTION audit.log_entity_change()"
        )
        for key in keys:
            connection.execute("INSERT INTO orders.visits VALUES ($1::text::uuid, '2024-05-01', 1)", (key,))
        connection.execute("UPDATE orders.visits SET at = '2025-05-01' WHERE id = $1::text::uuid", (keys[1],))
        connection.execute("DELETE FROM orders.visits WHERE id = $1::text::uuid", (keys[2],))
        connection.execute("INSERT INTO orders.orders (id, total) VALUES ($1::text::uuid, 1)", (keys[0],))
        connection.execute("UPDATE orders.orders SET id = $1::text::uuid", (keys[1],))
        install(published)
        track(published, ["orders.orders", "orders.visits"])
    log = al.read_postgres(published, progress=False)
    assert log.of("orders.visits").as_of()["id"].to_list() == keys[:2]
    ended = log.of("orders.visits").changes().filter(pl.col("metadata").str.contains('"gone"'))
    assert ended["entity_id"].sort().to_list() == keys[:2]
    assert log.of("orders.orders").as_of()["entity_id"].to_list() == [keys[1]]
    assert "its key was changed to" in log.of("orders.orders").why_not(keys[0])
    assert log.of("orders.orders").evidence().worst != "error"
    assert al.reconcile(log, published).worst is None


def test_a_published_log_is_adopted_in_place(published: str, replay_of: Callable[[str, str], tuple[int, int]]):
    with connect(published, autocommit=True) as connection:
        connection.execute("INSERT INTO orders.orders (total) SELECT i FROM generate_series(1, 20) AS i")
        connection.execute("UPDATE orders.orders SET status = 'paid' WHERE total > 10")
        before = connection.rows("SELECT * FROM audit.entity_change_log ORDER BY id")
        assert install(published) == Installation(VERSION, "adopted")
        assert connection.rows("SELECT * FROM audit.entity_change_log ORDER BY id") == before
        # The published triggers are still on the tables; what they call is ours: nothing the application does fails.
        connection.execute(
            "SET app.current_user_id = 'no uuid'; UPDATE orders.orders SET status = 'sent' WHERE total = 20"
        )
        assert install(published).action == "current"
        assert {f.severity for f in check(published) if f.kind == "triggers"} == {"warning"}
        assert [done.action for done in track(published, ["orders.orders", "orders.order_items"])] == ["renewed"] * 2
        connection.execute("DELETE FROM orders.orders WHERE total = 1")
        ids = [row["id"] for row in connection.rows("SELECT id FROM audit.entity_change_log ORDER BY id")]
        assert ids == sorted(set(ids))
        assert len(ids) == len(before) + 1 + 20 + 1  # the UPDATE, the baseline, the DELETE
    assert replay_of(published, "orders.orders") == (0, 19)
    assert {f.severity for f in check(published) if f.kind != "rights"} == {"ok"}

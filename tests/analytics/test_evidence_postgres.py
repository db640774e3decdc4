"""Faults planted on a real PostgreSQL, each found and told apart; a clean run under load, with none."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest
from recorded_shop import FILL, PUBLISHED_TRIGGER, SHOP

import auditlab as al
from auditlab.capture import track
from auditlab.connection import connect

if TYPE_CHECKING:
    from collections.abc import Callable


SCRIPTS = Path(__file__).resolve().parents[1] / "capture"
ACCOUNTS = SCRIPTS / "pgbench_accounts.sql"
ONE = "md5('row1')::uuid"
TYPE = "public.shop"


def found(shop: Callable[..., None]) -> dict[str, int]:
    """What is found above a hint, and hints about values, with counts."""
    findings = al.read_postgres(shop.dsn, progress=False).of(TYPE).evidence().findings  # type: ignore[attr-defined]
    telling = (pl.col("severity") != "hint") | (pl.col("kind") == "session rendering")
    return dict(findings.filter(telling).select("kind", "count").iter_rows())


def rows(shop: Callable[..., None], kind: str) -> pl.DataFrame:
    return al.read_postgres(shop.dsn, progress=False).of(TYPE).evidence().rows(kind)  # type: ignore[attr-defined]


def test_a_clean_log_gives_nothing(shop: Callable[..., None]):
    shop(
        f"DELETE FROM shop WHERE id = {ONE}",
        f"INSERT INTO shop (id, total) VALUES ({ONE}, 1)",
        f"UPDATE shop SET total = 2, note = 'again' WHERE id = {ONE}",
        "UPDATE shop SET note = NULL",
        "BEGIN; UPDATE shop SET total = 0; ROLLBACK",
        "DELETE FROM shop",
    )
    assert found(shop) == {}


def test_a_trigger_that_was_off(shop: Callable[..., None]):
    shop(
        "ALTER TABLE shop DISABLE TRIGGER USER",
        f"UPDATE shop SET total = 1000000 WHERE id = {ONE}",
        "ALTER TABLE shop ENABLE TRIGGER USER",
        "UPDATE shop SET note = 'seen'",
    )
    assert found(shop) == {"unlogged change": 1}
    told = rows(shop, "unlogged change").select("field", "old", "new", "note").row(0)
    assert told == ("total", "2.10", "1000000.00", "no id is missing in between")


def test_a_session_that_was_a_replica(shop: Callable[..., None]):
    shop(
        "SET session_replication_role = replica",
        f"UPDATE shop SET note = 'unseen' WHERE id = {ONE}",
        "DELETE FROM shop WHERE id = md5('row2')::uuid",
        "INSERT INTO shop (id, total) VALUES (md5('row9')::uuid, 9)",
        "RESET session_replication_role",
        "UPDATE shop SET total = 0",
        "INSERT INTO shop (id, total) VALUES (md5('row2')::uuid, 2)",
    )
    told = found(shop)
    assert told.pop("missing delete") == 1
    assert told.pop("unlogged change") == 1
    if "missing insert" in told:  # the published log has no baseline that would lack the row
        assert told.pop("missing insert") == 1
    assert told == {}


def test_a_truncate_that_the_log_does_not_see(published: str):
    with connect(published, autocommit=True) as connection:
        for statement in (SHOP, PUBLISHED_TRIGGER, FILL, "TRUNCATE shop", FILL, "UPDATE shop SET total = 1"):
            connection.execute(statement)
    log = al.read_postgres(published, progress=False).of(TYPE)
    findings = log.evidence().findings
    severe = findings.filter(pl.col("severity") != "hint")
    assert severe.select("kind", "count").rows() == [("possible TRUNCATE", 8)]


def test_a_truncate_that_our_capture_sees_is_no_finding(captured: str):
    with connect(captured, autocommit=True) as connection:
        connection.execute(SHOP)
        track(captured, "shop")
        for statement in (FILL, "TRUNCATE shop", FILL, "UPDATE shop SET total = 1"):
            connection.execute(statement)
    assert al.read_postgres(captured, progress=False).of(TYPE).evidence().worst in (None, "hint")


def edit(dsn: str, statement: str) -> None:
    """Run a statement on the log itself, past its guards, as whoever owns the database can."""
    with connect(dsn, autocommit=True) as connection:
        connection.execute("ALTER TABLE audit.entity_change_log DISABLE TRIGGER ALL")
        connection.execute(statement)


def test_a_row_edited_in_the_log(shop: Callable[..., None]):
    shop("UPDATE shop SET total = total + 1")
    edit(
        shop.dsn,  # type: ignore[attr-defined]
        "UPDATE audit.entity_change_log SET after_snapshot = jsonb_set(after_snapshot, '{total}', '7.77') "
        f"WHERE id = (SELECT max(id) FROM audit.entity_change_log WHERE entity_id = {ONE})",
    )
    shop("UPDATE shop SET note = 'later'")
    assert found(shop) == {"edited change": 1, "changed_fields disagree": 1}
    assert rows(shop, "edited change").select("field", "old", "new").row(0) == ("total", "7.77", "3.10")


def test_a_row_deleted_from_the_log(shop: Callable[..., None]):
    shop("UPDATE shop SET total = total + 1", "UPDATE shop SET note = 'later'")
    edit(
        shop.dsn,  # type: ignore[attr-defined]
        "DELETE FROM audit.entity_change_log WHERE id = (SELECT max(id) FROM audit.entity_change_log "
        f"WHERE entity_id = {ONE} AND after_snapshot ->> 'note' <> 'later')",
    )
    assert found(shop) == {"unlogged change": 1}
    told = rows(shop, "unlogged change").select("field", "old", "new", "note").row(0)
    assert told == ("total", "2.10", "3.10", "1 ids are missing in between")


@pytest.mark.parametrize(
    "ddl",
    [
        "ALTER TABLE shop ADD COLUMN colour text DEFAULT 'red'",
        "ALTER TABLE shop ADD COLUMN colour text",
        "ALTER TABLE shop DROP COLUMN note",
        "ALTER TABLE shop RENAME COLUMN note TO remark",
        "ALTER TABLE shop ALTER COLUMN total TYPE text",
    ],
)
def test_ddl_is_drift_and_no_alarm_of_lost_changes(shop: Callable[..., None], ddl: str):
    shop(ddl, "UPDATE shop SET w = w + 1", "UPDATE shop SET w = w + 1")
    assert found(shop) == {"schema drift": 8}


def test_ddl_that_only_rewrites_values_changes_none(shop: Callable[..., None]):
    shop("ALTER TABLE shop ALTER COLUMN total TYPE numeric(20, 4)", "UPDATE shop SET w = w + 1")
    assert set(found(shop)) <= {"session rendering"}


def test_the_drift_of_ddl_is_dated_by_the_first_change_that_shows_it(shop: Callable[..., None]):
    shop("ALTER TABLE shop RENAME COLUMN note TO remark", "UPDATE shop SET w = w + 1")
    log = al.read_postgres(shop.dsn, progress=False).of(TYPE)  # type: ignore[attr-defined]
    (told,) = log.drift().to_dicts()
    assert (told["kind"], told["old"], told["new"], told["share"]) == ("renamed", "note", "remark", 1.0)
    assert told["logged"] is False
    assert told["transaction_id"] == log.changes()["transaction_id"].max()


@pytest.mark.parametrize("style", ["iso_8601", "sql_standard", "postgres_verbose"])
def test_another_session_s_settings_change_no_value(published: str, style: str):
    with connect(published, autocommit=True) as connection:
        for statement in (SHOP, PUBLISHED_TRIGGER, FILL):
            connection.execute(statement)
    with connect(published, autocommit=True) as connection:
        for statement in (
            "SET timezone = 'Asia/Tokyo'",
            "SET bytea_output = 'escape'",
            "SET extra_float_digits = 0",
            f"SET intervalstyle = '{style}'",
            "SET datestyle = 'German, DMY'",
            "UPDATE shop SET total = 2",
        ):
            connection.execute(statement)
    log = al.read_postgres(published, progress=False).of(TYPE)
    told = log.evidence().findings.filter(pl.col("kind") != "id gaps")
    assert told.select("kind", "severity", "count").rows() == [("session rendering", "hint", 8)]


def test_a_range_of_instants_is_the_same_in_every_zone(published: str):
    with connect(published, autocommit=True) as connection:
        connection.execute("CREATE TABLE stay (id uuid PRIMARY KEY, n int, during tstzrange)")
        connection.execute(
            "CREATE TRIGGER log AFTER INSERT OR UPDATE ON stay FOR EACH ROW EXECUTE FUNCTION audit.log_entity_change()"
        )
        connection.execute("SET timezone = 'UTC'")
        connection.execute(f"INSERT INTO stay VALUES ({ONE}, 1, '[2024-01-01 00:00+00, 2024-02-01 00:00+00)')")
        connection.execute("SET timezone = 'Asia/Tokyo'")
        connection.execute("UPDATE stay SET n = 2")
    log = al.read_postgres(published, progress=False).of("public.stay")
    assert log.evidence().findings.select("kind", "severity", "count").rows() == [("session rendering", "hint", 1)]
    assert log.diffs()["field"].to_list()[3:] == ["n"]
    assert log.history()["certain"].to_list() == [True, True]


def test_a_key_that_changed(shop: Callable[..., None]):
    shop(f"UPDATE shop SET id = md5('new')::uuid WHERE id = {ONE}", "UPDATE shop SET total = 0")
    told = al.read_postgres(shop.dsn, progress=False).of(TYPE).evidence().findings  # type: ignore[attr-defined]
    kinds = dict(told.select("kind", "count").iter_rows())
    assert {kinds.get("key change"), kinds.get("half-logged key change")} == {1, None}
    assert set(found(shop)) <= {"half-logged key change"}


PARTS = """
CREATE TABLE parts (id uuid, region text, n int, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE parts_eu PARTITION OF parts FOR VALUES IN ('eu');
CREATE TABLE parts_us PARTITION OF parts FOR VALUES IN ('us');
"""
REGIONS = """
CREATE TABLE parts (id uuid NOT NULL, region text, n int) PARTITION BY LIST (region);
CREATE TABLE parts_eu PARTITION OF parts FOR VALUES IN ('eu');
CREATE TABLE parts_us PARTITION OF parts FOR VALUES IN ('us');
CREATE TRIGGER trg_parts AFTER INSERT OR UPDATE OR DELETE ON parts
    FOR EACH ROW EXECUTE FUNCTION audit.log_entity_change();
"""
AS_RECORDED = """
SELECT id, entity_type, entity_id::text AS entity_id, operation, changed_at, transaction_id,
       before_snapshot::text AS before_snapshot, after_snapshot::text AS after_snapshot
FROM audit.entity_change_log ORDER BY id
"""
MOVE = ("INSERT INTO parts VALUES (md5('p')::uuid, 'eu', 1)", "UPDATE parts SET region = 'us', n = 2")


def test_a_move_between_partitions_of_a_published_log(published: str):
    with connect(published, autocommit=True) as connection:
        for statement in (REGIONS, *MOVE):
            connection.execute(statement)
        rows = connection.rows(AS_RECORDED)
    found = al.from_arrow(pl.DataFrame(rows, infer_schema_length=None)).evidence()
    moved = found.rows("partition move").select("old", "new").rows()
    assert moved == [("public.parts_eu", "public.parts_us")]
    assert found.worst == "hint"


def test_moves_between_partitions_on_our_capture(captured: str):
    with connect(captured, autocommit=True) as connection:
        connection.execute(PARTS)
        track(captured, "parts")
        for statement in MOVE:
            connection.execute(statement)
        connection.execute("INSERT INTO parts SELECT md5('p' || n)::uuid, 'eu', n FROM generate_series(1, 5) AS n")
        connection.execute("UPDATE parts SET region = 'us', n = n + 1")
    found = al.read_postgres(captured, progress=False).evidence()
    assert found.worst == "hint"
    moved = found.rows("partition move")
    assert moved.select("old", "new").unique().rows() == [("public.parts_eu", "public.parts_us")]
    assert moved.height == 6


def pgbench(program: Callable[[str], str], *words: str) -> None:
    done = subprocess.run([program("pgbench"), *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_clean_pgbench_run_on_the_published_trigger_gives_nothing_above_a_hint(
    program: Callable[[str], str], published: str
):
    script = str(SCRIPTS / "pgbench_orders.sql")
    pgbench(program, "-n", "-c", "8", "-t", "60", "--max-tries=20", "-f", script, published)
    log = al.read_postgres(published, progress=False)
    assert len(log) > 500
    assert log.evidence().worst in (None, "hint")


def test_a_clean_pgbench_run_gives_nothing_above_a_hint(program: Callable[[str], str], captured: str):
    pgbench(program, "-i", "-s", "1", "-q", "-I", "dtgp", captured)
    with connect(captured) as connection:
        connection.execute("DELETE FROM pgbench_accounts WHERE aid > 500")
    track(captured, ["pgbench_accounts", "pgbench_tellers", "pgbench_branches"])
    pgbench(program, "-n", "-c", "8", "-t", "100", "-f", str(ACCOUNTS), captured)
    log = al.read_postgres(captured, progress=False)
    assert len(log) > 1000
    assert log.evidence().worst in (None, "hint")

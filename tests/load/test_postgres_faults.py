"""What can be wrong with a database: each a clear error, nothing returned, no password shown."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from auditlab.archive.export import archive_postgres
from auditlab.capture import check, track
from auditlab.connection import connect
from auditlab.errors import (
    AccessDenied,
    BadOption,
    BadTime,
    ConnectionFailed,
    IncompleteRead,
    LogTooLarge,
    MalformedChange,
    NoSuchTable,
    NotInstalled,
    SchemaMismatch,
    UnknownEntityType,
    UnsafeOrder,
)
from auditlab.load.postgres import ChangeStream, read_postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Execute = Callable[[str, str], None]

ROLE = f"auditlab_test_reader_{os.getpid()}"


def as_role(dsn: str, role: str) -> str:
    """The DSN of the same database, acting as another role from the start."""
    return f"{dsn}{'&' if '?' in dsn else '?'}options={quote(f'-c role={role}')}"


@pytest.fixture
def reader(plain_log: str, execute: Execute) -> Iterator[str]:
    """A role that may connect, and nothing else; the DSN that acts as it."""
    execute(plain_log, f"CREATE ROLE {ROLE}")
    yield as_role(plain_log, ROLE)
    execute(plain_log, f"DROP OWNED BY {ROLE};\nDROP ROLE {ROLE}")


def test_a_database_without_a_log_says_how_to_install_one(database: str):
    with pytest.raises(NotInstalled, match=r"no change log audit\.entity_change_log\. Install one: auditlab init"):
        read_postgres(database)


def test_a_table_that_is_not_there_is_answered_with_what_looks_like_a_log(plain_log: str):
    with pytest.raises(NoSuchTable, match=r"no table audit\.log\. Tables that look like .*: audit\.entity_change_log"):
        read_postgres(plain_log, table="audit.log")


@pytest.mark.parametrize("table", ["", "a.b.c.d.e", '"open', "x; DROP TABLE y", "audit.entity_change_log -- x"])
def test_a_name_that_is_no_tables_name_is_refused(plain_log: str, table: str):
    with pytest.raises((BadOption, NoSuchTable)):
        read_postgres(plain_log, table=table)
    assert read_postgres(plain_log).changes.height == 6000


def test_a_role_without_rights_is_told_what_it_lacks(reader: str, plain_log: str, execute: Execute):
    with pytest.raises(AccessDenied, match="USAGE on the schema"):
        read_postgres(reader)
    execute(plain_log, f"GRANT USAGE ON SCHEMA audit TO {ROLE}")
    with pytest.raises(AccessDenied, match=f"role {ROLE} may not read audit.entity_change_log. Grant it: GRANT SELECT"):
        read_postgres(reader)
    execute(plain_log, f"GRANT SELECT ON audit.entity_change_log TO {ROLE}")
    assert read_postgres(reader).changes.height == 6000


def test_a_role_that_cannot_see_whose_rows_of_before_are_missing_is_told(captured: str, execute: Execute):
    execute(
        captured,
        f"CREATE SCHEMA s;\nCREATE TABLE s.a (id int PRIMARY KEY);\nINSERT INTO s.a VALUES (1);\nCREATE ROLE {ROLE};\n"
        f"GRANT USAGE ON SCHEMA audit TO {ROLE};\nGRANT SELECT ON audit.entity_change_log TO {ROLE}",
    )
    try:
        track(captured, "s.a", baseline=False)
        execute(captured, "INSERT INTO s.a VALUES (2)")
        with pytest.raises(AccessDenied, match=rf"may not read .*tracked_table.*GRANT auditlab_auditor TO {ROLE}"):
            read_postgres(as_role(captured, ROLE))
        with pytest.raises(AccessDenied, match=r"table installation .*GRANT auditlab_auditor TO the role"):
            check(as_role(captured, ROLE))
        execute(captured, f"GRANT auditlab_auditor TO {ROLE}")
        assert read_postgres(as_role(captured, ROLE)).facts.partial == ("s.a",)
        assert "ok" in {finding.severity for finding in check(as_role(captured, ROLE))}
    finally:
        execute(captured, f"DROP OWNED BY {ROLE};\nDROP ROLE {ROLE}")


def test_row_security_that_would_shorten_the_log_is_an_error(reader: str, plain_log: str, execute: Execute):
    execute(
        plain_log,
        f"GRANT USAGE ON SCHEMA audit TO {ROLE};\nGRANT SELECT ON audit.entity_change_log TO {ROLE};\n"
        "ALTER TABLE audit.entity_change_log ENABLE ROW LEVEL SECURITY;\n"
        "CREATE POLICY few ON audit.entity_change_log USING (id < 10)",
    )
    with pytest.raises(IncompleteRead, match=f"row security would filter audit.entity_change_log for role {ROLE}"):
        read_postgres(reader)
    assert read_postgres(plain_log).changes.height == 6000


@pytest.mark.parametrize("whose", ["the reader's", "the owner's"])
def test_row_security_beneath_a_view_is_an_error_too(
    reader: str, plain_log: str, execute: Execute, version: int, whose: str
):
    if whose == "the reader's" and version < 15:
        pytest.skip("views with the rights of who reads them came with PostgreSQL 15")
    how = "WITH (security_invoker)" if whose == "the reader's" else ""
    owner = f"ALTER VIEW audit.seen OWNER TO {ROLE};\n" if whose == "the owner's" else ""
    execute(
        plain_log,
        f"GRANT USAGE ON SCHEMA audit TO {ROLE};\nGRANT SELECT ON audit.entity_change_log TO {ROLE};\n"
        "ALTER TABLE audit.entity_change_log ENABLE ROW LEVEL SECURITY;\n"
        "CREATE POLICY few ON audit.entity_change_log USING (id < 10);\n"
        f"CREATE VIEW audit.seen {how} AS SELECT * FROM audit.entity_change_log;\n{owner}"
        f"GRANT SELECT ON audit.seen TO {ROLE}",
    )
    with pytest.raises(IncompleteRead, match=r"row security would filter audit\.seen"):
        read_postgres(reader, table="audit.seen")


def test_an_auditor_of_our_capture_reads_the_whole_log(shop: str):
    everything = read_postgres(shop).changes
    assert read_postgres(as_role(shop, "auditlab_auditor"), connections=2).changes.equals(everything)


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://ann:s3cr3t@127.0.0.1:1/db",
        "host=127.0.0.1 port=1 user=ann password=s3cr3t",
        "postgresql://ann@127.0.0.1:1/db?password=s3cr3t",
        "nonsense s3cr3t=",
    ],
)
def test_a_wrong_dsn_fails_without_its_password(dsn: str):
    with pytest.raises(ConnectionFailed) as caught:
        read_postgres(dsn)
    if "ann" in dsn:
        assert "s3cr3t" not in str(caught.value)


def test_the_password_is_not_in_the_facts(plain_log: str, make_role: Callable[..., tuple[str, str]]):
    _, told = make_role(plain_log, "secretive", "SUPERUSER")
    assert told.rpartition("password=")[2] not in repr(read_postgres(told).facts)


def test_an_unknown_entity_type_is_answered_with_what_there_is(shop: str):
    has = "'shop.events', 'shop.lines', 'shop.orders', 'shop.users'"
    with pytest.raises(
        UnknownEntityType, match=rf"no entity type 'order' in audit\.entity_change_log\. It has {has}\."
    ):
        read_postgres(shop, entity_types=["shop.orders", "order"])


def test_a_partition_is_no_entity_type(shop: str):
    with pytest.raises(BadOption, match=r"shop\.events_eu is a partition of shop\.events: ask for"):
        read_postgres(shop, entity_types="shop.events_eu")


DYING = """
CREATE FUNCTION die() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(10); RETURN true; END $$;
CREATE VIEW dying AS SELECT * FROM audit.entity_change_log WHERE id < 5000 OR die()
"""


@pytest.mark.parametrize("connections", [1, 2])
def test_a_server_that_goes_away_in_mid_load_fails_the_load(plain_log: str, connections: int):
    with connect(plain_log) as connection:
        connection.execute(DYING)
    with pytest.raises(ConnectionFailed):
        read_postgres(plain_log, table="dying", connections=connections)


def test_a_server_that_goes_away_leaves_no_archive(plain_log: str, tmp_path: Path):
    with connect(plain_log) as connection:
        connection.execute(DYING)
    with pytest.raises(ConnectionFailed):
        archive_postgres(plain_log, tmp_path / "a", table="dying")
    assert list(tmp_path.iterdir()) == []


def test_connections_that_are_terminated_between_batches_fail_the_load(plain_log: str, execute: Execute):
    with ChangeStream(plain_log, connections=2, batch_bytes=1 << 16) as stream:
        batches = iter(stream)
        next(batches)
        execute(
            plain_log,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        with pytest.raises(ConnectionFailed):
            list(batches)


def test_all_missing_and_mistyped_columns_are_named_at_once(database: str, execute: Execute):
    execute(
        database, "CREATE TABLE log (id text, entity_type bytea, operation text, changed_at date, after_snapshot int)"
    )
    with pytest.raises(SchemaMismatch) as caught:
        read_postgres(database, table="log")
    for told in (
        "id: is text, want a whole number",
        "entity_type: is bytea, want text",
        "entity_id: missing",
        "changed_at: is date, want a timestamp",
        "before_snapshot: missing",
        "after_snapshot: is integer, want jsonb, json or text",
    ):
        assert told in str(caught.value)
    with pytest.raises(SchemaMismatch, match="log: id: missing .its column is read as entity_id; name another"):
        read_postgres(database, table="log", columns={"entity_id": "id"})


@pytest.mark.parametrize("value", ["infinity", "-infinity", "294276-12-31 00:00:00+00", "0044-03-15 00:00:00+00 BC"])
@pytest.mark.parametrize("connections", [1, 2])
def test_a_time_that_cannot_be_represented_is_named_with_its_row(
    plain_log: str, execute: Execute, value: str, connections: int
):
    execute(plain_log, f"UPDATE audit.entity_change_log SET changed_at = '{value}' WHERE id = 4321")
    with pytest.raises(BadTime, match=rf"row id 4321: changed_at={re.escape(value)} cannot be represented"):
        read_postgres(plain_log, connections=connections)


def test_ids_handed_out_in_batches_are_refused_unless_allowed(plain_log: str, execute: Execute):
    execute(plain_log, "ALTER SEQUENCE audit.entity_change_log_id_seq CACHE 20")
    with pytest.raises(UnsafeOrder, match=r"sequence audit\.entity_change_log_id_seq has CACHE 20: .*CACHE 1"):
        read_postgres(plain_log)
    assert read_postgres(plain_log, allow_unsafe_order=True).changes.height == 6000


def test_identity_columns_that_hand_out_batches_are_found_too(captured: str, execute: Execute):
    execute(captured, "ALTER TABLE audit.entity_change_log ALTER COLUMN id SET CACHE 7")
    with pytest.raises(UnsafeOrder, match="has CACHE 7"):
        read_postgres(captured)


def test_rows_that_are_no_changes_are_refused_or_set_aside(plain_log: str, execute: Execute):
    execute(plain_log, "UPDATE audit.entity_change_log SET after_snapshot = '[1]' WHERE id IN (5, 6)")
    with pytest.raises(MalformedChange, match=r"after_snapshot is no JSON object in 2 rows \(row id 5, 6\)"):
        read_postgres(plain_log)
    loaded = read_postgres(plain_log, strict=False)
    assert loaded.changes.height == 5998
    assert loaded.malformed is not None
    assert loaded.malformed["id"].to_list() == [5, 6]


def test_a_log_that_would_not_fit_says_what_to_do_instead(plain_log: str):
    with pytest.raises(LogTooLarge, match=r"about [\d,]+ changes, \d+\.\d MB expected in memory; .*[Pp]ull an archive"):
        read_postgres(plain_log, memory_limit=1_000_000)


@pytest.mark.parametrize(
    "options",
    [
        {"start": "2024-02-01", "end": "2024-01-01"},
        {"user": "not a uuid"},
        {"entity_types": []},
        {"connections": 0},
        {"columns": {"ident": "id"}},
        {"start": "soon"},
        {"zone": "Mars/Olympus"},
    ],
    ids=str,
)
def test_options_that_make_no_sense_are_refused(plain_log: str, options: dict[str, object]):
    with pytest.raises((BadOption, BadTime)):
        read_postgres(plain_log, **options)

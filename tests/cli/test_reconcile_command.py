"""The command reconcile: what it prints, writes and exits with, on a real PostgreSQL."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import polars as pl
import pytest

import auditlab as al
from auditlab.capture import track
from auditlab.connection import connect

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from typer.testing import Result

    Typed = Callable[..., Result]

SHOP = """
CREATE SCHEMA shop;
CREATE TABLE shop.orders (id uuid PRIMARY KEY, total numeric);
CREATE TABLE shop.users (id uuid PRIMARY KEY, name text);
"""
FILL = """
INSERT INTO shop.orders SELECT md5('o' || n)::uuid, n FROM generate_series(1, 5) AS n;
INSERT INTO shop.users SELECT md5('u' || n)::uuid, n FROM generate_series(1, 5) AS n;
"""
UNSEEN = """
SET session_replication_role = replica;
UPDATE shop.orders SET total = 100 WHERE id = md5('o1')::uuid;
DELETE FROM shop.orders WHERE id = md5('o2')::uuid;
"""


@pytest.fixture
def shop(captured: str) -> str:
    """A database of two tables, recorded by our capture."""
    with connect(captured, autocommit=True) as connection:
        connection.execute(SHOP)
        track(captured, ["shop.orders", "shop.users"])
        connection.execute(FILL)
    return captured


@pytest.fixture
def written(shop: str) -> str:
    """The same, two of its rows written past the log."""
    with connect(shop, autocommit=True) as connection:
        connection.execute(UNSEEN)
    return shop


def test_a_clean_database_exits_with_0(typed: Typed, shop: str):
    done = typed("reconcile", shop)
    assert (done.exit_code, "nothing found in 10 rows of 2 tables" in done.stdout) == (0, True)


def test_what_was_written_past_the_log_is_said_and_exits_with_1(typed: Typed, written: str):
    done = typed("reconcile", written)
    assert done.exit_code == 1
    assert "error   changed outside the log" in done.stdout
    assert "2 errors found in 9 rows of 2 tables" in done.stdout
    assert typed("reconcile", written, "--fail-on", "never").exit_code == 0
    assert typed("reconcile", written, "-t", "shop.users").exit_code == 0


def test_the_findings_and_their_rows_as_files(typed: Typed, written: str, tmp_path: Path):
    done = typed("reconcile", written, "--format", "jsonl")
    found = {line["kind"]: line["count"] for line in map(json.loads, done.stdout.splitlines())}
    assert found == {"changed outside the log": 1, "removed outside the log": 1}
    file = tmp_path / "rows.parquet"
    assert typed("reconcile", written, "--rows", "changed outside the log", "-o", file).exit_code == 1
    assert pl.read_parquet(file).select("field", "logged", "live").rows() == [("total", "1", "100")]
    done = typed("reconcile", written, "--rows", "nonsense")
    assert (done.exit_code, "no finding 'nonsense'. Found: 'changed outside the log'" in done.stderr) == (2, True)


def test_a_log_that_was_kept(typed: Typed, shop: str, tmp_path: Path):
    al.archive_postgres(shop, tmp_path / "archive", progress=False)
    al.read_postgres(shop, progress=False).changes().write_parquet(tmp_path / "log.parquet")
    with connect(shop, autocommit=True) as connection:
        connection.execute("INSERT INTO shop.users VALUES (gen_random_uuid(), 'later')")
        for kept in ("archive", "log.parquet"):
            assert typed("reconcile", shop, "--log", tmp_path / kept).exit_code == 0
            assert typed("reconcile", shop, "--archive", tmp_path / kept).exit_code == 0
        connection.execute("ALTER TABLE audit.entity_change_log DISABLE TRIGGER ALL")
        connection.execute("DELETE FROM audit.entity_change_log WHERE entity_id = md5('o3')::uuid")
    done = typed("reconcile", shop, "--log", tmp_path / "archive", "-t", "shop.orders", "-t", "shop.users")
    assert (done.exit_code, "log row gone" in done.stdout) == (1, True)
    done = typed("reconcile", shop, "--log", tmp_path / "nothing")
    assert (done.exit_code, "no source" in done.stderr) == (2, True)


def test_values_of_a_table_are_shown_and_not_obeyed(typed: Typed, shop: str):
    with connect(shop, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("UPDATE shop.users SET name = E'\\x1b[31mred\\u202e'")
    done = typed("reconcile", shop, "--rows", "changed outside the log")
    assert done.exit_code == 1
    assert "\x1b" not in done.stdout
    assert "\u202e" not in done.stdout

"""The recording commands, on a real PostgreSQL."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

import auditlab as al
from auditlab.connection import connect

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from typer.testing import Result

    Typed = Callable[..., Result]


@pytest.fixture
def bank(database: str) -> str:
    """A database with a table of two rows and one without a primary key."""
    with connect(database) as connection:
        connection.execute(
            "CREATE SCHEMA bank; CREATE TABLE bank.accounts (number integer PRIMARY KEY, balance numeric)"
        )
        connection.execute("INSERT INTO bank.accounts VALUES (1, 1.10), (2, 12345678901234567.89)")
        connection.execute("CREATE TABLE bank.notes (note text)")
    return database


def said(result: Result) -> str:
    assert result.exit_code == 0, f"{result.output} {result.exception}"
    return result.stdout


def test_from_init_to_the_answer(typed: Typed, bank: str, tmp_path: Path):
    assert "installed" in said(typed("init", bank))
    assert "current" in said(typed("init", bank))
    assert "2 rows" in said(typed("track", bank, "bank.accounts"))
    assert "already" in said(typed("track", bank, "bank.accounts"))
    with connect(bank) as connection:
        connection.execute("UPDATE bank.accounts SET balance = balance + 0.01 WHERE number = 2")
    now = [json.loads(line, parse_float=str) for line in said(typed("as-of", bank, "-f", "jsonl")).splitlines()]
    assert sorted((row["number"], row["balance"]) for row in now) == [(1, "1.10"), (2, "12345678901234567.90")]
    one = said(typed("diffs", bank, "-t", "bank.accounts", "-e", 2, "--field", "balance", "-f", "csv"))
    assert "12345678901234567.89,12345678901234567.90" in one
    assert "3" in said(typed("archive", bank, tmp_path / "kept"))
    assert "whole" in said(typed("verify", tmp_path / "kept"))
    assert len(al.scan_archive(tmp_path / "kept")) == 3
    assert "bank.accounts" in said(typed("untrack", bank, "bank.accounts"))
    assert "nothing" in said(typed("untrack", bank, "bank.accounts"))


def test_partitions_ahead(typed: Typed, bank: str):
    said(typed("init", bank))
    assert "audit." in said(typed("partitions", bank, "--ahead", 12))
    assert "nothing to create" in said(typed("partitions", bank, "--ahead", 12))


def test_check_finds_a_disabled_trigger_and_exits_with_1(typed: Typed, bank: str):
    said(typed("init", bank))
    said(typed("track", bank, "bank.accounts"))
    with connect(bank) as connection:
        connection.execute("DROP TABLE bank.notes")
    said(typed("check", bank))
    with connect(bank) as connection:
        connection.execute("ALTER TABLE bank.accounts DISABLE TRIGGER USER")
    found = typed("check", bank)
    assert found.exit_code == 1
    assert "bank.accounts" in found.stdout
    rows = [json.loads(line) for line in typed("check", bank, "-f", "jsonl").stdout.splitlines()]
    assert any(row["severity"] == "error" and "bank.accounts" in row["subject"] for row in rows)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("track", "bank.notes"), "primary key"),
        (("track", "bank.acounts"), "bank.accounts"),
        (("untrack", "bank.acounts"), "bank.accounts"),
    ],
)
def test_what_cannot_be_tracked_says_why(typed: Typed, bank: str, words: tuple[str, str], message: str):
    said(typed("init", bank))
    result = typed(words[0], bank, *words[1:])
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("command", ["track", "untrack"])
def test_a_name_that_is_none_is_named(typed: Typed, bank: str, command: str):
    said(typed("init", bank))
    result = typed(command, bank, "bank.accounts", "bank.two words")
    assert result.exit_code == 2
    assert "'bank.two words'" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("command", ["track", "summary", "archive"])
def test_a_database_without_a_log_says_how_to_get_one(typed: Typed, bank: str, tmp_path: Path, command: str):
    words = {"track": ["bank.accounts"], "summary": [], "archive": [tmp_path / "kept"]}[command]
    result = typed(command, bank, *words)
    assert result.exit_code == 2
    assert "auditlab init" in result.stderr
    assert list(tmp_path.iterdir()) == []

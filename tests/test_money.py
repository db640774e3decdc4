"""Money never changes: from a table through capture, load, state, diff, archive and CSV, digit for digit."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from typing import TYPE_CHECKING

import polars as pl
import pytest

import auditlab as al
from auditlab.connection import connect

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore::auditlab.errors.UncertainTime")  # its moments lie seconds back

TABLE = "bank.accounts"
BEFORE = {
    "total": "0.01",
    "price": "2.20",
    "precise": "987654321098765432109876543.210",
    "beyond": "18446744073709551616",
}
AFTER = {
    "total": "12345678901234567.89",
    "price": "1.10",
    "precise": "123456789012345678901234567.890",
    "beyond": "9223372036854775809",
}
"""What a float keeps of the last two: 1.2345678901234568e+26 and 9223372036854775808."""


@pytest.fixture(params=["polars", "duckdb"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def bank(captured: str) -> str:
    """A database with one account: inserted, then updated, each column of numeric with no limit to its digits."""
    columns = ", ".join(f"{name} numeric" for name in AFTER)
    with connect(captured) as connection:
        connection.execute(f"CREATE SCHEMA bank; CREATE TABLE {TABLE} (id integer PRIMARY KEY, {columns})")
    al.track(captured, [TABLE])
    with connect(captured) as connection:
        connection.execute(f"INSERT INTO {TABLE} (id, {', '.join(BEFORE)}) VALUES (1, {', '.join(BEFORE.values())})")
    with connect(captured) as connection:
        connection.execute(f"UPDATE {TABLE} SET " + ", ".join(f"{name} = {text}" for name, text in AFTER.items()))
        in_the_table = connection.rows("SELECT " + ", ".join(f"{name}::text" for name in AFTER) + f" FROM {TABLE}")
        assert in_the_table == [AFTER]
    return captured


def digits(rows: Iterable[Mapping[str, object]]) -> list[dict[str, str]]:
    """The amounts of each row as they print. A float would show itself here."""
    return [{name: str(row[name]) for name in AFTER} for row in rows]


def frame(answer: pl.DataFrame | pl.LazyFrame) -> pl.DataFrame:
    return answer.collect() if isinstance(answer, pl.LazyFrame) else answer


def assert_exact(log: al.ChangeLog) -> None:
    """States, versions, diffs and comparison of this log show each digit."""
    accounts = log.of(TABLE)
    assert digits(frame(accounts.as_of()).to_dicts()) == [AFTER]
    assert digits(frame(accounts.history()).to_dicts()) == [BEFORE, AFTER]
    diffs = frame(accounts.diffs()).filter(pl.col("field").is_in(list(AFTER)))
    updated = diffs.filter(pl.col("kind") == "modified")
    assert dict(updated.select("field", "old").iter_rows()) == BEFORE
    assert dict(updated.select("field", "new").iter_rows()) == AFTER
    assert dict(diffs.filter(pl.col("kind") == "added").select("field", "new").iter_rows()) == BEFORE
    first, last = frame(accounts.history())["valid_from"]
    net = frame(accounts.compare(first, last))
    assert dict(net.select("field", "old").iter_rows()) == BEFORE
    assert dict(net.select("field", "new").iter_rows()) == AFTER


def run(*arguments: str) -> list[dict[str, str]]:
    """The rows that our own command line prints as CSV."""
    done = subprocess.run(
        [sys.executable, "-m", "auditlab", *arguments, "--format", "csv"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return list(csv.DictReader(io.StringIO(done.stdout)))


def test_amounts_come_from_the_database_digit_for_digit(bank: str, engine: str):
    assert_exact(al.read_postgres(bank, progress=False).on(engine))


def test_amounts_are_exact_without_a_catalog_too(bank: str, engine: str):
    recorded = frame(al.read_postgres(bank, progress=False).changes())
    assert_exact(al.from_arrow(recorded).on(engine))


def test_amounts_go_into_an_archive_and_come_back_digit_for_digit(bank: str, engine: str, tmp_path: Path):
    al.read_postgres(bank, progress=False).to_archive(tmp_path / "from_memory")
    assert_exact(al.scan_archive(tmp_path / "from_memory").on(engine))
    al.archive_postgres(bank, tmp_path / "streamed", progress=False)
    assert_exact(al.scan_archive(tmp_path / "streamed").on(engine))


def test_amounts_are_exact_in_csv(bank: str, engine: str, tmp_path: Path):
    log = al.read_postgres(bank, progress=False).on(engine)
    frame(log.of(TABLE).as_of()).write_csv(tmp_path / "state.csv")
    with (tmp_path / "state.csv").open(newline="", encoding="utf-8") as lines:
        assert digits(csv.DictReader(lines)) == [AFTER]


def test_amounts_are_exact_in_what_the_command_line_prints(bank: str, tmp_path: Path):
    al.archive_postgres(bank, tmp_path / "archive", progress=False)
    for source in (bank, str(tmp_path / "archive")):
        assert digits(run("as-of", source, "-t", TABLE)) == [AFTER]
        assert digits(run("history", source, "-t", TABLE)) == [BEFORE, AFTER]
        modified = [row for row in run("diffs", source, "-t", TABLE) if row["kind"] == "modified"]
        assert {row["field"]: row["old"] for row in modified} == BEFORE
        assert {row["field"]: row["new"] for row in modified} == AFTER

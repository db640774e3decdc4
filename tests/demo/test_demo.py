"""The demo runs for real, proves what it says, and falls back where there is no PostgreSQL."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest
from typer.testing import CliRunner

import auditlab as al
from auditlab.cli import app
from auditlab.connection import connect
from auditlab.demo.folder import prepared
from auditlab.demo.proof import Difference, prove
from auditlab.demo.workload import INCIDENT, TABLES, USERS, run_workload
from auditlab.errors import ArchiveExists, BadOption

if TYPE_CHECKING:
    from collections.abc import Callable

    from typer.testing import Result


def demo(*words: object) -> Result:
    return CliRunner().invoke(app, ["demo", *map(str, words)])


@pytest.fixture(scope="module")
def day(make_database: Callable[..., str]) -> tuple[str, al.ChangeLog]:
    """A database after the demo's day, and its log."""
    dsn = make_database(prefix="day")
    run_workload(dsn)
    return dsn, al.read_postgres(dsn, progress=False)


@pytest.mark.usefixtures("server")
def test_the_whole_demo_runs_and_leaves_a_folder_that_opens(tmp_path: Path):
    folder = tmp_path / "shop"
    done = demo("--folder", folder)
    assert done.exit_code == 0, done.output
    for words in ("PostgreSQL", "orders.order_items", "dave", "TRUNCATE", "read back is equal", str(folder)):
        assert words in done.stdout
    assert {path.name for path in folder.iterdir()} == {".auditlab-demo", "log.parquet", "archive", "explore.ipynb"}
    assert al.verify(folder / "archive") == []
    log = al.read_parquet(folder / "log.parquet")
    assert log.entity_types == tuple(sorted(TABLES))


@pytest.mark.parametrize("broken", [False, True], ids=["none at all", "one that does not start"])
def test_without_postgresql_it_runs_on_the_shipped_log_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, broken: bool
):
    folder = tmp_path / "bin"
    folder.mkdir()
    if broken:
        (folder / "initdb").write_text("#!/bin/sh\necho 'no room for a cluster' >&2\nexit 1\n", encoding="utf-8")
        (folder / "initdb").chmod(0o755)
    monkeypatch.setenv("AUDITLAB_PG_BIN", str(folder))
    done = demo("--folder", tmp_path / "shop")
    assert done.exit_code == 0, done.output
    assert re.search(r"No PostgreSQL \(\S.{10,}\)", done.stdout)
    assert "no live table" in done.stdout
    assert "read back is equal" in done.stdout
    assert al.verify(tmp_path / "shop" / "archive") == []


def test_a_second_run_writes_its_own_folder_anew_and_touches_nothing_else_in_it(tmp_path: Path):
    folder = tmp_path / "shop"
    assert demo("--sample", "--folder", folder).exit_code == 0
    (folder / "notes.txt").write_text("mine", encoding="utf-8")
    (folder / "log.parquet").write_text("broken", encoding="utf-8")
    assert demo("--sample", "--folder", folder).exit_code == 0
    assert (folder / "notes.txt").read_text(encoding="utf-8") == "mine"
    assert len(al.read_parquet(folder / "log.parquet"))


def test_it_refuses_a_folder_that_it_did_not_make(tmp_path: Path):
    (tmp_path / "thesis.tex").write_text("mine", encoding="utf-8")
    done = demo("--sample", "--folder", tmp_path)
    assert done.exit_code == 2
    assert "--folder" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(ArchiveExists):
        prepared(tmp_path)
    with pytest.raises(BadOption, match="is a file"):
        prepared(tmp_path / "thesis.tex")


def test_the_day_has_everything_an_auditor_meets(day: tuple[str, al.ChangeLog]):
    log = day[1]
    operations = set(log.changes()["operation"])
    assert operations == {"INSERT", "UPDATE", "DELETE", "TRUNCATE", "SNAPSHOT"}
    assert set(log.changes()["changed_by"].drop_nulls()) == set(USERS.values())
    orders = log.of("orders.orders")
    assert orders.history()["life"].max() > 1
    assert log.correlation(INCIDENT).changes().height > 10
    assert {"note", "remark", "channel"} <= set(orders.fields()["field"])
    transactions = (
        log.changes()
        .group_by("transaction_id")
        .agg(pl.col("id").min().alias("first"), pl.col("id").max().alias("last"))
    )
    ordered = transactions.sort("first")
    assert (ordered["last"].cum_max().shift(1) > ordered["first"]).any(), "no two transactions overlapped"


def test_the_proof_holds_for_every_table(day: tuple[str, al.ChangeLog]):
    dsn, log = day
    proofs = prove(dsn, log, TABLES)
    assert [proof.entity_type for proof in proofs] == list(TABLES)
    assert [proof.differences for proof in proofs] == [()] * len(TABLES)
    assert sum(proof.values for proof in proofs) > 1000


def test_the_proof_sees_a_change_that_the_log_does_not_have(day: tuple[str, al.ChangeLog]):
    dsn, log = day
    with connect(dsn) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("UPDATE orders.products SET price = price + 0.01 WHERE sku = 'SKU-001'")
        connection.execute("DELETE FROM orders.customers WHERE id = (SELECT min(id::text)::uuid FROM orders.customers)")
        connection.commit()
    customers, products = prove(dsn, log, ["orders.customers", "orders.products"])
    assert [fault.field for fault in products.differences] == ["price"]
    assert [fault.field for fault in customers.differences] == [""]
    assert isinstance(customers.differences[0], Difference)
    assert customers.differences[0].live is None


def test_the_notebook_in_the_package_is_the_one_in_the_folder(tmp_path: Path):
    assert demo("--sample", "--folder", tmp_path / "shop").exit_code == 0
    shipped = Path(al.__file__).parent / "demo" / "explore.ipynb"
    assert json.loads((tmp_path / "shop" / "explore.ipynb").read_text()) == json.loads(shipped.read_text())

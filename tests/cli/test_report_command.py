"""The command report writes one whole file, or none and says why."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from small_log import BOB, ONE

from auditlab.connection import connect

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from typer.testing import Result

    Typed = Callable[..., Result]


def test_it_writes_a_report_of_the_file_with_its_digest(typed: Typed, log_file: Path, tmp_path: Path):
    done = typed("report", log_file, "-o", tmp_path / "r.html", "--title", "June")
    assert done.exit_code == 0, done.output
    assert done.stderr == f"report written to {tmp_path / 'r.html'}\n"
    html = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "<h1>June</h1>" in html
    assert hashlib.sha256(log_file.read_bytes()).hexdigest() in html


def test_its_options_choose_what_it_shows(typed: Typed, log_file: Path, tmp_path: Path):
    out = tmp_path / "r.html"
    words = ["-t", "orders.orders", "-e", ONE, "--by", BOB, "--from", "2024-01-01", "--to", "2024-01-01T00:00:05"]
    done = typed("report", log_file, "-o", out, *words, "--mask", "total", "--omit", "id", "--include", "timeline")
    assert done.exit_code == 0, done.output
    html = out.read_text(encoding="utf-8")
    assert "12345678901234567.89" not in html
    assert "[masked]" in html
    assert 'id="evidence"' not in html


def test_it_reads_an_archive(typed: Typed, log_file: Path, tmp_path: Path):
    assert typed("archive", log_file, tmp_path / "kept").exit_code == 0
    done = typed("report", tmp_path / "kept", "-o", tmp_path / "r.html")
    assert done.exit_code == 0, done.output
    assert "head of" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_what_cannot_be_done_leaves_no_file(typed: Typed, log_file: Path, tmp_path: Path):
    for words, why in (
        (["--mask", "totals"], "cannot hide 'totals'"),
        (["--from", "2024-01-02", "--to", "2024-01-01"], "--from is the earlier, --to the later"),
        (["-t", "nobody"], "no entity type 'nobody'"),
    ):
        done = typed("report", log_file, "-o", tmp_path / "r.html", *words)
        assert (done.exit_code, why in done.stderr) == (2, True), done.output
        assert not (tmp_path / "r.html").exists()
    same = typed("report", log_file, "-o", log_file)
    assert same.exit_code == 2
    assert "is the source itself" in same.stderr


def test_it_reads_a_database_and_tells_no_password(
    typed: Typed, database: str, tmp_path: Path, make_role: Callable[..., tuple[str, str]]
):
    with connect(database) as connection:
        connection.execute("CREATE SCHEMA shop; CREATE TABLE shop.orders (id integer PRIMARY KEY)")
    assert typed("init", database).exit_code == 0
    assert typed("track", database, "shop.orders").exit_code == 0
    with connect(database) as connection:
        connection.execute("INSERT INTO shop.orders VALUES (7)")
    _, dsn = make_role(database, "reporter", "SUPERUSER")
    done = typed("report", dsn, "-o", tmp_path / "r.html", "--title", "Shop")
    assert (done.exit_code, done.stderr) == (0, f"report written to {tmp_path / 'r.html'}\n"), done.output
    html = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "<h1>Shop</h1>" in html
    assert "audit.entity_change_log" in html
    assert dsn.rpartition("password=")[2] not in html

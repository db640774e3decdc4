"""Messages on the command line name its options, not Python's."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import auditlab as al
from auditlab.cli.words import SPOKEN, in_commands
from auditlab.testing import make_log

if TYPE_CHECKING:
    from collections.abc import Callable

    from typer.testing import Result

    Typed = Callable[..., Result]

PACKAGE = Path(al.__file__).parent


def said() -> str:
    """All that the modules say outside of the command line, its literals joined as the interpreter joins them."""
    texts = (path.read_text("utf-8") for path in sorted(PACKAGE.rglob("*.py")) if path.parent.name != "cli")
    return re.sub(r'["\']\s*\n\s*f?["\']', "", "\n".join(texts))


@pytest.mark.parametrize("pattern", SPOKEN)
def test_what_is_said_otherwise_is_still_said(pattern: str):
    pattern = pattern.removeprefix("^").replace(r"\b(as_of|history", r"(\{verb\}|as_of|history")
    assert re.search(pattern, said().replace(r"\"", '"').replace("'canonical", "'canonical")), pattern


def test_errors_and_warnings_name_the_command_s_options(typed: Typed, log_file: Path, tmp_path: Path):
    words = (log_file, "-t", "orders.orders")
    for asked, told in (
        (("as-of", *words, "--at", "2030-01-01"), "read it with --coverage START END"),
        (
            ("as-of", *words, "--at", "2024-01-01", "--id", 1),
            "as-of takes one of --at, --id, --transaction, --mark and",
        ),
        (("compare", *words, "--from", "2024-01-01T00:00:03Z", "--to", "2024-01-01T00:00:01Z"), "compare goes from"),
        (
            ("pit-join", log_file, log_file, "-t", "orders.orders", "--at", "changed_at", "--known", "changed_at"),
            "--valid",
        ),
        (
            (
                "pit-join",
                log_file,
                log_file,
                "-t",
                "orders.orders",
                "--at",
                "changed_at",
                "--known",
                "changed_at",
                "--valid",
                "no",
            ),
            "--valid takes a field",
        ),
        (("diffs", *words, "--tolerance", "much"), "--tolerance takes a number"),
        (("aggregate", *words, "--items", "orders.order_items:id,order_id"), "say by --key which 2 fields"),
        (("diffs", *words, "--from", "2024-01-02", "--to", "2024-01-01"), "--from is the earlier, --to the later"),
        (("history", *words, "--rename", "id=total"), "--rename does not help, which goes for all changes alike"),
        (("history", *words, "--rename", "total=id", "--rename", "id=total"), "which --rename does not take"),
        (("history", *words, "--rename", "total=total"), "--rename takes two different names"),
    ):
        done = typed(*asked)
        assert done.exit_code == 2
        assert told in done.stderr, done.stderr
        assert not re.search(r"\b\w+=|\w\(", done.stderr), done.stderr
    other = tmp_path / "other.jsonl"
    other.write_text(json.dumps({"id": 1, "wer": "ann"}) + "\n")
    assert "--column OURS=THEIRS" in typed("history", other).stderr


def test_a_time_that_the_clocks_pass_twice_asks_for_the_zone_by_its_option(typed: Typed, tmp_path: Path):
    row = {"id": 1, "entity_type": "t", "entity_id": "a", "operation": "INSERT", "changed_at": "2024-10-27 02:30:00"}
    (tmp_path / "log.jsonl").write_text(json.dumps(row | {"before_snapshot": None, "after_snapshot": {"x": 1}}) + "\n")
    done = typed("history", tmp_path / "log.jsonl", "--zone", "Europe/Berlin")
    assert done.exit_code == 2
    assert "or the zone they were written in by --zone." in done.stderr


def test_a_file_that_is_complete_for_longer_answers_there(typed: Typed, log_file: Path, tmp_path: Path):
    asked = ("as-of", log_file, "-t", "orders.orders", "-f", "jsonl", "--at", "2024-05-01")
    done = typed(*asked, "--coverage", "2024-01-01", "2024-06-01")
    assert done.exit_code == 0, done.stderr
    assert done.stdout == typed(*asked[:-2]).stdout
    assert "--coverage ends" in typed(*asked, "--coverage", "2024-06-01", "2024-01-01").stderr
    al.from_arrow(make_log([("INSERT", "a", {"x": 1})])).to_archive(tmp_path / "kept")
    assert "--coverage is for files" in typed("as-of", tmp_path / "kept", "--coverage", "2024", "2025").stderr


@pytest.mark.filterwarnings("always")
def test_a_warning_is_what_it_says_and_names_no_file_of_ours(typed: Typed, tmp_path: Path):
    steps = [("UPDATE", "a", {"x": 1}, {"before_snapshot": {"x": 0}})]
    make_log(steps).write_parquet(tmp_path / "log.parquet")
    done = typed("as-of", tmp_path / "log.parquet", "-t", "t")
    assert done.exit_code == 0
    assert "auditlab: warning: rows of t (1 of them were changed later) were there before the log began." in done.stderr
    assert ".py" not in done.stderr
    doubt = "they were at work: log.doubtful(at) lists them; as of a mark there is no doubt."
    assert in_commands(doubt) == "they were at work. As of a mark (--mark) there is no doubt."
    assert in_commands("log.evidence() has the changes.") == "auditlab evidence has the changes."

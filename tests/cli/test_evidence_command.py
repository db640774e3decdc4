"""The commands evidence and drift: what they print, write and exit with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from auditlab.testing import make_log

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from typer.testing import Result

    Typed = Callable[..., Result]

BROKEN: list[tuple[Any, ...]] = [
    ("INSERT", "a", {"n": 1}),
    ("UPDATE", "a", {"n": 3}, {"before_snapshot": {"n": 2}}),
]
HINTED: list[tuple[Any, ...]] = [("INSERT", "a", {"n": 1}), ("UPDATE", "a", {"n": 1})]
DRIFTED: list[tuple[Any, ...]] = [
    ("INSERT", "a", {"n": 1}),
    ("UPDATE", "a", {"n": 2, "c": 0}, {"before_snapshot": {"n": 1, "c": 0}}),
]


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[list[tuple[Any, ...]]], Path]:
    def save(steps: list[tuple[Any, ...]]) -> Path:
        path = tmp_path / "steps.parquet"
        make_log(steps).write_parquet(path)
        return path

    return save


def test_a_clean_log_exits_with_0(typed: Typed, log_file: Path):
    done = typed("evidence", log_file)
    assert (done.exit_code, "nothing found in 6 changes" in done.stdout) == (0, True)


def test_an_error_is_said_and_exits_with_1(typed: Typed, saved: Callable[..., Path]):
    done = typed("evidence", saved(BROKEN))
    assert done.exit_code == 1
    assert "error   unlogged change" in done.stdout
    assert "1 error found in 2 changes" in done.stdout


@pytest.mark.parametrize(
    ("steps", "fail_on", "code"),
    [
        (BROKEN, "never", 0),
        (BROKEN, "error", 1),
        (BROKEN, "hint", 1),
        (HINTED, "warning", 0),
        (HINTED, "hint", 1),
        (DRIFTED, "error", 0),
        (DRIFTED, "warning", 1),
    ],
)
def test_fail_on_decides_the_exit_code(
    typed: Typed, saved: Callable[..., Path], steps: list[tuple[Any, ...]], fail_on: str, code: int
):
    assert typed("evidence", saved(steps), "--fail-on", fail_on).exit_code == code


def test_the_findings_as_json_lines(typed: Typed, saved: Callable[..., Path]):
    done = typed("evidence", saved(BROKEN), "--format", "jsonl", "--quick")
    (line,) = done.stdout.splitlines()
    found = json.loads(line)
    assert (found["kind"], found["severity"], found["count"]) == ("unlogged change", "error", 1)


def test_the_rows_behind_a_finding(typed: Typed, saved: Callable[..., Path], tmp_path: Path):
    file = tmp_path / "rows.parquet"
    done = typed("evidence", saved(BROKEN), "--rows", "unlogged change", "-f", "parquet", "-o", file)
    assert done.exit_code == 1
    assert pl.read_parquet(file).select("id", "previous_id", "field", "old", "new").rows() == [(2, 1, "n", "1", "2")]


def test_an_unknown_kind_is_an_error(typed: Typed, saved: Callable[..., Path]):
    done = typed("evidence", saved(BROKEN), "--rows", "nonsense")
    assert done.exit_code == 2
    assert "no finding 'nonsense'. Found: 'unlogged change'" in done.stderr


def test_rows_that_are_no_changes_are_listed_and_not_refused(typed: Typed, saved: Callable[..., Path]):
    done = typed("evidence", saved([*HINTED, ("UPDATE", "b", None)]))
    assert done.exit_code == 1
    assert "malformed change: UPDATE without an after image" in done.stdout


def test_values_of_the_log_are_shown_and_not_obeyed(typed: Typed, saved: Callable[..., Path]):
    steps = [("INSERT", "a", {"s": "x"}), ("DELETE", "a", {"before_snapshot": {"s": "\x1b[31mred\u202e"}})]
    done = typed("evidence", saved(steps), "--rows", "unlogged change")
    assert "\x1b" not in done.stdout
    assert "\u202e" not in done.stdout


def test_drift_is_a_table(typed: Typed, saved: Callable[..., Path]):
    done = typed("drift", saved(DRIFTED), "--format", "csv")
    head, row = done.stdout.splitlines()
    assert head.startswith("entity_type,kind,field,old,new")
    assert row.startswith("t,appeared,c,,number")
    assert done.exit_code == 0


@pytest.mark.parametrize(
    ("steps", "fail_on", "code"),
    [(DRIFTED, "any", 1), (DRIFTED, "unlogged", 1), (HINTED, "any", 0)],
)
def test_drift_fails_where_it_is_asked_to(
    typed: Typed, saved: Callable[..., Path], steps: list[tuple[Any, ...]], fail_on: str, code: int
):
    assert typed("drift", saved(steps), "--fail-on", fail_on).exit_code == code


@pytest.mark.parametrize("command", ["evidence", "drift"])
def test_there_is_no_sql_to_show(typed: Typed, log_file: Path, command: str):
    done = typed(command, log_file, "--sql")
    assert (done.exit_code, "no SQL to show" in done.stderr) == (2, True)

"""The help teaches by examples, and the examples are commands that there are."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import pytest
import typer
from typer.testing import CliRunner

from auditlab.cli import app

if TYPE_CHECKING:
    from collections.abc import Callable

    from typer.testing import Result

    Typed = Callable[..., Result]

COMMANDS = {
    "aggregate",
    "archive",
    "as-of",
    "blame",
    "check",
    "checkpoint",
    "compact",
    "compare",
    "demo",
    "diffs",
    "doctor",
    "drift",
    "evidence",
    "head",
    "history",
    "hold",
    "init",
    "mark",
    "partitions",
    "pit-join",
    "prune",
    "reconcile",
    "report",
    "seal",
    "snapshot",
    "summary",
    "timeline",
    "track",
    "untrack",
    "verify",
    "why-not",
}


def group() -> typer.core.TyperGroup:
    command = typer.main.get_command(app)
    assert isinstance(command, typer.core.TyperGroup)
    return command


def help_of(*words: str, columns: int = 200) -> str:
    done = CliRunner(env={"COLUMNS": str(columns), "NO_COLOR": "1"}).invoke(app, [*words, "--help"])
    assert done.exit_code == 0
    return done.stdout


def examples(text: str) -> list[str]:
    """The commands in a help text; what follows two blanks, or a shell's operator, explains them."""
    found = re.findall(r"^\s*(auditlab \S.*?)(?:\s{2,}.*|\s*[│].*)?$", text, re.MULTILINE)
    return [
        part.strip() for line in found for part in re.split(r"&&|\|\||>>", line) if part.strip().startswith("auditlab ")
    ]


def test_the_commands_are_these():
    assert set(group().commands) == COMMANDS
    assert all(f" {name} " in help_of() for name in COMMANDS)


def test_the_help_says_the_exit_codes():
    for code in ("0", "1", "2", "130"):
        assert re.search(rf"^\s+{code}\s+\w", help_of(), re.MULTILINE)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_each_command_has_an_example(name: str):
    assert any(example.startswith(f"auditlab {name}") for example in examples(help_of(name)))


@pytest.mark.parametrize("name", ["", *sorted(COMMANDS)])
def test_the_examples_can_be_typed(name: str):
    for example in examples(help_of(*name.split())):
        _, command, *words = shlex.split(example)
        parsed = group().commands[command].make_context(command, words, resilient_parsing=False)
        assert parsed.params


def test_a_narrow_terminal_keeps_what_an_example_is_for_on_a_line_of_its_own():
    told = help_of("history", columns=80).splitlines()
    place = next(number for number, line in enumerate(told) if "--rename name=title" in line)
    assert [line.strip() for line in told[place - 1 : place + 1]] == [
        "# a field that was renamed",
        "auditlab history SOURCE -t orders.orders --rename name=title",
    ]


def test_what_stands_in_brackets_is_no_markup():
    assert "pip install 'auditlab[seal]'" in help_of("seal")


def test_no_command_shows_the_help(typed: Typed):
    assert "Start here" in typed().output

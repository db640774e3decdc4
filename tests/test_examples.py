"""The examples in the docstrings are true: each runs, and gives what stands under it."""

from __future__ import annotations

import re
from doctest import DocTestFinder, DocTestRunner
from importlib import import_module
from inspect import getdoc, signature
from pathlib import Path

import pytest

import auditlab

PACKAGE = Path(auditlab.__file__).parent
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if re.search(r"^ *>>> ", path.read_text("utf-8"), re.MULTILINE))
"""The modules that hold examples."""


def test_the_views_of_a_log_say_what_they_take_and_show_it():
    for name in ("explore", "aggregate_view", "compare_view", "dashboard", "report"):
        told = getdoc(getattr(auditlab.ChangeLog, name)) or ""
        taken = [option for option in signature(getattr(auditlab.ChangeLog, name)).parameters if option != "self"]
        assert [option for option in taken if f"\n    {option}: " not in told] == [], name
        assert "Raises:" in told, name


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_examples_of_a_module_run_as_they_stand(path: Path, capsys: pytest.CaptureFixture[str]):
    name = ".".join(["auditlab", *path.relative_to(PACKAGE).with_suffix("").parts]).removesuffix(".__init__")
    runner = DocTestRunner()
    for example in DocTestFinder(exclude_empty=True).find(import_module(name)):
        runner.run(example)
    done = runner.summarize(verbose=False)
    assert done.attempted
    assert not done.failed, capsys.readouterr().out

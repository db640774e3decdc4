"""The notebooks run from the first cell to the last, and are committed clean."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from typer.testing import CliRunner

from auditlab.cli import app

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SHIPPED = ROOT / "auditlab" / "demo" / "explore.ipynb"


def execute(path: Path, folder: Path) -> nbformat.NotebookNode:
    """Run a notebook in a folder of its own; an error in a cell is an error here."""
    notebook = nbformat.read(path, as_version=4)
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    client = NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    return client.execute(env={**os.environ, "PYTHONPATH": paths})


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.usefixtures("server")
def test_a_notebook_runs(path: Path, tmp_path: Path):
    folder = tmp_path / "notebooks"  # beside the checkout's data, wherever the package is installed
    folder.mkdir()
    (tmp_path / "tests").symlink_to(ROOT / "tests", target_is_directory=True)
    done = execute(path, folder)
    code = [cell for cell in done.cells if cell.cell_type == "code"]
    assert [cell.source for cell in code if cell.execution_count is None] == []
    assert list(folder.iterdir()) == []


def test_the_demo_leaves_a_notebook_that_opens(tmp_path: Path):
    folder = tmp_path / "shop"
    assert CliRunner().invoke(app, ["demo", "--sample", "--folder", str(folder)]).exit_code == 0
    execute(folder / SHIPPED.name, folder)


def test_the_notebooks_are_those_of_the_flow_in_its_order():
    assert [path.stem for path in NOTEBOOKS] == [
        "01-load", "02-as-of-and-diff", "03-replay-and-blame", "04-evidence", "05-explore", "06-archive",
    ]  # fmt: skip


@pytest.mark.parametrize("path", [*NOTEBOOKS, SHIPPED], ids=lambda path: path.stem)
def test_a_notebook_is_committed_clean(path: Path):
    text = path.read_text(encoding="utf-8")
    cells = json.loads(text)["cells"]
    assert [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")] == []
    assert len(text) < 20_000
    assert re.search(r"/(home|root|Users|tmp|work)/", text) is None
    nbformat.validate(nbformat.reads(text, as_version=4))


@pytest.mark.parametrize("path", [*NOTEBOOKS, ROOT / "README.md", ROOT / "CONTRIBUTING.md"], ids=lambda path: path.name)
def test_what_a_page_links_to_is_there(path: Path):
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", path.read_text(encoding="utf-8"))
    assert [link for link in links if not (path.parent / link).exists()] == []

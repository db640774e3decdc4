"""The doctor: on this environment, and on installations that are broken as people's are."""

from __future__ import annotations

import json
import shutil
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from auditlab.cli import app
from auditlab.doctor import Check, State, doctor
from auditlab.doctor.front_ends import MANAGER, OURS, SIGNS, front_end, front_ends
from auditlab.doctor.kernels import kernels
from auditlab.doctor.packages import extras, packages

if TYPE_CHECKING:
    from collections.abc import Callable

EXTENSIONS = Path(sys.prefix) / "share" / "jupyter" / "labextensions"


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the tests run in, it is taken for a terminal."""
    for name in (*SIGNS, "AUDITLAB_STATIC"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Puts another Jupyter first on PATH: its own folders, with this environment's real extensions in them."""

    def make(**kernels: dict[str, Any]) -> Path:
        folders = {"data": [str(tmp_path / "share")], "config": [str(tmp_path / "etc")]}
        specs = {"kernelspecs": kernels}
        shutil.copytree(EXTENSIONS, tmp_path / "share" / "labextensions")
        (tmp_path / "bin").mkdir()
        (tmp_path / "etc" / "labconfig").mkdir(parents=True)
        program = tmp_path / "bin" / "jupyter"
        program.write_text(
            f"#!{sys.executable}\nimport sys\nprint({json.dumps(json.dumps(folders))} if '--paths' in sys.argv "
            f"else {json.dumps(json.dumps(specs))})\n",
            encoding="utf-8",
        )
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        (tmp_path / "bin" / "jupyter-lab").touch()
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))
        return tmp_path

    return make


def of(folder: Path, extension: str) -> Check:
    (found,) = (check for check in front_ends() if str(folder) in check.part and check.part.endswith(f": {extension}"))
    return found


def changed(folder: Path, extension: str, **values: str) -> None:
    """Give an extension's own description other values."""
    file = folder / "share" / "labextensions" / extension / "package.json"
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | values), encoding="utf-8")


def kernel(python: str) -> dict[str, Any]:
    return {"spec": {"language": "python", "argv": [python, "-m", "ipykernel_launcher"]}}


def test_in_this_environment_nothing_is_in_the_way():
    found = doctor()
    assert [check for check in found if check.state is State.PROBLEM] == []
    assert all(check.advice for check in found if check.state is State.NOTE)
    assert len({check.part for check in found}) == len(found)
    parts = " ".join(check.part for check in found)
    for part in ("Python", "packages", "time zones", "front end", MANAGER, OURS, "kernel", "PostgreSQL", "extra demo"):
        assert part in parts


def test_extensions_that_are_whole_are_fine(server):
    folder = server()
    assert of(folder, MANAGER).state is State.FINE
    assert of(folder, OURS).state is State.FINE


@pytest.mark.parametrize("extension", [MANAGER, OURS])
def test_a_server_without_an_extension_is_told_where_to_install_it(server, extension):
    folder = server()
    shutil.rmtree(folder / "share" / "labextensions" / extension)
    found = of(folder, extension)
    assert (found.state, "is missing" in found.found) == (State.PROBLEM, True)
    package = {MANAGER: "jupyterlab_widgets", OURS: "anywidget"}[extension]
    assert f"{folder / 'bin' / 'python'} -m pip install -U {package}, then restart" in found.advice


def test_an_extension_that_is_switched_off_is_found(server):
    folder = server()
    switch = folder / "etc" / "labconfig" / "page_config.json"
    switch.write_text(json.dumps({"disabledExtensions": {MANAGER: True, OURS: False}}), encoding="utf-8")
    assert of(folder, MANAGER) == Check(
        f"Jupyter in {folder / 'bin'}: {MANAGER}",
        State.PROBLEM,
        f"is switched off by {switch}",
        f"jupyter labextension enable {MANAGER}",
    )
    assert of(folder, OURS).state is State.FINE


def test_versions_that_do_not_fit_each_other_are_found(server):
    folder = server()
    changed(folder, MANAGER, version="3.1.0")
    changed(folder, OURS, version="0.2.1")
    assert "of ipywidgets 7" in of(folder, MANAGER).found
    assert "0.2.1, and this environment has anywidget" in of(folder, OURS).found
    assert of(folder, OURS).state is of(folder, MANAGER).state is State.PROBLEM


def test_a_jupyter_that_does_not_answer_and_one_without_a_lab_are_told(server):
    folder = server()
    (folder / "bin" / "jupyter-lab").unlink()
    (told,) = (check for check in front_ends() if str(folder) in check.part)
    assert "no JupyterLab" in told.found
    (folder / "bin" / "jupyter").write_text(f"#!{sys.executable}\nraise SystemExit(3)\n", encoding="utf-8")
    (told,) = (check for check in front_ends() if str(folder) in check.part)
    assert (told.state, told.found) == (State.PROBLEM, "does not answer")


def test_kernels_that_cannot_start_or_lack_auditlab_are_told(server, tmp_path: Path):
    bare = tmp_path / "bare-python"  # this Python without this environment's packages
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S -E "$@"\n', encoding="utf-8")
    bare.chmod(0o755)
    server(gone=kernel(str(tmp_path / "no" / "python")), bare=kernel(str(bare)), own=kernel(sys.executable))
    found = {check.part: check for check in kernels()}
    assert (found["kernel gone"].state, "does not run" in found["kernel gone"].found) == (State.PROBLEM, True)
    assert "ipykernel install" in found["kernel gone"].advice
    assert found["kernel bare"].state is State.NOTE
    assert f"{bare} -m pip install auditlab" in found["kernel bare"].advice
    assert found["kernel own"].state is State.FINE


def test_the_front_end_is_known_by_its_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    assert "a terminal" in front_end().found
    monkeypatch.setenv("VSCODE_PID", "1")
    assert "trust the workspace" in front_end().advice
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert (front_end().state, "ask the network" in front_end().found) == (State.PROBLEM, True)
    monkeypatch.setenv("COLAB_RELEASE_TAG", "1")
    assert "enable_custom_widget_manager" in front_end().advice
    monkeypatch.setenv("AUDITLAB_STATIC", "1")
    assert "unset AUDITLAB_STATIC" in front_end().advice


def test_a_package_that_is_missing_or_too_old_is_a_problem(monkeypatch: pytest.MonkeyPatch):
    wanted = ["no-such-package>=1", "polars>=99.1", 'no-such-extra>=2; extra == "charts"', 'pytest>=1; extra == "test"']
    monkeypatch.setattr(sys.modules["auditlab.doctor.packages"], "requires", lambda _: wanted)
    (_, found) = packages()
    assert found.state is State.PROBLEM
    assert "no-such-package is missing" in found.found
    assert "want 99.1" in found.found
    assert [(check.part, check.advice) for check in extras()] == [
        ("extra charts", "For Altair charts: pip install 'auditlab[charts]'")
    ]


def test_the_command_exits_with_1_where_something_is_in_the_way(monkeypatch: pytest.MonkeyPatch):
    fine = CliRunner().invoke(app, ["doctor"])
    assert (fine.exit_code, fine.stdout.splitlines()[-1]) == (0, "Nothing is in the way of the views.")
    monkeypatch.setenv("AUDITLAB_STATIC", "1")
    bad = CliRunner().invoke(app, ["doctor", "-f", "jsonl"])
    assert bad.exit_code == 1
    rows = [json.loads(line) for line in bad.stdout.splitlines()]
    assert {"part", "state", "found", "advice"} == set(rows[0])
    assert [row["part"] for row in rows if row["state"] == "problem"] == ["front end"]

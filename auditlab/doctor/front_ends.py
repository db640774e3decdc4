"""Where views are shown: the notebook around this process, and the Jupyter servers that would have to show widgets."""

from __future__ import annotations

import json
import os
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from auditlab.doctor.checks import Check, State, answer, numbers

__all__ = ["MANAGER", "OURS", "SIGNS", "front_end", "front_ends", "jupyters"]

MANAGER = "@jupyter-widgets/jupyterlab-manager"
"""The extension of JupyterLab that shows every widget; it comes with the package jupyterlab_widgets."""
OURS = "anywidget"
"""The extension that shows widgets of our kind."""

_LEAST_MANAGER = (5,)
SIGNS = {
    "COLAB_RELEASE_TAG": "Google Colab",
    "DATABRICKS_RUNTIME_VERSION": "Databricks",
    "KAGGLE_KERNEL_RUN_TYPE": "Kaggle",
    "VSCODE_PID": "VS Code",
    "VSCODE_CWD": "VS Code",
    "VSCODE_IPC_HOOK_CLI": "VS Code",
    "PYCHARM_HOSTED": "PyCharm",
    "JPY_SESSION_NAME": "a Jupyter notebook",
    "JPY_PARENT_PID": "a Jupyter server",
}
"""Environment variables by which a front end is known, the more telling first."""

_VSCODE = (
    "VS Code shows widgets itself, with the Jupyter extension: update it, trust the workspace, and choose as kernel "
    "the environment that auditlab is in."
)
_ADVICE = {
    "Google Colab": "Once in a notebook: from google.colab import output; output.enable_custom_widget_manager()",
    "PyCharm": "If a view stays empty, open the notebook in JupyterLab, or use view.to_html('view.html').",
    "Databricks": "If a view stays empty, use view.to_html() with displayHTML.",
    "Kaggle": "If a view stays empty, use view.to_html('view.html').",
}


def front_end() -> Check:
    """Where this process runs, as far as its environment tells."""
    if os.environ.get("AUDITLAB_STATIC", "") not in ("", "0"):
        advice = "Views are pictures and tables only: unset AUDITLAB_STATIC to get widgets."
        return Check("front end", State.PROBLEM, "AUDITLAB_STATIC is set", advice)
    name = next((told for sign, told in SIGNS.items() if os.environ.get(sign)), None)
    if name == "VS Code":
        return _vscode()
    if name is None:
        words = "none around this process: a terminal. In a notebook, !auditlab doctor tells of that one"
        return Check("front end", State.FINE, words)
    return Check("front end", State.NOTE if name in _ADVICE else State.FINE, name, _ADVICE.get(name, ""))


def _vscode() -> Check:
    """VS Code takes the scripts of widgets from the kernel's environment, else from the network."""
    script = Path(sys.prefix) / "share" / "jupyter" / "nbextensions" / OURS / "index.js"
    if script.exists():
        return Check("front end", State.NOTE, "VS Code", _VSCODE)
    words = f"VS Code; {script.parent} is missing, so it would ask the network for it"
    advice = f"pip install --force-reinstall anywidget. {_VSCODE}"
    return Check("front end", State.PROBLEM, words, advice)


def jupyters() -> list[Path]:
    """The ``jupyter`` programs: of this environment, and the first on PATH, which may be of another."""
    own = Path(sys.executable).parent / ("jupyter.exe" if os.name == "nt" else "jupyter")
    on_path = shutil.which("jupyter")
    found = [own] if own.exists() else []
    if on_path and Path(on_path).resolve() not in {path.resolve() for path in found}:
        found.append(Path(on_path))
    return found


def front_ends() -> list[Check]:
    """Each Jupyter server that is installed: whether it would show widgets, and ours."""
    found = [check for program in jupyters() for check in _server(program)]
    advice = (
        "VS Code, Colab and PyCharm need none. For one: pip install jupyterlab. "
        "Every view also writes a file that any browser opens: view.to_html('view.html')"
    )
    return found or [Check("Jupyter", State.NOTE, "no jupyter in this environment or on PATH", advice)]


def _server(program: Path) -> list[Check]:
    where = f"Jupyter in {program.parent}"
    told = answer([str(program), "--paths", "--json"])
    try:
        paths: dict[str, list[str]] = json.loads(told or "")
    except ValueError:
        return [Check(where, State.PROBLEM, "does not answer", f"Try it: {program} --paths")]
    front = next(
        (path for path in ("jupyter-lab", "jupyter-notebook", "voila") if (program.parent / path).exists()), None
    )
    if front is None:
        return [Check(where, State.NOTE, "no JupyterLab, Notebook or Voila there", "For one: pip install jupyterlab")]
    python = program.parent / ("python.exe" if os.name == "nt" else "python")
    return [
        _extension(where, paths, MANAGER, f"{python} -m pip install -U jupyterlab_widgets"),
        _extension(where, paths, OURS, f"{python} -m pip install -U anywidget"),
    ]


def _extension(where: str, paths: dict[str, list[str]], name: str, install: str) -> Check:
    """Whether a server has an extension, switched on, and of a version that fits."""
    part = f"{where}: {name}"
    places = [Path(folder) / "labextensions" / name / "package.json" for folder in paths.get("data", [])]
    file = next((place for place in places if place.exists()), None)
    if file is None:
        return Check(
            part, State.PROBLEM, "is missing: views show nothing, or only text", f"{install}, then restart the server"
        )
    found = str(_json(file).get("version", "unknown"))
    for folder in paths.get("config", []):
        switch = Path(folder) / "labconfig" / "page_config.json"
        disabled = _json(switch).get("disabledExtensions", {})
        off = disabled.get(name) if isinstance(disabled, dict) else name in disabled
        if off:
            return Check(part, State.PROBLEM, f"is switched off by {switch}", f"jupyter labextension enable {name}")
    if name == MANAGER and numbers(found) < _LEAST_MANAGER:
        return Check(part, State.PROBLEM, f"{found} is of ipywidgets 7", f"{install}, then restart the server")
    if name == OURS and (own := _version(OURS)) and numbers(own)[:2] != numbers(found)[:2]:
        words = f"{found}, and this environment has anywidget {own}: both sides must fit"
        return Check(part, State.PROBLEM, words, f"{install}=={own}, then restart the server")
    return Check(part, State.FINE, found)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _json(file: Path) -> dict[str, Any]:
    """What a file of settings says; nothing where it is not there or cannot be read."""
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}

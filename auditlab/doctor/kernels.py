"""The kernels that a Jupyter server offers, and whether auditlab is in the Python of each."""

from __future__ import annotations

import json
import os
import shutil
import sys
from typing import TYPE_CHECKING, Any

from auditlab.doctor.checks import Check, State, answer
from auditlab.doctor.front_ends import jupyters

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["kernels"]

_ASK = (
    "import importlib.metadata as m\n"
    "def v(n):\n"
    "    try: return m.version(n)\n"
    "    except m.PackageNotFoundError: return None\n"
    "print(*(v(n) for n in ('auditlab', 'anywidget', 'ipywidgets')))"
)
"""Asked of each kernel's Python; it is of any version, so the text is of the plainest Python."""


def kernels() -> list[Check]:
    """Each Python kernel of each Jupyter server: whether a notebook on it can import auditlab."""
    found: dict[str, Check] = {}
    for program in jupyters():
        told = answer([str(program), "kernelspec", "list", "--json"])
        try:
            specs: dict[str, Any] = json.loads(told or "")["kernelspecs"]
        except (ValueError, KeyError, TypeError):
            continue
        for name, spec in specs.items():
            argv = spec.get("spec", {}).get("argv") or [""]
            if spec.get("spec", {}).get("language") == "python":
                python = _python(argv[0], program)
                found.setdefault(f"{name} {python}", _kernel(name, python))
    return list(found.values())


def _python(named: str, program: Path) -> str:
    """The Python that a kernel starts: a bare ``python`` is the server's own."""
    if os.sep in named:
        return named
    own = program.parent / (f"{named}.exe" if os.name == "nt" else named)
    return str(own) if own.exists() else shutil.which(named) or named


def _kernel(name: str, python: str) -> Check:
    part = f"kernel {name}"
    told = answer([python, "-c", _ASK])
    if told is None:
        anew = f"{sys.executable} -m ipykernel install --user --name {name}"
        advice = f"Make it anew: {anew}; or remove it: jupyter kernelspec remove {name}"
        return Check(part, State.PROBLEM, f"{python} does not run", advice)
    auditlab, anywidget, ipywidgets = told.split()
    if auditlab == "None":
        advice = f"Notebooks on it cannot import auditlab: {python} -m pip install auditlab"
        return Check(part, State.NOTE, f"{python} has no auditlab", advice)
    if "None" in (anywidget, ipywidgets):
        return Check(part, State.PROBLEM, f"{python} lacks widgets", f"{python} -m pip install -U ipywidgets anywidget")
    return Check(part, State.FINE, f"{python} has auditlab {auditlab}, anywidget {anywidget}, ipywidgets {ipywidgets}")

"""A JupyterLab with real kernels: a notebook is opened in it, run, and asked what its kernel holds."""

from __future__ import annotations

import ast
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Self

import nbformat

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from playwright.sync_api import Page

__all__ = ["IDLE", "SESSION", "TOKEN", "Lab", "Notebook"]

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "of-the-tests"  # noqa: S105 - of a server that listens on this machine for the length of a test
START_SECONDS = 120.0
STOP_SECONDS = 30.0
EXPECT_SECONDS = 30.0

SESSION = "window.jupyterapp.shell.currentWidget?.context?.sessionContext"
IDLE = f"""() => {{
  const kernel = window.jupyterapp && {SESSION}?.session?.kernel;
  return kernel?.connectionStatus === "connected" && kernel.status === "idle";
}}"""
EVALUATE = f"""async (asked) => {{
  const kernel = {SESSION}.session.kernel;
  const future = kernel.requestExecute({{
    code: "import json as _json", silent: true, store_history: false, user_expressions: {{ found: asked }},
  }});
  const {{ content }} = await future.done;
  const found = content.user_expressions.found;
  if (found.status !== "ok") throw new Error(`${{found.ename}}: ${{found.evalue}}`);
  return found.data["text/plain"];
}}"""
FAILED = """() => window.jupyterapp.shell.currentWidget.content.model.sharedModel.cells.flatMap(
  (cell) => (cell.outputs ?? []).filter((output) => output.output_type === "error").map(
    (output) => `${output.ename}: ${output.evalue}`))"""


SETTINGS = {
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},
}
"""It asks for no news, and keeps cells that are out of sight."""


class Lab:
    """A JupyterLab server of this environment that keeps its settings and its notebooks in a folder, and asks nobody.

    Args:
        folder: Where it works; its notebooks lie there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said: list[str] = []
        self._port = _free_port()

    def __enter__(self) -> Self:
        own = {f"JUPYTER_{kind}_DIR": str(self.folder / ".jupyter" / kind) for kind in ("CONFIG", "DATA", "RUNTIME")}
        paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        options = {
            "ServerApp.ip": "127.0.0.1",
            "ServerApp.port": self._port,
            "ServerApp.port_retries": 0,
            "ServerApp.root_dir": self.folder,
            "ServerApp.open_browser": False,
            "ServerApp.allow_root": True,
            "IdentityProvider.token": TOKEN,
            "LabApp.expose_app_in_browser": True,
            "LabApp.news_url": None,
            "LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
            "LabApp.extension_manager": "readonly",
        }
        overrides = self.folder / ".jupyter" / "CONFIG" / "labconfig" / "default_setting_overrides.json"
        overrides.parent.mkdir(parents=True)
        overrides.write_text(json.dumps(SETTINGS), encoding="utf-8")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *(f"--{name}={value}" for name, value in options.items())],
            cwd=self.folder,
            env={**os.environ, **own, "IPYTHONDIR": str(self.folder / ".ipython"), "PYTHONPATH": paths},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        ready = Event()
        self._listener = Thread(target=self._listen, args=(ready,), daemon=True)
        self._listener.start()
        if not ready.wait(START_SECONDS) or self._process.poll() is not None:
            self.__exit__(None, None, None)
            raise AssertionError("JupyterLab did not start:\n" + "".join(self.said[-40:]))
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._listener.join()

    def _listen(self, ready: Event) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as lines:
            for line in lines:
                self.said.append(line)
                if "is running at:" in line:
                    ready.set()
        ready.set()

    def open(self, page: Page, name: str, cells: Sequence[str]) -> Notebook:
        """Write a notebook of these code cells, open it in a page, and wait until its kernel is idle."""
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(notebook, self.folder / f"{name}.ipynb")
        page.goto(f"http://127.0.0.1:{self._port}/doc/tree/{name}.ipynb?token={TOKEN}")
        page.wait_for_function(IDLE)
        return Notebook(page)


class Notebook:
    """A notebook that is open in a page."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def run(self) -> Self:
        """Run all cells; an error in one is an error here."""
        self.page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
        assert self.page.evaluate(FAILED) == []
        return self

    def theme(self, name: str) -> None:
        """Change JupyterLab's theme."""
        self.page.evaluate("(theme) => window.jupyterapp.commands.execute('apputils:change-theme', { theme })", name)
        self.page.wait_for_selector(f"body[data-jp-theme-name='{name}']", state="attached")

    def ask(self, expression: str) -> Any:  # noqa: ANN401 - whatever the kernel holds
        """The value of an expression in the kernel, by way of JSON; what it cannot say, it gives as text."""
        told = self.page.evaluate(EVALUATE, f"_json.dumps({expression}, default=str)")
        return json.loads(ast.literal_eval(told))

    def expect(self, expression: str, wanted: object) -> None:
        """Wait until an expression has this value in the kernel: a page tells it one thing after another."""
        deadline = time.monotonic() + EXPECT_SECONDS
        found = self.ask(expression)
        while found != wanted and time.monotonic() < deadline:
            found = self.ask(expression)
        assert found == wanted, expression


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port

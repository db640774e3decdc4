"""The folder that the demo leaves behind: a log, an archive, and a notebook that opens on both."""

from __future__ import annotations

import shutil
from importlib.resources import files
from pathlib import Path

from auditlab.errors import ArchiveExists, BadOption

__all__ = ["ARCHIVE", "LOG", "NOTEBOOK", "prepared", "write_notebook"]

LOG = "log.parquet"
ARCHIVE = "archive"
NOTEBOOK = "explore.ipynb"
MARKER = ".auditlab-demo"
"""The file by which the demo knows a folder of its own again."""


def prepared(folder: str | Path) -> Path:
    """The folder, empty of what an earlier demo left; nothing else in it is touched.

    Raises:
        ArchiveExists: the folder holds something, and no demo made it.
        BadOption: it cannot be made.
    """
    path = Path(folder)
    marker = path / MARKER
    if path.exists() and not path.is_dir():
        raise BadOption(f"{path} is a file. Name a folder: --folder FOLDER.")
    if path.exists() and not marker.exists() and any(path.iterdir()):
        raise ArchiveExists(f"{path} is not empty, and no demo made it. Name another folder: --folder FOLDER.")
    try:
        path.mkdir(parents=True, exist_ok=True)
        marker.write_text("Made by `auditlab demo`, which writes it anew each time.\n", encoding="utf-8")
        (path / LOG).unlink(missing_ok=True)
        (path / NOTEBOOK).unlink(missing_ok=True)
        if (path / ARCHIVE).is_dir():
            shutil.rmtree(path / ARCHIVE)
    except OSError as exc:
        raise BadOption(f"cannot write to {path}: {exc.strerror}. Name another folder: --folder FOLDER.") from exc
    return path


def write_notebook(folder: Path) -> Path:
    """Put the notebook into the folder; it reads the log and the archive that lie beside it."""
    target = folder / NOTEBOOK
    target.write_bytes((files("auditlab.demo") / NOTEBOOK).read_bytes())
    return target

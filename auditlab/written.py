"""A file that appears whole or not at all."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from auditlab.errors import BadOption

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["whole"]


@contextmanager
def whole(file: Path) -> Iterator[Path]:
    """A path to write to that becomes ``file`` only when all of it was written.

    A link leads on to its file, and one that is there keeps its permissions. What is no file (a pipe, ``/dev/stdout``)
    stays what it is, and is sent the whole.

    Raises:
        BadOption: it cannot be written there.
    """
    try:
        mode = _mode(file)
        passed_on = mode is not None and not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)
        target = Path(os.path.realpath(file))
        handle, name = tempfile.mkstemp(
            prefix=f".{file.name}.", suffix=".part", dir=None if passed_on else target.parent
        )
    except OSError as exc:
        raise BadOption(f"cannot write {file}: {exc.strerror}.") from exc
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        if passed_on:
            with temporary.open("rb") as source, file.open("wb") as sink:
                shutil.copyfileobj(source, sink)
        else:
            temporary.chmod(0o666 & ~_umask() if mode is None else stat.S_IMODE(mode))
            temporary.replace(target)
    except BrokenPipeError:
        raise
    except OSError as exc:
        raise BadOption(f"cannot write {file}: {exc.strerror}.") from exc
    finally:
        temporary.unlink(missing_ok=True)


def _mode(file: Path) -> int | None:
    """What a path names, and its permissions; None where nothing is there."""
    try:
        return file.stat().st_mode
    except FileNotFoundError:
        return None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask

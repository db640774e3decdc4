"""Which data files were proven: each is hashed once in a process, and again as soon as it is not the file that was."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["proven"]

YOUNG = 2_000_000_000
"""Nanoseconds: a file that changed so lately may change again within one tick of the clock, and is hashed each time."""

_Stamp = tuple[int, int, int, int, int]
_PROVEN: dict[Path, tuple[str, _Stamp]] = {}


def proven(path: Path, sha256: str, check: Callable[[], object], *, anew: bool = False) -> None:
    """Call ``check``, which hashes a file, unless the very same file passed it in this process.

    The same file: of the same size, times of change, inode and device. That the inode's own time of change is among
    these shows also a file whose times were put back.

    Args:
        path: The file.
        sha256: What it must hash to.
        check: Raises where it does not.
        anew: Whether to call it in any case.
    """
    before = _stamp(path)
    if not anew and before is not None and _PROVEN.get(path) == (sha256, before):
        return
    _PROVEN.pop(path, None)
    check()
    if before is not None and before == _stamp(path) and time.time_ns() - max(before[:2]) > YOUNG:
        _PROVEN[path] = sha256, before


def _stamp(path: Path) -> _Stamp | None:
    try:
        told = path.stat()
    except OSError:
        return None
    return told.st_mtime_ns, told.st_ctime_ns, told.st_size, told.st_ino, told.st_dev

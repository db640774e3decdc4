"""Private folders under the system's temporary one: gone with the process, and with the next where it was killed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path

__all__ = ["PrivateFolder"]

_PREFIX = "auditlab-"
_OWNER = ".owner"
"""A file that whoever uses the folder holds locked: the system lets go of it when that process is gone, however."""


class PrivateFolder:
    """A new folder that its owner alone can read; ``remove`` takes it away.

    Folders whose process was killed before it could are taken away first: those of this user with a file ``.owner``
    that nobody holds locked. What has none is not ours to judge, and stays.

    Raises:
        OSError: the temporary folder (``TMPDIR`` names it) cannot be used.
    """

    def __init__(self) -> None:
        base = Path(tempfile.gettempdir())
        for folder in base.glob(f"{_PREFIX}*"):
            _remove_if_left(folder)
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base))
        made = self.path / f"{_OWNER}.new"  # it gets its name when it is locked: until then nobody looks at it
        self._held = os.open(made, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._held, fcntl.LOCK_EX)
        made.rename(self.path / _OWNER)

    def remove(self) -> None:
        """Take the folder away with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        with contextlib.suppress(OSError):
            os.close(self._held)


def _remove_if_left(folder: Path) -> None:
    """Take away a folder that was left behind by a process that is gone."""
    try:
        if folder.is_symlink() or folder.lstat().st_uid != os.getuid():
            return
        held = os.open(folder / _OWNER, os.O_RDWR | os.O_NOFOLLOW)
    except OSError:
        return
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return  # its process is at work
    else:
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(held)

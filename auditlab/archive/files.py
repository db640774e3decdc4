"""Files that are whole or absent: written under a temporary name, forced to disk, read back, then renamed."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from auditlab.errors import ArchiveError, AuditlabError, BadOption

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

__all__ = [
    "TEMPORARY",
    "HashingFile",
    "at_hand",
    "digest",
    "in_folder",
    "is_safe_name",
    "is_url",
    "make_folder",
    "named",
    "opened",
    "reported",
    "settle",
    "sync_folder",
    "to_write",
]

TEMPORARY = ".unfinished-"
"""What the name of a file that is still being written begins with."""

_SAFE_NAME = re.compile(r"[A-Za-z0-9._-]+")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_BLOCK = 1 << 20

_ATTEMPTS = 10
"""How often a folder is made that others, which begin and give up at the same time, remove."""

_WORDS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file would exceed the size limit",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "not permitted",
    errno.ENOTDIR: "a part of the path is no folder",
}


def is_safe_name(name: object) -> bool:
    """Whether a name from a manifest may be opened: plain characters only, no path, no hidden or parent name.

    >>> [is_safe_name(name) for name in ("9f.parquet", "../x", "a/b", "..", "", ".x", 7)]
    [True, False, False, False, False, False, False]
    """
    return isinstance(name, str) and _SAFE_NAME.fullmatch(name) is not None and not name.startswith(".")


def is_url(place: str | Path) -> bool:
    """Whether a place is one in object storage.

    >>> is_url("s3://bucket/audit"), is_url("/var/lib/audit"), is_url("C:/audit")
    (True, False, False)
    """
    return isinstance(place, str) and _URL.match(place) is not None


def named(place: str | Path) -> str | Path:
    """A place that has a name; an empty one, which a variable that is not set leaves, is not the current folder.

    Raises:
        BadOption: it has none, or one that Parquet's libraries cannot open: its bytes are no UTF-8.
    """
    if isinstance(place, str) and not place.strip():
        raise BadOption(f"{place!r} is empty and names no folder. The current one is '.'.")
    try:
        str(place).encode()
    except UnicodeEncodeError as exc:
        raise BadOption(f"{str(place)!r} is no UTF-8: rename the folder, or set a UTF-8 locale.") from exc
    return place


def at_hand(place: str | Path, what: str) -> Path:
    """The folder of an archive that is read where it lies.

    Raises:
        BadOption: it is in object storage, where ``what`` cannot be done, or has no name.
    """
    if is_url(named(place)):
        raise BadOption(f"{what} takes an archive in a folder, not in object storage: {place}.")
    return Path(place)


def to_write(place: str | Path) -> Path:
    """The folder that an archive is written to.

    Raises:
        BadOption: it is in object storage, where two writers could not be kept from losing each other's work; or it
            has no name.
    """
    if is_url(named(place)):
        raise BadOption(
            "archives are written to folders, not to object storage: a put that fails where the object is there "
            "already cannot be had, so two writers could lose each other's work. Archive into a folder and copy it, "
            "the data files first, then the manifests; scan_archive and verify read it there."
        )
    return Path(place)


@contextmanager
def reported(folder: Path) -> Iterator[None]:
    """Turn what the file system refuses into ``ArchiveError``: what went wrong, where, and that nothing was kept."""
    try:
        yield
    except AuditlabError:
        raise
    except OSError as exc:
        words = _WORDS.get(exc.errno or 0, exc.strerror or str(exc))
        raise ArchiveError(f"cannot write the archive {folder}: {words}. Nothing was added to it.") from exc


def in_folder(folder: Path, act: Callable[[Path], T]) -> T:
    """Do something in a folder, which is made where it is not there.

    A writer that gives up removes the folders that it made where they are empty, and another may have begun in them:
    then they are made again.
    """
    for _ in range(_ATTEMPTS):
        with suppress(FileNotFoundError):
            make_folder(folder)
            return act(folder)
    make_folder(folder)
    return act(folder)


def make_folder(folder: Path) -> None:
    """Create a folder and its parents, each forced to disk."""
    if folder.is_dir():
        return
    if folder.parent != folder:
        make_folder(folder.parent)
    with suppress(FileExistsError):
        folder.mkdir()
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Force a folder's entries to disk."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def opened(path: Path) -> BinaryIO:
    """A file of an archive, open to be read: a file of its own, no link, and nothing that could be read for ever.

    Raises:
        OSError: it is not there, is none, or cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no file", str(path))
    return os.fdopen(descriptor, "rb")


def digest(path: Path) -> tuple[str, int]:
    """The SHA-256 (hexadecimal) of a file's bytes, and how many there are."""
    hashed, size = hashlib.sha256(), 0
    with opened(path) as file:
        while block := file.read(_BLOCK):
            hashed.update(block)
            size += len(block)
    return hashed.hexdigest(), size


class HashingFile:
    """A new file under a temporary name that knows the SHA-256 of what was written to it.

    Args:
        folder: Where; the final name will be in the same folder, so that renaming is atomic.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / f"{TEMPORARY}{secrets.token_hex(16)}"
        self._file: BinaryIO = in_folder(folder, lambda _: self.path.open("xb", buffering=_BLOCK))
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        """Append bytes."""
        view = memoryview(data)
        self._file.write(view)
        self._hash.update(view)
        self.size += view.nbytes
        return view.nbytes

    def tell(self) -> int:
        """How many bytes were written."""
        return self.size

    def flush(self) -> None:
        """Hand over to the operating system."""
        self._file.flush()

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        return self._file.closed

    def close(self) -> None:
        """Leave it open: ``finish`` or ``discard`` end it (a Parquet writer closes what it writes to)."""

    def finish(self) -> str:
        """Force the bytes to disk, read them back, and give their SHA-256.

        Raises:
            ArchiveError: the disk gives back other bytes than were written.
        """
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        wanted = self._hash.hexdigest()
        got, size = digest(self.path)
        if (got, size) != (wanted, self.size):
            raise ArchiveError(
                f"{self.path} reads back as other bytes than were written ({size} of {self.size} bytes, SHA-256 {got}, "
                f"want {wanted}). The disk is not to be trusted; nothing was added to the archive."
            )
        return wanted

    def discard(self) -> None:
        """Close and remove the unfinished file."""
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self.path.unlink(missing_ok=True)


def settle(temporary: Path, name: str) -> Path:
    """Give a finished file its name, in one step."""
    final = temporary.parent / name
    os.replace(temporary, final)  # noqa: PTH105 - the one atomic step, called by its name
    return final

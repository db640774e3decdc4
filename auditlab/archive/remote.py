"""An archive in object storage: its files are brought here one by one, and each is proven before it is used.

Object storage is read alone. Writing there would need a put that fails where the object is there already, which the
libraries beneath do not offer: two writers could publish the same manifest, and one of them would be lost.
"""

from __future__ import annotations

import atexit
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pyarrow import fs

from auditlab.archive import storage
from auditlab.archive.files import HashingFile, is_safe_name, is_url, make_folder, named, reported, settle
from auditlab.archive.manifest import DATA, MANIFESTS
from auditlab.connection import redact
from auditlab.errors import ArchiveCorrupt, ArchiveError, BadOption, NotAnArchive, StorageFailed
from auditlab.temporary import PrivateFolder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from auditlab.archive.manifest import Part

__all__ = ["Remote", "remote"]

_BLOCK = 4 << 20
_BEHIND = (
    "Where it was written or removed just now, the storage may be behind: ask again. Where that stays so, copy it "
    "there once more."
)


def remote(
    place: str | Path, *, storage_options: Mapping[str, Any] | None = None, cache: str | Path | None = None
) -> Remote | None:
    """The archive in object storage that a place names; None where it is a folder here.

    Raises:
        BadOption: as :class:`Remote`, or options of storage for a folder, or a folder without a name.
    """
    if is_url(named(place)):
        return Remote(str(place), storage_options=storage_options, cache=cache)
    if storage_options or cache:
        raise BadOption(f"storage_options and cache are for archives in object storage (s3://...), not for {place}.")
    return None


class Remote:
    """An archive in object storage, and the folder here that its files are brought to.

    Args:
        url: ``s3://bucket/path``.
        storage_options: How to reach it (``OPTIONS``); what is left out comes from the environment, as AWS's own
            programs take it.
        cache: A folder that keeps what was brought; None takes one that is removed when the program ends.

    Raises:
        BadOption: another kind of storage, an unknown option, credentials inside the URL.
    """

    def __init__(
        self, url: str, *, storage_options: Mapping[str, Any] | None = None, cache: str | Path | None = None
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme != "s3" or not parts.netloc:
            raise BadOption(f"archives are read from folders and from s3://bucket/path, not from {redact(url)}.")
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise BadOption("a URL of storage is s3://bucket/path and holds no credentials: give storage_options.")
        self.url = url.rstrip("/")
        self._root = f"{parts.netloc}{parts.path}".rstrip("/")
        self._options = storage.options(storage_options or {})
        self.folder = _cache(cache)
        self._storage: fs.FileSystem | None = None

    def __repr__(self) -> str:
        return f"Remote({self.url})"

    def bring_manifests(self) -> None:
        """Bring the manifests here, each that is not here as it is there.

        Raises:
            NotAnArchive: there is none.
            StorageFailed: the storage refuses, or cannot be reached.
        """
        with storage.told(self.url, self._options):
            place = f"{self._root}/{MANIFESTS}"
            try:
                there = self._opened().get_file_info(fs.FileSelector(place))
            except FileNotFoundError as exc:
                raise NotAnArchive(
                    f"{self.url} holds no archive. An archive has a folder '{MANIFESTS}' with its manifests."
                ) from exc
            found = {info.base_name: info for info in there if info.type == fs.FileType.File}
            here = self.folder / MANIFESTS
            make_folder(here)
            make_folder(self.folder / DATA)
            for path in here.iterdir():
                if path.name not in found:
                    path.unlink()
            for name, info in found.items():
                if is_safe_name(name) and not _is_same(here / name, info):
                    self._bring_manifest(here, name)
                    os.utime(here / name, ns=(info.mtime_ns or 0, info.mtime_ns or 0))

    def _bring_manifest(self, here: Path, name: str) -> None:
        try:
            self._bring(f"{MANIFESTS}/{name}", here, name)
        except FileNotFoundError as exc:
            raise StorageFailed(
                f"{self.url}/{MANIFESTS}/{name}: the storage lists it and does not have it. {_BEHIND}"
            ) from exc

    def bring(self, parts: Iterable[Part]) -> None:
        """Bring data files here that are not here yet; each is what its manifest says, or nothing of it is kept.

        Raises:
            ArchiveCorrupt: it is missing, short, or has other bytes.
            StorageFailed: the storage refuses, or cannot be reached.
        """
        for part in parts:
            if (self.folder / part.path).exists():
                continue  # and its bytes are held against the manifest once more before they are used
            with storage.told(self.url, self._options):
                try:
                    self._bring(part.path, (self.folder / part.path).parent, part.name, part)
                except FileNotFoundError as exc:
                    where = f"{self.url}/{part.path}"
                    raise ArchiveCorrupt(
                        f"{where}: is missing; the manifest lists it with {part.rows:,} rows. {_BEHIND}"
                    ) from exc

    @contextmanager
    def named(self) -> Iterator[None]:
        """Let errors name the storage, not the folder here that its files were brought to."""
        try:
            yield
        except ArchiveError as exc:
            raise type(exc)(self.told(str(exc))) from exc

    def told(self, text: str) -> str:
        """The text with the storage's names in place of the folder's."""
        return text.replace(str(self.folder), self.url)

    def forget(self, part: Part) -> None:
        """Remove a data file from here."""
        (self.folder / part.path).unlink(missing_ok=True)

    def _bring(self, path: str, folder: Path, name: str, part: Part | None = None) -> None:
        with self._opened().open_input_stream(f"{self._root}/{path}") as stream:
            file = HashingFile(folder)
            try:
                while block := stream.read(_BLOCK):
                    with reported(folder):
                        file.write(block)
                    if part is not None and file.size > part.bytes:
                        break
                with reported(folder):
                    sha256 = file.finish()
                if part is not None and (file.size, sha256) != (part.bytes, part.sha256):
                    raise ArchiveCorrupt(
                        f"{self.url}/{path}: SHA-256 differs (want {part.sha256} of {part.bytes} bytes, "
                        f"got {sha256} of {file.size}). None of its rows were read."
                    )
                with reported(folder):
                    settle(file.path, name)
            finally:
                file.discard()

    def _opened(self) -> fs.FileSystem:
        if self._storage is None:
            self._storage = storage.opened(self._options)
        return self._storage


def _cache(asked: str | Path | None) -> Path:
    if asked is not None:
        return Path(asked)
    made = PrivateFolder()
    atexit.register(made.remove)
    return made.path


def _is_same(path: Path, info: fs.FileInfo) -> bool:
    """Whether a manifest that was brought earlier is the one that is there: by its size and time of writing."""
    if not path.exists():
        return False
    here = path.stat()
    return here.st_size == info.size and here.st_mtime_ns == (info.mtime_ns or -1)

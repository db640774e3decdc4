"""The head of an archive: the number and the hash of its last manifest, to be kept where the archive is not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditlab.archive.manifest import manifest_path, read_chain
from auditlab.archive.remote import remote
from auditlab.errors import BadOption

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from auditlab.archive.manifest import Manifest

__all__ = ["Head", "chain_of", "head"]

_TEXT = re.compile(r"([1-9]\d{0,7}):([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Head:
    """The end of an archive's chain of manifests at a moment; it tells of every manifest before it too.

    Args:
        number: The number of the manifest.
        sha256: The SHA-256 of its bytes.
    """

    number: int
    sha256: str

    @classmethod
    def of(cls, told: str | Head) -> Head:
        """The head that a text tells, as ``str(head)`` and ``auditlab head`` do.

        >>> str(Head.of(f"3:{'9f' * 32}"))[:6]
        '3:9f9f'

        Raises:
            BadOption: it is no such text.
        """
        if isinstance(told, Head):
            return told
        found = _TEXT.fullmatch(told.strip())
        if found is None:
            raise BadOption(
                f"{told!r} is no head. A head is NUMBER:SHA256, as auditlab head FOLDER prints it, such as 3:9f86d0..."
            )
        return cls(int(found[1]), found[2])

    def __str__(self) -> str:
        return f"{self.number}:{self.sha256}"

    def problem(self, chain: Sequence[tuple[Manifest, str]], folder: Path) -> str:
        """Why a chain of manifests is not the one that this head was taken of, or that one grown; '' where it is."""
        if len(chain) < self.number:
            lost = self.number - len(chain)
            return (
                f"{folder}: ends with manifest {len(chain)}, the head {self} was taken of manifest {self.number}: "
                f"the last {lost} {'manifest was' if lost == 1 else 'manifests were'} dropped, with what they added"
            )
        got = chain[self.number - 1][1]
        if got != self.sha256:
            path = manifest_path(folder, self.number)
            return (
                f"{path}: is not the manifest that the head {self} was taken of (SHA-256 {got}): "
                "it, or one before it, was written anew"
            )
        return ""


def head(folder: str | Path, *, storage_options: Mapping[str, Any] | None = None) -> Head:
    """The head of an archive as it is now: keep it elsewhere, and ``verify(heads=...)`` proves that it only grew.

    The chain of manifests is proven on the way; the data files are not read.

    Args:
        folder: The archive, or where it is in object storage.
        storage_options: How to reach the storage.

    Raises:
        NotAnArchive: the folder holds no archive.
        ArchiveCorrupt: the chain of manifests is broken.
        ArchiveError: a newer auditlab wrote it, or it cannot be read.
        StorageFailed: the storage refuses, or cannot be reached.
    """
    chain = chain_of(folder, storage_options=storage_options)
    return Head(len(chain), chain[-1][1])


def chain_of(folder: str | Path, *, storage_options: Mapping[str, Any] | None = None) -> list[tuple[Manifest, str]]:
    """The manifests of an archive, in a folder or in object storage, each with its hash; raises as ``head`` does."""
    afar = remote(folder, storage_options=storage_options)
    if afar is None:
        return read_chain(Path(folder))
    with afar.named():
        afar.bring_manifests()
        return read_chain(afar.folder)

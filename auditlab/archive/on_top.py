"""Publish on top of what others add to an archive at the same time."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from auditlab.archive.files import reported, settle, sync_folder
from auditlab.archive.manifest import publish, read_chain
from auditlab.errors import ArchiveExists

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from auditlab.archive.manifest import Manifest, Signer
    from auditlab.archive.segment import Written

__all__ = ["publish_on_top"]


def publish_on_top(
    folder: Path,
    place: str,
    files: Sequence[Written],
    manifest: Callable[[list[tuple[Manifest, str]]], Manifest],
    *,
    sign: Signer | None,
) -> int:
    """Put finished files in their place, and make them visible; the number of the manifest.

    Args:
        folder: The archive.
        place: The folder in it that the files are in.
        files: The files, under temporary names.
        manifest: Gives the manifest to publish, of the chain as it is: again, where another published meanwhile.
        sign: What signs it, if anything.

    Raises:
        ArchiveError: the file system refuses.
    """
    with reported(folder):
        for written in files:
            settle(written.path, written.part.name)
        sync_folder(folder / place)
        while True:
            made = manifest(read_chain(folder))
            with suppress(ArchiveExists):  # another added to the archive: on top of that, then
                publish(folder, made, sign=sign)
                return made.number

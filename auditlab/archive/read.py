"""Read an archive: every file is proven to be what the manifest says before any of its rows is used."""

from __future__ import annotations

import errno
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from auditlab.archive.files import digest
from auditlab.archive.held import held_parts
from auditlab.archive.manifest import ROLES, Part, read_chain
from auditlab.archive.proof import proven
from auditlab.archive.remote import remote
from auditlab.archive.rows import frames, lazy_rows
from auditlab.errors import ArchiveCorrupt, UnknownEntityType
from auditlab.schema import CHANGES, LogFacts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from auditlab.archive.manifest import Manifest
    from auditlab.archive.remote import Remote

__all__ = ["Scanned", "check_part", "listed", "scan_archive"]


@dataclass(frozen=True, slots=True)
class Scanned:
    """An archive that was opened: its rows are read when they are asked for.

    Args:
        changes: One row a change, exactly the columns of ``schema.CHANGES``; in no promised order.
        facts: The log's facts as the manifest holds them.
        baseline: The states before the coverage begins, same columns; None where the log has no beginning.
        files: The data files behind ``changes``, for engines that read Parquet themselves.
        entity_types: All entity types of the archive, sorted.
        rows: How many changes and baseline rows there are, of the asked types.
        early: The data files behind ``baseline``.
        prove: Proves one of the files again, where it is not the file any more that was proven when it was scanned;
            also one of a checkpoint.
        folder: Where the files are.
        chain: The manifests.
        parts: The parts that the asked types are in, in their order.
    """

    changes: pl.LazyFrame
    facts: LogFacts
    baseline: pl.LazyFrame | None
    files: tuple[Path, ...]
    entity_types: tuple[str, ...]
    rows: int = 0
    early: tuple[Path, ...] = ()
    prove: Callable[[Path], None] = lambda _path: None
    folder: Path = Path()
    chain: tuple[tuple[Manifest, str], ...] = ()
    parts: tuple[Part, ...] = ()

    def batches(self, entity_types: tuple[str, ...]) -> Iterator[tuple[pl.DataFrame, bool]]:
        """The rows of some types as frames of the canonical columns, and of each whether it is of the baseline."""
        own = pl.col("entity_type").is_in(entity_types)
        for files, early in ((self.early, True), (self.files, False)):
            for path in files:
                self.prove(path)
                for frame in frames(path):
                    rows = frame.filter(own)
                    if len(rows):
                        yield rows, early

    def only(self, parts: Sequence[Part]) -> Scanned:
        """The same archive as if it had only these of its parts."""
        files = {role: tuple(self.folder / part.path for part in parts if part.role == role) for role in ROLES}
        rows = sum(part.rows for part in parts)
        return replace(self, files=files["changes"], early=files["baseline"], parts=tuple(parts), rows=rows)

    @property
    def ids(self) -> tuple[int, int] | None:
        """The least and the largest id that the whole archive holds; None of one without a change."""
        spans = [part.id for part in held_parts(self.chain) if part.id is not None]
        return (min(least for least, _ in spans), max(most for _, most in spans)) if spans else None

    def size(self) -> int:
        """About how many bytes the rows take in memory, from the first of some files."""
        files = [*self.early, *self.files]
        looked_at = files[:: max(1, len(files) // _LOOKED_AT)]
        for path in looked_at:
            self.prove(path)
        sample = [next(frames(path), None) for path in looked_at]
        known = [frame for frame in sample if frame is not None and len(frame)]
        rows = sum(len(frame) for frame in known)
        return int(sum(frame.estimated_size() for frame in known) / rows * self.rows) if rows else 0


def scan_archive(
    folder: str | Path,
    *,
    entity_types: str | Sequence[str] | None = None,
    storage_options: Mapping[str, Any] | None = None,
    cache: str | Path | None = None,
) -> Scanned:
    """The log in an archive, verified and read lazily; with ``entity_types``, only the files that hold those.

    Every file that will be read is hashed here, and compared with the manifest, before any row is used; not again in
    the same process as long as it is the same file. A file that was changed since is noticed at the question.

    Args:
        folder: The archive, or where it is in object storage: ``s3://bucket/path``.
        entity_types: One or several entity types; None for all.
        storage_options: How to reach the storage (``archive.storage.OPTIONS``).
        cache: Of an archive in storage, a folder that keeps the files that were brought.

    Raises:
        BadOption: a URL or an option of storage that is none.
        StorageFailed: the storage refuses, or cannot be reached.
        NotAnArchive: the folder holds no archive.
        ArchiveCorrupt: a file or manifest differs from what was written, is short or missing; nothing is read.
        ArchiveError: a newer auditlab wrote it, or it cannot be read.
        UnknownEntityType: the archive has no such entity type; the message names those it has.
    """
    afar = remote(folder, storage_options=storage_options, cache=cache)
    if afar is None:
        return _scanned(Path(folder), entity_types, None)
    with afar.named():
        return _scanned(afar.folder, entity_types, afar)


def _scanned(place: Path, entity_types: str | Sequence[str] | None, afar: Remote | None) -> Scanned:
    if afar is not None:
        afar.bring_manifests()
    chain = read_chain(place)
    parts = held_parts(chain)
    held = tuple(sorted({name for part in parts for name in part.entity_types}))
    wanted = _wanted(entity_types, held, place)
    parts = [part for part in parts if not wanted.isdisjoint(part.entity_types)]
    try:
        if afar is not None:
            afar.bring(parts)
        for part in parts:
            _prove(place, part)
    except ArchiveCorrupt:
        if afar is not None:
            afar.bring_manifests()
        if len(read_chain(place)) == len(chain):
            raise
        return _scanned(place, entity_types, afar)  # compacted meanwhile: its files are others now
    return _listed(place, chain, parts, None if entity_types is None else sorted(wanted), afar)


def listed(folder: Path, chain: Sequence[tuple[Manifest, str]]) -> Scanned:
    """The log in an archive with these manifests; a file is proven when rows of it are asked for, not before."""
    return _listed(folder, chain, held_parts(chain), None, None)


def _listed(
    place: Path,
    chain: Sequence[tuple[Manifest, str]],
    parts: Sequence[Part],
    only: list[str] | None,
    afar: Remote | None,
) -> Scanned:
    files = {role: tuple(place / part.path for part in parts if part.role == role) for role in ROLES}
    kept = [part for manifest, _ in chain if manifest.checkpoint for part in manifest.checkpoint.parts]
    listed = {place / part.path: part for part in [*kept, *parts]}

    def prove(path: Path) -> None:
        if afar is not None:
            afar.bring([listed[path]])
        _prove(place, listed[path])

    return Scanned(
        changes=_rows(files["changes"], only, prove),
        facts=chain[-1][0].facts,
        baseline=_rows(files["baseline"], only, prove) if files["baseline"] else None,
        files=files["changes"],
        entity_types=tuple(sorted({name for part in held_parts(chain) for name in part.entity_types})),
        rows=sum(part.rows for part in parts),
        early=files["baseline"],
        prove=prove,
        folder=place,
        chain=tuple(chain),
        parts=tuple(parts),
    )


_LOOKED_AT = 8
"""Files of which the width of rows is taken."""


def _prove(folder: Path, part: Part) -> None:
    """As ``check_part``, but for a file that passed it in this process and is still the same."""
    path = folder / part.path
    try:
        proven(path, part.sha256, lambda: check_part(folder, part))
    except ArchiveCorrupt as exc:
        if path.exists():
            raise
        raise ArchiveCorrupt(f"{exc} Where the archive was compacted since it was opened, open it again.") from exc


def check_part(folder: Path, part: Part) -> None:
    """Prove that a data file is the one that the manifest lists.

    Raises:
        ArchiveCorrupt: it is missing, short, or has other bytes.
    """
    path = folder / part.path
    try:
        got, size = digest(path)
    except FileNotFoundError as exc:
        raise ArchiveCorrupt(f"{path}: is missing; the manifest lists it with {part.rows:,} rows.") from exc
    except OSError as exc:
        words = "it is a link; an archive has files" if exc.errno == errno.ELOOP else exc.strerror or exc
        raise ArchiveCorrupt(f"{path}: cannot be read: {words}.") from exc
    if size != part.bytes:
        raise ArchiveCorrupt(f"{path}: has {size} bytes, want {part.bytes}. None of its rows were read.")
    if got != part.sha256:
        raise ArchiveCorrupt(f"{path}: SHA-256 differs (want {part.sha256}, got {got}). None of its rows were read.")


def _wanted(entity_types: str | Sequence[str] | None, held: tuple[str, ...], folder: Path) -> set[str]:
    if entity_types is None:
        return set(held)
    asked = [entity_types] if isinstance(entity_types, str) else list(entity_types)
    unknown = [name for name in asked if name not in held]
    if unknown:
        names, has = ", ".join(map(repr, unknown)), ", ".join(map(repr, held)) or "none"
        raise UnknownEntityType(f"no entity type {names} in the archive {folder}. It has {has}.")
    return set(asked)


def _rows(files: tuple[Path, ...], only: list[str] | None, prove: Callable[[Path], None]) -> pl.LazyFrame:
    if not files:
        return pl.LazyFrame(schema=CHANGES)
    rows = lazy_rows(files, prove)
    return rows if only is None else rows.filter(pl.col("entity_type").is_in(only))

"""Merge the small files of an archive into larger ones: the same rows, proven by the digests that they had before."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from auditlab.archive.digest import RowDigest, read_rows
from auditlab.archive.files import reported, sync_folder, to_write
from auditlab.archive.held import covered_names, held_parts, placed_segments
from auditlab.archive.manifest import DATA, Manifest, Segment, read_chain
from auditlab.archive.on_top import publish_on_top
from auditlab.archive.read import check_part
from auditlab.archive.seal import SigningKey
from auditlab.archive.segment import FILE, PartFile, Written
from auditlab.errors import ArchiveCorrupt, ArchiveExists, BadOption

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from auditlab.archive.manifest import Part

__all__ = ["Compaction", "compact"]

SMALL = 64 << 20
"""Bytes below which a file is merged with its neighbours."""

GRACE = 3600.0
"""Seconds for which replaced files stay by default, for those who opened the archive before."""

_MERGED = frozenset({"changes", "baseline"})

Chain = list[tuple[Manifest, str]]
Place = tuple[int, int]


@dataclass(frozen=True, slots=True, repr=False)
class Compaction:
    """What was merged, and what was removed.

    Args:
        folder: The archive.
        number: The manifest that was published; None where there was nothing to merge.
        files_before: How many data files the archive had.
        files: How many it has.
        rows: How many changes were written anew.
        removed: How many replaced files were removed.
        waiting: How many replaced files stay for those who may be reading them.
    """

    folder: Path
    number: int | None
    files_before: int
    files: int
    rows: int
    removed: int
    waiting: int

    def __str__(self) -> str:
        if self.number is None:
            text = f"nothing to merge in {self.folder} ({self.files:,} data files)"
        else:
            text = f"{self.folder}: {self.files_before:,} data files became {self.files:,} ({self.rows:,} rows)"
        if self.removed:
            text += f"; {self.removed:,} replaced files removed"
        if self.waiting:
            text += f"; {self.waiting:,} replaced files stay for those who may be reading them"
        return text

    __repr__ = __str__

    def as_dict(self) -> dict[str, Any]:
        """The result as plain values, for JSON."""
        return {
            "folder": str(self.folder),
            "manifest": self.number,
            "files_before": self.files_before,
            "files": self.files,
            "rows": self.rows,
            "removed": self.removed,
            "waiting": self.waiting,
        }


def compact(
    folder: str | Path, *, sign: str | Path | None = None, keep: bool = False, grace: float = GRACE
) -> Compaction:
    """Merge an archive's small data files into larger ones; returns what was merged.

    A new manifest lists the larger files and names the segments that they take the place of; nothing that was written
    before is changed, so that a head that was kept stays good. Each source is proven by its SHA-256 and the digest of
    its rows before it is merged, and its rows keep their place in the larger file, where ``verify`` proves them by the
    digest that their own manifest has: whoever altered a row on the way would be found.

    Replaced files are removed only after the new manifest is on disk, and after ``grace``: whoever opened the archive
    before goes on reading. A kill at any step leaves the archive as it was, or compacted. Others may archive into it
    at the same time.

    Args:
        folder: The archive.
        sign: The file of a private key; a signed archive needs one.
        keep: Whether replaced files stay for good.
        grace: Seconds for which they stay; a later call removes them. 0 removes them now.

    Raises:
        NotAnArchive: the folder holds no archive.
        ArchiveCorrupt: a file is not what its manifest says; nothing was merged.
        BadOption: the archive is signed, and there is no key.
        ArchiveError: the file system refuses; the archive is as it was.
    """
    place, key = to_write(folder), None if sign is None else SigningKey(sign)
    if grace < 0:
        raise BadOption(f"a grace is a number of seconds from 0, got {grace}.")
    while True:
        chain = read_chain(place)
        before = len(_names(held_parts(chain)))
        plan = _plan(chain)
        if plan is None:
            done, rows, number = chain, 0, None
            break
        if chain[-1][0].signature is not None and key is None:
            raise BadOption(f"{place} is signed, so what is added to it must be. Give the key (--sign KEY).")
        with _Merger(place) as merger:
            try:
                merger.publish(plan, merger.merged(plan), key)
            except ArchiveCorrupt:
                if len(read_chain(place)) == len(chain):
                    raise
            except ArchiveExists:
                pass  # another compaction was first, and took away what was being read: what is left to merge is new
            else:
                done, rows, number = read_chain(place), merger.rows, merger.number
                break
    removed, waiting = (0, 0) if keep else _remove(place, done, timedelta(seconds=grace))
    return Compaction(
        folder=place,
        number=number,
        files_before=before,
        files=len(_names(held_parts(done))),
        rows=rows,
        removed=removed,
        waiting=waiting,
    )


@dataclass(frozen=True, slots=True)
class _Plan:
    """Segments side by side, and their parts: those to merge in groups, the others alone."""

    places: tuple[Place, ...]
    segments: tuple[Segment, ...]
    groups: tuple[tuple[Part, ...], ...]


def _plan(chain: Chain) -> _Plan | None:
    """What to merge: small parts of one type and role that follow each other, up to the size of a file."""
    held = placed_segments(chain)
    groups: list[list[Part]] = []
    open_groups: dict[tuple[str, tuple[str, ...], int], list[Part]] = {}
    where: dict[int, list[int]] = {}  # of each group, the segments that it takes parts from
    covered = [covered_names(chain, manifest.checkpoint) for manifest, _ in chain if manifest.checkpoint]
    for index, segment in enumerate(held.values()):
        for part in segment.parts:
            own = {source.name for source in part.written_as}
            side = sum(own <= names for names in covered)  # what a checkpoint stands for stays apart from what came on
            key = (part.role, part.entity_types, side)
            group = open_groups.get(key)
            small = part.bytes < SMALL and part.digest is not None and part.role in _MERGED
            if group is None or not small or sum(one.bytes for one in group) + part.bytes > FILE:
                group = []
                groups.append(group)
            group.append(part)
            where.setdefault(id(group), []).append(index)
            if small:
                open_groups[key] = group
            else:
                open_groups.pop(key, None)
    touched = [index for group in groups if len(group) > 1 for index in where[id(group)]]
    if not touched:
        return None
    inside = range(min(touched), max(touched) + 1)
    places, segments = list(held), list(held.values())
    return _Plan(
        places=tuple(places[inside.start : inside.stop]),
        segments=tuple(segments[inside.start : inside.stop]),
        groups=tuple(tuple(group) for group in groups if where[id(group)][0] in inside),
    )


class _Merger:
    """Writes what a plan says, and removes it again unless it was published."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._done: list[Written] = []
        self._open: PartFile | None = None
        self.rows = 0
        self.number = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._open is not None:
            self._open.discard()
        for written in self._done:
            written.path.unlink(missing_ok=True)

    def merged(self, plan: _Plan) -> Segment:
        """One segment with the rows of all of them, its new files finished, under temporary names."""
        parts: list[Part] = []
        with reported(self._folder):
            for group in plan.groups:
                parts += group if len(group) == 1 else self._merge(group)
        firsts = [segment.first for segment in plan.segments if segment.first is not None]
        lasts = [segment.last for segment in plan.segments if segment.last is not None]
        return Segment(
            first=min(firsts, default=None),
            last=max(lasts, default=None),
            rows=sum(segment.rows for segment in plan.segments),
            parts=tuple(parts),
        )

    def publish(self, plan: _Plan, segment: Segment, key: SigningKey | None) -> None:
        """Make it visible, on top of what others added meanwhile.

        Raises:
            ArchiveExists: another compaction took segments of the plan.
        """

        def manifest(chain: Chain) -> Manifest:
            newest, sha256 = chain[-1]
            made = Manifest(
                number=len(chain) + 1,
                previous=sha256,
                ranges=newest.ranges,
                written_at=datetime.now(UTC).isoformat(),
                facts=newest.facts,
                segments=(segment,),
                cursor=newest.cursor,
                replaces=plan.places,
            )
            try:
                placed_segments([*chain, (made, "")])
            except ArchiveCorrupt as exc:
                raise ArchiveExists(f"{self._folder} was compacted by another at the same time.") from exc
            return made

        self.number = publish_on_top(self._folder, DATA, self._done, manifest, sign=key)
        self._done = []

    def _merge(self, group: Sequence[Part]) -> list[Part]:
        """The rows of a group in as few files as hold them, the sources one after the other."""
        parts: list[Part] = []
        sources: list[Part] = []
        into = self._begin(group[0])
        for source in group:
            if into.full:
                parts.append(self._finish(into, sources))
                into, sources = self._begin(source), []
            self._take(source, into)
            sources.append(source)
        return [*parts, self._finish(into, sources)]

    def _begin(self, like: Part) -> PartFile:
        self._open = PartFile(self._folder / DATA, entity_type=like.entity_types[0], role=like.role)
        return self._open

    def _take(self, source: Part, into: PartFile) -> None:
        path = self._folder / DATA / source.name
        check_part(self._folder, source)
        digest = RowDigest()
        for batch in read_rows(path):
            digest.update(batch)
            into.add(batch)
        if digest.hexdigest() != source.digest:
            raise ArchiveCorrupt(f"{path}: gives back other rows than were recorded. Nothing was merged.")
        self.rows += source.rows

    def _finish(self, file: PartFile, sources: Sequence[Part]) -> Part:
        written = file.finish()
        self._open = None
        part = replace(written.part, sources=tuple(one for source in sources for one in source.written_as))
        self._done.append(replace(written, part=part))
        return part


def _remove(folder: Path, chain: Chain, grace: timedelta) -> tuple[int, int]:
    """Remove the files that were replaced longer ago than that; how many were, and how many still wait."""
    held = _names(held_parts(chain))
    since = datetime.now(UTC) - grace
    old: set[str] = set()
    for place, (manifest, _) in enumerate(chain):
        if manifest.replaces and datetime.fromisoformat(manifest.written_at) <= since:
            listed = {part.name for one, _ in chain[: place + 1] for segment in one.segments for part in segment.parts}
            old = listed - _names(held_parts(chain[: place + 1])) - held
    listed = {part.name for one, _ in chain for segment in one.segments for part in segment.parts}
    waiting = [name for name in listed - held - old if (folder / DATA / name).exists()]
    removed = 0
    with reported(folder):
        for name in sorted(old):
            with suppress(FileNotFoundError):
                (folder / DATA / name).unlink()
                removed += 1
        if removed:
            sync_folder(folder / DATA)
    return removed, len(waiting)


def _names(parts: Sequence[Part]) -> set[str]:
    return {part.name for part in parts}

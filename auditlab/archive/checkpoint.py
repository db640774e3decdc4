"""Checkpoints of an archive: what its log leaves at a position, so that questions about later times begin there."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import polars as pl

from auditlab.archive.files import reported, to_write
from auditlab.archive.held import covered_names
from auditlab.archive.kept import KEPT, kept_in
from auditlab.archive.manifest import CHECKPOINT, CHECKPOINTS, FORMAT, Checkpoint, Manifest, read_chain
from auditlab.archive.on_top import publish_on_top
from auditlab.archive.point import Point, points
from auditlab.archive.read import listed
from auditlab.archive.row_digests import DIGESTS, recorded_digests
from auditlab.archive.rows import frames
from auditlab.archive.seal import SigningKey
from auditlab.archive.segment import PartFile, Written
from auditlab.buckets.bucketed import Rows
from auditlab.buckets.checkpoint import Kept, Untold, keep
from auditlab.buckets.renewal import goes_on, renewed
from auditlab.buckets.room import LEAST, memory_bytes
from auditlab.errors import BadOption, LogTooLarge, MalformedChange
from auditlab.load.estimate import available_memory
from auditlab.load.source import batches
from auditlab.schema import CHANGES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from auditlab.archive.manifest import Part
    from auditlab.archive.read import Scanned
    from auditlab.archive.write import ArchiveSummary

__all__ = ["AFTER", "Checkpointed", "checkpoint", "problem", "with_checkpoint"]

AFTER = 100_000
"""Rows of an entity type that come at the least before an export writes a checkpoint of it by itself: of fewer, a
question reads all in a moment."""
BESIDE = 1_000_000_000
"""Bytes that such a checkpoint takes at the most, where half of what is free is more."""


@dataclass(frozen=True, slots=True, repr=False)
class Checkpointed:
    """What a checkpoint keeps.

    Args:
        folder: The archive.
        number: The manifest that was published; None where nothing was.
        changes: How many changes and baseline rows it stands for, of the types that it has.
        rows: How many rows it has, by entity type.
        bytes: Its size.
        left_out: Why it has nothing of other entity types, by type.
        since: How many rows came since the last checkpoint.
    """

    folder: Path
    number: int | None
    changes: int
    rows: dict[str, int]
    bytes: int
    left_out: dict[str, str]
    since: int

    def __str__(self) -> str:
        if self.number is None:
            text = f"no checkpoint written in {self.folder}: {self.since:,} rows since the last one"
        else:
            kept = sum(self.rows.values())
            text = f"{self.folder}: {kept:,} rows stand for {self.changes:,} changes ({self.bytes / 1e6:,.1f} MB)"
        return "\n".join([text, *(f"nothing of {name}: {why}" for name, why in self.left_out.items())])

    __repr__ = __str__

    def as_dict(self) -> dict[str, Any]:
        """The result as plain values, for JSON."""
        return {
            "folder": str(self.folder),
            "manifest": self.number,
            "changes": self.changes,
            "rows": self.rows,
            "bytes": self.bytes,
            "left_out": self.left_out,
            "since": self.since,
        }


def checkpoint(
    folder: str | Path,
    *,
    sign: str | Path | None = None,
    memory: str | int | None = None,
    due: bool = False,
    after: int = 0,
) -> Checkpointed:
    """Write a checkpoint of an archive as it is now; returns what it keeps.

    For each entity type: the last change of each row that is live, the whole history of those few that have no plain
    one, and what the whole log tells beside. ``scan_archive`` then answers as of times after it, and questions about
    one entity, from that and from what came since; the answers are the same. A checkpoint is no part of the log: it is
    worked out from the archive's rows, and ``verify`` works it out again. A kill at any step leaves the archive as it
    was, or with the checkpoint, and others may archive into it at the same time.

    It goes on from the newest checkpoint there is and reads what came since, where that fits in memory and leaves what
    was kept true; else it reads the whole log of a type. What it writes is the same. The file of a type that has
    nothing new is taken over as it is.

    A type whose log leaves something open (malformed rows, missing images, keys changed in a way that it does not tell
    for certain) has nothing in it, and is answered as before.

    Args:
        folder: The archive.
        sign: The file of a private key; a signed archive needs one.
        memory: How much may be taken: bytes, or e.g. ``"1GB"``; half of what is free if None.
        due: Whether to write only of those types of which more rows came since the last checkpoint than that has of
            them, or stands for where it left them out.
        after: With ``due``, the rows of a type that must have come, at the least.

    Raises:
        NotAnArchive: the folder holds no archive.
        ArchiveCorrupt: a file that had to be read is not what its manifest says; nothing was written.
        BadOption: the archive is signed, and there is no key; or ``memory`` is no size, or ``folder`` has no name.
        ArchiveError: the file system refuses; the archive is as it was.
    """
    place, key = to_write(folder), None if sign is None else SigningKey(sign)
    room = memory_bytes(memory, free=available_memory())
    chain = read_chain(place)
    if chain[-1][0].signature is not None and key is None:
        raise BadOption(f"{place} is signed, so what is added to it must be. Give the key (--sign KEY).")
    scanned = listed(place, chain)
    last = next((manifest.checkpoint for manifest, _ in reversed(chain) if manifest.checkpoint), None)
    since, found = _rows_since(scanned, last), points(scanned)
    tails = {name: _tail(scanned, name, found, last) for name in scanned.entity_types}
    asked = {name: tail for name, tail in tails.items() if not due or tail.since >= max(tail.state + 1, after)}
    if not since or not asked:
        return Checkpointed(place, None, 0, {}, 0, {}, since)
    with _Writer(place) as writer:
        with reported(place):
            left_out = {name: why for name, tail in asked.items() if (why := writer.write(scanned, name, tail, room))}
        if not writer.done:
            return Checkpointed(place, None, 0, {}, 0, left_out, since)
        number = writer.publish(len(chain), key)
        parts = writer.parts
    names = {part.entity_types[0] for part in parts}
    return Checkpointed(
        folder=place,
        number=number,
        changes=sum(part.rows for part in scanned.parts if part.entity_types[0] in names),
        rows={part.entity_types[0]: part.rows for part in parts},
        bytes=sum(part.bytes for part in parts),
        left_out=left_out,
        since=since,
    )


def with_checkpoint(added: ArchiveSummary, *, sign: str | Path | None, after: int | None) -> ArchiveSummary:
    """What was added to an archive, and the checkpoint behind it, where one is due.

    Whatever keeps it from being written is told, and no error: what was added is in the archive.

    Args:
        added: What was added.
        sign: As in :func:`checkpoint`.
        after: As in :func:`checkpoint`; None or 0 writes none.
    """
    if not after or not added.rows:
        return added
    try:
        memory = min(BESIDE, memory_bytes(None, free=available_memory()))
        written = checkpoint(added.folder, sign=sign, memory=memory, due=True, after=after)
    except Exception as exc:  # noqa: BLE001 - be it the disk, the memory or a fault of ours: the changes are kept
        return replace(added, no_checkpoint=str(exc) or type(exc).__name__)
    return added if written.number is None else replace(added, checkpoint=written)


def problem(scanned: Scanned, point: Checkpoint, part: Part) -> str:
    """What is wrong with a part of a checkpoint, worked out again from the rows before it; '' where nothing is.

    Nothing is said where a file has rows of both sides, as a compaction at the same time may leave it: such a
    checkpoint is not used.

    Raises:
        ArchiveCorrupt: the part's file is not what the manifest says.
        LogTooLarge: it takes more memory than there is.
    """
    path, name = scanned.folder / part.path, part.entity_types[0]
    covered = covered_names(scanned.chain, point)
    sources = [(one, {source.name for source in one.written_as}) for one in scanned.parts]
    if any(not names <= covered and names & covered for _, names in sources):
        return ""
    own = [one for one, names in sources if names <= covered]
    facts = scanned.chain[point.covers - 1][0].facts
    want, got = [pl.DataFrame(schema=DIGESTS)], [pl.DataFrame(schema=DIGESTS)]
    try:
        kept = _worked_out(
            replace(scanned.only(own), facts=facts),
            name,
            room=memory_bytes(None, free=available_memory()),
            take=lambda rows: want.append(recorded_digests(rows, tuple(CHANGES))),
        )
    except Untold as exc:
        return f"{path}: is a checkpoint of what none can be made of: {exc}"
    scanned.prove(path)
    got += [recorded_digests(rows, tuple(CHANGES)) for rows in frames(path)]
    keys = list(DIGESTS)
    if not pl.concat(want).sort(keys).equals(pl.concat(got).sort(keys)):
        return f"{path}: is a checkpoint with other rows than those that decide the states from there on"
    if not kept.tells_as(kept_in(path), facts):
        return f"{path}: is a checkpoint that tells of {name} what the rows before it do not"
    return ""


def _worked_out(scanned: Scanned, entity_type: str, *, room: int, take: Callable[[pl.DataFrame], None]) -> Kept:
    """What a checkpoint keeps of one entity type; ``take`` gets the rows."""
    own = scanned.only([part for part in scanned.parts if entity_type in part.entity_types])
    rows = Rows(own.batches, own.rows, own.size())
    return keep(rows, scanned.facts, entity_type, room=room, take=take)


class _Tail(NamedTuple):
    """What came of one entity type since the newest checkpoint that has it, or that left it out.

    Args:
        point: The checkpoint that has it; None where none does.
        state: How many rows of it that has, or stands for where it left it out.
        since: How many came since.
    """

    point: Point | None
    state: int
    since: int


def _tail(scanned: Scanned, entity_type: str, found: list[Point], last: Checkpoint | None) -> _Tail:
    point = next((one for one in found if entity_type in one.parts), None)
    if point is not None:
        return _Tail(point, point.parts[entity_type].rows, point.since(entity_type))
    own = scanned.only([part for part in scanned.parts if entity_type in part.entity_types])
    since = _rows_since(own, last)
    return _Tail(None, own.rows - since, since)


def _renewed(
    scanned: Scanned, entity_type: str, tail: _Tail, *, room: int, take: Callable[[pl.DataFrame], None]
) -> Kept:
    """What a checkpoint keeps of one entity type, from an earlier one where that can be; ``take`` gets the rows."""
    if tail.point is not None and (tail.state + tail.since) * LEAST <= room:
        with suppress(Untold):
            return renewed(tail.point.near(entity_type, scanned.facts), tail.point.rows_of, take=take)
    return _worked_out(scanned, entity_type, room=room, take=take)


def _rows_since(scanned: Scanned, last: Checkpoint | None) -> int:
    covered: set[str] = set()
    if last is not None:
        covered = covered_names(scanned.chain, last)
    return sum(source.rows for part in scanned.parts for source in part.written_as if source.name not in covered)


class _Writer:
    """Writes the parts of a checkpoint, and removes them again unless it was published."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: PartFile | None = None
        self.done: list[Written] = []
        self.parts: list[Part] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._open is not None:
            self._open.discard()
        for written in self.done:
            written.path.unlink(missing_ok=True)

    def write(self, scanned: Scanned, entity_type: str, tail: _Tail, room: int) -> str:
        """Write what is kept of one entity type; why nothing is, or ''."""
        if tail.point is not None and not tail.since and not goes_on(tail.point.near(entity_type, scanned.facts)):
            self.parts.append(tail.point.parts[entity_type])
            return ""
        self._open = into = PartFile(self._folder / CHECKPOINTS, entity_type=entity_type, role=CHECKPOINT)

        def take(rows: pl.DataFrame) -> None:
            for batch in batches(rows):
                into.add(batch)

        try:
            kept = _renewed(scanned, entity_type, tail, room=room, take=take)
            into.beside[KEPT] = kept.render()
        except (Untold, LogTooLarge, MalformedChange) as exc:
            self._open.discard()
            self._open = None
            return str(exc)
        self.done.append(self._open.finish())
        self.parts.append(self.done[-1].part)
        self._open = None
        return ""

    def publish(self, covers: int, key: SigningKey | None) -> int:
        """Make it visible, on top of what others added meanwhile; the number of its manifest."""

        def manifest(chain: list[tuple[Manifest, str]]) -> Manifest:
            newest, sha256 = chain[-1]
            return Manifest(
                number=len(chain) + 1,
                previous=sha256,
                ranges=newest.ranges,
                written_at=datetime.now(UTC).isoformat(),
                facts=newest.facts,
                cursor=newest.cursor,
                checkpoint=Checkpoint(covers, tuple(self.parts)),
                format=FORMAT,
            )

        number = publish_on_top(self._folder, CHECKPOINTS, self.done, manifest, sign=key)
        self.done = []
        return number

"""What an archive holds: the segments of its chain that no later manifest has taken the place of."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from auditlab.errors import ArchiveCorrupt

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from auditlab.archive.manifest import Checkpoint, Manifest, Part, Segment

__all__ = ["covered_names", "held_parts", "held_rows", "held_segments", "placed_segments"]

Place = tuple[int, int]


def placed_segments(chain: Sequence[tuple[Manifest, str]]) -> dict[Place, Segment]:
    """The segments that an archive holds, in their order, each by its place: the number of its manifest, and which.

    Raises:
        ArchiveCorrupt: a manifest replaces what is not there, or by other rows.
    """
    held: dict[Place, Segment] = {}
    for manifest, _ in chain:
        new = {(manifest.number, place): segment for place, segment in enumerate(manifest.segments)}
        if not manifest.replaces:
            held |= new
            continue
        order = list(held)
        begin = order.index(manifest.replaces[0]) if manifest.replaces[0] in held else -1
        if begin < 0 or tuple(order[begin : begin + len(manifest.replaces)]) != manifest.replaces:
            raise ArchiveCorrupt(
                f"manifest {manifest.number} replaces segments that the archive does not hold side by side: "
                f"{manifest.replaces}. Nothing was read."
            )
        _must_be_the_same(manifest, [held[place] for place in manifest.replaces])
        after = order[begin + len(manifest.replaces) :]
        held = {place: held[place] for place in order[:begin]} | new | {place: held[place] for place in after}
    return held


def held_segments(chain: Sequence[tuple[Manifest, str]]) -> list[Segment]:
    """The segments that an archive holds, in their order.

    Raises:
        ArchiveCorrupt: a manifest replaces what is not there, or by other rows.
    """
    return list(placed_segments(chain).values())


def held_parts(chain: Sequence[tuple[Manifest, str]]) -> list[Part]:
    """The data files that an archive holds, in their order.

    Raises:
        ArchiveCorrupt: a manifest replaces what is not there, or by other rows.
    """
    return [part for segment in held_segments(chain) for part in segment.parts]


def held_rows(chain: Sequence[tuple[Manifest, str]]) -> int:
    """How many changes an archive with these manifests holds."""
    return sum(segment.rows for segment in held_segments(chain))


def covered_names(chain: Sequence[tuple[Manifest, str]], checkpoint: Checkpoint) -> set[str]:
    """The parts, as they were first written, whose rows a checkpoint stands for."""
    return {source.name for part in held_parts(chain[: checkpoint.covers]) for source in part.written_as}


def _must_be_the_same(manifest: Manifest, old: list[Segment]) -> None:
    """New segments hold the parts of the old ones, or name exactly them as their sources, and count their rows."""
    there = {part for segment in old for part in segment.parts}
    names = {part.name for part in there}
    for part in (part for segment in manifest.segments for part in segment.parts):
        if part not in there and (part.name in names or not part.sources):
            raise ArchiveCorrupt(f"manifest {manifest.number} lists {part.name} as another file than it was.")
    if _sources(manifest.segments) != _sources(old):
        raise ArchiveCorrupt(f"manifest {manifest.number} replaces segments by parts of other rows. Nothing was read.")
    if sum(segment.rows for segment in manifest.segments) != sum(segment.rows for segment in old):
        raise ArchiveCorrupt(f"manifest {manifest.number} replaces segments by another number of rows.")
    if _ends(manifest.segments) != _ends(old):
        raise ArchiveCorrupt(f"manifest {manifest.number} replaces segments by another range.")


def _ends(segments: Iterable[Segment]) -> tuple[int | None, int | None]:
    firsts = [segment.first for segment in segments if segment.first is not None]
    lasts = [segment.last for segment in segments if segment.last is not None]
    return min(firsts, default=None), max(lasts, default=None)


def _sources(segments: Iterable[Segment]) -> Counter[tuple[str, tuple[str, ...], str, int]]:
    return Counter(
        (part.role, part.entity_types, source.name, source.rows)
        for segment in segments
        for part in segment.parts
        for source in part.written_as
    )

"""Prove an archive: every manifest and every data file against what was written."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from auditlab.archive.files import TEMPORARY
from auditlab.archive.held import placed_segments
from auditlab.archive.manifest import DATA, MANIFESTS, Part, read_chain
from auditlab.archive.read import check_part
from auditlab.archive.rows import RowDigest, read_rows
from auditlab.errors import ArchiveCorrupt
from auditlab.load.source import ARROW_CHANGES

__all__ = ["Fault", "leftovers", "verify"]

EARLIER = pa.schema([column for column in ARROW_CHANGES if column.name != "partition"])
"""The columns that archives had before a change's partition was one of them."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with an archive.

    Args:
        path: The file.
        problem: What is wrong with it, in words.
        rows: How many changes are lost with it; 0 where that is not known.
    """

    path: Path
    problem: str
    rows: int = 0

    def __str__(self) -> str:
        return self.problem


def verify(folder: str | Path) -> list[Fault]:
    """All that is wrong with an archive, nothing left out; empty where it is whole.

    The chain of manifests first: where that is broken, nothing can be said about the data files. Then each data
    file: its bytes against the manifest's SHA-256, its rows and columns against what the manifest counts.
    A tail of manifests that was removed as a whole leaves no trace in the folder: keep the last manifest's hash
    elsewhere to notice it.

    Raises:
        NotAnArchive: the folder holds no archive.
        ArchiveError: a newer auditlab wrote it, or it cannot be read.
    """
    place = Path(folder)
    try:
        chain = read_chain(place)
        held = placed_segments(chain)
    except ArchiveCorrupt as exc:
        return [Fault(path=place / MANIFESTS, problem=str(exc))]
    faults: list[Fault] = []
    written = {part.name: part for manifest, _ in chain for segment in manifest.segments for part in segment.parts}
    for (number, _), segment in held.items():
        faults += [fault for part in segment.parts for fault in _part_faults(place, part, written)]
        counted = sum(part.rows for part in segment.parts if part.role == "changes")
        if counted != segment.rows:
            problem = f"manifest {number}: counts {segment.rows} rows, its files {counted}"
            faults.append(Fault(path=place / MANIFESTS, problem=problem))
    return faults


def leftovers(folder: str | Path) -> list[Path]:
    """Files in an archive's folders that no manifest lists, such as a killed writer leaves: never read, harmless.

    Raises:
        NotAnArchive: the folder holds no archive.
        ArchiveCorrupt: the chain of manifests is broken.
    """
    place = Path(folder)
    chain = read_chain(place)
    listed = {part.name for manifest, _ in chain for segment in manifest.segments for part in segment.parts}
    data = [path for path in (place / DATA).iterdir() if path.name not in listed]
    manifests = [path for path in (place / MANIFESTS).iterdir() if path.name.startswith(TEMPORARY)]
    return sorted(data + manifests)


def _part_faults(folder: Path, part: Part, written: dict[str, Part]) -> list[Fault]:
    path = folder / DATA / part.name
    try:
        check_part(folder, part)
        with pq.ParquetFile(path) as parquet:
            schema = parquet.schema_arrow
        problem = _row_problem(path, part, written)
    except ArchiveCorrupt as exc:
        problem = str(exc)
    except (pa.ArrowException, OSError) as exc:
        problem = f"{path}: is no Parquet file: {exc}"
    else:
        if not schema.equals(ARROW_CHANGES) and not schema.equals(EARLIER):
            problem = f"{path}: has the columns {schema.names}"
    return [Fault(path=path, problem=problem, rows=part.rows)] if problem else []


def _row_problem(path: Path, part: Part, written: dict[str, Part]) -> str:
    """What is wrong with the rows that a file gives back; '' where nothing is."""
    whole = RowDigest()
    sources = [RowDigest() for _ in part.sources]
    ends = list(accumulate(source.rows for source in part.sources))
    for batch in read_rows(path):
        for digest, source, end in zip(sources, part.sources, ends, strict=True):
            begin = max(end - source.rows - whole.rows, 0)
            rows = batch[begin : max(end - whole.rows, 0)]
            if rows.num_rows:
                digest.update(rows)
        whole.update(batch)
    if whole.rows != part.rows:
        return f"{path}: has {whole.rows} rows, want {part.rows}"
    if part.digest is not None and whole.hexdigest() != part.digest:
        return f"{path}: gives back other rows than were recorded (digest {whole.hexdigest()}, want {part.digest})"
    for digest, source in zip(sources, part.sources, strict=True):
        first = written.get(source.name)
        if first is None or first.sources or digest.hexdigest() != first.digest:
            return (
                f"{path}: holds other rows than {source.name}, which it took the place of "
                f"(digest {digest.hexdigest()}, want {first.digest if first else 'that of a part in the chain'})"
            )
    return ""

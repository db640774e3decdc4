"""Prove an archive: every manifest and every data file against what was written."""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate
from math import ceil
from pathlib import Path
from random import SystemRandom
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from auditlab.archive.checkpoint import problem
from auditlab.archive.digest import RowDigest, read_rows
from auditlab.archive.files import TEMPORARY
from auditlab.archive.form import form_of, schema_of
from auditlab.archive.head import Head
from auditlab.archive.held import placed_segments
from auditlab.archive.manifest import CHECKPOINT, CHECKPOINTS, DATA, MANIFESTS, Part, manifest_path, read_chain
from auditlab.archive.proof import proven
from auditlab.archive.read import check_part, scan_archive
from auditlab.archive.remote import remote
from auditlab.archive.seal import PublicKey, signature_problem
from auditlab.archive.verification import Fault, Verification
from auditlab.errors import ArchiveCorrupt, ArchiveError, BadOption
from auditlab.load.source import ARROW_CHANGES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from auditlab.archive.form import Form
    from auditlab.archive.manifest import Manifest, Segment
    from auditlab.archive.remote import Remote

__all__ = ["Fault", "leftovers", "prove", "verify"]

EARLIER = pa.schema([column for column in ARROW_CHANGES if column.name != "partition"])
"""The columns that archives had before a change's partition was one of them."""


def verify(
    folder: str | Path,
    *,
    heads: Sequence[Head | str] = (),
    keys: Sequence[PublicKey | str | Path] = (),
    sample: float | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> list[Fault]:
    """All that is wrong with an archive, nothing left out; empty where it is whole.

    As :func:`prove`, which also tells what was looked at.
    """
    return list(prove(folder, heads=heads, keys=keys, sample=sample, storage_options=storage_options).faults)


def prove(
    folder: str | Path,
    *,
    heads: Sequence[Head | str] = (),
    keys: Sequence[PublicKey | str | Path] = (),
    sample: float | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> Verification:
    """Prove an archive; returns every fault, and what was looked at.

    The chain of manifests first: where that is broken, nothing can be said about the data files. Then each data
    file: its bytes against the manifest's SHA-256, the rows that it gives back against the digest of what was
    recorded, and of a compacted file the rows of each file that it took the place of. Last the checkpoints: each is
    worked out again from the rows that it stands for, unless a sample is read, or storage.

    This makes tampering evident, it does not prevent it, and it ends somewhere. Who can write the folder can drop
    the newest manifests as a whole, or write all of it anew, and it will be whole: only a head that was kept where
    they could not write shows that. A signature shows that the holder of the key wrote a manifest, not that it is the
    last one. Nothing here tells whether the log was true when it was archived.

    Args:
        folder: The archive, or where it is in object storage: its data files are brought here one at a time.
        heads: Heads that were kept elsewhere (``head``): the chain must have grown from each of them.
        keys: Public keys, or the files that hold them: every manifest must be signed by one of them.
        sample: The share of the data files to read, drawn at random, above 0 and up to 1; None reads all. All
            manifests are always read.
        storage_options: How to reach the storage (``archive.storage.OPTIONS``).

    Raises:
        StorageFailed: the storage refuses, or cannot be reached.
        NotAnArchive: the folder holds no archive.
        ArchiveError: a newer auditlab wrote it, or it cannot be read.
        BadKey: a key file that holds none.
        BadOption: a head or a share that is none.
    """
    kept = [Head.of(one) for one in heads]
    trusted = [key if isinstance(key, PublicKey) else PublicKey.read(key) for key in keys]
    if sample is not None and not 0 < sample <= 1:
        raise BadOption(f"a sample is a share of the files above 0 and up to 1, got {sample}.")
    afar = remote(folder, storage_options=storage_options)
    if afar is None:
        return _proven(Path(folder), kept, trusted, sample, None)
    with afar.named():
        afar.bring_manifests()
        found = _proven(afar.folder, kept, trusted, sample, afar)
    faults = [Fault(Path(afar.told(str(one.path))), afar.told(one.problem), one.rows) for one in found.faults]
    return replace(found, folder=afar.url, faults=tuple(faults))


def _proven(
    place: Path, heads: list[Head], keys: list[PublicKey], sample: float | None, afar: Remote | None
) -> Verification:
    found = Verification(place, (), keys=len(keys), heads=len(heads), share=sample)
    try:
        chain = read_chain(place)
        held = placed_segments(chain)
    except ArchiveCorrupt as exc:
        return replace(found, faults=(Fault(path=place / MANIFESTS, problem=str(exc)),))
    faults = _chain_faults(place, chain, heads, keys)
    faults += _counted(place, held)
    parts = [part for segment in held.values() for part in segment.parts]
    parts += [part for manifest, _ in chain if manifest.checkpoint for part in manifest.checkpoint.parts]
    parts = list({part.name: part for part in parts}.values())
    drawn = parts if sample is None else SystemRandom().sample(parts, ceil(sample * len(parts)))
    every = [part for manifest, _ in chain for segment in manifest.segments for part in segment.parts]
    written = {part.name: part for part in reversed(every)}  # as it was first written
    for part in drawn:
        faults += _part_faults(place, part, written) if afar is None else _faults_afar(afar, part, written)
    whole = sample is None and afar is None
    if not faults and whole:
        faults += _checkpoint_faults(place)
    if faults and afar is None and len(read_chain(place)) > len(chain):
        return _proven(place, heads, keys, sample, afar)  # compacted meanwhile: its files are others now
    return replace(
        found,
        faults=tuple(faults),
        head=Head(len(chain), chain[-1][1]),
        files=len(drawn),
        of_files=len(parts),
        rows=sum(_lost(part) for part in drawn),
        bytes=sum(part.bytes for part in drawn),
        untried=0 if whole else sum(manifest.checkpoint is not None for manifest, _ in chain),
        signed_by=tuple(sorted({manifest.signature.key for manifest, _ in chain if manifest.signature})),
    )


def _checkpoint_faults(place: Path) -> list[Fault]:
    """Parts of checkpoints that are not what the rows make them that they stand for."""
    try:
        scanned = scan_archive(place)
        points = [manifest.checkpoint for manifest, _ in scanned.chain if manifest.checkpoint]
        told = [(part, problem(scanned, point, part)) for point in points for part in point.parts]
    except ArchiveError as exc:  # a file that was whole a moment ago: it may have been compacted meanwhile
        return [Fault(path=place, problem=str(exc))]
    return [Fault(path=place / part.path, problem=words) for part, words in told if words]


def _faults_afar(afar: Remote, part: Part, written: dict[str, Part]) -> list[Fault]:
    """The faults of one data file in storage, which is here only while it is read."""
    try:
        afar.bring([part])
        return _part_faults(afar.folder, part, written)
    except ArchiveCorrupt as exc:
        return [Fault(path=afar.folder / part.path, problem=str(exc), rows=_lost(part))]
    finally:
        afar.forget(part)


def _chain_faults(
    folder: Path, chain: Sequence[tuple[Manifest, str]], heads: Sequence[Head], keys: Sequence[PublicKey]
) -> list[Fault]:
    """Heads that the chain has not grown from, and manifests without a signature by one of the keys."""
    problems = [problem for head in heads if (problem := head.problem(chain, folder))]
    faults = [Fault(path=folder / MANIFESTS, problem=problem) for problem in problems]
    for manifest, _ in chain if keys else ():
        path = manifest_path(folder, manifest.number)
        if problem := signature_problem(manifest, keys):
            faults.append(Fault(path=path, problem=f"{path}: {problem}"))
    return faults


def _counted(folder: Path, held: Mapping[tuple[int, int], Segment]) -> list[Fault]:
    """Segments that count other rows than their files."""
    faults = []
    for (number, _), segment in held.items():
        counted = sum(part.rows for part in segment.parts if part.role == "changes")
        if counted != segment.rows:
            problem = f"manifest {number}: counts {segment.rows} rows, its files {counted}"
            faults.append(Fault(path=folder / MANIFESTS, problem=problem))
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
    listed |= {part.name for manifest, _ in chain if manifest.checkpoint for part in manifest.checkpoint.parts}
    folders = (one for one in (place / DATA, place / CHECKPOINTS) if one.is_dir())
    data = [path for one in folders for path in one.iterdir() if path.name not in listed]
    manifests = [path for path in (place / MANIFESTS).iterdir() if path.name.startswith(TEMPORARY)]
    return sorted(data + manifests)


def _part_faults(folder: Path, part: Part, written: dict[str, Part]) -> list[Fault]:
    path = folder / part.path
    try:
        proven(path, part.sha256, lambda: check_part(folder, part), anew=True)  # once, also where it is read again
        with pq.ParquetFile(path) as parquet:
            schema, form = parquet.schema_arrow, form_of(parquet.metadata.metadata)
        sound = _is_ours(schema, form)
        problem = _row_problem(path, part, written) if sound else f"{path}: has the columns {schema.names}"
    except ArchiveError as exc:
        problem = str(exc)
    except (pa.ArrowException, OSError, ValueError) as exc:
        problem = f"{path}: is no Parquet file: {exc}"
    return [Fault(path=path, problem=problem, rows=_lost(part))] if problem else []


def _lost(part: Part) -> int:
    """How many changes are lost with a file: none with one of a checkpoint, which is no part of the log."""
    return 0 if part.role == CHECKPOINT else part.rows


def _row_problem(path: Path, part: Part, written: dict[str, Part]) -> str:
    """What is wrong with the rows that a file gives back; '' where nothing is."""
    whole = RowDigest()
    sources = [RowDigest() for _ in part.sources]
    ends = list(accumulate(source.rows for source in part.sources))
    types: set[str] = set()
    for batch in read_rows(path):
        types.update(pc.unique(batch.column("entity_type")).to_pylist())
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
    if types != set(part.entity_types):
        listed, held = (", ".join(sorted(names)) or "none" for names in (part.entity_types, types))
        return f"{path}: holds changes of {held}, and its manifest says of {listed}"
    for digest, source in zip(sources, part.sources, strict=True):
        first = written.get(source.name)
        if first is None or first.sources or digest.hexdigest() != first.digest:
            return (
                f"{path}: holds other rows than {source.name}, which it took the place of "
                f"(digest {digest.hexdigest()}, want {first.digest if first else 'that of a part in the chain'})"
            )
    return ""


def _is_ours(schema: pa.Schema, form: Form | None) -> bool:
    if form is None:
        return bool(schema.equals(ARROW_CHANGES) or schema.equals(EARLIER))
    return bool(schema.equals(schema_of(form)))

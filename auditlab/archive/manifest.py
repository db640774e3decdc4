"""The chain of manifests: what files an archive has, what they must be, and what the log's facts are."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from auditlab.archive.files import HashingFile, is_safe_name, opened, sync_folder
from auditlab.errors import ArchiveCorrupt, ArchiveError, ArchiveExists, NotAnArchive
from auditlab.load.commit_times import CLOCKS
from auditlab.load.cursor import Cursor
from auditlab.marks import Mark
from auditlab.schema import Coverage, LogFacts

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "CHECKPOINT",
    "CHECKPOINTS",
    "DATA",
    "FORMAT",
    "MANIFESTS",
    "PLAIN",
    "ROLES",
    "Checkpoint",
    "Manifest",
    "Part",
    "Segment",
    "Signature",
    "Signer",
    "Source",
    "manifest_path",
    "parse",
    "publish",
    "read_chain",
    "render",
]

FORMAT, PLAIN = 4, 3
"""The newest version of the archive's format that this auditlab reads, which manifests with a checkpoint are of; and
that of the others, so that an auditlab that knows no checkpoints reads what has none."""

_DIGESTS = 3
"""The first format in which every part has a digest of its rows."""

DATA, MANIFESTS, CHECKPOINTS = "data", "manifests", "checkpoints"
"""The folders of an archive: what is in ``data`` is the log, and nothing else is."""

ROLES = ("changes", "baseline")
"""What a part of a segment can hold: changes, or states before the log's coverage begins."""

CHECKPOINT = "checkpoint"
"""The role of a part that is no part of the log: rows of it that decide the states from a position on."""

_NAME = re.compile(r"(\d{8})\.json")
_HEX, _HEX_SIGNATURE = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{128}")

Range = tuple[int, int]
TimeRange = tuple[str, str]


class Signer(Protocol):
    """What signs manifests (``archive.seal.SigningKey``)."""

    def sign(self, of: str) -> Signature:
        """The signature of a manifest, by the SHA-256 of its body."""


@dataclass(frozen=True, slots=True)
class Signature:
    """Who vouches for a manifest; whether the signature is theirs is another question (``archive.seal``).

    Args:
        key: The public ed25519 key, hexadecimal.
        value: The signature, hexadecimal.
        of: The SHA-256 of the manifest's body, which is what was signed.
    """

    key: str
    value: str
    of: str


@dataclass(frozen=True, slots=True)
class Source:
    """A part as it was first written, whose rows another part holds by now."""

    name: str
    rows: int


@dataclass(frozen=True, slots=True)
class Part:
    """One Parquet file of an archive; ranges are inclusive at both ends, None where no row has a value.

    Args:
        name: The file's name: its SHA-256.
        sha256: The SHA-256 of its bytes.
        bytes: How many bytes.
        rows: How many changes.
        entity_types: The entity types in it.
        role: ``changes``, ``baseline`` for the states before the log's coverage begins, or ``checkpoint``.
        id: Least and largest id.
        transaction_id: Least and largest transaction id.
        changed_at: Earliest and latest recorded time, ISO 8601 in UTC.
        digest: The digest of its rows (``archive.digest``), in the order of the file; None before format 3.
        sources: Of a compacted part, the parts that it took the place of: their rows, one part's after the other's.
    """

    name: str
    sha256: str
    bytes: int
    rows: int
    entity_types: tuple[str, ...]
    role: str
    id: Range | None = None
    transaction_id: Range | None = None
    changed_at: TimeRange | None = None
    digest: str | None = None
    sources: tuple[Source, ...] = ()

    @property
    def path(self) -> str:
        """Where the file is in the archive's folder."""
        return f"{CHECKPOINTS if self.role == CHECKPOINT else DATA}/{self.name}"

    @property
    def written_as(self) -> tuple[Source, ...]:
        """The parts that its rows were first written in, in their order: itself, unless it was compacted."""
        return self.sources or (Source(self.name, self.rows),)


@dataclass(frozen=True, slots=True)
class Segment:
    """One archived range: ``first`` to ``last``, inclusive, of what the manifest's ``ranges`` counts."""

    first: int | None
    last: int | None
    rows: int
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What the log up to a position leaves for questions about later times; it can be worked out again from that.

    Args:
        covers: The number of the manifest up to which.
        parts: One part an entity type: rows of the log, and in the file's metadata what the rest of it tells.
    """

    covers: int
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """What one publication added to an archive.

    Args:
        number: Its place in the chain, from 1.
        previous: The SHA-256 of the manifest before it; None for the first.
        ranges: What segments are ranges of: ``transaction_id``, or ``position`` where rows have none.
        written_at: When, ISO 8601 in UTC, by the writer's clock.
        facts: The log's facts.
        segments: What was added.
        cursor: Where the next pull goes on; None for an archive that is not fed from a database.
        replaces: The segments that ``segments`` take the place of: same rows, other files. Each is named by the
            number of the manifest that added it and its place there, from 0.
        checkpoint: What the log leaves up to here; such a manifest adds no segments.
        format: The format's version.
        signature: Of a manifest that was read, its signature, if it has one.
    """

    number: int
    previous: str | None
    ranges: str
    written_at: str
    facts: LogFacts
    segments: tuple[Segment, ...] = field(default_factory=tuple)
    cursor: Cursor | None = None
    replaces: tuple[tuple[int, int], ...] = ()
    checkpoint: Checkpoint | None = None
    format: int = PLAIN
    signature: Signature | None = None


def render(manifest: Manifest, sign: Signer | None = None) -> bytes:
    """The manifest as JSON, the same bytes for the same value: with its body's SHA-256, and signed if ``sign`` can."""
    body = _body(manifest)
    return _sealed(body, sign.sign(_seal(body)) if sign else None)


def _body(manifest: Manifest) -> dict[str, Any]:
    body = asdict(replace(manifest, facts=replace(manifest.facts, marks=())))
    body["facts"]["marks"] = [mark.told() for mark in manifest.facts.marks]
    coverage = body["facts"]["coverage"]
    coverage |= {end: coverage[end] and coverage[end].isoformat() for end in ("start", "end", "cut")}
    for name in [name for name in ("cut", "gaps") if not coverage[name]]:
        del coverage[name]  # as of a checkpoint, below
    del body["signature"], body["facts"]["since"]  # an archive begins by itself
    if manifest.checkpoint is None:
        del body["checkpoint"]  # an auditlab that knows none reads what has none
    return body


def _seal(body: dict[str, Any]) -> str:
    return hashlib.sha256(_text(body).encode()).hexdigest()


def _sealed(body: dict[str, Any], signature: Signature | None) -> bytes:
    document = {"manifest": body, "sha256": _seal(body)}
    if signature is not None:
        told = {"key": signature.key, "ed25519": signature.value}
        document["signature"] = told | {"sha256": _seal(told)}  # so that damage to it is found without the key, too
    return (_text(document) + "\n").encode()


def _signature(document: dict[str, Any]) -> Signature | None:
    if "signature" not in document:
        return None
    told = document["signature"]
    if not (_HEX.fullmatch(told["key"]) and _HEX_SIGNATURE.fullmatch(told["ed25519"])):
        raise ValueError("a signature that is none")
    return Signature(key=told["key"], value=told["ed25519"], of=document["sha256"])


def _text(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=True, allow_nan=False)


@lru_cache(maxsize=1024)  # every scan and every pull reads a chain again, which only grows
def parse(data: bytes, path: Path) -> Manifest:
    """The manifest in a file's bytes, every one of which must be what ``render`` would write.

    Raises:
        ArchiveCorrupt: the bytes are not what was published.
        ArchiveError: a newer auditlab wrote it.
    """
    try:
        document = json.loads(data)
        body = document["manifest"]
        signature = _signature(document)
        sound = _sealed(body, signature) == data and isinstance(body["format"], int)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        raise ArchiveCorrupt(f"{path}: is no manifest of an archive ({exc}). Nothing was read.") from exc
    if not sound:
        raise ArchiveCorrupt(f"{path}: differs from what was published: its SHA-256 does not fit. Nothing was read.")
    if body["format"] > FORMAT:
        raise ArchiveError(
            f"{path}: is of format {body['format']}; this auditlab reads up to {FORMAT}. "
            "Upgrade: pip install -U auditlab"
        )
    try:
        return replace(_manifest(body), signature=signature)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as exc:
        raise ArchiveCorrupt(f"{path}: does not hold what a manifest must ({exc}). Nothing was read.") from exc


def _manifest(body: dict[str, Any]) -> Manifest:
    segments = tuple(
        Segment(**{**one, "parts": tuple(_part(part) for part in one["parts"])}) for one in body["segments"]
    )
    facts = dict(body["facts"])
    coverage = dict(facts.pop("coverage"))
    for end in coverage.keys() & {"start", "end", "cut"}:
        coverage[end] = None if coverage[end] is None else datetime.fromisoformat(coverage[end])
    cursor = body.get("cursor")  # format 1 had none
    facts["filters"] = tuple(facts["filters"])
    for name in ("partial", "masked", "omitted"):
        facts[name] = tuple(facts.get(name, ()))
    facts["marks"] = tuple(Mark.of(one) for one in facts.get("marks", ()))
    facts["keys"] = {name: tuple(columns) for name, columns in facts.get("keys", {}).items()}
    read = {
        "segments": segments,
        "facts": LogFacts(**facts, coverage=Coverage(**coverage), since=None),
        "cursor": None if cursor is None else Cursor(**cursor),
        "replaces": tuple((number, place) for number, place in body.get("replaces", ())),
        "checkpoint": _checkpoint(body),
    }
    if facts["clock"] not in CLOCKS:
        raise ValueError(f"no clock of a log is {facts['clock']!r}")
    if datetime.fromisoformat(body["written_at"]).tzinfo is None:
        raise ValueError("a time without its zone")
    if body["format"] >= _DIGESTS and not all(part.digest for one in segments for part in one.parts):
        raise ValueError("a part without a digest of its rows")
    manifest = Manifest(**{**body, **read})
    msgspec.convert(asdict(manifest), Manifest)  # every value is of its type
    return manifest


def _checkpoint(body: dict[str, Any]) -> Checkpoint | None:
    told = body.get("checkpoint")
    if told is None:
        return None
    parts = tuple(_part(part, (CHECKPOINT,)) for part in told["parts"])
    types = [part.entity_types for part in parts]
    if body["format"] <= PLAIN or body["segments"] or not parts or not all(part.digest for part in parts):
        raise ValueError("a checkpoint where there can be none, or without parts and digests")
    if not 0 < told["covers"] < body["number"] or len(set(types)) < len(types) or any(len(one) > 1 for one in types):
        raise ValueError("a checkpoint of no manifest before it, or several of one type")
    return Checkpoint(covers=told["covers"], parts=parts)


def _part(body: dict[str, Any], roles: tuple[str, ...] = ROLES) -> Part:
    if not is_safe_name(body["name"]):
        raise ValueError(f"{body['name']!r} is no name of a data file")
    if not _HEX.fullmatch(body["sha256"]) or min(body["bytes"], body["rows"]) < 0:
        raise ValueError(f"{body['name']} has no such hash, size or rows")
    ranges = {
        name: None if body[name] is None else tuple(body[name]) for name in ("id", "transaction_id", "changed_at")
    }
    if body["role"] not in roles or not body["entity_types"]:
        raise ValueError(f"{body['name']} is of no role ({body['role']!r}) or of no entity type")
    sources = tuple(Source(**source) for source in body.get("sources", ()))
    return Part(**{**body, **ranges, "entity_types": tuple(body["entity_types"]), "sources": sources})


def read_chain(folder: Path) -> list[tuple[Manifest, str]]:
    """All manifests of an archive in their order, each with the SHA-256 of its bytes; each names the one before.

    Raises:
        NotAnArchive: the folder holds no manifest.
        ArchiveCorrupt: a manifest is damaged, missing, or does not follow the one before it.
        ArchiveError: a newer auditlab wrote one, or the folder cannot be read.
    """
    chain: list[tuple[Manifest, str]] = []
    previous = None
    for number, path in enumerate(_paths(folder), start=1):
        if path.name != _name(number):
            raise ArchiveCorrupt(f"{manifest_path(folder, number)}: is missing; the chain goes on after it.")
        try:
            with opened(path) as file:
                data = file.read()
        except OSError as exc:
            if exc.errno in (errno.ELOOP, errno.EINVAL):
                raise ArchiveCorrupt(f"{path}: is a link or no file; an archive has files. Nothing was read.") from exc
            raise ArchiveError(f"cannot read {path}: {exc.strerror or exc}") from exc
        manifest = parse(data, path)
        if (manifest.number, manifest.previous) != (number, previous):
            raise ArchiveCorrupt(f"{path}: does not follow the manifest before it; the chain is broken.")
        previous = hashlib.sha256(data).hexdigest()
        chain.append((manifest, previous))
    return chain


def _paths(folder: Path) -> list[Path]:
    try:
        found = sorted(path for path in (folder / MANIFESTS).iterdir() if _NAME.fullmatch(path.name))
    except (FileNotFoundError, NotADirectoryError):
        found = []
    except OSError as exc:
        raise ArchiveError(f"cannot read the archive {folder}: {exc.strerror or exc}") from exc
    if not found:
        what = "holds no archive" if folder.is_dir() else "is no folder" if folder.exists() else "does not exist"
        raise NotAnArchive(f"{folder} {what}. An archive has a folder '{MANIFESTS}' with its manifests.")
    return found


def manifest_path(folder: Path, number: int) -> Path:
    """The file of a manifest."""
    return folder / MANIFESTS / _name(number)


def _name(number: int) -> str:
    return f"{number:08d}.json"


def publish(folder: Path, manifest: Manifest, *, sign: Signer | None = None) -> Path:
    """Make a manifest visible: whole, on disk, and only if no other took its number.

    Raises:
        ArchiveExists: another writer published a manifest of that number.
    """
    place = folder / MANIFESTS
    written = HashingFile(place)
    try:
        written.write(render(manifest, sign))
        written.finish()
        final = place / _name(manifest.number)
        try:
            os.link(written.path, final)  # fails where a rename would replace
        except FileExistsError as exc:
            raise ArchiveExists(
                f"{folder} holds an archive by now: another writer published {final.name} first."
            ) from exc
    finally:
        written.discard()
    sync_folder(place)
    return final

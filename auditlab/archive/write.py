"""Write a log into an archive: streamed, in bounded memory, and visible as a whole or not at all."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa
import pyarrow.compute as pc

from auditlab.archive.files import in_folder, reported, settle, sync_folder, to_write
from auditlab.archive.held import held_rows
from auditlab.archive.manifest import CHECKPOINTS, DATA, MANIFESTS, Manifest, Segment, publish, read_chain
from auditlab.archive.segment import PartFile, Written
from auditlab.errors import ArchiveCorrupt, ArchiveExists, BadOption, NotAnArchive, SchemaMismatch
from auditlab.load.source import ARROW_CHANGES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path
    from types import TracebackType

    from auditlab.archive.checkpoint import Checkpointed
    from auditlab.archive.manifest import Signer
    from auditlab.load.cursor import Cursor
    from auditlab.load.watermark import Held
    from auditlab.schema import LogFacts

__all__ = ["ArchiveSummary", "ArchiveWriter", "to_archive"]

BUDGET = 48 << 20
"""Bytes of rows held back, over all files, before the largest part of them is written as a row group."""

OPEN_FILES = 64
"""Files open at a time; beyond, the one that waited longest is finished."""


@dataclass(frozen=True, slots=True, repr=False)
class ArchiveSummary:
    """What was written.

    Args:
        folder: Where.
        rows: How many changes, without baseline rows.
        by_type: How many changes of each entity type.
        files: How many data files.
        bytes: Their size.
        facts: The log's facts as the manifest holds them.
        total: How many changes the archive holds.
        cursor: Where the next pull goes on; None for an archive that is not fed from a database.
        left: What a pull left for the next one, and for whom.
        checkpoint: The checkpoint that was due, and was written behind it; None without.
        no_checkpoint: Why the one that was due was not written; empty where none failed.
    """

    folder: Path
    rows: int
    by_type: dict[str, int]
    files: int
    bytes: int
    facts: LogFacts
    total: int
    cursor: Cursor | None = None
    left: Held | None = None
    checkpoint: Checkpointed | None = None
    no_checkpoint: str = ""

    def __str__(self) -> str:
        text = (
            f"{self.rows:,} change{'s' * (self.rows != 1)} of "
            f"{len(self.by_type)} entity type{'s' * (len(self.by_type) != 1)} in "
            f"{self.files} file{'s' * (self.files != 1)}, "
            f"{self.bytes / 1e6:,.1f} MB, in {self.folder}"
        )
        if not self.rows:
            text = f"nothing new for {self.folder}" if self.total else f"no changes yet for {self.folder}"
        if self.total > self.rows:
            text += f", which holds {self.total:,} changes by now"
        failed = f"no checkpoint was written: {self.no_checkpoint}" if self.no_checkpoint else ""
        more = [str(one) for one in (self.left, self.checkpoint) if one is not None]
        return "\n".join(line for line in [text, *more, failed] if line)

    __repr__ = __str__

    def as_dict(self) -> dict[str, Any]:
        """The summary as plain values, for JSON: times are ISO 8601 in UTC."""
        coverage, left = self.facts.coverage, self.left
        return {
            "folder": str(self.folder),
            "rows": self.rows,
            "by_type": self.by_type,
            "files": self.files,
            "bytes": self.bytes,
            "total_rows": self.total,
            "covers": [None if end is None else end.isoformat() for end in (coverage.start, coverage.end)],
            "up_to_transaction": self.cursor.transaction if self.cursor else None,
            "rows_waiting": left.rows if left else 0,
            "held_by": left.holder if left else None,
            "held_since": left.since.isoformat() if left and left.since else None,
            "checkpoint": self.checkpoint.as_dict() if self.checkpoint else None,
            "no_checkpoint": self.no_checkpoint or None,
        }


@dataclass(slots=True)
class _Tally:
    rows: int = 0
    by_type: dict[str, int] = field(default_factory=dict)
    without_transaction: int = 0


class ArchiveWriter:
    """Takes batches of changes and makes them an archive when ``commit`` is called; until then nothing is visible.

    A context manager: leaving it without ``commit`` removes what was written.

    Args:
        folder: A folder that is not there yet, or empty; with ``chain``, the archive's.
        chain: The archive's manifests, to add to it; what is written counts as decided upon these alone.
        sign: The key that signs the manifest; to a signed archive only what is signed is added.

    Raises:
        BadOption: the archive is signed, and there is no key.
        ArchiveExists: the folder holds an archive, or something else.
        ArchiveError: the folder cannot be written to.
    """

    def __init__(
        self, folder: str | Path, *, chain: Sequence[tuple[Manifest, str]] = (), sign: Signer | None = None
    ) -> None:
        self.folder = to_write(folder)
        self._chain, self._sign = chain, sign
        if sign is None and chain and chain[-1][0].signature is not None:
            raise BadOption(f"{self.folder} is signed, so what is added to it must be. Give the key (--sign KEY).")
        if not chain:
            _must_be_free(self.folder)
        self._made = [
            place for place in (self.folder / MANIFESTS, self.folder / DATA, self.folder) if not place.exists()
        ]
        with reported(self.folder):
            for place in (self.folder / DATA, self.folder / MANIFESTS):
                in_folder(place, sync_folder)
        self._open: OrderedDict[tuple[str, str], PartFile] = OrderedDict()
        self._done: list[Written] = []
        self._tally = _Tally()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.abort()

    def write(self, batch: pa.RecordBatch, *, role: str = "changes") -> None:
        """Add a batch of changes in the canonical columns (``load.source.ARROW_CHANGES``).

        Args:
            batch: The rows.
            role: ``changes``, or ``baseline`` for states before the log's coverage begins.

        Raises:
            SchemaMismatch: the batch has other columns.
            ArchiveError: the file system refuses; what was written is removed.
        """
        if not batch.schema.equals(ARROW_CHANGES):
            raise SchemaMismatch(f"want the columns {ARROW_CHANGES.names} in their types, got: {batch.schema}")
        if batch.column("entity_type").null_count:
            raise SchemaMismatch(f"entity_type: null in {batch.column('entity_type').null_count} rows")
        with reported(self.folder):
            for name in pc.unique(batch.column("entity_type")).to_pylist():
                rows = batch.filter(pc.equal(batch.column("entity_type"), name))
                if role == "changes":
                    self._count(name, rows)
                self._part(name, role).add(rows)
            while sum(part.waiting for part in self._open.values()) > BUDGET:
                max(self._open.values(), key=lambda part: part.waiting).flush()

    @property
    def rows(self) -> int:
        """How many changes were written, without baseline rows."""
        return self._tally.rows

    def commit(
        self, facts: LogFacts, *, cursor: Cursor | None = None, span: tuple[int, int] | None = None
    ) -> ArchiveSummary:
        """Make all that was written visible, in one step, after it is safely on disk.

        Args:
            facts: The log's facts; they travel in the manifest.
            cursor: Where the next pull goes on.
            span: The transaction ids that the segment covers, inclusive; else those that its rows have.

        Raises:
            ArchiveExists: another writer published here in the meantime: nothing of this one is visible.
            ArchiveError: the file system refuses; nothing is visible.
        """
        by_position = self._tally.without_transaction > 0 or (cursor is not None and cursor.transaction is None)
        with reported(self.folder):
            while self._open:
                self._finish(next(iter(self._open)))
            for written in self._done:
                settle(written.path, written.part.name)
            in_folder(self.folder / DATA, sync_folder)
            manifest = Manifest(
                number=len(self._chain) + 1,
                previous=self._chain[-1][1] if self._chain else None,
                ranges="position" if by_position else "transaction_id",
                written_at=datetime.now(UTC).isoformat(),
                facts=facts,
                segments=(self._segment(span),),
                cursor=cursor,
            )
            publish(self.folder, manifest, sign=self._sign)
        done, self._done, self._made = self._done, [], []
        return ArchiveSummary(
            folder=self.folder,
            rows=self._tally.rows,
            by_type=dict(sorted(self._tally.by_type.items())),
            files=len({written.part.name for written in done}),
            bytes=sum(written.part.bytes for written in done),
            facts=facts,
            total=self._tally.rows + held_rows(self._chain),
            cursor=cursor,
        )

    def abort(self) -> None:
        """Remove what was written and not committed."""
        for part in self._open.values():
            part.discard()
        self._open.clear()
        for written in self._done:
            written.path.unlink(missing_ok=True)
        self._done.clear()
        with suppress(OSError):  # one holds what another writer put there by now: the archive is that writer's
            for place in self._made:
                place.rmdir()

    def _count(self, name: str, rows: pa.RecordBatch) -> None:
        tally = self._tally
        tally.rows += rows.num_rows
        tally.by_type[name] = tally.by_type.get(name, 0) + rows.num_rows
        tally.without_transaction += rows.column("transaction_id").null_count

    def _part(self, entity_type: str, role: str) -> PartFile:
        key = (role, entity_type)
        if key in self._open and self._open[key].full:
            self._finish(key)
        if key not in self._open:
            while len(self._open) >= OPEN_FILES:
                self._finish(next(iter(self._open)))
            self._open[key] = PartFile(self.folder / DATA, entity_type=entity_type, role=role)
        self._open.move_to_end(key)
        return self._open[key]

    def _finish(self, key: tuple[str, str]) -> None:
        self._done.append(self._open[key].finish())
        del self._open[key]

    def _segment(self, span: tuple[int, int] | None) -> Segment:
        parts = tuple(written.part for written in self._done)
        changes = [part for part in parts if part.role == "changes"]
        first: int | None
        last: int | None
        if span is not None:
            first, last = span
        elif self._tally.without_transaction:
            first, last = (1, self._tally.rows) if self._tally.rows else (None, None)
        else:
            spans = [part.transaction_id for part in changes if part.transaction_id is not None]
            first = min((span[0] for span in spans), default=None)
            last = max((span[1] for span in spans), default=None)
        return Segment(first=first, last=last, rows=self._tally.rows, parts=parts)


def to_archive(
    changes: Iterable[pa.RecordBatch],
    folder: str | Path,
    *,
    facts: LogFacts,
    baseline: Iterable[pa.RecordBatch] = (),
    sign: Signer | None = None,
) -> ArchiveSummary:
    """Write batches of changes into a new archive; returns what was written.

    Args:
        changes: Batches in the canonical columns, taken one at a time.
        folder: A folder that is not there yet, or empty.
        facts: The log's facts.
        baseline: Of a log that begins at a time, the rows before it.
        sign: The key that signs the manifest.

    Raises:
        ArchiveExists: the folder holds an archive, or something else.
        ArchiveError: the file system refuses; nothing is left.
    """
    with ArchiveWriter(folder, sign=sign) as writer:
        for batch in baseline:
            writer.write(batch, role="baseline")
        for batch in changes:
            writer.write(batch)
        return writer.commit(facts)


def _must_be_free(folder: Path) -> None:
    try:
        chain = read_chain(folder)
    except NotAnArchive:
        chain = []
    except ArchiveCorrupt as exc:
        raise ArchiveExists(f"{folder} holds an archive already, and it cannot be read: {exc}") from exc
    if chain:
        raise ArchiveExists(
            f"{folder} holds an archive already ({held_rows(chain):,} changes, manifests: {len(chain)}). Nothing was "
            "written. Give another folder; to an archive only its own database adds (auditlab archive DSN FOLDER)."
        )
    with reported(folder):
        foreign = []
        with suppress(FileNotFoundError):
            foreign = sorted(path.name for path in folder.iterdir())
    foreign = [name for name in foreign if name not in (DATA, MANIFESTS, CHECKPOINTS)]
    if foreign:
        raise ArchiveExists(
            f"{folder} is not empty and holds no archive (it has {foreign[0]!r}). Nothing was written. "
            "Give a new folder."
        )

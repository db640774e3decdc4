"""A live log and its archive as one log: the archive's changes, and the live log's from the archive's cursor on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import polars as pl

from auditlab.archive.extending import extended
from auditlab.archive.files import at_hand
from auditlab.archive.held import held_parts
from auditlab.archive.manifest import read_chain
from auditlab.archive.overlap import Unseen
from auditlab.archive.read import scan_archive
from auditlab.errors import BadOption, CursorMismatch, UnknownEntityType
from auditlab.load import source
from auditlab.load.catalog import DEFAULT_TABLE
from auditlab.load.estimate import refuse_too_large
from auditlab.load.stream import ChangeStream
from auditlab.masking import Masks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa

    from auditlab.archive.read import Scanned
    from auditlab.load.cursor import Cursor
    from auditlab.schema import LogFacts

__all__ = ["Together", "together"]

_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Together:
    """A log in two places.

    Args:
        scanned: The archive.
        live: The changes that the live log has and the archive has not.
        facts: The log's facts: from the archive's beginning to the moment at which the live log was read.
        entity_types: The entity types of both, sorted; of those that were asked for.
    """

    scanned: Scanned
    live: pl.DataFrame
    facts: LogFacts
    entity_types: tuple[str, ...]

    @property
    def changes(self) -> pl.LazyFrame:
        """One row a change, exactly the columns of ``schema.CHANGES``; each once, in no promised order."""
        own = pl.col("entity_type").is_in(self.entity_types)
        return pl.concat([self.scanned.changes.filter(own), self.live.lazy()])

    @property
    def baseline(self) -> pl.LazyFrame | None:
        """The states before the archive begins, same columns; None where it has no beginning."""
        return self.scanned.baseline

    @property
    def rows(self) -> int:
        """How many changes and baseline rows there are."""
        return self.scanned.rows + len(self.live)

    def batches(self, entity_types: tuple[str, ...]) -> Iterator[tuple[pl.DataFrame, bool]]:
        """The rows of some types, as :meth:`auditlab.archive.read.Scanned.batches` gives them; the live ones last."""
        yield from self.scanned.batches(entity_types)
        rows = self.live.filter(pl.col("entity_type").is_in(entity_types))
        if len(rows):
            yield rows, False

    @property
    def ids(self) -> tuple[int, int] | None:
        """The least and the largest id in either place, of the types that were asked for; None without a change."""
        ends = [*(self.scanned.ids or ()), *self.live["id"].bottom_k(1), *self.live["id"].top_k(1)]
        return (min(ends), max(ends)) if ends else None

    def size(self) -> int:
        """About how many bytes the rows take in memory."""
        return self.scanned.size() + int(self.live.estimated_size())


def together(
    dsn: str,
    archive: str | Path,
    *,
    entity_types: str | Sequence[str] | None = None,
    table: str = DEFAULT_TABLE,
    columns: Mapping[str, str | None] | None = None,
    progress: bool | None = None,
    memory_limit: int | None = None,
    allow_unsafe_order: bool = False,
    clock: str | None = None,
    visible_within: float | None = None,
) -> Together:
    """The archive's rows, verified and lazy, and in one snapshot the live log's that came after the archive's cursor.

    By transaction: the archive has all of those below its cursor, the live log is asked for the others, so that no row
    comes twice and none is missing, also when old partitions were dropped, or another pull goes on meanwhile.

    Raises:
        CursorMismatch: they are not the same log, or what lies between them was dropped.
        BadOption: the archive holds some entity types only, and others are asked for.
        UnknownEntityType: neither has such an entity type.
        AuditlabError: all that ``scan_archive`` and ``read_postgres`` raise.
    """
    place = at_hand(archive, "scan")
    wanted = [entity_types] if isinstance(entity_types, str) else None if entity_types is None else list(entity_types)
    options = {"table": table, "columns": columns, "progress": progress, "allow_unsafe_order": allow_unsafe_order}
    before: Cursor | None = None
    for attempt in range(1, _ATTEMPTS + 1):
        chain = read_chain(place)
        cursor = chain[-1][0].cursor
        if cursor is None:
            raise CursorMismatch(
                f"{place} is closed: no cursor says where the live log goes on. Only an archive that was fed from the "
                "database (auditlab archive DSN FOLDER) makes one log with it."
            )
        held = {name for part in held_parts(chain) for name in part.entity_types}
        own = None if wanted is None else [name for name in wanted if name in held]
        scanned = scan_archive(place, entity_types=own or None)
        if read_chain(place)[-1][1] != chain[-1][1]:
            continue  # another pull came between: take its cursor
        try:
            with ChangeStream(
                dsn,
                entity_types=wanted,
                zone=scanned.facts.zone,
                clock=clock,
                visible_within=visible_within,
                cursor=cursor,
                **options,  # type: ignore[arg-type]  # the options by their names
            ) as stream:
                facts = extended(scanned.facts, stream.facts, clock=clock, visible_within=visible_within)
                return _joined(stream, scanned, wanted, held, place, memory_limit, facts)
        except CursorMismatch:
            if cursor == before or attempt == _ATTEMPTS:
                raise
            before = cursor  # partitions may have been dropped that a newer manifest has
    raise CursorMismatch(f"{place} was added to, again and again, while it was read. Try again.")


def _joined(
    stream: ChangeStream,
    scanned: Scanned,
    wanted: list[str] | None,
    held: set[str],
    place: Path,
    memory_limit: int | None,
    facts: LogFacts,
) -> Together:
    if scanned.facts.filters and scanned.facts.filters != stream.filters.words:
        told = "; ".join(scanned.facts.filters)
        raise BadOption(f"{place} holds {told}. Ask for the same: entity_types=, --type.")
    refuse_too_large(stream.expected_bytes(), limit=memory_limit, rows=stream.expected, label=stream.log.label)
    live = Masks.of(scanned.facts).on(source.frame(_new(stream, scanned)))
    types = {*held, *live["entity_type"].unique()}
    unknown = [name for name in wanted or () if name not in types]
    if unknown:
        has = ", ".join(map(repr, sorted(types))) or "none"
        raise UnknownEntityType(
            f"no entity type {', '.join(map(repr, unknown))} in {place} or {stream.log.label} since. It has {has}."
        )
    asked = types if wanted is None else types & set(wanted)
    until = stream.known()
    if facts.coverage.end is not None and until is not None:
        facts = replace(facts, coverage=replace(facts.coverage, end=max(facts.coverage.end, until)))
    facts = replace(facts, source=f"{facts.source} with {place}")
    return Together(scanned, live, facts, tuple(sorted(asked)))


def _new(stream: ChangeStream, scanned: Scanned) -> Iterator[pa.RecordBatch]:
    """What the live log has and the archive has not."""
    if not stream.by_position:
        yield from stream
        return
    unseen = Unseen(scanned.changes, stream.window, stream.log.recorded)
    for batch in stream:
        yield unseen.of(batch)

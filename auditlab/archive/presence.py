"""Prove that an archive has the rows of a part of a log: each of them, by what it says."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl

from auditlab.archive.row_digests import DIGESTS, recorded_digests
from auditlab.load.canonical import Canonical
from auditlab.load.parallel import batches
from auditlab.schema import TIME

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import pyarrow as pa

    from auditlab.archive.holds import Hold
    from auditlab.archive.read import Scanned
    from auditlab.connection import Connection
    from auditlab.load.catalog import LogTable
    from auditlab.load.cursor import Cursor
    from auditlab.load.retention import Bound

__all__ = ["Against", "Proof", "missing"]

_DAY = timedelta(days=1)
_BATCH_BYTES = 8 << 20
_BUCKETS = 16
"""Parts in which digests are looked up, so that the tables of a lookup stay small beside the digests."""


@dataclass(frozen=True, slots=True)
class Against:
    """What the partitions of a log are held against, and how they are read.

    Args:
        log: The log.
        scanned: The archive.
        held: The legal holds in force.
        zone: The time zone in which times without one are read.
        since: All transactions below this id were over when the partitions were first read.
        archive: What to call the archive in the record of what was dropped.
        cursor: Where the archive goes on; None where it does not.
    """

    log: LogTable
    scanned: Scanned
    held: Sequence[Hold]
    zone: str
    since: int
    archive: str
    cursor: Cursor | None

    def proof(self, part: Bound, batches: Iterable[pa.RecordBatch]) -> Proof:
        """Each of these rows of a partition (in the canonical columns) looked up in the archive.

        Compared are the columns that the log has: those that were derived when it was archived are not.
        """
        proof = Proof(self.log.recorded, self.held)
        live = proof.seen(batches)
        if len(live):
            proof.look_up(live, self.scanned.changes.filter(_inside(part)))
        return proof

    def rows(self, connection: Connection, query: str) -> Iterator[pa.RecordBatch]:
        """The result of a query in the canonical columns, entity types as they were recorded."""

        def prepare(batch: pa.RecordBatch) -> pa.RecordBatch:
            return Canonical(batch.schema, columns=self.log.without, zone=self.zone, what=self.log.label).batch(batch)

        return batches([connection], [query], prepare=prepare, batch_bytes=_BATCH_BYTES)


@dataclass(slots=True)
class Proof:
    """Rows of a log held against those of an archive.

    Args:
        columns: The columns that are compared.
        held: Holds: what they cover is counted.
        rows: How many rows were looked up.
        last_id: The highest id among them.
        last_transaction: The highest transaction id among them.
        types: How many are of each entity type, as recorded.
        missing: How many are not in the archive.
        first_missing: The lowest id of those.
        under: How many are under each hold, by its name.
    """

    columns: tuple[str, ...]
    held: Sequence[Hold] = ()
    rows: int = 0
    last_id: int | None = None
    last_transaction: int | None = None
    types: Counter[str] = field(default_factory=Counter)
    missing: int = 0
    first_missing: int | None = None
    under: dict[str, int] = field(default_factory=dict)

    def seen(self, batches: Iterable[pa.RecordBatch]) -> pl.DataFrame:
        """Count rows of the log, and give the digest of each: 24 bytes a row stay of them."""
        parts = [pl.DataFrame(schema=DIGESTS)]
        for batch in batches:
            if not batch.num_rows:
                continue
            rows = pl.DataFrame(pl.from_arrow(batch, rechunk=False))
            self.rows += len(rows)
            self.last_id = _most(self.last_id, rows["id"])
            self.last_transaction = _most(self.last_transaction, rows["transaction_id"])
            self.types.update(dict(rows["entity_type"].value_counts().iter_rows()))
            for one in self.held:
                count = rows.filter(one.covers()).height
                if count:
                    self.under[one.name] = self.under.get(one.name, 0) + count
            parts.append(recorded_digests(rows, self.columns))
        return pl.concat(parts)

    def look_up(self, live: pl.DataFrame, changes: pl.LazyFrame) -> None:
        """Look digests up among those of an archive's rows, which are read batch by batch."""
        archived = pl.concat(
            [
                pl.DataFrame(schema=DIGESTS),
                *(recorded_digests(rows, self.columns) for rows in changes.collect_batches()),
            ]
        )
        for bucket in range(_BUCKETS):
            own = pl.col("low") % _BUCKETS == bucket
            lost = live.filter(own).join(archived.filter(own), on=list(DIGESTS), how="anti")
            self.missing += len(lost)
            self.first_missing = _least(self.first_missing, lost["id"])


def _inside(part: Bound) -> pl.Expr:
    """The span of a partition in the archive; a day more at each end, for logs whose times have no zone."""
    found = pl.lit(value=True)
    if part.start is not None:
        found &= pl.col("changed_at") >= pl.lit(part.start - _DAY, dtype=TIME)
    if part.end is not None:
        found &= pl.col("changed_at") <= pl.lit(part.end + _DAY, dtype=TIME)
    return found


def _most(known: int | None, ids: pl.Series) -> int | None:
    return max((one for one in (known, ids.max()) if isinstance(one, int)), default=None)


def _least(known: int | None, ids: pl.Series) -> int | None:
    return min((one for one in (known, ids.min()) if isinstance(one, int)), default=None)


def missing(proof: Proof, part: Bound) -> str:
    """What a proof did not find, in words."""
    if proof.missing == 1:
        return f"1 row of {part.leaf.name} is not in the archive (id {proof.first_missing})"
    return f"{proof.missing:,} rows of {part.leaf.name} are not in the archive (the first has id {proof.first_missing})"

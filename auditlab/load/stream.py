"""A change log read from PostgreSQL as a stream of batches: one snapshot, bounded memory, nothing interpreted."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Self

import pyarrow as pa
import pyarrow.compute as pc

from auditlab.clock import Moment, instant
from auditlab.clock import zone as time_zone
from auditlab.connection import connect
from auditlab.errors import AccessDenied, BadOption, BadTime, CursorMismatch, IncompleteRead
from auditlab.load import catalog, estimate, retention, snapshots
from auditlab.load.canonical import Canonical
from auditlab.load.commit_times import Clock
from auditlab.load.coverage import begun, check_asked, covered
from auditlab.load.cursor import Cursor
from auditlab.load.filters import Entity, check_types, compose, narrowed, select
from auditlab.load.parallel import batches
from auditlab.load.partitions import folded
from auditlab.load.progress import counted
from auditlab.load.snapshot import Snapshot
from auditlab.load.times import UnrepresentableTime, in_words
from auditlab.load.watermark import check_trackable, has_transactions, held, wait_until_durable, watermark
from auditlab.queries import text
from auditlab.schema import LogFacts, seconds
from auditlab.visibility import LONGEST_TRANSACTION

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import TracebackType
    from uuid import UUID

    from auditlab.connection import Connection
    from auditlab.load.watermark import Held, Watermark
    from auditlab.marks import Mark

__all__ = ["ChangeStream"]

_BATCH_BYTES = 8 << 20
_FEWEST_BLOCKS = 256
"""Blocks of a table that are worth a query of their own."""


class ChangeStream:
    """The rows of a change log, in batches of the canonical columns, in no promised order.

    A context manager, and an iterator that may be used once. ``facts`` are whole when it is exhausted.

    Args:
        dsn: Where, or the snapshot to read in, which then stays open; see ``read_postgres`` for most other options.
        batch_bytes: About how large a batch may become.
        by_transaction: Read up to the snapshot's watermark, so that another stream can go on from ``cursor``. Of a log
            without transaction ids all is read that is committed.
        cursor: Where the stream before this one ended: what came since is read. Of a log without transaction ids,
            what may have come since: some of it was there before (``window``).
        overlap: Of such a log, how many seconds before the time of the cursor what is read begins.
        sweep: Of such a log, read all of it.
        since: Begin with the states of the last snapshot of the entities by then, and what it did not see.
    """

    def __init__(
        self,
        dsn: str | Snapshot,
        *,
        table: str = catalog.DEFAULT_TABLE,
        entity_types: str | Sequence[str] | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        partitions: str | Sequence[str] | None = None,
        user: str | UUID | int | None = None,
        entity: Entity | None = None,
        baseline: bool = True,
        columns: Mapping[str, str | None] | None = None,
        zone: str = "UTC",
        connections: int = 1,
        progress: bool | None = None,
        allow_unsafe_order: bool = False,
        clock: str | None = None,
        visible_within: float | None = None,
        batch_bytes: int = _BATCH_BYTES,
        by_transaction: bool = False,
        cursor: Cursor | None = None,
        overlap: float = LONGEST_TRANSACTION,
        sweep: bool = False,
        since: Moment | Mark | None = None,
    ) -> None:
        if connections < 1:
            raise BadOption(f"connections={connections}: at least one is needed.")
        for option, span in (("visible_within", visible_within), ("overlap", overlap)):
            if span is not None:
                seconds(option, span)
        if since is not None:
            snapshots.check_alone(
                start=start,
                end=end,
                partitions=partitions,
                user=user,
                entity=entity,
                baseline=None if baseline else False,
            )
        time_zone(zone)
        self._zone, self._connections, self._progress, self._batch_bytes = zone, connections, progress, batch_bytes
        self._start = None if start is None else instant(start, zone, bound=True)
        self._end = None if end is None else instant(end, zone, bound=True)
        self._clock = Clock(clock, by_time=start is not None or end is not None)
        self._visible_within = visible_within
        self._types: set[str] = set()
        self._part_by_part, self._overlap, self._sweep = by_transaction, timedelta(seconds=overlap), sweep
        self._last_id = None if cursor is None else cursor.id
        self.by_position = False
        self.window: tuple[datetime, int | None] | None = None
        with ExitStack() as undo:
            self._snapshot = dsn if isinstance(dsn, Snapshot) else undo.enter_context(Snapshot(dsn, table))
            holder = self._snapshot.holder
            self._moment = holder.rows(text("load", "moment"))[0]
            self.log = catalog.describe(
                holder,
                table,
                columns=columns,
                allow_unsafe_order=allow_unsafe_order,
                commit_times=self._moment["commit_times"],
            )
            self._marks = catalog.marks(holder)
            self._folds = catalog.folds(holder)
            self._kinds = catalog.kinds(holder)
            self.keys = catalog.keys(holder)
            self.tracked = catalog.tracked(holder, self.log)
            self._dropped = retention.dropped(holder, self.log, self._folds)
            self._since = None if since is None else snapshots.nearest(holder, self.log, since, zone=zone)
            wanted = [entity_types] if isinstance(entity_types, str) else entity_types
            self.filters = select(
                self.log,
                entity_types=wanted,
                start=self._start,
                end=self._end,
                partitions=[partitions] if isinstance(partitions, str) else partitions,
                user=user,
                baseline=baseline,
                folds=self._folds,
            )
            if self._since is not None:
                self.filters = replace(
                    self.filters, settings={**self.filters.settings, **snapshots.settings(self._since)}
                )
            self.filters.tell(holder)
            if wanted is not None and cursor is None:  # else its last change may be archived, and dropped here
                also = () if self._since is None else snapshots.types(holder)
                check_types(holder, self.log, wanted, folds=self._folds, also=also, dropped=self._dropped)
            if entity is not None:
                self.filters = narrowed(
                    self.filters, holder, self.log, entity, folds=self._folds, dropped=self._dropped
                )
                self.filters.tell(holder)
            own = cursor is None and self._start is None and self._since is None
            self._begun = begun(holder, self.log, self.filters, self._zone) if own else {}
            self.watermark = None if cursor is None and not by_transaction else self._limit(cursor)
            self.queries = self._split()
            with self._whole():
                self.expected = estimate.expected_rows(holder, self.queries)
            self._overtaken = self._find_overtaken()
            self._undo = undo.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        workers = [self._snapshot.holder]
        if self._connections > 1 and len(self.queries) > 1:
            workers = [self._snapshot.another() for _ in range(min(self._connections, len(self.queries)))]
            for worker in workers:
                self.filters.tell(worker)
        found = self._read(workers, self.queries)
        for batch in counted(found, total=self.expected, label=self.log.label, progress=self._progress):
            self._see(batch)
            yield batch

    @property
    def has_baseline(self) -> bool:
        """Whether there is a baseline: the load has a beginning, and its filters keep entities whole."""
        return self._since is not None or (self._start is not None and not self.filters.partial)

    def baseline(self) -> Iterator[pa.RecordBatch]:
        """Per entity the changes of its last transaction before the start, or its state; in the same snapshot."""
        if self.has_baseline:
            query = compose(
                "baseline" if self._since is None else "snapshot_states", self.log, given=self.filters.given
            )
            for batch in self._read([self._snapshot.holder], [query]):
                self._types.update(pc.unique(batch.column("entity_type")).to_pylist())
                yield batch

    @property
    def facts(self) -> LogFacts:
        """The log's facts; coverage and kinds are whole when the stream is exhausted."""
        coverage = covered(
            self._clock,
            start=self._start,
            begun=self._begun.get(self._clock.name),
            known=self.known(),
            filters=self.filters,
            dropped=self._dropped,
            gone=self._gone(),
            since=self._since,
        )
        return LogFacts(
            source=f"{self._snapshot.holder.label} {self.log.label}",
            system=self._moment["system"],
            zone=self._zone,
            clock=self._clock.name,
            coverage=coverage,
            filters=self.filters.words,
            kinds={name: self._kinds[name] for name in sorted(self._types) if name in self._kinds},
            keys={name: self.keys[name] for name in sorted(self._types) if name in self.keys},
            partial=self._unseen(),
            snapshot=self._seen(),
            timeline=self._moment["timeline"],
            marks=self._marks,
            visible_within=self._clock.visible_within if self._visible_within is None else self._visible_within,
            since=self._since,
        )

    def known(self) -> datetime | None:
        """Up to when all is known that was committed: now, on a standby what it had replayed; None where it is not."""
        now: datetime | None = self._snapshot.replayed if self._snapshot.standby else self._moment["now"]
        if now is None or self._end is None:
            return now and now.astimezone(UTC)
        return min(now.astimezone(UTC), self._end - timedelta(microseconds=1))

    def check_asked(self) -> None:
        """Raise or warn where what was asked for, and is read by now, was dropped from the log before."""
        if self._since is None:
            check_asked(self._dropped, self._clock, start=self._start, end=self._end)

    def _unseen(self) -> tuple[str, ...]:
        """The types of which rows may be that no change tells of: tracked without a baseline, or dropped in part."""
        if self._dropped is not None and self._since is None:
            return tuple(sorted(self._types.union(self._gone())))
        told = set() if self._since is None else set(self._since.partial)
        told.update(name for name, whole in self.tracked.items() if not whole)
        return tuple(sorted(told & self._types))

    def _gone(self) -> list[str]:
        """Of the types that are asked for, those of which changes were dropped and none is there any more."""
        if self._dropped is None or self.filters.gaps:  # what is not picked may be there
            return []
        types = self._dropped.entity_types
        return sorted(types.intersection(self.filters.types or types) - self._types)

    def _seen(self) -> str | None:
        """The transaction snapshot of what is read: up to a watermark, all and nothing else."""
        if self.watermark is None or self.by_position or not self._part_by_part:
            return self._moment["snapshot"]  # type: ignore[no-any-return]  # a text or null
        return f"{self.watermark.transaction}:{self.watermark.transaction}:"

    @property
    def now(self) -> datetime:
        """The moment at which the log is read, by the server's clock, UTC."""
        moment: datetime = self._moment["now"].astimezone(UTC)
        return moment

    def expected_bytes(self) -> int:
        """About how much memory the rows would take if they were held."""
        states = 0 if self._since is None else self._since.entities
        return estimate.expected_bytes(self._snapshot.holder, self.log, self.expected + states)

    def close(self) -> None:
        """Close the connections; what was not read is not."""
        self._undo.close()

    def _limit(self, cursor: Cursor | None) -> Watermark:
        """Narrow the filters to what came since the cursor, and to what is below the snapshot's watermark."""
        holder = self._snapshot.holder
        found, numbered = watermark(holder), has_transactions(holder, self.log)
        self.by_position = not numbered if cursor is None else cursor.transaction is None
        if cursor is not None:
            cursor.check(self._cursor(found), holder)
            retention.none_since(cursor, self._dropped)
            self._dropped = None  # what is read goes on behind it
        if self.by_position:
            limits = self._overlapping(cursor)
        elif numbered:
            check_trackable(holder, self.log, found)
            limits = {"from_transaction": str(0 if cursor is None else cursor.transaction)}
            limits |= {"to_transaction": str(found.transaction)} if self._part_by_part else {}
        else:
            raise CursorMismatch(f"the cursor is a transaction, and {self.log.label} has no transaction ids.")
        self.filters = replace(self.filters, settings={**self.filters.settings, **limits})
        self.filters.tell(holder)
        return found

    def _overlapping(self, cursor: Cursor | None) -> dict[str, str]:
        """Of a log without transaction ids: what is read again, because it may have been committed since."""
        if cursor is None or cursor.read_at is None or self._sweep:
            return {}
        zoneless = timedelta(days=0 if self._zone == "UTC" else 1)
        since = datetime.fromisoformat(cursor.read_at) - self._overlap - zoneless
        self.window = (since, cursor.id)
        return {"since": since.isoformat(), "since_id": str(-(2**63) if cursor.id is None else cursor.id)}

    def _cursor(self, found: Watermark) -> Cursor:
        return Cursor(
            system=self._moment["system"],
            timeline=found.timeline,
            database=self._moment["database"],
            table=self.log.label,
            oid=self.log.oid,
            transaction=None if self.by_position else found.transaction,
            id=self._last_id if self.by_position else None,
            read_at=(self.known() or self.now).isoformat() if self.by_position else None,
        )

    @property
    def cursor(self) -> Cursor | None:
        """Where the next stream goes on, when this one is exhausted; None for one that is not read part by part."""
        return self._cursor(self.watermark) if self.watermark is not None and self._part_by_part else None

    def left(self) -> Held | None:
        """What is committed and was left for the next time; None where all was read."""
        if self.watermark is None or self.by_position or not self._part_by_part:
            return None
        return held(self._snapshot.holder, self.log, self.watermark)

    def wait_until_durable(self) -> None:
        """Wait until what was read part by part is on the server's disk."""
        if self.watermark is not None:
            with connect(self._snapshot.dsn, autocommit=True) as connection:
                wait_until_durable(connection, self.watermark)

    def _split(self) -> list[str]:
        """The queries that together give each selected row once."""
        log, filters = self.log, self.filters
        if log.leaves and log.splits and (self._connections > 1 or filters.leaves is not None):
            leaves = log.leaves if filters.leaves is None else filters.leaves
            queries = [query for leaf in leaves for query in self._ranges(leaf, leaf.blocks)]
        else:
            queries = self._ranges(None, log.blocks)
        if self._start is not None and not filters.given & {"user", "partitions"}:
            queries.append(compose("stragglers", log, given=filters.given))
        return queries

    def _ranges(self, leaf: catalog.Leaf | None, blocks: int) -> list[str]:
        """Queries for ranges of a table's blocks, the last open at its end."""
        given = self.filters.given if leaf is None else self.filters.given - {"partitions"}
        pieces = max(1, min(2 * self._connections, blocks // _FEWEST_BLOCKS)) if self._connections > 1 else 1
        cuts: list[int | None] = [blocks * piece // pieces for piece in range(1, pieces)]
        queries = []
        for low, high in zip([None, *cuts], [*cuts, None], strict=True):
            bounds = {name: cut for name, cut in (("from_block", low), ("to_block", high)) if cut is not None}
            queries.append(compose("changes", self.log, given=given, leaf=leaf, blocks=bounds))
        return queries

    def _find_overtaken(self) -> pa.Array | None:
        if self._end is None:
            return None
        query = compose("overtaken", self.log, given=self.filters.given)
        ids = [row["id"] for row in self._snapshot.holder.rows(query)]
        return pa.array(ids, pa.int64()) if ids else None

    def _read(self, workers: list[Connection], queries: list[str]) -> Iterator[pa.RecordBatch]:
        with self._whole():
            try:
                yield from batches(workers, queries, prepare=self._prepare, batch_bytes=self._batch_bytes)
            except UnrepresentableTime as exc:
                raise BadTime(in_words(self._snapshot.holder, self.log, exc)) from exc

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """Tell row security that PostgreSQL found beneath a view from other missing rights."""
        try:
            yield
        except AccessDenied as exc:
            if "row-level security" in str(exc):
                raise IncompleteRead(f"row security would filter {self.log.label}: {exc}") from exc
            raise

    def _prepare(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        plan = Canonical(
            batch.schema, columns=self.log.without, zone=self._zone, what=self.log.label, elsewhere=catalog.BY_QUERY
        )
        batch = plan.batch(batch)
        if self._overtaken is not None:
            batch = batch.filter(pc.invert(pc.is_in(batch.column("id"), value_set=self._overtaken)))
        return folded(batch, self._folds)

    def _see(self, batch: pa.RecordBatch) -> None:
        if not batch.num_rows:
            return
        self._types.update(pc.unique(batch.column("entity_type")).to_pylist())
        self._clock.see(batch)
        if self.by_position:
            self._last_id = max(pc.max(batch.column("id")).as_py(), self._last_id or -(2**63))

"""A log held against the live tables, all in one snapshot of the database."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC
from functools import cached_property, partial
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from auditlab.analytics.cells import LiveFields
from auditlab.analytics.disagreements import Disagreements
from auditlab.analytics.findings import findings_frame
from auditlab.analytics.identity import SAMPLE, Identity, identity
from auditlab.analytics.last_states import last_states
from auditlab.analytics.outside import KINDS, TABLES
from auditlab.analytics.reconciliation import Reconciliation
from auditlab.analytics.table_check import LIVE_ROWS, TableCheck
from auditlab.analytics.told import AT, places
from auditlab.analytics.verdict import Population, Verdict
from auditlab.buckets.bucketed import Bucketed
from auditlab.buckets.compartments import Compartments
from auditlab.buckets.part import ARRIVAL
from auditlab.buckets.spill import compact
from auditlab.errors import IncompleteLog, SystemMismatch
from auditlab.load.catalog import DEFAULT_TABLE
from auditlab.load.live import LiveTable, live_rows, live_tables, rewritten
from auditlab.load.live_log import LiveLog, chunks
from auditlab.load.progress import counted
from auditlab.load.snapshot import Snapshot
from auditlab.queries import text
from auditlab.schema import CHANGES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from auditlab.load.live_log import Held
    from auditlab.selection import Selected

__all__ = ["reconcile"]

_WAITING = 6
"""The part (1 in ...) of a question's room that live rows may take while they are dealt out: nothing else does then."""

_EPOCH = 2**32
_FIRST_TRANSACTION = 3
"""The first id that is a transaction's; a row with one below is older than any of them."""


def reconcile(
    selected: Selected | None,
    dsn: str,
    *,
    entity_types: str | Sequence[str] | None = None,
    table: str = DEFAULT_TABLE,
    columns: Mapping[str, str | None] | None = None,
    progress: bool | None = None,
    memory_limit: int | None = None,
    allow_unsafe_order: bool = False,
) -> Reconciliation:
    """The replayed log held against the live tables: rows changed, inserted or removed outside the log.

    Log and tables are read in one snapshot, so nothing is found that is merely under way. A log that was loaded or
    archived earlier is held against the live log too: what came since is added to it, and changes that are gone from
    the live log, or stand otherwise there, are findings of their own. What was recorded is compared, whatever renames
    and upcasters the log is read with.

    Args:
        selected: The log, some types of it or one entity; None takes the live log, all of it.
        dsn: The database: a libpq URL or ``key=value`` text.
        entity_types: With ``selected=None``, one or several entity types; None for all that the log has, and for those
            that our capture tracks and that have no change yet.
        table: The live log's name as SQL writes it.
        columns: Canonical name to the live log's own, for columns that are called otherwise.
        progress: Whether to show progress on stderr; None shows it where that is a terminal.
        memory_limit: With ``selected=None``, bytes that the live log may take in memory; None asks the system. The
            tables are streamed; of a log that is asked bucket by bucket they, and the live log, are dealt out like it.
        allow_unsafe_order: Whether to take a log whose ids were handed out in batches.

    Raises:
        IncompleteLog: single changes are picked, the log was loaded without what came before, or fields were withheld
            from it when it was written.
        SystemMismatch: the log is another database's.
        UnknownEntityType: neither the log nor the capture knows a type.
        AccessDenied, IncompleteRead: the role may not read a table, or would not see all of it.
        ConnectionFailed, NotInstalled, NoSuchTable, SchemaMismatch, UnsafeOrder: as ``read_postgres``.
        LogTooLarge: the live log does not fit in memory, or, of a log that is asked bucket by bucket, the history of
            a single entity does not.
    """
    if selected is not None:
        selected = selected.as_recorded()
        selected.require_states("reconcile")
        _check_whole(selected)
        _ = selected.recorded.malformed  # it is read, or dealt out, before the snapshot is held
    found = Disagreements(None if selected is None else selected.recorded.room)
    with Snapshot(dsn, table) as snapshot:
        moment = snapshot.holder.rows(text("load", "moment"))[0]
        _check_system(selected, moment["system"], snapshot.holder.label)
        log = LiveLog(snapshot, table, columns=columns, progress=progress, allow_unsafe_order=allow_unsafe_order)
        if selected is None:
            wanted = [entity_types] if isinstance(entity_types, str) else entity_types
            held = log.whole(wanted, found, memory_limit=memory_limit)
        else:
            held = log.since(selected, found)
        tables = _Tables(snapshot, log, held, progress=progress).compared(found)
    return Reconciliation(
        findings=findings_frame(found.counts, KINDS),
        tables=tables,
        at=moment["now"].astimezone(UTC),
        snapshot=moment["snapshot"],
        source=snapshot.holder.label,
        _found=found,
    )


class _Tables:
    """The live tables of a log's types, held against it one by one, in each part of it."""

    def __init__(self, snapshot: Snapshot, log: LiveLog, held: Held, *, progress: bool | None) -> None:
        self._log, self._held, self._progress = log, held, progress
        self._recorded = held.log.recorded
        self._holder = snapshot.holder
        self._reader = snapshot.another()  # a connection streams rows, or judges values
        for connection in (self._holder, self._reader):
            connection.set_local("search_path", "pg_catalog, pg_temp")
        self._next: int = self._holder.rows(text("load", "next_transaction"))[0]["id"]

    def compared(self, found: Disagreements) -> pl.DataFrame:
        """``outside.TABLES``; what was found is told."""
        types, recorded = self._held.entity_types, self._recorded
        live = live_tables(self._holder, types)
        newest = self._newest()
        known_by = {name: self._known_by(name, live.get(name), newest) for name in types}
        tables = {name: (live[name], way) for name, way in known_by.items() if isinstance(way, Identity)}
        verdict = Verdict(recorded, list(tables), found, self._population)
        rows_of = self._rows_by_part(tables)
        counts = {name: (0, table.rows if (table := live.get(name)) else 0, 0) for name in types}
        for number, part in enumerate(recorded.parts()):
            for name in types:
                if name not in tables:
                    logged, others = int(last_states(part, name)["live"].sum()), counts[name]
                    counts[name] = (others[0] + logged, *others[1:])
                    continue
                fields = self._fields(tables[name][0])
                check = TableCheck(replace(self._held.log, recorded=part), name, fields, verdict, self._held.only)
                for rows in rows_of(number, name):
                    check.take(rows)
                check.finish()
        verdict.judge()
        named = self._held.named
        lost = [name for name in types if name not in tables and (named or counts[name][0])]
        notes = pl.DataFrame({"entity_type": lost, "note": [str(known_by[name]) for name in lost]}, schema=_NOTES)
        found.add("not comparable", notes)
        counts |= verdict.counts
        told = [(name, *counts[name]) for name in types if name in tables or name in lost]
        return pl.DataFrame(told, schema=TABLES, orient="row")

    def _known_by(self, entity_type: str, table: LiveTable | None, newest: pl.DataFrame) -> Identity | str:
        if table is None:
            return "there is no such table any more: it was dropped or renamed"
        if table.odd:
            return f"it is {table.odd} now: what happens to the rows behind it is not recorded under this name"
        return identity(
            newest.filter(pl.col("entity_type") == entity_type),
            keys=table.keys,
            columns=table.types,
            uuids=[name for name, kind in table.types.items() if kind == "uuid"],
            tracked=entity_type in self._log.tracked,
        )

    def _newest(self) -> pl.DataFrame:
        """The last changes of each type, by which it is told how the log knows its rows."""
        names = ("entity_type", "entity_id", "before_snapshot", "after_snapshot", "metadata")
        newest = pl.DataFrame(schema={name: CHANGES[name] for name in names} | dict.fromkeys(AT, pl.Int64()))
        for part in self._recorded.parts():
            rows = part.changes.filter(pl.col("entity_id").is_not_null()).select(*names, "position")
            for name in self._held.entity_types:
                last = rows.filter(pl.col("entity_type") == name).tail(SAMPLE)
                newest.extend(last.drop("position").hstack(places(part, last["position"])))
            newest = compact(newest.sort(AT).group_by("entity_type", maintain_order=True).tail(SAMPLE))
        return newest

    def _rows_by_part(
        self, tables: Mapping[str, tuple[LiveTable, Identity]]
    ) -> Callable[[int, str], Iterator[pl.DataFrame]]:
        """Gives the rows of a type's table that belong to a part of the log: as they come, or dealt out before."""
        recorded = self._recorded
        if not isinstance(recorded, Bucketed):
            return lambda _, name: self._rows(*tables[name])
        types = list(tables)
        dealt = Compartments(recorded.count * len(types), room=recorded.room // _WAITING)
        for place, (table, known_by) in enumerate(tables.values()):
            for rows in self._rows(table, known_by):
                dealt.deal(rows, recorded.numbers_of(rows["entity_id"]) * len(types) + place)
        return lambda number, name: dealt.frames(number * len(types) + types.index(name))

    def _rows(self, table: LiveTable, known_by: Identity) -> Iterator[pl.DataFrame]:
        """The table's rows: ``table_check.LIVE_ROWS``."""
        batches = live_rows(self._reader, table, known_by)
        shown = counted(batches, total=table.rows, label=table.entity_type, progress=self._progress, unit="rows")
        arrived = 0
        for rows in chunks(shown):
            short = pl.col("written")
            full = pl.when(short >= _FIRST_TRANSACTION).then(self._next - (self._next - short) % _EPOCH).otherwise(0)
            numbers = pl.int_range(pl.len(), dtype=pl.Int64) + arrived
            yield rows.with_columns(full.alias("written"), numbers.alias(ARRIVAL)).select(*LIVE_ROWS)
            arrived += len(rows)

    def _fields(self, table: LiveTable) -> LiveFields:
        return LiveFields(
            kinds=self._log.kinds.get(table.entity_type, {}),
            types=table.types,
            missing=table.missing,
            ignored=table.virtual,
            rewrite=partial(rewritten, self._holder, table),
        )

    def _population(self, entity_type: str) -> Population:
        """Which rows of a type the log must have."""
        recorded, first = self._recorded, self._first.get(entity_type)
        if entity_type in recorded.begun and not (first is not None and first.baseline):
            return Population(whole=True)
        if self._log.tracked.get(entity_type) and entity_type not in recorded.unseen and self._first_id <= 1:
            return Population(whole=True)
        least, latest = self._transactions
        since = least if first is None else self._last_transaction(first.id)
        if since is None or latest is None or not latest < self._next < _EPOCH:
            return Population(whole=False)
        return Population(whole=False, since=since)

    @cached_property
    def _first(self) -> dict[str, _First]:
        """Of each type its lowest id, and whether any of its rows is of the baseline."""
        parts = [part.changes.select("entity_type", "id", "baseline") for part in self._recorded.parts()]
        told = [part.group_by("entity_type").agg(pl.min("id"), pl.any("baseline")) for part in parts]
        firsts = pl.concat(told).group_by("entity_type").agg(pl.min("id"), pl.any("baseline"))
        return {name: _First(id_, baseline) for name, id_, baseline in firsts.iter_rows()}

    @cached_property
    def _transactions(self) -> tuple[int | None, int | None]:
        """The least and the largest transaction id of the log."""
        parts = (part.changes["transaction_id"].drop_nulls() for part in self._recorded.parts())
        ends = pl.concat([pl.concat([ids.bottom_k(1), ids.top_k(1)]) for ids in parts])
        return min(ends, default=None), max(ends, default=None)

    def _last_transaction(self, until: int) -> int | None:
        """The largest transaction id of the changes up to an id."""
        early = (part.changes.filter(pl.col("id") <= until)["transaction_id"] for part in self._recorded.parts())
        return max(pl.concat([ids.top_k(1) for ids in early]).drop_nulls(), default=None)

    @cached_property
    def _first_id(self) -> int:
        """The lowest id that the log has; 1 where nothing was ever taken from its beginning."""
        ids = (*(first.id for first in self._first.values()), self._log.oldest_id())
        return min((one for one in ids if one is not None), default=1)


class _First(NamedTuple):
    id: int
    baseline: bool


_NOTES = {"entity_type": pl.String(), "note": pl.String()}


def _check_whole(selected: Selected) -> None:
    if own := selected.withheld(*selected.entity_types):
        raise IncompleteLog(
            f"fields were withheld when this log was written: {', '.join(own)}. It does not have the rows as they were "
            "recorded, and every row would differ. Hold a log of all fields against the tables, or the database's own; "
            "types without such fields can be held by themselves."
        )


def _check_system(selected: Selected | None, system: str, label: str) -> None:
    known = None if selected is None else selected.recorded.facts.system
    if selected is not None and known is not None and known != system:
        raise SystemMismatch(
            f"the log is of system {known} ({selected.recorded.facts.source}); {label} is system {system}. "
            "A log is held against the tables that it was written for."
        )

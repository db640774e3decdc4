"""A log held against the live tables, all in one snapshot of the database."""

from __future__ import annotations

from datetime import UTC
from functools import cached_property, partial
from typing import TYPE_CHECKING

import polars as pl

from auditlab import malformed
from auditlab.analytics.cells import LiveFields
from auditlab.analytics.findings import findings_frame
from auditlab.analytics.identity import Identity, identity
from auditlab.analytics.last_states import last_states
from auditlab.analytics.outside import KINDS, TABLES, shaped
from auditlab.analytics.reconciliation import Reconciliation
from auditlab.analytics.table_check import Population, TableCheck
from auditlab.buckets.bucketed import Bucketed
from auditlab.errors import SystemMismatch
from auditlab.load.catalog import DEFAULT_TABLE
from auditlab.load.live import LiveTable, live_rows, live_tables, rewritten
from auditlab.load.live_log import LiveLog, chunks
from auditlab.load.progress import counted
from auditlab.load.snapshot import Snapshot
from auditlab.queries import text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from auditlab.load.live_log import Held
    from auditlab.selection import Selected

__all__ = ["reconcile"]

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
        memory_limit: Bytes that the live log may take in memory; None asks the system. The tables are streamed.
        allow_unsafe_order: Whether to take a log whose ids were handed out in batches.

    Raises:
        IncompleteLog: single changes are picked, or the log was loaded without what came before.
        SystemMismatch: the log is another database's.
        UnknownEntityType: neither the log nor the capture knows a type.
        AccessDenied, IncompleteRead: the role may not read a table, or would not see all of it.
        ConnectionFailed, NotInstalled, NoSuchTable, SchemaMismatch, UnsafeOrder: as ``read_postgres``.
        LogTooLarge: the log is asked bucket by bucket, or what came since does not fit in memory.
    """
    if selected is not None:
        selected = selected.as_recorded()
        selected.require_states("reconcile")
        if isinstance(selected.recorded, Bucketed):
            selected.recorded.refuse("reconcile() puts what came since to the log, and")
    with Snapshot(dsn, table) as snapshot:
        moment = snapshot.holder.rows(text("load", "moment"))[0]
        _check_system(selected, moment["system"], snapshot.holder.label)
        log = LiveLog(snapshot, table, columns=columns, progress=progress, allow_unsafe_order=allow_unsafe_order)
        if selected is None:
            wanted = [entity_types] if isinstance(entity_types, str) else entity_types
            held = log.whole(wanted, memory_limit=memory_limit)
        else:
            held = log.since(selected)
        found, tables = _Tables(snapshot, log, held, progress=progress).compared()
    parts = [_malformed(held.log), held.faults, found]
    faults = {kind: part[kind] for part in parts for kind in part if not part[kind].is_empty()}
    return Reconciliation(
        findings=findings_frame({kind: _count(rows) for kind, rows in faults.items()}, KINDS),
        tables=tables,
        at=moment["now"].astimezone(UTC),
        snapshot=moment["snapshot"],
        source=snapshot.holder.label,
        _faults=faults,
        _log=held.log.recorded.changes,
    )


class _Tables:
    """The live tables of a log's types, held against it one by one."""

    def __init__(self, snapshot: Snapshot, log: LiveLog, held: Held, *, progress: bool | None) -> None:
        self._log, self._held, self._progress = log, held, progress
        self._holder = snapshot.holder
        self._reader = snapshot.another()  # a connection streams rows, or judges values
        for connection in (self._holder, self._reader):
            connection.set_local("search_path", "pg_catalog, pg_temp")
        self._next: int = self._holder.rows(text("load", "next_transaction"))[0]["id"]
        self._changes = held.log.recorded.changes

    def compared(self) -> tuple[dict[str, pl.DataFrame], pl.DataFrame]:
        """What was found, by kind, and ``outside.TABLES``."""
        live = live_tables(self._holder, self._held.entity_types)
        found: dict[str, list[pl.DataFrame]] = {}
        counts = []
        for entity_type in self._held.entity_types:
            table = live.get(entity_type)
            known_by = self._known_by(entity_type, table)
            if isinstance(known_by, str) or table is None:
                logged = last_states(self._held.log.recorded, entity_type)["live"].sum()
                if logged:
                    why = pl.DataFrame({"entity_type": [entity_type], "note": [str(known_by)]})
                    found.setdefault("not comparable", []).append(shaped(why))
                    counts.append((entity_type, logged, table.rows if table else 0, 0))
                continue
            check = self._check(table, known_by)
            for kind, rows in check.finish().items():
                found.setdefault(kind, []).append(rows)
            counts.append((entity_type, check.logged, check.live, check.equal))
        tables = pl.DataFrame(counts, schema=TABLES, orient="row")
        return {kind: pl.concat(parts) for kind, parts in found.items()}, tables

    def _known_by(self, entity_type: str, table: LiveTable | None) -> Identity | str:
        if table is None:
            return "there is no such table any more: it was dropped or renamed"
        if table.odd:
            return f"it is {table.odd} now: what happens to the rows behind it is not recorded under this name"
        return identity(
            self._changes.filter(pl.col("entity_type") == entity_type),
            keys=table.keys,
            columns=table.types,
            uuids=[name for name, kind in table.types.items() if kind == "uuid"],
            tracked=entity_type in self._log.tracked,
        )

    def _check(self, table: LiveTable, known_by: Identity) -> TableCheck:
        """The table's rows, all of them compared."""
        fields = LiveFields(
            kinds=self._log.kinds.get(table.entity_type, {}),
            types=table.types,
            missing=table.missing,
            ignored=table.virtual,
            rewrite=partial(rewritten, self._holder, table),
        )
        owes = partial(self._population, table.entity_type)
        check = TableCheck(self._held.log, table.entity_type, fields, owes, self._held.only)
        batches = live_rows(self._reader, table, known_by)
        shown = counted(batches, total=table.rows, label=table.entity_type, progress=self._progress, unit="rows")
        for rows in chunks(shown):
            short = pl.col("written")
            full = pl.when(short >= _FIRST_TRANSACTION).then(self._next - (self._next - short) % _EPOCH).otherwise(0)
            check.take(rows.with_columns(written=full))
        return check

    def _population(self, entity_type: str) -> Population:
        """Which rows of a type the log must have."""
        recorded = self._held.log.recorded
        own = recorded.changes.filter(pl.col("entity_type") == entity_type)
        if entity_type in recorded.begun and not own["baseline"].any():
            return Population(whole=True)
        if self._log.tracked.get(entity_type) and entity_type not in recorded.unseen and self._first_id <= 1:
            return Population(whole=True)
        known = self._changes if own.is_empty() else self._changes.filter(pl.col("id") <= own["id"].min())
        since: int | None = known["transaction_id"].min() if own.is_empty() else known["transaction_id"].max()  # type: ignore[assignment]  # whole numbers
        latest = self._changes["transaction_id"].max()
        if since is None or latest is None or not latest < self._next < _EPOCH:  # type: ignore[operator]  # the same
            return Population(whole=False)
        return Population(whole=False, since=since)

    @cached_property
    def _first_id(self) -> int:
        """The lowest id that the log has; 1 where nothing was ever taken from its beginning."""
        ids = (self._changes["id"].min(), self._log.oldest_id())
        return min((one for one in ids if isinstance(one, int)), default=1)


def _check_system(selected: Selected | None, system: str, label: str) -> None:
    known = None if selected is None else selected.recorded.facts.system
    if selected is not None and known is not None and known != system:
        raise SystemMismatch(
            f"the log is of system {known} ({selected.recorded.facts.source}); {label} is system {system}. "
            "A log is held against the tables that it was written for."
        )


def _malformed(log: Selected) -> dict[str, pl.DataFrame]:
    """Rows that are no changes, and that no state takes into account."""
    aside = log.recorded.malformed
    if aside is None:
        return {}
    own = pl.col("entity_type").is_in(log.entity_types) & (pl.col("kind") != malformed.COPY)
    return {"malformed change": shaped(aside.filter(own).rename({"kind": "note"}))}


def _count(rows: pl.DataFrame) -> int:
    """How many rows of tables, or changes of the log, a finding is about, each once however many fields differ."""
    about = ["entity_type", "entity_id", *(name for name in rows.columns if name == "id")]
    fields = rows.filter(pl.col("field").is_not_null())
    return fields.select(about).n_unique() + len(rows) - len(fields)

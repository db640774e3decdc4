"""ChangeLog: a change log, what it holds, and the questions it answers."""

from __future__ import annotations

from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING, Literal, TypeVar

import polars as pl
import pyarrow as pa

from auditlab import selectors
from auditlab.archive import keep
from auditlab.archive.checkpoint import AFTER
from auditlab.buckets.answers import asked
from auditlab.buckets.bucketed import Bucketed
from auditlab.description import description
from auditlab.documented import documented
from auditlab.engines import engine as engine_named
from auditlab.load import reconcile as reconcile_
from auditlab.reading import renames
from auditlab.reading import upcasters as upcasters_
from auditlab.records import records
from auditlab.schema import CHANGES, EntityChange, LogFacts
from auditlab.selection import Selected
from auditlab.temporal import diff
from auditlab.verbs import Verbs
from auditlab.viewing import Viewing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from uuid import UUID

    from auditlab.analytics.reconciliation import Reconciliation
    from auditlab.archive.write import ArchiveSummary
    from auditlab.clock import Moment
    from auditlab.reading.renames import Names
    from auditlab.reading.upcasters import Upcasters
    from auditlab.selectors import Marks
    from auditlab.temporal.pit import Spine

__all__ = ["ChangeLog", "pit_join", "reconcile"]

F = TypeVar("F", pl.DataFrame, pl.LazyFrame)


@documented
class ChangeLog(Verbs[F], Viewing):
    """A change log, or a selection of one; immutable.

    Selectors give a smaller log: ``of`` and ``entity`` keep whole histories, so every verb works on them; ``by``,
    ``between``, ``transaction``, ``correlation`` and ``where`` pick single changes, of which ``changes``, ``diffs``,
    ``timeline`` and ``summary`` tell. Verbs answer with a ``pl.DataFrame``; those of a scanned archive with a
    ``pl.LazyFrame``.

    A log is made by :func:`auditlab.read_postgres`, :func:`auditlab.from_arrow`, :func:`auditlab.read_parquet` and
    :func:`auditlab.scan_archive`.
    """

    __slots__ = ()

    # what it holds

    @property
    def facts(self) -> LogFacts:
        """Source, time zone, clock, coverage and filters of the log."""
        return self._selected.recorded.facts

    @property
    def entity_types(self) -> tuple[str, ...]:
        """The selected entity types, by name."""
        return self._selected.entity_types

    @property
    def malformed(self) -> pl.DataFrame:
        """Rows set apart, ``kind`` says why: no changes (of a load with ``strict=False``), or copies of another row."""
        rows = self._selected.recorded.malformed
        return pl.DataFrame(schema={"kind": pl.String(), **CHANGES}) if rows is None else rows

    def fields(self) -> pl.DataFrame:
        """The fields of the selected types: entity_type, field, dtype, kind and note, all String.

        ``note`` says why a field is text where a typed column was to be expected.
        """
        rows = [
            (shape.entity_type, column.name, str(column.dtype), column.kind, column.note)
            for shape in _some(self._selected).shapes()
            for column in shape.columns
        ]
        names = ("entity_type", "field", "dtype", "kind", "note")
        return pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")

    def __len__(self) -> int:
        recorded = self._selected.recorded
        if isinstance(recorded, Bucketed):
            return sum(len(rows) for _, rows in asked(recorded, self._selected, Selected.changes))
        return self._selected.changes().height

    def __iter__(self) -> Iterator[EntityChange]:
        """:func:`auditlab.records.records`: the selected changes as records, in the log's order."""
        return (record for changes in self._batches() for record in records(changes))

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The selected changes as an Arrow stream, for any library that takes one."""
        if not isinstance(self._selected.recorded, Bucketed):
            return diff.changes(self._selected).__arrow_c_stream__(requested_schema)
        parts = (batch for changes in self._batches() for batch in changes.to_arrow().to_batches())
        schema = pl.DataFrame(schema=CHANGES).to_arrow().schema
        return pa.RecordBatchReader.from_batches(schema, parts).__arrow_c_stream__(requested_schema)

    def __repr__(self) -> str:
        return "\n".join(f"{name:<10} {value}" for name, value in description(self._selected))

    def _repr_html_(self) -> str:
        left = 'style="text-align: left"'  # where notebooks put all to the right
        rows = "".join(
            f"<tr><th {left}>{escape(name)}</th><td {left}>{escape(value)}</td></tr>"
            for name, value in description(self._selected)
        )
        return f"<table>{rows}</table>"

    # selectors

    def on(self, engine: str) -> ChangeLog[F]:
        """The same log, answered by ``polars`` (in memory) or ``duckdb``."""
        return self._of(replace(self._selected, engine=engine_named(engine)))

    def of(self, *entity_types: str) -> ChangeLog[F]:
        """:func:`auditlab.selectors.of`: the histories of one entity type, or of several."""
        return self._of(selectors.of(self._selected, *entity_types))

    def entity(self, key: object, entity_type: str | None = None) -> ChangeLog[F]:
        """:func:`auditlab.selectors.entity`: the history of one entity, by its id or its primary key."""
        return self._of(selectors.entity(self._selected, key, entity_type))

    def with_marks(self, marks: Marks, *, visible_within: float | None = None) -> ChangeLog[F]:
        """:func:`auditlab.selectors.with_marks`: the same log, with these marks of its database beside it."""
        return self._of(selectors.with_marks(self._selected, marks, visible_within=visible_within))

    def by(self, user: str | int | UUID | None) -> ChangeLog[F]:
        """:func:`auditlab.selectors.by`: the changes of one user; None picks those without a user."""
        return self._of(selectors.by(self._selected, user))

    def between(self, start: Moment, end: Moment) -> ChangeLog[F]:
        """:func:`auditlab.selectors.between`: the changes recorded from ``start`` up to, not including, ``end``."""
        return self._of(selectors.between(self._selected, start, end))

    def transaction(self, transaction_id: int) -> ChangeLog[F]:
        """:func:`auditlab.selectors.transaction`: the changes of one transaction."""
        return self._of(selectors.transaction(self._selected, transaction_id))

    def correlation(self, correlation_id: str | int | UUID | None) -> ChangeLog[F]:
        """:func:`auditlab.selectors.correlation`: the changes of one correlation id, across transactions."""
        return self._of(selectors.correlation(self._selected, correlation_id))

    def where(self, *predicates: pl.Expr, **equal: object) -> ChangeLog[F]:
        """:func:`auditlab.selectors.where`: the changes that meet every predicate over the canonical columns."""
        return self._of(selectors.where(self._selected, *predicates, **equal))

    # readings

    def renamed(
        self, names: Names, *, before: int | None = None, before_transaction: int | None = None
    ) -> ChangeLog[F]:
        """:func:`auditlab.reading.renames.renamed`: the log with fields read under their later names."""
        return self._of(renames.renamed(self._selected, names, before=before, before_transaction=before_transaction))

    def upcast(self, upcasters: Upcasters) -> ChangeLog[F]:
        """:func:`auditlab.reading.upcasters.upcast`: the same log, every document read as of the current version."""
        return self._of(upcasters_.upcast(self._selected, upcasters))

    # keeping

    def to_archive(
        self,
        folder: str | Path,
        *,
        sign: str | Path | None = None,
        mask_fields: Sequence[str] = (),
        omit_fields: Sequence[str] = (),
        checkpoint_after: int | None = AFTER,
    ) -> ArchiveSummary:
        """:func:`auditlab.archive.keep.to_archive`: the log as an archive in a new folder; ``sign`` is a key's file."""
        return keep.to_archive(
            self._selected,
            folder,
            sign=sign,
            mask_fields=mask_fields,
            omit_fields=omit_fields,
            checkpoint_after=checkpoint_after,
        )

    def _batches(self) -> Iterator[pl.DataFrame]:
        """The selected changes in the log's order: at once, or some at a time of a log larger than memory."""
        changes = self.changes() if isinstance(self._selected.recorded, Bucketed) else self._selected.changes()
        return changes.collect_batches() if isinstance(changes, pl.LazyFrame) else iter([changes])

    def _of(self, selected: Selected) -> ChangeLog[F]:
        return ChangeLog(selected, lazy=self._lazy)


def _some(selected: Selected) -> Selected:
    """The selection of a log, or of the first part of one that is dealt out: all have the same fields."""
    recorded = selected.recorded
    return replace(selected, recorded=next(recorded.parts())) if isinstance(recorded, Bucketed) else selected


def pit_join(
    spine: Spine,
    log: ChangeLog[F],
    *,
    entity: str = "entity_id",
    at: str = "at",
    known: str | None = None,
    valid: str | None = None,
    fields: Sequence[str] | None = None,
    outside: Literal["raise", "flag"] = "raise",
) -> F:
    """:func:`auditlab.temporal.pit.pit_join`: each row of a spine with its entity's state as of its time."""
    return log.pit_join(spine, entity=entity, at=at, known=known, valid=valid, fields=fields, outside=outside)


def reconcile(
    log: ChangeLog[F] | None,
    dsn: str,
    *,
    entity_types: str | Sequence[str] | None = None,
    table: str = "audit.entity_change_log",
    columns: Mapping[str, str | None] | None = None,
    progress: bool | None = None,
) -> Reconciliation:
    """:func:`auditlab.load.reconcile.reconcile`: a log against the live tables; None takes the live log itself."""
    if log is None:
        return reconcile_.reconcile(
            None, dsn, entity_types=entity_types, table=table, columns=columns, progress=progress
        )
    types = [entity_types] if isinstance(entity_types, str) else entity_types
    chosen = log if types is None else log.of(*types)
    return chosen.reconcile(dsn, table=table, columns=columns, progress=progress)

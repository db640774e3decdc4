"""ChangeLog: a change log, what it holds, and the questions it answers."""

from __future__ import annotations

from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING, Generic, Literal, TypeVar, cast

import polars as pl

from auditlab import marks as marks_
from auditlab import queries, selectors
from auditlab.analytics import drift as drift_
from auditlab.analytics import evidence as evidence_
from auditlab.analytics import summary as summary_
from auditlab.archive import keep
from auditlab.description import description
from auditlab.engines import engine as engine_named
from auditlab.errors import BadOption, UnknownEntity
from auditlab.lazy import lazy
from auditlab.load import reconcile as reconcile_
from auditlab.reading import renames
from auditlab.reading import upcasters as upcasters_
from auditlab.records import records
from auditlab.schema import CHANGES, EntityChange, LogFacts
from auditlab.temporal import aggregate as aggregate_
from auditlab.temporal import asof, diff, doubt, pit
from auditlab.temporal import blame as blame_
from auditlab.temporal import compare as compare_
from auditlab.temporal import history as history_
from auditlab.temporal import key_changes as key_changes_
from auditlab.temporal import replay as replay_
from auditlab.temporal import timeline as timeline_
from auditlab.temporal import why_not as why_not_

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from auditlab.analytics.reconciliation import Reconciliation
    from auditlab.archive.write import ArchiveSummary
    from auditlab.clock import Moment
    from auditlab.marks import Mark
    from auditlab.reading.renames import Names
    from auditlab.reading.upcasters import Upcasters
    from auditlab.selection import Selected
    from auditlab.selectors import Marks
    from auditlab.temporal.patterns import Patterns
    from auditlab.temporal.pit import Spine
    from auditlab.temporal.tolerance import Tolerance

__all__ = ["ChangeLog", "pit_join", "reconcile"]

F = TypeVar("F", pl.DataFrame, pl.LazyFrame)

QUERIES = {
    "as_of": ("as_of", "as_of_mark"),
    "doubtful": ("doubtful",),
    "history": ("history",),
    "diffs": ("diffs",),
    "compare": ("compare", "compare_steps"),
    "blame": ("blame",),
    "pit_join": ("pit_join", "pit_join_known"),
    "timeline": ("timeline",),
    "replay": ("replay", "replay_steps"),
    "aggregate": ("aggregate",),
    "summary": tuple(f"summary_{name}" for name in ("totals", "by_operation", "by_user", "by_type", "by_period")),
}
"""The queries behind each verb."""


class ChangeLog(Generic[F]):
    """A change log, or a selection of one; immutable.

    Selectors give a smaller log: ``of`` and ``entity`` keep whole histories, so every verb works on them; ``by``,
    ``between``, ``transaction``, ``correlation`` and ``where`` pick single changes, of which ``changes``, ``diffs``,
    ``timeline`` and ``summary`` tell. Verbs answer with a ``pl.DataFrame``; those of a scanned archive with a
    ``pl.LazyFrame``.

    A log is made by :func:`auditlab.read_postgres`, :func:`auditlab.from_arrow`, :func:`auditlab.read_parquet` and
    :func:`auditlab.scan_archive`.
    """

    __slots__ = ("_lazy", "_selected")

    def __init__(self, selected: Selected, *, lazy: bool = False) -> None:
        self._selected = selected
        self._lazy = lazy

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
            (shape.entity_type, column.name, str(column.typed.dtype), column.kind, column.note)
            for shape in self._selected.shapes()
            for column in shape.columns
        ]
        names = ("entity_type", "field", "dtype", "kind", "note")
        return pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")

    def sql(self, verb: str) -> str:
        """The SQL that a verb runs, as it stands in ``sql/analysis``."""
        if verb not in QUERIES:
            raise BadOption(f"no SQL behind {verb!r}. There is for {', '.join(QUERIES)}.")
        return "\n".join(queries.text("analysis", name) for name in QUERIES[verb])

    def __len__(self) -> int:
        return self._selected.changes().height

    def __iter__(self) -> Iterator[EntityChange]:
        """:func:`auditlab.records.records`: the selected changes as records, in the log's order."""
        return records(self._selected.changes())

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The selected changes as an Arrow stream, for any library that takes one."""
        return diff.changes(self._selected).__arrow_c_stream__(requested_schema)

    def __repr__(self) -> str:
        return "\n".join(f"{name:<10} {value}" for name, value in description(self._selected))

    def _repr_html_(self) -> str:
        pairs = description(self._selected)
        rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in pairs)
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

    def by(self, user: str | None) -> ChangeLog[F]:
        """:func:`auditlab.selectors.by`: the changes of one user; None picks those without a user."""
        return self._of(selectors.by(self._selected, user))

    def between(self, start: Moment, end: Moment) -> ChangeLog[F]:
        """:func:`auditlab.selectors.between`: the changes recorded from ``start`` up to, not including, ``end``."""
        return self._of(selectors.between(self._selected, start, end))

    def transaction(self, transaction_id: int) -> ChangeLog[F]:
        """:func:`auditlab.selectors.transaction`: the changes of one transaction."""
        return self._of(selectors.transaction(self._selected, transaction_id))

    def correlation(self, correlation_id: str) -> ChangeLog[F]:
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

    # verbs

    def changes(self) -> F:
        """:func:`auditlab.temporal.diff.changes`: the selected changes as recorded."""
        return self._out(diff.changes(self._selected))

    def as_of(
        self,
        at: Moment | None = None,
        *,
        id: int | None = None,  # noqa: A002 - the column's own name
        transaction: int | None = None,
        mark: Mark | str | None = None,
        snapshot: str | None = None,
    ) -> F:
        """:func:`auditlab.temporal.asof.as_of`: the state of every live entity at an instant; else the latest."""
        return self._out(asof.as_of(self._selected, at, id=id, transaction=transaction, mark=mark, snapshot=snapshot))

    def doubtful(self, at: Moment) -> F:
        """:func:`auditlab.temporal.doubt.doubtful`: the changes that may not have been visible at an instant."""
        return self._out(doubt.doubtful(self._selected, at))

    def marks(self) -> F:
        """:func:`auditlab.marks.frame`: the saved moments beside the log, in their order."""
        return self._out(marks_.frame(self.facts.marks))

    def history(self, entity: object = None) -> F:
        """:func:`auditlab.temporal.history.history`: every version, with the time that it held."""
        return self._out(history_.history(self._about(entity)))

    def diffs(
        self,
        entity: object = None,
        *,
        paths: bool = False,
        ignore: Patterns = (),
        tolerance: Tolerance | None = None,
        list_keys: Mapping[str, str] | None = None,
    ) -> F:
        """:func:`auditlab.temporal.diff.diffs`: what each change did, one row a changed field, or part of one."""
        return self._out(
            diff.diffs(self._about(entity), paths=paths, ignore=ignore, tolerance=tolerance, list_keys=list_keys)
        )

    def compare(
        self,
        start: Moment,
        end: Moment,
        *,
        steps: bool = False,
        paths: bool = False,
        ignore: Patterns = (),
        tolerance: Tolerance | None = None,
        list_keys: Mapping[str, str] | None = None,
    ) -> F:
        """:func:`auditlab.temporal.compare.compare`: what differs between two instants."""
        found = compare_.compare(
            self._selected, start, end, steps=steps, paths=paths, ignore=ignore, tolerance=tolerance,
            list_keys=list_keys,
        )  # fmt: skip
        return self._out(found)

    def blame(self, entity: object = None, at: Moment | None = None) -> F:
        """:func:`auditlab.temporal.blame.blame`: who last set each field of each live entity, when, from what."""
        return self._out(blame_.blame(self._about(entity), at))

    def pit_join(
        self,
        spine: Spine,
        *,
        entity: str = "entity_id",
        at: str = "at",
        known: str | None = None,
        valid: str | None = None,
        fields: Sequence[str] | None = None,
        outside: Literal["raise", "flag"] = "raise",
    ) -> F:
        """:func:`auditlab.temporal.pit.pit_join`: each row of a spine with its entity's state as of its time."""
        joined = pit.pit_join(
            self._selected, spine, entity=entity, at=at, known=known, valid=valid, fields=fields, outside=outside
        )
        return self._out(joined)

    def why_not(self, entity: object, at: Moment | None = None, *, entity_type: str | None = None) -> str:
        """:func:`auditlab.temporal.why_not.why_not`: in words, why an entity is absent at an instant."""
        selected = self._selected if entity_type is None else selectors.of(self._selected, entity_type)
        if selectors.known(selected, selected.entity_types, entity):
            return why_not_.why_not(selectors.entity(selected, entity), at)
        others = (name for name in selected.recorded.entity_types if name not in selected.entity_types)
        elsewhere = [name for name, _ in selectors.known(selected, others, entity)]
        return why_not_.never_seen(selected, entity, elsewhere, at)

    def timeline(self, entity: object = None) -> F:
        """:func:`auditlab.temporal.timeline.timeline`: who did what when, field by field."""
        return self._out(timeline_.timeline(self._about(entity)))

    def key_changes(self) -> F:
        """:func:`auditlab.temporal.key_changes.key_changes`: which rows got another primary key, when, by whom."""
        return self._out(key_changes_.key_changes(self._selected))

    def replay(self, at: Moment | None = None, *, steps: bool = False) -> F:
        """:func:`auditlab.temporal.replay.replay`: the changes folded into a state, at once or step by step."""
        return self._out(replay_.replay(self._selected, at, steps=steps))

    def aggregate(
        self,
        parent: str,
        *,
        items: aggregate_.Items,
        at: Moment | None = None,
        entity: object = None,
        key: aggregate_.Fields | None = None,
    ) -> F:
        """:func:`auditlab.temporal.aggregate.aggregate`: parents with their children and theirs, as of one time."""
        entity_id = None if entity is None else selectors.entity_id(self._selected, parent, entity)
        if entity is not None and entity_id is None:
            raise UnknownEntity(f"no entity {entity!r} among {parent!r} in this log.")
        return self._out(aggregate_.aggregate(self._selected, parent, items=items, at=at, entity=entity_id, key=key))

    def summary(self, *, users: int = 10, recent: int = 50, period: str = "day") -> summary_.Summary:
        """:func:`auditlab.analytics.summary.summary`: how much happened, by operation, user, type and period."""
        return summary_.summary(self._selected, users=users, recent=recent, period=period)

    def evidence(self, *, documents: bool = True) -> evidence_.Evidence:
        """:func:`auditlab.analytics.evidence.evidence`: whether the log can be trusted, each finding with its rows."""
        return evidence_.evidence(self._selected, documents=documents)

    def reconcile(
        self,
        dsn: str,
        *,
        table: str = "audit.entity_change_log",
        columns: Mapping[str, str] | None = None,
        progress: bool | None = None,
    ) -> Reconciliation:
        """:func:`auditlab.load.reconcile.reconcile`: the log against the live tables, in one snapshot of them."""
        return reconcile_.reconcile(self._selected, dsn, table=table, columns=columns, progress=progress)

    def drift(self) -> F:
        """:func:`auditlab.analytics.drift.drift`: which fields appeared, vanished, changed type or name, and when."""
        return self._out(drift_.drift(self._selected))

    def likely_renames(self, *, share: float = 0.9) -> dict[str, dict[str, str]]:
        """:func:`auditlab.analytics.drift.likely_renames`: the drift report's renamings, as ``renamed`` takes them."""
        return drift_.likely_renames(self._selected, share=share)

    def to_archive(self, folder: str | Path) -> ArchiveSummary:
        """:func:`auditlab.archive.keep.to_archive`: the log as an archive in a new folder."""
        return keep.to_archive(self._selected, folder)

    def _of(self, selected: Selected) -> ChangeLog[F]:
        return ChangeLog(selected, lazy=self._lazy)

    def _about(self, entity: object) -> Selected:
        return self._selected if entity is None else selectors.entity(self._selected, entity)

    def _out(self, frame: pl.DataFrame) -> F:
        return cast("F", lazy(frame) if self._lazy else frame)


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
    columns: Mapping[str, str] | None = None,
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

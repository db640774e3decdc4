"""ChangeLog: a change log, what it holds, and the questions it answers."""

from __future__ import annotations

from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast

import polars as pl

from auditlab import queries
from auditlab.analytics import drift as drift_
from auditlab.analytics import evidence as evidence_
from auditlab.analytics import summary as summary_
from auditlab.archive import write
from auditlab.capture.keys import entity_uuid
from auditlab.clock import instant
from auditlab.description import description
from auditlab.engines import engine as engine_named
from auditlab.errors import BadOption, UnknownEntity, UnknownEntityType
from auditlab.load import source
from auditlab.records import records
from auditlab.schema import CHANGES, TIME, EntityChange, LogFacts
from auditlab.selection import whole_number
from auditlab.temporal import aggregate as aggregate_
from auditlab.temporal import asof, diff, pit
from auditlab.temporal import blame as blame_
from auditlab.temporal import compare as compare_
from auditlab.temporal import history as history_
from auditlab.temporal import replay as replay_
from auditlab.temporal import timeline as timeline_
from auditlab.temporal import why_not as why_not_

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from auditlab.archive.write import ArchiveSummary
    from auditlab.clock import Moment
    from auditlab.selection import Selected
    from auditlab.temporal.pit import Spine

__all__ = ["ChangeLog", "pit_join"]

F = TypeVar("F", pl.DataFrame, pl.LazyFrame)

QUERIES = {
    "as_of": ("as_of",),
    "history": ("history",),
    "diffs": ("diffs",),
    "compare": ("compare", "compare_steps"),
    "blame": ("blame",),
    "pit_join": ("pit_join",),
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
        return self._with(engine=engine_named(engine))

    def of(self, *entity_types: str) -> ChangeLog[F]:
        """The histories of one entity type, or of several.

        Raises:
            UnknownEntityType: the log has no such type; the message names those it has.
        """
        have = ", ".join(map(repr, self.entity_types)) or "none"
        unknown = [name for name in entity_types if name not in self.entity_types]
        if unknown:
            raise UnknownEntityType(f"no entity type {', '.join(map(repr, unknown))} in this log. It has {have}.")
        if not entity_types:
            raise BadOption(f"of() takes an entity type. The log has {have}.")
        types = tuple(sorted(set(entity_types)))
        return self._with(entity_types=types, recorded=self._selected.recorded.part(types))

    def entity(self, key: object, entity_type: str | None = None) -> ChangeLog[F]:
        """The history of one entity.

        Args:
            key: Its entity id, or its primary key: a single value, or a mapping of the key's columns to values.
            entity_type: Its type, where the key alone does not tell.

        Raises:
            UnknownEntity: the log has no change of it.
            BadOption: several types have such an entity.
        """
        log = self if entity_type is None else self.of(entity_type)
        found = self._known(log.entity_types, key)
        if not found:
            types = ", ".join(map(repr, log.entity_types)) or "no types"
            raise UnknownEntity(f"no entity {key!r} among {types} in this log.")
        if len(found) > 1:
            names = ", ".join(repr(name) for name, _ in found)
            raise BadOption(f"entity {key!r} is in several types: {names}. Say which by entity_type=.")
        return self._with(entity_types=(found[0][0],), entity_id=found[0][1])

    def _known(self, entity_types: Iterable[str], key: object) -> list[tuple[str, str]]:
        """Of these types, those that have the entity, each with its entity id."""
        return [(name, entity_id) for name in entity_types if (entity_id := self._entity_id(name, key)) is not None]

    def _entity_id(self, entity_type: str, key: object) -> str | None:
        rows = self._selected.recorded.changes
        known = rows.filter(pl.col("entity_type") == entity_type)["entity_id"]
        candidates = [] if isinstance(key, dict) else [str(key)]
        candidates.append(str(entity_uuid(entity_type, key)))
        return next((candidate for candidate in candidates if (known == candidate).any()), None)

    def by(self, user: str | None) -> ChangeLog[F]:
        """The changes of one user; None picks those without a user."""
        return self._pick(pl.col("changed_by").eq_missing(pl.lit(user, dtype=pl.String)), f"by {user}")

    def between(self, start: Moment, end: Moment) -> ChangeLog[F]:
        """The changes recorded from ``start`` up to, not including, ``end``.

        Raises:
            BadTime: a time cannot be read.
            BadOption: end lies before start.
        """
        first, last = (instant(moment, self.facts.zone) for moment in (start, end))
        if last < first:
            raise BadOption(
                f"between() goes from the earlier to the later: {first.isoformat()} is after {last.isoformat()}."
            )
        when = pl.col(self.facts.clock)
        inside = (when >= pl.lit(first, dtype=TIME)) & (when < pl.lit(last, dtype=TIME))
        return self._pick(inside, f"between {first.isoformat()} and {last.isoformat()}")

    def transaction(self, transaction_id: int) -> ChangeLog[F]:
        """The changes of one transaction."""
        whole_number("transaction", transaction_id)
        return self._pick(pl.col("transaction_id") == transaction_id, f"in transaction {transaction_id}")

    def correlation(self, correlation_id: str) -> ChangeLog[F]:
        """The changes of one correlation id, across services and transactions."""
        return self._pick(pl.col("correlation_id") == correlation_id, f"with correlation {correlation_id}")

    def where(self, *predicates: pl.Expr, **equal: object) -> ChangeLog[F]:
        """The changes that meet every predicate over the canonical columns, e.g. ``operation="DELETE"``.

        Raises:
            BadOption: a column that the log does not have, or a value that it cannot hold.
        """
        odd = [predicate for predicate in predicates if not isinstance(predicate, pl.Expr)]
        if odd:
            raise BadOption(f"where() takes Polars expressions, e.g. pl.col('id') > 5, got {odd[0]!r}.")
        roots: list[str] = [name for predicate in predicates for name in predicate.meta.root_names()]
        unknown = [name for name in (*equal, *roots) if name not in CHANGES]
        if unknown:
            raise BadOption(f"a log has no column {', '.join(map(repr, unknown))}. It has {', '.join(CHANGES)}.")
        picks = [*predicates, *(pl.col(name).eq_missing(self._literal(name, value)) for name, value in equal.items())]
        words = [str(predicate) for predicate in predicates] + [f"{name} = {value}" for name, value in equal.items()]
        return self._pick(pl.all_horizontal(picks), "where " + " and ".join(words)) if picks else self

    def _literal(self, name: str, value: Any) -> pl.Expr:  # noqa: ANN401 - a column's value
        """A value as one of a canonical column; times are read in the log's zone."""
        dtype = CHANGES[name]
        if value is not None and dtype == TIME:
            value = instant(value, self.facts.zone)
        fits = value is None or isinstance(value, {pl.Int64(): int, pl.String(): str}.get(dtype, object))
        if not fits or isinstance(value, bool):
            raise BadOption(f"where({name}=) takes a value of {dtype}, got {value!r}.")
        return pl.lit(value, dtype=dtype)

    # verbs

    def changes(self) -> F:
        """:func:`auditlab.temporal.diff.changes`: the selected changes as recorded."""
        return self._out(diff.changes(self._selected))

    def as_of(self, at: Moment | None = None, *, id: int | None = None, transaction: int | None = None) -> F:  # noqa: A002
        """:func:`auditlab.temporal.asof.as_of`: the state of every live entity at an instant; else the latest."""
        return self._out(asof.as_of(self._selected, at, id=id, transaction=transaction))

    def history(self, entity: object = None) -> F:
        """:func:`auditlab.temporal.history.history`: every version, with the time that it held."""
        return self._out(history_.history(self._about(entity)))

    def diffs(self, entity: object = None) -> F:
        """:func:`auditlab.temporal.diff.diffs`: what each change did, one row a changed field."""
        return self._out(diff.diffs(self._about(entity)))

    def compare(self, start: Moment, end: Moment, *, steps: bool = False) -> F:
        """:func:`auditlab.temporal.compare.compare`: what differs between two instants."""
        return self._out(compare_.compare(self._selected, start, end, steps=steps))

    def blame(self, entity: object = None, at: Moment | None = None) -> F:
        """:func:`auditlab.temporal.blame.blame`: who last set each field of each live entity, when, from what."""
        return self._out(blame_.blame(self._about(entity), at))

    def pit_join(
        self,
        spine: Spine,
        *,
        entity: str = "entity_id",
        at: str = "at",
        fields: Sequence[str] | None = None,
        outside: Literal["raise", "flag"] = "raise",
    ) -> F:
        """:func:`auditlab.temporal.pit.pit_join`: each row of a spine with its entity's state as of its time."""

        def key_id(key: object) -> str:
            return str(entity_uuid(self.entity_types[0], key))

        joined = pit.pit_join(
            self._selected, spine, entity=entity, at=at, fields=fields, outside=outside, key_id=key_id
        )
        return self._out(joined)

    def why_not(self, entity: object, at: Moment | None = None, *, entity_type: str | None = None) -> str:
        """:func:`auditlab.temporal.why_not.why_not`: in words, why an entity is absent at an instant."""
        log = self if entity_type is None else self.of(entity_type)
        if self._known(log.entity_types, entity):
            return why_not_.why_not(log.entity(entity)._selected, at)  # noqa: SLF001 - a log of our own
        others = (name for name in self._selected.recorded.entity_types if name not in log.entity_types)
        elsewhere = [name for name, _ in self._known(others, entity)]
        return why_not_.never_seen(log._selected, entity, elsewhere, at)  # noqa: SLF001 - a log of our own

    def timeline(self, entity: object = None) -> F:
        """:func:`auditlab.temporal.timeline.timeline`: who did what when, field by field."""
        return self._out(timeline_.timeline(self._about(entity)))

    def replay(self, at: Moment | None = None, *, steps: bool = False) -> F:
        """:func:`auditlab.temporal.replay.replay`: the changes folded into a state, at once or step by step."""
        return self._out(replay_.replay(self._selected, at, steps=steps))

    def aggregate(
        self,
        parent: str,
        *,
        items: tuple[str, str] | Mapping[str, tuple[str, str]],
        at: Moment | None = None,
        entity: object = None,
        key: str | None = None,
    ) -> F:
        """:func:`auditlab.temporal.aggregate.aggregate`: parents with their children, as they were together."""
        entity_id = None if entity is None else self._entity_id(parent, entity)
        if entity is not None and entity_id is None:
            raise UnknownEntity(f"no entity {entity!r} among {parent!r} in this log.")
        return self._out(aggregate_.aggregate(self._selected, parent, items=items, at=at, entity=entity_id, key=key))

    def summary(self, *, users: int = 10, recent: int = 50, period: str = "day") -> summary_.Summary:
        """:func:`auditlab.analytics.summary.summary`: how much happened, by operation, user, type and period."""
        return summary_.summary(self._selected, users=users, recent=recent, period=period)

    def evidence(self, *, documents: bool = True) -> evidence_.Evidence:
        """:func:`auditlab.analytics.evidence.evidence`: whether the log can be trusted, each finding with its rows."""
        return evidence_.evidence(self._selected, documents=documents)

    def drift(self) -> F:
        """:func:`auditlab.analytics.drift.drift`: which fields appeared, vanished, changed type or name, and when."""
        return self._out(drift_.drift(self._selected))

    def to_archive(self, folder: str | Path) -> ArchiveSummary:
        """:func:`auditlab.archive.write.to_archive`: the log as an archive in a new folder.

        Rows that were set apart as malformed go in as they are: an archive keeps what was recorded.

        Raises:
            BadOption: single changes or one entity are selected; an archive holds whole histories.
            ArchiveExists: the folder holds an archive, or something else.
            ArchiveError: the file system refuses; nothing is left.
        """
        selected: Selected = self._selected
        if selected.words or selected.entity_id is not None:
            raise BadOption("an archive holds whole histories. Write it from the log before the pick.")
        chosen = pl.col("entity_type").is_in(selected.entity_types)
        apart = self.malformed.select(*CHANGES, pl.lit(value=False).alias("baseline"))
        rows = selected.recorded.changes.select(apart.columns)
        rows = pl.concat([rows, apart]).filter(chosen).sort("id", maintain_order=True)
        parts = (rows.filter(pl.col("baseline") == early).select(*CHANGES) for early in (True, False))
        baseline, changes = (source.batches(part) for part in parts)
        return write.to_archive(changes, folder, facts=self.facts, baseline=baseline)

    def _with(self, **parts: Any) -> ChangeLog[F]:  # noqa: ANN401 - a selection has parts of many types
        return ChangeLog(replace(self._selected, **parts), lazy=self._lazy)

    def _pick(self, predicate: pl.Expr, words: str) -> ChangeLog[F]:
        selected: Selected = self._selected
        return self._with(picks=(*selected.picks, predicate), words=(*selected.words, words))

    def _about(self, entity: object) -> Selected:
        return self._selected if entity is None else self.entity(entity)._selected  # noqa: SLF001 - a log of our own

    def _out(self, frame: pl.DataFrame) -> F:
        return cast("F", frame.lazy() if self._lazy else frame)


def pit_join(
    spine: Spine,
    log: ChangeLog[F],
    *,
    entity: str = "entity_id",
    at: str = "at",
    fields: Sequence[str] | None = None,
    outside: Literal["raise", "flag"] = "raise",
) -> F:
    """:func:`auditlab.temporal.pit.pit_join`: each row of a spine with its entity's state as of its time."""
    return log.pit_join(spine, entity=entity, at=at, fields=fields, outside=outside)

"""The verbs of a log: each is a thin binding of its topic's function to a selection."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast

import polars as pl

from auditlab import marks as marks_
from auditlab import queries, selectors, shortcuts
from auditlab.analytics import activity as activity_
from auditlab.analytics import drift as drift_
from auditlab.analytics import evidence as evidence_
from auditlab.analytics import summary as summary_
from auditlab.buckets.answers import Order, answered, joined, of_its_bucket
from auditlab.buckets.bucketed import Bucketed
from auditlab.documented import documented
from auditlab.errors import BadOption, UnknownEntity
from auditlab.lazy import lazy
from auditlab.load import reconcile as reconcile_
from auditlab.temporal import aggregate as aggregate_
from auditlab.temporal import asof, diff, doubt, pit
from auditlab.temporal import blame as blame_
from auditlab.temporal import compare as compare_
from auditlab.temporal import families as families_
from auditlab.temporal import history as history_
from auditlab.temporal import key_changes as key_changes_
from auditlab.temporal import replay as replay_
from auditlab.temporal import timeline as timeline_
from auditlab.temporal import why_not as why_not_
from auditlab.temporal.spine import spine_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from auditlab.analytics.reconciliation import Reconciliation
    from auditlab.clock import Moment
    from auditlab.marks import Mark
    from auditlab.selection import Selected
    from auditlab.temporal.patterns import Patterns
    from auditlab.temporal.pit import Spine
    from auditlab.temporal.tolerance import Tolerance

__all__ = ["Verbs"]

F = TypeVar("F", pl.DataFrame, pl.LazyFrame)


QUERIES = {
    "as_of": ("as_of", "as_of_mark"),
    "doubtful": ("doubtful",),
    "history": ("history",),
    "diffs": ("diffs",),
    "compare": ("compare", "compare_steps", "compare_marks"),
    "blame": ("blame", "blame_mark"),
    "pit_join": ("pit_join", "pit_join_known"),
    "timeline": ("timeline",),
    "replay": ("replay", "replay_steps"),
    "aggregate": ("aggregate",),
    "summary": tuple(f"summary_{name}" for name in ("totals", "by_operation", "by_user", "by_type", "by_period")),
    "activity": tuple(
        f"activity_{name}" for name in ("by_operation", "by_user", "by_hour", "by_entity", "by_field", "by_size")
    ),
}
"""The queries behind each verb."""


@documented
class Verbs(Generic[F]):
    """What can be asked of a selection of a log; answers are frames.

    Args:
        selected: What the questions are about.
        lazy: Whether answers are lazy frames, as those of a scanned archive are.
    """

    __slots__ = ("_lazy", "_selected")

    def __init__(self, selected: Selected, *, lazy: bool = False) -> None:
        self._selected = selected
        self._lazy = lazy

    @property
    def selected(self) -> Selected:
        """What the questions are about: the value that the verbs' own functions take."""
        return self._selected

    @property
    def is_lazy(self) -> bool:
        """Whether answers are lazy frames, as those of a scanned archive are."""
        return self._lazy

    def sql(self, verb: str) -> str:
        """The SQL that a verb runs, as it stands in ``sql/analysis``."""
        if verb not in QUERIES:
            raise BadOption(f"no SQL behind {verb!r}. There is for {', '.join(QUERIES)}.")
        return "\n".join(queries.text("analysis", name) for name in QUERIES[verb])

    def changes(self) -> F:
        """:func:`auditlab.temporal.diff.changes`: the selected changes as recorded."""
        return self._told(diff.changes, self._selected, Order.LOG)

    def as_of(
        self,
        at: Moment | None = None,
        *,
        id: int | None = None,  # noqa: A002 - the column's own name
        transaction: int | None = None,
        mark: Mark | str | None = None,
        snapshot: str | None = None,
        fields: Sequence[str] | None = None,
    ) -> F:
        """:func:`auditlab.temporal.asof.as_of`: the state of every live entity at an instant; else the latest."""
        verb = partial(asof.as_of, at=at, id=id, transaction=transaction, mark=mark, snapshot=snapshot, fields=fields)
        given = [one is not None for one in (at, id, transaction, mark, snapshot)]
        if transaction is None and sum(given) <= 1:
            kept = shortcuts.onwards(self._selected, at=at, id=id, mark=mark, snapshot=snapshot)
            if kept is not None:
                return self._out(verb(kept))
        selected = self._selected if transaction is None else self._selected.in_larger()
        selected = selected.for_states() if not any(given[2:]) else selected
        return self._told(verb, selected, Order.ENTITY, whole=any(given[1:]))

    def doubtful(self, at: Moment) -> F:
        """:func:`auditlab.temporal.doubt.doubtful`: the changes that may not have been visible at an instant."""
        verb = partial(doubt.doubtful, at=at)
        kept = shortcuts.onwards(self._selected, at=at, states=False)
        return self._told(verb, self._selected, Order.ENTITY) if kept is None else self._out(verb(kept))

    def marks(self) -> F:
        """:func:`auditlab.marks.frame`: the saved moments beside the log, in their order."""
        return self._out(marks_.frame(self._selected.recorded.facts.marks))

    def history(self, entity: object = None) -> F:
        """:func:`auditlab.temporal.history.history`: every version, with the time that it held."""
        return self._told(history_.history, self._about(entity).for_states(), Order.ENTITY)

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
        verb = partial(diff.diffs, paths=paths, ignore=ignore, tolerance=tolerance, list_keys=list_keys)
        return self._told(verb, self._about(entity), Order.LOG)

    def compare(
        self,
        start: Moment | None = None,
        end: Moment | None = None,
        *,
        marks: tuple[Mark | str, Mark | str] | None = None,
        steps: bool = False,
        paths: bool = False,
        ignore: Patterns = (),
        tolerance: Tolerance | None = None,
        list_keys: Mapping[str, str] | None = None,
    ) -> F:
        """:func:`auditlab.temporal.compare.compare`: what differs between two instants, or two marks."""
        verb = partial(
            compare_.compare, start=start, end=end, marks=marks, steps=steps, paths=paths, ignore=ignore,
            tolerance=tolerance, list_keys=list_keys,
        )  # fmt: skip
        order = Order.LOG if steps else Order.ENTITY
        return self._told(verb, self._selected, order, whole=marks is not None)

    def blame(
        self,
        entity: object = None,
        at: Moment | None = None,
        *,
        mark: Mark | str | None = None,
        snapshot: str | None = None,
    ) -> F:
        """:func:`auditlab.temporal.blame.blame`: who last set each field of each live entity, when, from what."""
        verb = partial(blame_.blame, at=at, mark=mark, snapshot=snapshot)
        whole, selected = any(one is not None for one in (mark, snapshot)), self._about(entity)
        return self._told(verb, selected if whole else selected.for_states(), Order.ENTITY, whole=whole)

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
        recorded = self._selected.recorded
        rows = spine_frame(spine) if isinstance(recorded, Bucketed) else spine
        verb = partial(
            pit.pit_join, spine=rows, entity=entity, at=at, known=known, valid=valid, fields=fields, outside=outside
        )
        if isinstance(recorded, Bucketed) and isinstance(rows, pl.DataFrame):
            return self._out(joined(recorded, self._selected, verb, own=rows.width))
        return self._out(verb(self._selected))

    def why_not(self, entity: object, at: Moment | None = None, *, entity_type: str | None = None) -> str:
        """:func:`auditlab.temporal.why_not.why_not`: in words, why an entity is absent at an instant."""
        selected = self._selected if entity_type is None else selectors.of(self._selected, entity_type)
        if selectors.known(selected, selected.entity_types, entity):
            return why_not_.why_not(of_its_bucket(selectors.entity(selected, entity)), at)
        others = (name for name in selected.recorded.entity_types if name not in selected.entity_types)
        elsewhere = [name for name, _ in selectors.known(selected, others, entity)]
        return why_not_.never_seen(selected, entity, elsewhere, at)

    def timeline(self, entity: object = None) -> F:
        """:func:`auditlab.temporal.timeline.timeline`: who did what when, field by field."""
        return self._told(timeline_.timeline, self._about(entity), Order.LOG)

    def key_changes(self) -> F:
        """:func:`auditlab.temporal.key_changes.key_changes`: which rows got another primary key, when, by whom."""
        return self._told(key_changes_.key_changes, self._selected, Order.LOG)

    def replay(self, at: Moment | None = None, *, steps: bool = False) -> F:
        """:func:`auditlab.temporal.replay.replay`: the changes folded into a state, at once or step by step."""
        verb = partial(replay_.replay, at=at, steps=steps)
        return self._told(verb, self._selected, Order.LOG if steps else Order.ENTITY)

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
        asked: dict[str, Any] = {"items": items, "at": at, "entity": entity_id, "key": key}
        recorded = self._selected.recorded
        if isinstance(recorded, Bucketed):
            told: F = cast("Any", families_.families(recorded, self._selected, parent, **asked))
            return told
        return self._out(aggregate_.aggregate(self._selected, parent, **asked))

    def summary(self, *, users: int = 10, recent: int = 50, period: str = "day") -> summary_.Summary:
        """:func:`auditlab.analytics.summary.summary`: how much happened, by operation, user, type and period."""
        found = summary_.summary(self._selected, users=users, recent=recent, period=period)
        if self._selected.sought and found.recent.is_empty():
            selectors.warn_unknown(self._selected)
        return found

    def activity(self, *, period: str | None = None) -> activity_.Activity:
        """:func:`auditlab.analytics.activity.activity`: what happened when, by whom, to what, in how large steps."""
        return activity_.activity(self._selected, period=period)

    def evidence(self, *, documents: bool = True) -> evidence_.Evidence:
        """:func:`auditlab.analytics.evidence.evidence`: whether the log can be trusted, each finding with its rows."""
        return evidence_.evidence(self._selected, documents=documents)

    def reconcile(
        self,
        dsn: str,
        *,
        table: str = "audit.entity_change_log",
        columns: Mapping[str, str | None] | None = None,
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

    def _about(self, entity: object) -> Selected:
        return self._selected if entity is None else selectors.entity(self._selected, entity)

    def _told(
        self, verb: Callable[[Selected], pl.DataFrame], selected: Selected, order: Order, *, whole: bool = False
    ) -> F:
        """What a verb answers; of a log larger than memory, what it answers bucket by bucket.

        Of one entity it is answered from that entity's changes where the log has kept what else it takes, unless the
        question is one of the ``whole`` log.
        """
        alone = None if whole else shortcuts.alone(selected)
        if alone is not None:
            answer = verb(alone)
            if len(answer) or not selected.sought:  # else the whole log tells whether it has that value
                return self._out(answer)
        if isinstance(selected.recorded, Bucketed):
            told = answered(selected.recorded, selected, verb, order)
            if selected.sought and told.head(1).collect().is_empty():
                selectors.warn_unknown(selected)
            lazily: F = cast("Any", told)  # as its log answers
            return lazily
        answer = verb(selected)
        if answer.is_empty() and selected.sought:
            selectors.warn_unknown(selected)
        return self._out(answer)

    def _out(self, frame: pl.DataFrame) -> F:
        return cast("F", lazy(frame) if self._lazy else frame)

"""As of: the state of every live entity at an instant, after a change or a transaction, or as a mark saw it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from auditlab import queries
from auditlab.engines.base import params_frame
from auditlab.errors import BadOption, NoData
from auditlab.schema import TIME
from auditlab.selection import whole_number
from auditlab.spans import holds
from auditlab.temporal import doubt
from auditlab.temporal.marked import live_seen, untold_seen, view
from auditlab.temporal.undetermined import untold_at, warn_left_out
from auditlab.temporal.untouched import there_before, untold_until

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from auditlab.clock import Moment
    from auditlab.marks import Mark, TransactionSnapshot
    from auditlab.selection import Selected
    from auditlab.shape import Shape

__all__ = ["as_of", "live"]

META = ("entity_id", "certain")


def as_of(
    selected: Selected,
    at: Moment | None = None,
    *,
    id: int | None = None,  # noqa: A002 - the column's own name
    transaction: int | None = None,
    mark: Mark | str | None = None,
    snapshot: str | None = None,
    fields: Sequence[str] | None = None,
) -> pl.DataFrame:
    """The state of every live entity: at an instant (inclusive), after a change, as a mark saw it, ...; else now.

    Of several changes in one instant the last in the log's order counts. An entity that was deleted is absent.

    Args:
        selected: The log, or a part of it that keeps whole histories.
        at: A time; a bare date is 00:00, naive times are read in the log's zone.
        id: The state made by the changes with ids up to this one. Rows that were there before the log began, and that
            only a later change tells of, are as its before image shows them.
        transaction: The state after this transaction's last change in the log's order, the same; entities that were
            also touched by a transaction still open there are not ``certain``. Changes of all types count, those that
            are not selected, too; of a log that was loaded with some types only, those that it has.
        mark: A mark, or the name of one beside the log: exactly the changes that were committed then.
        snapshot: The same by the text of a transaction snapshot (``pg_current_snapshot()``).
        fields: The fields of one entity type that the answer has; with ``[]`` none of it, nor ``state``; all if None.

    A time is when a transaction began, or when its commit was written down; others saw its changes later. What was
    recorded so shortly before ``at`` that it may not have been visible makes its entity not ``certain``
    (:func:`auditlab.temporal.doubt.doubtful` lists it); where the log has marks, they say what was.

    Returns:
        One row a live entity, by entity_id: ``entity_id`` (String), ``certain`` (Boolean, false where the log itself
        shows that the state may be another, a row of the entity was set apart behind it, or its times leave it open)
        and the typed fields; a field whose name is one of those columns, or of a field before it but for its case, is
        ``field.<name>``. Over several entity types: ``entity_type``, ``entity_id``, ``certain`` and ``state``, the
        recorded JSON text.

    Raises:
        NoData: the time or the id is outside what the log covers.
        IncompleteLog: the selection or the log does not hold whole histories.
        BadOption: more than one of at, id, transaction, mark and snapshot; or fields of several entity types.
        UnknownField: the type never had such a field.
        UnknownMark, BadMark, MarkMismatch: there is no such mark, or it says nothing about this log.

    Warns:
        IncompletePopulation: rows were there before the log began, so the log may not know all of them; or rows that do
            not tell whose they are were set apart.
        UndeterminedState: entities are left out whose state the log does not tell.
        UncertainTime: entities that are absent may have been there at that time.
    """
    if sum(option is not None for option in (at, id, transaction, mark, snapshot)) > 1:
        raise BadOption("as_of() takes one of at, id, transaction, mark and snapshot.")
    _check_fields(selected, fields)
    whole_number("id", id)
    whole_number("transaction", transaction)
    selected.require_states("as_of")
    when = selected.instant(at) if at is not None else None
    if id is not None:
        _check_id(selected, id)
    if transaction is not None:
        selected = selected.in_larger()  # where it ends is told by the changes of all types
        _check_transaction(selected, transaction)
    seen = view(selected, mark, snapshot) if mark is not None or snapshot is not None else None
    selected.warn_partial(*selected.entity_types)
    if when is not None:
        doubt.warn_absent(selected, when, *selected.entity_types)
    shapes, texts = selected.shapes(), len(selected.entity_types) != 1
    found, untold = [], {}
    for shape in shapes:
        wanted = _wanted(shape, fields, texts=texts)
        rows, untold[shape.entity_type] = _of_type(selected, shape, when, seen, wanted, id=id, transaction=transaction)
        found.append(_with_settled(selected, shape.entity_type, rows.select(*META, *wanted), texts=texts))
    warn_left_out(untold)
    if not texts:
        return shapes[0].public(found[0], META)
    frames = [
        rows.select(pl.lit(shape.entity_type).alias("entity_type"), pl.all())
        for shape, rows in zip(shapes, found, strict=True)
    ]
    columns = {"entity_type": pl.String, "entity_id": pl.String, "certain": pl.Boolean, "state": pl.String}
    empty = pl.DataFrame(schema=columns).select(*list(columns)[: 4 if fields is None else 3])
    return pl.concat([empty, *frames])


def _check_fields(selected: Selected, fields: Sequence[str] | None) -> None:
    if isinstance(fields, str):
        raise BadOption(f"fields= takes a list of fields, e.g. fields=[{fields!r}].")
    if fields and len(selected.entity_types) != 1:
        have = ", ".join(map(repr, selected.entity_types)) or "none"
        raise BadOption(f"as_of(fields=) names fields of one entity type; selected is {have}. Use log.of(...) first.")


def _wanted(shape: Shape, fields: Sequence[str] | None, *, texts: bool) -> list[str]:
    """The columns of ``history`` that an answer has of the states themselves."""
    if texts:
        return ["state"] if fields is None else []
    return [f"f{place}" for place in shape.places_of(fields)]


def _with_settled(selected: Selected, entity_type: str, rows: pl.DataFrame, *, texts: bool) -> pl.DataFrame:
    """The rows, and those of entities that a part of a log knows to be as they were when it begins, by entity_id."""
    settled = None if selected.beside is None else selected.beside.settled(entity_type, texts=texts)
    if settled is None:
        return rows
    if selected.entity_id is not None:
        settled = settled.filter(pl.col("entity_id") == selected.entity_id)
    if not settled["entity_id"].is_sorted():
        settled = settled.sort("entity_id")
    settled = settled.select(rows.columns)
    return settled.merge_sorted(rows, key="entity_id") if len(rows) else settled


def _of_type(
    selected: Selected,
    shape: Shape,
    when: datetime | None,
    seen: TransactionSnapshot | None,
    wanted: Sequence[str],
    *,
    id: int | None,  # noqa: A002 - the column's own name
    transaction: int | None,
) -> tuple[pl.DataFrame, int]:
    """The live rows of one type, by entity_id, with what is wanted of the states; and how many are left untold."""
    if seen is not None:
        return live_seen(selected, shape, seen, wanted), len(untold_seen(selected, shape, seen))
    if id is not None or transaction is not None:
        until = selected.recorded.shape_until(shape.entity_type, id=id, transaction=transaction)
        rows = live(selected, until, None, there_before(shape, until), wanted)
        return rows, len(untold_until(selected, shape, until))
    return live(selected, shape, when, wanted=wanted), untold_at(selected, shape, (when,))


def live(
    selected: Selected,
    shape: Shape,
    at: datetime | None,
    early: pl.DataFrame | None = None,
    wanted: Sequence[str] | None = None,
) -> pl.DataFrame:
    """Rows of the type's ``history`` that hold at an instant (None: now), by entity_id.

    Args:
        selected: The log, or a part of it.
        shape: The derived tables of the type.
        at: The instant.
        early: More rows like those of ``versions``.
        wanted: Of ``state`` and the typed fields those that the answer has; then no other column but ``META`` is
            promised. All columns if None.
    """
    if selected.engine.on_frames:
        # As as_of.sql says it, over the narrow versions: the fields are then taken for the live rows alone.
        all_of_it = (each for each in (shape.versions, early) if each is not None)
        narrow = (each if wanted is None else each.select(*META, "valid_from", "valid_to", "doc") for each in all_of_it)
        held = [each.filter(holds(at, selected.entity_id)) for each in narrow]
        rows = shape.with_fields(pl.concat(held).sort("entity_id"), wanted)
    else:
        params: dict[str, tuple[Any, pl.DataType]] = {"at": (at, TIME), "entity_id": (selected.entity_id, pl.String())}
        history = shape.history if early is None else pl.concat([shape.history, shape.with_fields(early)])
        history = history if wanted is None else history.select(*META, "valid_from", "valid_to", *wanted)
        tables = {"history": history, "params": params_frame(**params)}
        rows = selected.engine.run(queries.text("analysis", "as_of"), tables, {})
    return rows if at is None else doubt.flagged(selected.recorded, shape.entity_type, rows, at)


def _check_id(selected: Selected, id: int) -> None:  # noqa: A002
    _refuse(selected, [name for name, (last, _) in selected.recorded.whole.items() if id < last], f"change {id}")
    held = selected.recorded.held_ids
    if held is None:
        return  # the log goes on before and after what was loaded of it
    if not held[0] <= id <= held[1]:
        have = f"the changes {held[0]} to {held[1]}" if held[0] <= held[1] else "no change"
        raise NoData(f"the log holds {have}; asked for the state as of change {id}.")
    _check_known(selected, f"change {id}", pl.col("id") <= id)


def _check_transaction(selected: Selected, transaction: int) -> None:
    cut = selected.recorded.cut(transaction)
    late = [name for name, (_, position) in selected.recorded.whole.items() if cut.early or cut.last < position]
    _refuse(selected, late, f"transaction {transaction}")
    _check_known(selected, f"transaction {transaction}", pl.col("transaction_id") == transaction)


def _check_known(selected: Selected, asked: str, own: pl.Expr) -> None:
    """Refuse a moment from which on the log is not whole yet: changes of before were dropped from it (``prune``).

    Types that begin with a baseline are whole from there on.
    """
    if selected.recorded.whole.keys() >= set(selected.entity_types):
        return
    start = selected.recorded.facts.coverage.start
    latest = selected.recorded.latest(own)
    if start is not None and selected.recorded.larger is not None and (latest is None or latest < start):
        latest = selected.recorded.larger.latest(own)  # changes of other types tell, too
    if start is not None and latest is not None and latest < start:
        why = selected.recorded.facts.coverage.why
        raise NoData(
            f"the log knows states from {start.isoformat(sep=' ')} on; asked for the state as of {asked}, up to which "
            f"it has changes until {latest.isoformat(sep=' ')}.{f' {why}.' if why else ''}"
        )


def _refuse(selected: Selected, late: list[str], asked: str) -> None:
    """Refuse a question about types whose rows were not all known yet."""
    whole = selected.recorded.whole
    told = ", ".join(f"{name} since change {whole[name][0]}" for name in selected.entity_types if name in late)
    if told:
        raise NoData(f"the log has {told} (its baseline); asked for {asked}. What was there before is not in the log.")

"""Drift: which fields of a table appeared, vanished, changed type or name; when, and in which transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from auditlab.analytics.columns import presence_runs, value_shape
from auditlab.errors import IncompleteLog
from auditlab.schema import TIME

if TYPE_CHECKING:
    from collections.abc import Iterator

    from auditlab.selection import Selected
    from auditlab.shape import Shape
    from auditlab.values import Column

__all__ = ["DRIFT", "drift", "likely_renames"]

DRIFT: dict[str, pl.DataType] = {
    "entity_type": pl.String(),
    "kind": pl.String(),
    "field": pl.String(),
    "old": pl.String(),
    "new": pl.String(),
    "rows": pl.Int64(),
    "share": pl.Float64(),
    "logged": pl.Boolean(),
    "id": pl.Int64(),
    "transaction_id": pl.Int64(),
    "changed_at": TIME,
    "changed_by": pl.String(),
}
"""The columns of a drift report: one row a field that appeared, vanished, was retyped or was renamed."""

ALIKE = 0.5
"""The share of rows whose value moved from one field to the other from which on that was likely a renaming."""


class Turn(NamedTuple):
    """A field that turned at a change: from one JSON type to another, None where the field is missing."""

    column: Column
    position: int
    was: str | None
    now: str | None


def drift(selected: Selected) -> pl.DataFrame:
    """Which fields appeared, vanished, changed their type or were likely renamed, in the log's order.

    A field counts where it turned for a table as a whole. A key that comes and goes from row to row is no column, and
    neither is one that a single change has between others that have not: that is a finding of the evidence. The report
    is about the log as it was recorded, whatever renames and upcasters it is read with; :func:`likely_renames` makes
    of its renamings what ``renamed()`` takes.

    Args:
        selected: The log, or some of its types.

    Returns:
        ``entity_type``; ``kind`` (appeared, vanished, retyped, renamed); ``field``, of a renaming the new name;
        ``old`` and ``new``: JSON types in words (null where the field is missing), of a renaming the names;
        ``rows`` (Int64): how many rows the transaction took over; ``share`` (Float64): of a renaming, the share of rows
        whose value is the same under both names; ``logged`` (Boolean): whether changes of the log did it, or DDL beside
        it; then the first change that shows it: id, transaction_id (Int64), changed_at (UTC) and changed_by.

    Raises:
        IncompleteLog: single changes are picked.

    >>> from auditlab import from_arrow
    >>> from auditlab.testing import make_log
    >>> log = from_arrow(make_log([("INSERT", "a", {"name": "x"}), ("UPDATE", "a", {"title": "x"})]))
    >>> log.drift().select("kind", "old", "new", "transaction_id").row(0)
    ('renamed', 'name', 'title', 2)
    """
    _require_whole(selected)
    selected = selected.as_recorded()
    found = [_told(row, selected, shape) for shape in selected.shapes() for row in _of_type(shape)]
    rows = sorted(found, key=lambda one: (one["position"], one["entity_type"]))
    for row in rows:
        del row["position"]
    return pl.DataFrame(rows, schema=DRIFT, orient="row")


def likely_renames(selected: Selected, *, share: float = 0.9) -> dict[str, dict[str, str]]:
    """The renamings of the drift report as ``renamed()`` takes them: to be read by a person, and then declared.

    A field renamed twice is named by its last name; one that was renamed back, by the name that it has again. The
    report goes by values: where two columns often hold the same, it can be wrong.

    Args:
        selected: The log, or some of its types.
        share: The least share of rows whose value is the same under both names.

    Returns:
        entity type -> old name -> the name at the end of the log; nothing for a type without renamings.

    Raises:
        IncompleteLog: single changes are picked.

    >>> from auditlab import from_arrow
    >>> from auditlab.testing import make_log
    >>> log = from_arrow(make_log([("INSERT", "a", {"name": "x"}), ("UPDATE", "a", {"title": "x"})]))
    >>> log.likely_renames()
    {'t': {'name': 'title'}}
    >>> log.renamed(log.likely_renames()).drift().height, log.renamed(log.likely_renames()).fields()["field"].to_list()
    (1, ['title'])
    """
    told = drift(selected).filter((pl.col("kind") == "renamed") & (pl.col("share") >= share))
    found: dict[str, dict[str, str]] = {}
    for entity_type, old, new in told.select("entity_type", "old", "new").iter_rows():
        names = found.setdefault(entity_type, {})
        names.update({earlier: new for earlier, later in names.items() if later == old})
        names[old] = new
        names.pop(new, None)
    return {entity_type: names for entity_type, names in found.items() if names}


def _require_whole(selected: Selected) -> None:
    if selected.words:
        raise IncompleteLog(
            f"drift() needs whole histories, and this selection picked single changes ({', '.join(selected.words)}). "
            "Ask drift() of the log before the pick."
        )


def _of_type(shape: Shape) -> Iterator[dict[str, object]]:
    images = _with_state(shape.images)
    turns = [turn for column in shape.columns for turn in _turns(images, column)]
    came = [turn for turn in turns if turn.was is None]
    gone = [turn for turn in turns if turn.now is None]
    for new in came:
        together = [old for old in gone if _transaction(images, old.position) == _transaction(images, new.position)]
        shares = [(_moved(images, old.column, new.column), old) for old in together]
        share, old = max(shares, key=lambda one: one[0], default=(0.0, None))
        if old is not None and share >= ALIKE:
            gone.remove(old)
            turns = [turn for turn in turns if turn not in (old, new)]
            yield _row(images, new, "renamed") | {"old": old.column.name, "new": new.column.name, "share": share}
    for turn in turns:
        yield _row(images, turn, "appeared" if turn.was is None else "vanished" if turn.now is None else "retyped")


def _with_state(images: pl.DataFrame) -> pl.DataFrame:
    """The images by position with ``state``: the document that the entity had before the change."""
    same = (pl.col("entity") == pl.col("entity").shift()) & ~pl.col("ends").shift()
    state = pl.coalesce(pl.when(same).then(pl.col("after").shift()), "before")
    return images.with_columns(state=state).filter(pl.col("operation") != "TRUNCATE").sort("position")


def _turns(images: pl.DataFrame, column: Column) -> Iterator[Turn]:
    word = _word(column)
    if column.code.null_count():
        for position, value in _switches(presence_runs(images, column, states=True)):
            yield Turn(column, position, None if value else word, word if value else None)
    if column.kind == "mixed":
        before = None
        for position, value in _switches(presence_runs(images, column, types=True, states=True), first=True):
            if before is not None:
                yield Turn(column, position, before, str(value))
            before = str(value)


def _word(column: Column) -> str:
    found = value_shape(column, column.text).drop_nulls().unique(maintain_order=True)
    return " or ".join(found) or "null"


def _switches(runs: pl.DataFrame | None, *, first: bool = False) -> Iterator[tuple[int, object]]:
    """Where the value turns, odd single rows left out; ``first``: with where it begins."""
    if runs is None:
        return
    kept = runs.filter(~pl.col("doubtful"))
    turned = kept.filter((pl.col("value") != pl.col("value").shift()).fill_null(value=first))
    for slot, value in turned.select("slot", "value").iter_rows():
        yield slot // 2, value


def _transaction(images: pl.DataFrame, position: int) -> int:
    """The transaction of a change; the change itself, as a negative number, where there are no transactions."""
    number = (
        images.row(by_predicate=pl.col("position") == position, named=True)["transaction_id"] if images.height else None
    )
    return -position - 1 if number is None else int(number)


def _has(column: Column, docs: pl.Series) -> pl.Series:
    return column.code.gather(docs).is_not_null()


def _moved(images: pl.DataFrame, old: Column, new: Column) -> float:
    """The share of the rows that went from one field to the other with the same value, of those that had one."""
    rows = images.filter(pl.col("state").is_not_null() & pl.col("after").is_not_null())
    rows = rows.filter(
        _has(old, rows["state"]) & ~_has(new, rows["state"]) & _has(new, rows["after"]) & ~_has(old, rows["after"])
    )
    shown = rows["before"].is_not_null() & _has(new, rows["before"])  # DDL renamed it before the change
    image = rows.select(pl.when(shown).then("before").otherwise("after").alias("image"))["image"]
    was, now = old.text.gather(rows["state"]), new.text.gather(image)
    valued = was.is_not_null() | now.is_not_null()
    return float((was == now).filter(valued).fill_null(value=False).mean() or 0.0)  # type: ignore[arg-type]  # a share


def _row(images: pl.DataFrame, turn: Turn, kind: str) -> dict[str, object]:
    number = _transaction(images, turn.position)
    own = images.filter(pl.col("transaction_id") == number if number >= 0 else pl.col("position") == turn.position)
    own = own.filter(pl.col("state").is_not_null() & pl.col("after").is_not_null())
    if turn.was is not None and turn.now is not None:
        word = value_shape(turn.column, turn.column.text)
        over = (word.gather(own["state"]) == turn.was) & (word.gather(own["after"]) == turn.now)
        logged = over & (word.gather(own["before"]) == turn.was)
    else:
        here = _has(turn.column, own["after"])
        over = _has(turn.column, own["state"]) != here
        logged = over & own["before"].is_not_null() & (_has(turn.column, own["before"]) != here)
    return {
        "position": turn.position,
        "kind": kind,
        "field": turn.column.name,
        "old": turn.was,
        "new": turn.now,
        "rows": int(over.sum() or 0),
        "share": None,
        "logged": bool(logged.any()),
    }


def _told(row: dict[str, object], selected: Selected, shape: Shape) -> dict[str, object]:
    change = selected.recorded.changes.row(int(str(row["position"])), named=True)
    facts = {name: change[name] for name in ("id", "transaction_id", "changed_at", "changed_by")}
    return row | facts | {"entity_type": shape.entity_type}

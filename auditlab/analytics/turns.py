"""Turns: where a field of a table appeared, vanished or changed its type for all rows, and what rows it took over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from auditlab.analytics.columns import presence_runs, value_shape
from auditlab.buckets.part import ARRIVAL

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from auditlab.shape import Shape
    from auditlab.values import Column

__all__ = ["Place", "Sums", "Turn", "json_types", "transaction", "turns", "turns_of", "with_state"]

Place = tuple[int, ...]
"""Where a change stands: its position; of a log that is dealt out the id and the arrival."""


class Turn(NamedTuple):
    """A field that turned at a change: from one JSON type to another, None where the field is missing.

    ``place`` is the change's position; of a log that is dealt out the id and the arrival at which it stands.
    """

    entity_type: str
    field: str
    place: Place
    was: str | None
    now: str | None


def with_state(images: pl.DataFrame) -> pl.DataFrame:
    """The images by position with ``state``: the document that the entity had before the change."""
    same = (pl.col("entity") == pl.col("entity").shift()) & ~pl.col("ends").shift()
    state = pl.coalesce(pl.when(same).then(pl.col("after").shift()), "before")
    return images.with_columns(state=state).filter(pl.col("operation") != "TRUNCATE").sort("position")


def turns(shape: Shape, images: pl.DataFrame) -> Iterator[Turn]:
    """The turns of a type's fields, from its images (:func:`with_state`)."""
    for column in shape.columns:
        presence = presence_runs(images, column, states=True) if column.code.null_count() else None
        mixed = column.kind == "mixed"
        types = presence_runs(images, column, types=True, states=True) if mixed else None
        yield from turns_of(shape.entity_type, column.name, json_types(column), presence, types)


def turns_of(
    entity_type: str, field: str, held: set[str], presence: pl.DataFrame | None, types: pl.DataFrame | None
) -> Iterator[Turn]:
    """Where a field that holds values of some JSON types turned, from the runs of images that have it, and of types."""
    word = " or ".join(sorted(held)) or "null"
    for place, there in _switches(presence):
        has = there in (True, "true")
        yield Turn(entity_type, field, place, None if has else word, word if has else None)
    before = None
    for place, value in _switches(types, first=True):
        if before is not None:
            yield Turn(entity_type, field, place, before, str(value))
        before = str(value)


def json_types(column: Column) -> set[str]:
    """The JSON types of a field's values, in words."""
    return {*value_shape(column, column.text).drop_nulls().unique()}


def _switches(runs: pl.DataFrame | None, *, first: bool = False) -> Iterator[tuple[Place, object]]:
    """Where the value turns, odd single rows left out; ``first``: with where it begins."""
    if runs is None:
        return
    kept = runs.filter(~pl.col("doubtful"))
    turned = kept.filter((pl.col("value") != pl.col("value").shift()).fill_null(value=first))
    place = ("id", ARRIVAL) if "id" in runs.columns else (pl.col("slot") // 2,)
    for *where, value in turned.select(*place, "value").iter_rows():
        yield tuple(where), value


def transaction(changes: Mapping[Place, Mapping[str, Any]], turn: Turn) -> object:
    """The transaction of a change; the change itself where there are no transactions."""
    number = changes[turn.place]["transaction_id"]
    return turn.place if number is None else number


def _has(column: Column, docs: pl.Series) -> pl.Series:
    return column.code.gather(docs).is_not_null()


class Sums:
    """What the images of a log, or one bucket's after the other's, tell of turns, added up."""

    def __init__(self) -> None:
        self._alike: dict[tuple[Turn, Turn], tuple[int, int]] = {}
        self._rows: dict[Turn, tuple[int, bool]] = {}

    def add(
        self,
        shape: Shape,
        images: pl.DataFrame,
        turns: list[Turn],
        changes: Mapping[Place, Mapping[str, Any]],
        positions: Mapping[Place, int | None],
    ) -> None:
        """Take in some images of a type.

        Args:
            shape: The type.
            images: What ``with_state`` gives.
            turns: All turns of the type.
            changes: The changes in which they are.
            positions: Where those stand here; None for those that stand elsewhere.
        """
        columns = {column.name: column for column in shape.columns}
        for new in turns:
            number = changes[new.place]["transaction_id"]
            here = pl.col("transaction_id") == number if number is not None else _at(positions[new.place])
            rows, logged = _taken_over(images.filter(here), new, columns[new.field])
            known = self._rows.get(new, (0, False))
            self._rows[new] = known[0] + rows, known[1] or logged
            for old in turns:
                if new.was is None and old.now is None and transaction(changes, old) == transaction(changes, new):
                    same, valued = _moved(images, columns[old.field], columns[new.field])
                    before = self._alike.get((old, new), (0, 0))
                    self._alike[old, new] = before[0] + same, before[1] + valued

    def share(self, old: Turn, new: Turn) -> float:
        """The share of rows whose value moved from the one field to the other, of those that had one."""
        same, valued = self._alike[old, new]
        return same / valued if valued else 0.0

    def row(self, turn: Turn, kind: str) -> dict[str, Any]:
        """A row of the report."""
        rows, logged = self._rows[turn]
        return {
            "entity_type": turn.entity_type,
            "kind": kind,
            "field": turn.field,
            "old": turn.was,
            "new": turn.now,
            "rows": rows,
            "share": None,
            "logged": logged,
        }


def _at(position: int | None) -> pl.Expr:
    return pl.lit(value=False) if position is None else pl.col("position") == position


def _moved(images: pl.DataFrame, old: Column, new: Column) -> tuple[int, int]:
    """How many rows went from one field to the other with the same value, and how many of them had one."""
    rows = images.filter(pl.col("state").is_not_null() & pl.col("after").is_not_null())
    rows = rows.filter(
        _has(old, rows["state"]) & ~_has(new, rows["state"]) & _has(new, rows["after"]) & ~_has(old, rows["after"])
    )
    shown = rows["before"].is_not_null() & _has(new, rows["before"])  # DDL renamed it before the change
    image = rows.select(pl.when(shown).then("before").otherwise("after").alias("image"))["image"]
    was, now = old.text.gather(rows["state"]), new.text.gather(image)
    valued = was.is_not_null() | now.is_not_null()
    return int((was == now).filter(valued).sum() or 0), int(valued.sum() or 0)


def _taken_over(images: pl.DataFrame, turn: Turn, column: Column) -> tuple[int, bool]:
    """How many rows a turn's transaction took over, and whether changes of the log did it."""
    own = images.filter(pl.col("state").is_not_null() & pl.col("after").is_not_null())
    if turn.was is not None and turn.now is not None:
        word = value_shape(column, column.text)
        over = (word.gather(own["state"]) == turn.was) & (word.gather(own["after"]) == turn.now)
        logged = over & (word.gather(own["before"]) == turn.was)
    else:
        here = _has(column, own["after"])
        over = _has(column, own["state"]) != here
        logged = over & own["before"].is_not_null() & (_has(column, own["before"]) != here)
    return int(over.sum() or 0), bool(logged.any())

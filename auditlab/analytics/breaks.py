"""Breaks of a chain, value by value: what differs between a state and the image that should be the same, and why."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import polars as pl

from auditlab import documents
from auditlab.analytics.columns import presence_runs, value_shape
from auditlab.analytics.listed import disagreeing
from auditlab.errors import MalformedChange, SnapshotTooDeep, SnapshotTooLarge
from auditlab.placeholders import UNAVAILABLE
from auditlab.values import plain_texts

if TYPE_CHECKING:
    from auditlab.selection import Selected
    from auditlab.values import Column

__all__ = ["UNREADABLE", "Runs", "classified", "gap_note"]

Runs = Callable[[str, str, bool], pl.DataFrame | None]
"""How a field of an entity type, or (True) its JSON type, runs through a log: ``columns.presence_runs``."""

UNREADABLE = (MalformedChange, SnapshotTooDeep, SnapshotTooLarge)
"""What images that are no documents raise."""

PAIRS = {
    "position": pl.UInt32(),
    "previous": pl.UInt32(),
    "field": pl.String(),
    "kind": pl.String(),
    "old": pl.String(),
    "new": pl.String(),
}
DRIFTS = {"added": "the column appeared", "removed": "the column vanished", "retyped": "the column changed its type"}
FLOAT_DIGITS = 15
"""Digits that PostgreSQL shows of a double precision where extra_float_digits is 0."""


def classified(selected: Selected, links: pl.DataFrame, runs: Runs | None = None) -> dict[str, pl.DataFrame]:
    """The breaks of a chain by kind: position, previous, field, old (the state that the log had), new and note.

    Args:
        selected: The log.
        links: :func:`auditlab.analytics.chain.chain`.
        runs: Of a part of a log: how a field of a type, or (True) its JSON type, runs through all of the log.
    """
    kinds: dict[str, list[pl.DataFrame]] = {}
    suspects = links.filter("differs").select("entity_type", "position", "previous")
    for (entity_type,), pairs in suspects.group_by("entity_type", maintain_order=True):
        try:
            found = _of_type(selected, str(entity_type), pairs.drop("entity_type"), runs or _runs(selected))
        except UNREADABLE:
            found = {"unlogged change": pairs.drop("entity_type")}
        for kind, rows in found.items():
            kinds.setdefault(kind, []).append(rows)
    return {kind: pl.concat(parts, how="diagonal") for kind, parts in kinds.items()}


def _runs(selected: Selected) -> Runs:
    """How fields run through the images of a log that is there as a whole."""

    def of(entity_type: str, field: str, types: bool) -> pl.DataFrame | None:  # noqa: FBT001 - ``Runs``
        shape = selected.recorded.shape(entity_type)
        column = next(column for column in shape.columns if column.name == field)
        return presence_runs(shape.images, column, types=types)

    return of


def _of_type(selected: Selected, entity_type: str, pairs: pl.DataFrame, runs_of: Runs) -> dict[str, pl.DataFrame]:
    declared = selected.recorded.facts.kinds.get(entity_type, {})
    columns, state, image = _documents(selected, entity_type, pairs)
    parts = [_differing(pairs, column, state, image) for column in columns]
    rows = pl.concat(parts) if parts else pl.DataFrame(schema=PAIRS)
    rows = rows.filter(~_same_float(rows, declared))
    rendered = pairs.join(rows, on="position", how="anti")
    drifted = _explained_by_drift(selected, entity_type, rows, runs_of)
    drift = rows.with_columns(drifted=drifted).filter(pl.col("drifted").all().over("position")).drop("drifted")
    rest = rows.join(drift, on="position", how="anti").drop("kind")
    edited = _edited(selected, rest)
    return {
        "session rendering": rendered,
        "schema drift": drift.with_columns(note=pl.col("kind").replace(DRIFTS)).drop("kind"),
        "edited change": rest.filter(edited.is_not_null()).with_columns(note=edited.drop_nulls()),
        "unlogged change": _with_gaps(selected, rest.filter(edited.is_null())),
    }


def _documents(
    selected: Selected, entity_type: str, pairs: pl.DataFrame
) -> tuple[tuple[Column, ...], pl.Series, pl.Series]:
    """The columns over the documents of the pairs, and for each pair the numbers of its state and its image.

    Only the pairs' own documents are split, unless values in them were not sent and have to be carried forward.
    """
    recorded = selected.recorded
    changes = recorded.changes[pairs["position"].to_list()]
    snapshot = pl.col("operation") == "SNAPSHOT"
    image = changes.select(pl.when(snapshot).then("after_snapshot").otherwise("before_snapshot").alias("image"))[
        "image"
    ]
    state = recorded.changes["after_snapshot"].gather(pairs["previous"]).rename("state")
    texts = pl.concat([image, state.rename("image")])
    if texts.str.contains(UNAVAILABLE, literal=True).any():
        shape = recorded.shape(entity_type)
        told = shape.images.select("position", "operation", "before", "after").unique("position", keep="any")
        own = pairs.join(told, on="position", how="left", maintain_order="left")
        left = pairs.select(pl.col("previous").alias("position")).join(
            told, on="position", how="left", maintain_order="left"
        )
        number = own.select(pl.when(snapshot).then("after").otherwise("before").alias("image"))["image"]
        return shape.columns, left["after"], number
    kinds = recorded.facts.kinds.get(entity_type, {})
    read = documents.read(state, image, kinds, changes["id"])
    return read.columns, read.before, read.after


def _differing(pairs: pl.DataFrame, column: Column, state: pl.Series, image: pl.Series) -> pl.DataFrame:
    """``PAIRS``' columns of the pairs that differ in a field."""
    unequal = column.code.gather(state).ne_missing(column.code.gather(image))
    if not unequal.any():
        return pl.DataFrame(schema=PAIRS)
    rows, state, image = pairs.filter(unequal), state.filter(unequal), image.filter(unequal)
    was, now = column.code.gather(state).is_not_null(), column.code.gather(image).is_not_null()
    old, new = column.text.gather(state), column.text.gather(image)
    retyped = (value_shape(column, old) != value_shape(column, new)).fill_null(value=False)
    if column.kind == "mixed":  # texts are JSON: only where the two are of different types need that be seen
        old, new = (side.zip_with(retyped, plain_texts(side)) for side in (old, new))
    return rows.select(
        "position",
        "previous",
        pl.lit(column.name).alias("field"),
        pl.when(~pl.lit(was))
        .then(pl.lit("added"))
        .when(~pl.lit(now))
        .then(pl.lit("removed"))
        .when(pl.lit(retyped))
        .then(pl.lit("retyped"))
        .otherwise(pl.lit("modified"))
        .alias("kind"),
        pl.lit(old).alias("old"),
        pl.lit(new).alias("new"),
    )


def _same_float(rows: pl.DataFrame, declared: dict[str, str]) -> pl.Series:
    """Whether two texts are one double precision, shown with fewer digits by a session that asked for them."""
    floats = [name for name, kind in declared.items() if kind == "float"]
    same = pl.Series([False]).new_from_index(0, rows.height)
    suspects = (rows["field"].is_in(floats) & (rows["kind"] == "modified")).fill_null(value=False)
    if not floats or not suspects.any():
        return same
    shown = [
        None if old is None or new is None else f"{float(old):.{FLOAT_DIGITS}g}" == f"{float(new):.{FLOAT_DIGITS}g}"
        for old, new in rows.filter(suspects).select("old", "new").iter_rows()
    ]
    return same.scatter(suspects.arg_true(), pl.Series(shown, dtype=pl.Boolean).fill_null(value=False))


def _explained_by_drift(selected: Selected, entity_type: str, rows: pl.DataFrame, runs_of: Runs) -> pl.Series:
    """Whether a row's field appeared, vanished or changed type in the whole table between the two changes."""
    explained = pl.Series([False]).new_from_index(0, rows.height)
    suspects = rows.with_row_index("at").filter(pl.col("kind") != "modified")
    if suspects.is_empty():
        return explained
    for (name, kind), found in suspects.group_by("field", "kind"):
        runs = runs_of(entity_type, str(name), kind == "retyped")
        if runs is None:
            continue
        snapshots = selected.recorded.changes["operation"].gather(found["position"]) == "SNAPSHOT"
        begin = found.select("at", slot=pl.col("previous").cast(pl.Int64) * 2 + 1)
        end = found.select("at", slot=pl.col("position").cast(pl.Int64) * 2 + pl.lit(snapshots))
        first, last = (_run_at(runs, moments) for moments in (begin, end))
        odd = runs["doubtful"].cast(pl.Int64)
        none_odd = odd.cum_sum().gather(last) == (odd.cum_sum() - odd).gather(first)
        explained = explained.scatter(found["at"], (none_odd & (last > first)).fill_null(value=False))
    return explained


def _run_at(runs: pl.DataFrame, moments: pl.DataFrame) -> pl.Series:
    """The number of the run that holds at each moment, in the order of ``moments``."""
    found = moments.sort("slot").join_asof(runs.select("slot", "run"), on="slot").sort("at")
    return moments.join(found.select("at", "run"), on="at", how="left", maintain_order="left")["run"].cast(pl.Int64)


def _edited(selected: Selected, rows: pl.DataFrame) -> pl.Series:
    """For each row, which of its two changes contradicts its own list of changed fields in words; null for neither."""
    if rows.is_empty():
        return pl.Series([], dtype=pl.String)
    both = pl.concat([rows["position"], rows["previous"].rename("position")]).unique().sort()
    wrong = disagreeing(selected, both)["position"]
    ids = selected.recorded.changes["id"]
    words = [
        pl.when(rows[name].is_in(wrong.implode())).then(
            pl.format("change {} contradicts its own changed_fields", pl.lit(ids.gather(rows[name])))
        )
        for name in ("position", "previous")
    ]
    return rows.select(pl.coalesce(words).alias("note"))["note"]


def _with_gaps(selected: Selected, rows: pl.DataFrame) -> pl.DataFrame:
    """``rows`` with a note of how many ids are missing between the two changes: a change may have been taken out."""
    ids = selected.recorded.changes.sort("row")["id"].unique(maintain_order=True)
    place = pl.DataFrame({"id": ids}).with_row_index("place").with_columns(pl.col("place").cast(pl.Int64))
    told = selected.recorded.changes.select("position", "id").join(place, on="id", how="left")
    ends = [
        rows.select(pl.col(name).alias("position")).join(told, on="position", how="left", maintain_order="left")
        for name in ("previous", "position")
    ]
    missing = (ends[1]["id"] - ends[0]["id"]) - (ends[1]["place"] - ends[0]["place"])
    return rows.with_columns(note=gap_note(pl.lit(missing)))


def gap_note(missing: pl.Expr) -> pl.Expr:
    """How many ids are missing between two changes, in words."""
    told = pl.format("{} ids are missing in between", missing)
    return pl.when(missing > 0).then(told).otherwise(pl.lit("no id is missing in between"))

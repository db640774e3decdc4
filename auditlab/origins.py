"""Who set each field of each version: the runs in which a field had one value, and the change that set it.

A field is set by the change whose own images differ in it. Where a change's before image is not what the change before
it left, something that was not logged did the difference: that change merely carried it, and is not named for it.

A row whose key was changed is still that row: what the change of its key did not alter was set under the old key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from auditlab.lineage import lineage
from auditlab.schema import TIME

if TYPE_CHECKING:
    from auditlab.values import Column

__all__ = ["FIELD_ORIGINS", "field_origins"]

FIELD_ORIGINS: dict[str, pl.DataType] = {
    "entity_id": pl.String(),
    "field": pl.String(),
    "place": pl.Int64(),
    "value": pl.String(),
    "set_by": pl.String(),
    "set_at": TIME,
    "id": pl.Int64(),
    "transaction_id": pl.Int64(),
    "operation": pl.String(),
    "old": pl.String(),
    "old_present": pl.Boolean(),
    "life": pl.Int64(),
    "origin": pl.String(),
    "seen_in": pl.Int64(),
    "certain": pl.Boolean(),
    "valid_from": TIME,
    "valid_to": TIME,
    "first_version": pl.Int64(),
    "last_version": pl.Int64(),
}
"""One row a field's value for as long as it was held by one setting; its recorded text may change on the way.

The time that it held is ``[valid_from, valid_to)``; in the order of the entity's versions it is ``first_version`` to
``last_version``, which tells of versions that held for no time, too."""

_CARRIED, _SET, _UNLOGGED, _UNKNOWN = 0, 1, 2, 3
_FACTS = (
    "changed_by", "changed_at", "id", "transaction_id", "operation", "seen_in", "sure", "was", "prior", "derived",
)  # fmt: skip
_WORDS = {_SET: "observed", _UNLOGGED: "unlogged", _UNKNOWN: "unknown"}


def field_origins(
    versions: pl.DataFrame,
    steps: pl.DataFrame,
    columns: tuple[Column, ...],
    unordered: pl.Series,
    truncated: int | None,
) -> pl.DataFrame:
    """Every field of every version with the change that set it, run by run: ``FIELD_ORIGINS``' columns.

    Args:
        versions: :attr:`auditlab.shape.Shape.versions`, by entity and version.
        steps: The type's steps with ``before`` (the number of the before image), and whether their images are derived.
        columns: The type's fields over its documents.
        unordered: Positions whose order is ambiguous.
        truncated: The position of the type's first TRUNCATE: an entity first seen after it was absent before.
    """
    rows = _rows(versions, steps, unordered, truncated)
    parts = [_of_field(rows, column, place) for place, column in enumerate(columns)]
    return pl.concat([pl.DataFrame(schema=FIELD_ORIGINS), *parts])


def _rows(versions: pl.DataFrame, steps: pl.DataFrame, unordered: pl.Series, truncated: int | None) -> pl.DataFrame:
    """The versions with the documents around each and, of a life's first, where its values come from."""
    first = (pl.col("entity") != pl.col("entity").shift()).fill_null(value=True)
    came = pl.col("link").is_not_null() & ~pl.col("ends")
    derived = pl.col("before_derived") | pl.col("after_derived")
    images = steps.select("entity", "turn", "before", "link", first=first, came=came, derived=derived)
    rows = versions.join(images, on=["entity", "turn"], how="left", maintain_order="left")
    lines = lineage(steps)
    unbroken = ["entity", "life"]
    if lines is not None:
        rows, unbroken = _by_line(rows, lines), ["line"]
    observed = pl.col("origin") != "unknown"
    operation = pl.col("operation").fill_null("")
    read = operation == "SNAPSHOT"
    same = pl.all_horizontal(pl.col(name) == pl.col(name).shift() for name in unbroken).fill_null(value=False)
    same &= pl.col("before").is_not_null() | operation.is_in(["SNAPSHOT", "INSERT"]) | ~observed  # else it is not told
    absent_before = ~pl.col("first")
    if truncated is not None:
        absent_before |= pl.col("position") > truncated
    begun = (
        pl.when(operation == "INSERT")
        .then(_SET)
        .when((~observed & pl.col("valid_from").is_not_null()) | (read & absent_before))
        .then(_UNLOGGED)
        .otherwise(_UNKNOWN)
    )
    rows = rows.with_columns(
        same=same,
        begun=pl.when(~same).then(begun).otherwise(_CARRIED),
        prior=pl.when(same).then(pl.col("doc").shift()),
        own=pl.when(~operation.is_in(["SNAPSHOT", "INSERT"]) & observed).then("before"),
        read=read,
        seen_in=pl.coalesce("id", "ended_by"),
        sure=~pl.col("position").is_in(unordered.implode()),
    )
    rows = rows.with_columns(
        was=pl.when(~pl.col("read")).then(pl.coalesce("own", "prior")),
        found=pl.when("read").then("doc").otherwise("own"),
    )
    return rows.with_row_index("row")


def _by_line(rows: pl.DataFrame, lines: pl.DataFrame) -> pl.DataFrame:
    """The versions of each row of the table one after the other, whatever its key was: with ``line``, a number."""
    number = pl.int_range(pl.len(), dtype=pl.Int64)
    lives = rows.select("entity", "life").unique(maintain_order=True)
    told = lives.join(lines, on=["entity", "life"], how="left", maintain_order="left").with_columns(
        line=pl.coalesce(pl.col("line").cast(pl.Int64), -1 - number), place=pl.col("place").fill_null(0)
    )
    told = rows.join(told, on=["entity", "life"], how="left", maintain_order="left")
    return told.sort("line", "place", maintain_order=True)


def _of_field(rows: pl.DataFrame, column: Column, place: int) -> pl.DataFrame:
    """The runs of one field: a run begins with a life, a setting or other recorded text."""
    code = column.code
    after, prior, was, found = (code.gather(rows[name]) for name in ("doc", "prior", "was", "found"))
    text = column.text.gather(rows["doc"])
    broken = prior.ne_missing(found) & rows["found"].is_not_null() & rows["same"]
    changed = was.ne_missing(after) & rows["was"].is_not_null() & rows["same"]
    cells = rows.select(
        "row",
        "same",
        "came",
        kind=pl.when(~pl.col("same"))
        .then("begun")
        .when(pl.lit(changed))
        .then(_SET)
        .when(pl.lit(broken))
        .then(_UNLOGGED)
        .otherwise(_CARRIED),
    )
    event = pl.col("kind") != _CARRIED
    reworded = pl.lit(text.ne_missing(text.shift()))
    runs = cells.select(
        "row",
        begins=~pl.col("same") | pl.col("came") | event | reworded,
        setting=pl.when(event).then("row").forward_fill(),
        kind=pl.when(event).then("kind").forward_fill(),
    ).filter("begins")
    last = (runs["row"].shift(-1, fill_value=len(rows)) - 1).alias("last")
    runs = runs.with_columns(last).filter(after.gather(runs["row"]).is_not_null())
    return _told(rows, runs, column, place)


def _told(rows: pl.DataFrame, runs: pl.DataFrame, column: Column, place: int) -> pl.DataFrame:
    """The runs with the facts of the change that set each."""
    setting = rows.select(_FACTS)[runs["setting"]]
    own = rows.select("entity_id", "life")[runs["row"]]
    kind = runs["kind"]
    was = setting.select(
        pl.when(pl.lit(kind) == _SET).then("was").when(pl.lit(kind) == _UNLOGGED).then("prior")
    ).to_series()
    by = pl.lit(kind) == _SET
    return setting.select(
        pl.lit(own["entity_id"]),
        pl.lit(column.name).alias("field"),
        pl.lit(place, dtype=pl.Int64).alias("place"),
        pl.lit(column.text.gather(rows["doc"].gather(runs["row"]))).alias("value"),
        pl.when(by).then("changed_by").alias("set_by"),
        pl.when(by).then("changed_at").alias("set_at"),
        pl.when(by).then("id").alias("id"),
        pl.when(by).then("transaction_id").alias("transaction_id"),
        pl.when(by).then("operation").alias("operation"),
        pl.lit(column.text.gather(was)).alias("old"),
        pl.when(pl.lit(kind) != _UNKNOWN).then(pl.lit(column.code.gather(was).is_not_null())).alias("old_present"),
        pl.lit(own["life"]),
        pl.when(by & pl.col("derived"))
        .then(pl.lit("derived"))
        .otherwise(pl.lit(kind).replace_strict(_WORDS, return_dtype=pl.String))
        .alias("origin"),
        "seen_in",
        pl.col("sure").alias("certain"),
        pl.lit(rows["valid_from"].gather(runs["row"])).alias("valid_from"),
        pl.lit(rows["valid_to"].gather(runs["last"])).alias("valid_to"),
        pl.lit(rows["version"].gather(runs["row"])).alias("first_version"),
        pl.lit(rows["version"].gather(runs["last"])).alias("last_version"),
    )

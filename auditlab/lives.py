"""The steps of each entity: what begins and ends its lives, and from when on each change counts."""

from __future__ import annotations

import polars as pl

from auditlab.rekeys import partition
from auditlab.schema import TIME
from auditlab.spans import running_sum

__all__ = ["STEPS", "lives", "running_maximum"]

STEPS: dict[str, pl.DataType] = {
    "entity": pl.UInt32(),
    "entity_type": pl.String(),
    "entity_id": pl.String(),
    "position": pl.UInt32(),
    "turn": pl.UInt32(),
    "operation": pl.String(),
    "effective": TIME,
    "life": pl.Int64(),
    "ends": pl.Boolean(),
    "unseen": pl.Boolean(),
    "since_ever": pl.Boolean(),
    "link": pl.UInt32(),
    "before_at": pl.UInt32(),
}
"""One row a change of one entity, by entity and ``turn`` (the order inside an entity).

``ends``: the entity is absent after it. ``unseen``: the state before it was never logged; ``since_ever``: it may
be as old as the log. ``link`` is the same number where a change of a key ended one entity (``ends``) and where it began
another; there the first life goes on in the second. ``before_at`` is the position of the change whose before image
counts, where that is another's: of the INSERT of a DELETE and an INSERT that are one UPDATE, of which the DELETE then
has no step of its own."""


def lives(rows: pl.DataFrame, by_id: pl.DataFrame, links: pl.DataFrame) -> pl.DataFrame:
    """``STEPS``' columns: TRUNCATEs dealt out to the entities that they ended, the halves of one UPDATE put together.

    Args:
        rows: One row a change by entity and position; of a log with linked keys also those that ``reordered`` adds.
        by_id: The canonical columns by id.
        links: ``auditlab.rekeys.LINKS``' columns with ``link``, those that are linked.
    """
    if links.is_empty():
        rows = rows.with_columns(link=pl.lit(None, dtype=pl.UInt32), leaves=pl.lit(value=False), turn="position")
    steps = _dealt(rows)
    steps = steps.with_columns(effective=running_maximum(steps["entity"], steps["clock"]))
    if links.height:
        steps = _carried(steps)
    steps = _folded(steps.with_columns(before_at=pl.lit(None, dtype=pl.UInt32)), by_id)
    first = (pl.col("entity") != pl.col("entity").shift()).fill_null(value=True)
    operation = pl.col("operation")
    ends = (operation == "DELETE") | (operation == "TRUNCATE") | pl.col("leaves")
    came = pl.col("link").is_not_null() & ~pl.col("leaves")
    steps = steps.with_columns(first=first, ends=ends, came=came)
    opens = pl.col("first") | (operation == "INSERT") | pl.col("came") | pl.col("ends").shift()
    steps = steps.with_columns(opens=opens)
    unseen = pl.col("opens") & ((operation == "UPDATE") | (operation == "DELETE")) & ~pl.col("came")
    steps = steps.with_columns(
        life=running_sum(steps["entity"], steps["opens"]),
        unseen=unseen,
        since_ever=unseen & pl.col("first") & (pl.col("epoch") == 0),
    )
    return steps.select(*STEPS)


def running_maximum(entity: pl.Series, clock: pl.Series) -> pl.Series:
    """The running maximum of each entity's clock; where no clock runs backwards, that is the clock itself."""
    times = pl.DataFrame({"entity": entity, "clock": clock})
    other = (pl.col("entity") != pl.col("entity").shift()).fill_null(value=True)
    onwards = (pl.col("clock") >= pl.col("clock").shift()).fill_null(value=False)
    if times.select((onwards | other).all()).item():
        return clock
    return times.select(pl.col("clock").cum_max().over("entity")).to_series()


def _dealt(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows of entities by entity and turn, each TRUNCATE once for each entity that it ended."""
    columns = [
        "entity", "entity_type", "entity_id", "epoch", "slot", "position", "turn", "clock", "operation",
        "transaction_id", "link", "leaves",
    ]  # fmt: skip
    emptied = rows["operation"] == "TRUNCATE"
    if not emptied.any():
        return rows.select(columns)
    steps = rows.filter(~emptied).select(columns)
    truncates = rows.filter(emptied).select("entity_type", (pl.col("epoch") - 1).alias("epoch"), *columns[4:])
    last = pl.any_horizontal((pl.col(n) != pl.col(n).shift(-1)).fill_null(value=True) for n in ("entity", "epoch"))
    live = steps.filter(last & (pl.col("operation") != "DELETE") & ~pl.col("leaves"))
    live = live.select("entity", "entity_type", "entity_id", "epoch")
    ended = live.join(truncates, on=["entity_type", "epoch"], how="inner").select(columns)
    return pl.concat([steps, ended]).sort("entity", "turn")


def _carried(steps: pl.DataFrame) -> pl.DataFrame:
    """The steps with the effective time carried on from each entity that a link ended to the one that it began."""
    while True:
        ended = steps.filter("leaves").select("link", since="effective")
        later = steps.join(ended, on="link", how="left", maintain_order="left")
        later = later.with_columns(pl.max_horizontal("effective", "since").cum_max().over("entity").alias("effective"))
        if later["effective"].equals(steps["effective"]):
            return steps
        steps = later.drop("since")


def _folded(steps: pl.DataFrame, by_id: pl.DataFrame) -> pl.DataFrame:
    """The steps with each DELETE and INSERT that are one UPDATE as that: at the INSERT, from the DELETE's before image.

    Those are the two halves of a linked change of a key, and a row that leaves one partition and enters another under
    the same key in one transaction. The end of the old key stays, a step of its own.
    """
    begins = pl.col("link").is_not_null() & ~pl.col("leaves") & (pl.col("operation") == "INSERT")
    if steps.select(begins.any()).item():
        ended = steps.filter("leaves").select("link", left="position")
        steps = steps.join(ended, on="link", how="left", maintain_order="left")
        steps = steps.with_columns(
            before_at=pl.when(begins).then("left"),
            operation=pl.when(begins).then(pl.lit("UPDATE")).otherwise("operation"),
        ).drop("left")
    again = pl.all_horizontal(pl.col(name) == pl.col(name).shift() for name in ("entity", "transaction_id"))
    again &= (pl.col("operation") == "INSERT") & (pl.col("operation").shift() == "DELETE")
    again &= pl.col("link").is_null() & pl.col("link").shift().is_null()
    places = steps.select(again.arg_true()).to_series()
    if places.is_empty():
        return steps
    sides = [
        by_id.select("partition", "metadata")[steps["slot"].gather(places - offset)].select(partition()).to_series()
        for offset in (0, 1)
    ]
    moved = places.filter((sides[0] != sides[1]).fill_null(value=False))
    if moved.is_empty():
        return steps
    number = pl.int_range(pl.len(), dtype=pl.UInt32)
    comes, goes = number.is_in(moved.implode()), number.is_in((moved - 1).implode())
    return steps.with_columns(
        before_at=pl.when(comes).then(pl.col("position").shift()).otherwise("before_at"),
        operation=pl.when(comes).then(pl.lit("UPDATE")).otherwise("operation"),
    ).filter(~goes)

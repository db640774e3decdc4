"""The one order of a log, and the life of each entity in it.

Inside an entity the order is the id's, repaired inside one transaction where the images say so (:mod:`auditlab.links`).
Time never orders changes: it is carried along, as the running maximum of the log's one clock (the effective time).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from auditlab.links import ABSENT, Step, canonical_document, link

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Sequence", "sequence"]


@dataclass(frozen=True, slots=True)
class Sequence:
    """A log in its order.

    Args:
        changes: The canonical columns, one row a change, in the log's order; a row's number is its position.
        steps: One row a change of one entity (a TRUNCATE stands once for each entity that it ended), by entity and
            position: entity, entity_type, entity_id, position, operation, effective, life, ends (the entity is absent
            after it), unseen (the state before it was never logged) and since_ever (that state may be as old as the
            log).
        unordered: Positions (UInt32) of changes whose order inside their transaction is ambiguous: id decided.
    """

    changes: pl.DataFrame
    steps: pl.DataFrame
    unordered: pl.Series


def sequence(changes: pl.DataFrame, *, clock: str, kinds: Mapping[str, Mapping[str, str]]) -> Sequence:
    """Put ``changes`` (canonical columns, in any order) in the log's order.

    Args:
        changes: The recorded changes.
        clock: The column that dates them: ``changed_at`` or ``committed_at``.
        kinds: entity type -> field -> kind, as the source's catalog declares them.
    """
    by_id = changes.sort("id", maintain_order=True)
    rows = _rows(by_id, clock)
    rows, unordered = _repair(rows, by_id, kinds)
    unordered = pl.concat([unordered, _doubled(rows)])
    order = rows.sort("position")["slot"]
    ordered = by_id if rows["slot"].equals(rows["position"].rename("slot")) else by_id[order]
    return Sequence(ordered, _steps(rows), unordered)


def _rows(by_id: pl.DataFrame, clock: str) -> pl.DataFrame:
    """The narrow columns that order needs, by entity and id; ``epoch`` counts the TRUNCATEs up to a row."""
    narrow = by_id.select(
        "id",
        "entity_type",
        "entity_id",
        "operation",
        "transaction_id",
        pl.col(clock).alias("clock"),
        epoch=(pl.col("operation") == "TRUNCATE").cast(pl.UInt32).cum_sum().over("entity_type"),
    ).with_row_index("slot")
    entities = narrow.select("entity_type", "entity_id").unique(maintain_order=True).with_row_index("entity")
    rows = narrow.join(entities, on=["entity_type", "entity_id"], how="left", nulls_equal=True, maintain_order="left")
    return rows.with_columns(position=pl.col("slot")).sort("entity", "slot")


def _repair(
    rows: pl.DataFrame, by_id: pl.DataFrame, kinds: Mapping[str, Mapping[str, str]]
) -> tuple[pl.DataFrame, pl.Series]:
    """``rows`` with the positions of wrongly ordered transactions put right, by entity and position."""
    suspects = _suspects(rows, by_id)
    moved: dict[int, int] = {}
    unordered: list[int] = []
    last, end = -1, None
    for group in suspects.iter_rows(named=True):
        slots, declared = group["slots"], kinds.get(group["entity_type"], {})
        images = by_id.select("operation", "before_snapshot", "after_snapshot")[slots]
        steps = [_step(operation, before, after, declared) for operation, before, after in images.iter_rows()]
        if group["previous"] is None:
            start = ABSENT if group["epoch"] else None
        elif last == group["previous"]:
            start = end
        else:
            earlier = by_id.select("operation", "before_snapshot", "after_snapshot").row(group["previous"])
            start = _step(earlier[0], earlier[1], earlier[2], declared).after
        order, certain, end = link(steps, start)
        last = slots[-1]
        moved.update({slots[number]: slots[place] for place, number in enumerate(order)})
        if not certain:
            unordered += slots
    if not any(slot != place for slot, place in moved.items()):
        return rows, pl.Series("position", unordered, dtype=pl.UInt32)
    moves = pl.DataFrame(
        {"slot": list(moved), "moved": list(moved.values())},
        schema_overrides=dict.fromkeys(("slot", "moved"), pl.UInt32),
    )
    rows = rows.join(moves, on="slot", how="left", maintain_order="left").with_columns(
        position=pl.coalesce("moved", "position")
    )
    return rows.drop("moved").sort("entity", "position"), pl.Series("position", unordered, dtype=pl.UInt32)


def _doubled(rows: pl.DataFrame) -> pl.Series:
    """Positions of different changes of one entity that have one id: which came first cannot be told."""
    entity = rows.filter(pl.col("entity_id").is_not_null())
    return entity.filter(pl.struct("entity", "id").is_duplicated())["position"]


def _suspects(rows: pl.DataFrame, by_id: pl.DataFrame) -> pl.DataFrame:
    """Groups of one entity's changes in one transaction whose images do not link as they stand, texts compared.

    Columns: entity_type, epoch, slots (list, by id) and previous (the slot of the entity's change before the group).
    """
    tied = rows.filter(pl.col("entity_id").is_not_null() & pl.col("transaction_id").is_not_null())
    same = pl.all_horizontal(pl.col(name) == pl.col(name).shift() for name in ("entity", "epoch"))
    neighbour = pl.when(same).then(pl.col("slot").shift())
    key = ["entity", "epoch", "transaction_id"]
    crowded = rows.with_columns(previous=neighbour).join(
        tied.group_by(key).len().filter(pl.col("len") > 1).drop("len"), on=key, how="semi", maintain_order="left"
    )
    if crowded.is_empty():
        return crowded.select("entity_type", "epoch", pl.col("slot").alias("slots"), "previous")
    after = by_id["after_snapshot"].gather(crowded["previous"])
    before = by_id["before_snapshot"].gather(crowded["slot"])
    linked = crowded.with_columns(
        broken=before.ne_missing(after) & crowded["previous"].is_not_null(),
    )
    return (
        linked.group_by(key, maintain_order=True)
        .agg(pl.first("entity_type"), pl.col("slot").alias("slots"), pl.first("previous"), pl.any("broken"))
        .filter(pl.col("broken"))
        .select("entity_type", "epoch", "slots", "previous")
    )


def _step(operation: str, before: str | None, after: str | None, kinds: Mapping[str, str]) -> Step:
    absent_before, absent_after = operation == "INSERT", operation == "DELETE"
    return Step(
        ABSENT if absent_before else canonical_document(before, kinds),
        ABSENT if absent_after else canonical_document(after, kinds),
    )


def _steps(rows: pl.DataFrame) -> pl.DataFrame:
    """One row a change of one entity, TRUNCATEs dealt out to the entities that they ended."""
    truncates = rows.filter(pl.col("operation") == "TRUNCATE").select(
        "entity_type", (pl.col("epoch") - 1).alias("epoch"), "position", "clock", pl.lit("TRUNCATE").alias("operation")
    )
    columns = ["entity", "entity_type", "entity_id", "epoch", "position", "clock", "operation"]
    steps = rows.filter(pl.col("operation") != "TRUNCATE").select(columns)
    if not truncates.is_empty():
        last = pl.any_horizontal((pl.col(n) != pl.col(n).shift(-1)).fill_null(value=True) for n in ("entity", "epoch"))
        live = steps.filter(last & (pl.col("operation") != "DELETE")).select(
            "entity", "entity_type", "entity_id", "epoch"
        )
        ended = live.join(truncates, on=["entity_type", "epoch"], how="inner").select(columns)
        steps = pl.concat([steps, ended]).sort("entity", "position")
    first = (pl.col("entity") != pl.col("entity").shift()).fill_null(value=True)
    ends = pl.col("operation").is_in(["DELETE", "TRUNCATE"])
    steps = steps.with_columns(first=first, ends=ends)
    opens = pl.col("first") | (pl.col("operation") == "INSERT") | pl.col("ends").shift()
    steps = steps.with_columns(opens=opens)
    unseen = pl.col("opens") & pl.col("operation").is_in(["UPDATE", "DELETE"])
    return steps.select(
        "entity",
        "entity_type",
        "entity_id",
        "position",
        "operation",
        pl.col("clock").cum_max().over("entity").alias("effective"),
        pl.col("opens").cast(pl.Int64).cum_sum().over("entity").alias("life"),
        "ends",
        unseen.alias("unseen"),
        (unseen & pl.col("first") & (pl.col("epoch") == 0)).alias("since_ever"),
    )

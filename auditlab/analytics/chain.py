"""The chain of each entity: whether every change begins where the one before it ended.

Images are compared as text first: where they are the same text there is nothing to find, and that is nearly always so.
What differs is looked at value by value in :mod:`auditlab.analytics.breaks`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from auditlab.analytics.ties import tied

if TYPE_CHECKING:
    from auditlab.order import Sequence
    from auditlab.selection import Selected

__all__ = ["MANY", "chain", "chain_faults", "emptied", "life_spans"]

MANY = 3
"""Rows inserted again without a delete from which on a TRUNCATE is suspected."""

_SAME = (pl.col("entity") == pl.col("entity").shift()).fill_null(value=False)


def chain(selected: Selected) -> pl.DataFrame:
    """Each change of each entity with the one before it, by entity and position; the log's baseline is not judged.

    Columns: those of the steps, ``previous`` (position of the entity's change before, null for its first), ``differs``
    (UPDATE, DELETE and SNAPSHOT: the texts of the image and of the state before it are not the same) and ``misplaced``
    (an INSERT of what was there, or another change of what was not). Both are false where the images leave the order
    open and some order fits. A row that goes on under a new key counts as an INSERT there.
    """
    recorded = selected.recorded
    steps = recorded.sequence.steps
    if selected.entity_types != recorded.entity_types:
        steps = steps.filter(pl.col("entity_type").is_in(selected.entity_types))
    steps = steps.with_columns(
        previous=pl.when(_SAME).then(pl.col("position").shift()), gone=pl.when(_SAME).then(pl.col("ends").shift())
    )
    came = pl.col("link").is_not_null() & ~pl.col("ends")
    steps = steps.with_columns(operation=pl.when(came).then(pl.lit("INSERT")).otherwise("operation"))
    changes = recorded.changes
    unlike = _unlike(recorded.sequence, changes, steps)
    differs = unlike.fill_null(value=False) & (steps["operation"] != "INSERT") & ~steps["gone"]
    needs_row = (pl.col("operation") != "INSERT") & (pl.col("operation") != "TRUNCATE")
    misplaced = (needs_row & pl.col("gone")) | ((pl.col("operation") == "INSERT") & ~pl.col("gone"))
    steps = steps.with_columns(differs=differs.fill_null(value=False), misplaced=misplaced.fill_null(value=False))
    if changes["baseline"].any():
        steps = steps.filter(~changes["baseline"].gather(steps["position"]))
    fits = ~pl.col("position").is_in(tied(selected, steps).implode())
    return steps.drop("gone").with_columns(pl.col("differs") & fits, pl.col("misplaced") & fits)


def _unlike(sequence: Sequence, changes: pl.DataFrame, steps: pl.DataFrame) -> pl.Series:
    """Whether the text of the image that shows what was there is another than that of the state before it.

    The order found that out for most changes; the others are compared here. Null where there are not both texts.
    """
    shown = steps.select("position", "previous", "operation", image=pl.coalesce("before_at", "position"))
    known = pl.Series([None], dtype=pl.Boolean).new_from_index(0, len(steps))
    rest = pl.Series([True]).new_from_index(0, len(steps))
    if sequence.met is not None:
        met = sequence.met[steps["position"]]
        plain = (shown["image"] == shown["position"]) & (shown["operation"] != "SNAPSHOT")
        rest = ~(plain & met["previous"].eq_missing(shown["previous"]))
        known = met["unlike"]
    places = rest.arg_true()
    if places.is_empty():
        return known
    shown = shown[places]
    image = changes["before_snapshot"].gather(shown["image"])
    read = changes["after_snapshot"].gather(shown["position"])
    image = image.zip_with(shown["operation"] != "SNAPSHOT", read)
    return known.scatter(places, image != changes["after_snapshot"].gather(shown["previous"]))


def chain_faults(selected: Selected, links: pl.DataFrame, *, alone: bool = True) -> dict[str, pl.DataFrame]:
    """What a chain shows without a look at values: kind -> position and previous.

    Args:
        selected: The log.
        links: :func:`chain`.
        alone: Whether these are all chains; else no TRUNCATE is suspected, which only all together show.
    """
    begun = list(selected.recorded.begun)
    inserts = pl.col("operation") == "INSERT"
    first = pl.col("previous").is_null() & pl.col("unseen")
    never = first & (~pl.col("since_ever") | pl.col("entity_type").is_in(begun))
    odd = links.filter(pl.col("misplaced") | first)
    again = odd.filter(pl.col("misplaced") & inserts)
    suspected = alone and again.height >= MANY
    truncated = emptied(life_spans(links), again) if suspected else again.clear().select("position", "previous")
    return {
        "missing insert": odd.filter((pl.col("misplaced") & ~inserts) | never).select("position", "previous"),
        "missing delete": again.join(truncated, on="position", how="anti").select("position", "previous"),
        "possible TRUNCATE": truncated,
        "unknown origin": odd.filter(first & ~never).select("position", "previous"),
    }


def life_spans(links: pl.DataFrame) -> pl.DataFrame:
    """Of each life of an entity its type, and the positions of its first change (-1: it was there before) and last."""
    at = pl.col("position").cast(pl.Int64)
    return links.group_by("entity_type", "entity", "life").agg(
        pl.when(pl.col("unseen").any()).then(-1).otherwise(at.min()).alias("begins"),
        at.max().alias("ends_at"),
    )


def emptied(lives: pl.DataFrame, again: pl.DataFrame) -> pl.DataFrame:
    """Of the INSERTs of rows that were still there (``again``), those that an unlogged TRUNCATE would explain.

    A table was empty at a position only if no row of before was changed or deleted after it. Positions and previous of
    rows that were there before such a position and came back after it, at least ``MANY`` of them together.
    """
    at = pl.col("position").cast(pl.Int64)
    lives = (
        lives.filter(pl.col("ends_at") > pl.col("begins"))
        .sort("begins")
        .with_columns(busy_until=pl.col("ends_at").cum_max().over("entity_type"))
    )
    returns = again.select(
        "entity_type", "position", "previous", at=at, came=at - 1, left=pl.col("previous").cast(pl.Int64) + 1
    )
    judged = returns.sort("came").join_asof(
        lives.select("entity_type", "begins", "busy_until"),
        left_on="came", right_on="begins", by="entity_type", check_sortedness=False,
    )  # fmt: skip
    cuts = judged.filter((pl.col("busy_until") < pl.col("at")).fill_null(value=True))
    cuts = cuts.select("entity_type", "at", cut=pl.col("at")).sort("at")
    told = returns.sort("left").join_asof(
        cuts, left_on="left", right_on="at", by="entity_type", strategy="forward", check_sortedness=False
    )
    return (
        told.filter(pl.col("cut") <= pl.col("at"))
        .filter(pl.len().over("entity_type", "cut") >= MANY)
        .sort("position")
        .select("position", "previous")
    )

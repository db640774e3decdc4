"""How a log begins: with states that were read, or in the middle of the lives of rows that it did not see begin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from auditlab.marks import TransactionSnapshot
    from auditlab.schema import LogFacts

__all__ = ["begun", "unseen", "unseen_starts", "whole"]


def begun(steps: pl.DataFrame) -> dict[str, datetime]:
    """Of entity types whose log begins with a baseline: when; from all steps of a log."""
    if not (steps["operation"] == "SNAPSHOT").any():
        return {}
    first = steps.group_by("entity_type").agg(pl.min("position"))  # ten times as fast as a window
    read = steps.filter(pl.col("operation") == "SNAPSHOT")
    rows = read.join(first, on=["entity_type", "position"], how="semi", maintain_order="left")
    return dict(rows.select("entity_type", "effective").iter_rows())


def whole(changes: pl.DataFrame, facts: LogFacts, entity_types: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Of types whose log begins with states that were read: the highest id and position among those.

    Args:
        changes: All changes of a log in its order, with ``position`` and ``baseline``.
        facts: What stands beside them.
        entity_types: The types that they are of.
    """
    names = ("entity_type", "id", "position", "transaction_id", "changed_at", "baseline")
    rows = changes.select(*names, read=pl.col("operation") == "SNAPSHOT")
    same = pl.all_horizontal(
        pl.col(name).eq_missing(pl.col(name).first().over("entity_type")) for name in ("transaction_id", "changed_at")
    )
    leading = pl.col("read").cum_min().over("entity_type") & same
    first = rows.filter(pl.col("baseline") | leading).group_by("entity_type").agg(pl.max("id"), pl.max("position"))
    found = {name: (last, position) for name, last, position in first.iter_rows()}
    if facts.since is not None:  # the last change that its snapshot saw may have left no state
        last = facts.since.last_id
        place = int((rows["id"] <= last).sum()) - 1
        found = {name: max(found.get(name, (-1, -1)), (last, place)) for name in entity_types}
    return found


def unseen(changes: pl.DataFrame, steps: pl.DataFrame, unlinked: pl.Series) -> dict[str, int]:
    """Of entity types with rows that were there before their log began: how many of those a change showed.

    Args:
        changes: All changes of a log in its order, with ``position`` and ``baseline``.
        steps: Its steps.
        unlinked: Positions (UInt32) of changes that began a key and cannot be linked to the old one.
    """
    early = changes.filter(pl.col("baseline"))["position"]  # of these, what came before was left out
    told = pl.concat([early, unlinked])  # and these rows were there under another key
    first = steps.filter(pl.col("since_ever") & ~pl.col("position").is_in(told.implode()))
    return dict(first.group_by("entity_type").len().iter_rows())


def unseen_starts(
    changes: pl.DataFrame, starts: Mapping[str, tuple[int, int]], seen: TransactionSnapshot
) -> dict[str, int]:
    """How many of the states with which types begin (``starts``, as :func:`whole` tells) a snapshot did not see."""
    places = {name: position for name, (_, position) in starts.items()}
    last = pl.col("entity_type").replace_strict(places, default=-1, return_dtype=pl.Int64)
    states = (pl.col("operation") == "SNAPSHOT") & (pl.col("position") <= last)
    rows = changes.filter(pl.col("baseline") | states)
    return dict(rows.filter(~seen.seen(rows["transaction_id"]))["entity_type"].value_counts().iter_rows())

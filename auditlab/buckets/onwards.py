"""States from a position on: the rows that were kept there and those that came since, as a part of the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from auditlab.buckets.checkpoint import MOST, Untold
from auditlab.buckets.near import BEHIND, learn, part_of
from auditlab.buckets.part import ARRIVAL, Whole
from auditlab.buckets.types import Types

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from auditlab.buckets.near import Left, Near
    from auditlab.buckets.part import Part

__all__ = ["deciding", "onwards"]

_APART = 1 << 40
"""What lies between the arrivals of two entity types."""


def onwards(nears: Sequence[Near], find: Callable[[str, list[str]], pl.DataFrame]) -> Part:
    """The log of some entity types for questions about states from a position on; of what was before it knows little.

    Args:
        nears: One for each type, by name, all with the same facts.
        find: Gives the whole histories of some entities of a type up to the position (``CHANGES`` with ``baseline``),
            for those few of which the rows that were kept do not suffice.

    Raises:
        Untold: the states do not follow from these; ask the whole log.
    """
    facts = nears[0].facts
    types = Types(facts.kinds)
    rows, links, wholes = [], [], []
    for turn, near in enumerate(nears):
        types.take(near.kept.entity_type, near.kept.fields)
        own, unseen = deciding(near, find)
        shifted = pl.col(ARRIVAL) + turn * _APART
        rows.append(own.with_columns(shifted))
        links.append(near.all_links(own).with_columns(pl.col("left", "came") + turn * _APART))
        wholes.append(near.whole(pl.Series([], dtype=pl.Int64), unseen))
    spans = [whole.id_span for whole in wholes if whole.id_span is not None]
    together = Whole(
        begun={name: at for whole in wholes for name, at in whole.begun.items()},
        unseen={name: count for whole in wholes for name, count in whole.unseen.items()},
        unlinked_keys=wholes[0].unlinked_keys,
        id_span=(min(low for low, _ in spans), max(high for _, high in spans)),
        opened={name: first for whole in wholes for name, first in whole.opened.items()},
        changed={name: first for whole in wholes for name, first in whole.changed.items()},
        struck=wholes[0].struck,
        malformed=None,
    )
    part = part_of(nears, pl.concat(rows), types, pl.concat(links), together)
    learn(part, types)  # also from the rows that were kept, of which the types tell already
    part.beside = _Beside(types, {near.kept.entity_type: (near.left, near.touched()) for near in nears})
    if not part.sequence.links["certain"].all():
        raise Untold("a change of a key is in doubt")
    return part


class _Beside:
    """``selection.Beside``: the live entities of which a part has no row, because nothing came since that touches them.

    Args:
        types: The fields of all types.
        left: Of each type the rows that were kept, and the entities that are in the part.
    """

    def __init__(self, types: Types, left: Mapping[str, tuple[Left, pl.Series | None]]) -> None:
        self._types, self._left = types, left

    def settled(self, entity_type: str, *, texts: bool) -> pl.DataFrame | None:
        """See ``selection.Beside``."""
        left, touched = self._left[entity_type]
        return None if touched is None else left.live(self._types, entity_type, touched, texts=texts)

    def absent(self, entity_type: str) -> pl.Series:
        """See ``selection.Beside``."""
        return self._left[entity_type][0].absent


def deciding(near: Near, find: Callable[[str, list[str]], pl.DataFrame]) -> tuple[pl.DataFrame, int | None]:
    """The rows that decide the states of one type, and how many of its entities were there before the log began."""
    kept = near.kept
    last = near.touched_rows().with_columns(baseline=pl.lit(value=False))
    odd = _odd(near, last)
    if len(odd) > MOST:
        raise Untold(f"of more than {MOST:,} entities the rows that were kept do not suffice")
    if not odd:
        return near.together([last]), kept.unseen
    others = last.filter(~pl.col("entity_id").is_in(odd).fill_null(value=False))
    rows = near.together([others, find(kept.entity_type, odd).select(others.columns)])
    own = rows.filter(pl.col("entity_id").is_in(odd) | (pl.col("operation") == "TRUNCATE"))
    near.check_links(own)
    # A change since may stand before one that seemed to be an entity's first, or be the first that is seen of it.
    now, then = (_unseen(near, side) for side in (own, own.filter(pl.col(ARRIVAL) < BEHIND)))
    unseen = (kept.unseen or 0) + now - then
    return rows, unseen if unseen or kept.entity_type in near.facts.partial else None


def _unseen(near: Near, rows: pl.DataFrame) -> int:
    """How many of the entities in some rows were there before the log began."""
    part = part_of([near], rows, near.types, near.all_links(rows), None)
    return part.unseen.get(near.kept.entity_type, 0)


def _odd(near: Near, last: pl.DataFrame) -> list[str]:
    """The entities with changes since of which more of what was before must be known than was kept."""
    kept = near.kept
    rows = near.rows.filter(pl.col("entity_id").is_not_null()).sort("entity_id", "id", ARRIVAL)
    tied = pl.all_horizontal(pl.col(name) == pl.col(name).shift() for name in ("entity_id", "transaction_id"))
    follows = pl.col("before_snapshot").eq_missing(pl.col("after_snapshot").shift())
    begins, ended = pl.col("operation") == "INSERT", pl.col("operation").shift() == "DELETE"
    since = rows.with_columns(broken=(tied & (~follows | (begins != ended))).fill_null(value=False))
    since = since.group_by("entity_id").agg(pl.min("id"), pl.first("operation"), pl.any("broken"))
    left = last.filter(pl.col("entity_id").is_not_null()).group_by("entity_id").agg(pl.max("id").alias("left"))
    since = since.join(left, on="entity_id", how="left")
    # One that is gone, or was never there, must begin anew, and behind all that is not there any more.
    anew = (pl.col("operation") == "INSERT") & (pl.col("id") > kept.dropped) & ~pl.col("broken")
    suffices = pl.when(pl.col("left").is_not_null()).then(pl.col("id") > pl.col("left")).otherwise(anew)
    moved = {*near.links["old"], *near.links["new"]}
    return sorted({*since.filter(~suffices)["entity_id"], *moved.difference(kept.whole)})

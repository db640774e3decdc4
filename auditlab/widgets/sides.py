"""Two times side by side: which entities came, went and changed between them, and each field at both."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import polars as pl

from auditlab.widgets.picks import collected

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from auditlab.changelog import ChangeLog

__all__ = ["ENTITIES", "Sides", "sides", "warned"]

T = TypeVar("T")

ENTITIES: dict[str, pl.DataType] = {
    "entity_type": pl.String(),
    "entity_id": pl.String(),
    "kind": pl.String(),
    "certain": pl.Boolean(),
}
"""One row an entity that was there at one of the times: ``kind`` is ``added``, ``removed``, ``modified`` or ``same``;
``certain`` is false where what was visible at one of the times is in doubt."""

_KEY = ("entity_type", "entity_id")


@dataclass(frozen=True, slots=True)
class Sides:
    """What a comparison shows.

    Args:
        net: :func:`auditlab.temporal.compare.compare`'s rows: the fields that differ.
        steps: The same comparison with every change between.
        entities: ``ENTITIES``' columns, by type and id.
        notes: What the answers warned of.
    """

    net: pl.DataFrame
    steps: pl.DataFrame
    entities: pl.DataFrame
    notes: tuple[str, ...]

    def counts(self) -> pl.DataFrame:
        """How many entities of each type and kind: entity_type, kind, entities (Int64)."""
        return (
            self.entities.group_by("entity_type", "kind")
            .agg(entities=pl.len().cast(pl.Int64))
            .sort("entity_type", "kind")
        )

    def fields(self) -> pl.DataFrame:
        """In how many entities each field differs: entity_type, field, entities (Int64), most first."""
        return (
            self.net.group_by("entity_type", "field")
            .agg(entities=pl.col("entity_id").n_unique().cast(pl.Int64))
            .sort("entities", "entity_type", "field", descending=[True, False, False])
        )


def sides(log: ChangeLog[Any], start: datetime, end: datetime) -> Sides:
    """Compare two instants, and tell which entities were there at each.

    Raises:
        BadOption, NoData, IncompleteLog: as :func:`auditlab.temporal.compare.compare` does.
    """

    def ask() -> tuple[pl.DataFrame, pl.DataFrame, list[pl.DataFrame]]:
        net, steps = log.compare(start, end), log.compare(start, end, steps=True)
        return collected(net), collected(steps), [_present(log, name, start, end) for name in log.entity_types]

    (net, steps, found), notes = warned(ask)
    differs = net.select(_KEY).unique().with_columns(differs=pl.lit(value=True))
    both = pl.concat([pl.DataFrame(schema={**dict.fromkeys(_KEY, pl.String), **_PRESENT}), *found])
    entities = both.join(differs, on=_KEY, how="left", maintain_order="left").with_columns(
        kind=pl.when(~pl.col("at_start"))
        .then(pl.lit("added"))
        .when(~pl.col("at_end"))
        .then(pl.lit("removed"))
        .when(pl.col("differs"))
        .then(pl.lit("modified"))
        .otherwise(pl.lit("same"))
    )
    return Sides(net, steps, entities.select(*ENTITIES).sort(_KEY), notes)


def warned(ask: Callable[[], T]) -> tuple[T, tuple[str, ...]]:
    """An answer, and in words what it warns of, which is to stand beside it."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        answer = ask()
    return answer, tuple(dict.fromkeys(str(one.message) for one in told if issubclass(one.category, UserWarning)))


_PRESENT = {"at_start": pl.Boolean, "at_end": pl.Boolean, "certain": pl.Boolean}


def _present(log: ChangeLog[Any], entity_type: str, start: datetime, end: datetime) -> pl.DataFrame:
    """The entities of a type that were there at one of the times or both."""
    states = [
        collected(log.of(entity_type).as_of(at)).select("entity_id", pl.col("certain").alias(f"certain_{name}"))
        for name, at in (("start", start), ("end", end))
    ]
    joined = states[0].join(states[1], on="entity_id", how="full", coalesce=True)
    return joined.select(
        pl.lit(entity_type).alias("entity_type"),
        "entity_id",
        at_start=pl.col("certain_start").is_not_null(),
        at_end=pl.col("certain_end").is_not_null(),
        certain=pl.col("certain_start").fill_null(value=True) & pl.col("certain_end").fill_null(value=True),
    )

"""How fields run through a log that is dealt out: where one appears, vanishes or changes its type for all rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from auditlab.analytics.columns import MOST_RUNS, runs_of, seen
from auditlab.buckets.compartments import Compartments
from auditlab.buckets.part import ARRIVAL

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditlab.analytics.breaks import Runs
    from auditlab.buckets.part import Part

__all__ = ["Running"]


class _Asked(NamedTuple):
    entity_type: str
    field: str
    types: bool
    states: bool = False


_PLACE = ("id", ARRIVAL, "late")
"""What orders the images of all buckets: where their change stands, and whether it is the after image."""


class Running:
    """Fields that are asked about, and then how each runs through the whole log.

    Args:
        count: How many ranges of ids there are, each of which is in memory at a time.
        range_of: Gives the number of the range of each id.
        room: Bytes of rows that may wait in memory.
    """

    def __init__(self, count: int, range_of: Callable[[pl.Series], pl.Series], room: int) -> None:
        self._range_of = range_of
        self._asked: list[_Asked] = []
        self._images = Compartments(count, room=room)
        self._runs: dict[_Asked, pl.DataFrame | None] = {}

    @property
    def asked(self) -> int:
        """How many fields are asked about."""
        return len(self._asked)

    def ask(self, entity_type: str, field: str, types: bool, *, states: bool = False) -> None:  # noqa: FBT001 - ``breaks.Runs``
        """Ask about a field, as ``presence_runs`` does; nothing is known yet."""
        asked = _Asked(entity_type, field, types, states)
        if asked not in self._asked:
            self._asked.append(asked)

    def take(self, part: Part) -> None:
        """Take in a bucket's images."""
        for number, (entity_type, field, types, states) in enumerate(self._asked):
            shape = part.shape(entity_type)
            column = next(column for column in shape.columns if column.name == field)
            images = seen(shape.images, column, types=types, states=states)
            late = images["slot"] - images["position"].cast(pl.Int64) * 2
            places = part.keys_of(images["position"]).with_columns(late.alias("late"))
            rows = places.with_columns(images["value"].cast(pl.String), asked=pl.lit(number, dtype=pl.UInt32))
            self._images.deal(rows, self._range_of(rows["id"]))

    def judge(self) -> None:
        """Find the runs, range by range."""
        found: dict[int, list[pl.DataFrame]] = {number: [] for number in range(len(self._asked))}
        for place in range(len(self._images)):
            rows = self._images.read(place)
            for number, runs in found.items():
                if sum(map(len, runs)) <= MOST_RUNS + len(
                    self._images
                ):  # those that go on in the next range count twice
                    runs.append(_runs(rows.filter(pl.col("asked") == number)))
        self._runs = {asked: runs_of(_joined(pl.concat(found[number]))) for number, asked in enumerate(self._asked)}

    def runs(self, entity_type: str, field: str, *, types: bool, states: bool) -> pl.DataFrame | None:
        """The runs of a field; None also where it was not asked about. They begin at an ``id`` and ``arrival``."""
        return self._runs.get(_Asked(entity_type, field, types, states))

    def of(self, part: Part) -> Runs:
        """The runs as a bucket sees them: their slots are of its positions."""

        def runs(entity_type: str, field: str, types: bool) -> pl.DataFrame | None:  # noqa: FBT001 - ``breaks.Runs``
            found = self._runs[_Asked(entity_type, field, types)]
            if found is None:
                return None
            return found.with_columns(slot=pl.Series([_slot(part, *place) for place in found.select(_PLACE).rows()]))

        return runs


def _runs(rows: pl.DataFrame) -> pl.DataFrame:
    """The runs of some images: where each begins, its value, and of how many changes it is."""
    rows = rows.unique(_PLACE).sort(_PLACE)
    return (
        rows.with_columns(run=pl.col("value").rle_id())
        .group_by("run", maintain_order=True)
        .agg(pl.first(*_PLACE, "value"), pl.struct("id", ARRIVAL).n_unique().alias("changes"))
    )


def _joined(runs: pl.DataFrame) -> pl.DataFrame:
    """The runs of ranges that follow each other as runs of the whole: a change is in one range alone."""
    return (
        runs.with_columns(run=pl.col("value").rle_id())
        .group_by("run", maintain_order=True)
        .agg(pl.first(*_PLACE, "value"), pl.sum("changes"))
    )


def _slot(part: Part, at: int, arrival: int, late: int) -> int:
    """The first slot of a bucket that is not before a place over all buckets."""
    position = part.place_of(at, arrival)
    return (part.position_of((at, arrival)) + 1) * 2 if position is None else position * 2 + late

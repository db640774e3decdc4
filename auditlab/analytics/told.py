"""The rows behind findings: as people read them, and, of a log larger than memory, kept on disk by kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from auditlab.analytics.findings import KINDS, MALFORMED, ROWS
from auditlab.buckets.compartments import Compartments
from auditlab.buckets.part import ARRIVAL, Part
from auditlab.malformed import COPY
from auditlab.malformed import KINDS as NO_CHANGES

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditlab.recorded import Recorded

__all__ = ["AT", "Told", "counted", "places", "told_rows"]

AT = ("at", ARRIVAL)
"""What orders rows over all buckets: the id and the arrival at which each stands; null of what has no place."""

_STORED = {**ROWS, **dict.fromkeys(AT, pl.Int64())}


def told_rows(fault: pl.DataFrame, log: pl.DataFrame) -> pl.DataFrame:
    """``ROWS``' columns for one kind of finding."""
    if "position" in fault.columns:
        facts = log.select("position", *(name for name in ROWS if name in log.columns))
        known = [name for name in fault.columns if name != "position" and name in facts.columns]
        fault = fault.join(facts, on="position", how="left", maintain_order="left", suffix="_log")
        fault = fault.with_columns(pl.coalesce(name, f"{name}_log").alias(name) for name in known)
        fault = fault.sort("position", maintain_order=True)
    if "previous" in fault.columns:
        ids = log.select(pl.col("position").alias("previous"), pl.col("id").alias("previous_id"))
        fault = fault.join(ids, on="previous", how="left", maintain_order="left")
    missing = [pl.lit(None, dtype=dtype).alias(name) for name, dtype in ROWS.items() if name not in fault.columns]
    return fault.with_columns(missing).select(pl.col(name).cast(dtype) for name, dtype in ROWS.items())


def counted(fault: pl.DataFrame) -> int:
    """How many changes one kind of finding is about; of what has no position, how many rows."""
    if "position" not in fault.columns:
        return fault.height
    return fault["position"].drop_nulls().n_unique() + fault["position"].null_count()


def places(recorded: Recorded, positions: pl.Series) -> pl.DataFrame:
    """Where positions of a log, or of a part of one, stand over all parts (``AT``)."""
    if isinstance(recorded, Part):
        return recorded.keys_of(positions).rename({"id": AT[0]})
    return pl.DataFrame({AT[0]: positions.cast(pl.Int64), AT[1]: positions.cast(pl.Int64)})


class Told:
    """Rows of findings on disk, by kind; read in the log's order.

    Args:
        room: Bytes of rows that may wait in memory.
    """

    def __init__(self, room: int) -> None:
        self._kinds = [*KINDS, *(MALFORMED + kind for kind in (*NO_CHANGES, COPY))]
        self._rows = Compartments(len(self._kinds), room=room)
        self._rows.deal(pl.DataFrame(schema=_STORED), pl.Series([], dtype=pl.UInt32))

    def of_part(self, part: Part, kind: str, fault: pl.DataFrame) -> None:
        """Take what a bucket shows: rows by its positions."""
        fault = fault.sort("position", maintain_order=True)
        self.add(kind, told_rows(fault, part.changes), part.keys_of(fault["position"]).rename({"id": AT[0]}))

    def add(self, kind: str, rows: pl.DataFrame, places: pl.DataFrame | None = None) -> None:
        """Take rows of a kind (``ROWS``), and where each stands (``AT``), if it does."""
        if places is None:
            places = pl.DataFrame({name: pl.Series([None], dtype=pl.Int64).new_from_index(0, len(rows)) for name in AT})
        self._rows.add(self._kinds.index(kind), rows.hstack(places.select(*AT)).select(*_STORED))

    def rewrite(self, kind: str, by: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
        """Put what a function makes of the rows of a kind, with ``AT``, in place of them."""
        number = self._kinds.index(kind)
        rows = by(self._rows.read(number))
        self._rows.clear(number)
        self._rows.add(number, rows.select(*_STORED))

    def leave_out(self, kind: str, places: pl.DataFrame) -> pl.DataFrame:
        """Take out the rows of a kind at some places (``AT``); gives them."""
        out = self.placed(kind).join(places, on=AT, how="semi", maintain_order="left")
        self.rewrite(kind, lambda rows: rows.join(places, on=AT, how="anti", maintain_order="left"))
        return out

    def placed(self, kind: str) -> pl.DataFrame:
        """The rows of a kind with ``AT``."""
        return self._rows.read(self._kinds.index(kind))

    def counts(self) -> dict[str, int]:
        """Of each kind that was found, how many changes it is about; of what has no place, how many rows."""
        found = {}
        for number, kind in enumerate(self._kinds):
            places = self._rows.read(number, AT)
            if len(places):
                found[kind] = places.drop_nulls(ARRIVAL).n_unique() + places[ARRIVAL].null_count()
        return found

    def read(self, kind: str) -> pl.DataFrame:
        """The rows of a kind: ``ROWS``."""
        return self.placed(kind).sort(AT, nulls_last=False, maintain_order=True).select(*ROWS)

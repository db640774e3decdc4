"""What the whole log tells, gathered from its buckets one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from auditlab.buckets.part import ARRIVAL, Whole
from auditlab.buckets.spill import compact
from auditlab.malformed import COPY

if TYPE_CHECKING:
    from datetime import datetime

    from auditlab.buckets.part import Key, Part

__all__ = ["Survey"]


class Survey:
    """Takes in every bucket once, each as a part that does not know the whole yet."""

    def __init__(self) -> None:
        self._first: dict[str, tuple[int, int]] = {}
        self._begun: dict[str, datetime | None] = {}
        self._opened: dict[str, tuple[Key, int | None, datetime]] = {}
        self._changed: dict[str, Key] = {}
        self._unseen: dict[str, int] = {}
        self._unlinked: list[pl.DataFrame] = []
        self._spans: list[tuple[int, int]] = []
        self._struck: list[pl.Series] = []
        self._aside: list[pl.DataFrame] = []

    def add(self, part: Part) -> None:
        """Take in a bucket."""
        if len(part) and part.id_span is not None:
            self._spans.append(part.id_span)
        steps, begun = part.sequence.steps, part.begun
        firsts = steps.group_by("entity_type").agg(pl.min("position"))
        for name, key in zip(firsts["entity_type"], part.keys_of(firsts["position"]).iter_rows(), strict=True):
            if name not in self._first or key < self._first[name]:
                self._first[name], self._begun[name] = key, begun.get(name)
        rows = part.changes.select("entity_type", "position", "operation", "transaction_id", "changed_at")
        self._note_starts(part, rows)
        for name, count in part.unseen.items():
            self._unseen[name] = self._unseen.get(name, 0) + count
        unlinked = part.unlinked_keys
        self._unlinked.append(compact(unlinked.with_columns(part.keys_of(unlinked["position"]).rename({"id": "at"}))))
        struck = steps.filter(pl.col("operation") == "TRUNCATE")["position"].unique()
        self._struck.append(part.arrivals.gather(struck))
        self._aside.append(compact(part.aside))

    def _note_starts(self, part: Part, rows: pl.DataFrame) -> None:
        """With which row each type begins, and where its first change stands."""
        changes = rows.filter(pl.col("operation") != "SNAPSHOT")
        for which, of in (("opened", rows), ("changed", changes)):
            first = of.unique("entity_type", keep="first", maintain_order=True)
            for row, key in zip(first.iter_rows(named=True), part.keys_of(first["position"]).iter_rows(), strict=True):
                name = row["entity_type"]
                if which == "changed":
                    self._changed[name] = min(self._changed.get(name, key), key)
                elif name not in self._opened or key < self._opened[name][0]:
                    self._opened[name] = key, row["transaction_id"], row["changed_at"]

    def whole(self) -> Whole:
        """What was found."""
        aside = pl.concat(self._aside).sort(pl.col("baseline").not_(), pl.col("kind") == COPY, ARRIVAL)
        unlinked = pl.concat(self._unlinked).sort("at", ARRIVAL, maintain_order=True).drop("at", ARRIVAL)
        return Whole(
            begun={name: at for name, at in sorted(self._begun.items()) if at is not None},
            unseen=dict(sorted(self._unseen.items())),
            unlinked_keys=unlinked,
            id_span=(min(low for low, _ in self._spans), max(high for _, high in self._spans)) if self._spans else None,
            opened=self._opened,
            changed=self._changed,
            struck=pl.concat(self._struck).unique(),
            malformed=aside.drop("baseline", ARRIVAL),
        )

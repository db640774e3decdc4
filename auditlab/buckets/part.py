"""One bucket of a log as a log of its own: it holds whole histories, and is told what the whole log knows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import polars as pl

from auditlab import malformed
from auditlab.recorded import Recorded
from auditlab.rekeys import LINKS
from auditlab.schema import CHANGES, check_columns

if TYPE_CHECKING:
    from datetime import datetime

    from auditlab.buckets.types import Types
    from auditlab.documents import Documents, Split
    from auditlab.order import Sequence
    from auditlab.schema import LogFacts

__all__ = ["ARRIVAL", "LINKED", "ROWS", "Part", "Whole"]

ARRIVAL = "arrival"
"""The number of a row in the order in which the log's rows came: of equal ids, the first to come is first."""

ROWS = {**CHANGES, "baseline": pl.Boolean(), ARRIVAL: pl.Int64()}
"""What is dealt out into buckets."""

LINKED = {**LINKS, "left": pl.Int64(), "came": pl.Int64()}
"""``auditlab.rekeys.LINKS``, the changes by their arrival."""


@dataclass(frozen=True, slots=True)
class Whole:
    """What the whole log tells that no bucket can know by itself.

    Args:
        begun: As ``Recorded.begun``; so are ``unseen``, ``unlinked_keys`` and ``id_span``.
        unseen: Entity types that had rows before their log began, with the number of those that a change showed.
        unlinked_keys: Changes of keys that cannot be linked, in the log's order; their ``position`` means nothing.
        id_span: The least and the largest id.
        struck: Arrivals of the TRUNCATEs that ended an entity in any bucket.
        malformed: Rows that were set apart.
    """

    begun: dict[str, datetime]
    unseen: dict[str, int]
    unlinked_keys: pl.DataFrame
    id_span: tuple[int, int] | None
    struck: pl.Series
    malformed: pl.DataFrame | None


class Part(Recorded):
    """One bucket.

    Args:
        number: Which; the first tells of what is in every bucket, the TRUNCATEs.
        rows: ``ROWS``, in any order.
        facts: The whole log's.
        entity_types: The whole log's.
        types: The fields of the whole log; a part that has no ``whole`` yet teaches them.
        links: ``LINKED``: the changes of keys, in the whole log.
        whole: What the whole log tells; None while that is found out.
    """

    def __init__(
        self,
        number: int,
        rows: pl.DataFrame,
        facts: LogFacts,
        *,
        entity_types: tuple[str, ...],
        types: Types,
        links: pl.DataFrame,
        whole: Whole | None = None,
    ) -> None:
        super().__init__(pl.LazyFrame(schema=CHANGES), facts, entity_types=entity_types, strict=False)
        self.number = number
        self._types = types
        self._teaches = whole is None
        rows = rows.sort(ARRIVAL)
        sides = [malformed.split(rows.filter(pl.col("baseline") == early), strict=False) for early in (True, False)]
        kept = pl.concat([side for side, _ in sides]).sort("id", ARRIVAL)
        check_columns(kept)
        self.arrivals = kept[ARRIVAL]
        self._links = _here(links, self.arrivals)
        aside = pl.concat([side for _, side in sides])
        self.aside = aside.filter((pl.col("operation") != "TRUNCATE") | (number == 0))
        kept = kept.select(*CHANGES, "baseline").rechunk().set_sorted("id").with_row_index("row")
        vars(self)["_read"] = kept, self.aside.drop("baseline", ARRIVAL)  # a cached property is told what it is
        if whole is not None:
            told = ("begun", "unseen", "unlinked_keys", "id_span")
            known: dict[str, Any] = {name: getattr(whole, name) for name in told}
            known |= {"echoes": self._echoes(), "struck": self._struck(whole.struck)}
            vars(self).update(known)

    @cached_property
    def sequence(self) -> Sequence:
        """The bucket in its order; which keys changed is known from the whole log."""
        return self._in_order(self._rows, self._links)

    def part(self, entity_types: tuple[str, ...]) -> Recorded:  # noqa: ARG002 - the bucket is read already
        """Itself."""
        return self

    def keys_of(self, positions: pl.Series) -> pl.DataFrame:
        """What orders positions over all buckets: the id and the arrival (Int64) at which each stands."""
        return pl.DataFrame({"id": self._rows["id"].gather(positions), ARRIVAL: self.arrivals.gather(positions)})

    def _echoes(self) -> pl.Series:
        rows = self._rows
        return rows.filter((pl.col("operation") == "TRUNCATE") & (self.number > 0))["row"]

    def _struck(self, struck: pl.Series) -> pl.Series:
        truncates = self._rows["operation"] == "TRUNCATE"
        if self.number == 0:
            truncates &= self.arrivals.is_in(struck.implode())
        return self._rows["row"].filter(truncates)

    def _typed(self, entity_type: str, parts: Split, own: pl.DataFrame, steps: pl.DataFrame) -> Documents:  # noqa: ARG002
        if self._teaches:
            self._types.learn(entity_type, parts, own["id"], self.arrivals.gather(own["row"]))
        return self._types.typed(entity_type, parts)


def _here(links: pl.DataFrame, arrivals: pl.Series) -> pl.DataFrame:
    """The links whose changes are in this bucket, by their rows."""
    rows = pl.DataFrame({"at": arrivals}).with_row_index("row")
    for side in ("left", "came"):
        links = links.join(rows.rename({"at": side, "row": f"{side}_row"}), on=side, how="inner").drop(side)
    return links.rename({"left_row": "left", "came_row": "came"}).select(*LINKS).sort("came", "left")

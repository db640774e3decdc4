"""A log that was loaded earlier held against the live log: what came since, and what is not as it was."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import polars as pl

from auditlab.analytics.cells import LiveFields, differing
from auditlab.analytics.outside import shaped
from auditlab.marks import TransactionSnapshot
from auditlab.schema import CHANGES
from auditlab.values import canonical

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from auditlab.schema import LogFacts

__all__ = ["Loaded", "LogCheck", "of_entities"]

COMPARED = (
    "entity_type",
    "entity_id",
    "operation",
    "changed_by",
    "changed_at",
    "before_snapshot",
    "after_snapshot",
    "changed_fields",
    "metadata",
    "transaction_id",
    "correlation_id",
)
_IMAGES = ("before_snapshot", "after_snapshot")
_JSON = ("changed_fields", "metadata")


@dataclass(frozen=True, slots=True)
class Loaded:
    """What all of a loaded log tells, of which a check holds a part.

    Args:
        facts: What stands beside its rows.
        aside: Ids (Int64) of rows that were set apart when it was loaded.
        entity_types: The types that it has rows of.
        compared: Those of ``COMPARED`` in which it has a value anywhere.
    """

    facts: LogFacts
    aside: pl.Series
    entity_types: set[str] = field(default_factory=set)
    compared: set[str] = field(default_factory=set)

    def learn(self, rows: pl.DataFrame) -> None:
        """Take in some of its rows."""
        self.entity_types.update(rows["entity_type"].unique())
        self.compared.update(name for name in COMPARED if rows[name].null_count() < len(rows))


class LogCheck:
    """Holds the rows of a live log against those of one that was loaded from it.

    Args:
        rows: The loaded log's rows, ``schema.CHANGES`` with ``baseline``, in its order: all, or all of some ids.
        loaded: What all of the loaded log tells.
        only: The entities that are looked at; None for all.
    """

    def __init__(self, rows: pl.DataFrame, loaded: Loaded, only: pl.Series | None = None) -> None:
        self.rows = rows.drop("baseline")
        self._loaded, self._only = loaded, only
        facts = loaded.facts
        self._index = self.rows.select("id", pl.int_range(pl.len(), dtype=pl.UInt32).alias("held"))
        self._compared = [name for name in COMPARED if name in loaded.compared]
        self._begins = None
        if any(words.startswith("changes from") for words in facts.filters):
            self._begins = facts.coverage.start
        limited = any(words.startswith("changes ") for words in facts.filters)
        self._snapshot = None if limited else facts.snapshot
        self._found: list[pl.Series] = []
        self._before = None if facts.since is None else facts.since.mark.snapshot
        if facts.since is not None:  # states of a snapshot stand for changes, and are none of the live log
            self._found.append(rows["baseline"].arg_true())
        self._added: list[pl.DataFrame] = []
        self._edited: list[pl.DataFrame] = []
        self.left_out: set[str] = set()
        """Types that were in the live log already when the log was loaded: it was loaded without them."""
        self.common = 0
        self.kin = False

    def take(self, live: pl.DataFrame) -> pl.DataFrame:
        """Compare some rows of the live log: the canonical columns, each row once. Gives those that came since."""
        if self._only is not None:
            live = live.filter(of_entities(self._only))
        if self._before is not None:
            live = live.filter(~_visible(self._before, live["transaction_id"]))
        pairs = live.with_row_index("n").join(self._index, on="id", how="left", maintain_order="left")
        new = self._new(pairs.filter(pl.col("held").is_null()).drop("n", "held"))
        pairs = pairs.filter(pl.col("held").is_not_null())
        ours = self.rows[pairs["held"]]
        same = pl.Series([True]).new_from_index(0, len(pairs))
        for name in self._compared:
            same &= pairs[name].eq_missing(ours[name])
        self._found.append(pairs["held"])
        self.common += len(pairs)
        kin = pairs["entity_id"].eq_missing(ours["entity_id"]) & (pairs["entity_type"] == ours["entity_type"])
        self.kin |= kin.any()
        told = pairs.with_columns(same=same)
        self._differing(told.filter(~pl.col("same").any().over("n")).unique("n", keep="first", maintain_order=True))
        return new

    def _new(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Of rows that the loaded log does not have those that came since; others were written into the past."""
        rows = rows.filter(~pl.col("id").is_in(self._loaded.aside.implode()))
        if self._begins is not None:
            rows = rows.filter(pl.col("changed_at") >= self._begins)
        old = _visible(self._snapshot, rows["transaction_id"])
        known = rows["entity_type"].is_in(list(self._loaded.entity_types))
        self._added.append(rows.filter(old & known))
        self.left_out.update(rows["entity_type"].filter(old & ~known))
        return rows.filter(~(old & known))

    def _differing(self, pairs: pl.DataFrame) -> None:
        """Keep what differs as values in pairs whose texts differ."""
        ours = self.rows[pairs["held"]]
        parts = []
        for name in self._compared:
            if name in _IMAGES:
                parts.append(self._images(pairs, ours, name))
                continue
            unequal = pairs[name].ne_missing(ours[name])
            rows = pl.DataFrame({"held": pairs["held"], "logged": ours[name], "live": pairs[name]}).filter(unequal)
            if name in _JSON:
                rows = rows.filter([_unlike(*pair) for pair in rows.select("logged", "live").iter_rows()])
            text = pl.col("logged", "live").cast(pl.String)
            parts.append(rows.select("held", pl.lit(name).alias("field"), text))
        self._edited += parts

    def _images(self, pairs: pl.DataFrame, ours: pl.DataFrame, name: str) -> pl.DataFrame:
        """The fields in which two images of a change differ; of an image that one side lacks, all of it."""
        both = pl.DataFrame(
            {"held": pairs["held"], "type": ours["entity_type"], "logged": ours[name], "live": pairs[name]}
        ).filter(pairs[name].ne_missing(ours[name]))
        lone = pl.col("logged").is_null() | pl.col("live").is_null()
        parts = [both.filter(lone).select("held", pl.lit(name).alias("field"), "logged", "live")]
        for (entity_type,), own in both.filter(~lone).group_by("type"):
            kinds = self._loaded.facts.kinds.get(str(entity_type), {})
            numbered = own.with_columns(row=pl.int_range(pl.len(), dtype=pl.UInt32))
            cells = differing(numbered.select("row", "logged", "live"), LiveFields(kinds))
            field = pl.format("{}.{}", pl.lit(name), pl.col("field").fill_null("")).alias("field")
            parts.append(cells.select(pl.lit(own["held"].gather(cells["row"])).alias("held"), field, "logged", "live"))
        return pl.concat(parts)

    def faults(self, oldest: Callable[[], tuple[int | None, datetime | None]]) -> dict[str, pl.DataFrame]:
        """What is not as it was, by kind: ``outside.ROWS``' columns.

        Args:
            oldest: Tells the lowest id and the earliest ``changed_at`` of the live log; None where it is empty. It is
                asked only where changes are gone.
        """
        found = pl.concat([pl.Series("held", [], pl.UInt32), *self._found]).unique()
        gone = self.rows.with_row_index("held").join(found.to_frame(), on="held", how="anti").drop("held")
        first_id, first_time = oldest() if len(gone) else (None, None)
        old = pl.lit(value=False)
        if first_id is not None and first_time is not None:
            old = (pl.col("id") < first_id) | (pl.col("changed_at") < first_time)
        schema = {"held": pl.UInt32(), "field": pl.String(), "logged": pl.String(), "live": pl.String()}
        edited = pl.concat([pl.DataFrame(schema=schema), *self._edited])
        added = pl.concat([pl.DataFrame(schema=CHANGES), *(part.select(*CHANGES) for part in self._added)])
        image = pl.coalesce("after_snapshot", "before_snapshot")
        return {
            "log row gone": shaped(gone.filter(~old).with_columns(logged=image)),
            "log pruned": shaped(gone.filter(old)),
            "log row edited": shaped(edited.drop("held").hstack(self.rows[edited["held"]].get_columns())),
            "log row added": shaped(added.with_columns(live=image)),
        }


def of_entities(only: pl.Series) -> pl.Expr:
    """Changes of some entities, and the TRUNCATEs, which are of all."""
    return pl.col("entity_id").is_in(only.implode()) | (pl.col("operation") == "TRUNCATE")


def _unlike(one: str | None, other: str | None) -> bool:
    """Whether two JSON texts are different values."""
    return one is None or other is None or canonical(one) != canonical(other)


def _visible(snapshot: str | None, transactions: pl.Series) -> pl.Series:
    """Whether transactions were over in a snapshot; false where that is not known."""
    if snapshot is None:
        return pl.Series([False]).new_from_index(0, len(transactions))
    return TransactionSnapshot.of(snapshot).seen(transactions)

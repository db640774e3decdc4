"""The time of each entity without a gap: not yet there, live in one version after another, deleted, live again.

Every instant lies in exactly one span of an entity, so a point-in-time join is a lookup. For lookups in memory the
spans are indexed by one exact integer: the entity's number and the rank of the span's start among all starts.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from auditlab.schema import TIME

__all__ = ["DELETED", "LIVE", "NOT_RECORDED", "NOT_YET", "SPANS", "SpanIndex", "spans"]

LIVE, DELETED, NOT_YET, NOT_RECORDED = "live", "deleted", "not yet", "not recorded"

SPANS: dict[str, pl.DataType] = {
    "entity_id": pl.String(),
    "valid_from": TIME,
    "valid_to": TIME,
    "presence": pl.String(),
    "number": pl.UInt32(),
}
"""One row a span, closed-open, null without limit; ``number`` is the row of the version in ``versions``."""


def spans(versions: pl.DataFrame, steps: pl.DataFrame, truncated: int | None) -> pl.DataFrame:
    """The spans of every entity, by entity and time: ``SPANS``' columns. Versions replaced at once have none.

    Args:
        versions: :attr:`auditlab.shape.Shape.versions`, by entity and version.
        steps: The type's steps, by entity and position.
        truncated: The position of the type's first TRUNCATE: an entity first seen after it was absent before.
    """
    numbered = versions.with_row_index("number")
    live = numbered.select(
        "entity",
        "entity_id",
        "turn",
        pl.lit(1).alias("part"),
        "valid_from",
        pl.lit(LIVE).alias("presence"),
        "number",
    )
    ended = steps.filter("ends").select(
        "entity", "entity_id", "turn", pl.lit(2).alias("part"), pl.col("effective").alias("valid_from"),
        pl.lit(DELETED).alias("presence"), pl.lit(None, dtype=pl.UInt32).alias("number"),
    )  # fmt: skip
    absent_before = (pl.col("operation") == "INSERT") | (pl.col("link").is_not_null() & ~pl.col("ends"))
    if truncated is not None:
        absent_before |= pl.col("position") > truncated
    first = (pl.col("entity") != pl.col("entity").shift()).fill_null(value=True)
    known = numbered.filter(pl.col("valid_from").is_null()).select("entity")
    before = steps.filter(first).join(known, on="entity", how="anti", maintain_order="left").select(
        "entity", "entity_id", "turn", pl.lit(0).alias("part"), pl.lit(None, dtype=TIME).alias("valid_from"),
        pl.when(absent_before).then(pl.lit(NOT_YET)).otherwise(pl.lit(NOT_RECORDED)).alias("presence"),
        pl.lit(None, dtype=pl.UInt32).alias("number"),
    )  # fmt: skip
    order = ["entity", "turn", "part"]
    every = pl.concat([before, live, ended]).sort(order, maintain_order=True)
    more = (pl.col("entity") == pl.col("entity").shift(-1)).fill_null(value=False)
    every = every.with_columns(valid_to=pl.when(more).then(pl.col("valid_from").shift(-1)))
    return every.filter(pl.col("valid_from").ne_missing(pl.col("valid_to")) | ~more).select(*SPANS)


@dataclass(frozen=True, slots=True)
class SpanIndex:
    """An index of spans: which span of an entity an instant lies in, found by one sorted integer key.

    Args:
        entity_ids: String; an entity's code is its place.
        hashes: The entity ids' hashes, sorted, no two equal; None where two ids have one hash.
        hashed: UInt32; the codes in the order of ``hashes``.
        starts: The distinct starts of spans, sorted; a start's rank is its place in them, from 1; no start is rank 0.
        keys: key (Int64, sorted: code * (number of starts + 1) + rank of the start) and span (UInt32). Ranks, not
            microseconds, so that a key never overflows: it stays below entities * (spans + 1).
        presence: By span.
        number: By span, the row of its version.
    """

    entity_ids: pl.Series
    hashes: pl.Series | None
    hashed: pl.Series
    starts: pl.Series
    keys: pl.DataFrame
    presence: pl.Series
    number: pl.Series

    @classmethod
    def of(cls, table: pl.DataFrame) -> SpanIndex:
        """The index of ``SPANS``' rows, by entity and time."""
        opens = (table["entity_id"] != table["entity_id"].shift()).fill_null(value=True)
        entity_ids = table["entity_id"].filter(opens)
        hashes = entity_ids.hash()
        order = hashes.arg_sort()
        begins = table["valid_from"].to_physical()
        starts = begins.drop_nulls().unique().sort()
        rank = begins.rank("dense").cast(pl.Int64).fill_null(0)
        keys = (opens.cast(pl.Int64).cum_sum() - 1) * (len(starts) + 1) + rank
        return cls(
            entity_ids,
            hashes.gather(order) if hashes.n_unique() == len(hashes) else None,
            order,
            starts,
            pl.DataFrame({"key": keys}).with_row_index("span").set_sorted("key"),
            table["presence"].cast(pl.Categorical),
            table["number"],
        )

    def codes(self, entity_ids: pl.Series) -> pl.Series:
        """Each entity's code (UInt32); null for one that the log does not have, and for null."""
        if self.hashes is None or self.entity_ids.is_empty():
            known = self.entity_ids.rename("id").to_frame().with_row_index("code")
            asked = entity_ids.rename("id").to_frame()
            return asked.join(known, on="id", how="left", maintain_order="left")["code"]
        place = self.hashes.search_sorted(entity_ids.hash()).clip(0, len(self.hashes) - 1)
        code = self.hashed.gather(place)
        same = self.entity_ids.gather(code) == entity_ids
        return code.zip_with(same.fill_null(value=False), pl.Series([None], dtype=code.dtype))

    def find(self, codes: pl.Series, at: pl.Series) -> pl.Series:
        """The number of the span (UInt32) that holds each entity at each time; null where either is null."""
        rank = self.starts.search_sorted(at.to_physical().fill_null(0), side="right").cast(pl.Int64)
        known = codes.is_not_null() & at.is_not_null()
        keys = (codes.cast(pl.Int64) * (len(self.starts) + 1) + rank).alias("key")
        asked = pl.DataFrame({"key": keys}).with_row_index("row").filter(known).sort("key")
        found = asked.join_asof(self.keys, on="key").sort("row")
        if len(found) == len(keys):
            return found["span"]
        whole = pl.DataFrame({"row": pl.int_range(len(keys), dtype=pl.UInt32, eager=True)})
        return whole.join(found, on="row", how="left", maintain_order="left")["span"]

"""What was known when: every state of an entity with the time from which it was recorded, and its valid time.

Of two clocks, the system's says what had been recorded by then, the world's what was true. Each record is believed from
the moment it was recorded until it is withdrawn: a deletion withdraws all that was recorded of that life. Among the
records that are believed, the one with the greatest valid time counts; of equal ones the later in the log's order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from auditlab.schema import TIME
from auditlab.spans import (
    DELETED,
    LIVE,
    NOT_RECORDED,
    NOT_YET,
    WORDS,
    before_first,
    bisect,
    came,
    step_word,
    version_of,
)
from auditlab.valid_time import FIRST, NEVER, SINCE_EVER, UNDATED

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["NOT_KNOWN", "NO_VALID_TIME", "RECORDS", "Knowledge", "records_by_clock", "records_by_field"]

NOT_KNOWN, NO_VALID_TIME = "not known", "undated"

RECORDS: dict[str, pl.DataType] = {
    "entity": pl.UInt32(),
    "recorded": TIME,
    "withdrawn": TIME,
    "valid_from": TIME,
    "rank": pl.Int64(),
    "presence": pl.String(),
    "number": pl.UInt32(),
    "certain": pl.Int64(),
}
"""One row a record, null without limit; ``entity`` is the entity's place among those of its type. Of two believed
records that are valid the one with the greater ``rank`` counts; null is never valid. ``presence`` is what the entity
then is, ``number`` the row of the version, ``certain`` 0 where the answer is in doubt from this record on. Each entity
has at every time a record that has always been valid."""

ENTITY_LIFE = ("entity", "life")
_NEVER_RECORDED = pl.lit(None, dtype=TIME)
_EFFECTIVE, _BEFORE_ALL, _IS_LIVE = pl.col("effective"), pl.lit(FIRST), pl.lit(LIVE)
_NO_VERSION, _CERTAIN = pl.lit(None, dtype=pl.UInt32), pl.lit(value=True)
_LIVE = WORDS.index(LIVE)
_FOUND, _BEGUN, _STATES, _ENDED = range(4)
"""The order of records of one entity at one turn."""


def records_by_field(
    steps: pl.DataFrame, versions: pl.DataFrame, truncated: int | None, valid: pl.Series
) -> pl.DataFrame:
    """The records of a type whose valid time stands in a field, by entity and order.

    Args:
        steps: The type's steps by entity and turn, with the numbers of their documents.
        versions: The type's versions, by entity and version.
        truncated: The position of the type's first TRUNCATE.
        valid: Int64 by document, as :func:`auditlab.valid_time.valid_times` gives it.
    """
    rows = versions.with_row_index("number").with_columns(valid=valid.gather(versions["doc"]))
    dated = pl.col("valid") != UNDATED
    states = _records(
        rows,
        part=_STATES,
        recorded=pl.col("valid_from"),
        valid=pl.col("valid"),
        presence=pl.when(dated).then(pl.lit(LIVE)).otherwise(pl.lit(NO_VALID_TIME)),
        number=pl.when(dated).then("number"),
        certain=pl.col("certain") & dated,
    )
    moved = steps.filter(came()).select("entity", "turn", moved=pl.lit(value=True))  # its other states have another key
    rows = rows.join(moved, on=["entity", "turn"], how="left", maintain_order="left")
    begins = pl.any_horizontal((pl.col(name) != pl.col(name).shift()).fill_null(value=True) for name in ENTITY_LIFE)
    # one that was neither inserted nor came may have had other states, of other valid times
    whole = pl.col("operation").eq_missing(pl.lit("INSERT")) | pl.col("moved").fill_null(value=False)
    lives = _records(
        rows.filter(begins),
        part=_BEGUN,
        recorded=pl.col("valid_from"),
        presence=pl.when(whole).then(pl.lit(NOT_YET)).otherwise(pl.lit(NOT_RECORDED)),
        certain=whole,
        opens=True,
    )
    ended = _records(
        steps.filter(step_word() != _LIVE),
        part=_ENDED,
        presence=pl.when("ends").then(pl.lit(DELETED)).otherwise(pl.lit(NOT_RECORDED)),
        certain=pl.col("ends"),
        opens=True,
    )
    before = _not_known(before_first(steps, truncated))
    return pl.concat([before, lives, states, ended]).sort("entity", "turn", "part", maintain_order=True)


def records_by_clock(steps: pl.DataFrame, truncated: int | None) -> pl.DataFrame:
    """The records of a type whose valid time is ``changed_at``, where its log's clock is when changes were committed.

    Each change, also a deletion, holds from its ``changed_at`` on, which inside an entity never runs backwards.
    """
    first = before_first(steps, truncated)
    there = first.filter(pl.col("word") == _LIVE)
    since_ever = _records(
        there, part=_FOUND, recorded=_NEVER_RECORDED, valid=pl.lit(SINCE_EVER), number=pl.col("number"), opens=True
    )
    later = _records(
        first.filter(pl.col("word") != _LIVE), part=_BEGUN, valid=pl.lit(UNDATED), presence=_word(pl.col("word"))
    )
    done = _records(
        steps,
        part=_STATES,
        valid=pl.lit(_running(steps)),
        presence=_word(step_word()),
        number=version_of(),
    )
    parts = [_not_known(first), since_ever, later, done]
    return pl.concat(parts).sort("entity", "turn", "part", maintain_order=True)


def _running(steps: pl.DataFrame) -> pl.Series:
    """The running maximum of ``changed_at`` in each entity, carried on where a change of a key begins another one."""
    steps = steps.select("entity", "link", "ends", changed=pl.col("changed_at").cum_max().over("entity").dt.epoch("us"))
    while True:
        ended = steps.filter(pl.col("ends") & pl.col("link").is_not_null()).select("link", since="changed")
        later = steps.join(ended, on="link", how="left", maintain_order="left")
        later = later.with_columns(changed=pl.max_horizontal("changed", "since").cum_max().over("entity")).drop("since")
        if later["changed"].equals(steps["changed"]):
            return steps["changed"]
        steps = later


def _not_known(first: pl.DataFrame) -> pl.DataFrame:
    """Before the first record of an entity, nothing is known of it; or, where it may have been there, not recorded."""
    not_yet = pl.col("word") == WORDS.index(NOT_YET)
    return _records(
        first.filter(pl.col("word") != _LIVE),
        part=_FOUND,
        recorded=_NEVER_RECORDED,
        presence=pl.when(not_yet).then(pl.lit(NOT_KNOWN)).otherwise(pl.lit(NOT_RECORDED)),
        opens=True,
    )


def _word(place: pl.Expr) -> pl.Expr:
    return place.replace_strict(dict(enumerate(WORDS)), return_dtype=pl.String)


def _records(
    rows: pl.DataFrame,
    *,
    part: int,
    recorded: pl.Expr = _EFFECTIVE,
    valid: pl.Expr = _BEFORE_ALL,
    presence: pl.Expr = _IS_LIVE,
    number: pl.Expr = _NO_VERSION,
    certain: pl.Expr = _CERTAIN,
    opens: bool = False,
) -> pl.DataFrame:
    """Records of one kind; those that open a group withdraw what stands before them in the entity."""
    return rows.select(
        "entity",
        "turn",
        pl.lit(part, dtype=pl.UInt8).alias("part"),
        recorded.alias("recorded"),
        valid.alias("valid"),
        presence.alias("presence"),
        number.alias("number"),
        certain.alias("certain"),
        pl.lit(opens).alias("opens"),
    )


@dataclass(frozen=True, slots=True)
class Knowledge:
    """The records of a type, indexed for lookups by entity, known time and valid time.

    Records stand twice: by entity in the log's order, in which those that were recorded by a time are the first ones,
    and by rank, in which those that are valid at a time are the first ones. Those that are believed together stand
    together in both. The answer is the last one by rank that stands early enough in the order: over the places in the
    order, by rank, stands a tree of minima, in which that one is found by climbing and descending.

    Args:
        rows: The records by entity and order, with ``group`` (Int64; its first row) and ``sure`` (all up to this row).
        first: By entity, its first row; and the number of rows at the end.
        ends: By row, the end of its group.
        recorded: By row, microseconds since 1970; the least number without one.
        valid: By rank, valid times.
        minima: By level, the least row among 1, 2, 4, ... neighbours by rank.
    """

    rows: pl.DataFrame
    first: NDArray[np.int64]
    ends: NDArray[np.int64]
    recorded: NDArray[np.int64]
    valid: NDArray[np.int64]
    minima: tuple[NDArray[np.int64], ...]

    @classmethod
    def of(cls, records: pl.DataFrame) -> Knowledge:
        """The index of what :func:`records_by_field` or :func:`records_by_clock` gives."""
        rows = records.with_row_index("row").with_columns(pl.col("row").cast(pl.Int64))
        rows = rows.with_columns(group=pl.when("opens").then("row").forward_fill()).with_columns(
            sure=pl.col("certain").cum_min().over("group") if len(rows) else pl.col("certain")
        )
        by_rank = rows.select("row", "group", "valid")
        runs_back = (pl.col("valid") < pl.col("valid").shift()) & (pl.col("group") == pl.col("group").shift())
        if by_rank.select(runs_back.any()).item():
            by_rank = by_rank.sort("group", "valid", "row")
        opens = (rows["entity"] != rows["entity"].shift()).fill_null(value=True)
        group = rows["group"].to_numpy()
        edges = np.append(rows.filter("opens")["row"].to_numpy(), len(rows))
        ends = edges[np.searchsorted(edges, group, side="right")] if len(rows) else group
        minima = [by_rank["row"].to_numpy()]
        while len(level := minima[-1]) > 1:
            pairs = np.append(level, level[-1:]) if len(level) % 2 else level
            minima.append(np.minimum(pairs[::2], pairs[1::2]))
        return cls(
            rows,
            np.append(rows.filter(opens)["row"].to_numpy(), len(rows)),
            ends,
            rows["recorded"].dt.epoch("us").fill_null(FIRST).to_numpy(),
            by_rank["valid"].to_numpy(),
            tuple(minima),
        )

    def table(self) -> pl.DataFrame:
        """``RECORDS``, for a query."""
        placed = pl.DataFrame({"row": self.minima[0]}).with_row_index("rank").sort("row")["rank"]
        later = self.rows.filter("opens").select(
            "group",
            withdrawn=pl.when(pl.col("entity") == pl.col("entity").shift(-1)).then(pl.col("recorded").shift(-1)),
        )
        told = self.rows.with_columns(rank=placed).join(later, on="group", how="left", maintain_order="left")
        timed = pl.col("valid").is_between(SINCE_EVER, NEVER, closed="none")
        return told.select(
            (pl.col("entity").rle_id()).alias("entity"), "recorded", "withdrawn",
            pl.when(timed).then(pl.from_epoch("valid", "us").dt.replace_time_zone("UTC")).alias("valid_from"),
            pl.when(pl.col("valid") != NEVER).then("rank").cast(pl.Int64).alias("rank"),
            "presence", "number", pl.col("certain").cast(pl.Int64),
        )  # fmt: skip

    def find(self, codes: pl.Series, at: pl.Series, known: pl.Series) -> pl.DataFrame:
        """What each entity was at each valid time, as known by then; null where any of the three is null.

        Args:
            codes: UInt32; the entities' codes in :class:`auditlab.spans.SpanIndex`.
            at: Datetime us UTC.
            known: Datetime us UTC.

        Returns:
            ``presence``, ``number`` (the row of the version) and ``certain`` (Boolean).
        """
        told = codes.is_not_null() & at.is_not_null() & known.is_not_null()
        code = codes.filter(told).to_numpy()
        by_then = known.filter(told).dt.epoch("us").to_numpy()
        last = bisect(self.recorded, by_then, self.first[code], self.first[code + 1]) - 1
        group = self.rows["group"].gather(last).to_numpy()
        valid = bisect(self.valid, at.filter(told).dt.epoch("us").to_numpy(), group, self.ends[last])
        row = pl.Series(self._last_before(valid, last + 1))
        found = self.rows.select(pl.col("presence").gather(row), pl.col("number").gather(row)).with_columns(
            certain=self.rows["sure"].gather(last)
        )
        doubted = (pl.col("presence") == NOT_YET) & ~pl.col("certain")
        found = found.with_columns(presence=pl.when(doubted).then(pl.lit(NOT_RECORDED)).otherwise("presence"))
        line = pl.select(pl.when(told).then(told.cast(pl.UInt32).cum_sum() - 1)).to_series()
        return found.select(pl.all().gather(line))

    def _last_before(self, rank: NDArray[np.int64], row: NDArray[np.int64]) -> NDArray[np.int64]:
        """Of the records before each rank the last that stands before each row, as a row; there always is one."""
        node, level = rank.copy(), np.full(len(rank), -1)
        for height, minima in enumerate(self.minima):
            climbing = level < 0
            if not climbing.any():
                break
            odd = climbing & (node % 2 == 1)
            left = np.maximum(node - 1, 0)
            here = odd & (minima[np.minimum(left, len(minima) - 1)] < row)
            level = np.where(here, height, level)
            node = np.where(odd, left, node)
            node = np.where(climbing & ~here, node >> 1, node)
        for height in range(len(self.minima) - 1, 0, -1):
            below = self.minima[height - 1]
            right = 2 * node + 1
            at_right = (right < len(below)) & (below[np.minimum(right, len(below) - 1)] < row)
            node = np.where(level >= height, np.where(at_right, right, 2 * node), node)
        return self.minima[0][node]

"""The time of each entity without a gap: not yet there, live in one version after another, deleted, live again.

Every instant lies in exactly one span of an entity, so a point-in-time join is a lookup: in the table of spans, or, in
memory, by bisection in the steps themselves, which stand by entity and time already.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from auditlab.schema import TIME

if TYPE_CHECKING:
    from datetime import datetime
    from typing import Any

    from numpy.typing import NDArray

__all__ = [
    "DELETED",
    "LIVE",
    "NOT_RECORDED",
    "NOT_YET",
    "SPANS",
    "WORDS",
    "EntityCodes",
    "SpanIndex",
    "before_first",
    "bisect",
    "came",
    "found_at",
    "holds",
    "meetings",
    "running_sum",
    "spans",
    "step_word",
    "untold",
    "version_of",
    "version_steps",
]

LIVE, DELETED, NOT_YET, NOT_RECORDED = WORDS = ("live", "deleted", "not yet", "not recorded")

SPANS: dict[str, pl.DataType] = {
    "entity": pl.UInt32(),
    "since": pl.Int64(),
    "until": pl.Int64(),
    "word": pl.UInt8(),
    "number": pl.UInt32(),
}
"""One row a span, closed-open, in microseconds since 1970 (UTC), ``ALWAYS`` and ``NEVER`` where it has no limit.
``entity`` is the entity's place among those of its type (:class:`EntityCodes`), ``word`` the place in ``WORDS`` of what
it was, ``number`` the row of the version in ``versions``."""

ALWAYS, NEVER = -(2**63), 2**63 - 1
"""Before and after all times."""

_OPENS = (pl.col("entity") != pl.col("entity").shift()).fill_null(value=True)
_STATE = ~pl.col("ends") & pl.col("after").is_not_null()
_EARLIER = pl.col("unseen") & pl.col("before").is_not_null()
_LAST = (_STATE.cast(pl.UInt32) + _EARLIER.cast(pl.UInt32)).cum_sum() - 1
"""The row of the last version that a step made: at most one that it found, and one that it left."""


def running_sum(entity: pl.Series, of: pl.Series) -> pl.Series:
    """Over rows by entity: the sum so far inside each (Int64). In Polars that takes several times as long.

    Args:
        entity: By row, its entity.
        of: Booleans or whole numbers by row, none of them null.
    """
    numbers, values = entity.to_numpy(), of.to_numpy()
    first = np.flatnonzero(np.append(True, numbers[1:] != numbers[:-1])[: len(numbers)])
    total = np.cumsum(values, dtype=np.int64)
    total -= np.repeat(total[first] - values[first], np.diff(first, append=len(values)))
    return pl.Series(total)


def came() -> pl.Expr:
    """Over steps: whether a row that had another key goes on as this entity."""
    return pl.col("link").is_not_null() & ~pl.col("ends")


def step_word() -> pl.Expr:
    """Over steps: the place in ``WORDS`` (UInt8) of what the entity is after each."""
    return pl.when("ends").then(1).when(pl.col("after").is_null()).then(3).otherwise(0).cast(pl.UInt8)


def version_of() -> pl.Expr:
    """Over steps: the row of the version that each left in ``versions`` (UInt32); null where it left none."""
    return pl.when(_STATE).then(_LAST)


def holds(at: datetime | None, entity_id: str | None) -> pl.Expr:
    """Over versions: whether each holds at an instant (None: now), and is of one entity where one is given."""
    now = pl.col("valid_to").is_null()
    if at is not None:
        now = (pl.col("valid_from").is_null() | (pl.col("valid_from") <= at)) & (now | (pl.col("valid_to") > at))
    return now if entity_id is None else now & (pl.col("entity_id") == entity_id)


def version_steps(steps: pl.DataFrame) -> pl.Series:
    """By row of ``versions``: the row (UInt32) of the step that left it, or that found it."""
    made = steps.select(left=_STATE, found=_EARLIER)
    left, found = made["left"].arg_true(), made["found"].arg_true()
    if found.is_empty():
        return left
    both = pl.concat([found.cast(pl.Int64) * 2, left.cast(pl.Int64) * 2 + 1])  # what it found was there before
    return (both.sort() // 2).cast(pl.UInt32)


def spans(steps: pl.DataFrame, truncated: int | None) -> pl.DataFrame:
    """The spans of every entity, in no order: ``SPANS``' columns. Versions replaced at once have none.

    Args:
        steps: The type's steps by entity and turn, with the numbers of their documents (``before``, ``after``).
        truncated: The position of the type's first TRUNCATE: an entity first seen after it was absent before.
    """
    more, time = pl.col("entity") == pl.col("entity").shift(-1), pl.col("effective").dt.epoch("us")
    after = steps.select(
        (_OPENS.cast(pl.UInt32).cum_sum() - 1).alias("entity"),
        time.alias("since"),
        pl.when(more).then(time.shift(-1)).otherwise(NEVER).alias("until"),
        step_word().alias("word"),
        version_of().alias("number"),
    )
    before = before_first(steps, truncated).select(
        pl.int_range(pl.len(), dtype=pl.UInt32).alias("entity"),
        pl.lit(ALWAYS).alias("since"),
        time.alias("until"),
        "word",
        "number",
    )
    return pl.concat([before, after]).filter(pl.col("since") != pl.col("until"))


def untold(steps: pl.DataFrame, truncated: int | None) -> pl.DataFrame:
    """When the log does not tell what an entity was: entity_id, position, valid_from and valid_to (null: no limit).

    ``position`` is of the change that left a state without an image that tells it; null before an entity's first.

    Args:
        steps: As in :func:`spans`.
        truncated: As in :func:`spans`.
    """
    same = pl.col("entity") == pl.col("entity").shift(-1)
    open_ = step_word() == WORDS.index(NOT_RECORDED)
    after = steps.select(
        "entity_id",
        "position",
        valid_from="effective",
        valid_to=pl.when(same).then(pl.col("effective").shift(-1)),
        open=open_,
    )
    first = before_first(steps, truncated).select(
        "entity_id",
        position=pl.lit(None, dtype=pl.UInt32),
        valid_from=pl.lit(None, dtype=TIME),
        valid_to="effective",
        open=pl.col("word") == WORDS.index(NOT_RECORDED),
    )
    return pl.concat([after.filter("open"), first.filter("open")]).drop("open")


def before_first(steps: pl.DataFrame, truncated: int | None) -> pl.DataFrame:
    """One row an entity, its first step: entity, entity_id, turn, effective, ``row``, and what it was before.

    ``word`` (UInt8) is the place of that in ``WORDS``; ``number`` the row of the version where it was there since ever.
    """
    numbered = steps.select("entity", "entity_id", "operation", "position", "turn", "effective", "unseen",
                            "since_ever", "before", "ends", "after", "link", last=_LAST)  # fmt: skip
    first = numbered.with_row_index("row").filter(_OPENS)
    there = pl.col("since_ever") & _EARLIER
    absent = (pl.col("operation") == "INSERT") | came()
    if truncated is not None:
        absent |= pl.col("position") > truncated
    return first.select(
        "entity",
        "entity_id",
        "turn",
        "effective",
        "row",
        word=pl.when(there).then(0).when(absent).then(2).otherwise(3).cast(pl.UInt8),
        number=pl.when(there).then(pl.col("last") - _STATE.cast(pl.UInt32)),
    )


def found_at(lines: pl.Series, word: pl.Series, number: pl.Series, height: int) -> pl.DataFrame:
    """``presence`` (a word of ``WORDS``) and ``number`` (of a live entity's version) by line; null where none is found.

    Args:
        lines: UInt32; the lines at which something was found, each once.
        word: The place in ``WORDS`` of what was found at each.
        number: The row of its version in ``versions``.
        height: How many lines there are.
    """
    word, number = (
        pl.Series([None], dtype=values.dtype).new_from_index(0, height).scatter(lines, values)
        for values in (word, number)
    )
    found = pl.DataFrame({"presence": pl.Series(WORDS).gather(word), "word": word, "number": number})
    return found.select("presence", pl.when(pl.col("word") == WORDS.index(LIVE)).then("number"))


@dataclass(frozen=True, slots=True)
class EntityCodes:
    """The entities of a type by number, found by their id.

    Args:
        entity_ids: String; an entity's code is its place.
        hashes: UInt64; the entity ids' hashes, sorted; empty where two ids have one hash.
        hashed: UInt32; the codes in the order of ``hashes``.
        slots: By leading bits of a hash, the place of the first of ``hashes`` with them; and how many there are.
    """

    entity_ids: pl.Series
    hashes: NDArray[np.uint64]
    hashed: pl.Series
    slots: NDArray[np.int64]

    @classmethod
    def of(cls, entity_ids: pl.Series) -> EntityCodes:
        """The codes of distinct ids: their places."""
        hashes = entity_ids.hash()
        order = hashes.arg_sort()
        ordered = hashes.gather(order).to_numpy()
        if (ordered[1:] == ordered[:-1]).any():
            ordered = ordered[:0]
        bits = max(len(ordered).bit_length(), 1)  # about one hash in each slot
        counts = np.bincount(_leading(ordered, bits), minlength=2**bits)
        return cls(entity_ids, ordered, order, np.append(0, counts.cumsum()))

    def find(self, entity_ids: pl.Series) -> pl.Series:
        """Each entity's code (UInt32); null for one that the log does not have, and for null."""
        if not len(self.hashes):
            known = self.entity_ids.rename("id").to_frame().with_row_index("code")
            asked = entity_ids.rename("id").to_frame()
            return asked.join(known, on="id", how="left", maintain_order="left")["code"]
        hashes = entity_ids.hash().to_numpy()
        slot = _leading(hashes, len(self.slots).bit_length() - 1)
        place = bisect(self.hashes, hashes, self.slots[slot], self.slots[slot + 1]) - 1
        code = self.hashed.gather(np.maximum(place, 0))
        same = self.entity_ids.gather(code) == entity_ids
        return code.zip_with(same.fill_null(value=False), pl.Series([None], dtype=code.dtype))


def _leading(hashes: NDArray[np.uint64], bits: int) -> NDArray[np.int64]:
    return (hashes >> np.uint64(64 - bits)).astype(np.int64)


@dataclass(frozen=True, slots=True)
class SpanIndex:
    """The steps of a type as they stand, by entity and time, with each entity's place among them.

    Args:
        codes: The entities.
        first: By entity, its first step; and the number of steps at the end.
        effective: By step, microseconds since 1970, never running backwards inside an entity.
        word: By step, the place in ``WORDS`` of what the entity was after it.
        last: By step, the row of the last version up to it.
        before: By entity, ``word`` and ``number`` (the row of its version) before its first step.
    """

    codes: EntityCodes
    first: NDArray[np.int64]
    effective: NDArray[np.int64]
    word: pl.Series
    last: pl.Series
    before: pl.DataFrame

    @classmethod
    def of(cls, steps: pl.DataFrame, truncated: int | None) -> SpanIndex:
        """The index of a type's steps, see :func:`spans`."""
        before = before_first(steps, truncated)
        after = steps.select(step_word().alias("word"), _LAST.alias("last"))
        return cls(
            EntityCodes.of(before["entity_id"]),
            np.append(before["row"].cast(pl.Int64).to_numpy(), len(steps)),
            steps["effective"].to_physical().to_numpy(),
            after["word"],
            after["last"],
            before.select("word", "number"),
        )

    def find(self, codes: pl.Series, at: pl.Series) -> pl.DataFrame:
        """What each entity was at each time: ``presence`` and ``number``, the row of its version; null where unknown.

        Args:
            codes: UInt32; what ``codes.find`` gives.
            at: Datetime us UTC, of the same length; null as the code.
        """
        known = codes.is_not_null() & at.is_not_null()
        code = codes.filter(known)
        place = code.to_numpy()
        first = self.first[place]
        step = bisect(self.effective, at.filter(known).to_physical().to_numpy(), first, self.first[place + 1]) - 1
        begun, row = pl.Series(step >= first), pl.Series(np.maximum(step, 0))
        word = self.word.gather(row).zip_with(begun, self.before["word"].gather(code))
        number = self.last.gather(row).zip_with(begun, self.before["number"].gather(code))
        return found_at(known.arg_true(), word, number, len(known))


def meetings(first: NDArray[np.int64], codes: pl.Series) -> int:
    """How many rows the entities of these codes have together, each counted as often as it is asked for.

    Args:
        first: By entity, its first row; and the number of rows at the end.
        codes: UInt32; what ``EntityCodes.find`` gives.
    """
    asked = codes.drop_nulls().to_numpy()
    return int((first[asked + np.uint32(1)] - first[asked]).sum())


def bisect(
    values: NDArray[Any], targets: NDArray[Any], low: NDArray[np.int64], high: NDArray[np.int64]
) -> NDArray[Any]:
    """For each target the place after the last value that is not above it, in ``values[low:high]``, which is sorted."""
    place = low.copy()
    step = (1 << int((high - low).max(initial=0)).bit_length()) >> 1
    while step:
        ahead = place + step
        passed = values.take(ahead - 1, mode="clip") <= targets
        place += (passed & (ahead <= high)) * step
        step >>= 1
    return place

"""Rows that are versions, each true from one time to another, and the changes that begin and end them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from auditlab.errors import BadOption, BadTime
from auditlab.load.arrays import is_text
from auditlab.schema import CHANGES

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["as_changes", "bounds"]

_OPEN = r"(?i)^\s*(infinity|9999-12-.*|2038-01-19[ T]03:14:07.*|2106-02-07[ T]06:28:15.*)?\s*$"
"""What databases write for an end that is not there yet: PostgreSQL, the year 9999, and the last moments of MariaDB."""
_LAST = pa.scalar(253_399_622_400_000_000, pa.int64())
"""The first of December 9999."""
_MARIADB = pa.array([2_147_483_647, 4_294_967_295], pa.int64())
_RANGE = r'^\s*\[\s*"?(?P<start>[^",\]\)]+)"?\s*,\s*"?(?P<end>[^",\]\)]*)"?\s*\)\s*$'
"""A range of PostgreSQL's with its start and without its end."""
_UNITS = {
    timedelta(days=1): "a day",
    timedelta(minutes=1): "a minute",
    timedelta(seconds=1): "a second",
    timedelta(milliseconds=1): "a millisecond",
    timedelta(microseconds=1): "a microsecond",
}
_ENTITY = ("entity_type", "entity_id")


def bounds(
    start: pa.Array, end: pa.Array | None, *, read: Callable[[pa.Array, str], pa.Array], ids: pa.Array
) -> dict[str, pa.Array]:
    """``changed_at`` and ``valid_to`` of versions; an end that is not there yet is null.

    Args:
        start: When each version began; where there is no ``end``, ranges as PostgreSQL writes them.
        end: When it ended.
        read: Reads times, in a column of that name.
        ids: The rows' numbers, for messages.

    Raises:
        BadTime: what stands there is no time, or no such range.
    """
    if end is None:
        start, end = _parted(start, ids)
    if is_text(end.type):
        end = end.cast(pa.string())
        end = pc.if_else(pc.match_substring_regex(end, _OPEN), pa.scalar(None, pa.string()), end)
    ended = read(end, "valid_to")
    ticks = ended.cast(pa.int64())
    seconds = pc.divide(ticks, 1_000_000)
    never = pc.or_(pc.greater_equal(ticks, _LAST), pc.is_in(seconds, _MARIADB))
    return {
        "changed_at": read(start, "valid_from"),
        "valid_to": pc.if_else(never, pa.scalar(None, ended.type), ended),
    }


def _parted(ranges: pa.Array, ids: pa.Array) -> tuple[pa.Array, pa.Array]:
    if not is_text(ranges.type):
        raise BadOption(
            f"columns= gives 'valid_from' alone, which is then a range such as [2024-01-01,2024-02-01), and it is "
            f"{ranges.type}. Name the column of the end, too: 'valid_to'."
        )
    ranges = ranges.cast(pa.string())
    parts = pc.extract_regex(ranges, _RANGE)
    odd = pc.and_(parts.is_null(), ranges.is_valid())
    if pc.any(odd).as_py():
        raise BadTime(
            f"row {ids.filter(odd)[0].as_py()}: valid_from = {ranges.filter(odd)[0].as_py()!r} is no range that has "
            "its start and not its end, such as [2024-01-01,2024-02-01). Where the end stands in a column of its own, "
            "name that: 'valid_to'."
        )
    start, end = parts.flatten()
    return start, end


def as_changes(versions: pl.DataFrame, source: str) -> tuple[pl.DataFrame, str]:
    """The changes that begin and end versions, by time, those of one entity as they follow, numbered from 1 on.

    A version that begins where another of its entity ends is an UPDATE, any other an INSERT; one that ends where none
    begins, ends by a DELETE, of which nobody knows who made it. One that ended as it began was replaced at once, and
    stands before what then held.

    Args:
        versions: The columns of a log, in which ``changed_at`` is when each began, with ``valid_to``.
        source: Where they are from, for messages.

    Returns:
        The changes, and what may be meant otherwise, in words.

    Raises:
        BadOption: two versions of an entity overlap, or one ends before it begins.
    """
    lasts = pl.col("valid_to").is_null() | (pl.col("valid_to") > pl.col("changed_at"))
    rows = versions.with_row_index("place", offset=1).with_columns(lasts=lasts)
    rows = rows.sort(*_ENTITY, "changed_at", "lasts", "valid_to", "place", nulls_last=True)
    follows = pl.all_horizontal(pl.col(name).eq_missing(pl.col(name).shift(-1)) for name in _ENTITY)
    rows = rows.with_columns(
        then=pl.when(follows).then(pl.col("changed_at").shift(-1)),
        then_place=pl.when(follows).then(pl.col("place").shift(-1)),
    )
    _check(rows, source)
    goes_on = (pl.col("valid_to") == pl.col("then")).fill_null(value=False)
    rows = rows.with_columns(goes_on=goes_on).with_row_index("turn")
    begun = rows.with_columns(
        operation=pl.when(pl.col("goes_on").shift()).then(pl.lit("UPDATE")).otherwise(pl.lit("INSERT")),
        turn=pl.col("turn") * 2,
    )
    ended = rows.filter(pl.col("valid_to").is_not_null() & ~pl.col("goes_on")).select(
        *_ENTITY,
        operation=pl.lit("DELETE"),
        changed_at="valid_to",
        before_snapshot="after_snapshot",
        turn=pl.col("turn") * 2 + 1,
    )
    changes = pl.concat([begun.select(*CHANGES, "turn"), ended], how="diagonal").sort("changed_at", "turn")
    return changes.with_columns(id=pl.int_range(1, pl.len() + 1, dtype=pl.Int64)).select(*CHANGES), _inclusive(rows)


def _inclusive(rows: pl.DataFrame) -> str:
    """What to say of versions whose ends seem to be the last moment of each: most stand one unit before the next.

    None ends where the next begins; rows that were away for longer between two versions tell nothing.
    """
    gaps = rows.filter(pl.col("then").is_not_null()).select(gap=pl.col("then") - pl.col("valid_to"))["gap"]
    least = gaps.min()
    if not isinstance(least, timedelta) or least not in _UNITS:
        return ""
    count = gaps.eq(least).sum()
    if count * 2 < len(gaps):
        return ""
    which = "each version of" if count == len(gaps) else f"{count:,} versions of"
    return (
        f"{which} the {len(gaps):,} that another follows {'ends' if count == len(gaps) else 'end'} {_UNITS[least]} "
        "before that begins: its row is taken to be away in between. Where an end is the last moment that counts, add "
        "that unit to it first."
    )


def _check(rows: pl.DataFrame, source: str) -> None:
    ends_early = rows.filter(pl.col("valid_to") < pl.col("changed_at"))
    if len(ends_early):
        first = ends_early.row(0, named=True)
        raise BadOption(
            f"{source}: the version in row {first['place']}, of {first['entity_type']} {first['entity_id']!r}, ends "
            f"({first['valid_to']}) before it begins ({first['changed_at']}), and so do {len(ends_early) - 1:,} others."
        )
    overlap = rows.filter(
        pl.col("then").is_not_null() & (pl.col("valid_to").is_null() | (pl.col("valid_to") > pl.col("then")))
    )
    if len(overlap):
        first = overlap.row(0, named=True)
        raise BadOption(
            f"{source}: two versions of {first['entity_type']} {first['entity_id']!r} hold at once: that in row "
            f"{first['place']} until {first['valid_to'] or 'now'}, and that in row {first['then_place']} from "
            f"{first['then']} on; there are {len(overlap):,} such pairs. Of rows with two periods take the one of the "
            "system, and where the key is of several columns name all of them: key=['a', 'b']."
        )

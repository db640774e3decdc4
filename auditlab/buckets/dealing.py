"""Deal a log out into buckets: an entity's changes are all in one, also those under its other keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from auditlab.buckets.compartments import Compartments
from auditlab.buckets.links import Links, linked
from auditlab.buckets.missing import Missing
from auditlab.buckets.shelf import Shelf
from auditlab.buckets.types import Types
from auditlab.errors import LogTooLarge
from auditlab.printable import megabytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from auditlab.buckets.part import Silent
    from auditlab.schema import LogFacts

__all__ = ["AMPLIFIED", "SHARE", "Dealt", "deal"]

AMPLIFIED = 10
"""How many times the bytes of its rows a log takes while it is asked, about."""

SHARE = 5
"""The part (1 in ...) of a question's room that one bucket may take: the rest is for Python and its libraries, and for
a bucket's answer beside the next bucket."""

ALWAYS = 64 << 20
"""Bytes that a bucket may take however little memory was allowed: entities are not of one size."""

WAITING = 6
"""The part (1 in ...) of a question's room that rows may take while they are dealt out: nothing else does then."""


def deal(
    frames: Iterator[pl.DataFrame], facts: LogFacts, *, size: int, room: int, read: bool, judged: bool = False
) -> Dealt:
    """The rows by bucket: an entity's are all in one, a TRUNCATE is in each.

    Args:
        frames: ``part.ROWS``, as they come.
        facts: What stands beside them.
        size: How many bytes they take in memory, about.
        room: Bytes of memory that a question may take.
        read: Whether rows with images that are no JSON are set apart, too.
        judged: Whether rows that are no changes were set apart before.

    Raises:
        LogTooLarge: single entities have histories that are larger than the room.
    """
    needed = size * AMPLIFIED
    count = max(1, -(-needed * SHARE // max(1, room)))
    rows = Compartments(count, room=room // WAITING)
    links, missing = Links(facts.keys, read=read), Missing(read=read, judged=judged)
    for frame in frames:
        links.sample(frame)
        missing.note(frame)
        rows.deal(*_to_all(frame, count))
    rows.settle()
    largest = max(rows.sizes) * AMPLIFIED
    if largest > max(2 * room, ALWAYS):
        raise LogTooLarge(
            f"single entities of this log have histories that take about {megabytes(largest)}, and a question may take "
            f'{megabytes(room)}. Allow more: scan_archive(folder, memory="{-(-largest // 2_000_000)}MB").'
        )
    silent = missing.found(rows)
    found = links.found(rows, facts.clock, silent)
    moves = linked(found, count)
    types, shelf = Types(facts.kinds), Shelf()
    if moves is None:
        return Dealt(rows, found, None, None, types, shelf, links, silent)
    moved = Compartments(count, room=room // WAITING)
    for number in range(count):
        goes = rows.read(number).join(moves, on="entity_id", how="inner", maintain_order="left")
        moved.deal(goes.drop("to"), goes["to"])
    return Dealt(rows, found, moves, moved, types, shelf, links, silent)


@dataclass(frozen=True, slots=True)
class Dealt:
    """The log by bucket.

    Args:
        rows: The rows, until their bucket has learned.
        links: The changes of keys (``LINKED``).
        moves: What ``linked`` tells of entities that left their bucket.
        moved: The rows of those, by the bucket that they go to.
        types: The fields of all types.
        shelf: What each bucket worked out.
        finder: What found the changes of keys.
        silent: What all changes tell of missing images.
    """

    rows: Compartments
    links: pl.DataFrame
    moves: pl.DataFrame | None
    moved: Compartments | None
    types: Types
    shelf: Shelf
    finder: Links
    silent: Silent

    def of(self, number: int) -> pl.DataFrame:
        """The rows of a bucket (``ROWS``), in no promised order."""
        rows = self.rows.read(number)
        if self.moves is None or self.moved is None:
            return rows
        return pl.concat(
            [rows.join(self.moves, on="entity_id", how="anti", maintain_order="left"), self.moved.read(number)]
        )

    def forget(self, number: int) -> None:
        """Remove the rows of a bucket that is kept."""
        for each in (self.rows, self.moved):
            if each is not None:
                each.clear(number)


def _to_all(frame: pl.DataFrame, count: int) -> tuple[pl.DataFrame, pl.Series]:
    """The rows with each TRUNCATE once for every bucket, and the numbers of the buckets."""
    numbers = frame["entity_id"].hash().rename("number") % count
    numbers = numbers.zip_with(frame["entity_id"].is_not_null(), numbers.clear().extend_constant(0, len(frame)))
    truncates = frame.filter(pl.col("operation") == "TRUNCATE")
    if truncates.is_empty():
        return frame, numbers
    own = frame["operation"] != "TRUNCATE"
    everywhere = pl.concat([truncates] * count)
    each = pl.Series("number", [number for number in range(count) for _ in range(len(truncates))], dtype=numbers.dtype)
    return pl.concat([frame.filter(own), everywhere]), pl.concat([numbers.filter(own), each])

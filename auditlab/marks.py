"""Marks: saved moments of a database, each with the transaction snapshot that says what was committed then.

A snapshot is PostgreSQL's own text, ``xmin:xmax:xip,...``: transactions below ``xmin`` were over, those from ``xmax``
on had not begun, and of those between the listed ones were at work. Ids have 64 bits and never start again.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from auditlab.errors import BadMark, UnknownMark

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Mark", "TransactionSnapshot", "append_mark", "frame", "in_order", "named", "read_marks", "require_new_name"]

_TEXT = re.compile(r"\s*(\d{1,19}):(\d{1,19}):((?:\d{1,19}(?:,\d{1,19})*)?)\s*", re.ASCII)
_LARGEST = 2**63
_LISTED = 5


@dataclass(frozen=True, slots=True)
class TransactionSnapshot:
    """Which transactions were committed at a moment.

    Args:
        xmin: All transactions below were over.
        xmax: All from here on had not begun.
        running: Those between that were at work, ascending.
    """

    xmin: int
    xmax: int
    running: tuple[int, ...] = ()

    @classmethod
    def of(cls, text: str) -> TransactionSnapshot:
        """The snapshot in PostgreSQL's text (``pg_current_snapshot()::text``).

        Raises:
            BadMark: the text is none.

        Example:
            >>> TransactionSnapshot.of("10:14:10,12").sees(11)
            True
        """
        return _parsed(text)

    def sees(self, transaction_id: int) -> bool:
        """Whether a committed transaction was visible."""
        return transaction_id < self.xmin or (transaction_id < self.xmax and transaction_id not in self.running)

    def seen(self, transaction_ids: pl.Series) -> pl.Series:
        """Boolean: whether each transaction was visible; false where the id is null."""
        running = pl.Series(self.running, dtype=pl.Int64)
        seen = (transaction_ids < self.xmin) | (
            (transaction_ids < self.xmax) & ~transaction_ids.is_in(running.implode())
        )
        return seen.fill_null(value=False)

    @property
    def count(self) -> int:
        """How many ids it sees: of two snapshots of a server the later one sees all that the earlier saw, and more."""
        return self.xmax - len(self.running)

    def unseen_of(self, other: TransactionSnapshot) -> int | None:
        """A transaction that ``other`` may see and this does not; None where this sees all that ``other`` does."""
        early = next((one for one in self.running if other.sees(one)), None)
        if early is not None or other.xmax <= self.xmax:
            return early
        running = {one for one in other.running if one >= self.xmax}
        if len(running) == other.xmax - self.xmax:
            return None
        return next(one for one in range(self.xmax, other.xmax) if one not in running)


@lru_cache(maxsize=4096)
def _parsed(text: str) -> TransactionSnapshot:
    found = _TEXT.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise BadMark(
            f"{text!r} is no transaction snapshot. Write what pg_current_snapshot() gave (on PostgreSQL 12: "
            "txid_current_snapshot()): xmin:xmax:xip,..."
        )
    xmin, xmax = int(found[1]), int(found[2])
    running = tuple(int(one) for one in found[3].split(",")) if found[3] else ()
    between = all(xmin <= one < xmax for one in running) and list(running) == sorted(set(running))
    if not (1 <= xmin <= xmax < _LARGEST and between):
        raise BadMark(
            f"{text!r} is no transaction snapshot: xmin is at least 1 and not above xmax, and the transactions at work "
            "lie between them in ascending order."
        )
    return TransactionSnapshot(xmin, xmax, running)


@dataclass(frozen=True, slots=True)
class Mark:
    """A saved moment of a database. As of a mark, an answer is exactly what a reader saw then.

    Args:
        at: The server's clock right after the snapshot was taken.
        snapshot: The transaction snapshot, as PostgreSQL writes it.
        began: The server's clock right before it; ``at`` where that is not known.
        name: What people call it; ``mark`` gives no name twice, and what asks for one that several have is refused.
        system: The database system's identifier.
        timeline: The system's timeline: it changes with each failover and each restore to a point in time.
        database: The database it was taken in; it is good for every database of the system.
        lsn: Where the write-ahead log was.

    Raises:
        BadMark: the snapshot is none, or a time has no zone.
    """

    at: datetime
    snapshot: str
    began: datetime | None = None
    name: str | None = None
    system: str | None = None
    timeline: int | None = None
    database: str | None = None
    lsn: str | None = None

    def __post_init__(self) -> None:
        for moment in (self.at, self.began):
            if moment is not None and (not isinstance(moment, datetime) or moment.tzinfo is None):
                raise BadMark(f"a mark's time is an aware datetime, got {moment!r}.")
        TransactionSnapshot.of(self.snapshot)

    def __str__(self) -> str:
        called = f"{self.name!r}, " if self.name else ""
        return f"{called}{self.at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f} UTC"

    @property
    def since(self) -> datetime:
        """The server's clock before the snapshot, as far as it is known."""
        return self.at if self.began is None else min(self.began, self.at)

    @property
    def sees(self) -> TransactionSnapshot:
        """What was committed."""
        return TransactionSnapshot.of(self.snapshot)

    def told(self) -> dict[str, Any]:
        """The mark as JSON takes it; ``of`` reads it."""
        told: dict[str, Any] = {"at": self.at.astimezone(UTC).isoformat(), "snapshot": self.snapshot}
        if self.began is not None:
            told["began"] = self.began.astimezone(UTC).isoformat()
        told |= {name: value for name in _OTHERS if (value := getattr(self, name)) is not None}
        return told

    @classmethod
    def of(cls, told: Any) -> Mark:  # noqa: ANN401 - whatever JSON holds
        """The mark in the mapping that ``told`` gave.

        Raises:
            BadMark: it is none.
        """
        try:
            given: dict[str, Any] = {
                name: datetime.fromisoformat(told[name]) for name in ("at", "began") if name in told
            }
            others = {name: told[name] for name in ("snapshot", *_OTHERS) if name in told}
            wrong = [
                name for name, value in others.items() if not isinstance(value, int if name == "timeline" else str)
            ]
            unknown = told.keys() - given.keys() - others.keys()
            if wrong or unknown:
                raise BadMark(f"a mark does not have {', '.join(sorted([*wrong, *unknown]))} like that: {told!r}")
            return cls(**given, **others)
        except (TypeError, ValueError, AttributeError, KeyError) as exc:
            if isinstance(exc, BadMark):
                raise
            raise BadMark(f"this is no mark: {told!r}") from exc


MARKS: dict[str, pl.DataType] = {
    "name": pl.String(),
    "began": pl.Datetime("us", "UTC"),
    "at": pl.Datetime("us", "UTC"),
    "snapshot": pl.String(),
    "lsn": pl.String(),
    "system": pl.String(),
    "timeline": pl.Int64(),
    "database": pl.String(),
}
"""The columns of a frame of marks."""

_NONE = "There are none: none came with it. A load from its database brings those that the role may read (audit.mark)."
_OTHERS = ("name", "system", "timeline", "database", "lsn")


def in_order(marks: Iterable[Mark]) -> tuple[Mark, ...]:
    """The marks as they followed each other, equal ones once: by what they see, not by the clock."""
    return tuple(sorted(dict.fromkeys(marks), key=lambda mark: (mark.sees.count, mark.at)))


def frame(marks: Iterable[Mark]) -> pl.DataFrame:
    """One row a mark, in their order: ``MARKS``' columns."""
    rows = [[getattr(mark, name) for name in MARKS] for mark in in_order(marks)]
    return pl.DataFrame(rows, schema=MARKS, orient="row")


def named(marks: Iterable[Mark], name: str) -> Mark:
    """The mark of that name.

    Raises:
        UnknownMark: there is none, or there are several; the message names those there are.
    """
    every = list(marks)
    found = [mark for mark in every if mark.name == name]
    if len(found) == 1:
        return found[0]
    if found:
        seen = "; ".join(f"{mark.snapshot} at {mark.at:%Y-%m-%d %H:%M:%S.%f %Z}" for mark in found[-_LISTED:])
        raise UnknownMark(
            f"{len(found)} marks are called {name!r}: {seen}. Give the one that you mean as a Mark, or the snapshot "
            "that it saw (snapshot=)."
        )
    names = list(dict.fromkeys(mark.name for mark in every if mark.name))
    listed = ", ".join(map(repr, names[-_LISTED:])) + (" and more" if len(names) > _LISTED else "")
    unnamed = f"None of its marks ({len(every):,}) has a name." if every else _NONE
    have = f"There are {listed}." if names else unnamed
    raise UnknownMark(f"no mark {name!r} beside this log. {have}")


def require_new_name(name: str, at: datetime | None, where: str) -> None:
    """A name for one more mark, which none has that was made before: asked for by it, there must be one.

    Args:
        name: The name.
        at: When a mark of that name was made; None where there is none.
        where: What keeps that mark.

    Raises:
        BadMark: there is one, or the name is empty.
    """
    if not name:
        raise BadMark("a mark's name is empty. Give it one to ask by, or none at all.")
    if at is not None:
        made = f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f} UTC"
        raise BadMark(
            f"there is a mark {name!r} already, made {made} and kept in {where}. A name stands for one moment: give "
            f"this one another, such as {name + ' 2'!r}."
        )


def read_marks(path: str | Path) -> list[Mark]:
    """The marks in a file, one line of JSON each, as ``auditlab mark --file`` writes them.

    Raises:
        BadMark: the file cannot be read, or a line is no mark; the message names the line.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise BadMark(f"cannot read marks from {path}: {exc}") from exc
    marks = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                marks.append(Mark.of(json.loads(line)))
            except ValueError as exc:
                raise BadMark(f"{path}, line {number}: {exc}") from exc
    return marks


def append_mark(path: str | Path, mark: Mark) -> None:
    """Add a mark to a file, which is on disk when this returns.

    Raises:
        BadMark: the file cannot be written.
    """
    try:
        with Path(path).open("ab") as file:
            file.write(f"{json.dumps(mark.told())}\n".encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError as exc:
        raise BadMark(f"cannot write the mark to {path}: {exc.strerror or exc}") from exc

"""Interleavings: transactions that overlap, made up step by step, with what a reader saw at every moment.

A plain simulation of what PostgreSQL does: a writer waits for the row, an id is given at the first write, a commit is
written down before others see it, and what is rolled back leaves nothing. It knows when each change became visible,
which a log does not: that is what answers as of a mark or a time are held against.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any

import polars as pl

from auditlab.marks import Mark
from auditlab.schema import CHANGES

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Schedule", "schedule"]

START = datetime(2024, 1, 1, tzinfo=UTC)
ABSENT: Any = None

States = dict[str, int]

MIX = {"write": 55, "savepoint": 5, "to savepoint": 5, "truncate": 3, "commit": 26, "roll back": 6}
"""What an open transaction does next, and how often."""

PAUSES = (1, 1, 2, 50, 1000, 500_000)
"""Microseconds between two steps."""


@dataclass(slots=True)
class _Transaction:
    began: int
    number: int | None = None
    rows: list[dict[str, Any]] = field(default_factory=list)
    own: dict[str, int | None] = field(default_factory=dict)
    savepoint: tuple[int, dict[str, int | None]] | None = None
    truncated: bool = False
    stamped: int | None = None


@dataclass(frozen=True, slots=True)
class Schedule:
    """What happened, and what was seen.

    Args:
        log: The canonical columns: what the committed transactions recorded, ``committed_at`` null.
        stamps: By transaction, when its commit was written down.
        marks: Moments that were saved, in their order.
        seen: By mark, the states that were visible: entity id to the value of its one field ``n``.
        end: The last moment.
        longest: The longest time from a transaction's beginning to its visibility.
        slowest: The longest time from a commit's being written down to its visibility.
    """

    log: pl.DataFrame
    stamps: Mapping[int, datetime]
    marks: tuple[Mark, ...]
    seen: tuple[States, ...]
    end: datetime
    longest: timedelta
    slowest: timedelta
    _moments: tuple[datetime, ...] = field(repr=False, default=())
    _states: tuple[States, ...] = field(repr=False, default=())

    def at(self, moment: datetime) -> States:
        """The states that were visible at a moment, inclusive."""
        return self._states[bisect_right(self._moments, moment) - 1]

    @property
    def moments(self) -> tuple[datetime, ...]:
        """The moments at which a transaction became visible."""
        return self._moments[1:]

    def committed(self) -> pl.DataFrame:
        """The log with ``committed_at``."""
        ids, stamps = list(self.stamps), list(self.stamps.values())
        when = pl.col("transaction_id").replace_strict(ids, stamps, return_dtype=CHANGES["committed_at"])
        return self.log.with_columns(committed_at=when)


def schedule(seed: int, *, steps: int = 120, writers: int = 4, keys: int = 5) -> Schedule:
    """A random schedule, the same for the same seed.

    Args:
        seed: Which one.
        steps: How many things happen.
        writers: How many transactions overlap at the most.
        keys: How many entities there are.
    """
    return _Simulation(Random(seed), writers, [f"e{number}" for number in range(keys)]).run(steps)  # noqa: S311


class _Simulation:
    def __init__(self, random: Random, writers: int, keys: list[str]) -> None:
        self._random, self._keys = random, keys
        self._tick = 0
        self._open: list[_Transaction | None] = [None] * writers
        self._visible: States = {}
        self._next = random.choice([3, 2**32 - 3, 7 * 2**32 + 11])
        self._id = 0
        self._rows: list[dict[str, Any]] = []
        self._stamps: dict[int, datetime] = {}
        self._timeline: list[tuple[int, States]] = [(-1, {})]
        self._marks: list[tuple[Mark, States]] = []
        self._longest = self._slowest = 0

    def run(self, steps: int) -> Schedule:
        for _ in range(steps):
            self._pass()
            if not self._random.randrange(5):
                self._mark()
            else:
                self._act(self._random.randrange(len(self._open)))
        for place in range(len(self._open)):
            while self._open[place] is not None:
                self._pass()
                self._end(place, commit=True)
        self._pass()
        ordered = sorted(self._rows, key=lambda row: row["id"])
        return Schedule(
            log=pl.DataFrame(ordered, schema=CHANGES, orient="row"),
            stamps=self._stamps,
            marks=tuple(mark for mark, _ in self._marks),
            seen=tuple(states for _, states in self._marks),
            end=_time(self._tick),
            longest=timedelta(microseconds=self._longest),
            slowest=timedelta(microseconds=self._slowest),
            _moments=tuple(_time(tick) for tick, _ in self._timeline),
            _states=tuple(states for _, states in self._timeline),
        )

    def _pass(self) -> None:
        self._tick += self._random.choice(PAUSES)

    def _act(self, place: int) -> None:
        transaction = self._open[place]
        if transaction is None:
            self._open[place] = _Transaction(self._tick)
        elif transaction.stamped is not None:
            self._end(place, commit=True)
        else:
            step = self._random.choices(list(MIX), weights=list(MIX.values()))[0]
            if step == "write":
                self._write(transaction)
            elif step == "savepoint":
                transaction.savepoint = (len(transaction.rows), dict(transaction.own))
            elif step == "to savepoint" and transaction.savepoint is not None:
                kept, transaction.own = transaction.savepoint[0], dict(transaction.savepoint[1])
                del transaction.rows[kept:]
            elif step == "truncate":
                self._truncate(transaction)
            elif step in ("commit", "roll back"):
                self._end(place, commit=step == "commit")

    def _others(self, transaction: _Transaction) -> list[_Transaction]:
        return [one for one in self._open if one is not None and one is not transaction]

    def _write(self, transaction: _Transaction) -> None:
        key, others = self._random.choice(self._keys), self._others(transaction)
        if any(one.truncated or key in one.own for one in others):
            return  # it waits for the row, and does something else next
        old = transaction.own.get(key, ABSENT if transaction.truncated else self._visible.get(key))
        deletes = old is not ABSENT and not self._random.randrange(4)
        new = ABSENT if deletes else self._random.randrange(1000)
        operation = "INSERT" if old is ABSENT else "DELETE" if new is ABSENT else "UPDATE"
        self._log(transaction, operation, key, old, new)
        transaction.own[key] = new

    def _truncate(self, transaction: _Transaction) -> None:
        if any(one.own or one.truncated for one in self._others(transaction)):
            return  # it waits for the table
        self._log(transaction, "TRUNCATE", None, ABSENT, ABSENT)
        transaction.own, transaction.truncated, transaction.savepoint = {}, True, None

    def _log(
        self, transaction: _Transaction, operation: str, key: str | None, old: int | None, new: int | None
    ) -> None:
        if transaction.number is None:
            transaction.number, self._next = self._next, self._next + 1
        self._id += 1
        row: dict[str, Any] = dict.fromkeys(CHANGES)
        row |= {"id": self._id, "entity_type": "t", "entity_id": key, "operation": operation}
        row |= {"changed_at": _time(transaction.began), "transaction_id": transaction.number}
        row |= {"before_snapshot": _document(old), "after_snapshot": _document(new)}
        transaction.rows.append(row)

    def _end(self, place: int, *, commit: bool) -> None:
        """Commit in two steps, written down and visible; or roll back."""
        transaction = self._open[place]
        if transaction is None:
            return
        if commit and transaction.stamped is None:
            transaction.stamped = self._tick
            if transaction.number is not None:
                self._stamps[transaction.number] = _time(self._tick)
            return
        self._open[place] = None
        if not commit or transaction.number is None or transaction.stamped is None:
            return
        states = {} if transaction.truncated else dict(self._visible)
        for key, value in transaction.own.items():
            states.pop(key, None)
            if value is not None:
                states[key] = value
        self._visible = states
        self._rows += transaction.rows
        self._timeline.append((self._tick, states))
        if transaction.rows:
            self._longest = max(self._longest, self._tick - transaction.began)
            self._slowest = max(self._slowest, self._tick - transaction.stamped)

    def _mark(self) -> None:
        began = self._tick
        self._pass()
        running = sorted(one.number for one in self._open if one is not None and one.number is not None)
        text = f"{running[0] if running else self._next}:{self._next}:{','.join(map(str, running))}"
        seen = self._visible
        self._pass()
        mark = Mark(at=_time(self._tick), began=_time(began), snapshot=text, name=f"m{len(self._marks)}")
        self._marks.append((mark, seen))


def _time(tick: int) -> datetime:
    return START + timedelta(microseconds=tick)


def _document(value: int | None) -> str | None:
    return None if value is None else f'{{"n": {value}}}'

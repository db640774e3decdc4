"""A shop that is simulated at random: what was done, the true states, and logs of it as other tools lay them out."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from random import Random

KEYS = {"orders": ("id",), "people": ("id",), "items": ("order_id", "line")}
WORDS = ["draft", "paid", 'it\'s "so"', "naïve ☃", "a\nb", "None", "", "[1, 2]", "null"]
FIELDS = ("status", "total", "paid", "note", "tags")
Row = dict[str, Any]


@dataclass(frozen=True)
class Done:
    """One change: the key is that of the row after it, or before a DELETE; a TRUNCATE has none."""

    id: int
    transaction: int
    at: datetime
    user: str | None
    table: str
    operation: str
    before: Row | None
    after: Row | None

    @property
    def key(self) -> Row:
        return {name: (self.after or self.before or {})[name] for name in KEYS[self.table]}


def value(rng: Random, field: str) -> object:
    match field:
        case "total":
            return Decimal(rng.randrange(100_000)).scaleb(-2)
        case "paid":
            return rng.random() < 0.5
        case "tags":
            return rng.choice([None, [], [1], [1, 2], ["a", None], {"old": 1, "new": 2}])
        case "note":
            return rng.choice([None, "x", *WORDS])
    return rng.choice(WORDS)


def simulate(
    rng: Random, count: int, *, tables: Sequence[str] = tuple(KEYS), rekey: float = 0.0, truncate: float = 0.0
) -> list[Done]:
    """So many changes: several in a transaction, rows that come back, updates of nothing, keys that change."""
    live: dict[str, dict[tuple[int, ...], Row]] = {table: {} for table in tables}
    done: list[Done] = []
    transaction, at = 100, datetime(2024, 1, 1, tzinfo=UTC)
    while len(done) < count:
        transaction += 1
        at += timedelta(minutes=rng.choice([1, 7, 60]))
        user = rng.choice(["ann", "bob", "7", None])
        touched: set[object] = set()
        for _ in range(rng.choice([1, 1, 2, 4])):
            table = rng.choice(tables)
            rows = live[table]
            key = tuple(rng.randrange(1, 9) for _ in KEYS[table])
            if (table, key) in touched:
                continue
            touched.add((table, key))
            old, new = rows.get(key), None
            if rng.random() < truncate and rows and not any(name == table for name, _ in touched - {(table, key)}):
                rows.clear()
                touched.update((table, (a,) * len(key)) for a in range(9))
                done.append(Done(len(done) + 1, transaction, at, user, table, "TRUNCATE", None, None))
                break
            if old is None:
                operation = "INSERT"
                new = dict(zip(KEYS[table], key, strict=True)) | {name: value(rng, name) for name in FIELDS}
            elif rng.random() < 0.2:
                operation = "DELETE"
                del rows[key]
            else:
                operation = "UPDATE"
                new = old | {name: value(rng, name) for name in rng.sample(FIELDS, rng.choice([0, 1, 1, 2, 3]))}
                other = tuple(rng.randrange(1, 9) for _ in key)
                if rng.random() < rekey and other not in rows and (table, other) not in touched:
                    touched.add((table, other))
                    new |= dict(zip(KEYS[table], other, strict=True))
                    del rows[key]
            if new is not None:
                rows[tuple(new[name] for name in KEYS[table])] = new
            done.append(Done(len(done) + 1, transaction, at, user, table, operation, old, new))
    return done


def state(done: Iterable[Done], table: str, at: datetime) -> list[Row]:
    """The rows of a table at a time, inclusive, by key."""
    rows: dict[tuple[Any, ...], Row] = {}
    for change in done:
        if change.table != table or change.at > at:
            continue
        if change.operation == "TRUNCATE":
            rows.clear()
        if change.before is not None:
            rows.pop(tuple(change.before[name] for name in KEYS[table]))
        if change.after is not None:
            rows[tuple(change.after[name] for name in KEYS[table])] = change.after
    return [rows[key] for key in sorted(rows)]


def text(told: object) -> str:
    """JSON, in which a number with a fraction keeps its digits."""
    if isinstance(told, Decimal):
        return f"{told:f}"
    if isinstance(told, dict):
        return "{" + ", ".join(f"{text(name)}: {text(one)}" for name, one in told.items()) + "}"
    return f"[{', '.join(map(text, told))}]" if isinstance(told, list) else json.dumps(told, ensure_ascii=False)


def as_csv(rows: Sequence[Row]) -> str:
    """As COPY writes it: null is nothing, an empty text two marks; what is no text is JSON."""
    out = io.StringIO()

    out.write(",".join(map(_cell, rows[0])) + "\n")
    for row in rows:
        cells = ["" if one is None else _cell(one) for one in row.values()]
        out.write(",".join(cells) + "\n")
    return out.getvalue()


def _cell(told: object) -> str:
    written = told if isinstance(told, str) else told.isoformat() if isinstance(told, datetime) else text(told)
    return '"' + written.replace('"', '""') + '"'


def canonical(done: Iterable[Done]) -> Iterator[Row]:
    """As our own columns have it, but for the entity's id, which is made of the key."""
    for one in done:
        yield {
            "id": one.id,
            "entity_type": f"shop.{one.table}",
            "operation": one.operation,
            "changed_by": one.user,
            "changed_at": one.at.isoformat(),
            "before_snapshot": None if one.before is None else text(one.before),
            "after_snapshot": None if one.after is None else text(one.after),
            "transaction_id": one.transaction,
        }

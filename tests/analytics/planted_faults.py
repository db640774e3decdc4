"""Logs with one planted fault each: the steps, the kind of finding, and the ids of the changes behind it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

__all__ = ["A1", "A2", "A3", "PLANTED", "Steps"]

Steps = list[tuple[Any, ...]]

LATER = datetime(2024, 2, 1, tzinfo=UTC)
A1, A2, A3 = ({"id": "a", "n": n} for n in (1, 2, 3))
INSTANTS = [
    {"at": "2024-01-01T12:00:00+00:00"},
    {"at": "2024-01-01T14:00:00+02:00"},
    {"at": "2024-01-02T00:00:00+00:00"},
]
TRUNCATED: Steps = [
    *(("INSERT", name, {"id": name}) for name in "abcd"),
    *(("INSERT", name, {"id": name, "n": 2}) for name in "abc"),
    ("UPDATE", "a", {"id": "a", "n": 3}),
]

PLANTED: dict[str, tuple[Steps, str, list[int]]] = {
    "an update that nobody logged": (
        [("INSERT", "a", A1), ("UPDATE", "a", A3, {"before_snapshot": A2})],
        "unlogged change",
        [2],
    ),
    "an unlogged update before a delete": (
        [("INSERT", "a", A1), ("DELETE", "a", {"before_snapshot": A2})],
        "unlogged change",
        [2],
    ),
    "a later snapshot that finds another state": (
        [("INSERT", "a", A1), ("SNAPSHOT", "a", A2)],
        "unlogged change",
        [2],
    ),
    "an edited after image": (
        [
            ("INSERT", "a", A1),
            ("UPDATE", "a", {"id": "a", "n": 99}, {"changed_fields": {"n": 2}}),
            ("UPDATE", "a", A3, {"before_snapshot": A2, "changed_fields": {"n": 3}}),
        ],
        "edited change",
        [3],
    ),
    "an update after the delete": (
        [("INSERT", "a", A1), ("DELETE", "a"), ("UPDATE", "a", A3, {"before_snapshot": A2})],
        "missing insert",
        [3],
    ),
    "a second delete": (
        [("INSERT", "a", A1), ("DELETE", "a"), ("DELETE", "a", {"before_snapshot": A1})],
        "missing insert",
        [3],
    ),
    "an update after the table was emptied": (
        [("INSERT", "a", A1), ("TRUNCATE",), ("UPDATE", "a", A3, {"before_snapshot": A1})],
        "missing insert",
        [3],
    ),
    "an update of a row that the baseline lacks": (
        [("SNAPSHOT", "a", A1), ("UPDATE", "b", A3, {"before_snapshot": A2})],
        "missing insert",
        [2],
    ),
    "an insert of a live row": ([("INSERT", "a", A1), ("INSERT", "a", A2)], "missing delete", [2]),
    "rows that all came back": (TRUNCATED, "possible TRUNCATE", [5, 6, 7]),
    "one id twice": ([("INSERT", "a", A1), ("INSERT", "b", A2, {"id": 1})], "duplicate ids", [1, 1]),
    "a list that forgets a field": (
        [("INSERT", "a", {"n": 1, "s": "x"}), ("UPDATE", "a", {"n": 2, "s": "y"}, {"changed_fields": {"n": 2}})],
        "changed_fields disagree",
        [2],
    ),
    "a list with a field that is the same": (
        [("INSERT", "a", {"n": 1, "s": "x"}), ("UPDATE", "a", {"n": 2, "s": "x"}, {"changed_fields": ["n", "s"]})],
        "changed_fields disagree",
        [2],
    ),
    "a list with another value": (
        [("INSERT", "a", A1), ("UPDATE", "a", A2, {"changed_fields": {"n": 7}})],
        "changed_fields disagree",
        [2],
    ),
    "a column that came by DDL": (
        [
            ("INSERT", "a", A1),
            ("INSERT", "b", A1),
            ("UPDATE", "a", {**A2, "c": 0}, {"before_snapshot": {**A1, "c": 0}}),
            ("UPDATE", "b", {**A2, "c": 0}, {"before_snapshot": {**A1, "c": 0}}),
        ],
        "schema drift",
        [3, 4],
    ),
    "a column that went by DDL": (
        [
            ("INSERT", "a", A1),
            ("INSERT", "b", A1),
            ("UPDATE", "a", {"id": "x"}, {"before_snapshot": {"id": "a"}}),
            ("DELETE", "b", {"before_snapshot": {"id": "a"}}),
        ],
        "schema drift",
        [3, 4],
    ),
    "a column that DDL made a text": (
        [
            ("INSERT", "a", A1),
            ("INSERT", "b", A1),
            ("UPDATE", "a", {"id": "a", "n": "2"}, {"before_snapshot": {"id": "a", "n": "1"}}),
            ("UPDATE", "b", {"id": "a", "n": "5"}, {"before_snapshot": {"id": "a", "n": "1"}}),
        ],
        "schema drift",
        [3, 4],
    ),
    "a key change that the log tells only half of": (
        [
            ("INSERT", "key-1", {"code": "key-1", "ref": "key-1"}),
            ("UPDATE", "key-2", {"code": "key-2", "ref": "key-2"}, {"before_snapshot": {"code": "key-1", "ref": "x"}}),
        ],
        "half-logged key change",
        [2],
    ),
    "a key change that the log names after the new one": (
        [
            ("INSERT", "key-1", {"id": "key-1", "n": 1}),
            ("UPDATE", "key-2", {"id": "key-2", "n": 1}, {"before_snapshot": {"id": "key-1", "n": 1}}),
        ],
        "key change",
        [2],
    ),
    "a change without a transaction id among others": (
        [("INSERT", "a", A1), ("UPDATE", "a", A2, {"transaction_id": None})],
        "untrackable transaction ids",
        [2],
    ),
    "a transaction id that PostgreSQL cannot give": (
        [("INSERT", "a", A1), ("UPDATE", "a", A2, {"transaction_id": 2**62})],
        "untrackable transaction ids",
        [2],
    ),
    "a key twice in one document": ([("INSERT", "a", '{"n": 1, "n": 2}')], "duplicate keys", [1]),
    "half a character": ([("INSERT", "a", '{"s": "\\ud800"}')], "lone surrogate", [1]),
    "a user that is no uuid": (
        [("INSERT", "a", {"x": 1}, {"metadata": {"app.current_user_id": "ann", "n": 1}})],
        "user is no uuid",
        [1],
    ),
    "a NUL": ([("INSERT", "a", '{"s": "a\\u0000b"}')], "NUL character", [1]),
    "a key twice inside": ([("INSERT", "a", '{"s": [{"b": 1, "b": 2}]}')], "duplicate keys", [1]),
    "a log without transactions": (
        [("INSERT", "a", A1, {"transaction_id": None}), ("UPDATE", "a", A2, {"transaction_id": None})],
        "no transaction ids",
        [1, 2],
    ),
    "the same instant in another zone": (
        [("INSERT", "a", INSTANTS[0]), ("UPDATE", "a", INSTANTS[2], {"before_snapshot": INSTANTS[1]})],
        "session rendering",
        [2],
    ),
    "an inner trigger": (
        [
            ("INSERT", "a", A1),
            ("UPDATE", "a", A3, {"before_snapshot": A2, "transaction_id": 7, "changed_at": LATER}),
            ("UPDATE", "a", A2, {"before_snapshot": A1, "transaction_id": 7, "changed_at": LATER}),
        ],
        "reordering repaired",
        [3, 2],
    ),
    "two walks through one transaction": (
        [
            ("UPDATE", "a", A1, {"before_snapshot": A2, "transaction_id": 7}),
            ("UPDATE", "a", A3, {"before_snapshot": A2, "transaction_id": 7}),
            ("UPDATE", "a", A2, {"before_snapshot": A1, "transaction_id": 7}),
            ("UPDATE", "a", A2, {"before_snapshot": A3, "transaction_id": 7}),
        ],
        "order ambiguous",
        [1, 2, 3, 4],
    ),
    "a new key under the same row": (
        [
            ("INSERT", "key-1", {"id": "key-1", "n": 1}),
            ("DELETE", "key-1", {"transaction_id": 7}),
            ("INSERT", "key-2", {"id": "key-2", "n": 1}, {"transaction_id": 7}),
        ],
        "key change",
        [3],
    ),
    "a new key that our capture linked": (
        [
            ("INSERT", "1", {"n": 1}),
            ("DELETE", "1", {"transaction_id": 7, "metadata": {"rekeyed_to": "2"}}),
            ("INSERT", "2", {"n": 5}, {"transaction_id": 7, "metadata": {"rekeyed_from": "1"}}),
        ],
        "key change",
        [3],
    ),
    "a move from one leaf to another": (
        [
            ("INSERT", "a", A1, {"entity_type": "t_eu"}),
            ("DELETE", "a", {"entity_type": "t_eu", "transaction_id": 7}),
            ("INSERT", "a", A2, {"entity_type": "t_us", "transaction_id": 7}),
        ],
        "partition move",
        [3],
    ),
    "a move between partitions that our capture named": (
        [
            ("INSERT", "a", A1, {"metadata": {"partition": "t_eu"}}),
            ("DELETE", "a", {"transaction_id": 7, "metadata": {"partition": "t_eu"}}),
            ("INSERT", "a", A2, {"transaction_id": 7, "metadata": {"partition": "t_us"}}),
        ],
        "partition move",
        [3],
    ),
    "a row from before the log": ([("UPDATE", "a", A2, {"before_snapshot": A1})], "unknown origin", [1]),
    "ids that are missing": ([("INSERT", "a", A1), ("INSERT", "b", A1, {"id": 5})], "id gaps", [5]),
    "a time that runs back": (
        [("INSERT", "a", A1), ("UPDATE", "a", A2, {"changed_at": datetime(2023, 1, 1, tzinfo=UTC)})],
        "time inversions",
        [2],
    ),
    "an update of nothing": ([("INSERT", "a", A1), ("UPDATE", "a", A1)], "no-op updates", [2]),
    "an update without its before image": (
        [("INSERT", "a", A1), ("UPDATE", "a", A2, {"before_snapshot": None})],
        "missing images",
        [2],
    ),
    "an update that only says it in other words": (
        [("INSERT", "a", '{"n": 1.50}'), ("UPDATE", "a", '{"n": 1.5}')],
        "no-op updates",
        [2],
    ),
}

"""Names and values that have broken tools like ours: what the generated histories are made of."""

from __future__ import annotations

__all__ = ["NAMES", "VALID_TIMES", "VALUES"]

NAMES = (
    "status",
    "total",
    "note",
    "Name",
    "name",
    "a.b",
    'say "hi"',
    "it's",
    "",
    " ",
    "<b>bold</b>",
    "größe",
    "漢字",
    "select",
    "id",
    "entity_id",
    "version",
    "certain",
    "state",
    "-- x",
    "^.*$",
    "*",
)
"""Field names: ordinary, differing in case alone, empty, with signs that SQL, HTML and paths read, and our own."""

VALUES: dict[str, tuple[tuple[str, ...], ...]] = {
    "integer": (("1",), ("0", "-0"), ("-7",), ("9223372036854775807",), ("42",)),
    "big": (("9223372036854775809",), ("123456789012345678901234567890",), ("5",)),
    "number": (
        ("12345678901234567.89", "12345678901234567.890"),
        ("1.10", "1.1", "1.100"),
        ("0.1",),
        ("0.30000000000000004",),
        ("1", "1.0", "1.00"),
        ("-0.000001",),
    ),
    "wide": (("123456789012345678901234567890.12345678901234567890",), ("1e40", "1E+40"), ("1.10", "1.1")),
    "text": (
        ('"draft"',),
        ('""',),
        ('"Draft"',),
        ('"1.10"',),
        ('"null"',),
        ('"é — 漢字 🎉"', '"\\u00e9 — 漢字 \\ud83c\\udf89"'),
        ('"<script>alert(1)</script>"',),
        ('"line\\nnext\\t\\"quoted\\""',),
        ('"=1+1"',),
    ),
    "instant": (
        ('"2024-06-01T12:00:00+00:00"', '"2024-06-01T14:00:00+02:00"', '"2024-06-01T12:00:00Z"'),
        ('"2024-06-01T12:00:00.123456+00:00"', '"2024-06-01T06:30:00.123456-05:30"'),
        ('"1999-12-31T23:59:59+00:00"', '"2000-01-01T00:59:59+01:00"'),
    ),
    "date": (('"2024-02-29"',), ('"1900-01-01"',)),
    "bool": (("true",), ("false",)),
    "nested": (
        ('{"a": 1, "b": [1.5, null]}', '{"b": [1.50, null], "a": 1.0}', '{"a":1,"b":[1.5,null]}'),
        ('{"a": 1, "b": [1.5]}',),
        ('{"b": [1.5, null]}',),
        ("{}",),
        ("[]",),
        ('[1, {"x.y": "z"}]',),
        ('[1, 2, {"x.y": "z", "at": null}]', '[1.0, 2, {"at": null, "x.y": "z"}]'),
        ('{"a": 1, "b": [0, 1.50, null, {"c/d": 1}]}',),
        (
            '{"a": 1.01, "b": [1.5, null], "": {"~": "2024-06-01T12:00:00Z"}}',
            '{"a": 1.01, "b": [1.5, null], "": {"~": "2024-06-01T14:00:00+02:00"}}',
        ),
    ),
    "mixed": (("1", "1.0"), ('"1"',), ("true",), ('{"a": 1}',), ('"2024-06-01"',), ("null",)),
}
"""JSON texts by kind; the texts of one inner group are the same value in different words."""

VALID_TIMES: tuple[tuple[str, ...], ...] = (
    ('"2024-02-01"', '"2024-03-01"', '"2024-03-31"', '"2024-04-01"', "null"),
    (
        '"2024-02-01T00:00:00+00:00"',
        '"2024-03-01T00:00:00Z"',
        '"2024-03-01T01:00:00+01:00"',
        '"2024-03-02 00:00:00+00"',
    ),
    ('"2024-02-01T00:00:00"', '"2024-03-31T02:30:00"', '"2023-10-29T02:30:00"', '"2024-03-01 00:00"', "null"),
    ('"2024-02-01"', '"2024-03-01T00:00:00.000001Z"', '"2024-03-01T00:00:00.0000015Z"', '"infinity"', '"-infinity"'),
    ('"2024-02-01"', '"2024-03-01T12:00"', '"soon"', "20240301", "true", '{"from": "2024-02-01"}', '""'),
)
"""JSON texts that tell a valid time, or none: dates, instants, local times that do not exist or exist twice in Berlin,
times without end or finer than a microsecond, and values that are no time."""

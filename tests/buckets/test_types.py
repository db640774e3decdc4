"""Fields learned part by part have the types that all of their values give at once."""

from __future__ import annotations

import random
from itertools import pairwise

import polars as pl
import pytest
from soak import SOAK

from auditlab.buckets.types import Types, signature
from auditlab.values import column

KINDS = [
    None, "int", "decimal", "float", "bool", "date", "timestamp", "timestamptz", "text", "json", "bytea", "interval",
    "uuid", "array", "bytea[]",
]  # fmt: skip
RAW = {
    "nothing": ["null"],
    "small": ["1", "-2", "0", "30"],
    "large": [str(2**62), str(-(2**63)), "9" * 18, "10"],
    "beyond": [str(10**30), f"-{10**37}", "7"],
    "fraction": ["1.5", "2.50", "-0.000000000000000000000001", "0.1"],
    "double": ["1e300", "1e5", "1E-10", "1e-320", "-0", "0.30000000000000004"],
    "inexact": ["0.1000000000000000000001", "9007199254740993", "1e400", "1e-30"],
    "special": ['"NaN"', '"Infinity"', '"-Infinity"'],
    "text": ['"x"', '""', '"NaN "', '"1.5"', '"\\u00e9"'],
    "day": ['"2024-06-01"', '"2024-06-30"', '"2024-02-29"'],
    "no day": ['"2024-06-31"', '"0001-01-01 BC"', '"infinity"', '"-infinity"'],
    "time": ['"2024-06-01T12:00:00"', '"2024-06-01 12:00"'],
    "instant": ['"2024-06-01T12:00:00+00:00"', '"2024-06-01T12:00:00.5Z"', '"0001-01-01T00:00:00+14:00"'],
    "flag": ["true", "false"],
    "nested": ["[1]", '{"a":"NaN"}', "[]"],
    "bytes": ['"\\\\x00"', '"\\\\xff"'],
}


@pytest.mark.parametrize("declared", KINDS, ids=str)
def test_parts_have_the_type_of_the_whole(declared: str | None):
    for seed in range(1000 if SOAK else 120):
        draw = random.Random(f"{declared} {seed}")  # noqa: S311 - no secret
        pools = draw.sample(list(RAW), draw.choice([1, 2, 2, 3, 4]))
        raw = pl.Series("raw", [draw.choice(RAW[draw.choice(pools)]) for _ in range(draw.randint(1, 9))])
        bounds = [0, *sorted(draw.randint(0, len(raw)) for _ in range(draw.randint(1, 3))), len(raw)]
        parts = [raw[start:end] for start, end in pairwise(bounds)]
        whole = column("f", raw, declared)
        types = Types({} if declared is None else {"t": {"f": declared}})
        for part in parts:
            types.learn_field("t", "f", part)
            told = types.told("t")
            if draw.random() < 0.5:
                types = Types({} if declared is None else {"t": {"f": declared}})
                types.take("t", told)
        assert types.fields("t") == {"f": signature(whole)}, [part.to_list() for part in parts]
        found = [types.column("t", "f", part).typed for part in parts]
        assert pl.concat(found).equals(whole.typed), [part.to_list() for part in parts]


def test_a_field_that_no_document_of_a_part_has_is_not_one_that_is_the_same_in_all():
    types = Types({})
    types.learn_field("t", "n", pl.Series(["1", "1"]))
    assert not types.nowhere("t", "n", 3).alike

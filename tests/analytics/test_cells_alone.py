"""Two images that differ: what is told of a pair does not depend on the pairs that are compared beside it."""

from __future__ import annotations

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from auditlab.analytics.cells import LiveFields, differing

PAIRS = {
    "date": ('"2024-01-01"', '"2024-01-02"', "modified"),
    "timestamptz": ('"2024-01-01T00:00:00+00:00"', '"2024-01-01T00:00:01+00:00"', "modified"),
    "uuid": ('"00000000-0000-0000-0000-000000000001"', '"00000000-0000-0000-0000-000000000002"', "modified"),
    "text": ('"a"', "null", "modified"),
    "float": ('"NaN"', "1.5", "modified"),
    "int": ('"7"', "7", "retyped"),
}


@pytest.mark.parametrize("kind", PAIRS)
def test_a_pair_is_told_as_it_is_alone(kind: str):
    logged, live, expected = PAIRS[kind]
    images = [(f'{{"a": {logged}}}', f'{{"a": {live}}}'), ('{"a": 1}', '{"a": "x"}'), ('{"a": "y"}', '{"a": [1]}')]
    pairs = pl.DataFrame(images, schema=["logged", "live"], orient="row").with_row_index("row")
    fields = LiveFields(kinds={"a": kind})
    alone, among = (differing(some, fields).filter(pl.col("row") == 0) for some in (pairs.head(1), pairs))
    assert alone["kind"].to_list() == [expected]
    assert_frame_equal(among, alone)

"""JSON text from values of Python and Polars: exact, and the other way round."""

from __future__ import annotations

import json
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditlab.encoding import decoded, encoded, encoded_series

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=()), max_size=6)
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)


def typed(value: object) -> object:
    """The value with the type of each part."""
    if isinstance(value, list):
        return [typed(item) for item in value]
    if isinstance(value, dict):
        return {key: typed(item) for key, item in value.items()}
    whole = isinstance(value, Decimal) and "." not in str(value) and "E" not in str(value)
    return (int if whole else type(value), int(value) if whole else value)  # type: ignore[call-overload]


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(values)
def test_what_is_encoded_is_decoded_to_the_same(value: object):
    assert typed(decoded(encoded(value))) == typed(value)


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(st.lists(st.none() | st.text(st.characters(codec="utf-8"), max_size=6)))
def test_texts_of_a_column_are_encoded_as_one_by_one(texts: list[str | None]):
    cells = encoded_series(pl.Series(texts, dtype=pl.String))
    assert [None if cell is None else json.loads(cell) for cell in cells] == texts


def test_a_whole_number_of_any_length_is_decoded():
    assert decoded("9" * 5_000) == Decimal("9" * 5_000)
    assert encoded(decoded("9" * 5_000)) == "9" * 5_000


@pytest.mark.parametrize("value", [0.5, float("inf"), Decimal("sNaN"), {1: 2}, {1}, b"x", object()])
def test_what_json_does_not_have_is_refused(value: object):
    for each in (value, [value], {"k": [value]}):
        with pytest.raises((TypeError, ValueError)):
            encoded(each)

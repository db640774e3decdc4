"""Splitting whole columns gives what the exact parser gives, or leaves the document to it."""

from __future__ import annotations

import json

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auditlab import layouts
from auditlab.dictionary import by_number, held
from auditlab.documents import raw_fields

KEYS = st.sampled_from(["a", "b", 'q"', "a.b", "", ", ", ": ", '", "b": ', "\\", "ü", "b\\", "{", "}"])
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([1.5, -0.0, 1e300, 1e-7]),
    st.text(),
    st.sampled_from(['", "b": 1', ', "b": ', "}", '"}', "\\", '\\"', "\n", "\x00", "\ud800", '{"a": 1}', "a", ""]),
)
VALUES = st.one_of(SCALARS, SCALARS, st.lists(SCALARS, max_size=2), st.dictionaries(KEYS, SCALARS, max_size=2))
STYLES = st.sampled_from([(", ", ": "), (",", ":"), (" , ", " : ")])


@st.composite
def documents(draw: st.DrawFn) -> list[str]:
    several = draw(st.lists(st.lists(KEYS, unique=True, max_size=4), min_size=1, max_size=3))
    texts = []
    for _ in range(draw(st.integers(1, 12))):
        fields = {key: draw(VALUES) for key in draw(st.sampled_from(several))}
        texts.append(json.dumps(fields, separators=draw(STYLES), ensure_ascii=draw(st.booleans())))
    return [text for text in texts if "\ud800" not in text]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a timing never decides a test
@given(documents())
def test_whole_columns_give_what_the_exact_parser_gives(texts: list[str]):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layouts, "FEWEST", 1)
        numbers = pl.int_range(len(texts), dtype=pl.UInt32, eager=True)
        found, left = layouts.split_flat(pl.Series(texts, dtype=pl.String), numbers, raw_fields)
    split = [number for flat in found for number in flat.numbers]
    assert sorted([*split, *left]) == list(range(len(texts)))
    for flat in found:
        for place, number in enumerate(flat.numbers):
            assert {name: raw[place] for name, raw in flat.fields.items()} == raw_fields(texts[number])
        for name, raw in flat.fields.items():
            values, numbers = by_number(held(flat.fields, name))
            assert (values if numbers is None else values.gather(numbers)).to_list() == raw.to_list()


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "a": 2}',
        '{"a": 1, "b": 2, "c": 3}',
        '{"a": 01}',
        '{"a": +1}',
        '{"a": .5}',
        '{"a": NaN}',
        '{"a": "x\ny"}',
        '{"a": "\\x"}',
        '{"a": "x"',
        '{"a": 1}}',
        '{"a": [1], "b": 2}',
        '{"a": 1} ',
        "{}",
        "",
    ],
)
def test_what_does_not_read_as_its_layout_is_left(text: str):
    texts = pl.Series(['{"a": 1}'] * 100 + [text])
    found, left = layouts.split_flat(texts, pl.int_range(101, dtype=pl.UInt32, eager=True), raw_fields)
    assert left.to_list() == [100]
    assert sum(len(flat.numbers) for flat in found) == 100


def test_flat_documents_are_split_by_whole_columns():
    texts = pl.Series([f'{{"a": {n}, "b": "x, {n}"}}' for n in range(100)] + [f'{{"a":{n}}}' for n in range(100)])
    found, left = layouts.split_flat(texts, pl.int_range(200, dtype=pl.UInt32, eager=True), raw_fields)
    assert [len(flat.numbers) for flat in found] == [100, 100]
    assert left.is_empty()

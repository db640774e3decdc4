from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal

import polars as pl
import pytest

from auditlab.testing import assert_states, canonical, read_document, shows

PAIRS = [
    ("1.50", "1.5", True),
    ("1", "1.0", True),
    ("15e-1", "1.5", True),
    ("-0", "0", True),
    ("9223372036854775809", "9223372036854775808", False),
    ("12345678901234567.89", "12345678901234567.88", False),
    ("1", "true", False),
    ("0", "false", False),
    ("null", '""', False),
    ('"1.5"', '"1.50"', False),
    ('"1.5"', "1.5", False),
    ('"2024-06-01T12:00:00+00:00"', '"2024-06-01T14:00:00+02:00"', True),
    ('"2024-06-01T12:00:00Z"', '"2024-06-01 12:00:00.000+00"', True),
    ('"2024-06-01T12:00:00.1234567Z"', '"2024-06-01T12:00:00.1234568Z"', False),
    ('"2024-06-01T12:00:00"', '"2024-06-01T12:00:00+00:00"', False),
    ('"2024-13-01T12:00:00Z"', '"2024-13-01T13:00:00+01:00"', False),
    ('{"a": 1, "b": [1.0]}', '{"b":[1],"a":1}', True),
    ("[1, 2]", "[2, 1]", False),
    ('{"a": null}', "{}", False),
    ('"\\u00e9"', '"é"', True),
]


@pytest.mark.parametrize(("one", "other", "equal"), PAIRS)
def test_equal_means_equal_as_a_value(one: str, other: str, equal: bool):  # noqa: FBT001 - a column of the table
    first, second = (canonical(json.loads(text, parse_float=Decimal)) for text in (one, other))
    assert (first == second) is equal


def test_a_document_keeps_the_text_of_each_field_and_null_is_not_missing():
    document = read_document(' {"a": 1.10 , "b" : {"c": [1,  2]},"": null, "a.b": "\\"}"}\n')
    assert {name: value.text for name, value in document.items()} == {
        "a": "1.10",
        "b": '{"c": [1,  2]}',
        "": "null",
        "a.b": '"\\"}"',
    }
    assert read_document("{ }") == {}


@pytest.mark.parametrize("text", ["", "[1]", "null", '{"a" 1}', '{"a": 1 "b": 2}'])
def test_what_is_no_object_is_no_document(text: str):
    with pytest.raises((ValueError, IndexError)):
        read_document(text)


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (Decimal("1.10"), "1.1"),
        (9223372036854775809, "9223372036854775809"),
        (datetime(2024, 6, 1, 12, tzinfo=UTC), '"2024-06-01T14:00:00+02:00"'),
        (datetime(2024, 6, 1, 12), '"2024-06-01T12:00:00"'),  # noqa: DTZ001 - a time without a zone is what it shows
        (date(2024, 2, 29), '"2024-02-29"'),
        (True, "true"),
        ("draft", '"draft"'),
        ('{"a": 1.10}', '{"a": 1.10}'),
        (None, "null"),
    ],
)
def test_a_typed_cell_shows_the_recorded_value(cell: object, text: str):
    (value,) = read_document(f'{{"x": {text}}}').values()
    assert shows(cell, value)


@pytest.mark.parametrize(
    ("cell", "text"),
    [(1.5, "1.5"), (1, "true"), (True, "1"), (None, '""'), ("1.1", "1.10"), ("", "null"), (b"a", '"a"')],
)
def test_a_cell_that_says_something_else_or_is_a_float_does_not_show_it(cell: object, text: str):
    (value,) = read_document(f'{{"x": {text}}}').values()
    assert not shows(cell, value)


def test_states_are_compared_over_all_rows_and_all_columns():
    states = {"a": read_document('{"x": 1, "id": 7}'), "b": read_document('{"x": null}')}
    own = {"entity_id": ["a", "b"], "certain": [True, True]}
    assert_states(pl.DataFrame(own | {"x": [1, None], "field.id": [7, None]}), states)
    assert_states(pl.DataFrame(own | {"x": [1, None], "id": [7, None], "gone": [None, None]}), states)
    wrong = {
        r"1 differences, e\.g\. a\.x: recorded 1, shown 2": own | {"x": [2, None], "id": [7, None]},
        r"a\.id: recorded 7, shown None": own | {"x": [1, None]},
        "column 'more' is not empty": own | {"x": [1, None], "id": [7, None], "more": [None, 1]},
    }
    for message, columns in wrong.items():
        with pytest.raises(AssertionError, match=message):
            assert_states(pl.DataFrame(columns), states)
    with pytest.raises(AssertionError, match=r"missing \['b'\], not expected \['c'\]"):
        assert_states(pl.DataFrame({"entity_id": ["a", "c"], "certain": [True, True]}), states)

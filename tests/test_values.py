"""Rules 7, 8, 9, 11 and 12: equality is of values, numbers are exact, typed columns hold every value or stay text."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import polars as pl
import pytest

from auditlab.values import canonical, column


def col(*raws: str | None, kind: str | None = None):
    return column("x", pl.Series(raws, dtype=pl.String), kind)


EQUAL = [
    ("1.50", "1.5", None),
    ("100", "1e2", None),
    ("-0", "0.0", None),
    ("1E-7", "0.0000001", None),
    ("1" + "0" * 150, "1e150", None),
    ('"2024-01-01T00:00:00+00:00"', '"2024-01-01T02:00:00+02:00"', None),
    ('"2024-01-01T00:00:00.5Z"', '"2024-01-01 01:30:00.500+0130"', "timestamptz"),
    ('{"b": 1, "a": [1.0, null]}', '{"a":[1,null],"b":1.00}', None),
    ('"\\u0061"', '"a"', None),
    ('"\\\\x4142"', '"AB"', "bytea"),
    ('"\\\\x410a"', '"A\\\\012"', "bytea"),
    ('"1 year 2 mons 3 days 04:05:06.7"', '"P1Y2M3DT4H5M6.7S"', "interval"),
    ('"@ 1 day 2 hours ago"', '"-1 days -02:00:00"', "interval"),
    ('"24:00:00"', '"PT24H"', "interval"),
    ('"1900-01-01T05:21:10+05:21:10"', '"1900-01-01T00:00:00+00:00"', "timestamptz"),
    (
        r'"[\"2024-01-01 00:00:00-05\",\"2025-01-01 00:00:00-05\")"',
        r'"[\"2024-01-01 05:00:00+00\",\"2025-01-01 05:00:00+00\")"',
        None,
    ),
    (r'"\u005b\u00222024-01-01 00:00:00-05\",)"', r'"[\"2024-01-01 05:00:00+00\",)"', None),
    (r'"(,\"2024-01-01 05:30:00+05:30\"]"', r'"(,\"2024-01-01 00:00:00+00\"]"', None),
    (r'"{[\"2024-01-01 01:00:00+01\",infinity)}"', r'"{[\"2024-01-01 00:00:00+00\",infinity)}"', "tstzrange"),
    ('"0001-12-31T19:03:58-04:56:02 BC"', '"0001-01-01T00:00:00+00:00"', None),
    ('"0001-12-31 19:03:58-04:56:02 BC"', '"0001-01-01 07:00:00+07"', "timestamptz"),
    ('"10000-01-01T05:29:59.999999+05:30"', '"9999-12-31T23:59:59.999999+00:00"', None),
    ('"4714-11-24T00:00:00+00:00 BC"', '"4714-11-24T01:00:00+01:00 BC"', None),
    ('"1-2"', '"1 year 2 mons"', "interval"),
    ('"-1-0"', '"-1 years"', "interval"),
    ('"21 0:00:00"', '"21 days"', "interval"),
    ('"-1 4:05:06.5"', '"-1 days -04:05:06.5"', "interval"),
    ('"+0-0 +1 -0:00:01"', '"1 day -00:00:01"', "interval"),
    ('"-1-2 +3 -4:05:06"', '"P-1Y-2M3DT-4H-5M-6S"', "interval"),
]
DIFFERENT = [
    ("1", '"1"', None),
    ("null", '"null"', None),
    ("true", '"true"', None),
    ("12345678901234567.89", "12345678901234567.88", None),
    ("9223372036854775808", "9223372036854775809", None),
    ('"a"', '"A"', None),
    ("[1, 2]", "[2, 1]", None),
    ('{"a": null}', "{}", None),
    ('{"a": "1"}', '{"a": 1}', None),
    ('"2024-01-01T00:00:00+00:00"', '"2024-01-01T02:00:00+02:00"', "text"),
    ('"2024-02-30T00:00:00Z"', '"2024-03-01T00:00:00Z"', None),
    ('"\\\\x4142"', '"AB"', "text"),
    (r'"[\"2024-01-01 00:00:00-05\",)"', r'"[\"2024-01-01 00:00:00+00\",)"', None),
    (r'"[\"2024-01-01 00:00:00+00\",)"', r'"(\"2024-01-01 00:00:00+00\",)"', None),
    (r'"[\"2024-01-01 00:00:00-05\",)"', r'"[\"2024-01-01 05:00:00+00\",)"', "text"),
    (r'"[\"2024-01-01 00:00:00\",)"', r'"[\"2024-01-01T00:00:00\",)"', None),
    ('"0001-01-01T00:00:00+00:00 BC"', '"0001-01-01T00:00:00+00:00"', None),
    ('"10000-01-01T00:00:00+00:00"', '"10000-01-01T01:00:00+00:00"', None),
    ('"10000-02-30T00:00:00Z"', '"10000-03-01T00:00:00Z"', None),
    ('"1 mon"', '"30 days"', "interval"),
    ('"infinity"', '"-infinity"', "timestamptz"),
]


@pytest.mark.parametrize(("one", "other", "kind"), EQUAL)
def test_equal_means_equal_as_a_value(one: str, other: str, kind: str | None):
    assert canonical(one, kind) == canonical(other, kind)
    assert col(one, other, kind=kind).code.n_unique() == 1


@pytest.mark.parametrize(("one", "other", "kind"), DIFFERENT)
def test_other_values_are_not_equal(one: str, other: str, kind: str | None):
    assert canonical(one, kind) != canonical(other, kind)
    assert col(one, other, kind=kind).code.n_unique() == 2


def test_null_is_not_missing():
    found = col("null", None)
    assert found.code.null_count() == 1
    assert found.code[0] is not None
    assert found.text.to_list() == [None, None]


def test_a_whole_column_says_what_one_value_says():
    raws = [raw for pair in (*EQUAL, *DIFFERENT) for raw in pair[:2]]
    codes = col(*raws).code
    texts = [canonical(raw) for raw in raws]
    assert [a == b for a in codes for b in codes] == [a == b for a in texts for b in texts]


@pytest.mark.parametrize(
    ("raws", "kind", "dtype", "values"),
    [
        (["1", "-2", None, "null"], "int", pl.Int64(), [1, -2, None, None]),
        (["1", "9223372036854775809"], "int", pl.Decimal(38, 0), [Decimal(1), Decimal(9223372036854775809)]),
        (
            ["12345678901234567.89", "1.1", "123456789012345678901234567890"],
            "decimal",
            pl.Decimal(38, 2),
            [Decimal("12345678901234567.89"), Decimal("1.10"), Decimal("123456789012345678901234567890.00")],
        ),
        (["1e3", "1.5"], "decimal", pl.Decimal(38, 1), [Decimal("1000.0"), Decimal("1.5")]),
        (["true", "false"], "bool", pl.Boolean(), [True, False]),
        (['"2024-02-29"', "null"], "date", pl.Date(), [date(2024, 2, 29), None]),
        (['"2024-02-29T10:00:00"'], "timestamp", pl.Datetime("us"), [datetime(2024, 2, 29, 10)]),  # noqa: DTZ001
        (
            ['"2024-01-01T02:00:00.000001+02:00"'],
            "timestamptz",
            pl.Datetime("us", "UTC"),
            [datetime(2024, 1, 1, 0, 0, 0, 1, UTC)],
        ),
        (['"0042"', '"a"'], "text", pl.String(), ["0042", "a"]),
        (['{"a": 1.10}', "[1]"], "json", pl.String(), ['{"a": 1.10}', "[1]"]),
        (["null", None], "empty", pl.String(), [None, None]),
    ],
)
def test_a_column_has_the_exact_type_that_all_its_values_fit(raws, kind, dtype, values):
    found = col(*raws)
    assert (found.kind, found.typed.dtype, found.note) == (kind, dtype, "")
    assert found.typed.to_list() == values


@pytest.mark.parametrize(
    ("raws", "kind", "note"),
    [
        (["0.00000000001", "1" * 30], "text", "more than a decimal column holds"),
        (["1e300", "1"], "text", "more digits than a decimal column"),
        (['"2024-01-01"', '"soon"'], "text", ""),
        (['"2024-02-30"'], "text", ""),
        (["1", '"1"'], "mixed", "number and string"),
        (["{}", "true"], "mixed", "bool and json"),
    ],
)
def test_what_fits_no_type_stays_recorded_text_and_says_why(raws, kind, note):
    found = col(*raws)
    assert (found.kind, found.typed.dtype) == (kind, pl.String())
    assert note in found.note
    shown = raws if kind == "mixed" else [raw.strip('"') for raw in raws]
    assert found.typed.to_list() == shown


def test_the_recorded_text_is_kept_beside_the_typed_value():
    found = col("1.10", "1.1", "2")
    assert found.text.to_list() == ["1.10", "1.1", "2"]
    assert found.typed.to_list() == [Decimal("1.10"), Decimal("1.10"), Decimal("2.00")]


def test_a_declared_kind_is_trusted_only_where_every_value_fits():
    assert col('"2024-01-01"', kind="text").kind == "text"
    assert col("1", "2", kind="decimal").typed.dtype == pl.Decimal(38, 0)
    broken = col('"2024-01-01T00:00:00+00:00"', '"infinity"', kind="timestamptz")
    assert (broken.kind, broken.typed.to_list()) == ("text", ["2024-01-01T00:00:00+00:00", "infinity"])
    assert "timestamptz" in broken.note
    assert col("0.30000000000000004", "1e-07", kind="float").typed.to_list() == [0.30000000000000004, 1e-07]
    assert col("0.1000000000000000055511151231257827", kind="float").kind == "decimal"


def test_text_with_escapes_nul_and_lone_surrogates_is_plain_data():
    found = col('"a\\"b"', '"\\ud83d\\ude00"', '"\\u0000"', '"\\ud800"')
    assert found.text.to_list() == ['a"b', "😀", "\x00", "\\ud800"]


def test_nan_and_the_infinities_of_a_float_column_are_floats_and_of_a_numeric_column_text():
    found = col("1.5", '"NaN"', '"-Infinity"', "null", kind="float")
    assert (found.kind, found.typed.dtype) == ("float", pl.Float64())
    assert str(found.typed.to_list()) == "[1.5, nan, -inf, None]"
    assert found.text.to_list() == ["1.5", "NaN", "-Infinity", None]
    numeric = col("1.50", '"NaN"', kind="decimal")
    assert (numeric.kind, numeric.typed.to_list()) == ("text", ["1.50", "NaN"])
    assert "NaN or infinity" in numeric.note
    assert col("1.5", '"soon"', kind="float").kind == "mixed"
    assert col("1.5", '"NaN"').kind == "mixed"

"""Values leave as exact text, and as text that nothing runs."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from auditlab.cells import json_text, neutralised, plain_text
from auditlab.printable import printable

HUGE = Decimal("123456789012345678901234567.890")


@pytest.mark.parametrize(
    ("value", "plain", "in_json"),
    [
        (Decimal("1.10"), "1.10", "1.10"),
        (Decimal("1E+3"), "1000", "1000"),
        (HUGE, str(HUGE), str(HUGE)),
        (2**63 + 1, "9223372036854775809", "9223372036854775809"),
        (10**400, "1" + "0" * 400, "1" + "0" * 400),
        (True, "true", "true"),
        (0.1, "0.1", "0.1"),
        (float("nan"), "nan", '"nan"'),
        (
            datetime(2024, 6, 1, 12, 30, 0, 120000, UTC),
            "2024-06-01T12:30:00.120000+00:00",
            '"2024-06-01T12:30:00.120000+00:00"',
        ),
        (date(2024, 6, 1), "2024-06-01", '"2024-06-01"'),
        (timedelta(seconds=-1.5), "-PT1.5S", '"-PT1.5S"'),
        (timedelta(days=100), "PT8640000S", '"PT8640000S"'),
        (b"\x00\xff", "\\x00ff", '"\\\\x00ff"'),
        ([Decimal("1.10"), None], "[1.10, null]", "[1.10, null]"),
        ({"a": 2**63 + 1}, '{"a": 9223372036854775809}', '{"a": 9223372036854775809}'),
        ("Müller", "Müller", '"Müller"'),
    ],
)
def test_a_value_is_written_digit_for_digit(value: object, plain: str, in_json: str):
    assert plain_text(value) == plain
    assert json_text(value) == in_json


@pytest.mark.parametrize(
    "text", ["\x1b[2J", "\u202edesrever", "a\u200bb", "\x9b31m", "\x00", "line\nline", "tab\t", '"\\']
)
def test_json_hides_nothing_and_comes_back_equal(text: str):
    assert json_text(text).isprintable()
    assert json.loads(json_text(text)) == text


@pytest.mark.parametrize("text", ["=1+1", "+SUM(A1)", "-cmd|' /C calc'!A0", "@SUM(A1)", "\t=1", "\r=1", "-", "-1-1"])
def test_what_a_spreadsheet_would_run_is_neutralised(text: str):
    assert neutralised(text) == "'" + text


@pytest.mark.parametrize("text", ["", "paid", "-12.50", "+3", "-1.5e-7", "a=b", "1-1", "'=1"])
def test_what_it_would_not_run_stays(text: str):
    assert neutralised(text) == text


def test_a_terminal_obeys_nothing():
    assert printable("Müller, 東京 ✓") == "Müller, 東京 ✓"
    assert printable("\x1b]0;owned\x07") == "\\e]0;owned\\x07"
    assert printable("a\u202eb\u2066c\u200dd\x85e\n") == "a\\u202eb\\u2066c\\u200dd\\x85e\\n"
    assert printable("\ud800") == "\\ud800"

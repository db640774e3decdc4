"""Texts as numbers: equal texts have one number, whatever finds it."""

from __future__ import annotations

import polars as pl
import pytest
from polars.testing import assert_series_equal

from auditlab import dictionary
from auditlab.dictionary import codes, repeated

FEW = ["b", None, "a", "b"] * 40
MANY = [None, *(f"text {number % 70}" for number in range(100)), None]


@pytest.fixture(params=[0, dictionary.SHORT], ids=["as if long", "short"], autouse=True)
def short(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts are looked up by their hashes where the column is long, which costs too much in a test."""
    monkeypatch.setattr(dictionary, "SHORT", request.param)


def numbers_of(texts: list[str | None]) -> list[int | None]:
    """The numbers by first appearance, in plain Python."""
    known: dict[str, int] = {}
    return [None if text is None else known.setdefault(text, len(known)) for text in texts]


@pytest.mark.parametrize(
    "texts", [FEW, MANY, [], [None, None], [None, "a"]], ids=["few", "many", "none", "null", "one"]
)
def test_equal_texts_have_one_number_by_first_appearance_and_null_has_none(texts: list[str | None]):
    found = codes(pl.Series("x", texts, dtype=pl.String))
    assert_series_equal(found, pl.Series("x", numbers_of(texts), dtype=pl.UInt32))


def test_texts_in_pieces_have_the_numbers_of_the_whole():
    pieces = pl.concat([pl.Series("x", MANY[:30]), pl.Series("x", MANY[30:])])
    assert codes(pieces).to_list() == numbers_of(MANY)


def test_texts_that_share_a_hash_stay_apart(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(dictionary, "_hashes", lambda texts: texts.str.len_bytes().cast(pl.UInt64))
    assert codes(pl.Series("x", MANY)).to_list() == numbers_of(MANY)


def test_repeated_texts_come_back_from_their_numbers():
    seen_once = [f"text {number // 16}" for number in range(1600)]  # of sixteen texts one is looked at
    seen_alike = [f"text {number if number % 16 else 0}" for number in range(1600)]
    for texts in (FEW, [*MANY, *MANY, *MANY, *MANY], seen_once, seen_alike):
        series = pl.Series("x", texts)
        found = repeated(series)
        assert found is not None
        assert_series_equal(found.distinct.gather(found.numbers), series)
        assert found.distinct.n_unique() == len(found.distinct)
    assert repeated(pl.Series("x", MANY)) is None

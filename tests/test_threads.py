"""Work side by side: the same comes back as from one thread."""

from __future__ import annotations

import polars as pl
import pytest
from polars.testing import assert_series_equal

from auditlab import threads
from auditlab.threads import in_pieces


@pytest.mark.parametrize("height", [0, 1, 2, 3, 1001])
def test_a_column_in_pieces_gives_what_the_whole_gives(height: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(threads, "WORTH", 1)
    texts = pl.Series("x", [None if number % 7 == 3 else f"text {number}" for number in range(height)], pl.String)
    assert_series_equal(in_pieces(lambda piece: piece.str.contains("1"), texts), texts.str.contains("1"))
    assert in_pieces(pl.Series.hash, texts).n_chunks() == 1

"""Selectors of values that no change has: empty, and said so with what is near."""

from __future__ import annotations

import warnings

import polars as pl
import pytest

import auditlab as al
from auditlab.errors import UnknownValue
from auditlab.testing import make_log


@pytest.fixture(params=["polars", "duckdb"])
def log(request: pytest.FixtureRequest) -> al.ChangeLog[pl.DataFrame]:
    steps = [
        ("INSERT", "a", {"x": 1}, {"changed_by": "ann", "transaction_id": 7, "correlation_id": "c1"}),
        ("DELETE", "a", {"changed_by": "bob", "transaction_id": 9}),
    ]
    return al.from_arrow(make_log(steps)).on(request.param)


@pytest.mark.parametrize(
    ("pick", "told"),
    [
        (lambda log: log.by("amn"), "no change has changed_by 'amn'. There is 'ann' and more."),
        (lambda log: log.by("nobody"), "no change has changed_by 'nobody'. There is 'ann', 'bob'."),
        (lambda log: log.transaction(8), "no change has transaction_id 8. There are 7 to 9."),
        (lambda log: log.correlation("c2"), "no change has correlation_id 'c2'. There is 'c1'."),
        (lambda log: log.where(entity_id="b"), "no change has entity_id 'b'. There is 'a'."),
    ],
)
def test_a_value_that_no_change_has_is_said_beside_the_empty_answer(log, pick, told: str):
    picked = pick(log)
    for ask in (picked.changes, picked.diffs, picked.timeline, lambda: picked.summary().recent):
        with pytest.warns(UnknownValue) as caught:
            assert ask().is_empty()
        assert str(caught[0].message) == told


def test_nothing_is_said_where_the_value_is_there_or_none_was_asked_for(log):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert log.by("ann").where(operation="DELETE").changes().is_empty()
        assert log.by(None).diffs().is_empty()
        assert log.where(pl.col("id") > 9).changes().is_empty()
        assert log.by("bob").diffs().height == 1

"""One log asked in two ways: every verb must give the same frame, the same error and the same warnings."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import polars as pl
from polars.testing import assert_frame_equal
from soak import SOAK

import auditlab as al
from auditlab.changelog import ChangeLog
from auditlab.errors import AuditlabError

if TYPE_CHECKING:
    from collections.abc import Callable

    Verb = Callable[[ChangeLog[Any]], Any]
    Verbs = dict[str, Verb]


def of_changes(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows that tell what they left, as a load that is not strict keeps them."""
    while len(kept := al.from_arrow(frame, strict=False).changes()) < len(frame):
        frame = kept
    return frame


def some_of(verbs: Verbs, turn: int, *, one_in: int) -> Verbs:
    """All verbs in a soak; else one in so many of them, others each turn."""
    return verbs if SOAK else dict(list(verbs.items())[turn % one_in :: one_in])


def answer(log: ChangeLog[Any], verb: Verb) -> tuple[Any, list[str]]:
    """What a verb answers, collected, and its warnings; the words of its error."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = verb(log)
        except AuditlabError as exc:
            return f"{type(exc).__name__}: {exc}", []
    told = sorted({str(one.message) for one in caught})
    return (found.collect() if isinstance(found, pl.LazyFrame) else found), told


def assert_same(whole: ChangeLog[Any], other: ChangeLog[Any] | Callable[[], ChangeLog[Any]], verbs: Verbs) -> None:
    """Every verb of both; where one asked before must not matter, ``other`` opens the log anew for each."""
    for name, verb in verbs.items():
        want, told = answer(whole, verb)
        got, said = answer(other if isinstance(other, ChangeLog) else other(), verb)
        if isinstance(want, pl.DataFrame) and isinstance(got, pl.DataFrame):
            try:
                assert_frame_equal(got, want)
            except AssertionError as exc:
                raise AssertionError(f"{name}: {exc}") from exc
        else:
            assert type(got) is type(want), f"{name}: {got}"
            assert str(got) == str(want), name
        assert said == told, name

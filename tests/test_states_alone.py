"""States of some types, asked of a log that is not in order yet: they are those of the whole log in its order."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from same_answers import assert_same

import auditlab as al
from auditlab import documents
from auditlab.testing import histories, make_log

if TYPE_CHECKING:
    from datetime import datetime

    import polars as pl
    from same_answers import Verbs

TYPES = ("a", "b", "c")


def verbs_at(at: datetime, last: int) -> Verbs:
    """The verbs that ask for states alone."""
    return {
        "as_of": lambda log: log.as_of(),
        "as_of at": lambda log: log.as_of(at),
        "as_of id": lambda log: log.as_of(id=last),
        "blame": lambda log: log.blame(),
        "blame at": lambda log: log.blame(at=at),
        "history": lambda log: log.history(),
    }


def in_order(frame: pl.DataFrame, *entity_types: str) -> al.ChangeLog[pl.DataFrame]:
    """Some types of a log that is in order."""
    log = al.from_arrow(frame, strict=False)
    log.changes()
    return log.of(*entity_types)


@settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=20)
@given(st.data())
def test_states_of_some_types_are_those_of_the_whole_log(data: st.DataObject):
    kind = data.draw(
        st.sampled_from([{}, {"rekeyed": True}, {"partitioned": True}, {"missing": "some"}, {"lossy": True}])
    )
    frame = data.draw(histories(entity_types=TYPES, max_steps=40, **kind))
    some = data.draw(st.lists(st.sampled_from(frame["entity_type"].unique().sort().to_list()), min_size=1, unique=True))
    at, last = frame["changed_at"].sort()[len(frame) // 2], int(frame["id"].sort()[len(frame) // 2])
    fresh = lambda: al.from_arrow(frame, strict=False).of(*some)  # noqa: E731 - opened anew for each verb
    assert_same(in_order(frame, *some), fresh, verbs_at(at, last))


@pytest.fixture
def frame() -> pl.DataFrame:
    """One order among items."""
    orders = [
        ("INSERT", "1", {"n": 1}, {"entity_type": "orders"}),
        ("UPDATE", "1", {"n": 2}, {"entity_type": "orders"}),
    ]
    return make_log([orders[0], *(("INSERT", str(n), {"x": n}, {"entity_type": "items"}) for n in range(4)), orders[1]])


def test_a_state_of_few_changes_does_not_put_the_others_in_order(frame: pl.DataFrame):
    log = al.from_arrow(frame)
    assert log.of("orders").as_of()["n"].to_list() == [2]
    assert "sequence" not in vars(log.selected.recorded)
    assert log.of("orders").changes()["id"].to_list() == [1, 6]
    assert log.of("orders").selected.recorded is log.selected.recorded


def test_documents_are_split_once_for_a_type_and_the_whole_log(frame: pl.DataFrame, monkeypatch: pytest.MonkeyPatch):
    split, asked = documents.split, []
    monkeypatch.setattr(documents, "split", lambda *given, **more: asked.append(1) or split(*given, **more))
    log = al.from_arrow(frame)
    for ask in (
        partial(log.of("orders").as_of),
        log.of("orders").blame,
        log.of("orders").diffs,
        log.of("orders").as_of,
    ):
        assert len(ask())
    assert len(asked) == 1

"""What lists of changed fields are, all of a type's lists tell, or nothing does: no state comes of a wrong reading."""

from __future__ import annotations

import json
import warnings
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from dealt import dealt_out
from hypothesis import given
from hypothesis import strategies as st
from same_answers import assert_same
from soak import generated

import auditlab as al
from auditlab.changed_fields import new_values
from auditlab.errors import IncompletePopulation, UndeterminedState
from auditlab.testing import make_log
from auditlab.testing.completing import listing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Row = dict[str, Any]
NO_BEFORE: Row = {"before_snapshot": None}


def silent(fields: Any, before: Any = None, operation: str = "UPDATE", entity: str = "a") -> tuple[Any, ...]:  # noqa: ANN401 - JSON
    return operation, entity, None, {"before_snapshot": before, "changed_fields": fields}


ROWS = {"n": 1, "s": "x", "tags": ["x"]}
FORMS: dict[str, tuple[list[tuple[Any, ...]], bool]] = {
    "new values": ([silent({"n": 2})], True),
    "old and new values": ([silent({"n": [1, 2]})], False),
    "an empty list tells nothing": ([silent({"n": [1, 2]}), silent({})], False),
    "empty lists alone tell nothing": ([silent({}), silent({})], False),
    "a list without an object tells nothing": ([silent({"n": [1, 2]}), silent("null"), silent("[]")], False),
    "names tell nothing": ([silent({"n": [1, 2]}), silent(["n"])], False),
    "a masked value tells nothing": ([silent({"n": "***", "s": ["x", "y"]}), silent({"s": ["y", "z"]})], False),
    "masked values alone tell nothing": ([silent({"n": "***"})], False),
    "masked values beside a new one": ([silent({"n": "***", "s": "y"}), silent({"n": "***"})], True),
    "what is no JSON tells nothing": ([silent({"n": [1, 2]}), silent('{"n": 1')], False),
    "a value written over": ([silent({"n": [1, 2]}, ROWS), silent({"s": "[redacted]"}, ROWS)], False),
    "an array of two in a sure list": ([silent({"n": 1, "tags": ["x", "y"]}), silent({"tags": ["y", "z"]})], True),
    "an array of another length": ([silent({"tags": ["x", "y"]}), silent({"n": 1, "tags": ["x"]})], True),
    "an array in an image": ([silent({"tags": ["x", "y"]}, ROWS), silent({"n": 1})], True),
    "a field that was null": ([silent({"n": 1, "tags": None}), silent({"tags": ["x", "y"]})], True),
    "an array of an array's two values": ([silent({"tags": [["x"], ["y"]]}, ROWS), silent({"s": "[redacted]"})], False),
    "an array and nothing before": ([silent({"tags": [None, ["y"]]}, ROWS), silent({"s": "[redacted]"})], False),
    "a field of one more is no array": ([silent({"tags": ["x", "y"], "n": [1, 2]}, ROWS), silent({"n": 1})], False),
    "an object from to": ([silent({"r": {"from": 1, "to": 2}}, {"r": {"to": 1, "from": 0}}), silent({"n": 1})], True),
    "objects of old and new": ([silent({"n": {"old": 1, "new": 2}}, ROWS), silent({"s": "[redacted]"})], False),
    "a nested value of that name": ([silent({"n": [1, 2]}, {"n": 1, "s": {"n": [1, 2]}}), silent({"s": "y"})], False),
    "many to many": ([silent({"s": ["x", "y"]}), silent({"tags": {"type": "m2m", "objects": ["x"]}})], False),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_the_form_of_lists_is_told_by_those_that_have_one_form_alone(name: str):
    steps, values = FORMS[name]
    changes = make_log(steps)
    halves = [changes.head(1), changes.tail(len(changes) - 1)]
    assert new_values(lambda: [changes]) == new_values(lambda: halves[::-1]) == ({"t"} if values else set())


def test_a_sure_list_far_behind_and_one_that_is_not_are_found_wherever_they_stand():
    twos = [silent({"n": [1, 2]}, entity=f"e{number}") for number in range(300)]
    assert new_values(lambda: [make_log([*twos, silent({"n": 3})])]) == set(), "n is a number, and no array"
    sure = [silent({"n": number}, entity=f"e{number}") for number in range(300)]
    assert new_values(lambda: [make_log([*sure, silent({"n": [1, 2]})])]) == set()
    assert new_values(lambda: [make_log([silent({"s": [1, [2]]}), *sure])]) == set()


PAPER_TRAIL = [
    silent({"n": [None, 1]}, None, "INSERT"),
    silent({}, {"n": 1}),
    silent({"n": [1, 2]}, {"n": 1}),
]


@pytest.mark.parametrize("odd", [{}, None, "null", "[]", {"n": "***"}, ["n"]], ids=str)
def test_a_list_that_says_nothing_makes_no_values_of_old_and_new_ones(odd: Any, tmp_path: Path):  # noqa: ANN401 - JSON
    log = al.from_arrow(make_log([PAPER_TRAIL[0], silent(odd, {"n": 1}), PAPER_TRAIL[2]]))
    log.to_archive(tmp_path / "kept")
    for asked in (log, log.on("duckdb"), dealt_out(log, 3), al.scan_archive(tmp_path / "kept")):
        with pytest.warns(UndeterminedState, match="1 of t"):
            assert asked.as_of().lazy().collect().is_empty()
        assert asked.as_of(id=2).lazy().collect().select("n", "certain").rows() == [(1, True)]
        assert asked.diffs().lazy().collect().select("id", "old", "new").rows() == [(1, None, "1")]


def test_an_empty_list_is_an_update_that_changed_nothing_only_where_others_are_new_values():
    values = [silent({"n": 1}, None, "INSERT"), silent({}, {"n": 1}), silent({}, {"n": 1}), silent({"n": 8}, {"n": 7})]
    log = al.from_arrow(make_log(values))
    assert log.history().select("id", "n").rows() == [(1, 1), (2, 1), (3, 7), (4, 8)], "the last found another state"
    never = al.from_arrow(make_log([silent({}, {"n": 1})]))
    with pytest.warns(UndeterminedState), pytest.warns(IncompletePopulation):
        assert never.as_of().is_empty()


def test_an_insert_with_an_empty_list_tells_no_state():
    log = al.from_arrow(make_log([silent({"n": 1}, None, "INSERT"), silent({}, None, "INSERT", "b")]))
    with pytest.warns(UndeterminedState):
        assert log.as_of()["entity_id"].to_list() == ["a"]


WORDS = st.sampled_from(("x", "y", "z"))
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "n": st.none() | st.integers(0, 3),
    "s": st.none() | WORDS,
    "tags": st.none() | st.lists(WORDS, max_size=3),
    "window": st.none() | st.fixed_dictionaries({"from": st.integers(0, 2), "to": st.integers(0, 2)}),
}
NOISE: tuple[Any, ...] = ({}, None, [], {"s": "***"}, {"s": "[redacted]"})


class App:
    """Rows that an application writes, and what a log without after images says of it: in plain Python."""

    def __init__(self, draw: Callable[[st.SearchStrategy[Any]], Any], said: Callable[[Row, Row], Any]) -> None:
        self.rows: dict[str, Row] = {}
        self.steps: list[tuple[Any, ...]] = []
        self.truth: list[dict[str, Row]] = []
        for _ in range(draw(st.integers(2, 12))):
            self._act(draw, said)
            self.truth.append(dict(self.rows))

    def _act(self, draw: Callable[[st.SearchStrategy[Any]], Any], said: Callable[[Row, Row], Any]) -> None:
        entity = draw(st.sampled_from(("a", "b")))
        old = self.rows.get(entity)
        if old is not None and draw(st.integers(0, 4)) == 0:
            del self.rows[entity]
            self.steps.append(("DELETE", entity, {"before_snapshot": old}))
            return
        fields = list(VALUES) if old is None else draw(st.lists(st.sampled_from(list(VALUES)), max_size=2))
        new = (old or {}) | {name: draw(VALUES[name]) for name in fields}
        self.rows[entity] = new
        self.steps.append(silent(said(old or {}, new), old, "INSERT" if old is None else "UPDATE", entity))


def paper_trail(old: Row, new: Row) -> Row:
    return {name: [old.get(name), value] for name, value in new.items() if name not in old or old[name] != value}


def published(old: Row, new: Row) -> Row | None:
    return {name: value for name, value in new.items() if name not in old or old[name] != value} or None


@st.composite
def paper_trails(draw: Callable[[st.SearchStrategy[Any]], Any]) -> App:
    noisy = draw(st.sampled_from((False, True, True)))

    def said(old: Row, new: Row) -> Any:  # noqa: ANN401 - as a trail is found after years
        return draw(st.sampled_from(NOISE)) if noisy and old and draw(st.booleans()) else paper_trail(old, new)

    return App(draw, said)


@st.composite
def value_lists(draw: Callable[[st.SearchStrategy[Any]], Any]) -> App:
    app = App(draw, published)
    if draw(st.booleans()):  # of changed fields alone
        app.steps = [(*step[:-1], step[-1] | NO_BEFORE) for step in app.steps]
    return app


def states(log: al.ChangeLog[Any], number: int) -> dict[str, Row]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = log.as_of(id=number)
    return {
        row["entity_id"]: {
            name: json.loads(value) if name in ("tags", "window") and value else value
            for name, value in row.items()
            if name in VALUES
        }
        for row in found.to_dicts()
    }


def right(found: dict[str, Row], truth: dict[str, Row]) -> bool:
    return all(
        entity in truth and all(truth[entity][name] == row[name] for name in row) for entity, row in found.items()
    )


def test_a_trail_of_old_and_new_values_never_gives_a_wrong_state():
    turns = count()

    @generated(400, few=20)
    @given(paper_trails())
    def run(app: App) -> None:
        turn = next(turns)
        log = al.from_arrow(make_log(app.steps)).on(("polars", "duckdb")[turn % 2])
        for number, truth in enumerate(app.truth, 1):
            assert right(states(log, number), truth), (number, app.steps)
        verbs = {
            "history": lambda log: log.history(),
            "as of": lambda log: log.as_of(),
            "blame": lambda log: log.blame(),
        }
        if turn % 7 == 0:
            assert_same(log, dealt_out(log, 3), verbs)

    run()


def test_new_values_that_are_arrays_of_two_are_told_or_left_open_and_never_wrong():
    turns = count()

    @generated(400, few=20)
    @given(value_lists())
    def run(app: App) -> None:
        turn = next(turns)
        changes = make_log(app.steps)
        log = al.from_arrow(changes).on(("polars", "duckdb")[turn % 2])
        told = new_values(lambda: [changes])
        assert told == listing(changes.to_dicts()), app.steps
        for number, truth in enumerate(app.truth, 1):
            found = states(log, number)
            assert right(found, truth), (number, app.steps)
            assert not told or found.keys() == truth.keys(), (number, app.steps)
        verbs = {
            "history": lambda log: log.history(),
            "as of": lambda log: log.as_of(),
            "blame": lambda log: log.blame(),
        }
        if turn % 7 == 0:
            assert_same(log, dealt_out(log, 3), verbs)

    run()

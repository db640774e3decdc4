"""The compare view in Python: what became of each entity, each field at both times, as the states themselves say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from forty_days import forty_days
from polars.testing import assert_frame_equal

import auditlab as al
from auditlab.errors import BadOption, IncompleteLog, NoData
from auditlab.testing import make_log

if TYPE_CHECKING:
    from pathlib import Path

START, END = "2024-04-01", "2024-04-20T12:00:00+02:00"


@pytest.fixture(scope="module", params=["polars", "duckdb", "archive"])
def log(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> al.ChangeLog[Any]:
    loaded = al.from_arrow(forty_days())
    if request.param != "archive":
        return loaded.on(request.param)
    folder = tmp_path_factory.mktemp("kept") / "archive"
    loaded.to_archive(folder)
    return al.scan_archive(folder)


@pytest.fixture(scope="module")
def shown(log: al.ChangeLog[Any]) -> Any:  # noqa: ANN401 - the view with all it has
    return log.compare_view(START, END)


def states(log: al.ChangeLog[Any], entity_type: str, at: str) -> dict[str, dict[str, Any]]:
    """The states of a type as ``as_of`` gives them."""
    rows = log.of(entity_type).as_of(at).lazy().collect().drop("certain")
    return {row.pop("entity_id"): row for row in rows.to_dicts()}


def test_every_entity_is_what_its_states_at_both_times_say(log, shown):
    expected = []
    for name in log.entity_types:
        before, after = states(log, name, START), states(log, name, END)
        for entity in sorted(before.keys() | after.keys()):
            one, other = before.get(entity), after.get(entity)
            kind = "added" if one is None else "removed" if other is None else "same" if one == other else "modified"
            expected.append((name, entity, kind))
    assert shown.entities.select("entity_type", "entity_id", "kind").rows() == expected
    assert {kind for _, _, kind in expected} == {"added", "removed", "modified", "same"}


def test_the_page_has_each_field_at_both_times_also_those_that_are_the_same(log, shown):
    page = shown.embedded()["data"]
    told = {(one["entity_type"], one["entity_id"]): one for one in page["entities"]}
    differing = shown.entities.filter(pl.col("kind") != "same")
    assert set(told) == set(differing.select("entity_type", "entity_id").rows())
    assert page["same"] == shown.entities.height - differing.height
    for (name, entity), one in told.items():
        sides = (states(log, name, START).get(entity), states(log, name, END).get(entity))
        for field, kind, old, new in one["fields"]:
            values = [None if side is None else side.get(field) for side in sides]
            assert [old, new] == [None if value is None else str(value) for value in values], (name, entity, field)
            assert (kind == "same") == (values[0] == values[1] and one["kind"] == "modified")
        assert {field for field, *_ in one["fields"]} == {"x", "y"}


def test_the_changes_between_are_those_of_compare_with_steps(log, shown):
    told = [step[6] for one in shown.embedded()["data"]["entities"] for step in one["steps"]]
    steps = log.compare(START, END, steps=True).lazy().collect()
    differing = shown.entities.filter(pl.col("kind") != "same")
    expected = steps.join(differing, on=["entity_type", "entity_id"], how="semi")
    assert sorted(told) == sorted(map(str, expected["id"]))


def test_the_frame_is_compare_and_the_code_gives_the_selected_rows(log, shown):
    shown.select("")
    assert_frame_equal(shown.frame, log.compare(START, END).lazy().collect())
    assert_frame_equal(shown.rows(), shown.frame)
    assert shown.selection == {}
    again = eval(shown.code, {"log": log})  # noqa: S307 - our own code
    assert_frame_equal(again.frame, shown.frame)
    for number in range(3):
        shown.select(f"e{number}")
        told = shown.selection
        assert set(told) == {"entity_type", "entity_id", "kind"}
        rows = eval(shown.code.splitlines()[1], {"log": log})  # noqa: S307 - our own code
        assert_frame_equal(rows.lazy().collect(), shown.rows())
        assert shown.rows().height
    with pytest.raises(BadOption, match="no entity 'e999'"):
        shown.select("e999")
    shown.select("")


def test_the_code_of_a_selection_gives_the_same_from_the_whole_log(log):
    view = log.of("t").compare_view(START, END)
    view.select("e0")
    whole, entity = (eval(code, {"log": log}) for code in view.code.splitlines())  # noqa: S307 - our own code
    assert_frame_equal(whole.frame, view.frame)
    assert_frame_equal(entity.lazy().collect(), view.rows())


def test_one_entity_is_shown_also_where_nothing_of_it_differs(log):
    same = log.compare_view(START, END).entities.filter(kind="same").row(0, named=True)
    view = log.entity(same["entity_id"], same["entity_type"]).compare_view(START, END)
    assert view.selection == {"entity_type": same["entity_type"], "entity_id": same["entity_id"], "kind": "same"}
    (one,) = view.embedded()["data"]["entities"]
    assert {kind for _, kind, *_ in one["fields"]} == {"same"}
    assert len(one["fields"]) == 2
    assert view.rows().is_empty()


def test_more_entities_than_the_page_holds_are_told(log, shown):
    view = log.compare_view(START, END, entities=3)
    assert len(view.embedded()["data"]["entities"]) == 3
    differing = shown.entities.filter(pl.col("kind") != "same").height
    assert f"The first 3 of {differing} entities that differ" in view.embedded()["data"]["notes"][0]
    assert_frame_equal(view.frame, shown.frame)


def test_what_an_answer_warns_of_stands_in_the_view():
    steps = [("UPDATE", "a", {"x": 2}, {"before_snapshot": {"x": 1}}), ("UPDATE", "a", {"x": 3})]
    log = al.from_arrow(make_log(steps))
    view = log.compare_view("2024-01-01T00:00:00", "2024-01-01T00:00:01")
    assert "were there before the log began" in view.embedded()["data"]["notes"][0]
    assert "were there before the log began" in view.to_svg()


def test_what_compare_refuses_is_refused(log):
    with pytest.raises(BadOption, match="goes from the earlier to the later"):
        log.compare_view(END, START)
    with pytest.raises(NoData):
        log.compare_view("2023-01-01", END)
    with pytest.raises(IncompleteLog):
        log.by("ann").compare_view(START, END)
    with pytest.raises(BadOption, match="entities counts from 1"):
        log.compare_view(START, END, entities=0)


def test_files_hold_what_differs(shown, tmp_path: Path):
    assert shown.to_csv(tmp_path / "c.csv").read_text(encoding="utf-8").count("\n") == shown.frame.height + 1
    svg = shown.to_svg()
    assert svg.startswith("<svg ")
    assert "<b>" not in svg + shown.to_html()
    assert "odd &lt;b&gt;" in svg

"""log.explore(): what it shows is what the verbs say, and what is selected in it comes back to Python."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import polars as pl
import pytest
from test_embedding import opened, unpacked

import auditlab as al
from auditlab.errors import BadOption, BadTime, NoData, UnknownChange, UnknownField
from auditlab.testing import make_log
from auditlab.widgets import explore as explore_module
from auditlab.widgets.details import OTHERS
from auditlab.widgets.points import points

if TYPE_CHECKING:
    from pathlib import Path

START = datetime(2024, 1, 1, tzinfo=UTC)
BIG = Decimal("12345678901234567.89")
ITEM = {"entity_type": "orders.items", "changed_by": "ann", "transaction_id": 3}
STEPS: list[tuple[Any, ...]] = [
    ("INSERT", "1", {"id": 1, "status": "draft", "total": Decimal("1.10")}, {"changed_by": "ann"}),
    ("UPDATE", "1", {"id": 1, "status": "paid", "total": BIG}, {"changed_by": "bob", "correlation_id": "web-7"}),
    ("UPDATE", "1", {"id": 1, "status": "sent", "total": BIG}, {"changed_by": "ann"}),
    ("INSERT", "9", {"id": 9, "order_id": 1}, ITEM),
    ("INSERT", "2", {"id": 2, "status": "=1+1", "note": None}, {}),
    ("DELETE", "1", {"changed_by": "bob"}),
    ("INSERT", "1", {"id": 1, "status": "again"}, {"changed_by": "bob", "changed_at": START + timedelta(seconds=4)}),
    ("TRUNCATE", {"changed_by": "root"}),
]
"""Two orders and an item: several lives, a large number, a JSON null, a late row, a TRUNCATE."""


@pytest.fixture(params=["polars", "duckdb", "archive"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> al.ChangeLog[Any]:
    made = al.from_arrow(make_log(STEPS, entity_type="orders.orders"))
    if request.param != "archive":
        return made.on(request.param)
    made.to_archive(tmp_path / "kept")
    return al.scan_archive(tmp_path / "kept")


@pytest.fixture
def orders() -> al.ChangeLog[pl.DataFrame]:
    return al.from_arrow(make_log(STEPS, entity_type="orders.orders"))


def collected(frame: pl.DataFrame | pl.LazyFrame) -> pl.DataFrame:
    return frame.collect() if isinstance(frame, pl.LazyFrame) else frame


def run(code: str, log: al.ChangeLog[Any]) -> dict[str, Any]:
    names: dict[str, Any] = {"log": log, "pl": pl}
    exec(code, names)  # noqa: S102 - the code that a view shows is meant to be run
    return names


def test_the_frame_behind_it_is_the_timeline(log: al.ChangeLog[Any]):
    assert log.explore().frame.equals(collected(log.timeline()))
    one = log.of("orders.orders").entity("1")
    assert one.explore().frame.equals(collected(one.timeline()))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"lanes": "field", "cursor": 3},
        {"user": "bob", "operations": ["UPDATE", "DELETE"]},
        {"user": False},
        {"brush": ("2024-01-01T00:00:01", "2024-01-01T00:00:03.000001")},
        {"field": "status", "zoom": ("2024-01-01", "2024-01-02")},
        {"transaction": 3},
        {"correlation": "web-7", "lanes": "operation"},
    ],
)
def test_its_code_shows_the_same_again_and_gives_the_frame_behind_it(log: al.ChangeLog[Any], options: dict[str, Any]):
    view = log.explore(**options)
    again = run(view.code, log)
    assert again["view"].selection == view.selection
    assert again["view"].code == view.code
    assert again["rows"].equals(view.frame)


def test_the_code_of_a_selection_makes_it_again(orders: al.ChangeLog[pl.DataFrame]):
    picked = (
        orders.of("orders.orders").entity("1").by("bob").between("2024-01-01", "2024-01-02").where(operation="UPDATE")
    )
    view = picked.explore()
    assert run(view.code, orders)["rows"].equals(picked.timeline())
    unsaid = orders.where(pl.col("id") > 2).explore()
    assert ".where(...)" in unsaid.code
    with pytest.raises(BadOption, match="where"):
        run(unsaid.code, orders)


def test_what_the_page_selects_comes_back_to_python(orders: al.ChangeLog[pl.DataFrame]):
    view: Any = orders.explore()
    told: list[dict[str, object]] = []
    view.on_selection(told.append)
    row = view._points.rows.filter(pl.col("id") == 2)["row"][0]  # noqa: SLF001
    bob = view._points.users.index("bob")  # noqa: SLF001
    brush = [START.timestamp() * 1000, START.timestamp() * 1000 + 1000.001]
    view.widget.state = {**view.widget.state, "cursor": row, "user": bob, "brush": brush}
    assert view.selection["cursor"] == 2
    assert view.selection["user"] == "bob"
    assert view.selection["brush"] == (START, START + timedelta(microseconds=1_000_001))
    assert view.selection["ids"] == [2]
    assert told == [view.selection]
    assert view.frame["id"].unique().to_list() == [2]
    view.choose(user="ann", cursor=1)
    assert view.widget.state["user"] == view._points.users.index("ann")  # noqa: SLF001
    assert len(told) == 2


def test_a_brush_outside_of_what_the_log_covers_is_no_empty_frame(orders: al.ChangeLog[pl.DataFrame]):
    view = orders.explore(brush=("2030-01-01", "2030-02-01"))
    with pytest.raises(NoData, match="asked for changes from 2030-01-01"):
        _ = view.frame
    assert view.selection["ids"] == []
    assert ".between('2030-01-01T00:00:00+00:00'" in view.code
    assert "0 changes" in repr(view)
    assert "<html" in view.to_html()


def test_an_error_in_a_callback_stands_under_the_widget(orders: al.ChangeLog[pl.DataFrame]):
    view: Any = orders.explore()
    view.on_selection(lambda selection: selection["no such thing"])
    view.widget.state = {**view.widget.state, "cursor": 0}
    assert view.error == view.widget.error == "KeyError: 'no such thing'"


def ask(view: Any, question: dict[str, Any]) -> dict[str, Any]:  # noqa: ANN401 - its widget is taken apart
    sent: list[dict[str, Any]] = []
    view.widget.send = sent.append
    view._asked(view.widget, {"ask": 7, "question": question}, [])  # noqa: SLF001
    assert sent[0]["answer"] == 7
    return sent[0]


def test_the_detail_of_a_change_is_what_diffs_and_blame_say(log: al.ChangeLog[Any]):
    view: Any = log.explore()
    for row in view._points.rows.iter_rows(named=True):  # noqa: SLF001
        found = ask(view, {"about": "change", "row": row["row"]})["found"]
        told = found["changes"][str(row["row"])]
        own = pl.col("id") == row["id"], pl.col("entity_id").eq_missing(pl.lit(row["entity_id"], dtype=pl.String))
        diffs = collected(log.diffs()).filter(*own)
        assert [tuple(line) for line in told["diff"]] == diffs.select("field", "kind", "old", "new").rows()
        latest = collected(log.of(row["entity_type"]).as_of(id=row["id"])).filter(
            pl.col("entity_id") == row["entity_id"]
        )
        assert bool(told["state"]) == bool(len(latest))
        assert bool(told["absent"]) != bool(told["state"])


def test_the_state_after_each_change_is_blamed_as_at_its_time(orders: al.ChangeLog[pl.DataFrame]):
    view: Any = orders.explore()
    told = ask(view, {"about": "change", "row": 2})["found"]["changes"]["2"]
    blame = orders.of("orders.orders").entity("1").blame(at="2024-01-01T00:00:02")
    expected = blame.select("field", "value", "set_by", pl.col("id").cast(pl.String), "old").rows()
    assert [(line[0], line[1], line[2], line[4], line[5]) for line in told["state"]] == expected
    assert ("total", "12345678901234567.89", "bob", "2", "1.10") in expected


def test_of_several_changes_of_one_instant_each_has_its_own_state():
    same = {"transaction_id": 1, "changed_at": START}
    steps = [("INSERT", "a", {"x": 1}, same), *(("UPDATE", "a", {"x": number}, same) for number in (2, 3))]
    view: Any = al.from_arrow(make_log(steps)).explore()
    states = [ask(view, {"about": "change", "row": row})["found"]["changes"][str(row)]["state"] for row in range(3)]
    assert [(state[0][1], state[0][4], state[0][5]) for state in states] == [
        ("1", "1", None),
        ("2", "2", "1"),
        ("3", "3", "2"),
    ]


def test_the_transaction_tells_also_what_is_not_selected(orders: al.ChangeLog[pl.DataFrame]):
    view: Any = orders.of("orders.orders").explore()
    found = ask(view, {"about": "change", "row": 2})["found"]
    rows = found["transactions"]["3"]["rows"]
    assert [(row[0], row[2], row[6]) for row in rows] == [("3", "orders.orders", 2), ("4", "orders.items", None)]


def test_a_long_transaction_is_cut_with_a_note():
    steps = [("INSERT", str(n), {"x": n}, {"transaction_id": 1}) for n in range(OTHERS + 5)]
    found = ask(al.from_arrow(make_log(steps)).explore(), {"about": "change", "row": 0})["found"]
    told = found["transactions"]["1"]
    assert len(told["rows"]) == OTHERS
    assert told["count"] == OTHERS + 5
    assert f"The first {OTHERS} of {OTHERS + 5} changes" in told["note"]


def test_picked_changes_have_diffs_and_say_why_there_is_no_state(orders: al.ChangeLog[pl.DataFrame]):
    told = ask(orders.by("bob").explore(), {"about": "change", "row": 0})["found"]["changes"]["0"]
    assert told["diff"]
    assert told["state"] == []
    assert "this selection picked single changes (by bob)" in told["absent"]


def test_an_unknown_question_is_answered_by_its_error(orders: al.ChangeLog[pl.DataFrame]):
    view: Any = orders.explore()
    for question in ({"about": "change", "row": 10**6}, {"about": "weather"}, {}):
        reply = ask(view, question)
        assert reply["found"] is None
        assert "answers nothing" in reply["error"]
    assert view.error


def test_points_stand_in_the_order_in_which_they_count(orders: al.ChangeLog[pl.DataFrame]):
    rows = points(orders.of("orders.orders").entity("1").selected).rows
    assert rows["id"].to_list() == [1, 2, 3, 6, 7, 8]
    assert rows["effective"].is_sorted()
    assert not rows["at"].is_sorted()
    assert rows["life"].to_list() == [1, 1, 1, None, 2, None]


def test_an_export_holds_every_detail_and_says_so_where_it_does_not(
    orders: al.ChangeLog[pl.DataFrame], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    view: Any = orders.explore()
    made = view.to_html(tmp_path / "view.html").read_text(encoding="utf-8")
    assert made == view.to_html()
    packed = made.split('id="model-1">')[1].split("</script>")[0]
    details = unpacked(packed)["data"]["details"]
    assert len(opened(details["closed"])["changes"]) == view._points.rows.height  # noqa: SLF001
    assert details["note"] == ""
    monkeypatch.setattr(explore_module, "EMBEDDED", 3)
    cut = view.embedded_data()["details"]
    assert sorted(opened(cut["closed"])["changes"]) == [str(row) for row in range(6, 9)]
    assert "the last 3 of the 9 selected changes" in cut["note"]


def test_big_numbers_travel_as_texts(orders: al.ChangeLog[pl.DataFrame]):
    assert "12345678901234567.89" in str(orders.explore()._details.of([1]))  # type: ignore[attr-defined]  # noqa: SLF001


def test_the_picture_is_svg_with_every_change(log: al.ChangeLog[Any]):
    for options in ({}, {"lanes": "field"}, {"cursor": 3, "brush": ("2024-01-01", "2024-01-02")}, {"user": "ann"}):
        svg = ET.fromstring(log.explore(**options).to_svg())  # noqa: S314 - our own text
        texts = [element.text or "" for element in svg.iter("{http://www.w3.org/2000/svg}text")]
        assert any("changes" in text for text in texts)
        assert any("Times are UTC" in text for text in texts)


def test_csv_is_what_is_shown_and_runs_no_formula(orders: al.ChangeLog[pl.DataFrame], tmp_path: Path):
    view = orders.explore(field="status")
    lines = view.to_csv(tmp_path / "rows.csv").read_text(encoding="utf-8").splitlines()
    assert len(lines) == len(view.frame) + 1
    assert any(",'=1+1," in line for line in lines)


def test_where_widgets_do_not_run_there_are_a_picture_and_a_table(
    orders: al.ChangeLog[pl.DataFrame], monkeypatch: pytest.MonkeyPatch
):
    view: Any = orders.explore()
    bundle = view._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html", "application/vnd.jupyter.widget-view+json"}
    assert "<svg" in bundle["text/html"]
    assert "<table" in bundle["text/html"]
    assert bundle["text/plain"].startswith("Explore: Timeline of orders.items, orders.orders")
    monkeypatch.setenv("AUDITLAB_STATIC", "1")
    assert set(view._repr_mimebundle_()) == {"text/plain", "text/html"}


def test_one_change_is_one_change():
    view = al.from_arrow(make_log([("INSERT", "a", {"x": 1})])).explore()
    assert repr(view) == "Explore: Timeline of t, 1 change"


def test_an_empty_log_opens():
    view = al.from_arrow(make_log([])).explore()
    assert view.frame.is_empty()
    assert "No change is shown" in view.to_svg()
    assert view.to_html()
    assert view.selection["ids"] == []


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"lanes": "colour"}, BadOption, "no lanes by 'colour'"),
        ({"cursor": 99}, UnknownChange, "no change 99 in this view"),
        ({"field": "totl"}, UnknownField, "no field 'totl'"),
        ({"user": "eve"}, BadOption, "no user 'eve'"),
        ({"operations": ["MERGE"]}, BadOption, "no operation 'MERGE'"),
        ({"brush": ("2024-02-01", "2024-01-01")}, BadOption, "from the earlier to the later"),
        ({"zoom": ("soon", "later")}, BadTime, "cannot read the time 'soon'"),
    ],
)
def test_an_option_that_the_log_does_not_have_is_an_error(orders, options: dict[str, Any], error: type, words: str):
    with pytest.raises(error, match=words):
        orders.explore(**options)

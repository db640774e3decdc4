"""Altair charts of a log: what they show is what the frames say, in the log's zone, and without Altair they say how."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Any

import altair as alt
import pytest
from forty_days import forty_days

import auditlab as al
from auditlab import charts
from auditlab.errors import BadOption, MissingExtra
from auditlab.testing import make_log
from auditlab.widgets.palette import OPERATIONS

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module", params=["polars", "duckdb", "archive"])
def log(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> al.ChangeLog[Any]:
    loaded = al.from_arrow(forty_days(), zone="Europe/Berlin")
    if request.param != "archive":
        return loaded.on(request.param)
    folder = tmp_path_factory.mktemp("kept") / "archive"
    loaded.to_archive(folder)
    return al.scan_archive(folder)


def rows_of(chart: alt.Chart) -> list[dict[str, Any]]:
    """The rows that a chart carries into a page."""
    (rows,) = chart.to_dict()["datasets"].values()
    return json.loads(rows)


def test_activity_has_the_counts_at_the_wall_time_of_the_logs_zone(log):
    found = log.activity()
    for by, frame, name in (("operation", found.by_operation, "operation"), ("user", found.by_user, "changed_by")):
        told = [
            (row["period"][:19], row[name], row["changes"], row["transactions"])
            for row in rows_of(charts.activity(log, by=by))
        ]
        expected = [
            (f"{period:%Y-%m-%dT%H:%M:%S}", who or "no user", changes, transactions)
            for period, who, changes, transactions in frame.iter_rows()
        ]
        assert told == expected
    made = charts.activity(log).to_dict()
    assert made["encoding"]["x"]["scale"] == {"type": "utc"}
    assert "Europe/Berlin" in made["encoding"]["x"]["title"]
    assert made["encoding"]["color"]["scale"]["range"] == [mark.colour for mark in OPERATIONS.values()]


def test_hours_are_those_of_activity(log):
    told = [(row["weekday"], row["hour"], row["changes"]) for row in rows_of(charts.hours(log))]
    names = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
    assert told == [(names[weekday - 1], hour, n) for weekday, hour, n, _ in log.activity().by_hour.iter_rows()]


def test_a_timeline_has_every_row_with_its_values_and_ids_as_texts(log):
    one = log.entity("t-1", "t")
    expected = one.timeline().lazy().collect()
    told = rows_of(charts.timeline(one))
    assert [row["id"] for row in told] == [str(id_) for id_ in expected["id"]]
    assert [(row["old"], row["new"]) for row in told] == expected.select("old", "new").rows()
    for lanes, name in (("user", "changed_by"), ("operation", "operation"), ("entity", "entity_id")):
        assert charts.timeline(one, lanes=lanes).to_dict()["encoding"]["y"]["field"] == name


def test_what_a_chart_does_not_hold_is_said_and_not_cut():
    log = al.from_arrow(make_log([("INSERT", str(n), {"x": 1}) for n in range(charts.MOST + 1)]))
    with pytest.raises(BadOption, match=re.escape("5,001 rows are more than an Altair chart holds (5,000)")):
        charts.timeline(log)
    assert rows_of(charts.activity(log, period="hour"))
    with pytest.raises(BadOption, match="no lanes by 'colour'"):
        charts.timeline(log, lanes="colour")
    with pytest.raises(BadOption, match="not by 'field'"):
        charts.activity(log, by="field")


def test_charts_are_drawn_with_no_network(log, tmp_path: Path):
    for number, chart in enumerate((charts.activity(log), charts.hours(log), charts.timeline(log.entity("t-1", "t")))):
        chart.save(tmp_path / f"{number}.svg")
        svg = (tmp_path / f"{number}.svg").read_text(encoding="utf-8")
        assert svg.startswith("<svg")
        assert svg.count("<path") > 10


def test_a_notebooks_chart_is_drawn_with_no_network_where_altair_brings_its_scripts_along(watch, tmp_path: Path):
    chart = charts.activity(al.from_arrow(forty_days()))
    with alt.renderers.enable("html", template="inline"):
        output = chart._repr_mimebundle_()
    page = tmp_path / "output.html"
    page.write_text(f"<!doctype html><meta charset=utf-8>{output['text/html']}", encoding="utf-8")
    watched = watch().open(page)
    watched.page.wait_for_selector("canvas, svg.marks")
    assert watched.page.get_by_text("Error").count() == 0


def test_without_altair_the_error_is_the_command_that_brings_it(log, monkeypatch):
    monkeypatch.setitem(sys.modules, "altair", None)
    for chart in (charts.activity, charts.hours, charts.timeline):
        with pytest.raises(MissingExtra, match=re.escape("pip install 'auditlab[charts]'")):
            chart(log)


def test_hostile_values_are_data_and_end_no_script_of_a_page():
    text = "</script><script>alert(1)</script><!--"
    log = al.from_arrow(make_log([("INSERT", text, {text: text}, {"changed_by": text})]))
    for chart in (charts.activity(log, by="user"), charts.timeline(log)):
        assert text in [value for row in rows_of(chart) for value in row.values()]
        spec = chart.to_dict()
        spec.pop("datasets")
        assert "script" not in json.dumps(spec)
        for made in (chart, chart + chart, chart | chart):
            page = made.to_html()
            assert "alert(1)" in page
            assert [mark for mark in ("<script>alert", "</script><", "<!--") if mark in page] == []


def test_a_chart_of_nothing_is_a_chart():
    log = al.from_arrow(make_log([]))
    assert all(
        isinstance(chart.to_dict(), dict) for chart in (charts.activity(log), charts.hours(log), charts.timeline(log))
    )

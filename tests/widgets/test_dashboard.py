"""The dashboard in Python: what its marks say is what the rows behind them are, on every kind of log."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from forty_days import forty_days
from polars.testing import assert_frame_equal

import auditlab as al
from auditlab.errors import BadOption
from auditlab.testing import make_log
from auditlab.widgets.pictures import BLUE, Cell, Lane, Span, lanes, sheet, short, week

if TYPE_CHECKING:
    from pathlib import Path

    from auditlab.widgets.dashboard import Dashboard


@pytest.fixture(scope="module", params=["polars", "duckdb", "archive"])
def log(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> al.ChangeLog[Any]:
    loaded = al.from_arrow(forty_days(), zone="Europe/Berlin")
    if request.param != "archive":
        return loaded.on(request.param)
    folder = tmp_path_factory.mktemp("kept") / "archive"
    loaded.to_archive(folder)
    return al.scan_archive(folder)


@pytest.fixture(scope="module")
def shown(log: al.ChangeLog[Any]) -> Dashboard:
    view: Any = log.dashboard(rows=5)
    return view


def behind(view: Dashboard, name: str) -> tuple[pl.DataFrame, list[list[str | None]], int]:
    """The rows behind a mark as Python gives them, as the page has them, and how many the page says that there are."""
    view.select(name)
    page = view.embedded()["data"]["behind"]
    told = page["marks"][name]
    return view.rows(), [page["tables"][told["table"]]["rows"][place] for place in told["rows"]], told["of"]


def test_every_kind_of_mark_is_there(shown):
    assert {mark.family for mark in shown._shown.marks.values()} == {  # noqa: SLF001 - the families have no names outside
        "operation", "user", "hour", "size", "entity", "field", "finding",
    }  # fmt: skip


def test_the_number_of_a_mark_is_the_number_of_rows_behind_it(shown):
    counted = {name: behind(shown, name)[0].height for name in shown.frame["name"]}
    findings = shown.frame["picture"].str.starts_with("Evidence")
    expected = shown.frame.filter(~findings).select("name", "changes").rows()
    assert [(name, counted[name]) for name, _ in expected] == expected
    assert all(counted[name] for name in shown.frame.filter(findings)["name"])


def test_the_page_has_the_first_of_the_very_rows_that_python_gives(shown):
    for name in shown.frame["name"]:
        rows, page, of = behind(shown, name)
        assert of == rows.height
        assert [row[-2] for row in page] == [str(one) for one in rows["id"].head(5)], name


def test_the_code_of_a_mark_gives_its_rows(log, shown):
    for name in shown.frame["name"]:
        shown.select(name)
        first, second = shown.code.splitlines()
        assert first == "log.dashboard(rows=5)"
        answer = eval(second, {"log": log, "pl": pl})  # noqa: S307 - our own code, made for this
        assert_frame_equal(answer.lazy().collect(), shown.rows())


@pytest.mark.parametrize("part", ["log.of('t')", "log.of('t').by('{user}')", "log.between('2024-03-25', '2024-04-10')"])
def test_the_code_of_a_selection_gives_the_same_from_the_whole_log(log, part):
    users = log.changes().lazy().collect()["changed_by"].drop_nulls()
    names = {"log": log, "pl": pl}
    view = eval(part.format(user=users[0]), names).dashboard()  # noqa: S307 - our own code
    assert_frame_equal(eval(view.code, names).frame, view.frame)  # noqa: S307 - our own code
    for name in view.frame["name"]:
        view.select(name)
        answer = eval(view.code.splitlines()[1], names)  # noqa: S307 - our own code
        assert_frame_equal(answer.lazy().collect(), view.rows())


def test_a_snapshot_is_behind_no_mark_but_a_finding(shown):
    for name in shown.frame.filter(~pl.col("picture").str.starts_with("Evidence"))["name"]:
        rows = behind(shown, name)[0]
        assert "operation" not in rows.columns or "SNAPSHOT" not in rows["operation"].to_list()


def test_marks_of_one_picture_share_the_changes_among_them(shown):
    total = shown.frame.filter(pl.col("picture").str.contains("operation"))["changes"].sum()
    for part in ("user", "weekday"):
        assert shown.frame.filter(pl.col("picture").str.contains(f"{part}"))["changes"].sum() == total


def test_the_selection_is_plain_python_and_tells_what_is_picked(shown):
    shown.select("")
    assert shown.selection == {}
    assert shown.rows()["operation"].unique().sort().to_list() == ["DELETE", "INSERT", "TRUNCATE", "UPDATE"]
    heard: list[dict[str, object]] = []
    shown.on_selection(heard.append)
    shown.state = {"mark": "m0"}
    assert heard == [shown.selection]
    assert {"name", "picture", "words", "operation", "start", "end"} == set(shown.selection)
    with pytest.raises(BadOption, match="no mark 'm9999'"):
        shown.select("m9999")


def test_a_mark_that_a_page_names_and_that_is_not_there_selects_nothing(shown):
    shown.state = {"mark": "constructor"}
    assert shown.selection == {}
    shown.state = {"mark": ""}


def test_users_beyond_the_lanes_share_one_and_no_user_has_its_own(shown):
    words = " ".join(shown.frame.filter(pl.col("picture").str.contains("user"))["words"])
    assert "others," in words
    assert "no user," in words


def test_picked_changes_have_no_evidence_and_the_dashboard_says_why(log):
    view = log.by("ann").dashboard()
    assert "Findings are not shown here: evidence() needs whole histories" in view.to_html()
    assert not any(view.frame["picture"].str.starts_with("Evidence"))
    assert view.frame["changes"].max() <= log.by("ann").changes().lazy().collect().height


def test_a_log_of_nothing_has_a_dashboard():
    view = al.from_arrow(make_log([])).dashboard()
    assert view.frame.is_empty()
    assert "<svg" in view.to_svg()
    assert view.rows().is_empty()


def test_a_log_of_states_alone_says_why_nothing_is_counted():
    view: Any = al.from_arrow(make_log([("SNAPSHOT", "a", {"x": 1}), ("SNAPSHOT", "b", {"x": 2})])).dashboard()
    told = "not counted: 2 SNAPSHOT rows, states that were read, not changes"
    assert told in view.embedded()["data"]["notes"]
    assert told in view.to_svg()


def test_what_cannot_be_is_refused(log):
    with pytest.raises(BadOption, match="top and rows count from 1"):
        log.dashboard(top=0)
    with pytest.raises(BadOption, match="no period 'fortnight'"):
        log.dashboard(period="fortnight")


def test_files_hold_what_is_shown(shown, tmp_path: Path):
    assert shown.to_csv().splitlines()[0] == "name,picture,words,changes,transactions,code"
    svg, html = shown.to_svg(), shown.to_html()
    for write, text in ((shown.to_csv, shown.to_csv()), (shown.to_svg, svg), (shown.to_html, html)):
        file = write(str(tmp_path / "made"))
        assert file == tmp_path / "made"  # no text: a notebook would print the whole of it
        assert file.read_text(encoding="utf-8") == text
    assert svg.startswith("<svg ")
    assert "odd &lt;b&gt;" in svg
    assert "<b>" not in svg
    assert "<b>" not in html
    assert "http" not in html.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "")


def test_numbers_beside_lanes_are_exact_where_there_is_room_and_else_rounded_half_up():
    numbers = [999, 1_288, 19_999, 999_999, 1_000_000, 1_250_000, 9_949_999, 9_950_000, 999_499_999, 999_500_000]
    told = ["999", "1,288", "19,999", "999,999", "1M", "1.3M", "9.9M", "10M", "999M", "1G"]
    assert [short(number) for number in numbers] == told
    span = Span(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC), 999_999, "m0", "")
    assert ">999,999</text>" in sheet([lanes("t", [Lane("all", BLUE, [span])], "UTC")], title="t")


@pytest.mark.parametrize(
    ("period", "said"),
    [
        ("second", "Mon 01 Jan 2024, 00:00:00"), ("minute", "Mon 01 Jan 2024, 00:00"),
        ("hour", "Mon 01 Jan 2024, 00:00 to 01:00"), ("day", "Mon 01 Jan 2024"),
        ("week", "the week of Mon 01 Jan 2024"), ("month", "January 2024"), ("year", "2024"),
    ],
)  # fmt: skip
def test_a_bar_says_its_span_of_time_as_exactly_as_it_is_drawn(period, said):
    shown = al.from_arrow(make_log([("INSERT", "a", {"x": 1})])).dashboard(period=period)
    assert shown.frame["words"][0] == f"INSERT, {said}: 1 change in 1 transaction"


@pytest.mark.parametrize(
    ("number", "told"),
    [(999, "999"), (1_499, "1k"), (1_500, "2k"), (19_999, "20k"), (999_499, "999k"), (999_500, "1M")],
)
def test_numbers_in_cells_are_rounded_half_up(number, told):
    assert f">{told}</text>" in sheet([week("w", [Cell(1, 0, number, "m0", "")])], title="w")


def test_where_widgets_do_not_run_it_is_a_picture_and_a_table(shown, monkeypatch):
    monkeypatch.setenv("AUDITLAB_STATIC", "1")
    bundle = shown._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html"}
    assert bundle["text/html"].count("<svg") == 1
    assert "What it says</th>" in bundle["text/html"]


@pytest.mark.parametrize(
    ("numbers", "told"),
    [((1,), 1), ((2000,), 1), ((20, 30, 40, 50), 4), ((1, 10, 100, 1000), 4), ((7, 7), 1), ((1, 2), 2)],
)
def test_hours_of_much_the_same_work_have_shades_of_their_own(numbers: tuple[int, ...], told: int):
    drawn = sheet(
        [week("w", [Cell(1, hour, number, f"m{hour}", "") for hour, number in enumerate(numbers)])], title="w"
    )
    assert len(set(re.findall(r'fill-opacity="([0-9.]+)" class="al-hit"', drawn))) == told


def test_a_lane_of_several_others_is_cut_where_those_of_single_ones_end():
    def lane(name: str, number: int, **options: bool) -> Lane:
        return Lane(
            name,
            BLUE,
            [Span(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC), number, name, "")],
            **options,
        )

    drawn = sheet([lanes("t", [lane("ann", 5), lane("bob", 10), lane("9 others", 80, several=True)], "UTC")], title="t")
    heights = [float(tall) for tall in re.findall(r'height="([0-9.]+)" fill="#', drawn)]
    assert heights[1] == heights[2] == 2 * heights[0]
    assert ">9 others, cut</text>" in drawn
    assert ">80</text>" in drawn
    few = sheet([lanes("t", [lane("ann", 5), lane("2 others", 4, several=True)], "UTC")], title="t")
    assert ">2 others</text>" in few

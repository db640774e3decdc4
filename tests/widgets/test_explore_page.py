"""log.explore() handed over as a file: by mouse and keyboard, for screen readers, light and dark, with no kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from shop_in_postgres import LOG, ORDER
from timeline_driven import Timeline, told_diff
from watched import keep_picture, violations

import auditlab as al
from auditlab.testing import make_log

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import polars as pl
    from watched import Watched

    Watch = Callable[..., Watched]


MOST_LANES = 24
"""Of lanes there are no more, and one for the rest."""


@pytest.fixture(scope="module")
def shop() -> al.ChangeLog[pl.DataFrame]:
    return al.read_parquet(LOG)


@pytest.fixture(scope="module")
def recorded(shop: al.ChangeLog[pl.DataFrame]) -> pl.DataFrame:
    """The changes of one order, field by field."""
    return shop.of("shop.orders").entity(ORDER).timeline()


@pytest.fixture(scope="module")
def document(shop: al.ChangeLog[pl.DataFrame], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The timeline of that order, as a file."""
    path = tmp_path_factory.mktemp("explore") / "order.html"
    shop.of("shop.orders").entity(ORDER).explore().to_html(path)
    return path


def opened(watched: Watched, document: Path) -> Timeline:
    page = watched.open(document).page
    page.wait_for_selector(".al-place[data-alive]")
    return Timeline(page.get_by_test_id("auditlab-view"))


def test_keys_go_from_change_to_change_and_each_is_told(watch: Watch, document: Path, recorded: pl.DataFrame):
    line = opened(watch(), document)
    ids = recorded["id"].unique(maintain_order=True).to_list()
    last = len(ids) - 1
    keys = (("Home", 0), ("ArrowRight", 1), ("PageUp", last), ("ArrowLeft", last - 1), ("PageDown", 0), ("End", last))
    for key, row in keys:
        line.press(key)
        assert line.cursor == (row + 1, len(ids))
        assert line.change() == (ids[row], told_diff(recorded, ids[row]))
    words = line.slider.get_attribute("aria-valuetext")
    assert words.startswith(f"{len(ids)} of {len(ids)}, change {ids[-1]}: UPDATE of shop.orders {ORDER} by 00000000-")


def test_the_transaction_leads_on_to_its_other_changes(watch: Watch, document: Path, shop: al.ChangeLog[pl.DataFrame]):
    line = opened(watch(), document)
    line.press("Home")
    changes = shop.transaction(757).changes()
    rows = line.transaction()
    assert [row[0].split()[0] for row in rows] == [str(number) for number in changes["id"]]
    assert [row[2:4] for row in rows] == [list(row) for row in changes.select("entity_type", "entity_id").iter_rows()]
    line.view.get_by_test_id("al-transaction").get_by_role("button", name="61").click()
    assert line.change()[0] == 61


def test_brush_filters_and_clear_leave_what_they_say(watch: Watch, document: Path, recorded: pl.DataFrame):
    line = opened(watch(), document)
    most = recorded["id"].n_unique()
    assert line.status.startswith(f"{most} changes.")
    line.press("Home", "ArrowRight", "ArrowRight", "[", "End", "ArrowLeft", "]")
    assert f"{most - 3} in the brush" in line.status
    line.press("Home")
    assert line.change()[0] == recorded["id"].unique(maintain_order=True)[2]
    line.press("Escape", "Home")
    assert "in the brush" not in line.status
    line.drag(0.3, 0.6)
    assert "in the brush" in line.status
    line.click("al-clear-brush")
    line.view.get_by_test_id("al-operation-INSERT").uncheck()
    assert line.status.startswith(f"{most - 1} of {most} changes after the filters")
    line.view.get_by_test_id("al-field").select_option(label="total")
    assert line.status.startswith(f"1 of {most} changes")
    line.click("al-clear")
    line.view.get_by_test_id("al-transaction-filter").fill("757")
    line.view.get_by_test_id("al-transaction-filter").press("Enter")
    assert line.status.startswith(f"2 of {most} changes")
    line.click("al-clear")
    assert line.status.startswith(f"{most} changes.")


def test_play_steps_to_the_last_change(watch: Watch, document: Path, recorded: pl.DataFrame):
    line = opened(watch(), document)
    most = recorded["id"].n_unique()
    line.press("Home")
    line.click("al-play")
    line.view.locator(f"[data-testid=al-timeline][aria-valuenow='{most}']").wait_for()
    line.view.locator("[data-testid=al-play][aria-pressed=false]").wait_for()


def test_what_cannot_be_is_said_under_the_view(watch: Watch, document: Path):
    line = opened(watch(), document)
    start = line.view.get_by_test_id("al-from")
    start.fill("tomorrow")
    start.press("Enter")
    assert "cannot read the time 'tomorrow'" in line.view.get_by_test_id("al-error").inner_text()
    start.fill("2026-11-23 02:52:15")
    start.press("Enter")
    assert not line.view.get_by_test_id("al-error").is_visible()
    assert "from 2026-11-23 02:52:15" in line.status


def test_the_mouse_points_zooms_and_picks(watch: Watch, document: Path, recorded: pl.DataFrame):
    line = opened(watch(), document)
    words = line.point_at_a_mark(start=0.5)
    line.click_here()
    change, diff = line.change()
    assert words.startswith(f"change {change}: ")
    assert diff == told_diff(recorded, change)
    line.view.page.keyboard.press("Tab")
    line.slider.focus()
    line.point_at_a_mark(start=0.5)
    whole = line.view.get_by_test_id("al-zoom-all")
    assert whole.is_disabled()
    line.view.page.mouse.wheel(0, -200)
    line.view.locator("[data-testid=al-zoom-all]:enabled").wait_for()
    whole.click()
    line.click("al-zoom-transaction")
    assert whole.is_enabled()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [700, 1400])
def test_people_can_read_it_and_nothing_is_wider_than_the_page(watch: Watch, document: Path, dark, width):
    line = opened(watch(dark=dark, width=width, height=1000), document)
    line.press("Home", "ArrowRight")
    line.settled()
    assert violations(line.view.page) == []
    colours = "[...document.querySelectorAll('.al-lane-count')].map((count) => getComputedStyle(count).color)"
    assert len(set(line.view.page.evaluate(colours))) == 1  # none of them stands out
    assert line.view.page.evaluate("document.documentElement.scrollWidth") <= width
    keep_picture(line.view, f"explore-{'dark' if dark else 'light'}-{width}")


def test_a_whole_log_has_lanes_of_every_kind(watch: Watch, shop: al.ChangeLog[pl.DataFrame], tmp_path: Path):
    shop.explore(cursor=61).to_html(tmp_path / "shop.html")
    line = opened(watch(width=1400), tmp_path / "shop.html")
    assert line.cursor[1] == 832
    assert line.change()[0] == 61
    names = {
        "user": "changed_by",
        "operation": "operation",
        "entity": "entity_id",
        "field": "field",
        "type": "entity_type",
    }
    for lanes, column in names.items():
        line.view.get_by_test_id("al-lanes-by").select_option(lanes)
        shown = line.view.get_by_test_id("al-lanes").locator("li")
        told = shop.timeline()[column].n_unique()
        assert shown.count() == min(told, MOST_LANES + 1)
        keep_picture(line.view, f"explore-lanes-by-{lanes}")
    assert violations(line.view.page) == []


def test_where_there_are_many_changes_their_density_is_shown_and_said(watch: Watch, tmp_path: Path):
    log = al.from_arrow(make_log([("INSERT", f"e{n}", {"x": n}, {"changed_by": f"u{n % 3}"}) for n in range(3_000)]))
    log.explore().to_html(tmp_path / "many.html")
    line = opened(watch(), tmp_path / "many.html")
    notes = line.view.get_by_test_id("al-notes")
    assert "3,000 changes in view, by density" in notes.inner_text()
    keep_picture(line.view, "explore-density")
    line.press("Home", "+", "+", "+", "+", "+", "+", "+")
    assert "by density" not in notes.inner_text()


def test_where_scripts_do_not_run_the_picture_and_its_table_are_there(watch: Watch, document: Path, tmp_path: Path):
    text = document.read_text(encoding="utf-8").replace('<script type="module">', '<script type="text/plain">')
    (tmp_path / "plain.html").write_text(text, "utf-8")
    page = watch().open(tmp_path / "plain.html").page
    assert page.locator(".al-static svg").count() == 1
    assert page.locator(".al-static tbody tr").count() > 10
    assert violations(page) == []
    keep_picture(page, "explore-static")


def test_a_log_of_nothing_shows_no_time_and_offers_no_step(watch: Watch, tmp_path: Path):
    al.from_arrow(make_log([])).explore().to_html(tmp_path / "empty.html")
    page = watch().open(tmp_path / "empty.html").page
    page.wait_for_selector(".al-place[data-alive]")
    line = Timeline(page.get_by_test_id("auditlab-view"))
    assert "1970" not in line.view.inner_text()
    assert line.view.get_by_test_id("al-detail").inner_text() == "There is no change."
    buttons = line.view.locator("[role=group][aria-label='Step and zoom'] button")
    assert buttons.count() == 9
    assert all(button.is_disabled() for button in buttons.all())


def test_a_long_name_in_a_filter_does_not_make_a_narrow_view_wider(watch: Watch, tmp_path: Path):
    steps = [("INSERT", "a", {"x" * 200: 1}, {"changed_by": "u" * 200})]
    al.from_arrow(make_log(steps)).explore().to_html(tmp_path / "long.html")
    page = watch(width=400).open(tmp_path / "long.html").page
    page.wait_for_selector(".al-place[data-alive]")
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    parts = page.locator(".auditlab select, .al-lanes, .al-slider").all()
    assert max(box["x"] + box["width"] for box in (part.bounding_box() for part in parts)) <= 400
    lanes, slider = (page.locator(f".al-{name}").bounding_box()["width"] for name in ("lanes", "slider"))
    assert lanes < slider

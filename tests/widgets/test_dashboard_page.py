"""The dashboard in a browser: by mouse, by keyboard, for screen readers, light and dark, and with hostile data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import hostile_cases
import polars as pl
import pytest
from forty_days import forty_days
from watched import keep_picture, keep_top, violations

import auditlab as al

if TYPE_CHECKING:
    from collections.abc import Callable

    from watched import Watched

    Watch = Callable[..., Watched]

SHOP = Path(__file__).parents[1] / "data" / "shop" / "log.parquet"
ALIVE = ".al-place[data-alive]"


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dashboard of forty days, as a file."""
    folder = tmp_path_factory.mktemp("dashboard")
    al.from_arrow(forty_days()).dashboard().to_html(folder / "dashboard.html")
    return folder / "dashboard.html"


def test_a_click_on_a_bar_shows_its_rows_and_the_code_and_a_second_one_takes_them_away(watch: Watch, document: Path):
    page = watch().open(document).page
    page.wait_for_selector(ALIVE)
    mark = page.locator(".al-mark", has_text="UPDATE,").first
    words = mark.get_attribute("aria-label")
    mark.click()
    assert page.locator(".al-rows h2").text_content() == words
    assert page.locator(".al-rows pre").text_content().startswith("log.where(operation='UPDATE').between(")
    shown = int(words.split(": ")[-1].split()[0].replace(",", ""))
    assert page.locator(".al-rows tbody tr").count() == min(shown, 25)
    assert f"{shown} row" in page.locator(".al-rows caption").text_content()
    assert set(page.locator(".al-rows .al-badge").all_text_contents()) == {"UPDATE"}
    assert mark.get_attribute("aria-pressed") == "true"
    mark.click()
    assert page.locator(".al-rows table").count() == 0
    assert page.locator(".al-mark[aria-pressed=true]").count() == 0


def test_the_keyboard_reaches_every_mark(watch: Watch, document: Path):
    page = watch().open(document).page
    page.wait_for_selector(ALIVE)
    for number in range(page.locator(".al-picture").count()):
        picture = page.locator(".al-picture").nth(number)
        marks = picture.locator(".al-mark")
        if not marks.count():
            continue
        assert picture.locator(".al-mark[tabindex='0']").count() == 1
        marks.first.focus()
        seen = set()
        for _ in range(marks.count()):
            seen.add(page.evaluate("document.activeElement.dataset.mark"))
            page.keyboard.press("ArrowRight")
        assert len(seen) == marks.count()
    week = page.locator(".al-card", has_text="weekday and hour").locator(".al-mark")
    week.first.focus()
    page.keyboard.press("Enter")
    assert page.locator(".al-rows h2").text_content() == week.first.get_attribute("aria-label")
    assert page.get_by_role("status").text_content().startswith("Selected: ")
    page.keyboard.press("Escape")
    assert page.locator(".al-rows table").count() == 0
    lanes = page.locator(".al-card", has_text="and operation").locator(".al-mark")
    lanes.first.focus()
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.dataset.row") == "0"
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.dataset.row") == "1"
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Home")
    assert page.evaluate("document.activeElement.dataset.mark") == lanes.first.get_attribute("data-mark")
    page.keyboard.press(" ")
    assert lanes.first.get_attribute("aria-pressed") == "true"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [900, 1400])
def test_people_can_read_it_and_nothing_is_wider_than_the_page(watch: Watch, document: Path, dark, width):
    page = watch(dark=dark, width=width).open(document).page
    page.wait_for_selector(ALIVE)
    page.locator(".al-mark", has_text="UPDATE,").first.click()
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    keep_picture(page, f"dashboard-{'dark' if dark else 'light'}-{width}")


def test_the_readme_shows_what_happened_in_the_shop(watch: Watch, tmp_path: Path):
    log = al.from_arrow(pl.read_parquet(SHOP), source="the shop's log")
    log.dashboard().to_html(tmp_path / "shop.html")
    page = watch(width=1100).open(tmp_path / "shop.html").page
    page.wait_for_selector(ALIVE)
    assert "832" in page.locator("main, body").first.inner_text()
    keep_top(page.locator("body"), 880, "dashboard")


def test_where_scripts_do_not_run_the_picture_and_its_table_are_there(watch: Watch, document: Path, tmp_path: Path):
    (tmp_path / "plain.html").write_text(
        document.read_text(encoding="utf-8").replace('<script type="module">', '<script type="text/plain">'), "utf-8"
    )
    page = watch().open(tmp_path / "plain.html").page
    assert page.locator(".al-static svg").count() == 1
    assert page.locator(".al-static tbody tr").count() > 10
    assert violations(page) == []


def test_hostile_names_values_users_and_types_are_text_and_nothing_else(watch: Watch, tmp_path: Path):
    rows = hostile_cases.frame()
    log = al.from_arrow(rows)
    log.dashboard(top=200).to_html(tmp_path / "hostile.html")
    page = watch().open(tmp_path / "hostile.html").page
    page.wait_for_selector(ALIVE)
    for mark in page.locator(".al-card", has_text="and user").locator(".al-mark").all():
        mark.dispatch_event("click")
        assert page.locator(".al-rows tbody tr").count() >= 1
    allowed = {
        "main", "h1", "h2", "h3", "div", "section", "p", "dl", "dt", "dd", "svg", "g", "rect", "line", "path", "text",
        "title", "table", "caption", "thead", "tbody", "tr", "th", "td", "span", "pre", "button", "details", "summary",
        "script",
    }  # fmt: skip
    assert set(page.evaluate("[...document.body.querySelectorAll('*')].map((one) => one.localName)")) <= allowed

"""The report in a browser: readable light, dark and on paper, its rows one click away, its hostile values inert."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from forty_days import forty_days
from payloads import PAYLOADS, log_of
from watched import keep_picture, violations

import auditlab as al
from auditlab.report.sections import SECTIONS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from watched import Watched

    Watch = Callable[..., Watched]

ALIVE = ".al-place[data-alive]"
CENSUS = """() => [...document.querySelectorAll("*")].flatMap((element) => [
  element.localName, ...element.getAttributeNames().map((name) => `${element.localName} ${name}`)])"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with every section, a field masked, as a file."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    log = al.from_arrow(forty_days())
    log.report(path, include=list(SECTIONS), start="2024-03-25", end="2024-04-20", mask=["y"], rows=15)
    return path


@pytest.mark.parametrize(("dark", "width"), [(False, 900), (True, 1400), (False, 400)], ids=["light", "dark", "narrow"])
def test_people_can_read_it(watch: Watch, file: Path, dark, width):
    page = watch(dark=dark, width=width).open(file).page
    page.wait_for_selector(ALIVE)
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    keep_picture(page, f"report-{'dark' if dark else 'light'}-{width}")


def test_its_contents_lead_to_its_sections_and_its_bars_to_their_rows(watch: Watch, file: Path):
    page = watch().open(file).page
    page.wait_for_selector(ALIVE)
    for link in page.locator("nav a").all():
        link.click()
        assert page.locator(f"h2{link.get_attribute('href')}").bounding_box()["y"] < 900
    page.locator(".al-mark", has_text="UPDATE,").first.click()
    assert page.locator(".al-rows tbody tr").count() > 0
    assert "[masked]" in page.locator(".al-rows").text_content() or "y" not in page.locator(".al-rows").text_content()


def test_on_paper_no_table_is_cut_off(watch: Watch, file: Path):
    page = watch(width=1000, dark=True).open(file).page
    page.wait_for_selector(ALIVE)
    page.emulate_media(media="print", color_scheme="light")
    kinds = "[...document.querySelectorAll('.al-scroll')].map((one) => getComputedStyle(one).overflow)"
    assert set(page.evaluate(kinds)) == {"visible"}
    assert page.evaluate("document.documentElement.scrollWidth") <= 1000
    keep_picture(page, "report-paper")


def test_hostile_names_values_users_and_types_run_nowhere(watch: Watch, tmp_path: Path):
    made: dict[bool, set[str]] = {}
    for hostile in (True, False):
        log: al.ChangeLog[Any] = al.from_arrow(log_of(hostile=hostile))
        log.report(tmp_path / "r.html", rows=20, title=PAYLOADS[0] if hostile else "plain")
        page = watch().open(tmp_path / "r.html").page
        page.wait_for_selector(ALIVE)
        page.locator(".al-card", has_text="and user").locator(".al-mark").first.click()
        made[hostile] = set(page.evaluate(CENSUS))
        assert page.evaluate("window.ran") is None
        assert page.evaluate(
            "[...document.querySelectorAll('[href]')].every((one) => one.getAttribute('href')[0] === '#')"
        )
    assert [name for name in made[True] if " on" in name or name.endswith(" src")] == []
    assert made[True] == made[False]

"""The compare view in a browser: from the bars to the entities, from an entity to its fields at both times."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from forty_days import forty_days
from payloads import PAYLOADS, log_of
from watched import keep_picture, violations

import auditlab as al
from auditlab.testing import make_log

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from watched import Watched

    Watch = Callable[..., Watched]

ALIVE = ".al-place[data-alive]"
ENTITIES, SIDES = "[data-testid=al-entities]", "[data-testid=al-sides]"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("compare") / "compare.html"
    al.from_arrow(forty_days()).compare_view("2024-04-01", "2024-04-20").to_html(path)
    return path


def test_a_bar_leads_to_its_entities_and_an_entity_to_both_sides(watch: Watch, file: Path):
    page = watch().open(file).page
    page.wait_for_selector(ALIVE)
    rows = page.locator(f"{ENTITIES} tbody tr")
    every = rows.count()
    bar = page.locator(".al-mark", has_text="t: 8 entities modified")
    bar.or_(page.locator(".al-mark", has_text="t: modified")).first.click()
    assert 0 < rows.count() < every
    assert {text.split()[-1] for text in page.locator(f"{ENTITIES} .al-badge").all_inner_texts()} == {"modified"}
    entity = rows.first.locator("button")
    entity.click()
    assert entity.get_attribute("aria-pressed") == "true"
    assert page.evaluate("document.activeElement.dataset.name") == entity.get_attribute("data-name")
    assert page.locator(f"{SIDES} h2").text_content().endswith(f"{entity.text_content()}: modified")
    fields = page.locator(f"{SIDES} table").first.locator("tbody tr")
    assert fields.count() == 2
    differs = page.locator(f"{SIDES} tr.al-differs").count()
    page.get_by_label("only fields that differ").check()
    assert page.locator(f"{SIDES} table").first.locator("tbody tr").count() == differs > 0
    page.keyboard.press("Escape")
    assert rows.count() == every
    assert page.locator(f"{SIDES} table").count() == 0


def test_one_entity_that_is_the_same_is_not_said_to_differ(watch: Watch, tmp_path: Path):
    log = al.from_arrow(make_log([("INSERT", "a", {"x": 1})]))
    log.compare_view("2024-01-01", "2024-01-01").to_html(tmp_path / "same.html")
    page = watch().open(tmp_path / "same.html").page
    page.wait_for_selector(ALIVE)
    assert page.locator(f"{ENTITIES} caption").inner_text() == "Nothing differs: the entity is the same at both times"
    assert page.locator(f"{ENTITIES} tbody tr").count() == 1


def test_the_keyboard_alone_does_it(watch: Watch, file: Path):
    page = watch().open(file).page
    page.wait_for_selector(ALIVE)
    page.locator(".al-mark").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert page.locator(".al-mark[aria-pressed=true]").count() == 1
    page.locator(f"{ENTITIES} button").first.focus()
    page.keyboard.press("Enter")
    assert page.locator(f"{SIDES} table").count() >= 1
    assert page.get_by_role("status").text_content().startswith("Selected: ")
    page.keyboard.press("Enter")
    assert page.locator(f"{SIDES} table").count() == 0


@pytest.mark.parametrize(("dark", "width"), [(False, 900), (True, 1400), (False, 1400)])
def test_people_can_read_it(watch: Watch, file: Path, dark, width):
    page = watch(dark=dark, width=width).open(file).page
    page.wait_for_selector(ALIVE)
    page.locator(f"{ENTITIES} button").nth(1).click()
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    keep_picture(page, f"compare-{'dark' if dark else 'light'}-{width}")


def test_hostile_names_values_and_ids_are_texts(watch: Watch, tmp_path: Path):
    census = "() => [...document.querySelectorAll('*')].flatMap((one) => [one.localName, ...one.getAttributeNames()])"
    made = {}
    for hostile in (True, False):
        log = al.from_arrow(log_of(hostile=hostile)).of("orders")
        span = log.facts.coverage
        log.compare_view(span.start, span.end).to_html(tmp_path / "hostile.html")
        page = watch().open(tmp_path / "hostile.html").page
        page.wait_for_selector(ALIVE)
        assert page.locator(f"{ENTITIES} button").count() >= len(PAYLOADS) * 4 // 5 - 1
        for button in page.locator(f"{ENTITIES} button").all()[:12]:
            button.click()
        made[hostile] = set(page.evaluate(census))
        assert page.evaluate("window.ran") is None
    assert made[True] == made[False]

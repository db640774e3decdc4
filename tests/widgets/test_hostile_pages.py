"""Fifty hostile texts as names, values, users, types and ids: shown as texts, and nothing of them runs anywhere."""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING, Any

import pytest
from payloads import PAYLOADS, log_of, plain
from timeline_driven import Timeline
from watched import Watched

import auditlab as al
from auditlab.printable import printable
from auditlab.widgets.document import document

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from playwright.sync_api import Browser, Page

    from auditlab.viewing import View

CENSUS = """() => [...document.querySelectorAll("*")].flatMap((element) => [
  element.localName, ...element.getAttributeNames().map((name) => `${element.localName} ${name}`)])"""
"""The names of all elements of a page, and of their attributes."""

ADDRESSES = """() => [...document.querySelectorAll("[href], [src], [action], [data], [srcdoc], [formaction]")].map(
  (element) => element.outerHTML.slice(0, 200))"""


def census(page: Page) -> set[str]:
    """What a page is made of; no element of it has a listener as an attribute, and none an address."""
    found = set(page.evaluate(CENSUS))
    assert [name for name in found if " on" in name] == []
    assert page.evaluate(ADDRESSES) == []
    assert page.evaluate("window.ran") is None
    return found


@pytest.fixture(scope="module")
def hostile() -> al.ChangeLog:
    return al.from_arrow(log_of())


@pytest.fixture(scope="module")
def harmless() -> al.ChangeLog:
    return al.from_arrow(log_of(hostile=False))


def reprs(log: al.ChangeLog) -> dict[str, Any]:
    """What a notebook and a terminal show of a log where no view is opened."""
    return {
        "log": log,
        "evidence": log.evidence(),
        "summary": log.summary(users=len(PAYLOADS)),
    }


def test_the_payloads_are_fifty_and_all_of_them_are_in_the_log(hostile: al.ChangeLog):
    assert len(set(PAYLOADS)) == 50
    assert set(PAYLOADS) <= set(hostile.entity_types)
    changes = hostile.of(*PAYLOADS).changes()
    assert set(changes["entity_id"]) == set(changes["changed_by"]) == set(changes["correlation_id"]) == set(PAYLOADS)
    assert set(PAYLOADS) <= set(hostile.diffs()["field"])


def test_a_browser_runs_the_payloads_where_they_are_not_escaped(browser: Browser, tmp_path: Path):
    """What is looked for can be found: the same texts as markup."""
    watched = Watched(browser)
    (tmp_path / "bad.html").write_text("<!DOCTYPE html>" + "".join(PAYLOADS[8:30]), encoding="utf-8")
    watched.open(tmp_path / "bad.html")
    watched.page.wait_for_function("window.ran")
    assert [name for name in watched.page.evaluate(CENSUS) if " on" in name]
    assert watched.outside
    watched.close()


def test_reprs_are_text_in_a_page_and_in_a_terminal(
    watch: Callable[..., Watched], hostile: al.ChangeLog, harmless: al.ChangeLog, tmp_path: Path
):
    for name, shown in reprs(hostile).items():
        assert repr(shown).replace("\n", "").isprintable(), name
        made = {}
        for kind, log in (("hostile", shown), ("harmless", reprs(harmless)[name])):
            (tmp_path / f"{name} {kind}.html").write_text(f"<!DOCTYPE html>{log._repr_html_()}", encoding="utf-8")
            made[kind] = watch().open(tmp_path / f"{name} {kind}.html").page
        assert census(made["hostile"]) == census(made["harmless"])
        read = made["hostile"].inner_text("body")
        if name == "log":
            assert [text for text in PAYLOADS if printable(text) not in read] == []


SEEN = """
window.seen = new Set();
const take = (element) => {
  if (element.nodeType !== Node.ELEMENT_NODE) return;
  window.seen.add(element.localName);
  for (const name of element.getAttributeNames()) window.seen.add(`${element.localName} ${name}`);
  for (const child of element.children) take(child);
};
new MutationObserver((changes) => changes.forEach(({ addedNodes }) => addedNodes.forEach(take))).observe(
  document, { childList: true, subtree: true });
"""
"""Remember each element that was ever put into a page, and its attributes."""


def one_of_each(log: al.ChangeLog, texts: Sequence[str]) -> dict[str, list[View]]:
    """Views of the log that together show every payload, or every twin, in each of its places."""
    items = ("items", "order_id")
    return {
        "explore": [log.of("orders").explore(operations=["UPDATE"]), log.of(*texts).explore(operations=["DELETE"])],
        "dashboard": [log.dashboard(top=len(texts))],
        "compare": [log.of("orders").compare_view("2024-01-01", "2024-01-01T00:02:00")],
        "aggregate": [log.aggregate_view("orders", items=items, entity=text) for text in texts[1::5]],
    }


def go_through(page: Page) -> None:
    """Look at every change and select every mark of the views in a page."""
    for view in page.get_by_test_id("auditlab-view").all():
        if view.get_by_test_id("al-timeline").count():
            line = Timeline(view)
            line.press("Home")
            place = 0
            while place != line.cursor[0]:
                line.settled()
                place = line.cursor[0]
                line.press("ArrowRight")
        for mark in view.locator(".al-mark").all():
            mark.dispatch_event("click")
        for entity in view.get_by_test_id("al-entities").get_by_role("button").all():
            entity.dispatch_event("click")


@pytest.mark.parametrize("name", ["explore", "dashboard", "aggregate", "compare"])
def test_views_handed_over_show_payloads_as_texts_and_run_none(
    browser: Browser, hostile: al.ChangeLog, harmless: al.ChangeLog, tmp_path: Path, name: str
):
    seen = {}
    for kind, log in (("hostile", hostile), ("harmless", harmless)):
        texts = [text if kind == "hostile" else plain(text) for text in PAYLOADS]
        views = one_of_each(log, texts)[name]
        path = tmp_path / f"{kind}.html"
        path.write_text(document("".join(texts), views), encoding="utf-8")
        watched = Watched(browser)
        watched.page.add_init_script(SEEN)
        page = watched.open(path).page
        page.wait_for_function("!document.querySelector('.al-place:not([data-alive])')")
        go_through(page)
        seen[kind] = census(page) | set(page.evaluate("[...window.seen]"))
        read = page.inner_text("body")
        assert [text for text in texts if printable(text) not in read] == []
        assert watched.faults == {}
        watched.close()
    assert seen["hostile"] == seen["harmless"]
    assert [found for found in seen["hostile"] if re.search(r" on|href|src", found)] == []


@pytest.mark.parametrize("name", ["explore", "dashboard", "aggregate", "compare"])
def test_pictures_static_forms_csv_and_reprs_of_views_run_nothing(
    watch: Callable[..., Watched], hostile: al.ChangeLog, harmless: al.ChangeLog, tmp_path: Path, name: str
):
    made: dict[str, set[str]] = {}
    for kind, log in (("hostile", hostile), ("harmless", harmless)):
        texts = [text if kind == "hostile" else plain(text) for text in PAYLOADS]
        view: Any = one_of_each(log, texts)[name][0]
        assert repr(view).isprintable()
        view.to_svg(tmp_path / "view.svg")
        static = view._repr_mimebundle_()["text/html"]
        (tmp_path / "static.html").write_text(f"<!DOCTYPE html><title>static</title>{static}", encoding="utf-8")
        made[kind] = set()
        for file in ("view.svg", "static.html"):
            page = watch().open(tmp_path / file).page
            made[kind] |= {f"{file} {found}" for found in census(page)}
        lines = csv.reader(io.StringIO(view.to_csv(), newline=""))
        cells = [cell for line in lines for cell in line]
        assert [cell for cell in cells if cell.startswith(tuple("=+@\t\r"))] == []
        assert [cell for cell in cells if cell.startswith("-") and not re.fullmatch(r"-[0-9.]+", cell)] == []
    assert made["hostile"] == made["harmless"]

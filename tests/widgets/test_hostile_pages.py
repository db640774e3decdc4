"""Fifty hostile texts as names, values, users, types and ids: shown as texts, and nothing of them runs anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from payloads import PAYLOADS, log_of
from watched import Watched

import auditlab as al
from auditlab.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from playwright.sync_api import Browser, Page

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

"""The browser that the views are tried in sees what they must not do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from watched import Watched, keep_picture, violations

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

HOSTS = ("https://example.com/a.js", "http://192.0.2.7/b.png", "ws://example.org/c", "https://[2001:db8::1]/d")

WRONG = """
<!DOCTYPE html><html lang="en"><head><title>Wrong</title></head><body>
<img src="http://192.0.2.7/b.png"><p style="color: #ccc; background: #fff">too pale</p>
<script>
  fetch("https://example.com/a.js").then(() => { window.reached = true; }).catch(() => {});
  fetch("https://[2001:db8::1]/d").then(() => { window.reached = true; }).catch(() => {});
  new WebSocket("ws://example.org/c").onopen = () => { window.reached = true; };
  alert("hello");
  window.open("about:blank");
  setTimeout(() => { throw new Error("broken"); }, 0);
</script></body></html>
"""
RIGHT = """
<!DOCTYPE html><html lang="en"><head><title>Right</title></head><body><main><h1>Right</h1></main></body></html>
"""


@pytest.fixture
def wrong(browser: Browser, tmp_path: Path) -> Iterator[Watched]:
    """A page that does all that no view may do."""
    (tmp_path / "wrong.html").write_text(WRONG, encoding="utf-8")
    watched = Watched(browser)
    yield watched.open(tmp_path / "wrong.html")
    watched.close()


def test_requests_dialogs_errors_and_popups_are_seen_and_no_other_machine_is_reached(wrong: Watched):
    wrong.page.wait_for_load_state("networkidle")
    assert {*HOSTS} <= {*wrong.outside}
    assert wrong.dialogs == ["hello"]
    assert wrong.popups == ["about:blank"]
    assert any("broken" in error for error in wrong.errors)
    assert wrong.page.evaluate("window.reached") is None
    assert set(wrong.faults) == {"outside", "dialogs", "errors", "popups"}


def test_what_people_cannot_read_is_found(wrong: Watched):
    found = "\n".join(violations(wrong.page))
    assert "image-alt" in found
    assert "color-contrast" in found
    assert "color-contrast" not in "\n".join(violations(wrong.page, within="img"))


def test_a_page_that_does_no_wrong_has_no_faults_and_a_picture(browser: Browser, tmp_path: Path, monkeypatch):
    monkeypatch.setattr("watched.PICTURES", tmp_path)
    (tmp_path / "right.html").write_text(RIGHT, encoding="utf-8")
    watched = Watched(browser, dark=True)
    watched.open(tmp_path / "right.html")
    assert watched.page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    assert violations(watched.page) == []
    keep_picture(watched.page, "right")
    assert (tmp_path / "right.png").read_bytes()[1:4] == b"PNG"
    watched.close()
    assert watched.faults == {}

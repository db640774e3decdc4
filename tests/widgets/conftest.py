"""A real Chromium for the views: found on the machine, one a session, with no way to any other machine."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import sync_playwright
from watched import FLAGS, Watched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


def find_chromium() -> str | None:
    """The Chromium of this machine: the one that AUDITLAB_CHROMIUM names, or the first on PATH."""
    named = [name for name in (os.environ.get("AUDITLAB_CHROMIUM"), *NAMES) if name]
    return next((found for name in named if (found := shutil.which(name))), None)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium without a window; where there is none, the reason."""
    chromium = find_chromium()
    if chromium is None:
        why = f"no Chromium for the views: none of {', '.join(NAMES)} is on PATH (Debian: apt-get install chromium)"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        yield running
        running.close()


@pytest.fixture
def watch(browser: Browser) -> Iterator[Callable[..., Watched]]:
    """Opens watched pages (``watch(dark=False, width=1100, height=900)``); none may have done what no view may."""
    opened: list[Watched] = []

    def open_one(**options: bool | int) -> Watched:
        opened.append(Watched(browser, **options))
        return opened[-1]

    yield open_one
    faults = [watched.faults for watched in opened]
    for watched in opened:
        watched.close()
    assert faults == [{} for _ in opened]

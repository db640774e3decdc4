"""A page of a real browser, and what it did that no view may do: ask another machine, open a dialog, fail."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Dialog, Page

__all__ = ["FLAGS", "Watched", "keep_picture", "keep_top", "violations"]

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "build" / "pictures"
"""Where the tests leave their screenshots."""
SHOWN = ROOT / "notebooks" / "pictures"
"""The few that the README shows; made anew where AUDITLAB_PICTURES is set."""

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
)
"""How Chromium is started: it finds no other machine than this one, whatever a page asks for."""

HERE = {"localhost", "127.0.0.1"}
NO_HOST = {"file", "data", "blob", "about"}


class Watched:
    """One page in a context of its own.

    Attributes:
        page: The page, as Playwright drives it.
        outside: The addresses on other machines that it asked for. None can be reached.
        dialogs: What ``alert`` and its like said; each is closed.
        errors: What failed in it: uncaught errors and what it wrote to the console as an error.
        popups: The addresses of further windows that it opened.
    """

    def __init__(self, browser: Browser, *, dark: bool = False, width: int = 1100, height: int = 900) -> None:
        self._context = browser.new_context(
            color_scheme="dark" if dark else "light",
            viewport={"width": width, "height": height},
            reduced_motion="reduce",
        )
        self._context.set_default_timeout(60_000)
        self.outside: list[str] = []
        self.dialogs: list[str] = []
        self.errors: list[str] = []
        self.popups: list[str] = []
        self.page: Page = self._context.new_page()
        self._context.on("request", lambda request: self._asked(request.url))
        self._context.on("page", lambda opened: self.popups.append(opened.url))
        self.page.on("websocket", lambda socket: self._asked(socket.url))
        self.page.on("dialog", self._dialog)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)

    def _asked(self, address: str) -> None:
        parts = urlsplit(address)
        if parts.scheme not in NO_HOST and parts.hostname not in HERE:
            self.outside.append(address)

    def _dialog(self, dialog: Dialog) -> None:
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    def open(self, document: Path) -> Self:
        """Open an HTML document from its file, as somebody does who was handed it."""
        self.page.goto(document.as_uri())
        return self

    @property
    def faults(self) -> dict[str, list[str]]:
        """All that it did and must not, by its kind."""
        kinds = {"outside": self.outside, "dialogs": self.dialogs, "errors": self.errors, "popups": self.popups}
        return {kind: found for kind, found in kinds.items() if found}

    def close(self) -> None:
        """Close the page and its context."""
        self._context.close()


def violations(page: Page, *, within: str | None = None) -> list[str]:
    """What axe-core finds against the rules of accessibility: a line each element, with the rule that it breaks.

    Args:
        page: The page as it stands.
        within: A CSS selector of the part to look at; the whole page where it is None.
    """
    found = Axe().run(page, context=within)
    assert found.response["passes"], "axe-core looked at nothing"
    return [
        f"{broken['id']}: {element['target']} {element['failureSummary']}\n{element['html'][:300]}"
        for broken in found.response["violations"]
        for element in broken["nodes"]
    ]


def keep_picture(shown: Page | Locator, name: str) -> None:
    """Keep a screenshot for people to look at: all of a page, or one element of it."""
    whole = {} if isinstance(shown, Locator) else {"full_page": True}
    _keep(shown.screenshot(**whole), name)


def keep_top(shown: Locator, height: int, name: str) -> None:
    """Keep a screenshot of the upper part of an element, for the README."""
    shown.evaluate("(element) => element.scrollIntoView({ block: 'start' })")
    box = shown.bounding_box()
    assert box is not None
    _keep(shown.page.screenshot(clip={**box, "height": height}), name, in_readme=True)


def _keep(picture: bytes, name: str, *, in_readme: bool = False) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    path = PICTURES / f"{name}.png"
    path.write_bytes(picture)
    if in_readme and os.environ.get("AUDITLAB_PICTURES"):
        SHOWN.mkdir(exist_ok=True)
        (SHOWN / path.name).write_bytes(picture)

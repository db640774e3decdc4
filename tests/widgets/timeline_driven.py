"""The timeline of ``log.explore()`` as somebody uses it, by mouse and by keyboard, and what is read off it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from playwright.sync_api import Locator

__all__ = ["Timeline", "told_diff"]

AXIS = 30
"""Pixels above the first lane."""
STEP = 5
"""Pixels that the mouse is moved by, where a mark is looked for."""


def told_diff(timeline: pl.DataFrame, change: int) -> list[tuple[str, str, str]]:
    """What the view should tell of a change: field, old, new, as texts; an absent field is no JSON null."""
    told = timeline.filter(pl.col("id") == change, pl.col("field").is_not_null())
    return [
        (
            field,
            "absent" if kind == "added" else "null" if old is None else old,
            "absent" if kind == "removed" else "null" if new is None else new,
        )
        for field, kind, old, new in told.select("field", "kind", "old", "new").iter_rows()
    ]


class Timeline:
    """One timeline in a page.

    Args:
        view: The view's section.
    """

    def __init__(self, view: Locator) -> None:
        self.view = view
        self.slider = view.get_by_test_id("al-timeline")

    @property
    def cursor(self) -> tuple[int, int]:
        """The place of the cursor, from 1, and the number of changes, as a screen reader tells them."""
        now, most = (self.slider.get_attribute(f"aria-value{name}") for name in ("now", "max"))
        return int(now or 0), int(most or 0)

    def press(self, *keys: str) -> None:
        """Press keys on the timeline."""
        for key in keys:
            self.slider.press(key)

    def click(self, testid: str) -> None:
        """Click on a button."""
        self.view.get_by_test_id(testid).click()

    def settled(self) -> None:
        """Wait until what is told is of the change under the cursor."""
        place, _ = self.cursor
        self.view.locator(f"[data-testid=al-detail][data-row='{place - 1}']:not([aria-busy])").wait_for()

    def change(self) -> tuple[int, list[tuple[str, ...]]]:
        """The id of the change that is told, and its diff: field, old, new."""
        self.settled()
        facts = self.view.get_by_test_id("al-change").locator(".al-facts div", has_text="change").first
        number = facts.locator("dd").inner_text()
        rows = self.view.get_by_test_id("al-change").locator("tbody tr").all()
        return int(number), [tuple(row.locator("th, td").all_inner_texts()[1:]) for row in rows]

    def state(self) -> dict[str, list[str]]:
        """The state after the change, by field: value, set by, at, in change, from."""
        self.settled()
        rows = [row.locator("th, td").all_inner_texts() for row in self._rows("al-state")]
        return {row[0]: row[1:] for row in rows}

    def transaction(self) -> list[list[str]]:
        """The changes of the same transaction, as the table tells them."""
        self.settled()
        return [row.locator("th, td").all_inner_texts() for row in self._rows("al-transaction")]

    def _rows(self, testid: str) -> list[Locator]:
        return self.view.get_by_test_id(testid).locator("tbody tr").all()

    @property
    def status(self) -> str:
        """How many changes there are, after filters and in the brush."""
        return self.view.get_by_test_id("al-status").inner_text()

    @property
    def hover(self) -> str:
        """What is under the mouse."""
        return self.view.get_by_test_id("al-hover").inner_text()

    def point_at_a_mark(self, lane: int = 0, start: float = 0.0) -> str:
        """Move the mouse along a lane until a mark is under it; returns what is told of that."""
        self.slider.scroll_into_view_if_needed()
        box = self.slider.bounding_box()
        assert box is not None
        heights = self.view.get_by_test_id("al-lanes").locator("li").nth(lane).bounding_box()
        assert heights is not None
        mouse = self.view.page.mouse
        y = heights["y"] + heights["height"] / 2
        for x in range(int(box["width"] * start), int(box["width"]), STEP):
            mouse.move(box["x"] + x, y)
            if "change " in self.hover:
                return self.hover
        raise AssertionError(f"no mark in lane {lane}")

    def click_here(self) -> None:
        """Click where the mouse is."""
        self.view.page.mouse.down()
        self.view.page.mouse.up()

    def drag(self, start: float, end: float) -> None:
        """Drag over the timeline from one part of its width to another."""
        self.slider.scroll_into_view_if_needed()
        box = self.slider.bounding_box()
        assert box is not None
        mouse, y = self.view.page.mouse, box["y"] + box["height"] / 2
        mouse.move(box["x"] + box["width"] * start, y)
        mouse.down()
        mouse.move(box["x"] + box["width"] * (start + end) / 2, y)
        mouse.move(box["x"] + box["width"] * end, y)
        mouse.up()

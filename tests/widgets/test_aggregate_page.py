"""log.aggregate_view() handed over as a file: an order with its items, by keyboard, light and dark, with no kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from shop_in_postgres import LOG, ORDER
from timeline_driven import Timeline
from watched import keep_picture, violations

import auditlab as al

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from watched import Watched

    Watch = Callable[..., Watched]

ITEMS = ("shop.order_items", "order_id")


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The order with its items, as a file."""
    path = tmp_path_factory.mktemp("aggregate") / "order.html"
    al.read_parquet(LOG).aggregate_view("shop.orders", items=ITEMS, entity=ORDER).to_html(path)
    return path


@pytest.mark.parametrize(("dark", "width"), [(False, 900), (True, 1400)], ids=["light", "dark"])
def test_its_items_come_and_go_at_the_cursor_and_people_can_read_it(watch: Watch, document: Path, dark, width):
    page = watch(dark=dark, width=width).open(document).page
    page.wait_for_selector(".al-place[data-alive]")
    line = Timeline(page.get_by_test_id("auditlab-view"))
    line.press("Home")
    line.settled()
    assert "order_items: 4 there, 4 came" in line.status
    line.press("End", "ArrowLeft")
    line.settled()
    assert "parent: 1 there, 1 changed; order_items: 4 there." in line.status
    assert "order_items: 4 there, all as they were since the instant before" in line.view.inner_text()
    told = page.get_by_test_id("al-kind-parent").inner_text()
    assert "true" in told
    assert "cancelled" in told
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    keep_picture(line.view, f"aggregate-{'dark' if dark else 'light'}-{width}")

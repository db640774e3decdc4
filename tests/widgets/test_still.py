"""What stands in a notebook where no widget runs: a picture and a table of the same answer."""

from __future__ import annotations

import base64
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter

import auditlab as al
from auditlab.testing import make_log
from auditlab.widgets import view as views

ROOT = Path(__file__).resolve().parents[2]
WIDGET = "application/vnd.jupyter.widget-view+json"
STEPS = [("INSERT", "a", {"x": "<b>one</b>"}), ("UPDATE", "a", {"x": "two"})]
CELL = f"""
import auditlab as al
from auditlab.testing import make_log

al.from_arrow(make_log({STEPS!r})).explore()
"""


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    monkeypatch.setattr(views, "publish_display_data", found.append)
    return found


def show(steps: list[Any] = STEPS) -> None:
    view: Any = al.from_arrow(make_log(steps)).explore()
    view._ipython_display_()


def pictures(html: str) -> list[ET.Element]:
    """The pictures that stand in HTML as images."""
    found = re.findall('src="data:image/svg\\+xml;base64,([^"]+)"', html)
    return [ET.fromstring(base64.b64decode(one)) for one in found]  # noqa: S314 - our own text


def test_a_cell_shows_a_still_and_the_widget_as_an_output_of_its_own(published):
    show()
    still, widget = published
    assert set(still) == {"text/plain", "text/html"}
    assert still["text/plain"] == "Explore: Timeline of t, 2 changes"
    assert "&lt;b&gt;one&lt;/b&gt;" in still["text/html"]
    assert "run its cell" in still["text/html"]
    assert widget["text/html"] == ""
    assert set(widget) == {"text/html", WIDGET}


def test_the_widget_knows_the_name_of_its_still_and_each_view_has_one(published):
    log = al.from_arrow(make_log(STEPS))
    first, second = (log.explore() for _ in range(2))
    first._ipython_display_()
    assert f'data-still="{first.widget.still}"' in published[0]["text/html"]
    assert first.widget.still != second.widget.still


def test_static_views_are_a_still_alone_that_speaks_of_no_cell_to_run(published, monkeypatch):
    monkeypatch.setenv("AUDITLAB_STATIC", "1")
    show()
    assert [set(one) for one in published] == [{"text/plain", "text/html"}]
    assert "run its cell" not in published[0]["text/html"]


def test_the_picture_of_a_still_is_no_svg_element_which_front_ends_strip_and_brings_its_paper(published):
    show()
    assert "<svg" not in published[0]["text/html"]
    (drawn,) = pictures(published[0]["text/html"])
    assert "background:#ffffff" in drawn.attrib["style"]


def test_a_picture_whose_ticks_are_hours_says_the_day(published):
    show()
    (drawn,) = pictures(published[0]["text/html"])
    assert any("Times are UTC, of 2024-01-01." in text for text in drawn.itertext())


def test_what_is_not_certain_is_said_and_marked_in_picture_and_table(published):
    show([*STEPS, ("UPDATE", "a", {"x": "four"}, {"before_snapshot": {"x": "three"}})])
    html = published[0]["text/html"]
    (drawn,) = pictures(html)
    assert any("not certain." in text for text in drawn.itertext())
    assert "<td>not certain</td>" in html
    assert "<td>yes</td>" in html


def test_a_notebook_made_a_page_has_the_picture_and_the_table_and_no_hole():
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    done = NotebookClient(notebook, timeout=120, kernel_name="python3", store_widget_state=False).execute(cwd=str(ROOT))
    page, _ = HTMLExporter(embed_images=False).from_notebook_node(done)
    assert len(pictures(page)) == 1
    cells: list[str] = []
    parser = HTMLParser()
    parser.handle_data = cells.append  # type: ignore[method-assign]
    parser.feed(page)
    assert "<b>one</b>" in cells

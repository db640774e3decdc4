"""The timeline in a real Chromium: 50,000 changes beside Altair's canvas, and a million.

Run it alone: ``pytest -m bench -s tests/bench/bench_explore.py``. Both are documents on their own, opened from a file,
with the same changes in the same lanes: time across, users down, operations by colour and shape, and a brush that marks
what it holds. A picture is there when its canvas is in the page and the browser has drawn a frame after that.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from typing import TYPE_CHECKING, Any

import altair as alt
import pytest
from figures import faster, record
from made_log import made_log
from playwright.sync_api import sync_playwright

import auditlab as al

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import polars as pl
    from playwright.sync_api import Browser, Page

CHANGES = 50_000
MANY = 1_000_000
STEPS = 10
RUNS = 3
FLAGS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync")
FIRST_PICTURE = """
new MutationObserver((_, observer) => {
  if (!document.querySelector("canvas")) return;
  observer.disconnect();
  requestAnimationFrame(() => requestAnimationFrame(() => { window.drawnAfter = performance.now(); }));
}).observe(document, { childList: true, subtree: true });
"""
FRAME = "() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0)))"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=os.environ.get("AUDITLAB_CHROMIUM") or shutil.which("chromium"), args=list(FLAGS)
        )
        yield running
        running.close()


def log_of(changes: int) -> al.ChangeLog[pl.DataFrame]:
    rows = changes // 50
    return al.from_arrow(made_log(rows=rows, transactions=(changes - rows) // 4, each=4, note=20))


def by_altair(log: al.ChangeLog[pl.DataFrame], file: Path) -> None:
    rows = log.changes().select("changed_at", "changed_by", "operation", "id", "transaction_id", "entity_id")
    brush = alt.selection_interval(encodings=["x"], name="brush")
    chart = (
        alt.Chart(rows)
        .mark_point(filled=True)
        .encode(
            x="changed_at:T",
            y="changed_by:N",
            color="operation:N",
            shape="operation:N",
            opacity=alt.condition(brush, alt.value(1.0), alt.value(0.2)),
        )
        .properties(width=1100, height=900)
        .add_params(brush)
    )
    with alt.data_transformers.enable("default", max_rows=None):
        chart.save(file, inline=True, embed_options={"renderer": "canvas", "actions": False})


def first_picture(page: Page, file: Path) -> float:
    page.add_init_script(FIRST_PICTURE)
    page.goto(file.as_uri())
    until = time.monotonic() + 120
    while (
        drawn := page.evaluate("window.drawnAfter")
    ) is None:  # the page allows no text as code, so nothing waits in it
        assert time.monotonic() < until, "nothing was drawn in two minutes"
        page.wait_for_timeout(50)
    return drawn / 1000


def brushing(page: Page, place: str) -> float:
    """Ten steps of a drag over half of the picture, each until the browser has drawn what it does."""
    box: Any = page.locator(place).first.bounding_box()
    x, y = box["x"] + box["width"] / 4, box["y"] + min(box["height"], 500) / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.evaluate(FRAME)
    begin = time.perf_counter()
    for step in range(1, STEPS + 1):
        page.mouse.move(x + box["width"] / 2 * step / STEPS, y)
        page.evaluate(FRAME)
    spent = time.perf_counter() - begin
    page.mouse.up()
    return spent


def measured(chromium: Browser, files: dict[str, tuple[Path, str]]) -> dict[str, tuple[float, float]]:
    """For each document the least seconds to its first picture and for its brush, the runs taken in turns."""
    best = dict.fromkeys(files, (float("inf"), float("inf")))
    for _ in range(RUNS):
        for name, (file, place) in files.items():
            page = chromium.new_page(viewport={"width": 1400, "height": 1000})
            told = first_picture(page, file), brushing(page, place)
            best[name] = min(best[name][0], told[0]), min(best[name][1], told[1])
            page.close()
    return best


@pytest.mark.bench
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_fifty_thousand_changes_beside_altair(chromium: Browser, tmp_path: Path):
    log = log_of(CHANGES)
    ours, theirs = tmp_path / "ours.html", tmp_path / "altair.html"
    log.explore(lanes="user").to_html(ours)
    by_altair(log, theirs)
    found = measured(chromium, {"explore": (ours, ".al-slider"), "Altair, canvas": (theirs, "canvas")})
    for place, what, times in ((0, "Timeline: first picture", 2), (1, "Timeline: brush in ten steps", 3)):
        record(
            what,
            ours={"explore": found["explore"][place]},
            rivals={"Altair, canvas": found["Altair, canvas"][place]},
            goals=[faster("explore", times, "Altair, canvas")],
            changes=len(log),
        )
    sizes = {file.name: f"{file.stat().st_size / 1e6:.1f} MB" for file in (ours, theirs)}
    print(f"  the documents: {json.dumps(sizes)}; ours holds the details of 10,000 changes")


@pytest.mark.bench
def test_a_million_changes_open(chromium: Browser, tmp_path: Path):
    log = log_of(MANY)
    log.timeline()
    begin = time.perf_counter()
    view = log.explore(lanes="user")
    opened = time.perf_counter() - begin
    file = tmp_path / "many.html"
    view.to_html(file)
    page = chromium.new_page(viewport={"width": 1400, "height": 1000})
    drawn = first_picture(page, file)
    notes = page.get_by_test_id("al-notes").inner_text()
    assert f"{len(log):,} changes in view, by density" in notes
    assert "This file holds the details of the last 10,000" in notes
    spent = brushing(page, ".al-slider")
    counted = page.get_by_test_id("al-status").filter(has_text="in the brush")
    counted.wait_for()
    status = counted.inner_text()
    record("Timeline of many: explore()", ours={"in Python, shape known": opened}, changes=len(log))
    record("Timeline of many: first picture", ours={"from a file": drawn}, changes=len(log))
    record("Timeline of many: brush in ten steps", ours={"explore": spent}, changes=len(log))
    print(f"  the document: {file.stat().st_size / 1e6:.1f} MB; {status}")

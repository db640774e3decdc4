"""The views in a JupyterLab with a kernel, on a log read from PostgreSQL: what is shown, and what Python is told of it.

One notebook is opened and run; the tests go on in it, each from what it selects itself.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest
from lab import IDLE, SESSION, TOKEN, Lab, Notebook
from payloads import log_of
from shop_in_postgres import LOG, ORDER, put
from timeline_driven import Timeline, told_diff
from watched import Watched, keep_picture, keep_top, violations

import auditlab as al
from auditlab.clock import instant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Locator

CELLS = {
    "log": """
import polars as pl

import auditlab as al

log = al.read_postgres({dsn!r}, progress=False)
orders = log.of("shop.orders")
divisor = [1]
""",
    "explore": """
view = orders.entity({order!r}).explore()
view
""",
    "dashboard": """
board = log.dashboard()
board
""",
    "aggregate": """
family = log.aggregate_view("shop.orders", items=("shop.order_items", "order_id"), entity={order!r})
family
""",
    "compare": """
sides = orders.compare_view("2026-11-23T02:52:16+00:00", "2026-11-23T02:52:18+00:00")
sides
""",
    "beside": """
import ipywidgets

ipywidgets.HBox([orders.entity({order!r}).explore().widget, orders.entity({order!r}).explore().widget])
""",
    "hostile": """
strange = al.read_parquet("hostile.parquet")
odd = strange.of("orders")
display(strange, odd.diffs(), odd.as_of(), strange.summary())
display(odd.explore(), strange.dashboard(), odd.compare_view("2024-01-01", "2024-01-01T00:02:00"))
""",
}


@pytest.fixture(scope="module")
def notebook(
    browser: Browser,
    make_database: Callable[..., str],
    published_template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Notebook]:
    """The notebook, run once; when all tests are done, nothing outside may have been asked, and nothing failed."""
    dsn = make_database(published_template, prefix="lab")
    put(dsn)
    cells = [cell.strip().format(dsn=dsn, order=ORDER) for cell in CELLS.values()]
    folder = tmp_path_factory.mktemp("lab")
    log_of().write_parquet(folder / "hostile.parquet")
    with Lab(folder) as lab:
        watched = Watched(browser, width=1280, height=2200)
        yield lab.open(watched.page, "shop", cells).run()
        faults = watched.faults
        watched.close()
    assert faults == {}


@pytest.fixture(scope="module")
def recorded() -> pl.DataFrame:
    """The changes of the order, field by field, as the log beside the tests tells them."""
    return al.read_parquet(LOG).of("shop.orders").entity(ORDER).timeline()


def shown(notebook: Notebook, name: str) -> Locator:
    """The view that a cell shows."""
    return cell(notebook, name).get_by_test_id("auditlab-view")


def cell(notebook: Notebook, name: str) -> Locator:
    """A cell with what it shows."""
    return notebook.page.locator(".jp-CodeCell").nth(list(CELLS).index(name))


def timeline(notebook: Notebook) -> Timeline:
    return Timeline(shown(notebook, "explore"))


def test_the_cursor_goes_by_key_from_change_to_change_and_python_knows_where(
    notebook: Notebook, recorded: pl.DataFrame
):
    line = timeline(notebook)
    ids = recorded["id"].unique(maintain_order=True).to_list()
    for key, row in (("Home", 0), ("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("End", len(ids) - 1)):
        line.press(key)
        assert line.cursor == (row + 1, len(ids))
        assert line.change() == (ids[row], told_diff(recorded, ids[row]))
        notebook.expect("view.selection['cursor']", ids[row])


def test_the_state_under_the_cursor_is_that_of_the_log_then_and_names_who_set_each_field(notebook: Notebook):
    line = timeline(notebook)
    line.press("End")
    told = line.state()
    for row in al.read_parquet(LOG).of("shop.orders").blame(ORDER).to_dicts():
        value, by, _, change, _ = told[row["field"]]
        assert value == ("null" if row["value"] is None else row["value"])
        assert (by, change) == (row["set_by"], str(row["id"]))
    assert told["total"][0] == "9410.3500"


def test_the_mouse_points_at_a_change_and_a_click_puts_the_cursor_there(notebook: Notebook, recorded: pl.DataFrame):
    line = timeline(notebook)
    line.press("Home")
    words = line.point_at_a_mark(start=0.5)
    line.click_here()
    change, diff = line.change()
    assert words.startswith(f"change {change}: ")
    assert diff == told_diff(recorded, change)
    notebook.expect("view.selection['cursor']", change)


def test_the_transaction_of_a_change_is_told_whole(notebook: Notebook):
    line = timeline(notebook)
    line.press("Home")
    changes = al.read_parquet(LOG).transaction(757).changes()
    rows = line.transaction()
    assert [row[0].split()[0] for row in rows] == [str(number) for number in changes["id"]]
    assert [row[2:4] for row in rows] == [list(row) for row in changes.select("entity_type", "entity_id").iter_rows()]


def test_a_brush_and_filters_select_and_python_has_the_rows(notebook: Notebook, recorded: pl.DataFrame):
    line = timeline(notebook)
    line.drag(0.3, 0.9)
    inside = int(re.search(r"(\d+) in the brush", line.status)[1])
    notebook.expect("len(view.selection['ids'])", inside)
    brush, ids = notebook.ask("[view.selection['brush'], view.selection['ids']]")
    first, last = (instant(text, "UTC") for text in brush)
    brushed = recorded.filter(pl.col("changed_at") >= first, pl.col("changed_at") < last)
    assert ids == brushed["id"].unique(maintain_order=True).to_list()
    assert 0 < inside < recorded["id"].n_unique()
    line.view.get_by_test_id("al-field").select_option(label="status")
    status = brushed.filter(pl.col("field") == "status")
    notebook.expect("view.frame.select('id', 'new').rows()", [list(row) for row in status.select("id", "new").rows()])
    run = "(lambda names: exec(view.code, names) or names['rows'])({**globals()})"
    assert notebook.ask(f"{run}.equals(view.frame)")
    keep_picture(line.view, "lab-brush")
    line.click("al-clear")
    line.press("Escape")
    notebook.expect("[view.selection['brush'], view.selection['field']]", [None, None])
    assert notebook.ask("len(view.selection['ids'])") == recorded["id"].n_unique()


def test_play_goes_through_all_changes_and_stops_at_the_last(notebook: Notebook, recorded: pl.DataFrame):
    line = timeline(notebook)
    line.press("Home")
    line.click("al-play")
    most = recorded["id"].n_unique()
    line.view.locator(f"[data-testid=al-timeline][aria-valuenow='{most}']").wait_for()
    line.view.locator("[data-testid=al-play][aria-pressed=false]").wait_for()
    assert line.change()[0] == recorded["id"][-1]
    notebook.expect("view.selection['cursor']", recorded["id"][-1])


def test_keys_in_a_view_are_no_commands_of_the_notebook(notebook: Notebook):
    """In its command mode JupyterLab inserts a cell at "a" and cuts one at "x", and moves its own cursor by arrows."""
    line, page = timeline(notebook), notebook.page
    cells = page.locator(".jp-Cell").count()
    user = line.view.get_by_test_id("al-user")
    for focused in (line.slider, line.view.get_by_test_id("al-play"), user, line.view.locator("summary").last):
        focused.focus()
        for key in ("a", "b", "x", "m", "Shift+M"):
            page.keyboard.press(key)
    assert page.locator(".jp-Cell").count() == cells
    line.click("al-clear")
    user.focus()
    page.keyboard.press("ArrowDown")
    notebook.expect("view.selection['user']", notebook.ask("view._points.users[0]"))
    line.click("al-clear")
    transaction = line.view.get_by_test_id("al-transaction-filter")
    transaction.click()
    page.keyboard.type("757")
    page.keyboard.press("Enter")
    notebook.expect("view.selection['transaction']", 757)
    line.click("al-clear")
    notebook.expect("view.selection['transaction']", None)


def test_what_python_selects_is_shown(notebook: Notebook, recorded: pl.DataFrame):
    line = timeline(notebook)
    line.press("Home")
    notebook.expect("view.selection['cursor']", recorded["id"][0])  # the kernel hears of a key beside what it runs
    assert notebook.ask("view.choose(cursor=447)") is None
    line.view.locator("[data-testid=al-timeline][aria-valuetext*='change 447:']").wait_for()
    assert line.change() == (447, told_diff(recorded, 447))


def test_an_error_of_a_callback_is_shown_under_the_view_until_it_succeeds(notebook: Notebook):
    line = timeline(notebook)
    assert notebook.ask("view.on_selection(lambda selection: 1 / divisor[0])") is None
    assert notebook.ask("divisor.__setitem__(0, 0)") is None
    line.press("Home", "ArrowRight")
    alarm = line.view.get_by_test_id("al-error")
    alarm.wait_for()
    assert "ZeroDivisionError: division by zero" in alarm.inner_text()
    assert notebook.ask("divisor.__setitem__(0, 1)") is None
    line.press("ArrowRight")
    alarm.wait_for(state="hidden")


def test_a_bar_of_the_dashboard_leads_to_its_rows_in_the_page_and_in_python(notebook: Notebook):
    board = shown(notebook, "dashboard")
    mark = board.locator(".al-mark", has_text="UPDATE,").first
    words = mark.get_attribute("aria-label") or ""
    mark.click()
    board.locator(".al-rows tbody tr").first.wait_for()
    assert board.locator(".al-rows h2, .al-rows h3").first.inner_text() == words
    notebook.expect("board.selection['words']", words)
    assert notebook.ask("board.rows()['operation'].unique().to_list()") == ["UPDATE"]
    assert f": {notebook.ask('board.rows().height')} changes" in words
    mark.focus()
    notebook.page.keyboard.press("Escape")
    notebook.expect("board.selection", {})
    assert notebook.ask("board.select('m0')") is None
    board.locator(".al-mark[data-mark=m0][aria-pressed=true]").wait_for()


def test_an_order_is_shown_with_its_items_at_the_cursor(notebook: Notebook):
    line = Timeline(shown(notebook, "aggregate"))
    line.press("Home")
    line.settled()
    assert "4 there, 4 came" in line.status
    line.press("End")
    line.settled()
    assert "4 there" in line.status
    assert "came" not in line.status
    notebook.expect("family.selection['cursor']", 628)
    assert notebook.ask("len(family.frame['order_items'][0])") == 4


def test_two_times_stand_side_by_side_and_python_knows_which_entity(notebook: Notebook):
    view = shown(notebook, "compare")
    view.get_by_test_id("al-entities").get_by_role("button", name=ORDER).click()
    rows = view.get_by_test_id("al-sides").locator("table").first.locator("tbody tr")
    rows.first.wait_for()
    told = {cells[0]: cells[1:3] for cells in (row.locator("th, td").all_inner_texts() for row in rows.all())}
    assert (told["paid"], told["status"]) == (["true", "false"], ["cancelled", "paid"])
    assert told["total"] == ["9410.3500", "9410.3500"]
    notebook.expect("[sides.selection['entity_id'], sides.selection['kind']]", [ORDER, "modified"])
    assert notebook.ask("sides.rows().select('field', 'old', 'new').rows()") == [
        ["paid", "true", "false"], ["status", "cancelled", "paid"],
    ]  # fmt: skip


def test_hostile_texts_run_nowhere_in_a_notebook(notebook: Notebook):
    strange = cell(notebook, "hostile")
    for view in shown(notebook, "hostile").all():
        view.wait_for()
    assert "<script>window.ran=1</script>" in strange.inner_text()
    assert notebook.page.evaluate("window.ran") is None
    ours = ".al-still > img[src^='data:image/svg+xml;base64,']"
    assert strange.locator(ours).count() == 3
    made = strange.locator(
        f"iframe, object, embed, img:not({ours}), video, form, base, link, meta, a[href^=javascript]"
    )
    assert [one.evaluate("(element) => element.outerHTML") for one in made.all()] == []


def test_the_readme_shows_the_timeline_of_an_order(notebook: Notebook):
    notebook.theme("JupyterLab Light")
    line = timeline(notebook)
    line.press("Home", "ArrowRight")
    line.change()
    keep_top(cell(notebook, "explore"), 786, "explore")
    assert line.cursor[0] == 2


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
@pytest.mark.parametrize("name", ["explore", "dashboard", "aggregate", "compare"])
def test_people_can_read_each_view_in_both_themes(notebook: Notebook, name: str, theme: str):
    notebook.theme(theme)
    view = shown(notebook, name)
    view.scroll_into_view_if_needed()
    view.evaluate("(view) => view.setAttribute('data-looked-at', '')")
    assert violations(notebook.page, within="[data-looked-at]") == []
    view.evaluate("(view) => view.removeAttribute('data-looked-at')")
    keep_picture(view, f"lab-{name}-{theme.rsplit(maxsplit=1)[-1].lower()}")


def test_two_views_beside_each_other_are_not_cut_off(notebook: Notebook):
    beside = cell(notebook, "beside").locator(".widget-hbox")
    shown(notebook, "beside").nth(1).wait_for()
    assert beside.evaluate("(box) => box.scrollWidth - box.clientWidth") == 0
    keep_picture(beside, "lab-beside")


def test_while_a_view_lives_no_still_stands_beside_it(notebook: Notebook):
    shown(notebook, "explore").wait_for()
    assert cell(notebook, "explore").locator(".al-still").count() == 1
    assert not cell(notebook, "explore").locator(".al-still").is_visible()


def test_a_view_whose_kernel_was_restarted_says_so(notebook: Notebook):
    """No view of the notebook has a kernel afterwards."""
    notebook.page.evaluate(f"() => {SESSION}.session.kernel.restart()")
    notebook.page.wait_for_function(IDLE)
    line = timeline(notebook)
    line.press("Home", "ArrowRight")
    alarm = line.view.get_by_test_id("al-error")
    alarm.wait_for()
    assert alarm.inner_text() == "no answer from Python: its kernel was restarted, or was ended. Run the cell again."


def test_a_notebook_that_is_opened_again_shows_a_still_of_each_view(notebook: Notebook, browser: Browser):
    """The last: the notebook as it was saved, in a copy with a kernel of its own that knows none of its widgets."""
    notebook.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    notebook.page.wait_for_function(f"() => !{SESSION.removesuffix('?.sessionContext')}.model.dirty")
    folder = Path(notebook.ask("__import__('os').getcwd()"))
    shutil.copy(folder / "shop.ipynb", folder / "again.ipynb")
    watched = Watched(browser, width=1280, height=2200)
    address = notebook.page.url.split("?")[0].replace("shop.ipynb", "again.ipynb")
    watched.page.goto(f"{address}?token={TOKEN}")
    watched.page.wait_for_function(IDLE)
    for name in ("explore", "dashboard", "aggregate", "compare"):
        again = cell(Notebook(watched.page), name)
        again.locator(".jp-mod-trusted > .al-still > img").wait_for()
        again.get_by_text("model not found").wait_for(state="hidden")
        assert again.locator(".al-still table tbody tr").count() > 0
        assert again.locator(".al-still > img").evaluate("(image) => image.naturalWidth") > 0
        keep_picture(again, f"lab-again-{name}")
    faults = watched.faults
    watched.close()
    assert [said for said in faults.pop("errors") if "widget model not found" not in said] == []
    assert faults == {}

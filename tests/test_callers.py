"""Warnings point at the line that asked, whatever in auditlab finds their reason."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest
import small_shop

import auditlab as al
from auditlab.testing import make_log

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditlab.changelog import ChangeLog

HERE = small_shop.__file__
"""Where the questions of ``small_shop.STATE_VERBS`` are asked."""


def began_before() -> ChangeLog:
    """A log of orders of which some were there before it began."""
    order = {"entity_type": "orders"}
    item = {"entity_type": "items", "after_snapshot": '{"id": "i1", "order_id": "o1"}'}
    old = {"before_snapshot": '{"n": 0}', "changed_by": "ann"}
    rows = [("UPDATE", "o1", {"n": 1}, {**order, **old}), ("INSERT", "i1", {}, item)]
    return al.from_arrow(make_log(rows))


def where(ask: Callable[[], object]) -> set[str]:
    """The files that the warnings of a question point at."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        ask()
    assert told, "it warns"
    return {one.filename for one in told}


@pytest.mark.parametrize("verb", ["as_of", "blame", "replay"])
@pytest.mark.parametrize("engine", ["polars", "duckdb"])
def test_a_warning_of_an_answer_points_at_the_question(verb: str, engine: str):
    log = began_before().of("orders").on(engine)
    assert where(lambda: small_shop.STATE_VERBS[verb](log)) == {HERE}


def test_a_warning_of_a_lazy_answer_points_at_who_takes_its_rows(tmp_path: Path):
    began_before().to_archive(tmp_path / "archive")
    log = al.scan_archive(tmp_path / "archive", memory="64 MB")
    assert where(lambda: log.as_of().collect()) == {__file__}
    assert where(lambda: log.blame().collect()) == {__file__}


def test_a_warning_of_a_selector_and_of_a_load_point_at_their_lines(tmp_path: Path):
    path = tmp_path / "log.csv"
    log = began_before()
    log.changes().write_csv(path)
    path.write_text(path.read_text(encoding="utf-8").rstrip("\n"), encoding="utf-8")
    assert where(lambda: log.by("nobody").diffs()) == {__file__}
    assert where(lambda: al.read_csv(path)) == {__file__}
    unread = pl.DataFrame(log.changes()).rename({"changed_by": "actor"})
    assert where(lambda: al.from_arrow(unread)) == {__file__}


def test_a_file_beside_the_package_whose_name_begins_as_its_folder_is_the_callers():
    beside = f"{Path(al.__file__).parent}-notes.py"
    space = {"log": began_before()}
    code = compile("log.as_of()", beside, "exec")
    assert where(lambda: exec(code, space)) == {beside}  # noqa: S102 - a line of that file

"""Which fields appeared, vanished, changed type or name: found with their transactions, and nothing made up."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import auditlab as al
from auditlab.analytics.drift import DRIFT
from auditlab.errors import IncompleteLog
from auditlab.testing import make_log

DATA = Path(__file__).resolve().parents[1] / "data"
OUTSIDE = "AUDITLAB_TEST_DATA"
NAMES = "abc"


def told(steps: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Kind, old, new, rows, whether a change of the log did it, and its transaction."""
    found = al.from_arrow(make_log(steps)).drift()
    assert found.schema == pl.Schema(DRIFT)
    return found.select("kind", "field", "old", "new", "rows", "logged", "transaction_id").rows()


def outside(folder: str) -> Path:
    """A folder of the data that lies outside the project: unset, the test skips; set and not there, it fails."""
    given = os.environ.get(OUTSIDE)
    if not given:
        pytest.skip(f"{OUTSIDE} is not set: {folder} cannot be compared with its truth")
    path = Path(given) / folder
    if not path.is_dir():
        pytest.fail(f"{OUTSIDE} is {given!r}, which has no folder {folder!r}")
    return path


def inserts(**fields: object) -> list[tuple[Any, ...]]:
    return [("INSERT", name, {"id": name, **fields}) for name in NAMES]


def test_a_steady_table_does_not_drift():
    assert told([*inserts(n=1), *(("UPDATE", name, {"id": name, "n": None}) for name in NAMES)]) == []


def test_a_field_that_ddl_added_is_dated_by_the_first_change_that_has_it():
    steps = inserts(n=1)
    for name in NAMES:
        before = {"id": name, "n": 1, "c": "red"}
        steps.append(("UPDATE", name, {**before, "n": 2}, {"before_snapshot": before}))
    assert told(steps) == [("appeared", "c", None, "string", 1, False, 4)]


def test_a_field_that_changes_of_the_log_removed():
    steps = inserts(n=1)
    steps += [("UPDATE", name, {"id": name}, {"transaction_id": 9}) for name in NAMES]
    assert told(steps) == [("vanished", "n", "number", None, 3, True, 9)]


def test_a_field_that_changed_its_type():
    steps = inserts(n=1)
    steps += [("UPDATE", name, {"id": name, "n": "one"}, {"transaction_id": 9}) for name in NAMES]
    assert told(steps) == [("retyped", "n", "number", "string", 3, True, 9)]


def test_types_of_a_field_are_told_by_name_whichever_came_first():
    steps = inserts()
    steps += [("UPDATE", name, {"id": name, "x": value}) for name, value in zip(NAMES, ("s", 1, "s"), strict=True)]
    steps += [("UPDATE", name, {"id": name, "x": 1}) for name in NAMES]
    first = al.from_arrow(make_log(steps)).drift().filter(kind="appeared")
    assert first["new"].to_list() == ["number or string"]


def test_a_field_that_was_renamed_keeps_its_values():
    steps = inserts(n=1, note="x")
    for name in NAMES:
        before = {"id": name, "n": 1, "remark": "x"}
        steps.append(("UPDATE", name, {**before, "n": 2}, {"before_snapshot": before}))
    assert told(steps) == [("renamed", "remark", "note", "remark", 1, False, 4)]


def test_likely_renames_name_a_field_by_its_last_name():
    names = ("a", "b", "a", "c", "d", "b")
    steps = inserts(a=1)
    for number, (old, new) in enumerate(pairwise(names)):
        steps += [("UPDATE", name, {"id": name, new: 1}, {"transaction_id": 9 + number}) for name in NAMES]
        log = al.from_arrow(make_log(steps))
        assert log.likely_renames() == {"t": dict.fromkeys({*names[: number + 1], old} - {new}, new)}
        assert log.renamed(log.likely_renames()).fields()["field"].to_list() == ["id", new]
        assert log.drift().equals(log.renamed(log.likely_renames()).drift())
    assert al.from_arrow(make_log(inserts(a=1))).likely_renames() == {}
    with pytest.raises(IncompleteLog, match="needs whole histories"):
        log.by("someone").likely_renames()


def test_a_field_that_came_where_another_went_with_other_values_is_no_renaming():
    steps = inserts(old="x")
    steps += [("UPDATE", name, {"id": name, "new": f"other {name}"}, {"transaction_id": 9}) for name in NAMES]
    assert {row[0] for row in told(steps)} == {"appeared", "vanished"}


def test_a_field_that_was_always_null_is_no_renaming():
    steps = inserts(note=None)
    steps += [("UPDATE", name, {"id": name, "remark": None}, {"transaction_id": 9}) for name in NAMES]
    assert sorted(told(steps)) == [
        ("appeared", "remark", None, "null", 3, True, 9),
        ("vanished", "note", "null", None, 3, True, 9),
    ]


def test_keys_that_come_and_go_by_row_are_no_columns():
    steps: list[tuple[Any, ...]] = []
    for number in range(40):
        fields = {"id": str(number)} | ({"n": 1} if number % 3 else {})
        steps.append(("INSERT", str(number), fields))
    assert told(steps) == []


def test_one_odd_row_is_no_drift():
    steps = [*inserts(n=1), ("INSERT", "odd", {"id": "odd"}), ("INSERT", "x", {"id": "x", "n": 1}), *inserts(n=2)]
    assert told(steps) == []


def test_a_log_without_transactions_drifts_all_the_same():
    steps = [(*step, {"transaction_id": None}) for step in inserts(n=1)]
    steps += [("UPDATE", name, {"id": name, "m": 1}, {"transaction_id": None}) for name in NAMES]
    assert told(steps) == [("renamed", "m", "n", "m", 1, True, None)]


def test_an_empty_log_does_not_drift():
    assert al.from_arrow(make_log([])).drift().schema == pl.Schema(DRIFT)


def test_picked_changes_are_refused():
    with pytest.raises(IncompleteLog, match="drift.. needs whole histories"):
        al.from_arrow(make_log(inserts(n=1))).by("someone").drift()


@pytest.mark.parametrize("folder", ["shop", "pgbench"])
def test_tables_whose_columns_stayed_do_not_drift(folder: str):
    assert al.read_parquet(DATA / folder / "log.parquet").drift().is_empty()


def test_sp500_had_three_headers():
    log = al.read_parquet(outside("sp500") / "log.parquet")
    found = log.drift()
    assert found["transaction_id"].unique().sort().to_list() == [63, 150, 151]
    assert found["logged"].all()
    renamed = found.filter(pl.col("kind") == "renamed").select("transaction_id", "old", "new").rows()
    assert (63, "Name", "Security") in renamed
    assert [row for row in renamed if row[0] > 63] == [(150, "Security", "Company"), (151, "Company", "Security")]
    assert log.likely_renames() == {"constituent": {"Name": "Security", "Company": "Security"}}
    assert log.likely_renames(share=0.5)["constituent"]["Sector"] == "GICS Sub-Industry"  # so 62 had used it
    first = found.filter(pl.col("transaction_id") == 63)
    assert set(first["field"]) == {
        "Security",
        "GICS Sector",
        "GICS Sub-Industry",
        "Headquarters Location",
        "Date added",
        "CIK",
        "Founded",
    }


@pytest.mark.parametrize("folder", ["sp500", "legislators_social"])
def test_the_logs_from_git_give_hints_at_most(folder: str):
    log = al.read_parquet(outside(folder) / "log.parquet")
    assert log.evidence().worst in (None, "hint")


def test_legislators_do_not_drift():
    assert al.read_parquet(outside("legislators_social") / "log.parquet").drift().is_empty()

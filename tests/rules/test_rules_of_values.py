"""The rules of values, each under its number."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

import auditlab as al
from auditlab.connection import connect
from auditlab.testing import make_log

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    LogOf = Callable[..., al.ChangeLog[Any]]

WIDE = "123456789012345678.901234567890"
EQUAL = {
    "scale": ('{"v": 1.50}', '{"v": 1.5}'),
    "exponent": ('{"v": 1e3}', '{"v": 1000}'),
    "zone": ('{"v": "2024-03-01T12:00:00+00:00"}', '{"v": "2024-03-01T13:00:00+01:00"}'),
    "key order": ('{"a": 1, "b": {"x": 1, "y": 2}}', '{"b": {"y": 2, "x": 1}, "a": 1}'),
    "escapes": ('{"v": "\\u00e9"}', '{"v": "é"}'),
}


@pytest.mark.parametrize("case", EQUAL)
def test_rule_07_equal_means_equal_as_a_value(log_of: LogOf, case: str):
    one, other = EQUAL[case]
    log = log_of([("INSERT", "a", one), ("UPDATE", "a", other)])
    assert log.diffs()["id"].unique().to_list() == [1]
    assert "unlogged change" not in log.evidence().findings["kind"].to_list()


def test_rule_07_a_session_s_settings_change_the_text_and_no_value(published: str, engine: str):
    with connect(published, autocommit=True) as shop:
        shop.execute(
            "ALTER TABLE orders.orders ADD raw bytea DEFAULT '\\xdeadbeef', ADD span interval DEFAULT '26 hours'"
        )
        shop.execute("INSERT INTO orders.orders (total) VALUES (1)")
        shop.execute("SET TimeZone = 'Asia/Kolkata'; SET bytea_output = 'escape'; SET IntervalStyle = 'iso_8601'")
        shop.execute("UPDATE orders.orders SET total = 2")
    orders = al.read_postgres(published, progress=False).of("orders.orders").on(engine)
    texts = orders.changes().select(pl.col("after_snapshot").str.extract(r'"created_at": "([^"]*)"')).to_series()
    assert texts[0] != texts[1]
    assert orders.where(operation="UPDATE").diffs()["field"].to_list() == ["total"]


def test_rule_08_numbers_are_exact(log_of: LogOf, tmp_path: Path):
    first, second = f'{{"n": {WIDE}, "big": 18446744073709551617, "m": 1.10}}', f'{{"n": {WIDE[:-1]}1, "m": 1.1}}'
    log = log_of([("INSERT", "a", first), ("UPDATE", "a", second)])
    state = log.as_of(id=1).row(0, named=True)
    assert (state["n"], state["big"], state["m"]) == (Decimal(WIDE), Decimal(2**64 + 1), Decimal("1.10"))
    changed = log.where(operation="UPDATE").diffs().select("field", "kind", "old", "new").rows()
    assert changed == [("n", "modified", WIDE, WIDE[:-1] + "1"), ("big", "removed", "18446744073709551617", None)]
    assert log.diffs().filter(pl.col("field") == "m")["new"].to_list() == ["1.10"], "shown as it was recorded"
    log.to_archive(tmp_path / "kept")
    kept = al.scan_archive(tmp_path / "kept").changes().collect()
    assert kept["after_snapshot"].to_list() == [first, second]


def test_rule_08_what_no_typed_column_can_hold_stays_text_and_is_flagged(log_of: LogOf):
    log = log_of([("INSERT", "a", f'{{"n": {"9" * 45}}}'), ("INSERT", "b", '{"n": 0.5}')])
    (field,) = log.fields().to_dicts()
    assert field["dtype"] == "String"
    assert field["note"]
    assert log.as_of()["n"].to_list() == ["9" * 45, "0.5"]


def test_rule_09_null_is_not_a_missing_key(log_of: LogOf):
    log = log_of(
        [("INSERT", "a", {"x": 1, "y": 1}), ("UPDATE", "a", {"x": None}), ("UPDATE", "a", {"x": None, "y": None})]
    )
    columns = ("id", "field", "kind", "old_present", "new_present", "old", "new")
    assert log.where(operation="UPDATE").diffs().select(columns).rows() == [
        (2, "x", "modified", True, True, "1", None),
        (2, "y", "removed", True, False, "1", None),
        (3, "y", "added", False, True, None, None),
    ]


def test_rule_10_changed_fields_is_recomputed_from_the_images(log_of: LogOf):
    lie = {"changed_fields": {"y": 5}}
    log = log_of([("INSERT", "a", {"x": 1, "y": 5}), ("UPDATE", "a", {"x": 2, "y": 5}, lie)])
    assert log.where(operation="UPDATE").diffs()["field"].to_list() == ["x"]
    assert log.evidence().rows("changed_fields disagree")["id"].unique().to_list() == [2]


@pytest.mark.parametrize("stored", [{"x": 2}, ["x"], None], ids=["new values", "names", "nothing"])
def test_rule_10_every_known_form_of_the_stored_list_is_understood(log_of: LogOf, stored: object):
    log = log_of([("INSERT", "a", {"x": 1}), ("UPDATE", "a", {"x": 2}, {"changed_fields": stored})])
    assert log.evidence().findings.is_empty()


def test_rule_11_a_placeholder_means_unchanged_and_is_never_an_edit(log_of: LogOf):
    unsent = "__debezium_unavailable_value"
    log = log_of(
        [
            ("INSERT", "a", {"x": 1, "long": "text"}),
            ("UPDATE", "a", {"x": 2, "long": unsent}, {"before_snapshot": {"x": 1, "long": unsent}}),
        ]
    )
    assert log.where(operation="UPDATE").diffs()["field"].to_list() == ["x"]
    assert log.as_of()["long"].to_list() == ["text"]


def test_rule_12_types_are_inferred_from_every_row(engine: str):
    rows = [("INSERT", str(number), {"n": number}) for number in range(300)]
    frame = make_log([*rows, ("INSERT", "last", {"n": Decimal("0.25")})])
    state = al.from_arrow(frame).on(engine).as_of()
    assert state.schema["n"] == pl.Decimal(38, 2)
    assert state.filter(pl.col("entity_id") == "last")["n"].to_list() == [Decimal("0.25")]


def test_rule_12_types_come_from_the_live_catalog(published: str, engine: str):
    with connect(published, autocommit=True) as shop:
        shop.execute("INSERT INTO orders.orders (total) VALUES (1)")
    orders = al.read_postgres(published, progress=False).of("orders.orders").on(engine)
    assert dict(orders.fields().select("field", "kind").iter_rows())["created_at"] == "timestamptz"
    assert orders.as_of().schema["created_at"] == pl.Datetime("us", "UTC")


def test_rule_12_a_key_that_vanished_with_ddl_is_drift_and_nobody_s_edit(published: str, engine: str):
    with connect(published, autocommit=True) as shop:
        shop.execute("INSERT INTO orders.orders (total) SELECT n FROM generate_series(1, 5) AS n")
        shop.execute("ALTER TABLE orders.orders DROP COLUMN customer_id")
        shop.execute("UPDATE orders.orders SET total = total + 1")
    orders = al.read_postgres(published, progress=False).of("orders.orders").on(engine)
    assert set(orders.where(operation="UPDATE").diffs()["field"]) == {"total"}
    (row,) = orders.drift().to_dicts()
    assert (row["kind"], row["field"], row["logged"]) == ("vanished", "customer_id", False)

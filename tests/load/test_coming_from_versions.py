"""Tables of versions, in the layouts of their tools, load as the README's table says and answer."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from coming_from import kinds, states

if TYPE_CHECKING:
    from collections.abc import Callable


def test_temporal_tables_and_scd2(load: Callable[[str, str, str], Any]):
    log = load(
        "Temporal tables",
        "orders.csv",
        "id,status,total,ValidFrom,ValidTo\n"
        "7,paid,1.10,2024-03-10 12:01:00,9999-12-31 23:59:59.9999999\n"
        "7,draft,1.10,2024-03-10 12:00:00.123456,2024-03-10 12:01:00\n"
        "8,draft,5.00,2024-03-10 12:00:00.123456,2024-03-10 12:02:00\n",
    )
    assert states(log, "field.id", "status") == [
        ("7", "INSERT", None, 7, "draft"), ("7", "UPDATE", None, 7, "paid"), ("8", "INSERT", None, 8, "draft"),
    ]  # fmt: skip
    assert log.as_of()["entity_id"].to_list() == ["7"]
    assert kinds(log) == []


TEMPORAL = """
CREATE TABLE orders (id bigint PRIMARY KEY, status text, total numeric, sys_period tstzrange NOT NULL);
CREATE TABLE orders_history (LIKE orders);
INSERT INTO orders VALUES (7, 'paid', 1.10, '["2024-03-10 12:01+00",)');
INSERT INTO orders_history VALUES (7, 'draft', 1.10, '["2024-03-10 12:00+00","2024-03-10 12:01+00")'),
    (8, 'draft', 5.00, '["2024-03-10 12:00+00","2024-03-10 12:02+00")');
"""


def test_temporal_tables_of_postgresql(ask: Callable[[str, str], Any]):
    log = ask("temporal_tables", TEMPORAL)
    assert states(log, "field.id", "status", "total") == [
        ("7", "INSERT", None, 7, "draft", Decimal("1.10")), ("7", "UPDATE", None, 7, "paid", Decimal("1.10")),
        ("8", "INSERT", None, 8, "draft", Decimal("5.00")),
    ]  # fmt: skip
    assert log.as_of()["entity_id"].to_list() == ["7"]


VERSIONS = [
    ("7", "INSERT", None, 7, "draft", Decimal("1.10")), ("7", "UPDATE", None, 7, "paid", Decimal("1.10")),
    ("8", "INSERT", None, 8, "draft", Decimal("5.00")),
]  # fmt: skip

DBT = """
CREATE SCHEMA snapshots;
CREATE TABLE snapshots.orders (
    id bigint, status text, total numeric, dbt_scd_id text, dbt_updated_at timestamp, dbt_valid_from timestamp,
    dbt_valid_to timestamp
);
INSERT INTO snapshots.orders VALUES
    (7, 'draft', 1.10, 'a', '2024-03-10 12:00', '2024-03-10 12:00', '2024-03-10 12:01'),
    (7, 'paid', 1.10, 'b', '2024-03-10 12:01', '2024-03-10 12:01', NULL),
    (8, 'draft', 5.00, 'c', '2024-03-10 12:00', '2024-03-10 12:00', '2024-03-10 12:02');
"""


def test_dbt_s_snapshots(ask: Callable[[str, str], Any]):
    log = ask("dbt's snapshots", DBT)
    assert states(log, "field.id", "status", "total") == VERSIONS
    assert log.as_of()["entity_id"].to_list() == ["7"]
    assert kinds(log) == []


FIVETRAN = """
CREATE TABLE orders (
    id bigint, status text, total numeric, _fivetran_start timestamptz, _fivetran_end timestamptz,
    _fivetran_active boolean, _fivetran_synced timestamptz
);
INSERT INTO orders VALUES
    (7, 'draft', 1.10, '2024-03-10 12:00+00', '2024-03-10 12:00:59.999+00', false, '2024-03-10 13:00+00'),
    (7, 'paid', 1.10, '2024-03-10 12:01+00', '9999-12-31 23:59:59.999+00', true, '2024-03-10 13:00+00'),
    (8, 'draft', 5.00, '2024-03-10 12:00+00', '2024-03-10 12:01:59.999+00', false, '2024-03-10 13:00+00');
"""


def test_fivetran_s_history_mode(ask: Callable[[str, str], Any]):
    log = ask("Fivetran's history mode", FIVETRAN)
    assert states(log, "field.id", "status", "total") == VERSIONS
    assert log.as_of()["entity_id"].to_list() == ["7"]
    assert kinds(log) == []

"""What is picked of a log in PostgreSQL on the server: entity types, entities, users, partitions."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from polars.testing import assert_frame_equal
from postgres_log import by_type, recorded

import auditlab as al
from auditlab.capture.track import track
from auditlab.connection import connect
from auditlab.errors import BadOption, NoData, UnknownEntity
from auditlab.load.postgres import read_postgres

if TYPE_CHECKING:
    from collections.abc import Callable


FIRST_USER, SECOND_USER = "00000000-0000-0000-0000-00000000000a", "00000000-0000-0000-0000-00000000000b"


def test_entity_types_are_filtered_on_the_server_and_partitions_fold(shop: str):
    assert by_type(read_postgres(shop, entity_types="shop.events")) == {"shop.events": 4}
    several = read_postgres(shop, entity_types=["shop.users", "shop.orders"])
    assert by_type(several) == {"shop.orders": 22, "shop.users": 2}
    assert several.facts.coverage.complete
    assert several.facts.filters == ("entity types shop.users, shop.orders",)


def test_picked_types_and_entities_are_known_from_where_the_log_begins(
    captured: str, execute: Callable[[str, str], None]
):
    execute(
        captured,
        "CREATE SCHEMA s;\nCREATE TABLE s.a (id int PRIMARY KEY);\nCREATE TABLE s.b (id int PRIMARY KEY)",
    )
    track(captured, ["s.a", "s.b"])
    execute(captured, "INSERT INTO s.a VALUES (1)")
    before = al.mark(captured, "before")
    execute(captured, "INSERT INTO s.b VALUES (1)")
    execute(captured, "INSERT INTO s.b VALUES (2)")
    whole = al.read_postgres(captured)
    for clock in ("committed_at", "changed_at"):
        begins = al.read_postgres(captured, clock=clock).facts.coverage.start
        for picked in (
            al.read_postgres(captured, entity_types="s.b", clock=clock),
            al.read_postgres(captured, entity=2, entity_types=["s.b"], clock=clock),
        ):
            assert picked.facts.coverage.start == begins
            assert_frame_equal(picked.as_of(mark="before"), whole.of("s.b").as_of(mark="before"))
            assert_frame_equal(picked.as_of(before.at), whole.of("s.b").as_of(before.at))
            assert "2" in picked.entity(2).why_not(2, before.at)
            with pytest.raises(NoData):
                picked.as_of(begins - timedelta(microseconds=1))


def test_a_user_filter_makes_a_log_of_changes_only(shop: str):
    loaded = read_postgres(shop, user=SECOND_USER)
    assert set(loaded.changes["changed_by"]) == {SECOND_USER}
    assert loaded.changes.height == 8
    assert not loaded.facts.coverage.complete
    assert loaded.facts.coverage.why == "loaded for one user"


@pytest.mark.parametrize(
    ("entity", "operations"),
    [
        ("zoe", ["SNAPSHOT"]),
        ({"name": "zoe"}, ["SNAPSHOT"]),
        ({"order_no": 1, "line": 1}, ["INSERT", "UPDATE", "TRUNCATE", "INSERT"]),
        ({"line": 6, "order_no": 1}, None),
        ("nobody", None),
    ],
)
def test_an_entity_is_found_by_its_key(shop: str, entity: str | dict[str, int], operations: list[str] | None):
    if operations is None:
        with pytest.raises(UnknownEntity):
            read_postgres(shop, entity=entity)
        return
    loaded = read_postgres(shop, entity=entity)
    assert loaded.changes["operation"].to_list() == operations
    assert loaded.facts.coverage.complete


def test_an_entity_is_found_by_its_id(shop: str):
    changes = recorded(shop)
    first = changes.filter(entity_type="shop.orders")["entity_id"][0]
    loaded = read_postgres(shop, entity=first)
    assert loaded.changes["id"].to_list() == changes.filter(entity_id=first)["id"].to_list()


def test_partitions_are_chosen_by_name_and_make_a_log_of_changes_only(shop: str):
    with connect(shop) as connection:
        names = connection.rows(
            "SELECT c.relname::text AS name, count(l.id) AS rows FROM pg_inherits AS i JOIN pg_class AS c"
            " ON c.oid = i.inhrelid LEFT JOIN audit.entity_change_log AS l ON l.tableoid = c.oid"
            " WHERE i.inhparent = 'audit.entity_change_log'::regclass GROUP BY 1"
        )
    for row in names:
        loaded = read_postgres(shop, partitions=row["name"])
        assert loaded.changes.height == row["rows"]
        assert not loaded.facts.coverage.complete
    together = read_postgres(shop, partitions=[row["name"] for row in names])
    assert together.changes.height == sum(row["rows"] for row in names) == 55


def test_partitions_that_may_not_be_read_directly_are_read_through_the_log(shop: str):
    auditor = f"{shop}{'&' if '?' in shop else '?'}options=-c%20role%3Dauditlab_auditor"
    with connect(shop) as connection:
        name = connection.rows("SELECT DISTINCT tableoid::regclass::text AS name FROM audit.entity_change_log")[0][
            "name"
        ]
    assert_frame_equal(read_postgres(auditor, partitions=name).changes, read_postgres(shop, partitions=name).changes)


def test_an_unknown_partition_is_answered_with_what_there_is(shop: str):
    with pytest.raises(BadOption, match=r"no partition 'p' in audit\.\w+\. It has .*_default"):
        read_postgres(shop, partitions="p")

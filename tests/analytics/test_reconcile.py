"""Writes past the log, planted on a real PostgreSQL: each found in the live tables, and told apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pytest
from recorded_shop import FILL, PUBLISHED_TRIGGER, SHOP

import auditlab as al
from auditlab.analytics.findings import FINDINGS, SEVERITIES
from auditlab.analytics.outside import KINDS, ROWS, TABLES
from auditlab.capture import track
from auditlab.connection import connect
from auditlab.errors import AccessDenied, BadOption, IncompleteLog, IncompleteRead, UnknownEntityType

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditlab.analytics.reconciliation import Reconciliation

ONE, TWO, THREE = ("md5('row1')::uuid", "md5('row2')::uuid", "md5('row3')::uuid")
TYPE = "public.shop"
LAST = f"(SELECT max(id) FROM audit.entity_change_log WHERE entity_id = {ONE})"
UNSEEN = ("SET session_replication_role = replica", "RESET session_replication_role")


def checked(shop: Callable[..., None]) -> Reconciliation:
    return al.reconcile(None, shop.dsn, progress=False)  # type: ignore[attr-defined]


def found(shop: Callable[..., None]) -> dict[str, int]:
    return dict(checked(shop).findings.select("kind", "count").iter_rows())


def unseen(shop: Callable[..., None], *statements: str) -> None:
    """What a session does that is a replica: no trigger sees it."""
    shop(UNSEEN[0], *statements, UNSEEN[1])


def test_severities_and_meanings_are_defined_for_every_kind():
    assert {severity for severity, _ in KINDS.values()} == set(SEVERITIES)
    assert all(meaning.endswith(".") and len(meaning) > 30 for _, meaning in KINDS.values())


def test_a_clean_database_gives_nothing(shop: Callable[..., None]):
    shop(
        f"DELETE FROM shop WHERE id = {ONE}",
        f"INSERT INTO shop (id, total) VALUES ({ONE}, 1)",
        f"DELETE FROM shop WHERE id = {TWO}",
        "BEGIN; UPDATE shop SET total = 0; ROLLBACK",
        f"BEGIN; UPDATE shop SET note = 'a'; UPDATE shop SET note = 'b' WHERE id = {THREE}; COMMIT",
        "VACUUM FULL shop",
    )
    result = checked(shop)
    assert result.findings.is_empty()
    assert result.findings.schema == pl.Schema(FINDINGS)
    assert result.worst is None
    own = result.tables.filter(pl.col("entity_type") == TYPE)
    assert own.rows() == [(TYPE, 7, 7, 7)]
    assert own.schema == pl.Schema(TABLES)
    assert "nothing found in 7 rows" in repr(result)
    assert result.snapshot is not None
    assert result.at.tzinfo is not None


def test_a_trigger_that_was_off(shop: Callable[..., None]):
    shop(
        "ALTER TABLE shop DISABLE TRIGGER USER",
        f"UPDATE shop SET total = 1000000, note = NULL WHERE id = {ONE}",
        "ALTER TABLE shop ENABLE TRIGGER USER",
    )
    result = checked(shop)
    assert result.findings.select("kind", "severity", "count").rows() == [("changed outside the log", "error", 1)]
    rows = result.rows("changed outside the log")
    assert rows.schema == pl.Schema(ROWS)
    told = {row["field"]: (row["logged"], row["live"], row["operation"]) for row in rows.to_dicts()}
    assert told == {"total": ("2.10", "1000000.00", "UPDATE"), "note": ("note 1", None, "UPDATE")}
    with connect(shop.dsn) as connection:  # type: ignore[attr-defined]
        last = connection.rows(
            f"SELECT id, transaction_id FROM audit.entity_change_log WHERE entity_id = {ONE} ORDER BY id"
        )
        (wrote,) = connection.rows(f"SELECT xmin::text::bigint AS id FROM shop WHERE id = {ONE}")
    assert set(rows["id"]) == {last[-1]["id"]}
    assert set(rows["transaction_id"]) == {last[-1]["transaction_id"]}
    assert set(rows["written_by"]) == {wrote["id"]}


def test_a_session_that_was_a_replica(shop: Callable[..., None]):
    unseen(
        shop,
        f"UPDATE shop SET note = 'unseen' WHERE id = {ONE}",
        f"DELETE FROM shop WHERE id = {TWO}",
        "INSERT INTO shop (id, total) VALUES (md5('row9')::uuid, 9)",
    )
    assert found(shop) == {"changed outside the log": 1, "removed outside the log": 1, "inserted outside the log": 1}
    result = checked(shop)
    (inserted,) = result.rows("inserted outside the log").to_dicts()
    assert '"total": 9.00' in inserted["live"]
    assert (inserted["logged"], inserted["id"], inserted["field"]) == (None, None, None)
    (removed,) = result.rows("removed outside the log").to_dicts()
    assert '"note": "note 2"' in removed["logged"]
    assert (removed["live"], removed["operation"]) == (None, "UPDATE")


def test_what_was_written_unseen_and_then_seen_is_in_the_log_and_no_finding_here(shop: Callable[..., None]):
    unseen(shop, f"UPDATE shop SET note = 'unseen' WHERE id = {ONE}")
    shop("UPDATE shop SET total = total + 1")
    assert found(shop) == {}
    assert al.read_postgres(shop.dsn, progress=False).evidence().worst == "error"  # type: ignore[attr-defined]


def test_a_truncate_that_the_log_does_not_see(shop: Callable[..., None]):
    unseen(shop, "TRUNCATE shop")
    assert found(shop) == {"possible TRUNCATE": 8}


def test_a_truncate_and_new_rows_after_it(shop: Callable[..., None]):
    unseen(shop, "TRUNCATE shop")
    shop(f"INSERT INTO shop (id, total) VALUES ({ONE}, 5)", "INSERT INTO shop (id, total) VALUES (md5('new')::uuid, 5)")
    assert found(shop) == {"possible TRUNCATE": 7}


def test_a_truncate_of_the_published_trigger_s_table(published: str):
    with connect(published, autocommit=True) as connection:
        for statement in (SHOP, PUBLISHED_TRIGGER, FILL, "TRUNCATE shop"):
            connection.execute(statement)
    result = al.reconcile(None, published, progress=False)
    assert result.findings.select("kind", "count").rows() == [("possible TRUNCATE", 8)]


def test_a_truncate_that_our_capture_sees_is_no_finding(captured: str):
    with connect(captured, autocommit=True) as connection:
        connection.execute(SHOP)
        track(captured, "shop")
        for statement in (FILL, "TRUNCATE shop", FILL):
            connection.execute(statement)
    assert al.reconcile(None, captured, progress=False).findings.is_empty()


def test_a_few_rows_removed_are_no_truncate(shop: Callable[..., None]):
    unseen(shop, f"DELETE FROM shop WHERE id IN ({ONE}, {TWO}, {THREE})")
    assert found(shop) == {"removed outside the log": 3}


def test_a_row_that_was_restored(shop: Callable[..., None]):
    """A backup's row comes back as it was: one that was changed since, and one that was deleted."""
    shop("CREATE TABLE backup AS SELECT * FROM shop", "UPDATE shop SET total = 0", f"DELETE FROM shop WHERE id = {TWO}")
    unseen(
        shop,
        f"DELETE FROM shop WHERE id = {ONE}",
        f"INSERT INTO shop SELECT * FROM backup WHERE id IN ({ONE}, {TWO})",
    )
    assert found(shop) == {"changed outside the log": 1, "inserted outside the log": 1}
    (back,) = checked(shop).rows("inserted outside the log").to_dicts()
    assert (back["note"], back["operation"]) == ("the log has it deleted", "DELETE")


def edit(shop: Callable[..., None], statement: str) -> None:
    """Run a statement on the log itself, past its guards, as whoever owns the database can."""
    shop("ALTER TABLE audit.entity_change_log DISABLE TRIGGER ALL", statement)


def test_a_row_edited_in_the_log(shop: Callable[..., None]):
    edit(
        shop,
        "UPDATE audit.entity_change_log SET after_snapshot = jsonb_set(after_snapshot, '{total}', '7.77') "
        f"WHERE id = {LAST}",
    )
    assert found(shop) == {"edited change": 1}
    (told,) = checked(shop).rows("edited change").to_dicts()
    assert (told["field"], told["logged"], told["live"]) == ("total", "7.77", "2.10")


def test_a_row_deleted_from_the_log(shop: Callable[..., None]):
    shop(f"BEGIN; UPDATE shop SET note = 'x' WHERE id = {ONE}; UPDATE shop SET note = 'x' WHERE id = {TWO}; COMMIT")
    edit(shop, f"DELETE FROM audit.entity_change_log WHERE id = {LAST}")
    (told,) = checked(shop).rows("changed outside the log").to_dicts()
    assert (told["field"], told["logged"], told["live"]) == ("note", "note 1", "x")
    assert told["note"] == "its transaction is in the log, but not this change"
    assert found(shop) == {"changed outside the log": 1}


def test_an_insert_deleted_from_the_log(shop: Callable[..., None]):
    shop("INSERT INTO shop (id, total) VALUES (md5('new')::uuid, 5), (md5('new2')::uuid, 5)")
    edit(shop, "DELETE FROM audit.entity_change_log WHERE entity_id = md5('new')::uuid")
    assert found(shop) == {"inserted outside the log": 1}


RETYPED = "the column changed its type"
DDL: dict[str, list[tuple[str, str | None, str | None, str]]] = {
    "ADD COLUMN colour text DEFAULT 'red'": [("colour", None, "red", "the column appeared")],
    "ADD COLUMN colour text": [("colour", None, None, "the column appeared")],
    "DROP COLUMN note": [("note", "note 1", None, "the column vanished")],
    "RENAME COLUMN note TO remark": [
        ("note", "note 1", None, "the column vanished"),
        ("remark", None, "note 1", "the column appeared"),
    ],
    "ALTER COLUMN total TYPE text": [("total", "2.10", '"2.10"', RETYPED)],
    "ALTER COLUMN total TYPE int": [("total", "2.10", "2", RETYPED)],
    "ALTER COLUMN at TYPE date": [("at", "2024-05-01T12:00:00+00:00", "2024-05-01", RETYPED)],
    "ALTER COLUMN at TYPE text": [("at", "2024-05-01T12:00:00+00:00", "2024-05-01 12:00:00+00", RETYPED)],
    "ALTER COLUMN total TYPE numeric(20, 4)": [],
    "ALTER COLUMN note TYPE varchar(99)": [],
}
"""DDL, and what of the first row it lets the log and the table disagree about."""


def test_ddl_is_drift_and_no_alarm_of_lost_changes(shop: Callable[..., None]):
    dsn = shop.dsn  # type: ignore[attr-defined]
    tables = {f"shop_{number}": ddl for number, ddl in enumerate(DDL)}
    for name, ddl in tables.items():
        shop(f"CREATE TABLE {name} (LIKE shop INCLUDING ALL)")
        if shop.published:  # type: ignore[attr-defined]
            shop(PUBLISHED_TRIGGER.replace(" shop\n", f" {name}\n"))
        else:
            track(dsn, name)
        shop(f"INSERT INTO {name} SELECT * FROM shop", f"ALTER TABLE {name} {ddl}")
    result = checked(shop)
    expected = 8 * sum(bool(rows) for rows in DDL.values())
    assert result.findings.select("kind", "severity", "count").rows() == [("schema drift", "warning", expected)]
    with connect(dsn) as connection:
        first = connection.rows(f"SELECT {ONE}::text AS id")[0]["id"]
    told = result.rows("schema drift").filter(pl.col("entity_id") == first)
    for name, ddl in tables.items():
        own = told.filter(pl.col("entity_type") == f"public.{name}").select("field", "logged", "live", "note")
        assert sorted(own.rows()) == DDL[ddl], ddl


def test_a_write_into_a_column_that_ddl_added_is_no_drift(shop: Callable[..., None]):
    shop("ALTER TABLE shop ADD COLUMN colour text DEFAULT 'red'", "ALTER TABLE shop ADD COLUMN n numeric DEFAULT 1.10")
    unseen(shop, f"UPDATE shop SET colour = 'blue' WHERE id = {ONE}", f"UPDATE shop SET n = 1.1 WHERE id = {TWO}")
    assert found(shop) == {"schema drift": 8, "changed outside the log": 1}
    (told,) = checked(shop).rows("changed outside the log").to_dicts()
    assert (told["field"], told["logged"], told["live"]) == ("colour", None, "blue")


def test_rows_of_before_the_log_are_no_ghosts(request: pytest.FixtureRequest):
    """Rows that nobody changed since recording began without them; a later unseen insert is one."""
    for kind in ("captured", "published"):
        dsn: str = request.getfixturevalue(kind)
        with connect(dsn, autocommit=True) as connection:
            for statement in (SHOP, FILL):
                connection.execute(statement)
            if kind == "captured":
                track(dsn, "shop", baseline=False)
            else:
                connection.execute(PUBLISHED_TRIGGER)
            connection.execute(f"UPDATE shop SET total = 0 WHERE id = {ONE}")
            result = al.reconcile(None, dsn, progress=False)
            assert result.findings.select("kind", "count").rows() == [("population incomplete", 7)]
            for statement in (UNSEEN[0], "INSERT INTO shop (id) VALUES (md5('ghost')::uuid)", UNSEEN[1]):
                connection.execute(statement)
            kinds = dict(al.reconcile(None, dsn, progress=False).findings.select("kind", "count").iter_rows())
            assert kinds == {"population incomplete": 7, "inserted outside the log": 1}
            connection.execute("ALTER TABLE shop ADD COLUMN made uuid DEFAULT gen_random_uuid()")
            kinds = dict(al.reconcile(None, dsn, progress=False).findings.select("kind", "count").iter_rows())
            assert kinds == {"population incomplete": 8, "schema drift": 1}  # who wrote a row, the rewrite hides


def test_a_table_that_is_gone_or_is_a_view_now(shop: Callable[..., None]):
    shop("DROP TABLE shop")
    (told,) = checked(shop).rows("not comparable").to_dicts()
    assert told["note"] == "there is no such table any more: it was dropped or renamed"
    shop("CREATE VIEW shop AS SELECT 1 AS id")
    (told,) = checked(shop).rows("not comparable").to_dicts()
    assert told["note"].startswith("it is a view now")
    assert found(shop) == {"not comparable": 1}


def test_a_type_that_is_asked_for_by_name_and_has_neither_rows_nor_a_table_is_no_clean_answer(
    shop: Callable[..., None],
):
    shop("DELETE FROM shop", "DROP TABLE shop")
    dsn = shop.dsn  # type: ignore[attr-defined]
    assert TYPE not in al.reconcile(None, dsn, progress=False).tables["entity_type"].to_list()
    log = al.read_postgres(dsn, progress=False)
    for one, types in ((None, TYPE), (log, TYPE), (None, [TYPE])):
        result = al.reconcile(one, dsn, entity_types=types, progress=False)
        assert result.tables.rows() == [(TYPE, 0, 0, 0)]
        assert result.rows("not comparable")["note"].to_list() == [
            "there is no such table any more: it was dropped or renamed"
        ]


def test_a_type_by_name(shop: Callable[..., None]):
    unseen(shop, f"DELETE FROM shop WHERE id = {TWO}")
    dsn = shop.dsn  # type: ignore[attr-defined]
    result = al.reconcile(None, dsn, entity_types=TYPE, progress=False)
    assert result.tables["entity_type"].to_list() == [TYPE]
    with pytest.raises(UnknownEntityType, match="It has .*'public.shop'"):
        al.reconcile(None, dsn, entity_types="public.nothing", progress=False)


def test_an_unknown_kind_is_an_error(shop: Callable[..., None]):
    unseen(shop, f"DELETE FROM shop WHERE id = {TWO}")
    with pytest.raises(BadOption, match="Found: 'removed outside the log'"):
        checked(shop).rows("nonsense")
    assert checked(shop).rows("schema drift").is_empty()


def test_values_of_a_table_are_shown_and_not_obeyed(shop: Callable[..., None]):
    result = checked(shop)
    assert "<script>" not in result._repr_html_()
    shop('ALTER TABLE shop RENAME TO "<script>alert(1)</script>"')
    assert "<script>" not in checked(shop)._repr_html_()


def test_a_role_that_may_not_read_a_table(shop: Callable[..., None], make_role: Callable[..., tuple[str, str]]):
    role, reader = make_role(shop.dsn, "reconciler")  # type: ignore[attr-defined]
    shop(f"GRANT USAGE ON SCHEMA audit TO {role}", f"GRANT SELECT ON ALL TABLES IN SCHEMA audit TO {role}")
    with pytest.raises(AccessDenied, match=r'may not read public\.shop.*GRANT SELECT ON "public"\."shop"'):
        al.reconcile(None, reader, entity_types=TYPE, progress=False)
    shop(f"GRANT SELECT ON shop TO {role}")
    assert al.reconcile(None, reader, entity_types=TYPE, progress=False).findings.is_empty()
    shop("ALTER TABLE shop ENABLE ROW LEVEL SECURITY")
    with pytest.raises(IncompleteRead, match=r"row security would filter public\.shop"):
        al.reconcile(None, reader, entity_types=TYPE, progress=False)


def test_what_was_recorded_is_compared_and_not_how_it_is_read(shop: Callable[..., None]):
    read = al.read_postgres(shop.dsn, progress=False).renamed({TYPE: {"note": "remark"}})  # type: ignore[attr-defined]
    assert "remark" in read.of(TYPE).as_of().columns
    assert read.reconcile(shop.dsn, progress=False).findings.is_empty()  # type: ignore[attr-defined]


def test_single_changes_say_nothing_of_tables(shop: Callable[..., None]):
    log = al.read_postgres(shop.dsn, progress=False)  # type: ignore[attr-defined]
    with pytest.raises(IncompleteLog, match="reconcile"):
        log.by(None).reconcile(shop.dsn, progress=False)  # type: ignore[attr-defined]

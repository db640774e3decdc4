from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest

from auditlab.capture import Finding, check, install, snapshot, track, untrack
from auditlab.connection import connect
from auditlab.errors import DatabaseError, NoSuchTable, NotInstalled

if TYPE_CHECKING:
    from auditlab.connection import Connection


def found(dsn: str, kind: str) -> list[tuple[str, str]]:
    return [(f.severity, f.subject) for f in check(dsn) if f.kind == kind]


def test_a_sound_capture_is_ok_in_every_respect(captured: str, db: Connection):
    db.execute("CREATE SCHEMA s; CREATE TABLE s.t (id int PRIMARY KEY)")
    track(captured, "s.t")
    findings = check(captured)
    assert {f.severity for f in findings if f.kind != "watermark"} == {"ok"}
    assert len({f.kind for f in findings}) == 8
    assert isinstance(findings[0], Finding)


def test_untracked_tables(captured: str, db: Connection):
    db.execute("CREATE SCHEMA s; CREATE TABLE s.a (id int PRIMARY KEY); CREATE TABLE s.b (x int)")
    assert found(captured, "tables") == [("warning", "s.a"), ("info", "s.b")]


def test_names_that_need_quotes_are_told_as_a_shell_must_have_them(captured: str, db: Connection):
    db.execute('CREATE SCHEMA "S s"; CREATE TABLE "S s"."it\'s" (id int PRIMARY KEY)')
    (finding,) = [each for each in check(captured) if each.kind == "tables"]
    assert shlex.split(finding.remedy) == ["auditlab", "track", "DSN", '"S s"."it\'s"']
    with pytest.raises(NoSuchTable) as caught:
        track(captured, "S s.it's")
    said = str(caught.value)
    assert 'Near are "S s"."it\'s".' in said
    assert shlex.split(said[said.index("once more: ") :])[2] == '"S s"."it\'s".'


def test_disabled_and_lost_triggers(captured: str, db: Connection):
    db.execute("CREATE SCHEMA s; CREATE TABLE s.a (id int PRIMARY KEY); CREATE TABLE s.b (id int PRIMARY KEY)")
    track(captured, ["s.a", "s.b"])
    db.execute("ALTER TABLE s.a DISABLE TRIGGER auditlab_update; DROP TABLE s.b; CREATE TABLE s.b (id int PRIMARY KEY)")
    assert found(captured, "triggers") == [("error", "s.a"), ("error", "s.b")]
    assert [done.action for done in track(captured, ["s.a", "s.b"])] == ["renewed", "tracked"]
    assert found(captured, "triggers") == [("ok", "")]


def test_a_table_that_was_renamed_goes_on_under_its_new_name_as_the_remedies_say(captured: str, db: Connection):
    db.execute('CREATE SCHEMA s; CREATE TABLE s."A a" (id int PRIMARY KEY); CREATE TABLE s.b (id int PRIMARY KEY)')
    db.execute('INSERT INTO s."A a" VALUES (1), (2)')
    track(captured, ['s."A a"', "s.b"])
    db.execute('ALTER TABLE s."A a" RENAME TO c; DROP TABLE s.b')
    told = {each.subject: each.remedy for each in check(captured) if each.kind == "triggers"}
    assert told == {
        "s.A a": "auditlab untrack DSN 's.\"A a\"'",
        "s.b": "auditlab untrack DSN s.b",
        "s.c": "auditlab track DSN s.c",
    }
    assert untrack(captured, ['s."A a"', "s.b"]) == ["s.A a", "s.b"]
    assert [(done.action, done.baseline_rows) for done in track(captured, "s.c")] == [("renewed", 2)]
    assert found(captured, "triggers") == [("ok", "")]
    with pytest.raises(NoSuchTable):
        untrack(captured, "s.b")


@pytest.mark.parametrize("trigger", ["insert", "update", "delete", "truncate"])
def test_a_single_dropped_trigger(captured: str, db: Connection, trigger: str):
    db.execute("CREATE SCHEMA s; CREATE TABLE s.t (id int PRIMARY KEY)")
    track(captured, "s.t")
    db.execute(f"DROP TRIGGER auditlab_{trigger} ON s.t")
    (finding,) = [each for each in check(captured) if each.kind == "triggers"]
    assert (finding.severity, finding.subject) == ("error", "s.t")
    assert f"auditlab_{trigger}" in finding.message
    assert [done.action for done in track(captured, "s.t")] == ["renewed"]
    assert found(captured, "triggers") == [("ok", "")]


def test_another_primary_key(captured: str, db: Connection):
    db.execute("CREATE SCHEMA s; CREATE TABLE s.t (id int PRIMARY KEY, code text NOT NULL)")
    track(captured, "s.t")
    db.execute("ALTER TABLE s.t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (code)")
    assert found(captured, "triggers") == [("error", "s.t")]
    track(captured, "s.t")
    assert found(captured, "triggers") == [("ok", "")]


def test_a_tracked_table_that_becomes_a_partition(captured: str, db: Connection, version: int):
    db.execute(
        "CREATE SCHEMA s; CREATE TABLE s.t (id int PRIMARY KEY); CREATE TABLE s.root (id int) PARTITION BY LIST (id)"
    )
    track(captured, "s.t")
    attach = "ALTER TABLE s.root ATTACH PARTITION s.t DEFAULT"
    if version < 13:
        with pytest.raises(DatabaseError, match='"auditlab_delete" prevents table "t" from becoming a partition'):
            db.execute(attach)
        assert found(captured, "triggers") == [("ok", "")]
        return
    db.execute(attach)
    assert ("error", "s.t") in found(captured, "triggers")


def test_a_cached_sequence(captured: str, db: Connection):
    db.execute("ALTER SEQUENCE audit.entity_change_log_id_seq CACHE 20")
    assert found(captured, "order") == [("error", "audit.entity_change_log_id_seq")]


def test_row_security(captured: str, db: Connection):
    db.execute("CREATE SCHEMA s; CREATE TABLE s.t (id int PRIMARY KEY); ALTER TABLE s.t ENABLE ROW LEVEL SECURITY")
    track(captured, "s.t")
    db.execute("ALTER TABLE audit.entity_change_log ENABLE ROW LEVEL SECURITY")
    assert found(captured, "row_security") == [("error", "audit.entity_change_log"), ("warning", "s.t")]
    db.execute("ALTER TABLE audit.entity_change_log DISABLE ROW LEVEL SECURITY")
    db.execute("INSERT INTO s.t VALUES (1)")
    db.execute("TRUNCATE s.t")
    last = db.rows("SELECT operation, metadata FROM audit.entity_change_log ORDER BY id DESC LIMIT 1")[0]
    assert last["operation"] == "TRUNCATE"
    assert '"rows": null' in last["metadata"]
    assert "rows_unknown" in last["metadata"]


def test_who_holds_the_watermark(captured: str, db: Connection):
    db.execute("CREATE TABLE public.t (id int PRIMARY KEY)")
    with connect(captured) as holder:
        holder.execute("INSERT INTO public.t VALUES (1)")
        pid = holder.rows("SELECT pg_backend_pid() AS pid")[0]["pid"]
        name = holder.rows("SELECT current_database()::text AS name")[0]["name"]
        assert ("info", f"pid {pid} in database {name}") in found(captured, "watermark")


def test_an_orphan_prepared_transaction(captured: str, db: Connection):
    name = db.rows("SELECT current_database()::text AS name")[0]["name"]
    with connect(captured) as connection:
        connection.execute("CREATE TABLE public.t (id int)")
        connection.execute(f"PREPARE TRANSACTION 'orphan {name}'")
    try:
        assert ("warning", f"prepared transaction 'orphan {name}' in database {name}") in found(captured, "watermark")
    finally:
        db.execute(f"ROLLBACK PREPARED 'orphan {name}'")


def test_rights_that_nobody_should_have(captured: str, db: Connection):
    db.execute("GRANT INSERT ON audit.entity_change_log TO PUBLIC")
    assert found(captured, "rights") == [("error", "PUBLIC")]


def test_an_older_installation_is_told_and_checked_as_far_as_it_goes(captured: str, db: Connection):
    db.execute(
        "DROP TABLE audit.snapshot; DROP FUNCTION audit.take_snapshot; UPDATE audit.installation SET version = 3"
    )
    findings = {f.kind: f for f in check(captured)}
    assert findings["installation"].severity == "warning"
    assert "version 3" in findings["installation"].subject
    assert findings["installation"].remedy == "auditlab init DSN"
    assert findings.keys() >= {"order", "triggers"}
    assert "snapshots" not in findings
    with pytest.raises(NotInstalled, match="auditlab init DSN"):
        snapshot(captured)
    assert install(captured).action == "upgraded"
    assert snapshot(captured, always=True).taken
    assert "installation" not in {f.kind for f in check(captured)}

"""Each kind of finding on a log with one planted fault, and its absence on the same log without."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import polars as pl
import pytest
from planted_faults import A1, A2, A3, PLANTED, Steps

import auditlab as al
from auditlab.analytics.findings import FINDINGS, KINDS, ROWS, SEVERITIES
from auditlab.errors import BadOption, IncompleteLog
from auditlab.load import arrow
from auditlab.recorded import Recorded
from auditlab.schema import CHANGES, Coverage, LogFacts
from auditlab.selection import Selected
from auditlab.testing import make_log

README = Path(__file__).resolve().parents[2] / "README.md"
DATA = Path(__file__).resolve().parents[1] / "data"

CLEAN: Steps = [
    ("INSERT", "a", {"id": "a", "n": 1, "s": "x"}),
    ("INSERT", "b", {"id": "b", "n": 1, "s": "y"}),
    ("UPDATE", "a", {"id": "a", "n": 2, "s": "x"}, {"changed_fields": {"n": 2}}),
    ("UPDATE", "b", {"id": "b", "n": 5, "s": "y"}, {"changed_fields": ["n"]}),
    ("UPDATE", "a", {"id": "a", "n": 3, "s": "z"}, {"changed_fields": {"n": {"old": 2, "new": 3}, "s": {"old": 1}}}),
    ("DELETE", "b"),
    ("INSERT", "b", {"id": "b", "n": 7, "s": "y"}),
    ("TRUNCATE",),
    ("INSERT", "a", {"id": "a", "n": 9, "s": "x"}),
]


def log_of(steps: Steps) -> al.ChangeLog:
    return al.from_arrow(make_log(steps))


def kinds(log: al.ChangeLog, **options: bool) -> dict[str, int]:
    """The kinds that were found, with their counts."""
    return dict(log.evidence(**options).findings.select("kind", "count").iter_rows())


def ids(log: al.ChangeLog, kind: str) -> list[int]:
    return log.evidence().rows(kind)["id"].to_list()


def with_facts(steps: Steps, **facts: object) -> al.ChangeLog:
    loaded = arrow.from_arrow(make_log(steps))
    recorded = Recorded(loaded.changes, LogFacts(**{"coverage": loaded.facts.coverage, **facts}))
    return al.ChangeLog(Selected(recorded, recorded.entity_types))


def test_an_ideal_log_gives_nothing():
    found = log_of(CLEAN).evidence()
    assert found.findings.is_empty()
    assert found.findings.schema == pl.Schema(FINDINGS)
    assert found.worst is None
    assert "nothing found in 9 changes" in repr(found)


def test_an_empty_log_gives_nothing():
    found = al.from_arrow(pl.DataFrame(schema=CHANGES)).evidence()
    assert (found.findings.height, found.changes) == (0, 0)


def test_severities_and_meanings_are_defined_for_every_kind():
    assert list(SEVERITIES) == ["error", "warning", "hint"]
    assert {severity for severity, _ in KINDS.values()} == set(SEVERITIES)
    assert all(meaning.endswith(".") and len(meaning) > 30 for _, meaning in KINDS.values())


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_found_and_nothing_else(fault: str):
    steps, kind, changes = PLANTED[fault]
    log = log_of(steps)
    beside = {"edited change": {"changed_fields disagree": 1}, "order ambiguous": {"unknown origin": 1}}.get(kind, {})
    assert kinds(log) == {kind: 1 if kind == "id gaps" else len(changes), **beside}
    assert ids(log, kind) == changes
    found = log.evidence().findings.filter(pl.col("kind") == kind)
    assert found.select("severity", "meaning").row(0) == KINDS[kind]


def test_every_kind_has_a_planted_fault():
    elsewhere = {"malformed change", "unreadable documents", "changes only", "filtered load", "undetermined states"}
    elsewhere.add("dropped changes")
    assert {kind for _, kind, _ in PLANTED.values()} | elsewhere == set(KINDS)


def test_a_derived_image_breaks_no_chain_and_an_unknown_state_is_told():
    none = {"before_snapshot": None}
    steps: Steps = [
        ("INSERT", "a", None),
        ("UPDATE", "a", None, {"before_snapshot": A1}),
        ("UPDATE", "a", None, none),
        ("DELETE", "a", none),
    ]
    found = log_of(steps).evidence()
    assert dict(found.findings.select("kind", "count").iter_rows()) == {"undetermined states": 2, "missing images": 4}
    assert found.worst == "warning"
    assert found.rows("undetermined states")["id"].to_list() == [2, 3]
    notes = ["no after image", "no after image", "neither image", "no before image"]
    assert found.rows("missing images")["note"].to_list() == notes


def test_malformed_rows_are_listed_by_kind():
    frame = make_log([("INSERT", "a", A1), ("UPDATE", "a", None), ("INSERT", "b", A1, {"transaction_id": -5})])
    log = al.from_arrow(frame, strict=False)
    found = log.evidence()
    assert dict(found.findings.select("kind", "severity").iter_rows()) == {
        "malformed change: UPDATE without an after image": "error",
        "untrackable transaction ids": "warning",
    }
    assert found.rows("malformed change")["id"].to_list() == [2]
    assert found.rows("malformed change: UPDATE without an after image")["entity_id"].to_list() == ["a"]
    assert found.rows("untrackable transaction ids").select("id", "transaction_id").row(0) == (3, -5)


def test_rows_that_were_set_apart_count_one_by_one_beside_changes():
    ids = [-5, -5, -6, None, 7]
    log = al.from_arrow(make_log([("INSERT", f"e{own}", A1, {"transaction_id": own}) for own in ids]), strict=False)
    found = log.evidence()
    assert kinds(log) == {"untrackable transaction ids": 4}
    assert found.rows("untrackable transaction ids")["id"].to_list() == [1, 2, 3, 4]


def test_images_that_are_no_documents_are_told_and_stop_nothing_else():
    steps: Steps = [
        ("INSERT", "a", '{"n": '),
        ("UPDATE", "a", '{"n": 2}'),
        ("INSERT", "b", A1, {"entity_type": "u"}),
        ("UPDATE", "b", A1, {"entity_type": "u"}),
    ]
    found = log_of(steps).evidence()
    assert found.findings["kind"].to_list() == ["unreadable documents", "no-op updates"]
    assert "not JSON: 2" in found.rows("unreadable documents")["note"][0]


@pytest.mark.parametrize("text", ['{"n": ', "[", '{"n": 2, "s": '])
def test_a_list_of_changed_fields_that_is_no_json_is_told(text: str):
    log = log_of([("INSERT", "a", A1), ("UPDATE", "a", A2, {"changed_fields": text})])
    assert kinds(log) == {"changed_fields disagree": 1}


@pytest.mark.parametrize(
    "listed",
    [{"n": 2}, {"n": None}, ["n"], {"n": {"old": 1, "new": 2}}, {"n": [1, 2]}, '{"n": 2.0}', "null", '"n"'],
)
def test_the_known_forms_of_a_list_agree(listed: object):
    expected = {"changed_fields disagree": 1} if listed == {"n": None} else {}
    assert kinds(log_of([("INSERT", "a", A1), ("UPDATE", "a", A2, {"changed_fields": listed})])) == expected


def test_old_and_new_arrays_together_agree():
    listed = {"changed_fields": {"tags": [["x"], ["x", "y"]]}}
    assert kinds(log_of([("INSERT", "a", {"tags": ["x"]}), ("UPDATE", "a", {"tags": ["x", "y"]}, listed)])) == {}
    listed = {"changed_fields": {"tags": [["x"], ["x", "z"]]}}
    log = log_of([("INSERT", "a", {"tags": ["x"]}), ("UPDATE", "a", {"tags": ["x", "y"]}, listed)])
    assert kinds(log) == {"changed_fields disagree": 1}


def test_a_load_of_changes_only_and_a_filter_are_told():
    coverage = Coverage(complete=False, why="loaded from a start without a baseline")
    log = with_facts(CLEAN, coverage=coverage, filters=("changes from 7",))
    assert kinds(log) == {"changes only": 1, "filtered load": 1}
    assert log.evidence().rows("changes only")["note"].to_list() == ["loaded from a start without a baseline"]
    assert log.evidence().rows("filtered load")["note"].to_list() == ["changes from 7"]


def test_a_load_of_picked_changes_is_judged_as_little_as_a_pick_is():
    """Between the changes of one user are those of others: no chain can be judged, and none is accused."""
    steps = [step for step in CLEAN if step[0] == "UPDATE"]
    coverage = Coverage(complete=False, why="loaded for one user", gaps=True)
    log = with_facts(steps, coverage=coverage, filters=("changes by 7",))
    for ask in (log.evidence, log.drift, log.likely_renames):
        with pytest.raises(
            IncompleteLog, match=r"holds changes only: loaded for one user\. Load it without that filter"
        ):
            ask()
    assert "loaded for one user" in log.dashboard().to_html()
    assert "No evidence: evidence() needs whole histories" in unescape(log.report())


def test_that_changes_were_dropped_before_is_told():
    log = with_facts(CLEAN, coverage=Coverage(why="1 partition was dropped from it"))
    assert kinds(log) == {"dropped changes": 1}
    assert log.evidence().worst == "hint"
    assert log.evidence().rows("dropped changes")["note"].to_list() == ["1 partition was dropped from it"]


def test_gaps_of_a_filtered_log_mean_nothing():
    assert kinds(with_facts([("INSERT", "a", A1), ("INSERT", "b", A1, {"id": 9})], filters=("entity types t",))) == {
        "filtered load": 1
    }


def test_rows_have_their_change_the_one_before_it_and_both_values():
    steps: Steps = [
        ("INSERT", "a", {"n": 1, "s": "x"}),
        ("UPDATE", "a", {"n": 3}, {"id": 9, "before_snapshot": {"n": 2}}),
    ]
    rows = log_of(steps).evidence().rows("unlogged change")
    assert rows.schema == pl.Schema(ROWS)
    assert rows.select("id", "previous_id", "entity_id", "field", "old", "new", "note").rows() == [
        (9, 1, "a", "n", "1", "2", "7 ids are missing in between"),
        (9, 1, "a", "s", "x", None, "7 ids are missing in between"),
    ]


def test_a_row_that_lost_a_key_alone_is_no_drift():
    """DDL changes every row: one odd image between others is an edit."""
    steps: Steps = [("INSERT", name, {"id": name, "n": 1}) for name in "abc"]
    steps += [("UPDATE", "a", {"id": "a", "n": 2}, {"before_snapshot": {"id": "a"}})]
    steps += [("UPDATE", name, {"id": name, "n": 2}) for name in "bc"]
    assert kinds(log_of(steps)) == {"unlogged change": 1}


def test_a_break_beside_drift_is_not_excused_by_it():
    steps, _, _ = PLANTED["a column that came by DDL"]
    steps = [*steps, ("UPDATE", "a", {**A3, "c": 1}, {"before_snapshot": {**A3, "c": 0}})]
    assert kinds(log_of(steps)) == {"schema drift": 2, "unlogged change": 1}


def test_rows_inserted_again_one_by_one_are_missing_deletes_where_their_table_was_not_empty():
    steps: Steps = [("INSERT", name, {"id": name}) for name in "abcd"]
    for name in "abc":
        steps += [("INSERT", name, {"id": name, "n": 2}), ("UPDATE", "d", {"id": "d", "by": name})]
    assert kinds(log_of(steps)) == {"missing delete": 3}


def test_without_documents_only_what_needs_each_of_them_is_left_out():
    log = log_of([*CLEAN, ("UPDATE", "a", {"id": "a", "n": 9, "s": "q"}, {"changed_fields": {"n": 1}})])
    assert kinds(log) == {"changed_fields disagree": 1}
    quick = log.evidence(documents=False)
    assert quick.findings.is_empty()
    assert "documents not looked into" in repr(quick)
    breaks = log_of(PLANTED["an edited after image"][0])
    assert kinds(breaks, documents=False) == {"edited change": 1}


def test_one_type_or_one_entity_is_judged_alone():
    steps: Steps = [
        ("INSERT", "a", A1),
        ("INSERT", "a", A2),
        ("UPDATE", "u", A3, {"entity_type": "u", "before_snapshot": A2}),
        ("INSERT", "b", A1, {"id": 9}),
    ]
    log = log_of(steps)
    assert set(kinds(log)) == {"missing delete", "unknown origin", "id gaps"}
    assert kinds(log.of("u")) == {"unknown origin": 1}
    assert kinds(log.of("t").entity("b")) == {}
    assert kinds(log.of("t").entity("a")) == {"missing delete": 1}


def test_picked_changes_cannot_be_judged():
    with pytest.raises(IncompleteLog, match="evidence.. needs whole histories"):
        log_of(CLEAN).by("someone").evidence()


def test_an_unknown_kind_is_refused_and_one_that_was_not_found_has_no_rows():
    found = log_of([("UPDATE", "a", A2, {"before_snapshot": A1})]).evidence()
    assert found.rows("duplicate ids").is_empty()
    with pytest.raises(BadOption, match="no finding 'gaps'. Found: 'unknown origin'"):
        found.rows("gaps")


def test_what_is_shown_is_escaped():
    frame = make_log([("INSERT", "a", None)])
    found = al.from_arrow(frame, strict=False).evidence()
    assert re.search('<td style="text-align: left">[^<]*[.]</td>', found._repr_html_())
    assert re.search("<td>[0-9,]+</td>", found._repr_html_())
    assert "<table>" in found._repr_html_()
    hostile = with_facts(CLEAN, filters=("<script>alert(1)</script>",)).evidence()
    assert "<script>" not in hostile._repr_html_()
    assert hostile.worst == "hint"
    assert "1 hint found in 9 changes" in hostile._repr_html_()


def test_values_that_were_not_sent_break_no_chain():
    unsent = '{"n": 2, "s": "__debezium_unavailable_value"}'
    steps: Steps = [
        ("INSERT", "a", {"n": 1, "s": "long"}),
        ("UPDATE", "a", unsent, {"before_snapshot": {"n": 1, "s": "long"}}),
        ("UPDATE", "a", {"n": 3, "s": "long"}, {"before_snapshot": {"n": 2, "s": "long"}}),
    ]
    assert set(kinds(log_of(steps))) <= {"session rendering"}


def test_a_log_of_after_images_alone_is_no_alarm():
    steps = [(*step[:3], {"before_snapshot": None}) if step[0] == "UPDATE" else step for step in CLEAN]
    steps = [(*step, {"before_snapshot": None}) if step[0] == "DELETE" else step for step in steps]
    assert log_of(steps).evidence().worst in (None, "hint")


@pytest.mark.parametrize("name", ["shop", "pgbench"])
def test_real_logs_give_hints_alone(name: str):
    assert al.read_parquet(DATA / name / "log.parquet").evidence().worst == "hint"


def test_pgbench_hints_are_what_its_makers_say_of_it():
    found = kinds(al.read_parquet(DATA / "pgbench" / "log.parquet"))
    assert set(found) == {"unknown origin", "time inversions", "id gaps", "no-op updates"}


def test_an_archive_is_judged_as_its_log(tmp_path: Path):
    steps, kind, changes = PLANTED["an update that nobody logged"]
    log_of(steps).to_archive(tmp_path / "kept")
    found = al.scan_archive(tmp_path / "kept").evidence()
    assert found.rows(kind)["id"].to_list() == changes

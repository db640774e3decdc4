"""Each kind of finding on a log with one planted fault, and its absence on the same log without."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

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
Steps = list[tuple[Any, ...]]

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


LATER = datetime(2024, 2, 1, tzinfo=UTC)
A1, A2, A3 = ({"id": "a", "n": n} for n in (1, 2, 3))
INSTANTS = [
    {"at": "2024-01-01T12:00:00+00:00"},
    {"at": "2024-01-01T14:00:00+02:00"},
    {"at": "2024-01-02T00:00:00+00:00"},
]
TRUNCATED: Steps = [
    *(("INSERT", name, {"id": name}) for name in "abcd"),
    *(("INSERT", name, {"id": name, "n": 2}) for name in "abc"),
    ("UPDATE", "a", {"id": "a", "n": 3}),
]

PLANTED: dict[str, tuple[Steps, str, list[int]]] = {
    "an update that nobody logged": (
        [("INSERT", "a", A1), ("UPDATE", "a", A3, {"before_snapshot": A2})],
        "unlogged change",
        [2],
    ),
    "an unlogged update before a delete": (
        [("INSERT", "a", A1), ("DELETE", "a", {"before_snapshot": A2})],
        "unlogged change",
        [2],
    ),
    "a later snapshot that finds another state": (
        [("INSERT", "a", A1), ("SNAPSHOT", "a", A2)],
        "unlogged change",
        [2],
    ),
    "an edited after image": (
        [
            ("INSERT", "a", A1),
            ("UPDATE", "a", {"id": "a", "n": 99}, {"changed_fields": {"n": 2}}),
            ("UPDATE", "a", A3, {"before_snapshot": A2, "changed_fields": {"n": 3}}),
        ],
        "edited change",
        [3],
    ),
    "an update after the delete": (
        [("INSERT", "a", A1), ("DELETE", "a"), ("UPDATE", "a", A3, {"before_snapshot": A2})],
        "missing insert",
        [3],
    ),
    "a second delete": (
        [("INSERT", "a", A1), ("DELETE", "a"), ("DELETE", "a", {"before_snapshot": A1})],
        "missing insert",
        [3],
    ),
    "an update after the table was emptied": (
        [("INSERT", "a", A1), ("TRUNCATE",), ("UPDATE", "a", A3, {"before_snapshot": A1})],
        "missing insert",
        [3],
    ),
    "an update of a row that the baseline lacks": (
        [("SNAPSHOT", "a", A1), ("UPDATE", "b", A3, {"before_snapshot": A2})],
        "missing insert",
        [2],
    ),
    "an insert of a live row": ([("INSERT", "a", A1), ("INSERT", "a", A2)], "missing delete", [2]),
    "rows that all came back": (TRUNCATED, "possible TRUNCATE", [5, 6, 7]),
    "one id twice": ([("INSERT", "a", A1), ("INSERT", "b", A2, {"id": 1})], "duplicate ids", [1, 1]),
    "a list that forgets a field": (
        [("INSERT", "a", {"n": 1, "s": "x"}), ("UPDATE", "a", {"n": 2, "s": "y"}, {"changed_fields": {"n": 2}})],
        "changed_fields disagree",
        [2],
    ),
    "a list with a field that is the same": (
        [("INSERT", "a", {"n": 1, "s": "x"}), ("UPDATE", "a", {"n": 2, "s": "x"}, {"changed_fields": ["n", "s"]})],
        "changed_fields disagree",
        [2],
    ),
    "a list with another value": (
        [("INSERT", "a", A1), ("UPDATE", "a", A2, {"changed_fields": {"n": 7}})],
        "changed_fields disagree",
        [2],
    ),
    "a column that came by DDL": (
        [
            ("INSERT", "a", A1),
            ("INSERT", "b", A1),
            ("UPDATE", "a", {**A2, "c": 0}, {"before_snapshot": {**A1, "c": 0}}),
            ("UPDATE", "b", {**A2, "c": 0}, {"before_snapshot": {**A1, "c": 0}}),
        ],
        "schema drift",
        [3, 4],
    ),
    "a column that went by DDL": (
        [
            ("INSERT", "a", A1),
            ("INSERT", "b", A1),
            ("UPDATE", "a", {"id": "x"}, {"before_snapshot": {"id": "a"}}),
            ("DELETE", "b", {"before_snapshot": {"id": "a"}}),
        ],
        "schema drift",
        [3, 4],
    ),
    "a column that DDL made a text": (
        [
            ("INSERT", "a", A1),
            ("INSERT", "b", A1),
            ("UPDATE", "a", {"id": "a", "n": "2"}, {"before_snapshot": {"id": "a", "n": "1"}}),
            ("UPDATE", "b", {"id": "a", "n": "5"}, {"before_snapshot": {"id": "a", "n": "1"}}),
        ],
        "schema drift",
        [3, 4],
    ),
    "a key change that the log tells only half of": (
        [
            ("INSERT", "key-1", {"code": "key-1", "ref": "key-1"}),
            ("UPDATE", "key-2", {"code": "key-2", "ref": "key-2"}, {"before_snapshot": {"code": "key-1", "ref": "x"}}),
        ],
        "half-logged key change",
        [2],
    ),
    "a key change that the log names after the new one": (
        [
            ("INSERT", "key-1", {"id": "key-1", "n": 1}),
            ("UPDATE", "key-2", {"id": "key-2", "n": 1}, {"before_snapshot": {"id": "key-1", "n": 1}}),
        ],
        "key change",
        [2],
    ),
    "a change without a transaction id among others": (
        [("INSERT", "a", A1), ("UPDATE", "a", A2, {"transaction_id": None})],
        "untrackable transaction ids",
        [2],
    ),
    "a transaction id that PostgreSQL cannot give": (
        [("INSERT", "a", A1), ("UPDATE", "a", A2, {"transaction_id": 2**62})],
        "untrackable transaction ids",
        [2],
    ),
    "a key twice in one document": ([("INSERT", "a", '{"n": 1, "n": 2}')], "duplicate keys", [1]),
    "half a character": ([("INSERT", "a", '{"s": "\\ud800"}')], "lone surrogate", [1]),
    "a user that is no uuid": (
        [("INSERT", "a", {"x": 1}, {"metadata": {"app.current_user_id": "ann", "n": 1}})],
        "user is no uuid",
        [1],
    ),
    "a NUL": ([("INSERT", "a", '{"s": "a\\u0000b"}')], "NUL character", [1]),
    "a key twice inside": ([("INSERT", "a", '{"s": [{"b": 1, "b": 2}]}')], "duplicate keys", [1]),
    "a log without transactions": (
        [("INSERT", "a", A1, {"transaction_id": None}), ("UPDATE", "a", A2, {"transaction_id": None})],
        "no transaction ids",
        [1, 2],
    ),
    "the same instant in another zone": (
        [("INSERT", "a", INSTANTS[0]), ("UPDATE", "a", INSTANTS[2], {"before_snapshot": INSTANTS[1]})],
        "session rendering",
        [2],
    ),
    "an inner trigger": (
        [
            ("INSERT", "a", A1),
            ("UPDATE", "a", A3, {"before_snapshot": A2, "transaction_id": 7, "changed_at": LATER}),
            ("UPDATE", "a", A2, {"before_snapshot": A1, "transaction_id": 7, "changed_at": LATER}),
        ],
        "reordering repaired",
        [3, 2],
    ),
    "two walks through one transaction": (
        [
            ("UPDATE", "a", A1, {"before_snapshot": A2, "transaction_id": 7}),
            ("UPDATE", "a", A3, {"before_snapshot": A2, "transaction_id": 7}),
            ("UPDATE", "a", A2, {"before_snapshot": A1, "transaction_id": 7}),
            ("UPDATE", "a", A2, {"before_snapshot": A3, "transaction_id": 7}),
        ],
        "order ambiguous",
        [1, 2, 3, 4],
    ),
    "a new key under the same row": (
        [
            ("INSERT", "key-1", {"id": "key-1", "n": 1}),
            ("DELETE", "key-1", {"transaction_id": 7}),
            ("INSERT", "key-2", {"id": "key-2", "n": 1}, {"transaction_id": 7}),
        ],
        "key change",
        [3],
    ),
    "a new key that our capture linked": (
        [
            ("INSERT", "1", {"n": 1}),
            ("DELETE", "1", {"transaction_id": 7, "metadata": {"rekeyed_to": "2"}}),
            ("INSERT", "2", {"n": 5}, {"transaction_id": 7, "metadata": {"rekeyed_from": "1"}}),
        ],
        "key change",
        [3],
    ),
    "a move from one leaf to another": (
        [
            ("INSERT", "a", A1, {"entity_type": "t_eu"}),
            ("DELETE", "a", {"entity_type": "t_eu", "transaction_id": 7}),
            ("INSERT", "a", A2, {"entity_type": "t_us", "transaction_id": 7}),
        ],
        "partition move",
        [3],
    ),
    "a move between partitions that our capture named": (
        [
            ("INSERT", "a", A1, {"metadata": {"partition": "t_eu"}}),
            ("DELETE", "a", {"transaction_id": 7, "metadata": {"partition": "t_eu"}}),
            ("INSERT", "a", A2, {"transaction_id": 7, "metadata": {"partition": "t_us"}}),
        ],
        "partition move",
        [3],
    ),
    "a row from before the log": ([("UPDATE", "a", A2, {"before_snapshot": A1})], "unknown origin", [1]),
    "ids that are missing": ([("INSERT", "a", A1), ("INSERT", "b", A1, {"id": 5})], "id gaps", [5]),
    "a time that runs back": (
        [("INSERT", "a", A1), ("UPDATE", "a", A2, {"changed_at": datetime(2023, 1, 1, tzinfo=UTC)})],
        "time inversions",
        [2],
    ),
    "an update of nothing": ([("INSERT", "a", A1), ("UPDATE", "a", A1)], "no-op updates", [2]),
    "an update without its before image": (
        [("INSERT", "a", A1), ("UPDATE", "a", A2, {"before_snapshot": None})],
        "missing images",
        [2],
    ),
    "an update that only says it in other words": (
        [("INSERT", "a", '{"n": 1.50}'), ("UPDATE", "a", '{"n": 1.5}')],
        "no-op updates",
        [2],
    ),
}


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


def test_a_load_of_changes_only_and_a_filter_are_told():
    log = with_facts(CLEAN, coverage=Coverage(complete=False, why="loaded for one user"), filters=("changes by 7",))
    assert kinds(log) == {"changes only": 1, "filtered load": 1}
    assert log.evidence().rows("changes only")["note"].to_list() == ["loaded for one user"]
    assert log.evidence().rows("filtered load")["note"].to_list() == ["changes by 7"]


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

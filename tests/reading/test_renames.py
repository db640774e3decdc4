"""Declared renames: a field is one field under all its names, exactly, everywhere; and nothing is guessed."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import auditlab as al
from auditlab.errors import BadOption, ReadingError, UnknownChange, UnknownEntityType, UnknownField
from auditlab.reading.readings import Read
from auditlab.recorded import Recorded
from auditlab.schema import Coverage, LogFacts
from auditlab.selection import Selected
from auditlab.testing import make_log
from auditlab.testing.schedules import START, schedule

if TYPE_CHECKING:
    from pathlib import Path

RENAMED = [
    ("INSERT", "a", {"id": "a", "name": "x", "n": 1}, {"changed_by": "ann"}),
    ("INSERT", "b", {"id": "b", "name": None, "n": Decimal("1.50")}, {"changed_by": "ann"}),
    ("UPDATE", "a", {"id": "a", "title": "x", "n": 1}, {"changed_by": "dba"}),
    ("UPDATE", "b", '{"n":1.50,"title":null,"id":"b"}', {"changed_by": "dba"}),
    ("UPDATE", "a", {"id": "a", "title": "y", "n": 1}, {"changed_by": "bob"}),
]


@pytest.fixture(params=["polars", "duckdb"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def log_of(steps: list[tuple[Any, ...]], **options: object) -> al.ChangeLog[pl.DataFrame]:
    return al.from_arrow(make_log(steps, **options))


def test_every_verb_reads_one_field(engine: str):
    log = log_of(RENAMED).on(engine).renamed({"name": "title"})
    assert log.fields()["field"].to_list() == ["id", "title", "n"]
    assert log.history().select("id", "title").rows() == [(1, "x"), (3, "x"), (5, "y"), (2, None), (4, None)]
    assert log.as_of(id=2).select("entity_id", "title").rows() == [("a", "x"), ("b", None)]
    diffs = log.diffs().filter(pl.col("field") == "title").select("id", "kind", "old", "new")
    assert diffs.rows() == [(1, "added", None, "x"), (2, "added", None, None), (5, "modified", "x", "y")]
    blame = log.blame(at="2024-01-01T00:00:03Z").filter(pl.col("field") == "title")
    assert blame.select("entity_id", "set_by", "id").rows() == [("a", "ann", 1), ("b", "ann", 2)]
    net = log.compare("2024-01-01T00:00:01Z", "2024-01-01T00:00:04Z").select("entity_id", "field", "old", "new")
    assert net.rows() == [("a", "title", "x", "y")]
    assert log.replay(steps=True).select("id", "title").rows() == [(1, "x"), (2, None), (3, "x"), (4, None), (5, "y")]
    spine = pl.DataFrame({"entity_id": ["a"], "at": [datetime(2024, 1, 1, 0, 0, 1, tzinfo=UTC)]})
    assert log.pit_join(spine, fields=["title"])["title"].to_list() == ["x"]
    idle = log.timeline().filter(pl.col("id") == 3).select("changed_by", "field").rows()
    assert idle == [("dba", None)]  # it only renamed: done by someone, and no field's change


def test_children_are_found_by_a_renamed_reference(engine: str):
    steps = [
        ("INSERT", "p", {"id": "p"}),
        ("INSERT", "c", {"id": "c", "parent": "p"}, {"entity_type": "item"}),
        ("INSERT", "d", {"id": "d", "parent_id": "p"}, {"entity_type": "item"}),
    ]
    log = log_of(steps).on(engine).renamed({"item": {"parent": "parent_id"}})
    assert log.aggregate("t", items=("item", "parent_id"))["item"].list.len().to_list() == [2]


def test_what_was_recorded_stays_as_it_is(tmp_path: Path):
    log = log_of(RENAMED)
    read = log.renamed({"name": "title"})
    assert read.changes().equals(log.changes())
    assert list(read) == list(log)
    assert read.drift().equals(log.drift())
    assert repr(read.evidence()) == repr(log.evidence())
    read.to_archive(tmp_path / "archive")
    assert al.scan_archive(tmp_path / "archive").changes().collect().equals(log.changes())
    assert "read as    t: name as title" in repr(read)
    assert log.fields()["field"].to_list() == ["id", "name", "n", "title"]


def test_the_document_over_several_types_is_put_together_with_the_very_texts():
    steps = [
        ("INSERT", "a", '{"n": 1.50, "name":"\\u00e9", "deep": {"b" : [1.0]}}'),
        ("INSERT", "b", '{"n":  1.50}', {"entity_type": "u"}),
    ]
    states = log_of(steps).renamed({"t": {"name": 'say "hi"'}}).as_of()["state"].to_list()
    assert states == ['{"n": 1.50, "say \\"hi\\"": "\\u00e9", "deep": {"b" : [1.0]}}', '{"n":  1.50}']


def test_names_in_a_row_and_several_old_names():
    steps = [("INSERT", "1", {"a": 1}), ("INSERT", "2", {"b": 2}), ("INSERT", "3", {"c": 3}), ("INSERT", "4", {"d": 4})]
    assert log_of(steps).renamed({"b": "c", "a": "b", "d": "c"}).as_of()["c"].to_list() == [1, 2, 3, 4]
    assert log_of(steps).renamed({"a": "b"}).renamed({"b": "c", "d": "c"}).as_of()["c"].to_list() == [1, 2, 3, 4]


def test_equal_values_under_both_names_are_one_value_in_the_words_of_the_new_name():
    log = log_of([("INSERT", "a", '{"old": 1.5, "new": 1.50}'), ("INSERT", "b", '{"old": null, "new": null}')])
    assert log.renamed({"old": "new"}).diffs().select("field", "new").rows() == [("new", "1.50"), ("new", None)]


@pytest.mark.parametrize("old", ["1", "null", '"2"'])
def test_different_values_under_both_names_are_refused_with_the_changes(old: str):
    steps = [("INSERT", name, f'{{"old": {old}, "new": 2}}') for name in "abcd"]
    log = log_of(steps).renamed({"old": "new"})
    words = rf"'old' of t .* as 'new': 4 changes \(id 1, 2, 3, \.\.\.\) have both.*{re.escape(old)} and 2.*before=ID"
    for ask in (log.as_of, log.history, log.diffs, log.blame, log.fields):
        with pytest.raises(ReadingError, match=words):
            ask()
    assert len(log.changes()) == 4


REUSED = [
    ("INSERT", "a", {"status": "new"}),
    ("UPDATE", "a", {"state": "new"}),
    ("UPDATE", "a", {"state": "new", "status": 7}),
]


def test_a_name_that_was_used_again_is_read_up_to_a_change_or_a_transaction():
    with pytest.raises(ReadingError, match="have both"):
        log_of(REUSED).renamed({"status": "state"}).as_of()
    for limit in ({"before": 2}, {"before": 3}, {"before_transaction": 3}):
        log = log_of(REUSED).renamed({"status": "state"}, **limit)
        assert log.fields().select("field", "dtype").rows() == [("state", "String"), ("status", "Int64")]
        assert log.history().select("state", "status").rows() == [("new", None), ("new", None), ("new", 7)]
        assert log.diffs().select("id", "field", "kind").rows() == [(1, "state", "added"), (3, "status", "added")]


def test_names_that_were_swapped():
    steps = [
        ("INSERT", "a", {"x": 1, "y": 2}),
        ("UPDATE", "a", {"x": 2, "y": 1}),
        ("INSERT", "b", {"x": 8, "y": 9}),
        ("UPDATE", "b", {"x": 8, "y": 8}, {"before_snapshot": {"x": 8, "y": 9}}),
    ]
    log = log_of(steps).renamed({"x": "y", "y": "x"}, before=2)
    assert log.diffs().select("id", "field", "new").rows() == [
        (1, "y", "1"), (1, "x", "2"), (3, "y", "9"), (3, "x", "8"), (4, "y", "8"),
    ]  # fmt: skip
    with pytest.raises(BadOption, match=r"circle: 'x' as 'y' as 'x'.*before=ID"):
        log_of(steps).renamed({"x": "y", "y": "x"})


def test_a_before_image_is_as_old_as_what_it_shows():
    ddl = {"before_snapshot": {"new": 1}}  # renamed beside the log, before change 3
    steps = [("INSERT", "a", {"old": 1}), ("INSERT", "b", {"old": 1}), ("UPDATE", "a", {"new": 2}, ddl)]
    steps += [("UPDATE", "b", {"new": 3})]  # and here by the change itself: its before image has the old name
    log = log_of(steps).renamed({"old": "new"}, before=3)
    assert log.diffs().select("id", "kind", "old", "new").rows() == [
        (1, "added", None, "1"), (2, "added", None, "1"), (3, "modified", "1", "2"), (4, "modified", "1", "3"),
    ]  # fmt: skip
    assert log.fields()["field"].to_list() == ["new"]
    assert log.history()["certain"].all()
    unread = log_of(steps).history().filter(pl.col("id") == 1)
    assert unread["certain"].to_list() == [False]  # as recorded, its end is in doubt


def test_the_catalogs_kind_follows_the_name():
    facts = LogFacts(kinds={"t": {"amount": "decimal", "n": "int"}}, coverage=Coverage())
    frame = make_log([("INSERT", "a", {"price": 1, "n": 1}), ("UPDATE", "a", {"amount": 2, "n": 1})])
    recorded = Recorded(frame, facts)
    log = al.ChangeLog(Selected(recorded, recorded.entity_types))
    kinds = {row["field"]: row["kind"] for row in log.renamed({"price": "amount"}).fields().to_dicts()}
    assert kinds == {"amount": "decimal", "n": "int"}
    kinds = {row["field"]: row["kind"] for row in log.renamed({"amount": "cost", "price": "cost"}).fields().to_dicts()}
    assert kinds == {"cost": "decimal", "n": "int"}
    assert log.renamed({"price": "amount"}).facts == facts


def test_a_selection_keeps_its_reading():
    steps = [*RENAMED, ("INSERT", "z", {"k": 1}, {"entity_type": "u"})]
    log = log_of(steps).renamed({"t": {"name": "title"}})
    assert log.of("t").as_of()["title"].to_list() == ["y", None]
    assert log.entity("a", "t").history()["title"].to_list() == ["x", "x", "y"]
    assert log.by("bob").diffs().select("field", "old").rows() == [("title", "x")]
    assert log.of("u").fields()["field"].to_list() == ["k"]


def test_an_archive_is_read_the_same_way(tmp_path: Path):
    log_of([*RENAMED, ("INSERT", "z", {"k": 1}, {"entity_type": "u"})]).to_archive(tmp_path / "archive")
    log = al.scan_archive(tmp_path / "archive").renamed({"t": {"name": "title"}, "u": {"k": "key"}})
    assert log.of("t").as_of().collect()["title"].to_list() == ["y", None]
    assert log.of("u").as_of().collect()["key"].to_list() == [1]
    assert [word in log.as_of().collect()["state"][2] for word in ('"key"', '"k"')] == [True, False]


def test_marks_beside_a_log_leave_its_reading(engine: str):
    happened = schedule(1, steps=60)
    plain = al.from_arrow(happened.log, coverage=(START, happened.end)).on(engine)
    for read in (
        plain.with_marks(happened.marks).renamed({"n": "count"}),
        plain.renamed({"n": "count"}).with_marks(happened.marks),
    ):
        for mark in happened.marks:
            known = plain.with_marks(happened.marks).as_of(mark=mark)
            assert_frame_equal(read.as_of(mark=mark), known.rename({"n": "count"}))


def test_what_gives_another_log_gives_another_reading_of_it():
    """A method of Recorded that gives a Recorded would, inherited, give one that is read as recorded."""
    gives = {name for name, value in vars(Recorded).items() if callable(value) and returns(value) == "Recorded"}
    assert gives == {"part", "with_facts"}
    assert gives <= vars(Read).keys()


def returns(method: Any) -> object:  # noqa: ANN401 - whatever is callable
    return getattr(method, "__annotations__", {}).get("return")


def test_what_cannot_be_meant_is_refused():
    log = log_of([*RENAMED, ("INSERT", "z", {"k": 1}, {"entity_type": "u"})])
    one = log.of("t")
    with pytest.raises(UnknownField, match=r"t had no field 'nam'\. It had 'id', 'name', 'n', 'title'"):
        one.renamed({"nam": "title"}).as_of()
    with pytest.raises(UnknownField, match=r"no field 'title' before change 3\. It had 'id', 'name', 'n'"):
        one.renamed({"title": "name"}, before=3).as_of()
    with pytest.raises(UnknownChange, match="t has no change of transaction 99"):
        one.renamed({"name": "title"}, before_transaction=99).as_of()
    with pytest.raises(UnknownEntityType, match=r"no entity type 'v' in this log\. It has 't', 'u'"):
        log.renamed({"v": {"name": "title"}})
    with pytest.raises(BadOption, match=r"several entity types .* a mapping for each: \{'t': \{'old': 'new'\}\}"):
        log.renamed({"name": "title"})
    for names in ({}, None, ["name"], {"name": "name"}, {"name": 1}, {"t": {}}):
        with pytest.raises(BadOption, match=r"renamed\(\) takes"):
            one.renamed(names)  # type: ignore[arg-type]
    with pytest.raises(BadOption, match="takes one of before and before_transaction"):
        one.renamed({"name": "title"}, before=1, before_transaction=1)
    with pytest.raises(BadOption, match="before= takes a whole number"):
        one.renamed({"name": "title"}, before="63")  # type: ignore[arg-type]


def test_an_empty_log_has_nothing_to_rename():
    with pytest.raises(BadOption, match="The log has none"):
        log_of([]).renamed({"name": "title"})

"""Logs that say what changes did: old and new values in pairs, in two columns, or of one field a row."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

import auditlab as al
from auditlab.errors import BadOption, IncompletePopulation, IncompleteStates, SchemaMismatch

NOON = datetime(2024, 6, 1, 12, tzinfo=UTC)
DIFF = {"diff": "changes"}
SIDES = {"old": "old", "new": "new"}
OF_FIELDS = {"field": "field", "old": "old", "new": "new"}


def rows(*steps: tuple[str, dict[str, Any]], minutes: int = 1, **same: Any) -> pl.DataFrame:  # noqa: ANN401 - a cell
    """The steps (operation, other cells) as rows of one entity, a minute after each other."""
    told = [
        {"id": number, "entity_type": "shop.orders", "entity_id": "7", "operation": operation, "changed_by": "ann",
         "changed_at": NOON + timedelta(minutes=minutes * number), "transaction_id": number, **same, **cells}
        for number, (operation, cells) in enumerate(steps, start=1)
    ]  # fmt: skip
    return pl.DataFrame(told, infer_schema_length=None)


def changes(data: pl.DataFrame, columns: dict[str, str], **options: Any) -> list[tuple[Any, ...]]:  # noqa: ANN401
    log = al.from_arrow(data, columns=columns, **options)
    return log.changes().select("operation", "before_snapshot", "after_snapshot", "changed_fields").rows()


def test_pairs_are_an_image_of_an_insert_and_a_delete_and_new_values_of_an_update():
    data = rows(
        ("create", {"changes": '{"total": [null, 1.10], "note": [null, "a"]}'}),
        ("update", {"changes": '{"total": [1.10, 12345678901234567.890]}'}),
        ("destroy", {"changes": '{"total": [12345678901234567.890, null], "note": ["a", null]}'}),
    )
    assert changes(data, DIFF) == [
        ("INSERT", None, '{"total": 1.10, "note": "a"}', None),
        ("UPDATE", None, None, '{"total": 12345678901234567.890}'),
        ("DELETE", '{"total": 12345678901234567.890, "note": "a"}', None, None),
    ]


def test_an_insert_and_a_delete_may_have_values_in_place_of_pairs():
    data = rows(
        ("create", {"changes": '{"total": 1, "tags": [1, 2]}'}),
        ("update", {"changes": '{"total": [1, 2]}'}),
        ("destroy", {"changes": '{"total": 2, "tags": [1, 2]}'}),
    )
    assert [row[1:3] for row in changes(data, DIFF)] == [
        (None, '{"total": 1, "tags": [1, 2]}'),
        (None, None),
        ('{"total": 2, "tags": [1, 2]}', None),
    ]


def test_pairs_may_be_objects_of_an_old_and_a_new_value():
    data = rows(("create", {"changes": '{"a": 1}'}), ("update", {"changes": '{"a": {"from": 1, "to": {"old": 2}}}'}))
    log = al.from_arrow(data, columns=DIFF)
    assert log.as_of().select("a").rows() == [('{"old": 2}',)]


def test_a_value_that_looks_like_old_and_new_ones_is_none_where_it_is_said_what_the_lists_are():
    data = rows(("create", {"changes": '{"tags": null, "n": 1}'}), ("update", {"changes": '{"tags": [null, [1, 2]]}'}))
    assert changes(data, DIFF)[1] == ("UPDATE", None, '{"tags": [1, 2], "n": 1}', None)
    assert al.from_arrow(data, columns=DIFF).as_of().select("n", "tags", "certain").rows() == [(1, "[1, 2]", True)]


def test_an_old_value_that_is_not_what_was_left_shows_a_change_that_nobody_logged():
    data = rows(
        ("create", {"changes": '{"total": 1, "note": "a"}'}),
        ("update", {"changes": '{"note": ["b", "c"]}'}),
        ("update", {"changes": '{"total": [1.0, 2]}'}),  # equal to what was left, if written otherwise
    )
    assert [row[1] for row in changes(data, DIFF)] == [None, '{"total": 1, "note": "b"}', None]
    log = al.from_arrow(data, columns=DIFF)
    assert log.evidence().rows("unlogged change").select("field", "old", "new").rows() == [("note", "a", "b")]
    assert log.as_of().select("total", "note", "certain").rows() == [(2, "c", True)]


def test_what_was_there_before_the_first_change_is_what_old_values_say_up_to_the_next_image():
    data = rows(
        ("update", {"old": '{"note": "a"}', "new": '{"note": "b"}'}),
        ("update", {"old": '{"total": 1, "note": "b"}', "new": '{"total": 2, "note": "c"}'}),
        ("delete", {"old": '{"total": 2, "note": "c", "by": "x"}', "new": "[]"}),
        ("update", {"old": '{"later": 1}', "new": '{"later": 2}'}),
    )
    with pytest.warns(IncompleteStates):  # of what is there in the end, all but one field
        found = changes(data, SIDES)
    assert found[0] == ("UPDATE", '{"by": "x", "total": 1, "note": "a"}', None, '{"note": "b"}')
    assert [row[1] for row in found[1:]] == [None, '{"total": 2, "note": "c", "by": "x"}', '{"later": 1}']


def test_entities_that_were_there_before_are_told_of_where_they_lack_fields():
    both = pl.concat([rows(("update", {"changes": '{"a": [1, 2]}'})),
                      rows(("update", {"changes": '{"b": [1, 2], "a": [5, 6]}'}), entity_id="8")])  # fmt: skip
    data = both.with_columns(id=pl.int_range(1, 3))
    with pytest.warns(IncompleteStates, match=r"entities \(1 of shop.orders\) were there before"):
        log = al.from_arrow(data, columns=DIFF)
    with pytest.warns(IncompletePopulation):
        found = log.as_of()
    assert found.select("entity_id", "a", "b").rows() == [("7", 2, None), ("8", 6, 2)]


def test_an_insert_that_tells_no_values_leaves_no_row_without_fields():
    """It left one with none of them, and the old values of a later UPDATE were all that was told, without a word."""
    data = rows(
        ("insert", {"old": None, "new": None}),
        ("update", {"old": '{"total": 1}', "new": '{"total": 2}'}),
        ("update", {"old": '{"note": "a"}', "new": '{"note": "b"}'}),
    )
    assert [row[1] for row in changes(data, SIDES)] == [None, '{"note": "a", "total": 1}', None]
    with pytest.warns(IncompleteStates, match=r"entities \(1 of shop.orders\)"):
        changes(
            data[:2].vstack(rows(("insert", {"old": None, "new": '{"total": 1, "by": "x"}'}), entity_id="8")), SIDES
        )


def test_old_values_of_what_changed_alone_are_refused_since_they_tell_no_state():
    data = rows(
        ("insert", {"old": None, "new": None}),
        ("update", {"old": '{"total": 1, "note": "a"}', "new": None}),
        ("update", {"old": '{"note": "b"}', "new": None}),
    )
    for columns in (SIDES, {"old": "old"}):
        with pytest.raises(
            SchemaMismatch, match=r"row id 2: says what 'total', 'note' of shop.orders was, and no UPDATE"
        ):
            changes(data, columns)
    whole = {"before_snapshot": "old", "after_snapshot": None}
    assert changes(data, whole)[2][1] == '{"note": "b"}'


def test_old_values_beside_a_whole_image_make_the_one_before_it():
    data = rows(
        ("insert", {"data": '{"id": 7, "n": 1}', "old": None}),
        ("update", {"data": '{"id": 7, "n": 2}', "old": '{"n": 1}'}),
        ("delete", {"data": '{"id": 7, "n": 2}', "old": None}),
    )
    assert changes(data, {"old": "old", "after_snapshot": "data"}) == [
        ("INSERT", None, '{"id": 7, "n": 1}', None),
        ("UPDATE", '{"id": 7, "n": 1}', '{"id": 7, "n": 2}', None),
        ("DELETE", '{"id": 7, "n": 2}', None, None),
    ]


def test_a_row_whose_key_changed_goes_on_as_it_was_left_under_the_old_one():
    data = rows(
        ("insert", {"new": '{"id": 7, "n": 1, "m": 1}', "old": None}),
        ("update", {"new": '{"id": 8, "n": 2}', "old": '{"id": 7}'}),
        ("delete", {"new": None, "old": '{"id": 8}'}),
    ).drop("entity_id")
    assert changes(data, SIDES, key="id") == [
        ("INSERT", None, '{"id": 7, "n": 1, "m": 1}', None),
        ("UPDATE", '{"id": 7, "n": 1, "m": 1}', '{"id": 8, "n": 2, "m": 1}', None),
        ("DELETE", None, None, None),  # the key alone is no row
    ]
    log = al.from_arrow(data, columns=SIDES, key="id")
    assert log.key_changes().select("old_entity_id", "new_entity_id").rows() == [("7", "8")]
    assert log.diffs().filter(id=2).select("field", "old", "new").rows() == [("id", "7", "8"), ("n", "1", "2")]
    assert log.evidence().worst == "hint"


def test_lists_of_named_values_are_the_objects_that_they_are():
    listed = '[{"name": "id", "type": "int", "value": 7}, {"name": "n", "value": 1.10}]'
    data = rows(("I", {"new": listed, "old": None}), ("D", {"new": None, "old": listed}))
    assert [row[1:3] for row in changes(data, SIDES)] == [
        (None, '{"id": 7, "n": 1.10}'),
        ('{"id": 7, "n": 1.10}', None),
    ]
    images = data.rename({"new": "after_snapshot", "old": "before_snapshot"})
    assert [row[1:3] for row in changes(images, {})] == [(None, '{"id": 7, "n": 1.10}'), ('{"id": 7, "n": 1.10}', None)]
    for odd in (
        '[{"name": "id"}]',
        '[{"name": "a", "value": 1}, {"name": "a", "value": 2}]',
        '[{"name": 1, "value": 2}]',
    ):
        with pytest.raises(SchemaMismatch, match="row id 1: .* is no JSON object"):
            changes(data.with_columns(new=pl.lit(odd)), SIDES)


def test_rows_of_one_field_are_the_changes_that_they_are_of():
    one = {"changed_at": NOON, "transaction_id": 1}
    data = rows(
        ("u", {"field": "status", "old": "new", "new": "open", **one}),
        ("u", {"field": "total", "old": None, "new": "1.10", **one}),
        ("u", {"field": "status", "old": "open", "new": "done", **one}),  # the field again
        ("u", {"field": "note", "old": "x", "new": "y", "changed_by": "bob", **one}),
        ("u", {"field": "total", "old": "1.10", "new": None, **one}),  # bob did something in between
    ).drop("operation")
    with pytest.warns(IncompleteStates, match="no column tells when entities began: each is taken to have been there"):
        found = changes(data, OF_FIELDS)
    assert found == [
        ("UPDATE", '{"note": "x", "status": "new", "total": null}', None, '{"status": "open", "total": "1.10"}'),
        ("UPDATE", None, None, '{"status": "done"}'),
        ("UPDATE", None, None, '{"note": "y"}'),
        ("UPDATE", None, None, '{"total": null}'),
    ]


@pytest.mark.filterwarnings("ignore::auditlab.errors.IncompleteStates")
def test_values_of_one_field_a_row_keep_their_type_and_in_json_lines_their_letters(tmp_path: Any):  # noqa: ANN401
    data = rows(("u", {"field": "n", "old": 1.5, "new": None}), ("u", {"field": "n", "old": None, "new": 2.5}))
    assert [row[3] for row in changes(data, OF_FIELDS)] == ['{"n": null}', '{"n": 2.5}']
    line = '{"id": 1, "entity_type": "a.b", "entity_id": 7, "changed_at": "2024-06-01", "field": "n", "old": "1"'
    (tmp_path / "log.jsonl").write_text(line + ', "new": 1.10}\n')
    log = al.read_jsonl(tmp_path / "log.jsonl", columns=OF_FIELDS | {"changed_by": None, "transaction_id": None})
    assert log.changes().select("before_snapshot", "changed_fields").rows() == [('{"n": "1"}', '{"n": 1.10}')]


@pytest.mark.parametrize(
    ("step", "columns", "words"),
    [
        (
            {"changes": '{"tags": {"type": "m2m", "objects": []}}'},
            DIFF,
            "row id 1: .* difference has of 'tags', and no",
        ),
        ({"changes": '{"n": [1, 2, 3]}'}, DIFF, r"row id 1: '\[1, 2, 3\]' is what"),
        ({"changes": "[1]"}, DIFF, r"row id 1: '\[1\]' is no JSON object"),
        ({"changes": '{"n": '}, DIFF, "row id 1: .* is no JSON object"),
        ({"changes": "---\nn: 1"}, DIFF, "row id 1: .* is no JSON object .*, YAML: write it as JSON first"),
        ({"old": None, "new": "x"}, SIDES, "row id 1: 'x' is no JSON object"),
        ({"field": None, "old": "a", "new": "b"}, OF_FIELDS, "row id 1: None is no name of a field"),
    ],
)
def test_what_is_no_difference_is_refused_by_its_row(step: dict[str, Any], columns: dict[str, str], words: str):
    with pytest.raises(SchemaMismatch, match=words):
        al.from_arrow(rows(("update", step)), columns=columns)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"columns": DIFF | {"old": "old"}}, "'diff', which has the old and new values, and others"),
        ({"columns": {"field": "old"}}, "'field', which tells nothing without 'new'"),
        ({"columns": DIFF | {"changed_fields": "new"}}, "'diff' makes that, and columns= gives changed_fields"),
        ({"columns": DIFF, "fields": "rest"}, "fields= makes images, and columns= says what changes did"),
        ({"columns": {"diff": ["a", "b"]}}, "Each is made of one column"),
        ({"columns": {"old": "old", "new": "old"}}, "columns= gives 'old' twice"),
        ({"columns": DIFF | {"valid_from": "old"}}, "for rows that are versions, and what changes did"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options: dict[str, Any], words: str):
    data = rows(("update", {"changes": "{}", "old": "{}", "new": "{}"}))
    with pytest.raises(BadOption, match=words):
        al.from_arrow(data, **options)

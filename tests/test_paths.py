"""Nested values are told part by part: each part's own text at its own place, and together they make the new value."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditlab.temporal import nested
from auditlab.temporal.alignment import Effort, common
from auditlab.temporal.nested import differences
from auditlab.testing import json_text
from auditlab.testing.equality import canonical
from auditlab.testing.parts import decoded, patched, pointed, told_as_values

if TYPE_CHECKING:
    from auditlab.testing.parts import Told

BIG = "123456789012345678901234567890"


def told(old: str, new: str, **options: object) -> list[Told]:
    return [(part.path, part.kind, part.old, part.new) for part in differences(old, new, **options)]


@pytest.mark.parametrize(
    ("old", "new", "rows"),
    [
        ('{"a": 1.10}', '{"a": 1.1}', []),
        ('{"a": 1.10}', '{"a": 1.20}', [("/a", "modified", "1.10", "1.20")]),
        (f'{{"a": {BIG}}}', f'{{"a": {BIG}.0, "b": {BIG}1}}', [("/b", "added", None, f"{BIG}1")]),
        ('{"a": null}', "{}", [("/a", "removed", "null", None)]),
        ("{}", '{"a": null}', [("/a", "added", None, "null")]),
        ('{"a": null}', '{"a": ""}', [("/a", "modified", "null", '""')]),
        ('{"a": "1"}', '{"a": 1}', [("/a", "modified", '"1"', "1")]),
        ('{"a": {"b": {"c": [0]}}}', '{"a": {"b": {"c": [0, 1]}}}', [("/a/b/c/1", "added", None, "1")]),
        ('{"a": [1]}', '{"a": {"0": 1}}', [("/a", "modified", "[1]", '{"0": 1}')]),
        ("[]", "{}", [("", "modified", "[]", "{}")]),
        ('{"a/b": 1, "c~d": 1, "": 1, "e.f": 1}', '{"a/b": 2, "c~d": 2, "": 2, "e.f": 2}', [
            ("/a~1b", "modified", "1", "2"), ("/c~0d", "modified", "1", "2"), ("/", "modified", "1", "2"),
            ("/e.f", "modified", "1", "2"),
        ]),
        ("[1, 2, 3]", "[1, 9, 2, 3]", [("/1", "added", None, "9")]),
        ("[1, 9, 2, 3]", "[1, 2, 3]", [("/1", "removed", "9", None)]),
        ("[1, 2, 3]", "[1, 5, 3]", [("/1", "modified", "2", "5")]),
        ("[1, 1, 1]", "[1, 1]", [("/2", "removed", "1", None)]),
        ("[1, 2]", "[2, 1]", [("/0", "removed", "1", None), ("/1", "added", None, "1")]),
        ('[{"a": 1}, {"a": 2}]', '[{"z": 0}, {"a": 1.0}, {"a": 3}]', [
            ("/0", "added", None, '{"z": 0}'), ("/2/a", "modified", "2", "3"),
        ]),
        ('[{"a": [1, 2]}, 7]', '[0, {"a": [2]}, 7]', [
            ("/0", "removed", '{"a": [1, 2]}', None), ("/0", "added", None, "0"), ("/1", "added", None, '{"a": [2]}'),
        ]),
        ('["2024-06-01T12:00:00Z"]', '["2024-06-01T14:00:00+02:00"]', []),
        ('{"a": "\\ud800"}', '{"a": "\\ud801"}', [("/a", "modified", '"\\ud800"', '"\\ud801"')]),
        ('[ "\\ud800" , 1]', '["\\ud800",\t2 ]', [("/1", "modified", "1", "2")]),
        ('{"\\ud800": 1}', '{"\\ud800": 2}', [("/\\ud800", "modified", "1", "2")]),
        ('["a\nb", 1]', '["a\nb"]', [("/1", "removed", "1", None)]),
        ('{"a": 1, "a": 2}', '{"a": 1}', [("/a", "modified", "2", "1")]),
    ],
)  # fmt: skip
def test_each_part_is_told_once_as_it_was_recorded(old: str, new: str, rows: list[Told]):
    assert told(old, new) == rows


def test_a_removed_part_has_its_old_place_and_every_other_its_new_one():
    old, new = '[{"k": 1}, 8, {"k": 2, "x": 0}]', '[8, 5, {"k": 3}, 9]'
    rows = told(old, new, list_key=lambda _: None)
    assert {(path, kind) for path, kind, _, _ in rows} == {("/0", "removed"), ("/2", "removed")} | {
        (f"/{place}", "added") for place in (1, 2, 3)
    }
    moved = told('[0, {"k": [1, 2]}]', '[{"k": [2, 3]}]', list_key=lambda path: "k" if path == "" else None)
    assert moved == [("/0", "removed", "0", None), ("/1", "removed", '{"k": [1, 2]}', None),
                     ("/0", "added", None, '{"k": [2, 3]}')]  # fmt: skip


LINES = '[{"id": 1, "q": 1}, {"id": 2, "q": [5, 6]}]'


@pytest.mark.parametrize(
    ("new", "rows"),
    [
        ('[{"id": 3}, {"id": 1, "q": 2}, {"id": 2, "q": [6]}]', [
            ("/0", "added", None, '{"id": 3}'), ("/1/q", "modified", "1", "2"), ("/1/q/0", "removed", "5", None),
        ]),
        ('[{"id": 2, "q": [5, 6]}, {"id": 1, "q": 1}]', [
            ("/0", "removed", '{"id": 1, "q": 1}', None), ("/1", "added", None, '{"id": 1, "q": 1}'),
        ]),
        ('[{"id": 2.0, "q": [5]}]', [("/0", "removed", '{"id": 1, "q": 1}', None), ("/1/q/1", "removed", "6", None)]),
        ('[{"id": 1, "q": 7}, {"id": 1, "q": 8}]', [
            ("/0/q", "modified", "1", "7"), ("/1/id", "modified", "2", "1"), ("/1/q", "modified", "[5, 6]", "8"),
        ]),
        ("[0, 1]", [("/0", "modified", '{"id": 1, "q": 1}', "0"), ("/1", "modified", '{"id": 2, "q": [5, 6]}', "1")]),
    ],
    ids=["inserted before", "moved", "removed", "a key twice: by value", "no objects: by value"],
)  # fmt: skip
def test_objects_of_a_list_are_matched_by_the_key_that_is_named(new: str, rows: list[Told]):
    assert told(LINES, new, list_key=lambda path: "id" if path == "" else None) == rows
    assert canonical(patched(LINES, rows)) == canonical(decoded(new))


def test_values_are_told_to_the_limit_of_their_depth():
    old, new = ("[" * 512 + number + "]" * 512 for number in ("1.10", "1.20"))
    assert told(old, new) == [("/0" * 512, "modified", "1.10", "1.20")]
    old, new = ('{"a":' * 512 + number + "}" * 512 for number in ("null", "0"))
    assert told(old, new) == [("/a" * 512, "modified", "null", "0")]


def test_a_long_list_with_few_changes_is_told_exactly():
    old = [place % 97 for place in range(20_000)]
    new = [*old[:500], -1, *old[500:15_000], *old[15_003:], -2]
    rows = told(json.dumps(old), json.dumps(new))
    assert [(path, kind) for path, kind, _, _ in rows] == [
        ("/500", "added"), *((f"/{at}", "removed") for at in range(15_000, 15_003)), ("/19998", "added"),
    ]  # fmt: skip


def test_a_list_that_would_take_too_long_to_match_is_one_row():
    old, new = ("[" + ",".join(str(place * step % 2) for place in range(6_000)) + "]" for step in (1, 3))
    assert told(f'{{"a": 1, "list": {old}}}', f'{{"a": 2, "list": {new[:-1]}, 7, 0, 0]}}')[0][0] == "/a"
    shuffled = "[" + ",".join(str(place // 3 % 2) for place in range(6_000)) + "]"
    rows = told(f'{{"a": 1, "list": {old}}}', f'{{"a": 2, "list": {shuffled}}}')
    assert rows == [("/a", "modified", "1", "2"), ("/list", "modified", old, shuffled)]


def test_values_that_are_too_large_are_one_row(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(nested, "LARGEST", 20)
    assert told('{"a": 1, "b": 2}', '{"a": 1, "b": 3}') == [("", "modified", '{"a": 1, "b": 2}', '{"a": 1, "b": 3}')]


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([Decimal("1.10"), Decimal("1.1"), Decimal("0.30"), Decimal("-0"), Decimal(BIG), Decimal("1e40")]),
    st.sampled_from(["", "1", "a/b", "~", 'q"', "2024-06-01T12:00:00Z", "2024-06-01T14:00:00+02:00", "\u202e"]),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=5), st.dictionaries(st.sampled_from(["a", "b", "", "a/b", "m~n", "0"]), inner)
    ),
    max_leaves=14,
)
objects = st.dictionaries(st.sampled_from(["a", "b", "", "a/b"]), values)
fixed = settings(max_examples=300, deadline=None, derandomize=True, database=None)


def texts(value: object) -> str:
    return json_text(value)


@fixed
@given(values.map(texts), values.map(texts))
def test_the_parts_applied_to_the_old_value_give_the_new_one(old: str, new: str):
    rows = told(old, new)
    assert canonical(patched(old, rows)) == canonical(decoded(new))
    assert bool(rows) == (canonical(decoded(old)) != canonical(decoded(new)))
    for path, kind, before, after in rows:
        assert kind == ("added" if before is None else "removed" if after is None else "modified")
        if after is not None:
            assert pointed(new, path) == after
        if kind == "removed":
            assert pointed(old, path) == before
        if kind == "modified":
            assert canonical(decoded(before)) != canonical(decoded(after))
            assert not (before[0] == after[0] and before[0] in "{[")  # what both have inside is told inside
    by_key = told_as_values(old, new)
    assert by_key is None or set(rows) == by_key


@fixed
@given(st.lists(st.integers(0, 4), max_size=9), st.lists(st.integers(0, 4), max_size=9), st.booleans())
def test_lists_keep_as_many_elements_as_can_be_kept(old: list[int], new: list[int], boxed: bool):  # noqa: FBT001
    rows = told(*(json.dumps([[[each]] for each in items] if boxed else items) for items in (old, new)))
    kept = len(old) - sum(kind != "added" for _, kind, _, _ in rows)
    assert kept == longest(old, new)


def longest(old: list[int], new: list[int]) -> int:
    """How many elements the two lists have in common, in order: the textbook table."""
    table = [[0] * (len(new) + 1) for _ in range(len(old) + 1)]
    for i, one in enumerate(old):
        for j, other in enumerate(new):
            table[i + 1][j + 1] = table[i][j] + 1 if one == other else max(table[i][j + 1], table[i + 1][j])
    return table[-1][-1]


@fixed
@given(st.lists(st.integers(0, 5), max_size=12), st.lists(st.integers(0, 5), max_size=12))
def test_common_places_are_pairs_of_equals_in_order_and_as_many_as_can_be(old: list[int], new: list[int]):
    found = common(old, new, Effort(1_000))
    assert found is not None
    assert all(old[i] == new[j] for i, j in found)
    assert [sorted(set(side)) for side in zip(*found, strict=True)] == [list(side) for side in zip(*found, strict=True)]
    assert len(found) == longest(old, new)
    assert common("abab", "baba", Effort(1)) is None


@fixed
@given(st.lists(st.integers(), unique=True, max_size=12), st.data())
def test_what_is_put_into_a_list_is_told_as_added_and_nothing_else(old: list[int], data: st.DataObject):
    new: list[object] = list(old)
    for each in range(data.draw(st.integers(0, 3))):
        new.insert(data.draw(st.integers(0, len(new))), f"new {each}")
    rows = told(json.dumps(old), json.dumps(new))
    assert rows == [(f"/{at}", "added", None, json.dumps(each)) for at, each in enumerate(new) if isinstance(each, str)]

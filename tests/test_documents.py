"""Snapshots are split exactly, and what is no document is refused by kind, with the changes that hold it."""

from __future__ import annotations

import polars as pl
import pytest

from auditlab import documents
from auditlab.errors import MalformedChange, SnapshotTooDeep, SnapshotTooLarge


def read(*after: str | None, before: list[str | None] | None = None):
    images = pl.Series(after, dtype=pl.String)
    earlier = pl.Series(before or [None] * len(after), dtype=pl.String)
    return documents.read(earlier, images, {}, pl.int_range(1, len(after) + 1, eager=True))


def test_each_distinct_document_is_split_once():
    found = read('{"x": 1}', '{"x": 2}', None, before=[None, '{"x": 1}', '{"x": 2}'])
    assert found.texts.to_list() == ['{"x": 1}', '{"x": 2}']
    assert found.after.to_list() == [0, 1, None]
    assert found.before.to_list() == [None, 0, 1]


def test_fields_come_in_order_of_first_appearance_and_may_be_called_anything():
    found = read('{"b": 1, "a.b": 2, "": 3}', '{"id; DROP TABLE x": "<script>", "A": 1, "a": 2, "f0": 3}', "{}")
    names = [column.name for column in found.columns]
    assert names == ["b", "a.b", "", "id; DROP TABLE x", "A", "a", "f0"]
    assert found.columns[3].text.to_list() == [None, "<script>", None]


def test_many_documents_of_several_layouts_keep_their_places(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(documents, "BATCH", 7)
    texts = [f'{{"n": {n}, "even": {n}}}' if n % 2 == 0 else f'{{"n": {n}}}' for n in range(40)]
    n, even = read(*texts).columns
    assert n.typed.to_list() == list(range(40))
    assert even.typed.to_list() == [n if n % 2 == 0 else None for n in range(40)]


def test_a_key_may_be_called_what_nobody_would_call_it():
    text = '{"\\u0000doc": 5, "x": 1}'
    found = read(text)
    assert [column.name for column in found.columns] == ["\x00doc", "x"]
    assert [column.typed.to_list() for column in found.columns] == [[5], [1]]


def test_duplicate_keys_and_lone_surrogates_are_kept_and_flagged():
    found = read('{"a": 1, "a": 2}', '{"a": "\\ud800"}', '{"\\udc00": 1}', '{ "a" :\n 3 }', '{"a":1,"b":2}')
    assert found.flags.sort("doc").rows() == [(0, "duplicate keys"), (1, "lone surrogate"), (2, "lone surrogate")]
    assert found.columns[0].text.to_list() == ["2", '"\\ud800"', None, "3", "1"]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("[1]", "not an object"),
        ("null", "not an object"),
        ("{", "not JSON"),
        ('{"a": NaN}', "not JSON"),
        ('{"a": 1} x', "not JSON"),
        ("", "not JSON"),
    ],
)
def test_a_malformed_snapshot_is_refused_by_kind_with_its_change(text: str, kind: str):
    with pytest.raises(MalformedChange, match=rf"{kind}: 1 \(id 2\)"):
        read("{}", text)


@pytest.mark.parametrize("depth", [600, 100_000])
def test_a_snapshot_nested_too_deep_is_refused_and_nothing_breaks(depth: int):
    with pytest.raises(SnapshotTooDeep, match="512 levels"):
        read('{"a": ' + "[" * depth + "]" * depth + "}")


def test_a_snapshot_may_be_nested_to_the_limit_and_brackets_in_text_do_not_count():
    nested = read('{"a": ' + "[" * 511 + "]" * 511 + "}", '{"a": "' + "[" * 2000 + '"}')
    assert nested.columns[0].kind == "mixed"


def test_more_fields_than_the_limit_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(documents, "MOST_FIELDS", 10)
    with pytest.raises(SnapshotTooLarge, match="more than 10 different fields"):
        read("{" + ", ".join(f'"k{n}": 1' for n in range(11)) + "}")


def test_a_snapshot_larger_than_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(documents, "LARGEST", 100)
    with pytest.raises(SnapshotTooLarge, match="too large: 1"):
        read('{"a": "' + "x" * 100 + '"}')

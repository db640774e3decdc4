"""By what a log knows the rows of a table, told from its changes."""

from __future__ import annotations

import json

import polars as pl
import pytest

from auditlab.analytics.identity import Identity, identity
from auditlab.keys import entity_uuid

SCHEMA = {
    "entity_type": pl.String,
    "entity_id": pl.String,
    "before_snapshot": pl.String,
    "after_snapshot": pl.String,
    "metadata": pl.String,
}


def told(rows: list[tuple], keys: tuple[str, ...] = ("id",), columns: str = "id other", *, tracked: bool = False):
    frame = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    return identity(frame, keys=keys, columns=columns.split(), uuids=["ref"], tracked=tracked)


def row(entity_id: str, key: object = None, **fields: object) -> tuple:
    return ("t", entity_id, None, json.dumps(fields), None if key is None else json.dumps({"key": key}))


DERIVED, PAIR = str(entity_uuid("t", 1)), str(entity_uuid("t", {"a": 1, "b": "x"}))


@pytest.mark.parametrize(
    ("rows", "keys", "columns", "wanted"),
    [
        ([row("7", id=7, other=7), row("8", id=8, other=7)], ("id",), "id other", Identity(("id",), derived=False)),
        ([row("7", id=7, other=7)], ("other",), "id other", Identity(("other",), derived=False)),
        ([row("7", id=7, other=1)], ("id", "other"), "id other", Identity(("id",), derived=False)),
        ([row("x", slug="x")], (), "slug", Identity(("slug",), derived=False)),
        ([row("7", old=7), row("8", id=8)], ("id",), "id", Identity(("id",), derived=False)),
        ([row("7", old=7)], ("new",), "new", Identity(("new",), derived=False)),
        ([row(DERIVED, {"id": 1}, id=1)], ("id",), "id", Identity(("id",), derived=True)),
        ([row(DERIVED, {"no": 1}, no=1)], ("id",), "id", Identity(("id",), derived=True)),
        ([row(DERIVED, {"b": 1, "a": 2}, a=1)], ("a", "b"), "a b", Identity(("a", "b"), derived=True)),
        ([row(DERIVED, id=1, v=None)], ("id",), "id v", Identity(("id",), derived=True)),
        ([row(PAIR, a=1, b="x")], ("b", "a"), "a b", Identity(("b", "a"), derived=True)),
        ([row("7", {"app": "own"}, id=7)], ("id",), "id", Identity(("id",), derived=False)),
    ],
)
def test_it_is_told_from_the_images(rows: list[tuple], keys: tuple[str, ...], columns: str, wanted: Identity):
    assert told(rows, keys, columns) == wanted


@pytest.mark.parametrize(
    ("keys", "columns", "tracked", "wanted"),
    [
        (("ref",), "ref", True, Identity(("ref",), derived=False)),
        (("id",), "id", True, Identity(("id",), derived=True)),
        (("ref", "id"), "ref id", True, Identity(("ref", "id"), derived=True)),
        (("ref",), "ref id", False, Identity(("id",), derived=False)),
    ],
)
def test_without_a_change_the_catalog_tells(keys: tuple[str, ...], columns: str, *, tracked: bool, wanted: Identity):
    assert told([], keys, columns, tracked=tracked) == wanted


def test_where_nothing_tells_it_says_so():
    assert told([row("7", id=8)]) == "no column of it holds the entity ids that the log has"
    assert told([row(DERIVED, {"id": 1})], keys=()) == "it has no primary key any more"
    assert "its primary key is a, c now" in str(told([row(DERIVED, {"a": 1, "b": 1})], keys=("a", "c")))
    assert told([], keys=(), columns="slug") == "the log does not say what its rows' ids are"

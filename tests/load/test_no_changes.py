"""Rows from Arrow that are no changes, and images that may be missing."""

from __future__ import annotations

import polars as pl
import pyarrow as pa
import pytest
from arrow_log import a_log, the_changes
from polars.testing import assert_frame_equal

from auditlab.errors import BadOption, MalformedChange, SchemaMismatch
from auditlab.load.arrow import from_arrow

MALFORMED = {
    "no entity id": {"entity_id": [None, "x", "y"]},
    "after_snapshot is no JSON object": {"after_snapshot": ["[1]", "{}", "{}"]},
    "before_snapshot is no JSON object": {"operation": ["UPDATE", "c", "u"], "before_snapshot": ["null", None, "{}"]},
    "INSERT without an after image": {"after_snapshot": [None, "{}", "{}"], "before_snapshot": [None] * 3},
    "INSERT with a before image": {"before_snapshot": ["{}", None, "{}"]},
    "UPDATE without an after image": {
        "operation": ["u", "c", "u"],
        "after_snapshot": [None, "{}", "{}"],
        "before_snapshot": [None] * 3,
    },
    "DELETE with an after image": {"operation": ["d", "c", "u"]},
    "SNAPSHOT without an after image": {"operation": ["r", "c", "u"], "after_snapshot": [None, "{}", "{}"]},
    "transaction id below 0": {"transaction_id": pa.array([-1, 1, 1])},
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_rows_that_are_no_changes_are_refused_by_kind_with_their_ids(kind: str):
    with pytest.raises(MalformedChange, match=rf"{kind} in 1 rows \(row id 1\)"):
        from_arrow(a_log(**MALFORMED[kind]))


@pytest.mark.parametrize(
    "columns",
    [
        {"after_snapshot": [None, "{}", "{}"]},  # its next change has a before image
        {
            "after_snapshot": [None, "{}", "{}"],
            "before_snapshot": [None] * 3,
            "changed_fields": ['{"n": 1}', None, None],
        },
        {"after_snapshot": [None] * 3},  # a log that never records them
        {"after_snapshot": [None] * 3, "before_snapshot": [None] * 3},
    ],
)
def test_an_after_image_may_be_missing_where_others_tell_it_or_the_log_has_none(columns: dict[str, object]):
    assert from_arrow(a_log(**columns)).changes["id"].to_list() == [1, 2, 3]


def test_an_image_that_a_log_never_recorded_is_said_to_be_none():
    log = a_log(before_snapshot=None)
    with pytest.raises(SchemaMismatch, match=r"before_snapshot: missing.*columns=\{'before_snapshot': None\}"):
        from_arrow(log)
    loaded = from_arrow(log, columns={"before_snapshot": None}).changes
    assert_frame_equal(loaded, the_changes().with_columns(before_snapshot=pl.lit(None, dtype=pl.String)))
    assert from_arrow(a_log(), columns={"changed_fields": None}).changes["changed_fields"].null_count() == 3


@pytest.mark.parametrize("name", ["entity_type", "entity_id", "changed_at"])
def test_what_every_log_has_cannot_be_said_to_be_none(name: str):
    with pytest.raises(BadOption, match=f"there is no '{name}', which every change log has"):
        from_arrow(a_log(), columns={name: None})


@pytest.mark.parametrize("kind", MALFORMED)
def test_without_strict_such_rows_are_set_aside_with_their_kind(kind: str):
    loaded = from_arrow(a_log(**MALFORMED[kind]), strict=False)
    assert loaded.changes["id"].to_list() == [2, 3]
    assert loaded.malformed.select("kind", "id").rows() == [(kind, 1)]


def test_a_truncate_has_no_entity():
    log = a_log(operation=["t", "c", "u"], entity_id=[None, "x", "x"], after_snapshot=[None, "{}", "{}"])
    assert from_arrow(log).changes["operation"].to_list() == ["TRUNCATE", "INSERT", "UPDATE"]

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from auditlab.errors import BadOption
from auditlab.schema import CHANGES, check_columns
from auditlab.testing import json_text, make_log


def test_a_log_by_hand_is_canonical_and_has_its_before_images():
    log = make_log(
        [
            ("INSERT", "a", {"x": Decimal("1.10")}),
            ("UPDATE", "a", '{"x": 2}', {"changed_by": "ann", "metadata": {"why": "typo"}}),
            ("SNAPSHOT", "b", {"x": 5}),
            ("DELETE", "a", {"correlation_id": "c"}),
            ("UPDATE", "a", {"x": 3}),
            ("TRUNCATE",),
            ("UPDATE", "b", {"x": 6}, {"before_snapshot": {"x": 5}}),
            ("INSERT", "b", {"x": 7}, {"entity_type": "other"}),
        ],
        entity_type="shop.orders",
        step=timedelta(minutes=1),
    )
    check_columns(log)
    assert log.columns == list(CHANGES)
    assert log["id"].to_list() == list(range(1, 9))
    assert log["before_snapshot"].to_list() == [None, '{"x": 1.10}', None, '{"x": 2}', None, None, '{"x": 5}', None]
    assert log["after_snapshot"][0] == '{"x": 1.10}'
    assert log["entity_id"].to_list() == ["a", "a", "b", "a", "a", None, "b", "b"]
    assert log["metadata"][1] == '{"why": "typo"}'
    assert log["correlation_id"][3] == "c"
    assert log["entity_type"].to_list() == ["shop.orders"] * 7 + ["other"]
    assert log["changed_at"][7] == datetime(2024, 1, 1, 0, 7, tzinfo=UTC)


@pytest.mark.parametrize(
    "step",
    [("UPSERT", "a", {}), ("INSERT", "a"), ("TRUNCATE", "a"), ("DELETE", "a", {}, {}), ("DELETE", "a", {"x": 1})],
)
def test_a_step_that_cannot_be_read_is_named(step: tuple[object, ...]):
    with pytest.raises(BadOption, match=step[0]):
        make_log([step])


def test_json_text_keeps_digits_and_writes_times_as_iso_8601():
    moment = datetime(2024, 6, 1, 12, tzinfo=UTC)
    text = json_text({"a.b": [Decimal("1.10"), 2**63 + 1, moment, moment.date(), None, True, 'é"']})
    assert text == '{"a.b": [1.10, 9223372036854775809, "2024-06-01T12:00:00+00:00", "2024-06-01", null, true, "é\\""]}'

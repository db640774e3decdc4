from __future__ import annotations

import sys
from collections import Counter

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings

from auditlab.errors import MissingExtra
from auditlab.schema import CHANGES, OPERATIONS, check_columns
from auditlab.testing import histories


def test_generated_histories_have_what_makes_logs_hard_to_read():
    seen: Counter[str] = Counter()

    @settings(max_examples=150, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(histories())
    def look(frame: pl.DataFrame) -> None:
        check_columns(frame)
        assert frame.columns == list(CHANGES)
        assert frame["id"].is_sorted()
        seen.update(set(frame["operation"]))
        seen["times disagree with ids"] += not frame["changed_at"].is_sorted()
        seen["ties"] += frame["changed_at"].n_unique() < frame.height
        seen["gaps"] += frame["id"].max() > frame.height
        seen["several changes in a transaction"] += frame["transaction_id"].drop_nulls().is_duplicated().any()
        seen["no transaction ids"] += frame["transaction_id"].null_count() > 0
        first = frame.filter(pl.col("entity_id").is_not_null()).unique(["entity_type", "entity_id"], keep="first")
        seen["older than the log"] += first["operation"].is_in(["UPDATE", "DELETE"]).any()
        updates = frame.filter(pl.col("operation") == "UPDATE")
        seen["no-op updates"] += (updates["before_snapshot"] == updates["after_snapshot"]).any()

    look()
    assert set(OPERATIONS) <= seen.keys()
    assert [what for what, often in seen.items() if not often] == []


def test_without_hypothesis_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    with pytest.raises(MissingExtra, match=r"pip install 'auditlab\[test\]'"):
        histories()

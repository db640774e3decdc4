"""Answers of small logs are written in as many ranges as those of large ones."""

from __future__ import annotations

import pytest

from auditlab.buckets import answers


@pytest.fixture(autouse=True)
def several_ranges(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(answers, "_RANGES", 80)

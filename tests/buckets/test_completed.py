"""Images that are missing, in a log that is dealt out into buckets."""

from __future__ import annotations

import polars as pl
import pytest
from dealt import ENOUGH, dealt_out
from hypothesis import given
from polars.testing import assert_frame_equal
from same_answers import answer, generated

import auditlab as al
from auditlab.testing import histories

pytestmark = pytest.mark.filterwarnings("error")


@pytest.mark.parametrize("missing", ["before", "after", "images", "all", "some"])
def test_images_that_are_missing_are_completed_as_in_memory_or_refused(missing: str):
    """What changed fields mean, and whether a missing image is a fault, all changes of a type decide together."""
    told = {"answered": 0, "refused": 0}

    @generated(40, few=3)
    @given(histories(missing=missing, max_steps=24).filter(lambda frame: len(frame) >= ENOUGH))
    def run(frame: pl.DataFrame) -> None:
        while len(kept := al.from_arrow(frame, strict=False).changes()) < len(frame):
            frame = kept
        whole = al.from_arrow(frame)
        silent = frame.filter(pl.col("operation").is_in(["INSERT", "UPDATE"]) & pl.col("after_snapshot").is_null())
        for entity_type in whole.entity_types:
            own = whole.of(entity_type)
            for verb in (lambda log: log.history(), lambda log: log.diffs(), lambda log: log.blame()):
                got, said = answer(dealt_out(whole, 3).of(entity_type), verb)
                if isinstance(got, str) and got.startswith("LogTooLarge") and entity_type in silent["entity_type"]:
                    assert "have no after image" in got
                    told["refused"] += 1
                    continue
                want, warned = answer(own, verb)
                told["answered"] += 1
                assert isinstance(got, str) == isinstance(want, str), (got, want)
                if not isinstance(want, str):
                    assert_frame_equal(got, want)
                    assert said == warned

    run()
    assert told["answered" if missing == "before" else "refused"] > 0

"""The memory that a question may take, the folder that is used instead, and what still needs all changes at once."""

from __future__ import annotations

import gc
import tempfile
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa
import pytest
from dealt import dealt_out
from polars.testing import assert_frame_equal

import auditlab as al
from auditlab.archive import read
from auditlab.buckets.bucketed import Bucketed
from auditlab.buckets.compartments import Compartments
from auditlab.buckets.dealing import AMPLIFIED
from auditlab.buckets.part import ARRIVAL
from auditlab.errors import BadOption, LogTooLarge, MalformedChange, SpillFailed, WithheldFields
from auditlab.testing import make_log

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("error")


def test_what_needs_all_changes_at_once_says_how_much_memory_it_takes():
    log = dealt_out(al.from_arrow(make_log([("INSERT", f"e{n}", {"n": n}) for n in range(20)])), 3)
    with pytest.raises(LogTooLarge, match=r"needs all 20 changes in memory at once, about .* MB, and may take"):
        _ = log.selected.recorded.changes
    looking_around = [pl.col("id") == pl.col("id").max(), pl.col("entity_id").is_in(pl.col("entity_type"))]
    for predicate in (*looking_around, pl.col("id") == pl.lit(pl.Series(range(20)))):
        with pytest.raises(BadOption, match="looks at one change at a time"):
            log.where(predicate).changes()
    assert log.where(pl.col("id").is_in([3, 40]), operation="INSERT").changes().collect().height == 1
    assert log.where(pl.col("id") > 5, pl.col("entity_id").str.contains("1")).changes().collect().height == 10


def test_one_entity_of_a_log_larger_than_memory_is_explored_alone_and_what_needs_all_says_what_would_do(tmp_path: Path):
    steps = [("INSERT", f"e{n}", {"n": n, "text": "x" * 2_000}) for n in range(2_000)]
    steps += [("UPDATE", "e7", {"n": -n}, {"transaction_id": 7_000}) for n in range(3)]
    steps += [("UPDATE", "e8", {"n": 0}, {"transaction_id": 7_000})]
    log = al.from_arrow(make_log(steps))
    log.to_archive(tmp_path / "archive")
    larger = al.scan_archive(tmp_path / "archive", memory="2MB")
    shown, whole = (one.of("t").entity("e7").explore(cursor=2_003) for one in (larger, log))
    assert_frame_equal(shown.frame, whole.frame)
    assert shown.selection == whole.selection
    assert shown.code.split("view =")[1].replace(".collect()", "") == whole.code.split("view =")[1]
    alone, among = (one.answer({"about": "change", "row": 3})["transactions"]["7000"] for one in (shown, whole))
    assert alone["note"] == "Only what the entity takes was read of the log; log.transaction(7000).timeline() has all."
    assert (among["note"], among["count"]) == ("", 4)
    with pytest.raises(LogTooLarge, match=r'see one entity by history\(\) or explore\(\).* memory="\d+MB"') as told:
        larger.explore()
    enough = str(told.value).split('memory="')[1].split('"')[0]
    assert al.scan_archive(tmp_path / "archive", memory=enough).explore().frame.equals(log.explore().frame)


def test_an_archive_under_a_memory_limit_answers_as_one_without(tmp_path: Path):
    steps = [("INSERT", f"e{n}", {"n": n, "text": "x" * 50}) for n in range(60)]
    steps += [("UPDATE", f"e{n}", {"n": -n, "text": "y" * 50}) for n in range(0, 60, 3)]
    al.from_arrow(make_log(steps)).to_archive(tmp_path / "archive")
    limited = al.scan_archive(tmp_path / "archive", memory="80 kB")
    whole = al.scan_archive(tmp_path / "archive")
    assert isinstance(limited._selected.recorded, Bucketed)  # noqa: SLF001 - that the limit was below it
    assert limited._selected.recorded.count > 2  # noqa: SLF001 - the same
    for verb in ("as_of", "history", "diffs", "blame", "timeline"):
        assert_frame_equal(getattr(limited, verb)().collect(), getattr(whole, verb)().collect())
    assert_frame_equal(limited.history().select("n").collect(), whole.history().select("n").collect())
    assert_frame_equal(limited.diffs().head(3).collect(), whole.diffs().head(3).collect())
    only = pl.col("entity_id") == "e3"
    assert_frame_equal(limited.history().filter(only).collect(), whole.history().filter(only).collect())


def test_an_archive_is_asked_in_buckets_from_the_size_on_that_does_not_fit(tmp_path: Path):
    steps = [("INSERT", f"e{n}", {"n": n, "text": "x" * 400}) for n in range(60)]
    al.from_arrow(make_log(steps)).to_archive(tmp_path / "archive")
    needed = read.scan_archive(tmp_path / "archive").size() * AMPLIFIED
    assert 4_000 < needed / len(steps) < 10_000, "changes of a usual size"
    for room, dealt in ((needed, False), (needed - 1, True)):
        log = al.scan_archive(tmp_path / "archive", memory=room)
        assert isinstance(log.selected.recorded, Bucketed) == dealt


def test_an_archive_larger_than_memory_is_written_as_another(tmp_path: Path):
    """Row by row, those that were set apart too; masked as told, and nothing is left where a mask names no field."""
    steps = [("SNAPSHOT", f"e{n}", {"n": n, "text": "x" * 50}) for n in range(20)]
    steps += [("INSERT", f"e{n}", {"n": n, "text": "x" * 50}) for n in range(20, 60)]
    steps += [("UPDATE", f"e{n}", {"n": -n, "text": "y" * 50}) for n in range(0, 60, 3)]
    frame = make_log(steps)
    odd = frame.tail(1).with_columns(id=pl.lit(1000, dtype=pl.Int64), after_snapshot=pl.lit("[]"))
    al.from_arrow(pl.concat([frame, odd]), strict=False).to_archive(tmp_path / "one")
    strict = al.scan_archive(tmp_path / "one", memory="20 kB")
    assert isinstance(strict._selected.recorded, Bucketed)  # noqa: SLF001 - that the limit was below it
    with pytest.raises(MalformedChange):
        strict.to_archive(tmp_path / "refused")
    log = al.scan_archive(tmp_path / "one", memory="20 kB", strict=False)
    log.to_archive(tmp_path / "two")
    rows, again = (al.scan_archive(tmp_path / name, strict=False) for name in ("one", "two"))
    assert_frame_equal(again.changes().collect(), rows.changes().collect())
    assert_frame_equal(again.malformed, rows.malformed)
    with pytest.raises(BadOption, match="no change has a field 't.nope'"):
        log.to_archive(tmp_path / "three", mask_fields=["t.nope"])
    assert not (tmp_path / "three").exists()
    log.to_archive(tmp_path / "three", mask_fields=["t.text"])
    masked = al.scan_archive(tmp_path / "three", strict=False)
    with pytest.warns(WithheldFields):
        assert set(masked.as_of().collect()["text"]) == {"***"}


@pytest.mark.parametrize("memory", ["much", "", "0", -1, True, "3 parsecs"])
def test_a_limit_that_is_no_size_is_refused(tmp_path: Path, memory: object):
    al.from_arrow(make_log([("INSERT", "a", {"n": 1})])).to_archive(tmp_path / "archive")
    with pytest.raises(BadOption, match="is no size"):
        al.scan_archive(tmp_path / "archive", memory=memory)  # type: ignore[arg-type]  # that is the question


def test_the_private_folder_goes_with_the_last_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    log = dealt_out(al.from_arrow(make_log([("INSERT", f"e{n}", {"n": n}) for n in range(30)])), 3)
    answer = log.history()
    folders = list(tmp_path.iterdir())
    assert folders
    assert {folder.stat().st_mode & 0o777 for folder in folders} == {0o700}
    del log
    gc.collect()
    assert answer.select("n").collect().height == 30
    del answer
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_a_temporary_folder_that_cannot_be_used_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    log = dealt_out(al.from_arrow(make_log([("INSERT", f"e{n}", {"n": n}) for n in range(30)])), 3)
    with pytest.raises(SpillFailed, match="cannot use the temporary folder .*gone"):
        log.history()


def test_what_activity_keeps_of_a_compartment_keeps_none_of_its_other_rows(monkeypatch: pytest.MonkeyPatch):
    name, buckets = "t" * 5000, 40
    steps = [(kind, f"e{n}", {"n": kind}) for n in range(400) for kind in ("INSERT", "UPDATE")]
    log = dealt_out(al.from_arrow(make_log(steps, entity_type=name)), buckets)
    read, held = Compartments.read, []

    def noting(self: Compartments, number: int, columns: Sequence[str] | None = None) -> pl.DataFrame:
        before = pa.total_allocated_bytes()
        frame = read(self, number, columns)
        if "transaction_id" in frame.columns and ARRIVAL not in frame.columns:
            held.append(before)
        return frame

    monkeypatch.setattr(Compartments, "read", noting)
    assert log.activity(period="day").by_field["entity_type"].to_list() == [name]
    assert len(held) == 2 * buckets  # where changes and fields are read by transaction
    first, last = held[0], held[-1]
    assert last - first < 2 * buckets * len(name), "more than each compartment's own row"

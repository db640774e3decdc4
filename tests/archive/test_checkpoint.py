"""A checkpoint is no part of the log, is written whole or not at all, and what is wrong in one is found before use."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from archived_log import forge
from checkpointed import USED, add, assert_same, of_entity, pulled, whole
from polars.testing import assert_frame_equal
from test_crash import run

import auditlab as al
from auditlab import shortcuts
from auditlab.archive.checkpoint import checkpoint
from auditlab.archive.compact import compact
from auditlab.archive.manifest import read_chain
from auditlab.archive.seal import new_key
from auditlab.errors import ArchiveCorrupt, BadOption, UnknownEntity
from auditlab.temporal import asof
from auditlab.testing import make_log

if TYPE_CHECKING:
    from collections.abc import Callable

KILLED = Path(__file__).parent / "killed_compactor.py"


def orders(count: int, *, first: int = 0) -> pl.DataFrame:
    """A log of orders with uuids for ids: each is inserted and updated, every fifth is deleted."""
    keys = [f"00000000-0000-4000-8000-{number:012d}" for number in range(first, first + count)]
    steps: list[tuple[Any, ...]] = [("INSERT", key, {"id": key, "n": n}) for n, key in enumerate(keys)]
    steps += [("UPDATE", key, {"id": key, "n": -n}) for n, key in enumerate(keys)]
    return make_log([*steps, *(("DELETE", key) for key in keys[::5])], entity_type="shop.orders")


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """An archive of two pulls with a checkpoint between them."""
    frame = orders(40)
    facts = al.from_arrow(frame).facts
    add(tmp_path / "archive", frame[:70], facts)
    checkpoint(tmp_path / "archive")
    add(tmp_path / "archive", frame[70:], facts)
    return tmp_path / "archive"


def test_one_entity_is_found_without_reading_the_others(kept: Path, monkeypatch: pytest.MonkeyPatch):
    log = whole(kept)
    keys = log.as_of().collect()["entity_id"]
    wanted = {key: log.of("shop.orders").entity(key).history().collect() for key in keys}
    for engine, memory in (("polars", None), ("duckdb", None), ("polars", "80 kB")):
        assert_same(kept, of_entity("shop.orders", keys[3], log.facts.coverage.end), engine=engine, memory=memory)

    def refuse(*_: object) -> None:
        raise AssertionError("rows of others were read")

    monkeypatch.setattr("auditlab.archive.rows._file_rows", refuse)
    asked = al.scan_archive(kept)
    for key, history in wanted.items():
        assert_frame_equal(asked.of("shop.orders").entity(key).history().collect(), history)
    with pytest.raises(UnknownEntity, match="no entity 'nobody'"):
        asked.entity("nobody")


def test_a_folder_whose_name_is_a_pattern_is_read_without_the_filters(kept: Path, tmp_path: Path):
    odd = tmp_path / "a[b]*?"
    odd.mkdir()
    kept.rename(odd / "archive")
    key = whole(odd / "archive").as_of().collect()["entity_id"][3]
    assert_same(odd / "archive", of_entity("shop.orders", key, "2024-01-01T00:01:00Z"))


def test_a_checkpoint_is_no_part_of_the_log(kept: Path):
    manifests = [manifest for manifest, _ in read_chain(kept)]
    assert [(one.format, one.checkpoint is not None) for one in manifests] == [(3, False), (4, True), (3, False)]
    assert manifests[1].segments == ()
    assert len(al.scan_archive(kept)) == 88
    assert pl.read_parquet(kept / "data" / "*.parquet", columns=["id"]).height == 88
    before = al.head(kept)
    compact(kept, grace=0)
    assert al.verify(kept, heads=[before]) == []
    key = whole(kept).as_of().collect()["entity_id"][0]
    assert_same(kept, of_entity("shop.orders", key, "2024-01-01T00:01:00Z"))
    assert USED["of_entity used"]


def test_only_what_is_due_is_written(kept: Path):
    last = read_chain(kept)[1][0].checkpoint
    assert last is not None
    assert [part.rows for part in last.parts] == [40]
    again = checkpoint(kept, due=True)
    assert (again.number, again.since, str(again)) == (
        None,
        18,
        f"no checkpoint written in {kept}: 18 rows since the last one",
    )
    new = checkpoint(kept)
    assert (new.number, new.changes, new.rows, new.since) == (4, 88, {"shop.orders": 32}, 18)
    assert checkpoint(kept).number is None


FORGED: dict[str, Callable[[dict[str, Any]], None]] = {
    "it stands for less": lambda body: body["checkpoint"].update(covers=1),
    "no part": lambda body: body["checkpoint"].update(parts=[]),
    "of a manifest to come": lambda body: body["checkpoint"].update(covers=9),
    "a part of the log": lambda body: body["checkpoint"]["parts"][0].update(role="changes"),
    "of an older format": lambda body: body.update(format=3),
}


@pytest.mark.parametrize("place", range(len(FORGED)), ids=list(FORGED))
def test_a_checkpoint_that_is_not_what_the_rows_make_is_found(kept: Path, place: int):
    checkpoint(kept)
    assert al.verify(kept) == []
    forge(kept, list(FORGED.values())[place], number=4)
    found = al.verify(kept)
    words = "with other rows than those that decide the states" if not place else "does not hold what a manifest must"
    assert words in str(found[0])


def test_a_damaged_checkpoint_is_found_before_it_is_used(kept: Path):
    (path,) = (kept / "checkpoints").iterdir()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    key = whole(kept).as_of().collect()["entity_id"][0]
    with pytest.raises(ArchiveCorrupt, match="SHA-256 differs"):
        al.scan_archive(kept).of("shop.orders").entity(key)
    assert "SHA-256 differs" in str(al.verify(kept)[0])


def test_verify_counts_the_rows_of_the_log_and_not_those_of_checkpoints(kept: Path):
    found = al.prove(kept)
    assert (found.files, found.rows, found.whole) == (3, 88, True)
    (path,) = (kept / "checkpoints").iterdir()
    path.write_bytes(path.read_bytes()[:-1])
    assert [(one.path, one.rows) for one in al.prove(kept).faults] == [(path, 0)]


def test_a_writer_of_checkpoints_killed_at_any_step_leaves_the_archive_as_it_was_or_with_one(
    tmp_path: Path, kept: Path
):
    (tmp_path / "k").mkdir()
    heads = [al.head(kept)]
    steps = int(run(str(KILLED), str(kept), str(tmp_path / "k"), "checkpoint"))
    assert steps > 5
    written = 0
    for step in range(1, steps + 1):
        folder = tmp_path / "k" / str(step)
        there = len(read_chain(folder)) == 4
        written += there
        assert al.verify(folder, heads=heads) == []
        assert len(al.scan_archive(folder)) == 88
        assert (checkpoint(folder).number is None) == there
    assert 0 < written < steps


def test_where_a_transaction_ends_is_told_by_the_whole_log_whatever_is_asked(tmp_path: Path):
    """What a checkpoint and the changes since tell of some types has not the changes of all of them."""
    told = [("t", 1), ("t", 2), ("u", 1), ("t", 3), ("t", 4), ("u", 3)]
    frame = make_log(
        [
            ("INSERT", f"e{number}", {"n": number}, {"entity_type": name, "transaction_id": transaction})
            for number, (name, transaction) in enumerate(told)
        ]
    )
    log = al.from_arrow(frame)
    early, late = pulled(frame, (0.4,))
    add(tmp_path / "archive", early, log.facts)
    checkpoint(tmp_path / "archive")
    add(tmp_path / "archive", late, log.facts)
    kept = al.scan_archive(tmp_path / "archive").of("t")
    near = shortcuts.onwards(kept.selected)
    assert near is not None
    for transaction in (1, 2, 3, 4):
        want = log.of("t").as_of(transaction=transaction)
        assert_frame_equal(kept.as_of(transaction=transaction).collect(), want)
        assert_frame_equal(asof.as_of(near, transaction=transaction), want)


def test_a_type_whose_log_leaves_something_open_has_nothing_in_it(tmp_path: Path):
    open_ = make_log([("INSERT", "a", {"n": 1}), ("UPDATE", "a", None, {"changed_fields": {"n": 2}})])
    gone = make_log([("INSERT", "b", {"n": 1}), ("DELETE", "b")], entity_type="u")
    add(tmp_path / "archive", pl.concat([open_, gone]), al.from_arrow(open_).facts)
    told = checkpoint(tmp_path / "archive")
    assert told.number is None
    assert told.left_out == {
        "t": "changes leave out values that only other changes tell",
        "u": "none of its rows is live",
    }


def test_a_signed_archive_takes_a_checkpoint_with_the_key(tmp_path: Path):
    private, public = new_key(tmp_path / "key")
    frame = orders(10)
    al.from_arrow(frame).to_archive(tmp_path / "archive", sign=private)
    with pytest.raises(BadOption, match="is signed"):
        checkpoint(tmp_path / "archive")
    assert checkpoint(tmp_path / "archive", sign=private).number == 2
    assert al.verify(tmp_path / "archive", keys=[public]) == []

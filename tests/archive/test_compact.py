"""Small files become larger ones: the same rows, the same proofs, whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa
import pytest
from archived_log import a_batch, grow, sealed
from polars.testing import assert_frame_equal
from soak import SOAK
from test_crash import run

import auditlab as al
from auditlab.archive import compact as module
from auditlab.archive import on_top
from auditlab.archive.compact import compact
from auditlab.archive.held import held_parts, held_rows, held_segments
from auditlab.archive.manifest import DATA, MANIFESTS, read_chain
from auditlab.archive.read import scan_archive
from auditlab.archive.seal import new_key
from auditlab.archive.verify import leftovers, prove, verify
from auditlab.archive.write import to_archive
from auditlab.errors import ArchiveCorrupt, ArchiveError, BadOption
from auditlab.schema import LogFacts

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditlab.archive.head import Head

KILLED_COMPACTOR = Path(__file__).parent / "killed_compactor.py"


@pytest.fixture
def fed(archive: Path) -> Path:
    """An archive of sixty changes, to which eight pulls have added."""
    for number in range(8):
        first = 61 + 10 * number
        grow(archive, a_batch(first, 6), a_batch(first + 6, 4, "shop.order_items"))
    return archive


@pytest.fixture
def heads(fed: Path) -> list[Head]:
    """Heads that were kept before anything was compacted: of each manifest."""
    return [al.head(fed)]


def rows(folder: Path) -> pl.DataFrame:
    return scan_archive(folder).changes.collect().sort("id")


def names(folder: Path) -> set[str]:
    return {path.name for path in (folder / DATA).iterdir()}


def test_small_files_become_one_of_each_type_and_the_rows_stay(fed: Path, heads: list[Head]):
    before = rows(fed)
    done = compact(fed, grace=0)
    assert (done.files_before, done.files, done.rows, done.removed, done.waiting) == (18, 2, 140, 18, 0)
    assert_frame_equal(rows(fed), before)
    assert len(names(fed)) == 2
    assert verify(fed, heads=heads) == []
    assert (held_rows(read_chain(fed)), len(held_segments(read_chain(fed)))) == (140, 1)
    assert leftovers(fed) == []


def test_where_there_is_nothing_to_merge_nothing_is_written(fed: Path):
    compact(fed, grace=0)
    before = sorted(fed.rglob("*"))
    again = compact(fed)
    assert (again.number, again.rows, again.removed) == (None, 0, 0)
    assert str(again).startswith("nothing to merge")
    assert sorted(fed.rglob("*")) == before


def test_an_archive_is_compacted_again_and_again_and_every_head_stays_good(fed: Path, heads: list[Head]):
    for first in (1000, 2000, 3000):
        compact(fed, grace=0)
        heads.append(al.head(fed))
        grow(fed, a_batch(first, 10), a_batch(first + 10, 10, "shop.order_items"))
        heads.append(al.head(fed))
    before = rows(fed)
    compact(fed, grace=0)
    assert_frame_equal(rows(fed), before)
    assert prove(fed, heads=heads).whole
    sources = [source for part in held_parts(read_chain(fed)) for source in part.sources]
    assert len(sources) == 18 + 6, "all as they were first written"


def test_the_next_pull_goes_on_from_where_the_last_one_ended(fed: Path):
    chain = read_chain(fed)
    compact(fed)
    newest = read_chain(fed)[-1][0]
    assert (newest.facts, newest.cursor, newest.ranges) == (chain[-1][0].facts, chain[-1][0].cursor, "transaction_id")
    spans = [(one.first, one.last) for one in held_segments(chain)]
    assert [(one.first, one.last) for one in held_segments(read_chain(fed))] == [
        (min(first for first, _ in spans), max(last for _, last in spans))  # type: ignore[type-var]
    ]


def test_who_opened_the_archive_before_reads_on_until_the_grace_is_over(fed: Path):
    before = rows(fed)
    opened = scan_archive(fed)
    assert compact(fed).waiting == 18
    assert_frame_equal(opened.changes.collect().sort("id"), before)
    assert compact(fed, grace=0).removed == 18
    assert_frame_equal(rows(fed), before)


def test_replaced_files_are_kept_when_asked(fed: Path):
    old = names(fed)
    done = compact(fed, keep=True, grace=0)
    assert (done.removed, old - names(fed)) == (0, set())
    assert verify(fed) == []


def test_a_reader_whose_files_are_replaced_while_it_proves_them_reads_the_new_ones(
    fed: Path, monkeypatch: pytest.MonkeyPatch
):
    from auditlab.archive import read  # noqa: PLC0415 - its own name for the check

    before, check, calls = rows(fed), read.check_part, []

    def compacted_under(folder: Path, part: object) -> None:
        calls.append(part)
        if len(calls) == 5:
            monkeypatch.setattr(read, "check_part", check)
            compact(fed, grace=0)
        check(folder, part)  # type: ignore[arg-type]

    monkeypatch.setattr(read, "check_part", compacted_under)
    monkeypatch.setattr("auditlab.archive.proof._PROVEN", {})  # on a slow machine the files are no longer young
    assert_frame_equal(rows(fed), before)
    assert len(calls) == 5


def test_who_asks_after_the_files_are_gone_is_told_to_open_the_archive_again(fed: Path):
    opened = scan_archive(fed)
    compact(fed, grace=0)
    with pytest.raises(ArchiveError, match="compacted since it was opened, open it again"):
        opened.changes.collect()


def test_a_verification_during_a_compaction_raises_no_alarm(fed: Path, monkeypatch: pytest.MonkeyPatch):
    from auditlab.archive import verify as verifying  # noqa: PLC0415 - its own name for the check

    check = verifying.check_part

    def compacted_under(folder: Path, part: object) -> None:
        monkeypatch.setattr(verifying, "check_part", check)
        compact(fed, grace=0)
        check(folder, part)  # type: ignore[arg-type]

    monkeypatch.setattr(verifying, "check_part", compacted_under)
    assert verify(fed) == []


def test_a_compactor_killed_at_any_step_leaves_the_archive_as_it_was_or_compacted(tmp_path: Path):
    archive = tmp_path / "a"
    to_archive([a_batch(1, 6)], archive, facts=LogFacts())
    grow(archive, a_batch(7, 3))
    before, heads = rows(archive), [al.head(archive)]
    steps = int(run(str(KILLED_COMPACTOR), str(archive), str(tmp_path / "k")))
    assert steps > 25
    compacted = 0
    for step in range(1, steps + 1):
        folder = tmp_path / "k" / str(step)
        assert_frame_equal(rows(folder), before)
        compacted += len(read_chain(folder)) == 3
        compact(folder, grace=0)
        assert_frame_equal(rows(folder), before)
        assert verify(folder, heads=heads) == []
        assert len([name for name in names(folder) if not name.startswith(".")]) <= 4
    assert steps > compacted > 2, "the removal of each replaced file is a step"


REFUSED = {errno.ENOSPC: "the disk is full", errno.EROFS: "the file system is read-only"}


@pytest.mark.parametrize("code", REFUSED)
@pytest.mark.parametrize("call", ["fsync", "replace", "link"])
def test_a_file_system_that_refuses_leaves_the_archive_as_it_was(
    fed: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
):
    before, files = rows(fed), names(fed)

    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as fault:
        fault.setattr(os, call, refuse)
        with pytest.raises(ArchiveError, match=REFUSED[code]):
            compact(fed, grace=0)
    assert_frame_equal(rows(fed), before)
    assert files <= names(fed)
    assert compact(fed, grace=0).number == 10


def forge_compaction(folder: Path, change: Callable[[dict[str, object]], object]) -> None:
    """Change the newest manifest as an attacker would who also puts the hash right."""
    path = max((folder / MANIFESTS).iterdir())
    body = json.loads(path.read_text())["manifest"]
    change(body)
    path.write_text(sealed(body))


def test_who_alters_rows_by_compacting_them_is_found_by_the_digests_of_before(
    fed: Path, heads: list[Head], monkeypatch: pytest.MonkeyPatch
):
    """Another row on the way, and a manifest that fits it in all: only the first manifests tell what was recorded."""
    read = module.read_rows

    def altered(path: Path):
        for batch in read(path):
            place = batch.schema.get_field_index("after_snapshot")
            yield batch.set_column(place, "after_snapshot", pa.array(['{"total": 0}'] * batch.num_rows, pa.string()))

    with monkeypatch.context() as fault:
        fault.setattr(module, "read_rows", altered)
        with pytest.raises(ArchiveCorrupt, match="Nothing was merged"):
            compact(fed, grace=0)

    class Blind(module.RowDigest):
        """Tells of any source what its manifest has: the attacker's program does not check itself."""

        def update(self, rows: pa.RecordBatch) -> None:
            pass

        def hexdigest(self) -> str:
            return Anything()

    class Anything(str):
        __slots__ = ()

        def __ne__(self, other: object) -> bool:
            return False

        __hash__ = str.__hash__

    with monkeypatch.context() as fault:
        fault.setattr(module, "read_rows", altered)
        fault.setattr(module, "RowDigest", Blind)
        compact(fed, grace=0)
    found = verify(fed, heads=heads)
    assert len(found) == 2
    assert all("holds other rows than" in str(fault) for fault in found)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(lambda body: body.update(replaces=[[1, 0], [3, 0]]), "side by side", id="not side by side"),
        pytest.param(lambda body: body.update(replaces=[[99, 0]]), "side by side", id="not there"),
        pytest.param(lambda body: body.update(replaces=[[1, 0]]), "other rows", id="fewer than it holds"),
        pytest.param(lambda body: body.update(segments=[]), "other rows", id="nothing in their place"),
        pytest.param(lambda body: body["segments"][0]["parts"].pop(), "other rows", id="a part left out"),
        pytest.param(
            lambda body: body["segments"][0]["parts"][0].update(sources=[]), "another file than it was", id="no sources"
        ),
        pytest.param(lambda body: body["segments"][0].update(rows=139), "number of rows", id="another count"),
        pytest.param(lambda body: body["segments"][0].update(last=9), "another range", id="another range"),
    ],
)
def test_a_manifest_that_replaces_by_something_else_is_refused(
    fed: Path, change: Callable[[dict[str, object]], object], words: str
):
    compact(fed)
    forge_compaction(fed, change)
    with pytest.raises(ArchiveCorrupt, match=words):
        scan_archive(fed)
    assert words in str(verify(fed)[0])


def test_large_files_stay_and_only_the_small_ones_beside_them_are_merged(fed: Path, monkeypatch: pytest.MonkeyPatch):
    large = max(held_parts(read_chain(fed)), key=lambda part: part.bytes)
    monkeypatch.setattr(module, "SMALL", large.bytes)
    before = rows(fed)
    compact(fed, grace=0)
    assert large in held_parts(read_chain(fed))
    assert_frame_equal(rows(fed), before)
    assert verify(fed) == []


def test_no_file_grows_beyond_the_size_of_one(fed: Path, monkeypatch: pytest.MonkeyPatch):
    most = max(part.bytes for part in held_parts(read_chain(fed)))
    monkeypatch.setattr(module, "FILE", 3 * most)
    before = rows(fed)
    compact(fed, grace=0)
    parts = held_parts(read_chain(fed))
    assert 2 < len(parts) < 18
    assert sorted(source.name for part in parts for source in part.written_as) == sorted(
        part.name for manifest, _ in read_chain(fed)[:-1] for segment in manifest.segments for part in segment.parts
    )
    assert_frame_equal(rows(fed), before)
    assert verify(fed) == []


def test_a_pull_and_a_compaction_at_once_both_come_through(fed: Path, monkeypatch: pytest.MonkeyPatch):
    publish, before = on_top.publish, rows(fed)

    def late(*arguments: object, **options: object) -> Path:
        monkeypatch.setattr(on_top, "publish", publish)
        grow(fed, a_batch(500, 10))
        return publish(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(on_top, "publish", late)
    done = compact(fed, grace=0)
    assert done.number == 11
    assert_frame_equal(rows(fed)[:140], before)
    assert rows(fed).height == 150
    assert verify(fed) == []


def test_two_compactions_at_once_are_one(fed: Path, monkeypatch: pytest.MonkeyPatch):
    """The second takes the files away that the first is reading."""
    take, before = module._Merger._take, rows(fed)  # noqa: SLF001 - the moment between two of its steps

    def late(self: object, source: object, into: object) -> None:
        monkeypatch.setattr(module._Merger, "_take", take)  # noqa: SLF001
        compact(fed, grace=0)
        take(self, source, into)  # type: ignore[arg-type]

    monkeypatch.setattr(module._Merger, "_take", late)  # noqa: SLF001
    assert compact(fed, grace=0).number is None
    assert_frame_equal(rows(fed), before)
    assert verify(fed) == []
    assert len(read_chain(fed)) == 10


def test_a_signed_archive_is_compacted_with_the_key(tmp_path: Path):
    private, public = new_key(tmp_path / "k")
    key = al.archive.seal.SigningKey(private)
    to_archive([a_batch(1, 20)], tmp_path / "a", facts=LogFacts(), sign=key)
    grow(tmp_path / "a", a_batch(21, 20), sign=key)
    with pytest.raises(BadOption, match="is signed"):
        compact(tmp_path / "a")
    compact(tmp_path / "a", sign=private)
    assert verify(tmp_path / "a", keys=[public]) == []


def test_a_damaged_file_is_not_merged(fed: Path):
    victim = held_parts(read_chain(fed))[7]
    (fed / DATA / victim.name).write_bytes(b"")
    with pytest.raises(ArchiveCorrupt, match=victim.name):
        compact(fed, grace=0)
    assert len(read_chain(fed)) == 9


def test_baseline_rows_are_merged_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from auditlab.archive import segment  # noqa: PLC0415 - to make its files small

    monkeypatch.setattr(segment, "FILE", 1)
    monkeypatch.setattr(segment, "ROW_GROUP", 1)
    batches = [a_batch(1, 10), a_batch(11, 10)]
    to_archive(batches, tmp_path / "a", facts=LogFacts(), baseline=batches)
    monkeypatch.undo()
    assert compact(tmp_path / "a", grace=0).files == 1, "the same rows, the same file"
    scanned = scan_archive(tmp_path / "a")
    assert scanned.baseline is not None
    assert_frame_equal(scanned.baseline.collect(), scanned.changes.collect())
    assert verify(tmp_path / "a") == []


def test_any_mixture_of_pulls_and_compactions_keeps_every_row_and_every_head(tmp_path: Path):
    rng = random.Random(5)  # noqa: S311 - which steps, not a secret
    folder, kept, first = tmp_path / "a", [], 1
    to_archive([], folder, facts=LogFacts())
    written: list[pa.RecordBatch] = []
    for _ in range(40 if SOAK else 12):
        if rng.random() < 0.3:
            compact(folder, grace=rng.choice([0, 3600]))
        else:
            batches = [a_batch(first + n, 1, rng.choice(["s.a", "s.b", "s.c"])) for n in range(rng.randrange(4))]
            first += len(batches)
            written += batches
            grow(folder, *batches)
        kept.append(al.head(folder))
    expected = pl.concat([pl.DataFrame(pl.from_arrow(batch)) for batch in written])
    assert_frame_equal(rows(folder), expected.select(rows(folder).columns))
    assert prove(folder, heads=kept).whole
    shutil.rmtree(folder)

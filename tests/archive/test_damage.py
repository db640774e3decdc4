"""A changed bit, a short or missing file, a forged manifest: found before any row is used."""

from __future__ import annotations

import json
import os
import random
from typing import TYPE_CHECKING

import pytest
from archived_log import a_batch, forge, grow, sealed
from soak import SOAK

from auditlab.archive import proof, read
from auditlab.archive.checkpoint import checkpoint
from auditlab.archive.compact import compact
from auditlab.archive.files import digest
from auditlab.archive.manifest import CHECKPOINTS, DATA, FORMAT, MANIFESTS, read_chain
from auditlab.archive.read import scan_archive
from auditlab.archive.seal import SigningKey, new_key
from auditlab.archive.verify import verify
from auditlab.archive.write import to_archive
from auditlab.errors import ArchiveCorrupt, ArchiveError, ArchiveExists, NotAnArchive

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from auditlab.schema import LogFacts

FLIPS, CUTS = (10_000, 1_000) if SOAK else (400, 60)


def files(archive: Path) -> list[Path]:
    return sorted(path for folder in (DATA, MANIFESTS) for path in (archive / folder).iterdir())


@pytest.fixture
def grown(archive: Path, tmp_path: Path) -> Path:
    """An archive with all that one can have: pulls, a compaction, and pulls after it, signed."""
    key = SigningKey(new_key(tmp_path / "seal.key")[0])
    grow(archive, a_batch(61, 20), sign=key)
    compact(archive, sign=tmp_path / "seal.key", grace=0)
    grow(archive, a_batch(81, 10), a_batch(91, 10, "shop.order_items"), sign=key)
    return archive


def test_a_flipped_bit_anywhere_is_found_before_any_row_is_used(grown: Path):
    archive = grown
    rng = random.Random(7)  # noqa: S311 - which bits, not a secret
    for _ in range(FLIPS):
        path = rng.choice(files(archive))
        whole = path.read_bytes()
        place = rng.randrange(len(whole) * 8)
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        with pytest.raises(ArchiveCorrupt, match=path.name):
            scan_archive(archive)
        assert verify(archive), f"{path} bit {place}"
        path.write_bytes(whole)
    assert verify(archive) == []


def test_a_byte_that_is_changed_after_the_archive_was_opened_is_found_before_it_is_returned(archive: Path):
    opened = scan_archive(archive)
    expected = opened.changes.collect().sort("id")
    path = max((archive / DATA).iterdir(), key=lambda path: path.stat().st_size)
    whole = path.read_bytes()
    for place in range(0, len(whole), max(1, len(whole) // 60)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(ArchiveCorrupt, match="SHA-256 differs"):
            opened.changes.collect()
    path.write_bytes(whole)
    assert opened.changes.collect().sort("id").equals(expected)


def test_every_byte_of_the_manifest_matters(archive: Path):
    path = archive / MANIFESTS / "00000001.json"
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x20]) + whole[place + 1 :])
        with pytest.raises(ArchiveCorrupt):
            read_chain(archive)


def test_a_short_file_is_found(grown: Path):
    archive = grown
    rng = random.Random(8)  # noqa: S311 - how short, not a secret
    for _ in range(CUTS):
        path = rng.choice(files(archive))
        whole = path.read_bytes()
        path.write_bytes(whole[: rng.randrange(len(whole))])
        with pytest.raises(ArchiveCorrupt, match=path.name):
            scan_archive(archive)
        path.write_bytes(whole)


def test_a_longer_file_is_found(archive: Path):
    for path in files(archive):
        whole = path.read_bytes()
        path.write_bytes(whole + b"\n")
        with pytest.raises(ArchiveCorrupt, match=path.name):
            scan_archive(archive)
        path.write_bytes(whole)


def test_a_missing_data_file_is_named_with_what_is_lost(archive: Path):
    path = next((archive / DATA).iterdir())
    path.unlink()
    with pytest.raises(ArchiveCorrupt, match=rf"{path.name}: is missing; the manifest lists it with \d+ rows"):
        scan_archive(archive)
    assert [fault.path for fault in verify(archive)] == [path]


def test_verify_reports_every_damaged_file(archive: Path):
    for path in (archive / DATA).iterdir():
        path.write_bytes(b"")
    assert sorted(fault.path for fault in verify(archive)) == sorted((archive / DATA).iterdir())
    assert sum(fault.rows for fault in verify(archive)) == 60


def test_damage_in_another_types_file_does_not_hinder(archive: Path):
    part = next(part for part in parts(archive) if part["entity_types"] == ["shop.orders"])
    (archive / DATA / part["name"]).write_bytes(b"")
    assert scan_archive(archive, entity_types="shop.order_items").changes.collect().height == 20


def parts(archive: Path) -> list[dict[str, object]]:
    return json.loads((archive / MANIFESTS / "00000001.json").read_text())["manifest"]["segments"][0]["parts"]


@pytest.mark.parametrize(
    "name", ["../x.parquet", "/etc/passwd", "a/b.parquet", "..", "", "a\\b", "a*b", "[ab]", 7, None]
)
def test_a_manifest_cannot_name_a_file_outside_its_folder(archive: Path, name: object):
    (archive / "x.parquet").write_bytes((archive / DATA / str(parts(archive)[0]["name"])).read_bytes())
    forge(archive, lambda body: body["segments"][0]["parts"][0].update(name=name))
    with pytest.raises(ArchiveCorrupt, match="is no name of a data file"):
        scan_archive(archive)
    assert "is no name of a data file" in str(verify(archive)[0])


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda body: body.pop("segments"), id="no segments"),
        pytest.param(lambda body: body.update(segments=7), id="segments of a number"),
        pytest.param(lambda body: body.update(number=2), id="another number"),
        pytest.param(lambda body: body.update(previous="00"), id="another predecessor"),
        pytest.param(lambda body: body.update(surprise=1), id="an unknown entry"),
        pytest.param(lambda body: body["segments"][0]["parts"][0].pop("sha256"), id="no hash"),
        pytest.param(lambda body: body["facts"]["coverage"].update(start="long ago"), id="no time"),
        pytest.param(lambda body: body.update(format="1"), id="no format"),
    ],
)
def test_a_manifest_that_says_nonsense_is_refused_in_words(
    archive: Path, change: Callable[[dict[str, object]], object]
):
    forge(archive, change)
    with pytest.raises(ArchiveCorrupt):
        scan_archive(archive)
    assert verify(archive)


def test_a_manifest_that_counts_other_rows_than_its_files_is_found(archive: Path):
    forge(archive, lambda body: body["segments"][0].update(rows=61))
    assert "counts 61 rows, its files 60" in str(verify(archive)[0])


def test_a_newer_format_is_refused_and_says_what_to_do(archive: Path):
    forge(archive, lambda body: body.update(format=FORMAT + 1))
    with pytest.raises(
        ArchiveError, match=rf"is of format {FORMAT + 1}; this auditlab reads up to {FORMAT}\. Upgrade: pip install"
    ):
        scan_archive(archive)


def test_a_gap_in_the_chain_is_found(archive: Path):
    (archive / MANIFESTS / "00000001.json").rename(archive / MANIFESTS / "00000002.json")
    with pytest.raises(ArchiveCorrupt, match=r"00000001\.json: is missing"):
        scan_archive(archive)


def test_a_manifest_that_does_not_follow_is_found(archive: Path):
    path = archive / MANIFESTS / "00000001.json"
    body = json.loads(path.read_text())["manifest"]
    (archive / MANIFESTS / "00000002.json").write_text(sealed(body | {"number": 2, "previous": "ab" * 32}))
    with pytest.raises(ArchiveCorrupt, match="does not follow"):
        scan_archive(archive)


def test_a_damaged_archive_is_not_written_over(archive: Path, facts: LogFacts):
    (archive / MANIFESTS / "00000001.json").write_bytes(b"{}")
    with pytest.raises(ArchiveExists, match="cannot be read"):
        to_archive([], archive, facts=facts)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda _: None, "does not exist"),
        (lambda path: path.mkdir(), "holds no archive"),
        (lambda path: path.write_text("x"), "is no folder"),
    ],
)
def test_what_is_no_archive_is_told_apart(tmp_path: Path, make: Callable[[Path], object], words: str):
    make(tmp_path / "a")
    for verb in (scan_archive, verify):
        with pytest.raises(NotAnArchive, match=words):
            verb(tmp_path / "a")


def test_a_file_that_changes_after_the_scan_is_found_at_the_question(archive: Path):
    scanned = scan_archive(archive)
    path = next(iter(scanned.files))
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(ArchiveCorrupt, match="SHA-256 differs"):
        scanned.changes.collect()
    with pytest.raises(ArchiveCorrupt, match="SHA-256 differs"):
        list(scanned.batches(scanned.entity_types))
    path.unlink()
    with pytest.raises(ArchiveCorrupt, match="is missing"):
        scanned.changes.collect()


def test_a_file_is_hashed_once_as_long_as_it_is_the_same(archive: Path, monkeypatch: pytest.MonkeyPatch):
    hashed: list[Path] = []

    def counted(path: Path) -> tuple[str, int]:
        hashed.append(path)
        return digest(path)

    monkeypatch.setattr(read, "digest", counted)
    monkeypatch.setattr(proof, "YOUNG", -1)
    scanned = scan_archive(archive)
    assert sorted(hashed) == sorted(scanned.files)
    scanned.changes.collect()
    scan_archive(archive).changes.collect()
    assert len(hashed) == len(scanned.files)
    path = scanned.files[0]
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + b"x")
    os.utime(path, ns=times)
    with pytest.raises(ArchiveCorrupt, match="SHA-256 differs"):
        scan_archive(archive)
    path.write_bytes(whole)
    assert scan_archive(archive).changes.collect().height == 60


def test_a_file_that_changed_a_moment_ago_is_hashed_each_time(archive: Path, monkeypatch: pytest.MonkeyPatch):
    """Two changes within one tick of the clock leave one time: so young a file is not taken for proven."""
    hashed: list[Path] = []
    monkeypatch.setattr(read, "digest", lambda path: hashed.append(path) or digest(path))
    monkeypatch.setattr(proof, "YOUNG", 3600 * 10**9)
    for times in (1, 2):
        scan_archive(archive)
        assert len(hashed) == times * 2


def test_a_verification_hashes_each_file_once_also_where_there_is_a_checkpoint(
    archive: Path, monkeypatch: pytest.MonkeyPatch
):
    checkpoint(archive)
    hashed: list[Path] = []
    monkeypatch.setattr(read, "digest", lambda path: hashed.append(path) or digest(path))
    monkeypatch.setattr(proof, "YOUNG", -1)
    every = sorted(path for folder in (DATA, CHECKPOINTS) for path in (archive / folder).iterdir())
    for times in (1, 2):  # and the next one again, whatever this process has proven
        assert verify(archive) == []
        assert sorted(hashed) == sorted(every * times)

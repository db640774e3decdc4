"""Archives as nobody should hand them over: each a named error, in a moment, and nothing lost."""

from __future__ import annotations

import copy
import errno
import json
import os
import random
from typing import TYPE_CHECKING, Any

import pytest
from archived_log import NOON, a_batch, forge, grow
from polars.testing import assert_frame_equal
from soak import SOAK
from test_crash import NOBODY, run

import auditlab as al
from auditlab.archive.compact import compact
from auditlab.archive.extending import extended
from auditlab.archive.files import HashingFile
from auditlab.archive.manifest import DATA, MANIFESTS, read_chain
from auditlab.archive.read import scan_archive
from auditlab.archive.verify import prove, verify
from auditlab.archive.write import to_archive
from auditlab.errors import ArchiveCorrupt, ArchiveError, AuditlabError, BadOption, NotAnArchive
from auditlab.load.source import frame
from auditlab.marks import Mark
from auditlab.schema import Coverage, LogFacts
from auditlab.testing import make_log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import polars as pl
    import pyarrow as pa

NONSENSE: tuple[Any, ...] = (None, True, -1, 2**70, 0.5, "x", "", [], ["x"], [[1]], {}, {"a": 1})


def rows(folder: Path) -> pl.DataFrame:
    return scan_archive(folder).changes.collect().sort("id")


def places(body: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:  # noqa: ANN401 - any JSON
    """Every place in a manifest, whole branches included."""
    if path:
        yield path
    items = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    for key, value in items:
        yield from places(value, (*path, key))


def put(body: Any, path: tuple[Any, ...], value: object) -> None:  # noqa: ANN401 - any JSON
    for key in path[:-1]:
        body = body[key]
    body[path[-1]] = value


def test_a_span_of_time_that_is_none_is_refused_wherever_it_stands(archive: Path):
    forge(archive, lambda body: body["facts"].update(visible_within=1e30))
    with pytest.raises(ArchiveCorrupt, match=r"visible_within=1e\+30: give seconds, 0 or more, and at the most"):
        scan_archive(archive)
    log = al.from_arrow(make_log([("INSERT", "a", {"x": 1})]))
    for wrong in (1e30, -1.0, float("nan"), float("inf")):
        with pytest.raises(BadOption, match="visible_within=.*: give seconds"):
            log.with_marks([], visible_within=wrong)


def test_what_was_said_of_visibility_holds_though_nothing_is_new():
    old = LogFacts(clock="committed_at", coverage=Coverage(NOON, NOON), visible_within=2.0)
    assert extended(old, LogFacts()).visible_within == 2.0
    assert extended(old, LogFacts(), visible_within=60.0).visible_within == 60.0


def test_verify_finds_a_file_whose_manifest_names_other_entity_types(archive: Path):
    """A reader prunes files by them: rows of a type that is not named would be left out without a word."""
    assert verify(archive) == []
    forge(archive, lambda body: body["segments"][0]["parts"][0].update(entity_types=["x.y"]))
    (fault,) = verify(archive)
    assert "holds changes of " in fault.problem
    assert fault.problem.endswith("and its manifest says of x.y")


def test_a_manifest_that_holds_nonsense_anywhere_is_a_named_error_or_harmless(archive: Path):
    """Each value of a manifest replaced by each kind of nonsense, its hash put right, by one who means it."""
    grow(archive, a_batch(61, 6), facts=LogFacts(coverage=Coverage(NOON, NOON), keys={"a": ("b",)}))
    compact(archive, grace=0)
    number = len(read_chain(archive))
    path = archive / MANIFESTS / f"{number:08d}.json"
    whole = path.read_bytes()
    body = json.loads(whole)["manifest"]
    expected, refused = rows(archive), 0
    rng = random.Random(9)  # noqa: S311 - which nonsense, not a secret
    kinds = len(NONSENSE) if SOAK else 3
    for place in places(body):
        for value in rng.sample(NONSENSE, kinds):
            changed = copy.deepcopy(body)
            put(changed, place, value)
            if changed == body:
                continue
            forge(archive, lambda old, new=changed: (old.clear(), old.update(new)), number=number)
            for verb in (scan_archive, verify, al.head):
                try:
                    verb(archive)
                except AuditlabError:
                    refused += 1
            path.write_bytes(whole)
    assert refused > 300
    assert_frame_equal(rows(archive), expected)
    assert verify(archive) == []


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("segments", 0, "parts", 0, "role"), "x"),
        (("segments", 0, "parts", 0, "entity_types"), []),
        (("facts", "clock"), "x"),
    ],
    ids=str,
)
def test_no_part_is_left_out_unseen_and_no_clock_is_made_up(archive: Path, place: tuple[Any, ...], value: object):
    forge(archive, lambda body: put(body, place, value), number=1)
    with pytest.raises(ArchiveCorrupt, match="does not hold what a manifest must"):
        scan_archive(archive)
    assert verify(archive) != []


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"7",
        b'"x"',
        b"null",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"manifest": ' * 50_000,
        b'{"manifest": {"format": ' + b"9" * 10_000 + b"}}",
        b'{"manifest": {"format": NaN}, "sha256": "x"}',
        b'{"manifest": [], "sha256": {}, "signature": 3}',
    ],
    ids=lambda text: repr(text[:20]),
)
def test_what_is_no_manifest_is_told(archive: Path, text: bytes):
    (archive / MANIFESTS / "00000001.json").write_bytes(text)
    with pytest.raises(ArchiveCorrupt, match=r"00000001\.json"):
        scan_archive(archive)
    assert "00000001.json" in str(verify(archive)[0])


def fifo(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("where", [DATA, MANIFESTS])
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(fifo, id="a pipe that nobody writes to"),
        pytest.param(device, id="a link to a device without an end"),
        pytest.param(lambda path: path.symlink_to(path.parent.parent / "copy"), id="a link to the very file"),
        pytest.param(lambda path: path.symlink_to("nowhere"), id="a link to nothing"),
        pytest.param(lambda path: path.mkdir(), id="a folder"),
    ],
)
def test_what_is_no_file_of_its_own_is_not_read(archive: Path, where: str, make: Callable[[Path], object]):
    victim = next((archive / where).iterdir())
    victim.rename(archive / "copy")
    make(victim)
    with pytest.raises(ArchiveError, match=victim.name):
        scan_archive(archive)
    assert victim.name in str(verify(archive)[0])


HOSTILE = (
    "[ab]",
    "*",
    "?",
    "a*b?[c]",
    "{a,b}",
    "%2e%2e",
    "~",
    "#1",
    "with space",
    "q'uo\"te",
    "ümläut",
    "new\nline",
    "$HOME",
)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_path_is_taken_as_it_stands_by_every_engine(tmp_path: Path, name: str):
    """Beside it stands what the pattern would match, with other rows."""
    folder = tmp_path / name / "kept"
    decoys = [tmp_path / other for other in ("a", "b", "axbyc") if other != name]
    for decoy in decoys:
        to_archive([a_batch(1000, 7)], decoy / "kept", facts=LogFacts())
    written = frame([a_batch(1, 20)])
    to_archive([a_batch(1, 20)], folder, facts=LogFacts())
    grow(folder, a_batch(21, 5))
    written = frame([a_batch(1, 20), a_batch(21, 5)])
    assert_frame_equal(rows(folder), written)
    log = al.scan_archive(folder)
    for engine in ("polars", "duckdb"):
        assert log.on(engine).changes().collect().sort("id")["id"].to_list() == written["id"].to_list()
    compact(folder, grace=0)
    assert_frame_equal(rows(folder), written)
    assert verify(folder, heads=[al.head(folder)]) == []


def test_an_archive_that_cannot_be_written_is_read_and_what_would_add_is_told(archive: Path):
    grow(archive, a_batch(61, 5))
    before = rows(archive)
    for path in (archive / DATA, archive / MANIFESTS, archive):
        path.chmod(0o555)
    for parent in list(archive.parents)[:4]:
        parent.chmod(parent.stat().st_mode | 0o055) if parent.stat().st_uid == os.geteuid() else None
    root = not os.geteuid()
    if root:
        os.seteuid(NOBODY)
    try:
        assert_frame_equal(rows(archive), before)
        assert prove(archive).whole
        for write in (lambda: grow(archive, a_batch(70, 3)), lambda: compact(archive)):
            with pytest.raises(ArchiveError, match="permission denied. Nothing was added to it"):
                write()
    finally:
        if root:
            os.seteuid(0)
        for path in (archive, archive / DATA, archive / MANIFESTS):
            path.chmod(0o755)
    assert_frame_equal(rows(archive), before)
    assert verify(archive) == []


@pytest.mark.parametrize("work", ["a new archive", "a pull", "a compaction"])
def test_a_disk_that_is_full_at_any_write_loses_nothing(
    archive: Path, monkeypatch: pytest.MonkeyPatch, work: str, batches: list[pa.RecordBatch]
):
    grow(archive, a_batch(61, 5))
    before, fresh = rows(archive), archive.parent / "fresh"
    works: dict[str, Callable[[], object]] = {
        "a new archive": lambda: to_archive(batches, fresh, facts=LogFacts()),
        "a pull": lambda: grow(archive, a_batch(70, 3)),
        "a compaction": lambda: compact(archive, grace=0),
    }
    write, refused = HashingFile.write, 0
    while True:
        left = refused + 1

        def full(self: HashingFile, data: bytes) -> int:
            nonlocal left
            left -= 1
            if left == 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return write(self, data)

        with monkeypatch.context() as fault:
            fault.setattr(HashingFile, "write", full)
            try:
                works[work]()
            except ArchiveError as exc:
                assert "the disk is full. Nothing was added to it." in str(exc)  # noqa: PT017 - the last one lives
            else:
                break
        refused += 1
        assert_frame_equal(rows(archive), before)
        assert verify(archive) == []
        if work == "a new archive":
            with pytest.raises(NotAnArchive):
                scan_archive(fresh)
    assert refused > 10
    assert verify(archive) == []


SMALL_DISK = """
import resource, signal, sys
from archived_log import a_batch, grow
from auditlab.archive.compact import compact
from auditlab.archive.verify import verify
from auditlab.errors import ArchiveError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from pathlib import Path
folder = Path(sys.argv[1])
for limit in (0, 1, 1000, 3000):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    for work in (lambda: grow(folder, a_batch(100, 20)), lambda: compact(folder, grace=0)):
        try:
            work()
        except ArchiveError as exc:
            print(len(verify(folder)), exc)
"""


def test_a_real_limit_of_the_system_is_told_and_the_archive_stays(archive: Path, tmp_path: Path):
    grow(archive, a_batch(61, 5))
    before = rows(archive)
    program = tmp_path / "small_disk.py"
    program.write_text(SMALL_DISK)
    told = run(str(program), str(archive)).splitlines()
    assert len(told) == 8
    assert all(line.startswith("0 cannot write the archive") and "size limit" in line for line in told)
    assert_frame_equal(rows(archive), before)


def test_marks_and_names_of_any_kind_travel_in_the_manifest(tmp_path: Path):
    """Names come from data, and are data."""
    mark = Mark.of({"at": NOON.isoformat(), "snapshot": "10:20:10,14", "name": "../x\x1b[31m\u202e'; DROP TABLE"})
    facts = LogFacts(marks=(mark,), kinds={"../../etc.passwd": {"<script>": "decimal"}}, filters=("a\nb",))
    to_archive([a_batch(1, 3, "../../etc.passwd")], tmp_path / "a", facts=facts)
    scanned = scan_archive(tmp_path / "a")
    assert (scanned.facts, scanned.entity_types) == (facts, ("../../etc.passwd",))
    assert verify(tmp_path / "a") == []


@pytest.mark.parametrize("name", ["", "  "])
def test_a_folder_without_a_name_is_not_the_current_one(archive: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.chdir(archive)
    kept = al.from_arrow(make_log([("INSERT", "a", {})]))
    for ask in (al.checkpoint, al.scan_archive, al.verify, al.head, compact, kept.to_archive):
        with pytest.raises(BadOption, match="names no folder"):
            ask(name)
    assert al.verify(".") == []


def test_a_folder_whose_name_is_no_utf_8_is_refused_before_any_file_of_it_is_blamed(archive: Path):
    odd = archive.rename(archive.with_name("kept\udce9"))
    kept = al.from_arrow(make_log([("INSERT", "a", {})]))
    for ask in (al.checkpoint, al.scan_archive, al.verify, al.head, compact, kept.to_archive):
        for place in (odd, str(odd)):
            with pytest.raises(BadOption, match=r"kept\\udce9' is no UTF-8: rename the folder"):
                ask(place)

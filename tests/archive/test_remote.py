"""Archives in object storage: read and proven as those in a folder, from a real S3 server on this machine."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from archived_log import a_batch, grow
from polars.testing import assert_frame_equal
from pyarrow import fs
from typer.testing import CliRunner

import auditlab as al
from auditlab.archive import storage as module
from auditlab.archive.manifest import DATA, MANIFESTS
from auditlab.archive.read import scan_archive
from auditlab.archive.remote import Remote
from auditlab.archive.storage import OPTIONS
from auditlab.archive.verify import prove, verify
from auditlab.archive.write import to_archive
from auditlab.cli import app
from auditlab.errors import ArchiveCorrupt, BadOption, NotAnArchive, StorageFailed
from auditlab.schema import LogFacts
from auditlab.testing import make_log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SECRET = "wJalrXUtnFEMIxK7MDENGxbPxRfiCYEXAMPLEKEY"  # noqa: S105 - of the examples in AWS's own documentation


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def options() -> Iterator[dict[str, str]]:
    """How to reach an S3 server that runs while these tests do."""
    port = free_port()
    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            endpoint = f"http://127.0.0.1:{port}"
            for _ in range(600):
                try:
                    urllib.request.urlopen(f"{endpoint}/moto-api/", timeout=5).close()  # noqa: S310 - our own
                    break
                except OSError:
                    assert server.poll() is None
                    time.sleep(0.1)
            yield {
                "aws_access_key_id": "AKIAIOSFODNN7EXAMPLE",
                "aws_secret_access_key": SECRET,
                "aws_region": "us-east-1",
                "aws_endpoint_url": endpoint,
            }
        finally:
            server.terminate()


@pytest.fixture(scope="module")
def storage(options: dict[str, str]) -> fs.FileSystem:
    return fs.S3FileSystem(
        access_key=options["aws_access_key_id"],
        secret_key=SECRET,
        region="us-east-1",
        scheme="http",
        endpoint_override=options["aws_endpoint_url"].removeprefix("http://"),
        allow_bucket_creation=True,
        allow_bucket_deletion=True,
    )


@pytest.fixture
def url(archive: Path, storage: fs.FileSystem) -> Iterator[str]:
    """The archive, with a second manifest, as it was copied into a bucket."""
    grow(archive, a_batch(61, 5))
    bucket = f"bucket-{os.getpid()}-{time.monotonic_ns()}"
    copied(archive, storage, bucket)
    yield f"s3://{bucket}/audit"
    storage.delete_dir(bucket)


def copied(archive: Path, storage: fs.FileSystem, bucket: str) -> None:
    storage.create_dir(bucket)
    for path in (path for path in archive.rglob("*") if path.is_file()):
        with storage.open_output_stream(f"{bucket}/audit/{path.relative_to(archive)}") as out:
            out.write(path.read_bytes())


def put(storage: fs.FileSystem, url: str, path: str, data: bytes) -> None:
    with storage.open_output_stream(f"{url.removeprefix('s3://')}/{path}") as out:
        out.write(data)


def test_an_archive_in_storage_answers_as_the_folder_that_it_was_copied_from(
    archive: Path, url: str, options: dict[str, str]
):
    there, here = scan_archive(url, storage_options=options), scan_archive(archive)
    assert_frame_equal(there.changes.collect().sort("id"), here.changes.collect().sort("id"))
    assert (there.facts, there.entity_types) == (here.facts, here.entity_types)
    log = al.scan_archive(url, storage_options=options)
    assert log.changes().collect().height == 65


def test_it_is_proven_there_and_its_head_is_that_of_the_folder(archive: Path, url: str, options: dict[str, str]):
    found = prove(url, storage_options=options, heads=[al.head(archive)])
    assert found.whole
    assert (found.files, found.rows) == (3, 65)
    assert str(found).startswith(f"{url}: whole")
    assert al.head(url, storage_options=options) == al.head(archive)


def test_only_the_files_of_the_asked_types_are_brought_and_a_cache_keeps_them(
    url: str, options: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    cache, brought = tmp_path / "cache", []
    bring = Remote._bring  # noqa: SLF001 - counts what goes over the network

    def counted(self: Remote, path: str, *rest: Any) -> None:  # noqa: ANN401 - whatever it takes
        brought.append(path.partition("/")[0])
        bring(self, path, *rest)

    monkeypatch.setattr(Remote, "_bring", counted)
    asked: dict[str, Any] = {"storage_options": options, "cache": cache}
    assert scan_archive(url, entity_types="shop.order_items", **asked).changes.collect().height == 20
    assert sorted(brought) == [DATA, MANIFESTS, MANIFESTS]
    scan_archive(url, **asked)
    assert sorted(brought) == [DATA] * 3 + [MANIFESTS] * 2
    scan_archive(url, **asked)
    assert len(brought) == 5


def test_without_a_cache_nothing_is_left_here(url: str, options: dict[str, str], tmp_path: Path):
    code = (
        "import sys, json; from auditlab.archive.read import scan_archive\n"
        "print(scan_archive(sys.argv[1], storage_options=json.loads(sys.argv[2])).changes.collect().height)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, url, json.dumps(options)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )
    assert done.stdout.strip() == "65"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("auditlab-")] == []


@pytest.mark.parametrize("damage", ["changed", "short", "long"])
def test_damage_in_storage_is_found_before_any_row_is_used(
    archive: Path, url: str, options: dict[str, str], storage: fs.FileSystem, damage: str
):
    victim = max((archive / DATA).iterdir(), key=lambda path: path.stat().st_size)
    whole = victim.read_bytes()
    changed = {"changed": bytes([whole[0] ^ 1]) + whole[1:], "short": whole[:-1], "long": whole + b"x" * 100_000}
    put(storage, url, f"{DATA}/{victim.name}", changed[damage])
    with pytest.raises(ArchiveCorrupt, match=f"{url}/{DATA}/{victim.name}: SHA-256 differs"):
        scan_archive(url, storage_options=options)
    (fault,) = verify(url, storage_options=options)
    assert victim.name in str(fault)


def test_damage_in_the_cache_is_found_too(url: str, options: dict[str, str], tmp_path: Path):
    asked: dict[str, Any] = {"storage_options": options, "cache": tmp_path / "cache"}
    scan_archive(url, **asked)
    next((tmp_path / "cache" / DATA).iterdir()).write_bytes(b"x")
    with pytest.raises(ArchiveCorrupt, match="None of its rows were read"):
        scan_archive(url, **asked)
    assert verify(url, storage_options=options) == [], "it is proven in storage, not here"


def test_a_manifest_that_was_changed_in_storage_is_not_read_from_the_cache(
    archive: Path, url: str, options: dict[str, str], storage: fs.FileSystem, tmp_path: Path
):
    asked: dict[str, Any] = {"storage_options": options, "cache": tmp_path / "cache"}
    scan_archive(url, **asked)
    name = f"{MANIFESTS}/00000002.json"
    time.sleep(1.1)  # what S3 tells of an object's time has whole seconds
    put(storage, url, name, (archive / name).read_bytes().replace(b"5", b"6"))
    with pytest.raises(ArchiveCorrupt, match=f"{url}/{name}"):
        scan_archive(url, **asked)
    storage.delete_file(f"{url.removeprefix('s3://')}/{name}")
    assert scan_archive(url, **asked).changes.collect().height == 60
    assert "was dropped" in str(verify(url, storage_options=options, heads=[al.head(archive)])[0])


def test_a_missing_object_is_named_with_what_is_lost(
    archive: Path, url: str, options: dict[str, str], storage: fs.FileSystem
):
    victim = next((archive / DATA).iterdir())
    storage.delete_file(f"{url.removeprefix('s3://')}/{DATA}/{victim.name}")
    with pytest.raises(ArchiveCorrupt, match=rf"{url}/{DATA}/{victim.name}: is missing; .* with \d+ rows"):
        scan_archive(url, storage_options=options)
    assert victim.name in str(verify(url, storage_options=options)[0])


def test_what_is_not_there_is_told_apart(url: str, options: dict[str, str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_SECONDS", 2.0)
    with pytest.raises(NotAnArchive, match="holds no archive"):
        scan_archive(f"{url}/elsewhere", storage_options=options)
    with pytest.raises(StorageFailed, match="no such bucket"):
        scan_archive("s3://no-such-bucket-here/audit", storage_options=options)
    nobody = options | {"aws_endpoint_url": f"http://127.0.0.1:{free_port()}"}
    with pytest.raises(StorageFailed, match="cannot be reached"):
        scan_archive(url, storage_options=nobody)


def test_no_secret_is_shown(options: dict[str, str], url: str, monkeypatch: pytest.MonkeyPatch):
    class Refusing:
        def get_file_info(self, _: object) -> None:
            raise OSError(f"AWS Error ACCESS_DENIED: key AKIAIOSFODNN7EXAMPLE, {SECRET}")

    monkeypatch.setattr(Remote, "_opened", lambda _: Refusing())
    with pytest.raises(StorageFailed, match="access denied. Give credentials") as told:
        scan_archive(url, storage_options=options)
    assert SECRET not in str(told.value)
    assert "AKIAIOSFODNN7EXAMPLE" not in str(told.value)
    assert SECRET not in repr(Remote(url, storage_options=options))
    for wrong in (f"s3://key:{SECRET}@bucket/audit", f"s3://bucket/audit?secret={SECRET}"):
        with pytest.raises(BadOption, match="holds no credentials") as told_too:
            scan_archive(wrong)
        assert SECRET not in str(told_too.value)


def test_other_storage_and_unknown_options_are_told(archive: Path):
    with pytest.raises(BadOption, match="not from gs://bucket/audit"):
        scan_archive("gs://bucket/audit")
    for what in (scan_archive, prove, al.head):
        with pytest.raises(BadOption, match=r"not from postgresql://ann:\*\*\*@db/shop\."):
            what(f"postgresql://ann:{SECRET}@db/shop")
    with pytest.raises(BadOption, match=rf"no 'aws_key'. It has {OPTIONS[0]}"):
        scan_archive("s3://bucket/audit", storage_options={"aws_key": SECRET})
    with pytest.raises(BadOption, match="for archives in object storage"):
        scan_archive(archive, storage_options={"region": "x"})


def test_nothing_is_written_to_storage_and_the_message_says_why(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    log = al.scan_archive(archive)
    for write in (
        lambda: log.to_archive("s3://bucket/audit"),
        lambda: to_archive([], "s3://bucket/audit", facts=LogFacts()),
        lambda: al.archive_postgres("postgresql:///shop", "s3://bucket/audit"),
        lambda: al.compact("s3://bucket/audit"),
    ):
        with pytest.raises(BadOption, match="two writers could lose each other's work"):
            write()
    assert not (tmp_path / "s3:").exists()


def test_the_command_line_takes_credentials_from_the_environment(
    archive: Path, url: str, options: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    for name, value in options.items():
        monkeypatch.setenv(name.upper(), value)
    done = CliRunner().invoke(app, ["verify", url, "--head", str(al.head(archive))])
    assert (done.exit_code, done.stdout.startswith(f"{url}: whole")) == (0, True), done.output
    done = CliRunner().invoke(app, ["summary", url])
    assert (done.exit_code, "65" in done.stdout) == (0, True), done.output


def test_a_checkpoint_in_storage_is_brought_where_it_is_used(
    storage: fs.FileSystem, options: dict[str, str], tmp_path: Path
):
    frame = make_log([("INSERT", f"e{n}", {"n": n}) for n in range(20)])
    al.from_arrow(frame).to_archive(tmp_path / "own")
    al.checkpoint(tmp_path / "own")
    bucket = f"bucket-{os.getpid()}-{time.monotonic_ns()}"
    copied(tmp_path / "own", storage, bucket)
    log = al.scan_archive(f"s3://{bucket}/audit", storage_options=options, cache=tmp_path / "cache")
    assert not (tmp_path / "cache" / "checkpoints").exists()
    assert_frame_equal(log.as_of().collect(), al.from_arrow(frame).as_of())
    assert len(list((tmp_path / "cache" / "checkpoints").iterdir())) == 1
    assert log.selected.recorded.unread is not None
    found = al.prove(f"s3://{bucket}/audit", storage_options=options)
    assert (found.whole, found.untried, found.as_dict()["checkpoints_not_worked_out_again"]) == (True, 1, 1)
    assert "Not worked out again from the rows: 1 checkpoint. For that verify a copy" in str(found)
    assert al.prove(tmp_path / "own", sample=0.5).untried == 1
    assert "worked out" not in str(al.prove(tmp_path / "own"))


def test_a_report_of_an_archive_in_storage_names_its_head(
    archive: Path, url: str, options: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    for name, value in options.items():
        monkeypatch.setenv(name.upper(), value)
    there, here = tmp_path / "there.html", tmp_path / "here.html"
    for source, file in ((url, there), (str(archive), here)):
        done = CliRunner().invoke(app, ["report", source, "-o", str(file), "--include", "summary"])
        assert done.exit_code == 0, done.output
    text = there.read_text(encoding="utf-8")
    head = al.head(archive)
    assert f"{head.sha256}  head of {url}: manifest {head.number}" in text
    assert SECRET not in text
    rows = "of 65 changes in the log&#x27;s order"
    assert text[text.index(rows) - 66 : text.index(rows)] in here.read_text(encoding="utf-8"), "the digest of the rows"
    done = CliRunner().invoke(app, ["report", f"{url}/elsewhere", "-o", str(tmp_path / "none.html")])
    assert (done.exit_code, "holds no archive" in done.output) == (2, True)
    assert not (tmp_path / "none.html").exists()


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda url: al.scan("postgresql:///nowhere", url), "scan takes an archive in a folder"),
        (lambda url: al.prune("postgresql:///nowhere", url, keep="1 year"), "prune takes an archive in a folder"),
        (lambda url: al.hold(url, "case 7", start="2024-01-01"), "a hold takes an archive in a folder"),
        (al.holds, "a hold takes an archive in a folder"),
        (lambda url: al.release(url, "case 7"), "a hold takes an archive in a folder"),
    ],
)
def test_what_needs_a_folder_says_so_before_it_does_anything(ask: Callable[[str], object], told: str):
    with pytest.raises(BadOption, match=f"{told}, not in object storage: s3://bucket/audit"):
        ask("s3://bucket/audit")


def test_the_commands_that_need_a_folder_say_so():
    dsn, url = "postgresql:///nowhere", "s3://bucket/audit"
    for words in (
        ["prune", dsn, url, "--keep", "1 year"],
        ["hold", url, "case 7", "--from", "2024-01-01"],
        ["summary", dsn, "--archive", url],
    ):
        done = CliRunner().invoke(app, words)
        assert (done.exit_code, "in a folder, not in object storage" in " ".join(done.output.split())) == (2, True), (
            words
        )

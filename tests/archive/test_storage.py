"""What object storage refuses is told with what to do, by a server that answers as storage out of order does."""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, NamedTuple

import pytest

import auditlab as al
from auditlab.archive.files import digest
from auditlab.archive.manifest import DATA, MANIFESTS
from auditlab.archive.read import scan_archive
from auditlab.errors import ArchiveCorrupt, BadOption, StorageFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Serve = Callable[[Callable[[str, str], "Answer"]], dict[str, str]]

KEY, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMIxK7MDENGxbPxRfiCYEXAMPLEKEY"
KEYS = {"aws_access_key_id": KEY, "aws_secret_access_key": SECRET, "aws_region": "us-east-1"}
URL = "s3://bucket/audit"
STAMP = "2024-01-01T00:00:00.000Z"


class Answer(NamedTuple):
    """What a server sends; of ``body`` only so many bytes, where it breaks off."""

    status: int
    body: bytes = b""
    sent: int | None = None


def refusal(status: int, code: str, message: str = "") -> Answer:
    return Answer(status, f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode())


def listing(names: list[str]) -> Answer:
    told = "".join(
        f"<Contents><Key>{name}</Key><Size>1</Size><LastModified>{STAMP}</LastModified></Contents>" for name in names
    )
    return Answer(200, f"<ListBucketResult><KeyCount>{len(names)}</KeyCount>{told}</ListBucketResult>".encode())


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Runs a server that answers a method and a path, and gives the options that reach it."""
    servers: list[ThreadingHTTPServer] = []

    def run(answer: Callable[[str, str], Answer]) -> dict[str, str]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                told = answer(self.command, self.path)
                self.send_response(told.status)
                self.send_header("Content-Length", str(len(told.body)))
                self.send_header("Content-Type", "application/xml")
                self.send_header("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT")
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(told.body[: told.sent])
                    self.close_connection = told.sent is not None

            do_HEAD = do_GET  # noqa: N815 - http.server's name

            def log_message(self, *_: object) -> None:
                pass

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        servers[-1].daemon_threads = True
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return KEYS | {"aws_endpoint_url": f"http://127.0.0.1:{servers[-1].server_port}"}

    yield run
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (refusal(403, "AccessDenied"), "access denied. Give credentials that may read it: storage_options, or AWS_"),
        (refusal(403, "InvalidAccessKeyId"), "access denied. Give credentials"),
        (refusal(403, "SignatureDoesNotMatch", f"not of {SECRET}"), "access denied. Give credentials"),
        (refusal(400, "ExpiredToken"), "the credentials have expired. Give new ones: storage_options"),
        (refusal(400, "InvalidToken"), "the session's token does not belong to the key. Give both anew"),
        (refusal(403, "RequestTimeTooSkewed"), "this machine's clock is wrong"),
        (refusal(301, "PermanentRedirect"), "the bucket is in another region: give aws_region"),
        (refusal(400, "AuthorizationHeaderMalformed"), "the bucket is in another region: give aws_region"),
        (refusal(404, "NoSuchBucket"), "there is no such bucket"),
        (refusal(503, "SlowDown"), "too busy, or out of order, also when asked again. Try again later"),
        (refusal(500, "InternalError"), "too busy, or out of order, also when asked again. Try again later"),
    ],
)
def test_each_refusal_says_what_to_do(serve: Serve, answer: Answer, told: str):
    with pytest.raises(StorageFailed, match=told) as failed:
        scan_archive(URL, storage_options=serve(lambda *_: answer))
    assert str(failed.value).startswith(f"{URL}: ")
    assert SECRET not in str(failed.value)


def test_storage_that_does_not_answer_in_time_is_told_apart_from_a_wrong_address(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("auditlab.archive.storage._SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and says nothing
        options = KEYS | {"aws_endpoint_url": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        with pytest.raises(StorageFailed, match="does not answer in time, also when asked again"):
            scan_archive(URL, storage_options=options)
    with pytest.raises(StorageFailed, match="cannot be reached. Look at aws_endpoint_url"):
        scan_archive(URL, storage_options=options)


def test_a_server_without_tls_is_named(serve: Serve):
    options = serve(lambda *_: refusal(500, "InternalError"))
    options["aws_endpoint_url"] = options["aws_endpoint_url"].replace("http:", "https:")
    with pytest.raises(StorageFailed, match="speaks no TLS there. Look at http or https in aws_endpoint_url"):
        scan_archive(URL, storage_options=options)


def files_of(archive: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(archive)): path.read_bytes()
        for part in (DATA, MANIFESTS)
        for path in (archive / part).iterdir()
    }


def served(files: dict[str, bytes], fault: Callable[[str], Answer | None]) -> Callable[[str, str], Answer]:
    """Answers as storage does that has these files, but where the fault does."""

    def answer(_: str, path: str) -> Answer:
        if "list-type" in path:
            return listing([f"audit/{name}" for name in files if name.startswith(MANIFESTS)])
        name = path.removeprefix("/bucket/audit/")
        return fault(name) or Answer(200, files[name])

    return answer


def test_a_listing_that_runs_ahead_of_the_files_says_so(archive: Path, serve: Serve):
    files = files_of(archive)
    with pytest.raises(StorageFailed, match=r"00000001.json: the storage lists it and does not have it. .*ask again"):
        scan_archive(URL, storage_options=serve(served(files, lambda _: refusal(404, "NoSuchKey"))))
    late = served(files, lambda name: refusal(404, "NoSuchKey") if name.startswith(DATA) else None)
    with pytest.raises(ArchiveCorrupt, match=r"is missing; the manifest lists it with .* rows. .*ask again"):
        scan_archive(URL, storage_options=serve(late))


def test_a_file_that_breaks_off_is_the_storage_s_fault_and_not_the_disk_s(archive: Path, serve: Serve, tmp_path: Path):
    files = files_of(archive)
    cut = served(files, lambda name: Answer(200, files[name], 100) if name.startswith(DATA) else None)
    cache = tmp_path / "cache"
    with pytest.raises(StorageFailed, match="broke off in the middle of a file, more than once. Try again"):
        scan_archive(URL, storage_options=serve(cut), cache=cache)
    assert [*(cache / DATA).iterdir()] == []
    whole = scan_archive(URL, storage_options=serve(served(files, lambda _: None)), cache=cache)
    assert whole.changes.collect().height == scan_archive(archive).changes.collect().height
    assert all(digest(path)[0] == path.stem for path in (cache / DATA).iterdir())


@pytest.mark.parametrize(
    "endpoint",
    ["127.0.0.1:9000", "localhost:9000", "ftp://127.0.0.1:9000", f"http://{KEY}:{SECRET}@127.0.0.1:9000", ""],
)
def test_an_endpoint_that_is_no_url_is_refused_before_anything_is_sent_elsewhere(
    endpoint: str, monkeypatch: pytest.MonkeyPatch
):
    """Without a scheme its host was taken for nothing, and AWS itself was asked, with keys of other storage."""
    with pytest.raises(BadOption, match="is no URL of a server, such as https://") as told:
        scan_archive(URL, storage_options=KEYS | {"aws_endpoint_url": endpoint})
    assert SECRET not in str(told.value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint or "x")
    with pytest.raises(BadOption, match="is no URL of a server"):
        scan_archive(URL, storage_options=KEYS)


def test_an_endpoint_with_a_path_is_asked_there(serve: Serve):
    asked: list[str] = []

    def answer(_: str, path: str) -> Answer:
        asked.append(path)
        return refusal(404, "NoSuchBucket")

    options = serve(answer)
    options["aws_endpoint_url"] += "/storage/v1/s3/"
    with pytest.raises(StorageFailed, match="no such bucket"):
        scan_archive(URL, storage_options=options)
    assert asked[0].startswith("/storage/v1/s3/bucket?")


@pytest.mark.parametrize(
    ("given", "lacks"),
    [
        ({"aws_access_key_id": KEY}, "aws_secret_access_key"),
        ({"secret_access_key": SECRET}, "aws_access_key_id"),
        ({"aws_session_token": SECRET}, "aws_access_key_id and aws_secret_access_key"),
    ],
)
def test_one_half_of_a_key_is_refused(given: dict[str, str], lacks: str):
    with pytest.raises(BadOption, match=f"storage_options lacks {lacks}. Give the key, its secret, or none") as told:
        scan_archive(URL, storage_options=given)
    assert SECRET not in str(told.value)


@pytest.mark.parametrize("read", [al.read_parquet, al.read_csv, al.read_jsonl])
def test_a_log_s_file_in_storage_is_to_be_brought_here_first(read: Callable[[str], object]):
    with pytest.raises(BadOption, match=r"from files here, and s3://bucket/log.x is none: bring it here first"):
        read("s3://bucket/log.x")

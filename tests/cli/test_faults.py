"""What goes wrong is one clear message on stderr and an exit code, never a traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from small_log import ONE

if TYPE_CHECKING:
    from collections.abc import Callable

    from typer.testing import Result

    Typed = Callable[..., Result]

AUDITLAB = [sys.executable, "-m", "auditlab"]
FULL = Path("/dev/full")


def failed(result: Result, *words: str) -> None:
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in result.stderr


def test_no_such_source(typed: Typed, tmp_path: Path):
    failed(typed("summary", tmp_path / "nothing.parquet"), "nothing.parquet", "archive folder")


@pytest.mark.parametrize(
    "words",
    [
        ("report", "LOG", "-o", ""),
        ("as-of", "LOG", "-t", "orders.orders", "--output", ""),
        ("as-of", "LOG", "-t", "orders.orders", "--mark", "x", "--with-marks", ""),
        ("pit-join", "LOG", "", "-t", "orders.orders", "--at", "changed_at"),
        ("mark", "host=nowhere", "--file", " "),
        ("archive", "LOG", "kept", "--sign", ""),
        ("verify", "kept", "--key", ""),
        ("seal", "keygen", ""),
        ("demo", "--folder", ""),
    ],
)
def test_an_empty_path_is_not_the_current_folder(
    typed: Typed, log_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
):
    monkeypatch.chdir(tmp_path)
    there = sorted(tmp_path.iterdir())
    done = typed(*(log_file if word == "LOG" else word for word in words))
    failed(done, "is empty and names nothing")
    assert sorted(tmp_path.iterdir()) == there


def test_an_empty_source_is_said_to_be_empty(typed: Typed):
    failed(typed("summary", ""), "'' is empty and names no folder")


def test_a_folder_that_is_no_archive(typed: Typed, tmp_path: Path):
    failed(typed("summary", tmp_path), str(tmp_path))


def test_a_file_that_is_no_parquet(typed: Typed, tmp_path: Path):
    (tmp_path / "a.parquet").write_text("hello", encoding="utf-8")
    failed(typed("summary", tmp_path / "a.parquet"), "a.parquet")


def test_a_file_whose_name_says_no_format(typed: Typed, tmp_path: Path, log_file: Path):
    (tmp_path / "log.txt").write_text("id,entity_type\n1,a.b\n", encoding="utf-8")
    failed(typed("summary", tmp_path / "log.txt"), "log.txt is no Parquet file", "ends in .csv or .jsonl")
    assert typed("summary", log_file.rename(tmp_path / "log.20240601")).exit_code == 0
    failed(typed("summary", tmp_path / "log.20240601", "--clock", "changed_at"), "--clock is for a database's own log")


def test_an_unknown_entity_type_names_what_there_is(typed: Typed, log_file: Path):
    failed(typed("as-of", log_file, "-t", "orders.order"), "orders.order", "orders.order_items", "orders.orders")


def test_an_unknown_field_names_what_there_is(typed: Typed, log_file: Path):
    failed(typed("diffs", log_file, "--field", "totl"), "'totl'", "total")


def test_a_time_outside_the_coverage(typed: Typed, log_file: Path):
    failed(typed("as-of", log_file, "--at", "2023-12-01"), "2023-12-01", "2024-01-01")


def test_a_time_that_is_none(typed: Typed, log_file: Path):
    failed(typed("as-of", log_file, "--at", "yesterday"), "'yesterday'")


def test_a_time_zone_that_is_none(typed: Typed, log_file: Path, tmp_path: Path):
    (tmp_path / "log.csv").write_text("id,entity_type\n", encoding="utf-8")
    for source in (log_file, tmp_path / "log.csv", tmp_path):
        failed(typed("summary", source, "--zone", "Mars/Base"), "no time zone 'Mars/Base'")


def test_an_entity_without_its_type(typed: Typed, log_file: Path):
    failed(typed("history", log_file, "-e", ONE), "--type")


def test_a_key_that_is_no_json(typed: Typed, log_file: Path):
    failed(typed("history", log_file, "-t", "orders.orders", "-e", "{a: 1}"), "{a: 1}")


def test_a_wrong_mapping(typed: Typed, log_file: Path):
    failed(typed("summary", log_file, "--column", "changed_by"), "OURS=THEIRS")


def test_a_column_that_a_log_must_have_cannot_be_left_out(typed: Typed, log_file: Path):
    failed(typed("summary", log_file, "--column", "id="), "there is no 'id'")
    assert typed("summary", log_file, "--column", "before_snapshot=").exit_code == 0


def test_csv_of_a_summary_needs_a_part(typed: Typed, log_file: Path):
    failed(typed("summary", log_file, "-f", "csv"), "--part")


def test_an_answer_does_not_overwrite_its_source(typed: Typed, log_file: Path):
    before = log_file.read_bytes()
    failed(typed("history", log_file, "-t", "orders.orders", "-f", "parquet", "-o", log_file), "the source itself")
    assert log_file.read_bytes() == before


def test_a_pipe_gets_utf_8_whatever_the_locale(log_file: Path):
    done = subprocess.run(
        [*AUDITLAB, "summary", str(log_file)],
        capture_output=True,
        check=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert "─" in done.stdout.decode("utf-8")


def test_usage_errors_exit_with_2(typed: Typed):
    assert typed("as-of").exit_code == 2
    assert typed("no-such-command").exit_code == 2


@pytest.mark.parametrize("command", [("check",), ("init",), ("summary",), ("partitions",)])
def test_no_server_and_no_password_in_the_message(typed: Typed, tmp_path: Path, command: tuple[str]):
    dsn = f"postgresql://ann:s3cret@/shop?host={tmp_path}"
    result = typed(*command, dsn)
    failed(result, "cannot connect")
    assert "s3cret" not in result.output


def test_a_verified_fault_exits_with_1(typed: Typed, log_file: Path, tmp_path: Path):
    kept = tmp_path / "kept"
    assert typed("archive", log_file, kept).exit_code == 0
    assert typed("verify", kept).exit_code == 0
    part = next(path for path in sorted(kept.rglob("*.parquet")))
    part.write_bytes(part.read_bytes()[:-1])
    result = typed("verify", kept)
    assert result.exit_code == 1
    assert part.name in result.stderr
    failed(typed("summary", kept), part.name)


def test_a_closed_pipe_is_quiet(log_file: Path):
    with subprocess.Popen(
        [*AUDITLAB, "diffs", str(log_file), "-f", "csv"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        assert running.stderr.read() == b""
    assert running.returncode == 141


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_what_ends_the_demo_ends_its_server_and_exits_with_130(tmp_path: Path, number: signal.Signals):
    with (
        tempfile.TemporaryDirectory(prefix="a-") as short,  # of a socket's path there is only so much
        subprocess.Popen(
            [*AUDITLAB, "demo", "--folder", str(tmp_path / "d")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "TMPDIR": short},
            preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # noqa: PLW1509 - nohup has it ignored
        ) as running,
    ):
        Path(short).chmod(0o755)
        assert running.stdout is not None
        for line in running.stdout:
            if b"started for this run" in line:
                break
        assert list(Path(short).glob("auditlab-*/server.log"))
        running.send_signal(number)
        _, told = running.communicate(timeout=60)
        assert list(Path(short).iterdir()) == []
    assert running.returncode == 130
    assert b"Traceback" not in told


def test_python_m_auditlab_is_the_command():
    done = subprocess.run([*AUDITLAB, "--version"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stdout.startswith("auditlab ")


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")
@pytest.mark.parametrize("form", ["table", "csv"])
def test_a_full_disk_is_one_message(log_file: Path, form: str):
    with FULL.open("w", encoding="utf-8") as full:
        done = subprocess.run(
            [*AUDITLAB, "diffs", log_file, "-f", form], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 2
    assert done.stderr == "auditlab: cannot write the output: No space left on device.\n"


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")
@pytest.mark.parametrize("words", [("--help",), ("--version",), ("as-of", "--help"), ("evidence", "LOG")])
def test_also_help_and_what_exits_with_1_tell_of_a_full_disk(log_file: Path, words: tuple[str, ...]):
    command = [*AUDITLAB, *(str(log_file) if word == "LOG" else word for word in words)]
    with FULL.open("w", encoding="utf-8") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "auditlab: cannot write the output: No space left on device.\n")


@pytest.mark.parametrize("words", [("--help",), ("--version",), ("as-of", "--help")])
def test_help_that_nobody_reads_on_is_quiet(words: tuple[str, ...]):
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([*AUDITLAB, *words], stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("words", [("--help",), ("--version",), ("summary", "LOG"), ("diffs", "LOG", "-f", "csv")])
def test_a_closed_standard_output_is_one_message(log_file: Path, words: tuple[str, ...]):
    command = [*AUDITLAB, *(str(log_file) if word == "LOG" else word for word in words)]
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" >&-', "sh", *command], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (2, "auditlab: cannot write the output: Bad file descriptor.\n")


@pytest.mark.parametrize("words", [("as-of", "LOG", "-t", "no.type"), ("summary", "nothing.parquet")])
def test_a_closed_standard_error_hides_the_message_but_not_the_exit_code(log_file: Path, words: tuple[str, ...]):
    command = [*AUDITLAB, *(str(log_file) if word == "LOG" else word for word in words)]
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" 2>&-', "sh", *command], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")


def test_an_argument_that_is_no_utf_8_is_named():
    done = subprocess.run([*AUDITLAB, "verify", b"kept\xe9"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == (
        "auditlab: 'kept\\udce9' is no UTF-8. Where that is the terminal's doing, set a UTF-8 locale, such as "
        "LC_ALL=C.UTF-8; a file or folder with such a name must be renamed.\n"
    )

"""The four forms of an answer."""

from __future__ import annotations

import csv
import io
import json
import os
import stat
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from auditlab.cli.output import Format, Output, chosen
from auditlab.cli.table import shown
from auditlab.errors import BadOption

WHEN = datetime(2024, 6, 1, 12, 30, tzinfo=UTC)
FRAME = pl.DataFrame(
    {
        "id": [1, 2],
        "total": [Decimal("1.10"), Decimal("-12345678901234567.89")],
        "note": ["=1+1", None],
        "=name": ["", 'a,"b"\nc'],
        "at": [WHEN, None],
    },
    schema={
        "id": pl.Int64,
        "total": pl.Decimal(38, 2),
        "note": pl.String,
        "=name": pl.String,
        "at": pl.Datetime("us", "UTC"),
    },
)


def text_of(output: Output, frame: pl.DataFrame | pl.LazyFrame) -> str:
    assert output.file is not None
    output.write(frame)
    return output.file.read_text(encoding="utf-8")


def test_csv_keeps_digits_and_neutralises_formulas(tmp_path: Path):
    written = text_of(Output(Format.CSV, tmp_path / "a.csv"), FRAME)
    assert written == (
        'id,total,note,\'=name,at\n1,1.10,\'=1+1,"",2024-06-01T12:30:00+00:00\n2,-12345678901234567.89,,"a,""b""\nc",\n'
    )
    assert list(csv.reader(io.StringIO(written)))[2] == ["2", "-12345678901234567.89", "", 'a,"b"\nc', ""]


def test_raw_csv_leaves_every_text_as_it_is(tmp_path: Path):
    written = text_of(Output(Format.CSV, tmp_path / "a.csv", raw=True), FRAME)
    assert next(csv.DictReader(io.StringIO(written)))["note"] == "=1+1"
    assert written.startswith("id,total,note,=name,at\n")


def test_json_lines_keep_numbers_as_numbers_digit_for_digit(tmp_path: Path):
    lines = text_of(Output(Format.JSONL, tmp_path / "a.jsonl"), FRAME.lazy()).splitlines()
    assert lines[0] == '{"id": 1, "total": 1.10, "note": "=1+1", "=name": "", "at": "2024-06-01T12:30:00+00:00"}'
    assert json.loads(lines[1], parse_float=Decimal)["total"] == Decimal("-12345678901234567.89")
    assert json.loads(lines[1])["note"] is None


def test_parquet_comes_back_equal(tmp_path: Path):
    Output(Format.PARQUET, tmp_path / "a.parquet").write(FRAME)
    assert_frame_equal(pl.read_parquet(tmp_path / "a.parquet"), FRAME)


def test_parquet_needs_a_file():
    with pytest.raises(BadOption, match="-o FILE"):
        Output(Format.PARQUET)


def test_a_file_is_whole_or_not_there(tmp_path: Path):
    target = tmp_path / "a.csv"
    target.write_text("what was there", encoding="utf-8")
    unwritable = pl.DataFrame({"a": [object()]}, schema={"a": pl.Object})
    with pytest.raises(pl.exceptions.PolarsError):
        Output(Format.PARQUET, target).write(unwritable)
    assert target.read_text(encoding="utf-8") == "what was there"
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_a_file_that_is_written_anew_keeps_its_permissions_and_a_link_leads_on_to_it(tmp_path: Path):
    target, link = tmp_path / "a.csv", tmp_path / "link.csv"
    target.write_text("what was there", encoding="utf-8")
    target.chmod(0o640)
    link.symlink_to("a.csv")
    assert text_of(Output(Format.CSV, link), FRAME.select("id")) == "id\n1\n2\n"
    assert link.is_symlink()
    assert (target.read_text(encoding="utf-8"), stat.S_IMODE(target.stat().st_mode)) == ("id\n1\n2\n", 0o640)


def test_what_is_no_file_stays_what_it_is(tmp_path: Path):
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    Output(Format.CSV, pipe).write(FRAME.select("id"))
    assert os.read(reader, 100) == b"id\n1\n2\n"
    os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert [path.name for path in tmp_path.iterdir()] == ["pipe.csv"]


def test_standard_output_can_be_named_as_the_file(log_file: Path):
    command = [sys.executable, "-m", "auditlab", "timeline", str(log_file), "-f", "jsonl"]
    printed, named = (
        subprocess.run([*command, *more], capture_output=True, text=True, check=True).stdout
        for more in ((), ("-o", "/dev/stdout"))
    )
    assert printed == named != ""


def test_a_folder_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(BadOption, match="no-such"):
        Output(Format.CSV, tmp_path / "no-such" / "a.csv").write(FRAME)


def test_a_table_says_what_it_leaves_out():
    ids = [f"6f1c0000-0000-4000-8000-00000000000{n}" for n in range(3)]
    frame = pl.DataFrame(
        {
            "entity_id": ids,
            "certain": [True] * 3,
            "id": [1, 2, 3],
            "status": ["paid", None, "東京"],
            "gone": [None] * 3,
            "note": ["x" * 60] * 3,
        }
    )
    whole = shown(frame, width=None)
    assert whole.lines[0].plain.split() == frame.columns
    assert ids[0] in whole.lines[2].plain
    assert "x" * 60 in whole.lines[2].plain
    assert whole.notes == ()
    narrow = shown(frame, width=30, limit=2)
    assert [line.plain for line in narrow.lines] == [
        "entity_id  status",
        "─────────────────",
        "…00000000  paid",
        "…00000001  ·",
    ]
    assert narrow.notes == ("the first 2 of 3 rows", "ids cut to 8 characters", "not shown: certain, id, gone, note")


def test_ids_that_differ_at_their_beginning_show_it():
    frame = pl.DataFrame(
        {"entity_id": [f"6f1c000{n}-0000-4000-8000-000000000000" for n in range(2)], "a": ["x" * 9] * 2}
    )
    assert [line.plain.split()[0] for line in shown(frame, width=20).lines[2:]] == ["6f1c0000", "6f1c0001"]


def test_a_narrow_table_keeps_the_old_and_the_new_value():
    row = {"changed_at": "2024-01-01 00:00:00", "kind": "modified", "field": "total", "old": "1.10", "new": "2.20"}
    head = shown(pl.DataFrame([row]), width=40).lines[0].plain
    assert head.split() == ["changed_at", "field", "old", "new"]


def test_the_name_of_the_file_says_the_format_where_nothing_else_does():
    assert chosen(None, None) is Format.TABLE
    assert [chosen(None, Path(name)) for name in ("a.CSV", "a.jsonl", "a.ndjson", "a.parquet", "a.txt", "a")] == [
        Format.CSV,
        Format.JSONL,
        Format.JSONL,
        Format.PARQUET,
        Format.TABLE,
        Format.TABLE,
    ]
    assert chosen(Format.TABLE, Path("a.csv")) is Format.TABLE


def test_an_ending_that_says_no_format_needs_one_to_be_given():
    with pytest.raises(BadOption, match=r"-o a\.xlsx: .* Known are \.csv, \.jsonl, .*--format"):
        chosen(None, Path("a.xlsx"))
    assert chosen(Format.TABLE, Path("a.xlsx")) is Format.TABLE


@pytest.mark.parametrize("width", [20, 40, 60, 80, 120])
def test_a_table_keeps_within_the_terminal(width: int):
    frame = pl.DataFrame({f"column {n}": ["東" * n, "ab"] for n in range(1, 20)})
    assert all(line.cell_len <= width for line in shown(frame, width=width).lines)


def test_a_table_takes_nothing_from_the_log_for_markup(capsys: pytest.CaptureFixture[str]):
    Output().write(pl.DataFrame({"[red]x": ["[bold]paid[/bold] :smile:", "\x1b[2J"]}), title="[blink]t")
    printed = capsys.readouterr().out
    assert "[bold]paid[/bold] :smile:" in printed
    assert "[red]x" in printed
    assert "[blink]t" in printed
    assert "\x1b" not in printed
    assert "\\e[2J" in printed

"""A log from CSV or JSON Lines: exact, or a named error with the row."""

from __future__ import annotations

import gzip
import re
from typing import TYPE_CHECKING

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from auditlab.errors import BadTime, MalformedChange, PerhapsCutShort, SchemaMismatch
from auditlab.load import text
from auditlab.load.arrow import read_parquet
from auditlab.load.text import read_csv, read_jsonl

if TYPE_CHECKING:
    from pathlib import Path

    from auditlab.load.source import Loaded

HEAD = "id,entity_type,entity_id,operation,changed_by,changed_at,before_snapshot,after_snapshot"


def csv(folder: Path, *lines: str, head: str = HEAD) -> Path:
    path = folder / "log.csv"
    path.write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")
    return path


def jsonl(folder: Path, *lines: str) -> Path:
    path = folder / "log.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def shop(path: Path) -> Loaded:
    return read_parquet(path / "shop" / "log.parquet")


@pytest.fixture
def data(request: pytest.FixtureRequest) -> Path:
    return request.config.rootpath / "tests" / "data"


def test_a_log_written_as_csv_comes_back_as_it_was(data: Path, tmp_path: Path):
    path = tmp_path / "log.csv"
    shop(data).changes.write_csv(path)
    assert_frame_equal(read_csv(path).changes, shop(data).changes)


def test_a_log_written_as_json_lines_comes_back_as_it_was(data: Path, tmp_path: Path):
    path = tmp_path / "log.jsonl"
    shop(data).changes.write_ndjson(path)
    assert_frame_equal(read_jsonl(path).changes, shop(data).changes)


def test_documents_that_stand_in_a_line_as_objects_are_kept_to_the_letter(tmp_path: Path):
    document = '{"total": 12345678901234567.89, "n":1.10,  "big":123456789012345678901234567890, "s": "\\u0041"}'
    line = (
        '{"id": 9007199254740993, "entity_type": "a.b", "entity_id": 7, "operation": "c", '
        f'"changed_at": "2024-06-01T12:00:00Z", "before_snapshot": null, "after_snapshot": {document}}}'
    )
    changes = read_jsonl(jsonl(tmp_path, line, "")).changes
    assert changes.select("id", "entity_id", "operation", "before_snapshot", "after_snapshot").rows() == [
        (9007199254740993, "7", "INSERT", None, document)
    ]


def test_nothing_is_null_and_an_empty_text_is_not(tmp_path: Path):
    path = csv(
        tmp_path,
        '1,a.b,x,INSERT,,2024-06-01 12:00:00+00,,"{""n"": 1.10}"',
        '2,a.b,y,INSERT,"",2024-06-01 12:00:00+00,,"{""n"":\n 2}"',
        '3,a.b,z,INSERT,NULL,2024-06-01 12:00:00+00,,"{""n"": 3}"',
    )
    changes = read_csv(path).changes
    assert changes["changed_by"].to_list() == [None, "", "NULL"]
    assert changes["after_snapshot"].to_list() == ['{"n": 1.10}', '{"n":\n 2}', '{"n": 3}']


@pytest.mark.parametrize(
    ("text", "zone", "instant"),
    [
        ("2024-06-01 12:00:00+00", "UTC", "2024-06-01 12:00:00"),
        ("2024-06-01T14:00:00.123456+02:00", "UTC", "2024-06-01 12:00:00.123456"),
        ("2024-06-01T12:00:00.5Z", "UTC", "2024-06-01 12:00:00.5"),
        ("2024-06-01 12:00:00.000000000Z", "UTC", "2024-06-01 12:00:00"),
        ("2024-06-01 14:00:00", "Europe/Berlin", "2024-06-01 12:00:00"),
        ("2024-06-01", "UTC", "2024-06-01 00:00:00"),
    ],
)
def test_times_are_read_with_their_offset_or_in_the_zone(text: str, zone: str, instant: str, tmp_path: Path):
    changes = read_csv(csv(tmp_path, f'1,a.b,x,INSERT,,{text},,"{{}}"'), zone=zone).changes
    wanted = pl.Series([instant]).str.to_datetime(time_unit="us", time_zone="UTC")
    assert changes["changed_at"].to_list() == wanted.to_list()


def test_a_compressed_file_is_known_by_its_ending(tmp_path: Path):
    path = tmp_path / "log.csv.gz"
    path.write_bytes(gzip.compress(csv(tmp_path, '1,a.b,x,INSERT,,2024-06-01 12:00Z,,"{}"').read_bytes()))
    assert read_csv(path).changes["id"].to_list() == [1]


def test_other_names_are_mapped(tmp_path: Path):
    path = csv(tmp_path, '1,a.b,x,INSERT,ann,2024-06-01 12:00Z,,"{}"', head=HEAD.replace("changed_by", "actor"))
    assert read_csv(path, columns={"changed_by": "actor"}).changes["changed_by"].to_list() == ["ann"]


@pytest.mark.parametrize("text", ["yesterday", "infinity", "2024-13-01 00:00:00+00", "0044-03-15 00:00:00+00 BC"])
def test_a_time_that_is_none_is_named_with_its_row(text: str, tmp_path: Path):
    path = csv(tmp_path, '1,a.b,x,INSERT,,2024-06-01 12:00:00+00,,"{}"', f'2,a.b,y,INSERT,,{text},,"{{}}"')
    with pytest.raises(BadTime, match=f"row id 2: changed_at = '{text.replace('+', '[+]')}' is no time"):
        read_csv(path)


def test_a_time_without_offset_among_others_is_refused(tmp_path: Path):
    lines = ('1,a.b,x,INSERT,,2024-06-01 12:00:00+00,,"{}"', '2,a.b,y,INSERT,,2024-06-01 12:00:00,,"{}"')
    with pytest.raises(BadTime, match="row id 2: .* Other times here tell their offset"):
        read_csv(csv(tmp_path, *lines))


def test_a_number_in_the_place_of_a_time_is_told_from_a_slip(tmp_path: Path):
    with pytest.raises(BadTime, match="row id 1: changed_at = '1740823380005' .* does not tell its unit"):
        read_csv(csv(tmp_path, '1,a.b,x,INSERT,,1740823380005,,"{}"'))


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_a_header_without_a_comma_names_the_mark_that_it_has(mark: str, tmp_path: Path):
    with pytest.raises(SchemaMismatch, match=re.escape(f"{mark!r} stands between the names of its header")):
        read_csv(csv(tmp_path, mark.join(["1", "a.b", "x", "INSERT"]), head=HEAD.replace(",", mark)))


def test_what_is_missing_or_no_number_is_told(tmp_path: Path):
    with pytest.raises(SchemaMismatch, match="changed_at: missing"):
        read_csv(csv(tmp_path, "1,a.b,x,INSERT", head="id,entity_type,entity_id,operation"))
    with pytest.raises(SchemaMismatch, match="id is no whole number of 64 bits: .*9223372036854775808"):
        read_csv(csv(tmp_path, "9223372036854775808,a.b,x,INSERT,,2024-06-01 12:00Z,,{}"))
    with pytest.raises(SchemaMismatch, match="cannot read .*nowhere.csv as CSV"):
        read_csv(tmp_path / "nowhere.csv")
    with pytest.raises(SchemaMismatch, match="cannot read .*nowhere.jsonl as JSON Lines"):
        read_jsonl(tmp_path / "nowhere.jsonl")
    with pytest.raises(SchemaMismatch, match="line 2: is no JSON object"):
        read_jsonl(jsonl(tmp_path, '{"id": 1}', "[1]"))
    with pytest.raises(SchemaMismatch, match="line 1: has none of id, entity_type, entity_id, operation, changed_at, "):
        read_jsonl(jsonl(tmp_path, "{}"))
    with pytest.raises(SchemaMismatch, match="entity_type: missing"):
        read_jsonl(jsonl(tmp_path, '{"id": 1}'))


@pytest.mark.parametrize("number", ["0x1F", "1e3", "1.0", "1_000", "\u0661"])
def test_a_number_is_decimal_digits(number: str, tmp_path: Path):
    with pytest.raises(SchemaMismatch, match=f"id is no whole number of 64 bits: '{number}'. Write it in decimal"):
        read_csv(csv(tmp_path, f'{number},a.b,x,INSERT,,2024-06-01 12:00Z,,"{{}}"'))


LINE = (
    '"id": 1, "before_snapshot": null, "entity_type": "a.b", "entity_id": "x", "changed_at": "2024-06-01T12:00Z", '
    '"after_snapshot": '
)


@pytest.mark.parametrize(
    "line",
    [
        f'{{{LINE}"{{}}", "operation": "INSERT", "operation": "DELETE"}}',
        f'{{{LINE}{{"n": 1}}, "operation": "INSERT", "op\\u0065ration": "DELETE"}}',
        f'{{"operation":"INSERT",  {LINE}null, "operation"  :"DELETE"}}',
    ],
)
def test_a_line_that_names_a_column_twice_is_refused(line: str, tmp_path: Path):
    good = f'{{{LINE}{{"n": 1, "n": {{"operation": 2}}}}, "operation": "INSERT"}}'
    assert read_jsonl(jsonl(tmp_path, good)).changes["after_snapshot"].to_list() == ['{"n": 1, "n": {"operation": 2}}']
    with pytest.raises(SchemaMismatch, match="line 2: names 'operation' twice, and which of the two counts"):
        read_jsonl(jsonl(tmp_path, good, line))


@pytest.mark.parametrize(
    ("lines", "where"),
    [
        (['1,a.b,x,INSERT,,2024-06-01 12:00Z,,"{""n"": 1}', '2,a.b,y,INSERT,,2024-06-01 12:00Z,,"{""n"": 2}"'], 2),
        (['1,a.b,x,INSERT,"ann,2024-06-01 12:00Z,,"{""n"": 1}"', "2,a.b,y,INSERT,,2024-06-01 12:00Z,,{}"], 2),
        (["1,a.b,x,INSERT,,2024-06-01 12:00Z,,{}", '2,a.b,y,INSERT,"b"b,2024-06-01 12:00Z,,"{}', '3,"', '4,"x"y"'], 3),
        (  # two are missing, so that the marks are even
            [
                '1,a.b,x,INSERT,,2024-06-01 12:00Z,,"{""n"": 1}',
                '2,a.b,y,INSERT,,2024-06-01 12:00Z,,"{""n"": 2}"',
                '3,a.b,z,INSERT,,2024-06-01 12:00Z,,"{""n"": 3}',
                '4,a.b,w,INSERT,,2024-06-01 12:00Z,,"{""n"": 4}"',
            ],
            2,
        ),
        (
            [
                '1,a.b,x,INSERT,,2024-06-01 12:00Z,,"{""n"": 1}',
                '2,a.b,y,INSERT,"",2024-06-01 12:00Z,,"{""n"": 2}',
                "3,a.b,z,INSERT,,2024-06-01 12:00Z,,{}",
            ],
            2,
        ),
    ],
)
@pytest.mark.parametrize("block", [8 << 20, 7])
def test_a_mark_that_is_missing_in_the_middle_swallows_no_rows(
    lines: list[str], where: int, block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = csv(tmp_path, *lines)
    monkeypatch.setattr("auditlab.load.text._BLOCK", block)
    with pytest.raises(SchemaMismatch, match=f"quoted field that begins in line {where} ends before text"):
        read_csv(path)


@pytest.mark.parametrize("block", [8 << 20, 7])
def test_a_document_over_several_lines_swallows_none(block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    document = '{\n "n": "a, \\"b\\"",\n "m": "c"}'
    quoted = document.replace('"', '""')
    rows = [f'{number},a.b,x{number},INSERT,"",2024-06-01 12:00Z,,"{quoted}"' for number in (1, 2)]
    monkeypatch.setattr("auditlab.load.text._BLOCK", block)
    scanned: list[bool] = []
    strays = text._strays  # noqa: SLF001 - it is looked at, and finds nothing
    monkeypatch.setattr(text, "_strays", lambda path: scanned.append(strays(path)) or scanned[-1])
    assert read_csv(csv(tmp_path, *rows)).changes["after_snapshot"].to_list() == [document] * 2
    assert scanned == [False]


def test_rows_that_are_no_changes_are_refused_or_set_apart(tmp_path: Path):
    path = csv(tmp_path, "1,a.b,x,INSERT,,2024-06-01 12:00Z,,[1]", '2,a.b,y,INSERT,,2024-06-01 12:00Z,,"{}"')
    with pytest.raises(MalformedChange):
        read_csv(path)
    assert read_csv(path, strict=False).changes["id"].to_list() == [2]


@pytest.mark.parametrize("ending", ["csv", "csv.gz"])
def test_a_csv_that_is_cut_in_mid_row_is_refused_or_warned_of(ending: str, tmp_path: Path):
    rows = ['1,a.b,x,INSERT,5" pipe,2024-06-01 12:00Z,,"{""n"": 1}"', '2,a.b,y,INSERT,,2024-06-01 12:00Z,,"{""n"": 2}"']
    text, path = csv(tmp_path, *rows).read_bytes(), tmp_path / f"cut.{ending}"

    def cut(text: bytes) -> Path:
        path.write_bytes(gzip.compress(text) if ending.endswith("gz") else text)
        return path

    for text_of in (text, text.replace(b'5"', b"5")):
        assert read_csv(cut(text_of)).changes["id"].to_list() == [1, 2]
        with pytest.warns(PerhapsCutShort, match="its last line has no line end"):
            assert read_csv(cut(text_of[:-1])).changes["id"].to_list() == [1, 2]
    text = text.replace(b'5"', b"5")
    for missing in (2, 4):
        with pytest.raises(SchemaMismatch, match="the file ends inside a quoted field, which begins in line 3: it is"):
            read_csv(cut(text[:-missing]))
    with pytest.warns(PerhapsCutShort), pytest.raises(SchemaMismatch, match="Expected 8 columns, got 7"):
        read_csv(cut(text[: text.rindex(b',"')]))


def test_the_keys_of_json_lines_are_named_so_that_they_can_be_mapped(tmp_path: Path):
    line = '{"id": 1, "op": "INSERT", "wann": "2024-06-01T12:00Z", "wer": "ann"}'
    with pytest.raises(SchemaMismatch, match=r"It has the columns: id, op, wann, wer\."):
        read_jsonl(jsonl(tmp_path, line))
    with pytest.raises(SchemaMismatch, match=r"line 1: has none of .* It has op, wer: columns with other names"):
        read_jsonl(jsonl(tmp_path, '{"op": "INSERT", "wer": "ann"}'))


def test_a_line_that_is_nested_too_deep_is_named(tmp_path: Path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"id": 1, "after_snapshot": {"a": ' + "[" * 3000 + "]" * 3000 + "}}\n")
    with pytest.raises(SchemaMismatch, match="line 1: is no JSON object"):
        read_jsonl(path)


def test_a_header_alone_must_be_a_change_log_s(tmp_path: Path):
    assert read_csv(csv(tmp_path)).changes.is_empty()
    with pytest.raises(SchemaMismatch, match="entity_type: missing"):
        read_csv(csv(tmp_path, head="id,total"))


@pytest.mark.parametrize("text", ["20240131", "202401312359", "20240131235959", "20240131235959123"])
def test_a_date_without_marks_is_no_number_whose_unit_is_missing(tmp_path: Path, text: str):
    """``unit="us"`` made a time of the year 2611 of it."""
    log = tmp_path / "log.csv"
    log.write_text(f"id,operation,changed_at,k\n1,I,{text},7\n")
    with pytest.raises(
        BadTime, match=r"As digits of a date it is written with marks between them: 2024-01-31\."
    ) as told:
        read_csv(log, columns={"changed_by": None, "transaction_id": None}, fields="rest", entity_type="a.b", key="k")
    assert "unit=" not in str(told.value)

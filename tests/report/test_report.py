"""The report holds what was asked, of what, with which digests; and nothing of what is hidden."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import struct
import zlib
from html import unescape
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

import auditlab as al
from auditlab.archive.manifest import read_chain
from auditlab.cli.report import Part
from auditlab.errors import AuditlabError, BadOption, IncompleteLog, NoData, UnknownField
from auditlab.report.sections import SECTIONS
from auditlab.testing import make_log

if TYPE_CHECKING:
    from pathlib import Path

SECRET, LATER = "s3cret-4711", "s3cret-0815"

STEPS: list[tuple[Any, ...]] = [
    ("INSERT", "a", {"id": 1, "note": SECRET, "total": 5}, {"changed_by": "ann"}),
    ("INSERT", "b", {"id": 2, "note": "plain", "total": 7}, {"changed_by": "bob"}),
    ("UPDATE", "a", {"id": 1, "note": LATER, "total": 6}, {"changed_by": "bob"}),
    ("UPDATE", "a", {"id": 1, "note": LATER, "total": 9}, {"before_snapshot": {"id": 1, "note": SECRET, "total": 6}}),
    ("DELETE", "b", {"changed_by": "ann"}),
]


@pytest.fixture(params=["polars", "duckdb", "archive"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> al.ChangeLog[Any]:
    loaded = al.from_arrow(make_log(STEPS, entity_type="shop.orders"))
    if request.param != "archive":
        return loaded.on(request.param)
    loaded.to_archive(tmp_path / "kept")
    return al.scan_archive(tmp_path / "kept")


def everything(html: str) -> str:
    """The text of a report with all that its views hold packed."""
    packed = re.findall(r'<script type="application/octet-stream"[^>]*>([^<]+)</script>', html)
    assert packed or "dashboard" not in html
    told = []
    for text in packed:
        raw = zlib.decompress(base64.b64decode(text))
        (length,) = struct.unpack_from("<I", raw)
        told.append(json.dumps(json.loads(raw[4 : 4 + length]), ensure_ascii=False))
    return unescape(html) + "\n".join(told)


def table(html: str, caption: str) -> list[list[str]]:
    """The rows of the table with that caption."""
    found = re.search(rf"<caption>{re.escape(caption)}[^<]*</caption>(.*?)</table>", html, re.DOTALL)
    assert found, caption
    rows = re.findall(r"<tr>(.*?)</tr>", found[1], re.DOTALL)
    return [
        [unescape(re.sub("<[^>]+>", "", one)) for one in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)] for row in rows
    ]


def test_without_options_it_has_summary_evidence_and_what_happened(log):
    html = log.report()
    headings = re.findall(r'<h2 id="(\w+)">', html)
    assert headings == ["about", "summary", "evidence", "timeline", "run"]
    assert re.findall(r'<a href="#(\w+)">', html) == headings
    timeline = table(html, "Who did what when")
    assert len(timeline) - 1 == log.timeline().lazy().collect().height
    assert table(html, "Totals")[1][:4] == ["5", "5", "2", "2"]


def test_of_one_entity_it_has_its_history_and_blame(log):
    html = log.of("shop.orders").entity("a").report()
    assert {"history", "blame"} <= set(re.findall(r'<h2 id="(\w+)">', html))
    assert [row[1] for row in table(html, "Versions of shop.orders")[1:]] == ["1", "2", "3"]
    assert {row[2] for row in table(html, "Who last set each field")[1:]} == {"id", "note", "total"}


def test_every_section_can_be_asked_for_and_no_other(log):
    html = log.report(include=list(SECTIONS), start="2024-01-01T00:00:01", end="2024-01-01T00:00:03")
    assert re.findall(r'<h2 id="(\w+)">', html)[1:-1] == list(SECTIONS)
    assert [str(part) for part in Part] == list(SECTIONS)
    with pytest.raises(BadOption, match="no section 'colour'. There are summary, evidence,"):
        log.report(include=["colour"])


def test_times_and_users_narrow_the_changes_and_not_the_evidence(log):
    html = log.report(by="bob", start="2024-01-01T00:00:02", end="2024-01-02", include=["timeline", "evidence"])
    assert {row[9] for row in table(html, "Who did what when")[1:]} == {"3"}
    assert "Changes by bob alone." in html
    assert "unlogged change" in html
    assert "log.by(&#x27;bob&#x27;).between(&#x27;2024-01-01T00:00:02+00:00&#x27;, " in html


def test_both_times_bring_the_comparison(log):
    html = log.report(start="2024-01-01T00:00:01", end="2024-01-01T00:00:03")
    rows = table(html, "2024-01-01 00:00:01 against 2024-01-01 00:00:03 UTC, net")
    assert [row[1:4] for row in rows[1:]] == [["a", "note", "modified"], ["a", "total", "modified"]]


def test_the_code_that_it_names_gives_what_it_shows(log):
    html = log.report(by="bob", include=["timeline", "diffs", "history", "blame", "compare"])
    codes = [unescape(code) for code in re.findall(r"<li><code>(.*?)</code></li>", html)]
    assert len(codes) == 5
    for code in codes:
        assert eval(code, {"log": log, "pl": pl}).lazy().collect().height  # noqa: S307 - our own code


def test_of_a_selection_its_code_starts_from_the_whole_log():
    other = ("INSERT", "c", {"id": 3, "note": "", "total": 1}, {"entity_type": "shop.items"})
    log = al.from_arrow(make_log([*STEPS, other], entity_type="shop.orders"))
    html = log.of("shop.orders").report(include=list(SECTIONS))
    code = "log.of('shop.orders')"
    assert dict(table(html, "This report")[1:])["made by"].startswith(f"{code}.report(")
    codes = [unescape(one) for one in re.findall(r"<li><code>(.*?)</code></li>", html)]
    assert [one for one in codes if not one.startswith(f"{code}.")] == []


def test_the_sql_that_ran_stands_in_it(log):
    html = log.report(include=["timeline", "blame"])
    for verb in ("timeline", "blame"):
        assert f"SQL of {verb}" in html
        assert log.sql(verb) in unescape(html)


def test_a_masked_value_is_nowhere_and_its_change_is(log):
    html = log.report(include=list(SECTIONS), mask=["note"], start="2024-01-01T00:00:01", end="2024-01-01T00:00:04")
    assert SECRET not in everything(html)
    assert LATER not in everything(html)
    assert "Masked: note." in html
    shown = [row for row in table(html, "What each change did") if row[5] == "note"]
    assert ["modified", "[masked]", "[masked]"] in [row[6:9] for row in shown]
    assert SECRET in everything(log.report(include=list(SECTIONS)))


def test_a_masked_null_is_told_from_no_other_value():
    steps = [
        ("INSERT", "a", {"id": 1, "note": None}),
        ("UPDATE", "a", {"id": 1, "note": "x"}),
        ("UPDATE", "a", {"id": 1, "note": None}),
        ("UPDATE", "a", {"id": 1}),
    ]
    html = al.from_arrow(make_log(steps)).report(include=list(SECTIONS), mask=["note"])
    for caption, field, old in (("Who did what when", 5, 7), ("What each change did", 5, 7)):
        values = [row[old : old + 2] for row in table(html, caption)[1:] if row[field] == "note"]
        masked = "[masked]"
        assert values == [["null", masked], [masked, masked], [masked, masked], [masked, "null"]]
    assert {row[-1] for row in table(html, "Versions of t")[1:]} == {"[masked]"}


def test_an_omitted_field_is_nowhere_but_where_it_is_said_to_be_left_out(log):
    html = log.report(include=["summary", "timeline", "diffs", "history", "blame"], omit=["note", "total"])
    told = everything(html)
    assert SECRET not in told
    assert "Left out: note, total." in told
    assert {row[5] for row in table(html, "What each change did")[1:]} == {"id"}
    assert "note of shop.orders" not in told
    assert "note" not in table(html, "Versions of shop.orders")[0]


def test_under_an_older_name_a_masked_value_is_masked_too():
    steps = [
        ("INSERT", "a", {"old_note": SECRET}),
        ("UPDATE", "a", {"note": SECRET}, {"before_snapshot": {"old_note": LATER}}),
    ]
    log = al.from_arrow(make_log(steps)).renamed({"t": {"old_note": "note"}})
    html = log.report(mask=["note"])
    assert "unlogged change" in html
    assert SECRET not in everything(html)
    assert LATER not in everything(html)


def test_a_list_of_changes_that_are_no_names_tells_no_masked_value():
    lists = {"changed_fields": [{"field": "note", "old": "secret", "new": 2}]}
    steps = [("INSERT", "a", {"note": 1}), ("UPDATE", "a", {"note": 2}, lists)]
    assert "secret" not in al.from_arrow(make_log(steps)).report(include=list(SECTIONS), mask=["note"])


def test_a_text_in_a_list_of_changed_fields_may_be_a_value_and_is_masked_among_the_names():
    listed = ({"changed_fields": f'["{SECRET}"]'}, {"changed_fields": f'{{"{LATER}": 1}}'})
    steps = [("INSERT", "a", {"note": "x"}), *(("UPDATE", "a", {"note": f"y{n}"}, one) for n, one in enumerate(listed))]
    log = al.from_arrow(make_log(steps))
    assert SECRET in everything(log.report())
    for hide in ({"mask": ["note"]}, {"omit": ["note"]}):
        html = log.report(include=list(SECTIONS), **hide)
        assert "changed_fields disagree" in html
        assert SECRET not in everything(html)
        assert LATER not in everything(html)


@pytest.mark.parametrize("name", ["^s.*$", "*", "^.*$"])
def test_a_field_that_is_called_like_a_pattern_is_left_out_and_no_other(name: str):
    steps = [("INSERT", "a", {name: SECRET, "status": "open"}), ("UPDATE", "a", {name: LATER, "status": "done"})]
    log = al.from_arrow(make_log(steps))
    for asked in (log, log.of("t").entity("a")):
        html = asked.report(omit=[name])
        assert SECRET not in everything(html)
        assert LATER not in everything(html)
        assert "status" in html


def test_a_mask_with_a_slip_in_it_is_refused(log):
    with pytest.raises(UnknownField, match="cannot hide 'notes': no such field. The log has 'id', 'note', 'total'"):
        log.report(mask=["notes"])


def test_the_digests_are_those_of_the_rows_and_of_the_file(tmp_path: Path):
    file = tmp_path / "log.parquet"
    make_log(STEPS).write_parquet(file)
    log = al.read_parquet(file)
    found = dict(row[:2] for row in table(log.report(read_from=file), "Digests (SHA-256)")[1:])
    assert found["file"].startswith(hashlib.sha256(file.read_bytes()).hexdigest())
    others = [al.from_arrow(make_log(STEPS)), al.from_arrow(make_log(STEPS[:-1]))]
    same, other = (dict(row[:2] for row in table(one.report(), "Digests (SHA-256)")[1:])["rows"] for one in others)
    assert found["rows"] == same != other


def test_of_an_archive_the_head_of_its_manifests_is_told(tmp_path: Path):
    al.from_arrow(make_log(STEPS)).to_archive(tmp_path / "kept")
    html = al.scan_archive(tmp_path / "kept").report(read_from=tmp_path / "kept")
    assert dict(row[:2] for row in table(html, "Digests (SHA-256)")[1:])["archive"].startswith(
        read_chain(tmp_path / "kept")[-1][1]
    )
    with pytest.raises(BadOption, match="cannot read"):
        al.from_arrow(make_log(STEPS)).report(read_from=tmp_path / "none")


def test_a_password_is_nowhere(log, monkeypatch):
    monkeypatch.setattr(type(log), "__repr__", lambda _: "source     postgresql://ann:pass4711@db/shop")
    assert "pass4711" not in log.report()


def test_a_long_table_says_what_is_not_shown(log):
    html = log.report(rows=2, include=["timeline"])
    assert len(table(html, "Who did what when")) - 1 == 2
    assert f"The first 2 of {log.timeline().lazy().collect().height} rows. log.timeline() gives all of them." in html


def test_what_an_answer_warns_of_stands_in_the_report():
    log = al.from_arrow(make_log([("UPDATE", "a", {"x": 2}, {"before_snapshot": {"x": 1}})]))
    assert "rows of t (1 of them were changed later) were there before the log began" in log.report(include=["blame"])


def test_what_the_log_cannot_answer_is_the_verbs_own_error(log, tmp_path: Path):
    with pytest.raises(IncompleteLog, match=r"blame\(\) needs whole histories"):
        log.by("ann").report(tmp_path / "r.html", include=["blame"])
    assert not (tmp_path / "r.html").exists()
    assert "No evidence: evidence() needs whole histories" in unescape(log.by("ann").report())
    with pytest.raises(NoData, match=r"asked for changes from 2030-01-01 00:00:00\+00:00 on\."):
        al.from_arrow(make_log([("INSERT", "a", {"n": 1})])).report(tmp_path / "late.html", start="2030-01-01")
    with pytest.raises(NoData, match=r"asked for changes up to 1999-01-01 00:00:00\+00:00\."):
        al.from_arrow(make_log([("INSERT", "a", {"n": 1})])).report(tmp_path / "late.html", end="1999-01-01")
    with pytest.raises(NoData, match="asked for changes from 1999-01-01"):
        log.report(tmp_path / "r.html", include=["diffs"], start="1999-01-01", end="1999-02-01")
    assert not (tmp_path / "r.html").exists()
    with pytest.raises(AuditlabError, match="rows counts from 1"):
        log.report(rows=0)


def test_the_file_is_the_text_and_a_log_of_nothing_has_a_report(log, tmp_path: Path):
    file = log.report(str(tmp_path / "r.html"), title="<June> & July")
    assert file == tmp_path / "r.html"
    text = file.read_text(encoding="utf-8")
    assert "<h1>&lt;June&gt; &amp; July</h1>" in text
    assert "The log holds no change." in al.from_arrow(make_log([])).report(include=["compare", "timeline", "summary"])

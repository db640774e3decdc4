"""Fields that are masked or left out of an archive: gone from every document, all else byte for byte, and told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from auditlab.archive.export import archive_postgres
from auditlab.archive.prune import prune
from auditlab.archive.read import scan_archive
from auditlab.archive.verify import verify
from auditlab.capture.track import track
from auditlab.changelog import reconcile
from auditlab.connection import connect
from auditlab.errors import BadOption, DropRefused, IncompleteLog, WithheldFields
from auditlab.masking import MASK, Masks, withhold
from auditlab.sources import from_arrow, read_postgres, scan
from auditlab.sources import scan_archive as opened
from auditlab.testing import make_log

if TYPE_CHECKING:
    from pathlib import Path

TABLE = "CREATE SCHEMA s; CREATE TABLE s.t (id int PRIMARY KEY, email text, total numeric, note jsonb)"
WORK = """
INSERT INTO s.t VALUES (1, 'ann@example.org', 1.10, '{"email": "nested stays"}'), (2, 'bob@example.org', 2, NULL);
UPDATE s.t SET email = 'zoe@example.org' WHERE id = 1;
UPDATE s.t SET total = 3.30 WHERE id = 1
"""
DOCUMENTS = ("before_snapshot", "after_snapshot", "changed_fields", "metadata")


@pytest.fixture
def log(captured: str) -> str:
    with connect(captured, autocommit=True) as db:
        db.execute(TABLE)
        track(captured, ["s.t"])
        for statement in WORK.split(";\n"):
            db.execute(statement)
    return captured


def texts(folder: Path) -> str:
    rows = scan_archive(folder).changes.collect()
    return " ".join(text for name in DOCUMENTS for text in rows[name].drop_nulls())


@pytest.mark.parametrize(
    ("text", "masked", "omitted", "wanted"),
    [
        ('{"a": 1, "b": 2}', "", "a", '{"b": 2}'),
        ('{"a": 1, "b": 2}', "", "b", '{"a": 1}'),
        ('{"a": 1}', "", "a", "{}"),
        ('{"a":1.10 ,\n "b": {"a": [1, {"a": 2}]},"c":null}', "c", "a", '{"b": {"a": [1, {"a": 2}]},"c":"***"}'),
        ('{"a": "x, \\"a\\": {", "b": 12345678901234567.89}', "", "a", '{"b": 12345678901234567.89}'),
        ('{"a": 1, "\\u0061": 2, "b": 3, "b": 4}', "a", "", '{"a": "***", "\\u0061": "***", "b": 3, "b": 4}'),
        ('{"a": 1, "\\u0061": 2, "b": 3, "b": 4}', "", "a", '{"b": 3, "b": 4}'),
        ("[1, 2]", "", "a", "[1, 2]"),
        ('"a"', "a", "", '"a"'),
        ("{}", "a", "", "{}"),
        ('{"ab": 1}', "a", "b", '{"ab": 1}'),
    ],
)
def test_what_is_withheld_goes_and_all_else_stays_as_it_is(text: str, masked: str, omitted: str, wanted: str):
    assert withhold(text, frozenset(masked), frozenset(omitted)) == wanted


def withheld(**documents: str | None) -> dict[str, str | None]:
    row = dict.fromkeys(DOCUMENTS[:3]) | documents
    frame = pl.DataFrame({"entity_type": ["s.t"], "partition": [None], **{name: [row[name]] for name in row}}).cast(
        pl.String
    )
    return Masks(masked=("s.t.a",)).on(frame).select(DOCUMENTS[:3]).row(0, named=True)


@pytest.mark.parametrize(
    ("listed", "kept"),
    [
        ('{"a": "secret", "b": 1}', '{"a": "***", "b": 1}'),
        ('["a", "b"]', '["a", "b"]'),
        ("[]", "[]"),
        ("null", "null"),
        ('{"old": {"a": "secret"}, "new": {"a": 2}}', '{"old": "***", "new": "***"}'),
        ('[{"field": "a", "old": "secret", "new": 2}]', '"***"'),
        ('[{"op": "replace", "path": "/a", "value": "secret"}]', '"***"'),
        ('["a", "secret"]', '"***"'),
        ('"a was secret"', '"***"'),
        ("a => secret", '"***"'),
    ],
)
def test_changed_fields_of_any_form_tell_no_masked_value(listed: str, kept: str):
    images = {"before_snapshot": '{"a": "secret", "b": 0}', "after_snapshot": '{"a": 2, "b": 1}'}
    row = withheld(**images, changed_fields=listed)
    assert row["changed_fields"] == kept
    assert "secret" not in str(row)


@pytest.mark.parametrize("image", ['{"b": 1, "a": "secret', '["a", "secret"]', '"secret"', "{'a': 'secret'}"])
def test_an_image_that_is_no_document_is_masked_whole(image: str):
    assert "secret" not in str(withheld(after_snapshot=image))


def test_a_list_without_images_goes_by_its_names():
    assert withheld(changed_fields='{"a": "secret", "b": 1}')["changed_fields"] == '{"a": "***", "b": 1}'


@pytest.mark.parametrize("before", [None, '{"a": "secret", "b": 0}'])
@pytest.mark.parametrize(
    ("listed", "kept"),
    [
        ('{"a": ["secret", 2], "b": [0, 1]}', '{"a": "***", "b": [0, 1]}'),
        ('{"old": {"a": "secret"}, "new": {"a": 2}}', '{"old": "***", "new": "***"}'),
        ('{"changes": [["a", "secret", 2]], "c": [1, 2]}', '{"changes": "***", "c": [1, 2]}'),
        ("{}", "{}"),
    ],
)
def test_a_list_in_place_of_an_image_tells_no_masked_value(before: str | None, listed: str, kept: str):
    assert withheld(before_snapshot=before, changed_fields=listed)["changed_fields"] == kept


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.dictionaries(st.sampled_from('abc{}\\"') | st.text(), VALUES), st.booleans(), st.integers(0, 1))
def test_any_document_reads_as_itself_without_the_field(document: dict[str, object], ascii_only: bool, spaced: int):  # noqa: FBT001
    text = json.dumps(document, ensure_ascii=ascii_only, indent=spaced or None)
    left = json.loads(withhold(text, frozenset("b"), frozenset("a")))
    assert left == {name: MASK if name == "b" else value for name, value in document.items() if name != "a"}
    assert withhold(text, frozenset(), frozenset({"no such field"})) == text or "no such field" in document


def test_an_archive_says_what_it_withholds_and_has_nothing_of_it(log: str, tmp_path: Path):
    folder = tmp_path / "a"
    options = {"mask_fields": ["s.t.total"], "omit_fields": ["s.t.email"]}
    archive_postgres(log, folder, **options)
    with connect(log, autocommit=True) as db:
        db.execute("UPDATE s.t SET email = 'late@example.org', total = 4.4")
    archive_postgres(log, folder, **options)
    assert "@" not in texts(folder)
    assert not any(amount in texts(folder) for amount in ("1.1", "3.3", "4.4"))
    assert "nested stays" in texts(folder)
    assert verify(folder) == []
    kept = opened(folder)
    assert (kept.facts.masked, kept.facts.omitted) == (("s.t.total",), ("s.t.email",))
    assert "s.t.total masked; s.t.email left out" in repr(kept)
    for verb in ("as_of", "history", "diffs", "blame", "timeline"):
        with pytest.warns(WithheldFields, match=r"s\.t\.total \(masked\), s\.t\.email \(left out\)"):
            rows = getattr(kept.of("s.t"), verb)().collect()
        assert "email" not in rows.columns
    with pytest.warns(WithheldFields):
        assert set(kept.of("s.t").as_of().collect()["total"]) == {MASK}
    live = read_postgres(log).changes()
    same = scan_archive(folder).changes.collect().sort("id").drop(*DOCUMENTS[:3])
    assert same.equals(live.sort("id").select(same.columns))


def test_the_live_part_of_one_log_withholds_the_same(log: str, tmp_path: Path):
    archive_postgres(log, tmp_path / "a", omit_fields=["s.t.email"])
    with connect(log, autocommit=True) as db:
        db.execute("UPDATE s.t SET email = 'late@example.org'")
    with pytest.warns(WithheldFields):
        assert "email" not in scan(log, tmp_path / "a").of("s.t").history().collect().columns


def test_a_log_in_memory_is_kept_without_them_too(log: str, tmp_path: Path):
    read_postgres(log).to_archive(tmp_path / "a", mask_fields=["s.t.email"])
    assert "@" not in texts(tmp_path / "a")
    assert opened(tmp_path / "a").facts.masked == ("s.t.email",)
    with pytest.raises(BadOption, match="no change has a field 's.t.emial'"):
        read_postgres(log).to_archive(tmp_path / "b", mask_fields=["s.t.emial"])
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"omit_fields": ["s.t.emial"]}, "no change has a field 's.t.emial'"),
        ({"omit_fields": ["email"]}, "names no field"),
        ({"omit_fields": ["s.t.email"], "mask_fields": ["s.t.email"]}, "masked and to be left out"),
        ({"omit_fields": ["s.t.id"]}, "is of a primary key"),
    ],
)
def test_what_would_withhold_nothing_is_refused_and_nothing_written(
    log: str, tmp_path: Path, options: dict[str, list[str]], told: str
):
    with pytest.raises(BadOption, match=told):
        archive_postgres(log, tmp_path / "a", **options)  # type: ignore[arg-type]
    assert not (tmp_path / "a").exists()


def test_an_archive_withholds_the_same_every_time_and_proves_no_row_for_prune(log: str, tmp_path: Path):
    archive_postgres(log, tmp_path / "a", omit_fields=["s.t.email"])
    with pytest.raises(BadOption, match=r"withholds fields \(masked: none; left out: s\.t\.email\)"):
        archive_postgres(log, tmp_path / "a")
    with pytest.raises(DropRefused, match=r"withholds fields \(s\.t\.email\)"):
        prune(log, tmp_path / "a", keep="1 month")


@pytest.mark.parametrize("memory", [None, "40 kB"])
def test_what_is_withheld_is_no_finding_and_such_a_log_is_not_held_against_the_tables(
    log: str, tmp_path: Path, memory: str | None
):
    with connect(log, autocommit=True) as db:
        db.execute("CREATE TABLE s.u (id int PRIMARY KEY)")
        track(log, "s.u")
        db.execute("INSERT INTO s.u VALUES (1)")
    whole = read_postgres(log).evidence().findings
    assert "error" not in whole["severity"].to_list()
    archive_postgres(log, tmp_path / "a", mask_fields=["s.t.email", "s.t.total"], omit_fields=["s.t.note"])
    kept = opened(tmp_path / "a", memory=memory)
    with pytest.warns(WithheldFields, match=r"s\.t\.email \(masked\), s\.t\.total \(masked\), s\.t\.note"):
        found = kept.evidence()
    assert_frame_equal(found.findings.filter(pl.col("kind") != "no-op updates"), whole)
    with pytest.raises(IncompleteLog, match=r"withheld .*s\.t\.email \(masked\).*every row would differ"):
        reconcile(kept, log)
    assert reconcile(kept.of("s.u"), log).findings.is_empty()


def test_types_and_fields_whose_names_have_dots_are_withheld(tmp_path: Path):
    steps: list[tuple[Any, ...]] = [
        ("INSERT", "a", {"x": 1}, {"entity_type": "t"}),
        ("INSERT", "b", {"x.y": "secret"}, {"entity_type": "t"}),
        ("INSERT", "c", {"y": "secret", "z": 1}, {"entity_type": "t.x"}),
        ("INSERT", "d", {"a.b": "secret", "b": 1, "": "secret"}, {"entity_type": "u.t"}),
    ]
    log = from_arrow(make_log(steps))
    log.to_archive(tmp_path / "a", mask_fields=["t.x.y", "u.t."], omit_fields=["u.t.a.b"])
    kept = opened(tmp_path / "a").changes().collect()["after_snapshot"].to_list()
    assert kept == ['{"x": 1}', '{"x.y": "***"}', '{"y": "***", "z": 1}', '{"b": 1, "": "***"}']
    for name in ("t", "t.x", "u.t"):
        with pytest.warns(WithheldFields):
            opened(tmp_path / "a").of(name).as_of()
    with pytest.raises(BadOption, match=r"no change has a field 'u\.t\.a'"):
        log.to_archive(tmp_path / "b", omit_fields=["u.t.a"])


def test_only_the_named_type_is_changed():
    rows = pl.DataFrame(
        {"entity_type": ["a.b", "a.c"], "partition": [None, None]}
        | {name: ['{"x": 1}', '{"x": 1}'] for name in DOCUMENTS[:3]},
        schema_overrides={"partition": pl.String},
    )
    assert Masks(omitted=("a.b.x",)).on(rows)["after_snapshot"].to_list() == ["{}", '{"x": 1}']

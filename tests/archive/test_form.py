"""The form of a data file: every recorded row comes back to the byte, and what has columns stands in them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hostile_cases import CASES, REFUSED, document
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

import auditlab as al
from auditlab.archive import segment
from auditlab.archive.decode import recorded_rows, stored_columns
from auditlab.archive.files import digest, settle
from auditlab.archive.form import DOCUMENTS, Form, columns_of, form_of, schema_of
from auditlab.archive.manifest import DATA, MANIFESTS, Manifest, Part, Segment, publish, read_chain
from auditlab.archive.read import scan_archive
from auditlab.archive.shred import Shredder
from auditlab.archive.verify import verify
from auditlab.archive.write import ArchiveWriter, to_archive
from auditlab.load import source
from auditlab.schema import CHANGES, LogFacts
from auditlab.testing import make_log

NOON = datetime(2024, 6, 1, 12, tzinfo=UTC)
UUID = "6f1c2f5e-0d5b-4a63-9c1e-2b8c5f0a7d11"
SHOP = Path(__file__).parent.parent / "data" / "shop" / "log.parquet"

SCALARS = st.sampled_from(
    [
        "null", "true", "false", "0", "-0", "7", "-7", "1.10", "1.1", "-1.10", "1e400", "1E+2", "0.0", "-0.00",
        "9223372036854775807", "9223372036854775808", "123456789012345678901234567890.10", "12345678901234567.89",
        '"null"', '"true"', '""', '"a"', '"a, \\"b\\": 1"', '"\\u0000"', '"\\ud800"', '"\\ud83c\\udf89"', '"\u202e"',
        '"漢字"', '"{\\"a\\": 1}"', '"2024-06-01T12:00:00+00:00"', '"2024-06-01T12:00:00.120000+00:00"', '"}"', '", "',
        '"2024-06-01T12:00:00.12+00:00"', '"2024-06-01T12:00:00Z"', '"0001-01-01T00:00:00+00:00"', f'"{UUID}"',
        f'"{UUID.upper()}"', '"e1"', "1", '"1"', "  7", "[]", "{}", '{"x": 1, "b": 2}', '[1, {"a": "}"}]', '{"a":1}',
        '{"a": {"b": 1}, "c": 2}', "[" * 30 + "]" * 30, '"' + "x" * 300 + '"',
    ]
)  # fmt: skip
KEYS = st.sampled_from(["a", "b", "c", "A", "id", "", "a.b", 'q"', "\\", "größe", "a, ", "#0", "\ud800", "layout"])
TYPICAL = st.sampled_from(["a", "b", "id"])
ODD = st.sampled_from(
    ["", "{", "[]", "7", "null", '{"a": 1, "a": 2}', '{"a":1, "b" : 2}', '{ "a": 1}', '{"a": 1} ', '{"a": 1}}',
     "x" * 40, '{"a": nan}', '{"a": 1,, "b": 2}', "{" * 600, "{}", '{"a": 1, "b": "2"'],
)  # fmt: skip


def written(pairs: list[tuple[str, str]], style: tuple[str, str]) -> str:
    return "{" + style[1].join(f"{json.dumps(key)}{style[0]}{raw}" for key, raw in pairs) + "}"


STYLES = st.sampled_from([(": ", ", "), (":", ","), (": ", ","), (" : ", ", ")])
TEXTS = st.one_of(
    st.builds(written, st.lists(st.tuples(TYPICAL, SCALARS), max_size=3), st.just((": ", ", "))),
    st.builds(written, st.lists(st.tuples(KEYS, SCALARS), max_size=4), STYLES),
    ODD,
)
IDS = st.sampled_from([UUID, UUID.upper(), UUID.replace("1", "2"), "e1", "1", "", "漢", None])


@st.composite
def logs(draw: st.DrawFn) -> pl.DataFrame:
    rows = []
    previous = None
    for number in range(draw(st.integers(1, 12))):
        after = draw(st.none() | TEXTS)
        before = previous if draw(st.booleans()) else draw(st.none() | TEXTS)
        row = {
            "id": number,
            "entity_type": "s.t",
            "entity_id": draw(IDS),
            "operation": draw(st.sampled_from(["INSERT", "UPDATE", "DELETE", "TRUNCATE"])),
            "changed_by": draw(IDS),
            "changed_at": NOON + timedelta(microseconds=draw(st.integers(0, 10**9))),
            "before_snapshot": before,
            "after_snapshot": after,
            "changed_fields": draw(st.none() | TEXTS),
            "metadata": draw(st.none() | TEXTS),
            "transaction_id": draw(st.none() | st.integers(-(2**63), 2**63 - 1)),
            "correlation_id": draw(IDS),
        }
        previous = after
        rows.append(row)
    frame = pl.DataFrame(rows, schema_overrides={name: CHANGES[name] for name in rows[0]})
    return frame.select(
        frame[name].cast(dtype) if name in frame.columns else pl.lit(None, dtype=dtype).alias(name)
        for name, dtype in CHANGES.items()
    )


@settings(max_examples=120, deadline=None)
@given(first=logs(), then=logs())
def test_every_recorded_row_comes_back_to_the_byte(first: pl.DataFrame, then: pl.DataFrame):
    shredder = Shredder(first)
    for rows in (first, then):
        table = shredder.table(rows)
        form = form_of({b"auditlab": shredder.form.render()})
        assert form == shredder.form
        assert_frame_equal(recorded_rows(table, form), rows)
        for name in DOCUMENTS:
            part = table.select(stored_columns(form, [name], table.schema.names))
            assert_frame_equal(recorded_rows(part, form, [name]), rows.select(name))


def test_the_hostile_values_come_back_to_the_byte(tmp_path: Path):
    taken = [document(case) for case in CASES if case["in"] != "time" and case not in REFUSED]
    assert len(taken) > 50
    log = make_log([("INSERT", f"e{number}", {}) for number in range(len(taken))]).with_columns(
        after_snapshot=pl.Series(taken, dtype=pl.String)
    )
    to_archive(source.batches(log), tmp_path / "a", facts=LogFacts())
    assert_frame_equal(scan_archive(tmp_path / "a").changes.collect(), log)


def orders(first: int, rows: int, *, extra: str = "") -> pl.DataFrame:
    """An insert and then updates of each of ten orders, as PostgreSQL's jsonb writes them."""
    told = []
    for number in range(first, first + rows):
        entity = f"00000000-0000-4000-8000-{number % 10:012d}"

        def image(version: int, entity: str = entity) -> str:
            return (
                f'{{"id": "{entity}", "paid": {"true" if version % 2 else "null"}, "total": {version}.50, '
                f'"status": "state {version}", "created_at": "2024-01-01T00:00:00.5+00:00"{extra}}}'
            )

        version = number // 10
        paid = "true" if version % 2 else "null"
        told.append(
            {
                "id": number,
                "entity_type": "shop.orders",
                "entity_id": entity,
                "operation": "UPDATE" if version else "INSERT",
                "changed_at": NOON + timedelta(seconds=number),
                "before_snapshot": image(version - 1) if version else None,
                "after_snapshot": image(version),
                "changed_fields": f'{{"paid": {paid}, "total": {version}.50, "status": "state {version}"}}'
                if version
                else None,
                "transaction_id": number,
            }
        )
    frame = pl.DataFrame(told, schema_overrides={name: CHANGES[name] for name in told[0]})
    missing = {name: dtype for name, dtype in CHANGES.items() if name not in frame.columns}
    return frame.with_columns(pl.lit(None, dtype=dtype).alias(name) for name, dtype in missing.items()).select(*CHANGES)


def test_flat_documents_stand_in_typed_columns_and_no_text_is_kept():
    rows = orders(0, 200)
    shredder = Shredder(rows)
    told = pl.from_arrow(shredder.table(rows))
    assert isinstance(told, pl.DataFrame)
    assert {one.name: one.kind for one in shredder.form.fields} == {
        "id": "entity text",
        "paid": "boolean",
        "total": "decimal(18,2)",
        "status": "text",
        "created_at": "time",
    }
    assert all(told[name].null_count() == 200 for name in (*DOCUMENTS, "entity_id"))
    assert told["after.total"].dtype == pl.Decimal(18, 2)
    assert told["differs"].drop_nulls().unique().to_list() == ['["paid", "total", "status"]']
    assert told["before.created_at"].null_count() == 200, "what did not change is stored once"
    assert told["changed_fields_told"].sum() == 190


@pytest.mark.parametrize("kind", ["one", "other"])
def test_two_documents_in_one_are_not_cut_in_the_wrong_place(kind: str):
    """A key inside of a value is not taken for a field's: the columns hold what the document says."""
    inner = '{"a": {"x": 1, "b": 2}, "b": 3}' if kind == "one" else '{"a": [1, "b", 2], "b": 3}'
    rows = orders(0, 200).with_columns(after_snapshot=pl.lit(inner), changed_fields=pl.lit(None, dtype=pl.String))
    shredder = Shredder(rows)
    told = pl.from_arrow(shredder.table(rows))
    assert isinstance(told, pl.DataFrame)
    assert told["after.b"].unique().to_list() == [3]
    assert_frame_equal(recorded_rows(shredder.table(rows), shredder.form), rows)


def test_names_that_an_engine_would_confuse_get_columns_of_their_own():
    assert columns_of(["total", "Total", "", "a b", "größe", "total_1"]) == ["total", "#1", "#2", "#3", "#4", "total_1"]


def test_the_schema_is_what_the_form_says():
    rows = orders(0, 20)
    shredder = Shredder(rows)
    assert shredder.table(rows).schema == schema_of(shredder.form) == shredder.schema
    assert schema_of(Form(())).names == [name for name in shredder.schema.names if "." not in name]


@pytest.mark.parametrize(
    "text",
    [b"", b"7", b'{"fields": []}', b'{"fields": [{"name": "a", "kind": "sql", "column": "a"}], "layouts": []}',
     b'{"fields": [], "layouts": [{"colon": "", "comma": "", "fields": [0]}]}'],
)  # fmt: skip
def test_what_is_no_form_is_refused(text: bytes):
    with pytest.raises(ValueError, match="is no form of a data file"):
        form_of({b"auditlab": text})
    assert form_of(None) is None


def test_a_field_that_appears_begins_another_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(segment, "ROW_GROUP", 1)
    parts = [orders(0, 60), orders(60, 60, extra=', "channel": "web"'), orders(120, 60, extra=', "channel": "web"')]
    to_archive((batch for part in parts for batch in source.batches(part)), tmp_path / "a", facts=LogFacts())
    scanned = scan_archive(tmp_path / "a")
    names = [set(pq.read_schema(file).names) for file in scanned.files]
    assert sorted("after.channel" in one for one in names) == [False, True]
    assert_frame_equal(scanned.changes.collect().sort("id"), pl.concat(parts))


def test_a_row_group_is_put_together_from_rows_that_became_columns_some_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(segment, "AT_ONCE", 1)
    at_once: list[int] = []
    table = Shredder.table
    monkeypatch.setattr(Shredder, "table", lambda self, rows: at_once.append(len(rows)) or table(self, rows))
    parts = [orders(0, 60), orders(60, 70, extra=', "channel": "web"'), orders(130, 80, extra=', "tags": ["a"]')]
    to_archive((batch for part in parts for batch in source.batches(part)), tmp_path / "a", facts=LogFacts())
    scanned = scan_archive(tmp_path / "a")
    assert at_once == [60, 70, 80]
    assert [pq.read_metadata(file).num_row_groups for file in scanned.files] == [1]
    assert_frame_equal(scanned.changes.collect(), pl.concat(parts))


def test_what_is_asked_for_is_what_is_decoded(tmp_path: Path):
    rows = orders(0, 200)
    to_archive(source.batches(rows), tmp_path / "a", facts=LogFacts())
    changes = scan_archive(tmp_path / "a").changes
    late = pl.col("changed_at") >= NOON + timedelta(seconds=150)
    assert_frame_equal(changes.filter(late).collect(), rows.filter(late))
    assert_frame_equal(changes.select("id", "entity_id").collect(), rows.select("id", "entity_id"))
    paid = pl.col("after_snapshot").str.contains("true")
    assert_frame_equal(changes.filter(late & paid).select("id").collect(), rows.filter(late & paid).select("id"))
    assert_frame_equal(changes.head(7).collect(), rows.head(7))
    assert changes.filter(late).select(pl.len()).collect().item() == 50
    assert changes.select(pl.len()).collect().item() == 200
    assert changes.filter(pl.lit(value=False)).collect().is_empty()


def test_real_logs_come_back_to_the_byte(tmp_path: Path):
    log = al.read_parquet(SHOP)
    log.to_archive(tmp_path / "a")
    recorded = log.changes().select(*CHANGES).sort("id")
    assert_frame_equal(scan_archive(tmp_path / "a").changes.collect().sort("id"), recorded)
    assert verify(tmp_path / "a") == []


def test_duckdb_reads_the_plain_columns(tmp_path: Path):
    """The query of the docs: the state of the orders by time, without auditlab."""
    rows = orders(0, 200)
    to_archive(source.batches(rows), tmp_path / "a", facts=LogFacts())
    query = """
        SELECT lower(hex(entity_uuid)) AS entity, changed_at::text, "after.total" AS total, "after.status" AS status
        FROM read_parquet($1, union_by_name => true) WHERE operation = 'UPDATE' ORDER BY id DESC LIMIT 1
    """
    told = duckdb.connect().execute(query, [[str(file) for file in scan_archive(tmp_path / "a").files]]).fetchone()
    assert told is not None
    assert told[0] == "00000000000040008000000000000009"
    assert (str(told[2]), told[3]) == ("19.50", "state 19")


@pytest.mark.parametrize(("format_", "names"), [(1, list(CHANGES)[:-1]), (2, list(CHANGES))])
def test_an_archive_of_an_earlier_format_is_read(tmp_path: Path, format_: int, names: list[str]):
    """Their files had the recorded columns as they are."""
    rows = orders(0, 50)
    (tmp_path / DATA).mkdir()
    (tmp_path / MANIFESTS).mkdir()
    pq.write_table(
        rows.select(names).to_arrow().cast(pa.schema([source.ARROW_CHANGES.field(n) for n in names])), tmp_path / "x"
    )
    sha256, size = digest(tmp_path / "x")
    settle(tmp_path / "x", f"{DATA}/{sha256}.parquet")
    part = Part(f"{sha256}.parquet", sha256, size, 50, ("shop.orders",), "changes")
    facts = LogFacts()
    publish(
        tmp_path,
        Manifest(
            1,
            None,
            "transaction_id",
            "2024-01-01T00:00:00+00:00",
            facts,
            (Segment(0, 49, 50, (part,)),),
            format=format_,
        ),
    )
    assert verify(tmp_path) == []
    assert_frame_equal(scan_archive(tmp_path).changes.collect(), rows)
    want = al.scan_archive(tmp_path).history(rows["entity_id"][0]).collect()
    assert al.checkpoint(tmp_path).number == 2
    log = al.scan_archive(tmp_path)
    assert_frame_equal(log.history(rows["entity_id"][0]).collect(), want)
    assert log.selected.recorded.unread is not None, "the whole log was not read"


def grown(folder: Path) -> list[Path]:
    """An archive whose type grew over the years, a segment each: fields appear and vanish, a number becomes a text."""
    documents = [
        ['{"id": "a", "total": 1}', '{"id": "b", "total": 2}'],
        ['{"id": "a", "total": 1.50, "status": "new"}', '{"id": "c", "total": 2.50, "status": "new"}'],
        ['{"id": "a", "status": "paid"}', '{"id": "d", "status": "open"}'],
        ['{"id": "a", "status": "paid", "total": "none"}', '{"id": "b", "status": "late", "total": "some"}'],
    ]
    chain: list[tuple[Manifest, str]] = []
    number = 0
    for year, texts in enumerate(documents):
        changes = [
            ("UPDATE" if year and one == 0 else "INSERT", json.loads(text)["id"], {}) for one, text in enumerate(texts)
        ]
        rows = make_log(changes).with_columns(
            id=pl.int_range(number, number + len(texts), dtype=pl.Int64),
            transaction_id=pl.int_range(number, number + len(texts), dtype=pl.Int64),
            after_snapshot=pl.Series(texts, dtype=pl.String),
            before_snapshot=pl.Series([documents[year - 1][0] if year else None, None], dtype=pl.String),
        )
        number += len(texts)
        with ArchiveWriter(folder, chain=chain) as writer:
            for batch in source.batches(rows.select(*CHANGES)):
                writer.write(batch)
            writer.commit(LogFacts())
        chain = read_chain(folder)
    return list(scan_archive(folder).files)


@pytest.mark.parametrize("engine", ["polars", "duckdb"])
def test_fields_that_appear_and_vanish_over_the_years_read_as_one_table(tmp_path: Path, engine: str):
    names = [str(file) for file in grown(tmp_path / "a")]
    assert len(names) == 4
    total = ["1", "2", "1.50", "2.50", None, None, "none", "some"]
    status = [None, None, "new", "new", "paid", "open", "paid", "late"]
    if engine == "polars":
        found = pl.concat([pl.read_parquet(name) for name in names], how="diagonal_relaxed").sort("id")
        assert found["after.total"].to_list() == total
        assert found["after.status"].to_list() == status
    else:
        query = 'SELECT "after.total", "after.status" FROM read_parquet($1, union_by_name => true) ORDER BY id'
        assert duckdb.connect().execute(query, [names]).fetchall() == list(zip(total, status, strict=True))
    states = al.scan_archive(tmp_path / "a").on(engine).history().collect().sort("id")
    assert states["total"].to_list() == ["1", "2", "1.50", "2.50", None, None, '"none"', '"some"']
    assert states["status"].to_list() == status

"""The hostile values of tests/data/hostile.jsonl, through every way in and out: exact, or the error named there."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal
from html import unescape
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hostile_cases import CASES, NAMED, REFUSED, TAKEN, TIMES, Case, document, field_of, fields, frame, kind_of, told

import auditlab as al
from auditlab import errors
from auditlab.cells import plain_text
from auditlab.cli.output import Format, Output
from auditlab.connection import connect
from auditlab.errors import DatabaseError
from auditlab.schema import HISTORY
from auditlab.testing import make_log

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from auditlab.connection import Connection

Log = al.ChangeLog[Any]


def from_arrow(_: Path) -> Log:
    return al.from_arrow(frame())


def read_parquet(folder: Path) -> Log:
    frame().write_parquet(folder / "log.parquet")
    return al.read_parquet(folder / "log.parquet")


def scan_archive(folder: Path) -> Log:
    al.from_arrow(frame()).to_archive(folder / "archive")
    return al.scan_archive(folder / "archive")


WAYS = {"from_arrow": from_arrow, "read_parquet": read_parquet, "archive": scan_archive}


@pytest.fixture(scope="module", params=[(way, engine) for way in WAYS for engine in ("polars", "duckdb")], ids="-".join)
def log(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Log:
    way, engine = request.param
    return WAYS[way](tmp_path_factory.mktemp("hostile")).on(engine)


def rows(answer: pl.DataFrame | pl.LazyFrame) -> pl.DataFrame:
    return answer.collect() if isinstance(answer, pl.LazyFrame) else answer


def test_the_table_has_each_kind_of_case():
    assert len(CASES) == len({case["what"] for case in CASES}) > 120
    assert {case["in"] for case in CASES} == {"value", "key", "document", "time"}


def by_entity(found: pl.DataFrame) -> dict[str, list[dict[str, Any]]]:
    parts: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in found.to_dicts():
        parts[row["entity_id"]].append(row)
    return parts


def test_changes_have_every_snapshot_byte_for_byte(log: Log):
    texts = dict(rows(log.changes()).select("entity_id", "after_snapshot").iter_rows())
    assert {name: texts[name] for name in NAMED} == {name: document(case) for name, case in NAMED.items()}


def test_diffs_and_compare_have_every_value_as_recorded_and_null_is_not_missing(log: Log):
    times = rows(log.changes())["changed_at"]
    net = rows(log.compare(times.min(), times.max(), paths=True))
    for found, names in ((rows(log.diffs()), [*NAMED]), (rows(log.diffs(paths=True)), [*NAMED]), (net, [*NAMED][1:])):
        told_of = by_entity(found)  # the first case was there when the comparison starts
        for name in names:
            case = NAMED[name]
            assert {row["field"]: row["new"] for row in told_of[name]} == fields(case), case["what"]
            if case["in"] == "value":
                (null,) = told_of[f"{name} null"]
                assert (null["field"], null["kind"], null["new"]) == (field_of(case), "added", None)
                assert f"{name} none" not in told_of


def test_states_and_versions_have_every_value_in_its_exact_column(log: Log):
    for entity_type in log.entity_types:
        selected = log.of(entity_type)
        names = [row["field"] for row in log.fields().to_dicts() if row["entity_type"] == entity_type]
        for answer, beside in ((rows(selected.as_of()), 2), (rows(selected.history()), len(HISTORY))):
            assert len(answer.columns) == len(set(map(str.casefold, answer.columns))) == len(names) + beside
            for row in answer.rows():
                entity_id, cells = row[0], dict(zip(names, row[beside:], strict=True))
                shown = {name: plain_text(value) for name, value in cells.items() if value is not None}
                case = NAMED.get(entity_id, {"in": "value"})
                wanted = fields(case) if entity_id in NAMED else {}
                wanted = {name: case.get("cell", text) for name, text in wanted.items() if text is not None}
                assert shown == wanted, case["what"]
                assert not any(isinstance(value, float) for value in cells.values()), case["what"]


def test_records_are_exact_or_say_which_change_is_not(log: Log):
    sound = [name for name, case in NAMED.items() if "records" not in case]
    found = {change.entity_id: change.after_snapshot for change in log.where(pl.col("entity_id").is_in(sound))}
    for name in sound:
        want = json.loads(document(NAMED[name]), strict=False, parse_float=Decimal)
        assert repr(found[name]) == repr(want), NAMED[name]["what"]
    for name in NAMED.keys() - set(sound):
        with pytest.raises(getattr(errors, NAMED[name]["records"]), match=r"change \d+ holds a document"):
            list(log.where(entity_id=name))


def test_what_readers_disagree_about_is_among_the_evidence(log: Log):
    evidence = log.evidence()
    for flag in ("duplicate keys", "lone surrogate", "NUL character"):
        found = set(rows(evidence.rows(flag))["entity_id"])
        assert found == {name for name, case in NAMED.items() if case.get("flag") == flag}
    assert evidence.worst != "error"


@pytest.fixture(scope="module")
def answer() -> pl.DataFrame:
    """The values and names as diffs tell them, one row each, in the order of the cases."""
    found = al.from_arrow(frame()).diffs().filter(pl.col("entity_id").is_in(list(NAMED)))
    return found.select("entity_id", "field", "new").unique("entity_id", keep="first", maintain_order=True)


def written(form: Format, found: pl.DataFrame, folder: Path, **options: bool) -> str:
    Output(form, folder / "answer", **options).write(found)
    return (folder / "answer").read_bytes().decode()


@dataclass
class Line:
    """One row of an answer, and the case that it tells."""

    case: Case
    field: str
    new: str | None


def told_lines(answer: pl.DataFrame) -> list[Line]:
    return [Line(NAMED[entity_id], name, new) for entity_id, name, new in answer.iter_rows()]


def test_csv_for_people_runs_nothing_and_raw_csv_is_exact(answer: pl.DataFrame, tmp_path: Path):
    csv.field_size_limit(10**7)
    for raw in (False, True):
        lines = csv.DictReader(io.StringIO(written(Format.CSV, answer, tmp_path, raw=raw), newline=""))
        for line, cells in zip(told_lines(answer), lines, strict=True):
            want = {"field": line.field, "new": line.new or ""}
            if not raw and "csv" in line.case:
                want["new" if line.case["in"] == "value" else "field"] = line.case["csv"]
            assert {name: cells[name] for name in want} == want, line.case["what"]
    neutral = csv.DictReader(io.StringIO(written(Format.CSV, answer, tmp_path), newline=""))
    numbers = [case["what"] for case in TAKEN if str(told(case))[:1] == "-" and "csv" not in case]
    assert numbers, "negative numbers are no formulas"
    for cells in neutral:
        for cell in (cells["field"], cells["new"]):
            assert cell[:1] not in tuple("=+@\t\r"), cell


def test_json_lines_and_parquet_are_exact(answer: pl.DataFrame, tmp_path: Path):
    text = written(Format.JSONL, answer, tmp_path)
    assert text.replace("\n", "").isprintable()
    found = [json.loads(line) for line in text.splitlines()]
    assert [(row["entity_id"], row["field"], row["new"]) for row in found] == answer.rows()
    Output(Format.PARQUET, tmp_path / "answer.parquet").write(answer)
    assert pl.read_parquet(tmp_path / "answer.parquet").rows() == answer.rows()


def test_a_terminal_shows_everything_and_obeys_nothing(answer: pl.DataFrame, capsys: pytest.CaptureFixture[str]):
    short = answer.filter(pl.col("new").str.len_chars().fill_null(0) < 2_000)
    Output(Format.TABLE, wide=True).write(short)
    out = capsys.readouterr().out
    assert out.replace("\n", "").isprintable()
    for line, shown in zip(told_lines(short), out.splitlines()[2:], strict=False):
        plain = line.new if line.case["in"] != "key" else line.field
        want = line.case.get("shown", "·" if plain is None else plain)
        assert shown.split(None, 1)[0] == next(name for name, case in NAMED.items() if case is line.case)
        assert want in shown, line.case["what"]


class Tags(HTMLParser):
    """The tags and attributes of a text, and what a person would read."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.read: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.read.append(data)


TABLES = {"table", "thead", "tbody", "tr", "th", "td", "div", "style", "small", "h4", "p", "pre", "i", "b"}


def test_a_notebook_shows_values_and_names_and_runs_nothing(answer: pl.DataFrame, tmp_path: Path):
    log = al.from_arrow(frame())
    keys = scan_archive(tmp_path).of("hostile.keys")
    with pl.Config(tbl_rows=-1, tbl_cols=-1, fmt_str_lengths=10_000):
        shown = {
            "log": log._repr_html_(),
            "evidence": log.evidence()._repr_html_(),
            "summary": log.summary(users=len(NAMED))._repr_html_(),
            "diffs": answer._repr_html_(),
            "as_of": log.of("hostile.keys").as_of()._repr_html_(),
            "lazy": keys.as_of()._repr_html_(),
            "lazy history": keys.history()._repr_html_(),
        }
    for name, text in shown.items():
        found = Tags(text)
        assert found.tags <= TABLES, (name, found.tags - TABLES)
        assert found.attributes <= {"border", "class", "style", "scoped"}, (name, found.attributes)
    read = unescape("".join(Tags(shown["diffs"]).read))
    for hostile in ("<script>alert(1)</script>", "</script><script>alert(1)//", "<img src=x onerror=alert(1)>"):
        assert hostile in read


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case["what"])
def test_what_is_no_document_is_refused_by_name_on_every_way(case: Case, tmp_path: Path):
    made = make_log([("INSERT", "a", document(case))])
    made.write_parquet(tmp_path / "log.parquet")
    for load in (lambda: al.from_arrow(made), lambda: al.read_parquet(tmp_path / "log.parquet")):
        with pytest.raises(getattr(errors, case["error"])) as caught:
            load().diffs()
        assert type(caught.value).__name__ == case["error"]
        assert case["words"] in str(caught.value)
    lenient = al.from_arrow(made, strict=False)
    lenient.to_archive(tmp_path / "archive")
    for log in (lenient, al.scan_archive(tmp_path / "archive", strict=False)):
        evidence = log.evidence()
        assert evidence.worst == "error"
        assert [kind for kind in evidence.findings["kind"] if kind.startswith(("malformed", "unreadable"))]


@pytest.mark.parametrize("case", TIMES, ids=lambda case: case["what"])
def test_a_time_is_exact_or_refused_with_its_row(case: Case, tmp_path: Path):
    ticks = pl.Series([case["micros"]], dtype=pl.Int64).cast(pl.Datetime("us", "UTC"))
    made = make_log([("INSERT", "a", '{"x": 1}')]).with_columns(changed_at=ticks)
    made.write_parquet(tmp_path / "log.parquet")
    for load in (lambda: al.from_arrow(made), lambda: al.read_parquet(tmp_path / "log.parquet")):
        if "error" in case:
            with pytest.raises(getattr(errors, case["error"]), match=case["words"]):
                load()
            continue
        log = load()
        log.to_archive(tmp_path / f"archive {id(log)}")
        for each in (log, al.scan_archive(tmp_path / f"archive {id(log)}")):
            assert plain_text(rows(each.diffs())["changed_at"][0]) == case["told"]
            assert plain_text(rows(each.of("t").history())["valid_from"][0]) == case["told"]


TABLE = """
CREATE TABLE log (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, entity_type text NOT NULL,
    entity_id text NOT NULL, operation text NOT NULL DEFAULT 'INSERT', changed_at timestamptz NOT NULL DEFAULT now(),
    before_snapshot jsonb, after_snapshot jsonb, transaction_id bigint)
"""
INSERT = "INSERT INTO log (entity_type, entity_id, after_snapshot) VALUES ($1, $2, $3::text::jsonb)"


@pytest.fixture
def postgres(database: str) -> Iterator[Connection]:
    """A database with an empty log of jsonb images."""
    with connect(database, autocommit=True) as connection:
        connection.execute(TABLE)
        yield connection


def test_postgres_gives_what_it_holds_and_refuses_the_rest_itself(postgres: Connection, database: str):
    for name, case in NAMED.items():
        if case.get("postgres") == "refused":
            with pytest.raises(DatabaseError):
                postgres.rows(INSERT, (kind_of(case), name, document(case)))
        else:
            postgres.rows(INSERT, (kind_of(case), name, document(case)))
    held = postgres.rows("SELECT entity_id, after_snapshot::text AS text FROM log")
    texts = {row["entity_id"]: row["text"] for row in held}
    assert texts.keys() == {name for name, case in NAMED.items() if case.get("postgres") != "refused"}
    log = al.read_postgres(database, table="log", progress=False)
    assert dict(log.changes().select("entity_id", "after_snapshot").iter_rows()) == texts
    found = by_entity(log.diffs())
    for name, text in texts.items():
        case = NAMED[name]
        if case.get("postgres") == "rewritten":
            assert text != document(case), case["what"]
        else:
            assert {row["field"]: row["new"] for row in found[name]} == fields(case), case["what"]


def test_what_postgres_takes_and_we_refuse_is_refused_by_name_on_the_way_from_there(
    postgres: Connection, database: str
):
    taken = [case for case in REFUSED if case.get("postgres") != "refused"]
    assert {case["error"] for case in taken} == {"MalformedChange", "SnapshotTooDeep", "SnapshotTooLarge"}
    for number, case in enumerate(taken, 1):
        postgres.rows(INSERT, ("t", "a", document(case)))
        with pytest.raises(getattr(errors, case["error"])) as caught:
            al.read_postgres(database, table="log", progress=False).diffs()
        assert case["words"].replace("id 1)", f"id {number})") in str(caught.value), case["what"]
        postgres.execute("DELETE FROM log")


def test_times_of_postgres_are_exact_or_refused_with_their_row_and_their_text(postgres: Connection, database: str):
    for number, case in enumerate(TIMES, 1):
        postgres.rows(INSERT, ("t", "a", "{}"))
        postgres.rows("UPDATE log SET changed_at = $1::text::timestamptz", (case["postgres"],))
        if "error" in case:
            words = f"row id {number}: changed_at={case['postgres']} cannot be represented"
            with pytest.raises(getattr(errors, case["error"]), match=re.escape(words)):
                al.read_postgres(database, table="log", progress=False)
        else:
            changes = al.read_postgres(database, table="log", progress=False).changes()
            assert plain_text(changes["changed_at"][0]) == case["told"]
        postgres.execute("DELETE FROM log")

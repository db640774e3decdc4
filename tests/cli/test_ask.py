"""The asking commands answer what the API answers."""

from __future__ import annotations

import json
from decimal import Decimal
from importlib.resources import files
from typing import TYPE_CHECKING

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from small_log import ALICE, BOB, ONE, TWO

import auditlab as al
from auditlab.testing import make_log

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from typer.testing import Result

    Typed = Callable[..., Result]


def lines(result: Result) -> list[dict[str, object]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line, parse_float=str, parse_int=str) for line in result.stdout.splitlines()]


@pytest.fixture(params=["polars", "duckdb"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_as_of_now_at_a_time_after_a_change_and_after_a_transaction(typed: Typed, log_file: Path, engine: str):
    def totals(*words: object) -> dict[object, object]:
        words = ("as-of", log_file, "-t", "orders.orders", "--engine", engine, "-f", "jsonl", *words)
        return {row["entity_id"]: row["total"] for row in lines(typed(*words))}

    assert totals() == {ONE: "-2.50"}
    assert totals("--at", "2024-01-01T00:00:01Z") == {ONE: "1.10", TWO: "7.00"}
    assert totals("--at", "2024-01-01T00:00:03") == {ONE: "12345678901234567.89", TWO: "7.00"}
    assert totals("--at", "2024-01-01T01:00:01", "--zone", "Europe/Berlin") == {ONE: "1.10", TWO: "7.00"}
    assert totals("--id", 4) == {ONE: "12345678901234567.89", TWO: "7.00"}
    assert totals("--at", "2024-01-01T00:00:03", "-e", TWO) == {TWO: "7.00"}


def test_as_of_shows_the_fields_that_are_named_or_none(typed: Typed, log_file: Path, engine: str):
    words = ("as-of", log_file, "-t", "orders.orders", "--engine", engine, "-f", "jsonl")
    assert lines(typed(*words, "--field", "total")) == [{"entity_id": ONE, "certain": True, "total": "-2.50"}]
    assert lines(typed(*words, "--no-fields")) == [{"entity_id": ONE, "certain": True}]
    assert "orders.orders never had 'tota'. It has" in typed(*words, "--field", "tota").stderr
    assert "--field NAME or --no-fields, not both" in typed(*words, "--field", "total", "--no-fields").stderr


def test_a_file_of_debezium_s_events_is_known_by_its_first(typed: Typed, tmp_path: Path):
    source = {"connector": "mysql", "db": "shop", "table": "orders", "ts_ms": 1_709_287_200_000}
    path = tmp_path / "events.jsonl"
    path.write_text(json.dumps({"op": "c", "before": None, "after": {"a": 1, "b": 2.50}, "source": source}) + "\n")
    words = ("as-of", path, "-t", "shop.orders", "-f", "jsonl")
    for key, entity in (("a", "1"), ("a,b", str(al.entity_uuid("shop.orders", {"a": 1, "b": 2.5})))):
        assert lines(typed(*words, "--column", f"entity_id={key}")) == [
            {"entity_id": entity, "certain": True, "a": "1", "b": "2.5"}
        ]
    assert "does not tell the key of shop.orders" in typed(*words).stderr
    assert "or name its column: --column entity_id=id" in typed(*words).stderr
    assert "it takes the key alone" in typed(*words, "--column", "changed_by=a").stderr


def test_rows_that_are_no_changes_are_set_aside_where_that_is_asked_for_and_counted(typed: Typed, tmp_path: Path):
    rows = [
        {
            "id": n,
            "entity_type": "t",
            "entity_id": "a",
            "operation": operation,
            "changed_at": f"2024-01-0{n}",
            "after": after,
        }
        for n, operation, after in ((1, "INSERT", '{"n": 1}'), (2, "UPDATE", '{"n": 2'), (3, "UPDATE", '{"n": 3}'))
    ]
    path = tmp_path / "log.csv"
    pl.DataFrame(rows).write_csv(path)
    columns = ("after_snapshot=after", "before_snapshot=", "changed_by=", "transaction_id=")
    read = (path, *(word for column in columns for word in ("--column", column)))
    words = (*read, "-t", "t", "-f", "jsonl")
    refused = typed("as-of", *words)
    assert refused.exit_code == 2
    assert "come from, answer without them (--set-aside), or ask about other entity types (--type)" in refused.stderr
    told = "auditlab: set aside, and not answered from: after_snapshot is no JSON object (1)."
    for command, expected in (
        ("as-of", [{"entity_id": "a", "certain": True, "n": "3"}]),
        ("as-of --at 2024-01-02T12:00", [{"entity_id": "a", "certain": False, "n": "1"}]),
    ):
        done = typed(*command.split(), *words, "--set-aside")
        assert lines(done) == expected
        assert told in done.stderr
    assert typed("why-not", *read, "-t", "t", "-e", "a", "--set-aside").stdout.startswith("t a is there now")
    assert "malformed" in typed("evidence", *read).stdout


def test_an_id_that_reads_as_a_json_object_is_named_by_its_text(typed: Typed, tmp_path: Path, engine: str):
    one, two = '{"a": 1, "b": "x"}', "{a"
    steps = [("INSERT", one, {"n": 1}), ("INSERT", two, {"n": 2}), ("INSERT", "i", {"of": one}, {"entity_type": "i"})]
    al.from_arrow(make_log(steps)).to_archive(tmp_path / "kept")
    words = (tmp_path / "kept", "-t", "t", "--engine", engine, "-f", "jsonl")
    assert [lines(typed("as-of", *words, "-e", key))[0]["n"] for key in (one, two)] == ["1", "2"]
    assert [row["entity_id"] for row in lines(typed("aggregate", *words, "-e", one, "--items", "i:of"))] == [one]
    assert "is there" in typed("why-not", *words[:3], "-e", one).stdout
    assert "cannot read the key '{b'" in typed("as-of", *words, "-e", "{b").stderr
    assert "no entity {'a': 2} among 't'" in typed("as-of", *words, "-e", '{"a": 2}').stderr


def test_changes_of_other_types_tell_where_a_transaction_ends(typed: Typed, tmp_path: Path, engine: str):
    told = [("a", 7), ("b", 8), ("a", 9), ("a", 8), ("b", 10)]
    steps = [
        ("INSERT", f"e{number}", {"n": number}, {"entity_type": name, "transaction_id": transaction})
        for number, (name, transaction) in enumerate(told)
    ]
    log = al.from_arrow(make_log(steps))
    log.to_archive(tmp_path / "kept")
    for name in ("a", "b"):
        for transaction in (7, 8, 9, 10):
            words = ("-t", name, "--transaction", transaction, "--engine", engine, "-o", tmp_path / "out.parquet")
            assert typed("as-of", tmp_path / "kept", *words).exit_code == 0
            assert_frame_equal(pl.read_parquet(tmp_path / "out.parquet"), log.of(name).as_of(transaction=transaction))
    assert log.of("a").as_of(transaction=8)["entity_id"].to_list() == ["e0", "e2", "e3"]
    assert log.of("b").as_of(transaction=9)["entity_id"].to_list() == ["e1"]


def test_a_field_under_the_name_that_it_was_renamed_to(typed: Typed, log_file: Path, engine: str):
    words = (log_file, "-t", "orders.orders", "-e", ONE, "--engine", engine, "-f", "jsonl")
    renamed = ("--rename", "status=state", "--rename", "total=state=ments")
    rows = lines(typed("history", *words, *renamed))
    assert [row["state"] for row in rows] == ["draft", "paid", "=1+1"]
    assert lines(typed("blame", *words, *renamed, "--field", "state=ments"))[0]["value"] == "-2.50"
    assert "--rename needs one --type" in typed("as-of", log_file, *renamed).stderr
    for wrong in ("status", "=state", "status="):
        assert (
            f"--rename takes OLD=NEW, e.g. --rename name=title; got '{wrong}'"
            in typed("as-of", *words[:3], "--rename", wrong).stderr
        )
    assert "names 'status' twice" in typed("as-of", *words[:3], "--rename", "status=a", "--rename", "status=b").stderr
    assert "had no field 'sta'" in typed("as-of", *words[:3], "--rename", "sta=state").stderr
    assert typed("evidence", *words[:3], *renamed).exit_code == 2


def test_history_of_one_order(typed: Typed, log_file: Path, engine: str):
    rows = lines(typed("history", log_file, "-t", "orders.orders", "-e", ONE, "--engine", engine, "-f", "jsonl"))
    assert [(row["version"], row["status"], row["changed_by"]) for row in rows] == [
        ("1", "draft", ALICE),
        ("2", "paid", BOB),
        ("3", "=1+1", BOB),
    ]


def test_diffs_by_user_window_and_field(typed: Typed, log_file: Path, engine: str):
    words = (
        "diffs",
        log_file,
        "-t",
        "orders.orders",
        "--engine",
        engine,
        "-f",
        "jsonl",
        "--by",
        BOB,
        "--field",
        "total",
    )
    assert [(row["old"], row["new"], row["kind"]) for row in lines(typed(*words))] == [
        ("1.10", "12345678901234567.89", "modified"),
        ("7.00", None, "removed"),
        ("12345678901234567.89", "-2.50", "modified"),
    ]
    within = lines(typed(*words, "--from", "2024-01-01T00:00:04", "--to", "2024-01-01T00:00:05"))
    assert [row["entity_id"] for row in within] == [TWO]


def test_compare_net_and_steps(typed: Typed, log_file: Path, engine: str):
    words = ("compare", log_file, "-t", "orders.orders", "--engine", engine, "-f", "jsonl", "--field", "total")
    words += ("--from", "2024-01-01T00:00:02", "--to", "2024-01-01T00:00:05")
    net = {(row["entity_id"], row["kind"], row["old"], row["new"]) for row in lines(typed(*words))}
    assert net == {(ONE, "modified", "1.10", "-2.50"), (TWO, "removed", "7.00", None)}
    assert len(lines(typed(*words, "--steps"))) == 3


def test_blame_names_who_set_each_field(typed: Typed, log_file: Path, engine: str):
    words = ("blame", log_file, "-t", "orders.orders", "--engine", engine, "-f", "jsonl")
    now = {(row["entity_id"], row["field"]): (row["set_by"], row["old"]) for row in lines(typed(*words))}
    assert now[ONE, "total"] == (BOB, "12345678901234567.89")
    (then,) = lines(typed(*words, "--field", "total", "-e", ONE, "--at", "2024-01-01T00:00:01Z"))
    assert (then["set_by"], then["old"], then["old_present"]) == (ALICE, None, False)


@pytest.mark.parametrize("verb", ["as-of", "blame"])
def test_an_entity_that_is_absent_is_followed_by_who_tells_why(typed: Typed, log_file: Path, verb: str):
    asked = (verb, log_file, "-t", "orders.orders", "-f", "jsonl", "-e")
    assert "why-not" not in typed(*asked, ONE).stderr
    gone = typed(*asked, TWO)
    assert (gone.exit_code, gone.stdout) == (0, "")
    assert "no row of this entity. auditlab why-not" in gone.stderr


def test_timeline_is_in_order(typed: Typed, log_file: Path):
    times = [
        row["changed_at"] for row in lines(typed("timeline", log_file, "-e", ONE, "-t", "orders.orders", "-f", "jsonl"))
    ]
    assert times == sorted(times, key=str)


def test_what_is_written_is_what_the_api_answers(typed: Typed, log_file: Path, tmp_path: Path):
    target = tmp_path / "versions.parquet"
    assert typed("history", log_file, "-t", "orders.orders", "-f", "parquet", "-o", target).exit_code == 0
    assert_frame_equal(pl.read_parquet(target), al.read_parquet(log_file).of("orders.orders").history())


def test_an_archive_is_a_source_too(typed: Typed, log_file: Path, tmp_path: Path):
    assert "6 changes of 2 entity types in " in typed("archive", log_file, tmp_path / "kept").stdout
    make_log([("INSERT", "a", {"x": 1})]).write_parquet(tmp_path / "one.parquet")
    assert (
        "1 change of 1 entity type in 1 file, " in typed("archive", tmp_path / "one.parquet", tmp_path / "one").stdout
    )
    assert "(1 data file, 1 row, " in typed("verify", tmp_path / "one").stdout
    for verb in ("as-of", "history", "diffs"):
        words = ("-t", "orders.orders", "-f", "jsonl")
        assert lines(typed(verb, tmp_path / "kept", *words)) == lines(typed(verb, log_file, *words))


def test_summary_prints_each_part(typed: Typed, log_file: Path):
    printed = typed("summary", log_file)
    assert printed.exit_code == 0
    for title in ("Totals", "By operation", "By entity type", "By user", "By period", "Most recent"):
        assert title in printed.stdout
    by_user = lines(typed("summary", log_file, "--part", "by_user", "-f", "jsonl"))
    assert [(row["changed_by"], row["changes"]) for row in by_user] == [(ALICE, "3"), (BOB, "3")]


def test_summary_says_how_many_rows_it_does_not_count(typed: Typed, tmp_path: Path):
    make_log([("SNAPSHOT", "a", {"x": 1}), ("UPDATE", "a", {"x": 2})]).write_parquet(tmp_path / "log.parquet")
    for words in ((), ("--part", "totals", "-f", "jsonl")):
        done = typed("summary", tmp_path / "log.parquet", *words)
        assert done.stderr == "not counted: 1 SNAPSHOT row, states that were read, not changes\n"


@pytest.mark.parametrize("verb", ["as-of", "history", "diffs", "compare", "blame", "timeline", "summary"])
def test_sql_shows_the_query_that_answers(typed: Typed, log_file: Path, verb: str):
    moments = ("--from", "2024-01-01", "--to", "2024-01-02") if verb == "compare" else ()
    printed = typed(verb, log_file, "--sql", *moments)
    assert printed.exit_code == 0, printed.output
    assert printed.stdout.startswith("--")
    assert "SELECT" in printed.stdout


def test_a_log_with_other_names_is_read_by_a_mapping(typed: Typed, log_file: Path, tmp_path: Path):
    theirs = tmp_path / "theirs.parquet"
    pl.read_parquet(log_file).rename({"changed_by": "actor"}).write_parquet(theirs)
    rows = lines(typed("diffs", theirs, "--column", "changed_by=actor", "--by", ALICE, "-f", "jsonl"))
    assert {row["changed_by"] for row in rows} == {ALICE}


def test_a_key_of_several_columns_is_given_as_json(typed: Typed):
    sample = files("auditlab.demo") / "sample.parquet"
    words = ("-t", "orders.order_items", "-f", "jsonl")
    line = lines(typed("as-of", sample, *words))[0]
    key = json.dumps({"order_id": line["order_id"], "line": int(str(line["line"]))})
    versions = lines(typed("history", sample, *words, "-e", key))
    assert {version["entity_id"] for version in versions} == {line["entity_id"]}


def test_diffs_and_compare_by_path_without_what_is_ignored_or_near(typed: Typed, tmp_path: Path, engine: str):
    log_file = tmp_path / "docs.parquet"
    old = {"doc": {"lines": [{"id": 1, "n": 1}], "at": 1}, "total": Decimal("1.00"), "rate": Decimal("1.00")}
    new = {"doc": {"lines": [{"id": 0}, {"id": 1, "n": 2}], "at": 2}, "total": Decimal("1.01"), "rate": Decimal("1.01")}
    make_log([("INSERT", "a", old), ("UPDATE", "a", new)]).write_parquet(log_file)
    shown = ("--engine", engine, "-f", "jsonl", "--paths", "--ignore", "doc/at", "--list-key", "doc/lines=id")
    near = ("--tolerance", "0.001", "--tolerance", "total=0.01")
    want = [("doc", "/lines/0", None, '{"id": 0}'), ("doc", "/lines/1/n", "1", "2"), ("rate", "", "1.00", "1.01")]
    changed = [row for row in lines(typed("diffs", log_file, *shown, *near)) if row["id"] == "2"]
    assert [(row["field"], row["path"], row["old"], row["new"]) for row in changed] == want
    window = ("--from", "2024-01-01", "--to", "2024-01-01T00:00:01")
    for steps in ((), ("--steps",)):
        found = lines(typed("compare", log_file, *shown, *near, *window, *steps))
        assert [(row["field"], row["path"], row["old"], row["new"]) for row in found] == want
    for words, message in (
        (("--ignore", "rat"), "no field 'rat', which ignore= names"),
        (("--tolerance", "much"), "--tolerance takes a number"),
        (("--list-key", "doc"), "--list-key takes FIELD=KEY"),
    ):
        failed = typed("diffs", log_file, *words)
        assert (failed.exit_code, message in failed.stderr) == (2, True), failed.output

"""pit-join, aggregate and why-not on the command line answer what the API answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from small_log import ONE, TWO

import auditlab as al
from auditlab.testing import make_log

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from typer.testing import Result

    Typed = Callable[..., Result]

PAY = [
    ("INSERT", "7", {"pay": 100, "since": "2023-06-01"}),
    ("UPDATE", "7", {"pay": 120, "since": "2024-06-01"}),
    ("UPDATE", "7", {"pay": 110, "since": "2023-06-01"}),
]


@pytest.fixture
def spine(tmp_path: Path) -> Path:
    path = tmp_path / "spine.csv"
    path.write_text(f"order,paid_at,n\n{ONE},2024-01-01T00:00:03,07\n{TWO},2024-01-01T00:00:04,08\n,2024-01-01,09\n")
    return path


def test_a_table_shows_children_exactly(typed: Typed, log_file: Path):
    done = typed("aggregate", log_file, "-t", "orders.orders", "--items", "orders.order_items:order_id")
    quantity = f'"order_id": "{ONE}", "quantity": {2**63 + 1}}}]'
    assert f'[{{"entity_id": "1", "certain": true, "id": 1, {quantity}' in done.stdout


def test_why_not_outside_of_the_log_names_the_commands_options(typed: Typed, log_file: Path):
    done = typed("why-not", log_file, "-t", "orders.orders", "-e", ONE, "--at", "1990-01-01")
    assert "read it with --coverage START END" in done.stdout


@pytest.mark.parametrize("engine", ["polars", "duckdb"])
def test_pit_join_of_a_csv_file(typed: Typed, log_file: Path, spine: Path, tmp_path: Path, engine: str):
    target = tmp_path / "joined.parquet"
    words = ("pit-join", log_file, spine, "-t", "orders.orders", "--entity", "order", "--at", "paid_at", "-o", target)
    done = typed(*words, "--engine", engine)
    assert done.exit_code == 0, done.output
    shown = pl.read_parquet(target)
    asked = pl.read_csv(spine, infer_schema=False)
    log = al.read_parquet(log_file).of("orders.orders")
    assert_frame_equal(shown, log.pit_join(asked, entity="order", at="paid_at"))
    assert shown.select("n", "presence", "status").rows() == [
        ("07", "live", "paid"),
        ("08", "deleted", None),
        ("09", "no entity", None),
    ]


def test_pit_join_by_two_clocks_and_of_some_fields(typed: Typed, tmp_path: Path):
    make_log(PAY, entity_type="pay").write_parquet(tmp_path / "log.parquet")
    rows = [("7", "2024-07-01", f"2024-01-01T00:00:0{second}") for second in range(3)]
    rows += [("7", "2024-01-01", "2024-01-01T00:00:02")]
    pl.DataFrame(rows, schema=["who", "day", "then"], orient="row").write_parquet(tmp_path / "spine.parquet")
    words = ("pit-join", tmp_path / "log.parquet", tmp_path / "spine.parquet", "-t", "pay", "-f", "jsonl")
    done = typed(*words, "--entity", "who", "--at", "day", "--known", "then", "--valid", "since", "--field", "pay")
    assert done.exit_code == 0, done.output
    shown = [json.loads(line) for line in done.stdout.splitlines()]
    assert list(shown[0]) == ["who", "day", "then", "presence", "certain", "pay"]
    assert [row["pay"] for row in shown] == [100, 120, 120, 110]


def test_the_zone_is_that_of_the_spines_times_too_also_with_an_archive(typed: Typed, log_file: Path, tmp_path: Path):
    spine = tmp_path / "spine.csv"
    spine.write_text(f"entity_id,at\n{ONE},2024-01-01T01:00:03\n")
    assert typed("archive", log_file, tmp_path / "kept").exit_code == 0
    for source in (log_file, tmp_path / "kept"):
        done = typed("pit-join", source, spine, "-t", "orders.orders", "--zone", "Europe/Berlin", "-f", "jsonl")
        (row,) = (json.loads(line) for line in done.stdout.splitlines())
        assert (row["at"], row["status"]) == ("2024-01-01T01:00:03", "paid")
        assert list(row)[:3] == ["entity_id", "at", "presence"]


def test_times_outside_are_an_error_or_a_mark(typed: Typed, log_file: Path, tmp_path: Path):
    spine = tmp_path / "spine.csv"
    spine.write_text(f"entity_id,at\n{ONE},2023-01-01\n")
    words = ("pit-join", log_file, spine, "-t", "orders.orders")
    assert "1 of 1 rows have times" in typed(*words).stderr
    marked = typed(*words, "--outside", "flag", "-f", "jsonl")
    assert json.loads(marked.stdout)["presence"] == "outside"


def test_what_is_no_spine_is_said(typed: Typed, log_file: Path, spine: Path, tmp_path: Path):
    def fault(*words: object) -> str:
        done = typed("pit-join", log_file, *words)
        assert done.exit_code == 2
        return done.stderr

    text = tmp_path / "spine.txt"
    text.write_text("entity_id,at\n")
    one = ("-t", "orders.orders")
    assert "cannot tell what" in fault(text, *one)
    assert "cannot read the spine" in fault(tmp_path / "gone.csv", *one)
    assert "no column 'entity_id', 'at'" in fault(spine, *one)
    assert "takes one --type" in fault(spine)
    assert "is the spine itself" in fault(spine, *one, "-o", spine)
    assert "by two clocks takes both" in fault(spine, *one, "--entity", "order", "--at", "n", "--known", "paid_at")
    assert spine.read_text(encoding="utf-8").startswith("order,")


@pytest.fixture
def family(tmp_path: Path) -> Path:
    kinds = {name: {"entity_type": f"orders.{name}"} for name in ("orders", "order_items", "returns")}
    steps = [
        ("INSERT", "1", {"id": 1, "tenant": "a", "no": 5}, kinds["orders"]),
        ("INSERT", "2", {"id": 2, "tenant": "b", "no": 5}, kinds["orders"]),
        ("INSERT", "3", {"id": 3, "line": 1, "tenant": "a", "order_no": "5", "order_id": 1}, kinds["order_items"]),
        ("INSERT", "4", {"item": 1, "item_id": 3}, kinds["returns"]),
        ("UPDATE", "3", {"id": 3, "line": 1, "tenant": "a", "order_no": "5", "order_id": 2}, kinds["order_items"]),
    ]
    make_log(steps).write_parquet(tmp_path / "family.parquet")
    return tmp_path / "family.parquet"


@pytest.mark.parametrize("engine", ["polars", "duckdb"])
def test_aggregate_of_two_levels(typed: Typed, family: Path, engine: str):
    words = ("aggregate", family, "-t", "orders.orders", "--engine", engine, "-f", "jsonl")
    items = ("--items", "items=orders.order_items:order_id", "--items", "items.returns=orders.returns:item_id")

    def shown(*more: object) -> dict[str, list[tuple[str, list[str]]]]:
        done = typed(*words, *items, *more)
        assert done.exit_code == 0, done.output
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        return {
            row["entity_id"]: [
                (item["entity_id"], [one["entity_id"] for one in item["returns"]]) for item in row["items"]
            ]
            for row in rows
        }

    assert shown() == {"1": [], "2": [("3", ["4"])]}
    assert shown("--at", "2024-01-01T00:00:03") == {"1": [("3", ["4"])], "2": []}
    assert shown("-e", 2) == {"2": [("3", ["4"])]}


def test_aggregate_by_keys_of_several_fields_and_of_a_level(typed: Typed, family: Path):
    words = ("aggregate", family, "-t", "orders.orders", "-f", "jsonl", "--key", "tenant,no")
    words += ("--items", "orders.order_items:tenant,order_no", "--items", "order_items.back=orders.returns:item")
    done = typed(*words, "--key", "order_items=line")
    assert done.exit_code == 0, done.output
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [[[one["entity_id"] for one in item["back"]] for item in row["order_items"]] for row in rows] == [
        [["4"]],
        [],
    ]


def test_items_that_cannot_be_read_are_said(typed: Typed, family: Path):
    def fault(*words: object) -> str:
        done = typed("aggregate", family, "-t", "orders.orders", *words)
        assert done.exit_code == 2, done.output
        return done.stderr

    for text in ("orders.order_items", ":order_id", "=orders.order_items:order_id", "a.=t:x", "t:x,"):
        assert "--items takes [NAME=]TYPE:FIELD" in fault("--items", text)
    assert "'a.b' comes before its parents 'a'" in fault("--items", "a.b=t:x")
    assert "'b' is there twice" in fault("--items", "a.b:x", "--items", "c.b:x")
    assert "--key takes FIELD, or NAME=FIELD with a NAME of --items (b)" in fault("--items", "a.b:x", "--key", "c=d")
    assert "no entity type 'gone'" in fault("--items", "gone:x")
    assert "takes one --type" in typed("aggregate", family, "--items", "orders.order_items:order_id").stderr


def test_why_not_says_it_in_words(typed: Typed, log_file: Path):
    words = ("why-not", log_file, "-t", "orders.orders", "-e")
    gone = typed(*words, TWO)
    assert gone.exit_code == 0
    assert gone.stdout.startswith(f"orders.orders {TWO} is absent now: it was deleted, at 2024-01-01 00:00:04 UTC")
    assert "was there at 2024-01-01 00:00:01 UTC" in typed(*words, TWO, "--at", "2024-01-01T00:00:01").stdout
    assert "no entity 'nobody' was ever seen" in typed(*words, "nobody").stdout
    assert "cannot be told" in typed(*words, TWO, "--at", "2023-01-01").stdout
    assert "'orders.order_items'" in typed(*words, "1").stdout


@pytest.mark.parametrize("words", [("pit-join", "spine.csv"), ("aggregate", "--items", "t:x")])
def test_sql_shows_the_queries(typed: Typed, log_file: Path, words: tuple[str, ...]):
    done = typed(words[0], log_file, *words[1:], "-t", "orders.orders", "--sql")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("-- ")
    assert "SELECT" in done.stdout

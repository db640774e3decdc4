"""Words of other logs for operations: the well-known ones, and those that are declared."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from auditlab.errors import BadOption, MalformedChange
from auditlab.load.arrow import from_arrow
from auditlab.load.text import read_csv

if TYPE_CHECKING:
    from pathlib import Path


def a_log(operations: list[object] | pa.Array) -> pa.Table:
    rows = len(operations)
    return pa.table(
        {
            "id": pa.array(range(1, rows + 1), pa.int64()),
            "entity_type": ["a.b"] * rows,
            "entity_id": [str(row) for row in range(rows)],
            "operation": operations,
            "changed_at": pa.array([0] * rows, pa.timestamp("us", "UTC")),
            "before_snapshot": pa.nulls(rows, pa.string()),
            "after_snapshot": pa.nulls(rows, pa.string()),
        }
    )


def read(operations: list[object] | pa.Array, declared: dict[str, str] | None = None) -> list[str]:
    return from_arrow(a_log(operations), operations=declared).changes["operation"].to_list()


@pytest.mark.parametrize(
    ("words", "meaning"),
    [
        pytest.param(["create", "update", "destroy"], ["INSERT", "UPDATE", "DELETE"], id="paper_trail"),
        pytest.param(["created", "updated", "deleted"], ["INSERT", "UPDATE", "DELETE"], id="Laravel"),
        pytest.param(["INSERT", "MODIFY", "REMOVE"], ["INSERT", "UPDATE", "DELETE"], id="DynamoDB"),
        pytest.param(["insert", "replace", "update", "delete"], ["INSERT", "UPDATE", "UPDATE", "DELETE"], id="MongoDB"),
        pytest.param(["+", "~", "-"], ["INSERT", "UPDATE", "DELETE"], id="django-simple-history"),
        pytest.param(["I", "U", "D"], ["INSERT", "UPDATE", "DELETE"], id="logged_actions"),
        pytest.param(["Added", "Modified", "Deleted"], ["INSERT", "UPDATE", "DELETE"], id="Entity Framework"),
        pytest.param(["inserted", "changed", "removed", "destroyed"], ["INSERT", "UPDATE", "DELETE", "DELETE"], id="."),
    ],
)
def test_well_known_words_are_read(words: list[object], meaning: list[str]):
    assert read(words) == meaning


@pytest.mark.parametrize("type_", [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.string()], ids=str)
def test_declared_words_are_texts_or_whole_numbers(type_: pa.DataType):
    codes = pa.array([0, 1, 2]).cast(type_)
    assert read(codes, {"0": "INSERT", "1": "UPDATE", "2": "delete"}) == ["INSERT", "UPDATE", "DELETE"]
    assert read(codes, {0: "INSERT", 1: "UPDATE", 2: "DELETE"}) == ["INSERT", "UPDATE", "DELETE"]


def test_a_declared_word_is_found_in_any_case_and_wins_over_a_well_known_one():
    assert read([" Restored ", "R", "c"], {"restored": "UPDATE", "r": "DELETE"}) == ["UPDATE", "DELETE", "INSERT"]


def test_a_csv_takes_declared_words(tmp_path: Path):
    path = tmp_path / "log.csv"
    path.write_text(
        "id,entity_type,entity_id,operation,changed_at,before_snapshot,after_snapshot\n"
        '1,a.b,x,0,2024-06-01 12:00Z,,"{}"\n'
    )
    assert read_csv(path, operations={"0": "INSERT"}).changes["operation"].to_list() == ["INSERT"]


def test_unknown_words_are_all_named_with_the_option_to_write():
    with pytest.raises(MalformedChange) as caught:
        read(["upsert", "c", "upsert", "o'clock"])
    told = str(caught.value)
    assert "operation 'upsert' in 2 rows (row id 1, 3): want one of INSERT, UPDATE" in told
    assert 'operation "o\'clock" in 1 rows (row id 4)' in told
    assert told.endswith("""Say what they mean here: operations={'upsert': ..., "o'clock": ...}""")
    with pytest.raises(MalformedChange, match=r"operations=\{'2': \.\.\.\}"):
        read(pa.array([0, 2]), {"0": "INSERT"})


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        (
            {"x": "MERGE", "y": "INSERT"},
            "operations= says 'MERGE', which is no operation. Each word means one of INSERT",
        ),
        ({"x": "INSERT", " X": "UPDATE"}, "gives the word ' X' two meanings"),
        (["x"], r"operations=\['x'\] gives no word a meaning. Give e.g. operations=\{'destroy': 'DELETE'\}"),
        ({"x": 5}, "operations= says '5'"),
        ({" ": "INSERT"}, "gives the word ' ' a meaning"),
    ],
)
def test_declarations_that_make_no_sense_are_refused(declared: dict[str, str], words: str):
    with pytest.raises(BadOption, match=words):
        read(["x"], declared)


def test_a_column_of_anything_else_is_no_operation():
    with pytest.raises(ValueError, match="operation: is double, want text"):
        read(pa.array([1.0]), {"1": "INSERT"})

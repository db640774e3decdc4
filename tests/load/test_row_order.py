"""Rows that are numbered as they stand are refused where those of one entity run backwards in time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import auditlab as al
from auditlab.errors import BadOption
from auditlab.load import text

if TYPE_CHECKING:
    from pathlib import Path

START = datetime(2024, 1, 1, tzinfo=UTC)
NAMES = dict.fromkeys(("id", "changed_by", "transaction_id"))
Row = tuple[str, str | None, str, int]
"""Type, entity, operation and second."""


def flat(*rows: Row) -> pl.DataFrame:
    names = ("entity_type", "entity_id", "operation", "second")
    read = pl.DataFrame(
        rows, schema=dict(zip(names, (pl.String, pl.String, pl.String, pl.Int64), strict=True)), orient="row"
    )
    second = pl.lit(START) + pl.duration(seconds="second")
    return read.with_columns(second.dt.cast_time_unit("us").alias("changed_at"), v=pl.lit("x")).drop("second")


def load(rows: pl.DataFrame, **options: Any) -> al.ChangeLog:  # noqa: ANN401
    return al.from_arrow(rows, columns=NAMES, fields=["v"], **options)


NEWEST_FIRST: list[Row] = [("o", "1", "DELETE", 3), ("o", "1", "UPDATE", 2), ("o", "1", "INSERT", 1)]


@pytest.mark.parametrize("kind", ["frame", "parquet", "csv", "jsonl"])
def test_rows_that_stand_newest_first_are_refused_by_every_loader(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("auditlab.load.arrow._PIECE", 1)  # batches of one row
    monkeypatch.setattr(text, "_BLOCK", 1)
    monkeypatch.setattr(text, "_PARSED", 60)
    path = tmp_path / f"log.{kind}"
    write = {"parquet": pl.DataFrame.write_parquet, "csv": pl.DataFrame.write_csv, "jsonl": pl.DataFrame.write_ndjson}
    read = {"parquet": al.read_parquet, "csv": al.read_csv, "jsonl": al.read_jsonl}

    def loaded(rows: pl.DataFrame) -> al.ChangeLog:
        if kind == "frame":
            return load(rows, source=str(path))
        write[kind](rows, path)  # type: ignore[operator]
        return read[kind](path, columns=NAMES, fields=["v"])

    words = (
        rf"numbers the rows of {path} in the order in which they stand, and that is not the order of what happened: "
        rf"row 2 \(UPDATE of o '1'\) has changed_at={START + timedelta(seconds=2)}, and row 1, which stands before it, "
        rf"has {START + timedelta(seconds=3)}; 2 rows stand behind a later one of their entity. Sort the rows by time"
    ).replace("+", r"\+")
    with pytest.raises(BadOption, match=words):
        loaded(flat(*NEWEST_FIRST))
    log = loaded(flat(*NEWEST_FIRST[::-1]))
    assert log.as_of().is_empty()
    assert log.changes()["id"].to_list() == [1, 2, 3]
    assert loaded(flat(*NEWEST_FIRST).with_columns(changed_at=pl.lit(START))).changes()["id"].to_list() == [1, 2, 3]


def test_files_that_are_given_newest_first_are_refused(tmp_path: Path):
    for number, row in enumerate(NEWEST_FIRST):
        flat(row).write_csv(tmp_path / f"{number}.csv")
    paths = [tmp_path / f"{number}.csv" for number in range(3)]
    with pytest.raises(BadOption, match=r"and 2 more in the order .* row 2 .* and row 1"):
        al.read_csv(paths, columns=NAMES, fields=["v"])
    assert al.read_csv(paths[::-1], columns=NAMES, fields=["v"]).as_of().is_empty()


def test_rows_of_different_entities_may_stand_in_another_order_than_their_times():
    rows = [("o", "1", "INSERT", 5), ("o", "2", "INSERT", 3), ("p", "1", "INSERT", 2), ("o", "2", "UPDATE", 4)]
    assert load(flat(*rows)).as_of().select("entity_type", "entity_id").rows() == [("o", "1"), ("o", "2"), ("p", "1")]


def test_a_truncate_is_of_every_entity():
    with pytest.raises(BadOption, match=r"row 2 \(TRUNCATE of all o\) has changed_at=.*:01\+.* row 1, .*:02\+"):
        load(flat(("o", "1", "INSERT", 2), ("o", None, "TRUNCATE", 1)))
    with pytest.raises(BadOption, match=r"row 3 \(INSERT of o '1'\) has .*:02\+.* and row 2, .*:03\+"):
        load(flat(("o", "1", "INSERT", 1), ("o", None, "TRUNCATE", 3), ("o", "1", "INSERT", 2)))
    load(flat(("o", "1", "INSERT", 2), ("p", None, "TRUNCATE", 1), ("o", None, "TRUNCATE", 2)))


def test_ids_of_the_log_s_own_may_tell_another_order_than_the_times():
    rows = (
        flat(*NEWEST_FIRST[::-1])
        .with_row_index("n", offset=1)
        .with_columns(changed_at=pl.lit(START) - pl.duration(seconds="n"))
    )
    log = al.from_arrow(rows, columns=NAMES | {"id": "n"}, fields=["v"])
    assert log.evidence().findings["kind"].to_list().count("time inversions") == 1


def test_the_log_s_clock_tells_the_order():
    """Where all have a commit's time, a transaction that began earlier may have committed later."""
    rows = flat(("o", "1", "INSERT", 2), ("o", "1", "UPDATE", 1))
    committed = pl.Series("committed_at", [START + timedelta(seconds=second) for second in (3, 4)])
    assert load(rows.with_columns(committed)).as_of().height == 1
    with pytest.raises(BadOption, match="has committed_at="):
        load(rows.with_columns(committed.reverse()))


ROWS = st.lists(
    st.tuples(st.sampled_from("op"), st.sampled_from("12"), st.sampled_from(["UPDATE", "TRUNCATE"]), st.integers(0, 5)),
    max_size=8,
)


@settings(deadline=None)  # a timing never decides a test
@given(ROWS)
def test_a_log_is_refused_where_two_rows_of_one_entity_contradict_their_places(drawn: list[Row]):
    rows = [(kind, None if operation == "TRUNCATE" else one, operation, at) for kind, one, operation, at in drawn]
    late = {
        place
        for place, row in enumerate(rows, 1)
        for other in rows[: place - 1]
        if other[0] == row[0] and (None in (other[1], row[1]) or other[1] == row[1]) and other[3] > row[3]
    }
    if not late:
        load(flat(*rows))
        return
    with pytest.raises(BadOption, match=rf"row {min(late)} .*; {len(late)} rows stand behind"):
        load(flat(*rows))

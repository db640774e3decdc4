"""Documents decoded exactly, from memory and from the database: ours, json.loads, DuckDB's json_transform and pandas.

Run it alone: ``pytest -m bench -s tests/bench/bench_decode.py``. ``AUDITLAB_BENCH_ROWS`` sets the size.
"""

from __future__ import annotations

import json
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

import duckdb
import polars as pl
import pyarrow as pa
import pytest
from bench_load import MEASURED, busy, measured
from big_log import ROWS, fill
from figures import faster, parts_of, record
from stopwatch import best_of, timed

import auditlab as al
from auditlab import documents, values

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditlab.demo.server import Server

CHANGES = ROWS * 65 // 100
WIDTH = 456
ROUNDS = 3
OURS, FLOATS, EXACT = "every field's typed column", "json.loads", "json.loads(parse_float=Decimal)"
GIVEN = "DuckDB's json_transform, types given, without the recorded texts"
BOTH, NORMALIZED = "read_postgres, and history of each type", "pandas.read_sql, json_normalize"

TYPED = MEASURED.format(
    imports="import auditlab as al",
    work="log = al.read_postgres(sys.argv[1])\nassert len(log) == int(sys.argv[2])\n"
    "told = [log.of(name).history() for name in log.entity_types]",
)
NORMALIZE = MEASURED.format(
    imports="import pandas as pd, psycopg, sqlalchemy",
    work="engine = sqlalchemy.create_engine('postgresql+psycopg://', creator=lambda: psycopg.connect(sys.argv[1]))\n"
    "rows = pd.read_sql('SELECT * FROM audit.entity_change_log', engine)\nassert len(rows) == int(sys.argv[2])\n"
    "told = pd.json_normalize(rows['after_snapshot'].dropna().tolist())",
)


def decoded(images: list[pl.DataFrame]) -> list[dict[str, tuple[pl.Series, pl.Series]]]:
    """By entity type, of each field the typed values and the recorded text."""
    told = []
    for rows in images:
        read = documents.read(rows["none"], rows["after_snapshot"], {}, rows["id"])
        columns = [column.of(read.after) for column in read.columns]
        told.append({column.name: (column.typed, column.text) for column in columns})
    return told


def by_hand(images: list[pl.DataFrame], load: Callable[[str], Any]) -> list[list[dict[str, Any]]]:
    return [[load(text) for text in rows["after_snapshot"]] for rows in images]


def transformed(images: list[pl.DataFrame], shapes: list[dict[str, str]]) -> list[pl.DataFrame]:
    """By entity type, of each field the values, of types that are given."""
    told = []
    for rows, shape in zip(images, shapes, strict=True):
        with duckdb.connect() as database:
            database.register("images", pa.table(rows))
            query = "SELECT unnest(json_transform(after_snapshot, $shape)) FROM images"
            found = database.sql(query, params={"shape": json.dumps(shape)}).to_arrow_table()
        told.append(pl.DataFrame(pl.from_arrow(found)))
    return told


def shape_of(columns: dict[str, tuple[pl.Series, pl.Series]]) -> dict[str, str]:
    """What json_transform is to be told of a type's fields: numbers as they are, all else as texts."""
    return {
        name: f"DECIMAL(38, {typed.dtype.scale})"
        if isinstance(typed.dtype, pl.Decimal)
        else "BIGINT"
        if typed.dtype.is_integer()
        else "VARCHAR"
        for name, (typed, _) in columns.items()
    }


@pytest.mark.bench
def test_documents_are_decoded_exactly(server: Server, database: str):
    fill(server, database, rows=CHANGES, width=WIDTH)
    images = (
        al.read_postgres(database, progress=False)
        .changes()
        .filter(pl.col("after_snapshot").is_not_null())
        .select("id", "entity_type", "after_snapshot", none=pl.lit(None, dtype=pl.String))
        .partition_by("entity_type", maintain_order=True)
    )
    found, ours = best_of(lambda: decoded(images))
    _, floats = timed(lambda: by_hand(images, json.loads))
    exact, decimals = timed(lambda: by_hand(images, partial(json.loads, parse_float=Decimal)))
    shapes = list(map(shape_of, found))
    duck, given = best_of(lambda: transformed(images, shapes))
    for own, frame in zip(found, duck, strict=True):
        for name, (typed, text) in own.items():
            assert frame[name].equals(typed if typed.dtype.is_numeric() else text, check_names=False)
    del duck
    for own, theirs in zip(found, exact, strict=True):
        for name, (typed, text) in own.items():
            told = text if isinstance(theirs[0][name], str) else typed
            assert told.to_list() == [document[name] for document in theirs]
    megabytes = sum(rows["after_snapshot"].str.len_bytes().sum() for rows in images) / 1e6
    record(
        f"decode {megabytes:,.0f} MB of documents, exactly",
        ours={OURS: ours},
        rivals={FLOATS: floats, EXACT: decimals, GIVEN: given},
        goals=[faster(OURS, 8, FLOATS)],
        changes=CHANGES,
        parts={
            OURS: parts_of(
                lambda: decoded(images),
                {
                    "split": [documents.split],
                    "typed": [documents.typed],
                    "typed values and texts by row": [values.Column.typed.fget, values.Column.text.fget],
                },
            )
        },
    )
    del found, exact
    both = min(measured(TYPED, database, str(CHANGES))[0] for _ in range(ROUNDS))
    record(
        f"load and decode, {WIDTH}-byte documents",
        ours={BOTH: both},
        rivals={NORMALIZED: measured(NORMALIZE, database, str(CHANGES))[0]},
        goals=[faster(BOTH, 7, NORMALIZED)],
        changes=CHANGES,
        parts={BOTH: busy(lambda: measured(TYPED, database, str(CHANGES)))},
    )

"""An engine sees the tables that it is given and nothing else, and two questions share nothing."""

from __future__ import annotations

import threading

import duckdb
import polars as pl
import pytest

from auditlab.engines import DuckDBEngine, engine
from auditlab.errors import BadOption

TABLE = pl.DataFrame({"a": [1, 2]})


@pytest.mark.parametrize("name", ["polars", "duckdb"])
def test_an_engine_gives_the_declared_types(name: str):
    found = engine(name).run("SELECT sum(t.a) AS total, count(*) AS n FROM t", {"t": TABLE}, {"total": pl.Int64()})
    assert found.select("total").equals(pl.DataFrame({"total": [3]}, schema={"total": pl.Int64}))


def test_an_unknown_engine_names_what_there_is():
    with pytest.raises(BadOption, match="no engine 'spark'. There are 'polars', 'duckdb'"):
        engine("spark")


@pytest.mark.parametrize(
    "sql", ["SELECT * FROM TABLE", "SELECT * FROM hidden", "SELECT * FROM read_csv('/etc/hostname')", "SET threads = 1"]
)
def test_duckdb_sees_no_variables_no_files_no_earlier_tables_and_keeps_its_settings(sql: str):
    DuckDBEngine().run("SELECT * FROM hidden", {"hidden": TABLE}, {})
    with pytest.raises(duckdb.Error):
        DuckDBEngine().run(sql, {}, {})


def test_questions_from_several_threads_do_not_meet():
    found: dict[int, list[int]] = {}

    def ask(number: int) -> None:
        for _ in range(20):
            found[number] = (
                DuckDBEngine().run("SELECT t.a FROM t", {"t": pl.DataFrame({"a": [number]})}, {})["a"].to_list()
            )

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: [number] for number in range(4)}

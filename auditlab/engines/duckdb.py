"""DuckDB over the same frames: the one module that knows it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import duckdb
import polars as pl

from auditlab.engines.base import with_dtypes

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DuckDBEngine"]


class DuckDBEngine:
    """Runs queries in an in-memory DuckDB that sees the given tables and nothing else."""

    name = "duckdb"

    def run(
        self, sql: str, tables: Mapping[str, pl.DataFrame], dtypes: Mapping[str, pl.DataType | type[pl.DataType]]
    ) -> pl.DataFrame:
        """See :class:`auditlab.engines.base.Engine`."""
        with _database().cursor() as cursor:
            for name, table in tables.items():
                cursor.register(name, table.to_arrow())
            answer = cursor.sql(sql).to_arrow_table()
        return with_dtypes(pl.DataFrame(pl.from_arrow(answer)), dtypes)


@cache
def _database() -> duckdb.DuckDBPyConnection:
    """An empty database with no view of Python's variables, of files or of the network; cursors share nothing."""
    connection = duckdb.connect(":memory:", config={"python_enable_replacements": False})
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    connection.execute("SET GLOBAL enable_external_access = false")
    connection.execute("SET GLOBAL lock_configuration = true")
    return connection

"""DuckDB over the same frames: the one module that knows it."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import TYPE_CHECKING

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from auditlab import queries
from auditlab.engines.base import with_dtypes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["PLACE", "DuckDBEngine", "ParquetFiles"]

PLACE = "\x00place"
"""The column that ``ParquetFiles.rows`` adds: the place of a row's file among the files."""

_OF_FILE = ("filename", "file_row_number")


class DuckDBEngine:
    """Runs queries in an in-memory DuckDB that sees the given tables and nothing else."""

    name = "duckdb"
    on_frames = False

    def run(
        self, sql: str, tables: Mapping[str, pl.DataFrame], dtypes: Mapping[str, pl.DataType | type[pl.DataType]]
    ) -> pl.DataFrame:
        """See :class:`auditlab.engines.base.Engine`."""
        with _database().cursor() as cursor:
            for name, table in tables.items():
                cursor.register(name, pa.table(table))  # texts as views: as they are, where to_arrow() copies them
            answer = cursor.sql(sql).to_arrow_table()
        return with_dtypes(pl.DataFrame(pl.from_arrow(answer)), dtypes)


class ParquetFiles:
    """Parquet files of one folder, looked into by the value of a column: row groups that cannot have it are not read.

    Both questions raise ``OSError``, in DuckDB's words, where a file is gone or cannot be read.

    Args:
        folder: The folder. DuckDB takes paths for patterns, so no part of it may be one (``is_plain``).
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @staticmethod
    def is_plain(folder: Path) -> bool:
        """Whether a folder's path is the same to DuckDB."""
        return not set(str(folder)).intersection("*?[]{}\\")

    def having(self, names: Sequence[str], column: str, value: str | bytes) -> list[str]:
        """Of some files that have the column, those that have the value in it."""
        found = self._run("files_having", column, value, names)
        there = set(found["filename"].to_pylist())
        return [name for name in names if str(self._folder / name) in there]

    def rows(self, names: Sequence[str], column: str, value: str | bytes, columns: Sequence[str]) -> pa.Table:
        """Columns of the rows that have the value in one, by file and in the order of each; with ``PLACE`` (int32).

        All files have the same columns.
        """
        found = self._run("rows_of_value", column, value, names, columns=[*columns, *_OF_FILE])
        places = pc.index_in(found["filename"], pa.array([str(self._folder / name) for name in names]))
        rows = found.append_column(PLACE, places).sort_by([(PLACE, "ascending"), (_OF_FILE[1], "ascending")])
        return rows.drop_columns(list(_OF_FILE))

    def _run(self, query: str, column: str, value: str | bytes, names: Sequence[str], **more: list[str]) -> pa.Table:
        paths = [str(self._folder / name) for name in names]
        text = queries.text("archive", query).replace("entity_key", queries.quote_identifier(column))
        try:
            with _reader(str(self._folder.absolute())).cursor() as cursor:
                return cursor.sql(text, params={"files": paths, "value": value, **more}).to_arrow_table()
        except duckdb.Error as exc:
            raise OSError(str(exc)) from exc


@lru_cache(maxsize=8)
def _reader(folder: str) -> duckdb.DuckDBPyConnection:
    """An empty database that sees the files of one folder, and neither variables nor anything else.

    What the files say of themselves it keeps: each is looked into again and again.
    """
    connection = duckdb.connect(":memory:", config={"python_enable_replacements": False})
    connection.execute("SET GLOBAL parquet_metadata_cache = true")
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    connection.execute("SET GLOBAL allowed_directories = $folders", {"folders": [folder]})
    connection.execute("SET GLOBAL enable_external_access = false")
    connection.execute("SET GLOBAL lock_configuration = true")
    return connection


@cache
def _database() -> duckdb.DuckDBPyConnection:
    """An empty database with no view of Python's variables, of files or of the network; cursors share nothing."""
    connection = duckdb.connect(":memory:", config={"python_enable_replacements": False})
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    connection.execute("SET GLOBAL enable_external_access = false")
    connection.execute("SET GLOBAL lock_configuration = true")
    return connection

"""How an answer is computed: the same SQL in memory by Polars, and by DuckDB."""

from __future__ import annotations

from auditlab.engines.base import Engine
from auditlab.engines.duckdb import DuckDBEngine
from auditlab.engines.polars import PolarsEngine
from auditlab.errors import BadOption

__all__ = ["DuckDBEngine", "Engine", "PolarsEngine", "engine"]


def engine(name: str) -> Engine:
    """The engine of that name: ``polars`` or ``duckdb``."""
    engines: dict[str, type[PolarsEngine | DuckDBEngine]] = {"polars": PolarsEngine, "duckdb": DuckDBEngine}
    if name not in engines:
        raise BadOption(f"no engine {name!r}. There are {', '.join(map(repr, engines))}.")
    return engines[name]()

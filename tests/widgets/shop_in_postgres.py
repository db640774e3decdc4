"""The recorded shop, put into a PostgreSQL as its trigger once wrote it there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl

from auditlab.connection import connect

__all__ = ["LOG", "ORDER", "put"]

LOG = Path(__file__).resolve().parents[1] / "data" / "shop" / "log.parquet"
ORDER = "ebf6dfb3-1660-47d0-9c3d-d0a74656d459"
"""The order that changed in the most transactions: six, by three users."""

DOCUMENTS = ("before_snapshot", "after_snapshot", "changed_fields", "metadata")
INSERT = """
INSERT INTO audit.entity_change_log
SELECT * FROM json_populate_recordset(NULL::audit.entity_change_log, $1::text::json)
"""


def put(dsn: str) -> None:
    """Write the recorded changes into the published table of a database, documents as their text."""
    with connect(dsn) as connection:
        connection.execute(INSERT, ("[" + ",".join(map(_json, pl.read_parquet(LOG).to_dicts())) + "]",))


def _json(row: dict[str, Any]) -> str:
    parts = (
        f"{json.dumps(name)}: {value if name in DOCUMENTS and value is not None else json.dumps(value, default=str)}"
        for name, value in row.items()
    )
    return "{" + ", ".join(parts) + "}"

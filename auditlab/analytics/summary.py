"""Summary: how much happened, by operation, user, entity type and period; changes and transactions apart."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import polars as pl

from auditlab import queries
from auditlab.errors import BadOption
from auditlab.printable import printable_lines
from auditlab.schema import CHANGES, TIME

if TYPE_CHECKING:
    from auditlab.selection import Selected

__all__ = ["PERIODS", "Summary", "summary"]

PERIODS = {"second": "1s", "minute": "1m", "hour": "1h", "day": "1d", "week": "1w", "month": "1mo", "year": "1y"}
"""The periods by which a summary counts: name -> Polars' duration."""

DTYPES = {name: pl.Int64() for name in ("changes", "transactions", "entities", "users")}


@dataclass(frozen=True, slots=True)
class Summary:
    """How much happened in a log, or in the selected changes. A SNAPSHOT is nobody's change and is never counted.

    Args:
        totals: One row: changes, transactions, entities, users (Int64), first_change, last_change (UTC).
        by_operation: operation, changes, transactions.
        by_user: changed_by (null: no user recorded), changes, transactions, first_change, last_change.
        by_type: entity_type, changes, transactions, entities.
        by_period: period (its start, in the log's zone), changes, transactions.
        recent: The last changes, newest first, in the canonical columns.
    """

    totals: pl.DataFrame
    by_operation: pl.DataFrame
    by_user: pl.DataFrame
    by_type: pl.DataFrame
    by_period: pl.DataFrame
    recent: pl.DataFrame

    def _tables(self) -> dict[str, pl.DataFrame]:
        recent = self.recent.select("id", "changed_at", "changed_by", "operation", "entity_type", "entity_id")
        return {
            "totals": self.totals,
            "by operation": self.by_operation,
            "by user": self.by_user,
            "by entity type": self.by_type,
            "by period": self.by_period,
            "recent": recent,
        }

    def __repr__(self) -> str:
        with pl.Config(tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True, tbl_rows=12):
            return printable_lines("\n".join(f"{title}\n{table}" for title, table in self._tables().items()))

    def _repr_html_(self) -> str:
        parts = (f"<h4>{escape(title)}</h4>{table._repr_html_()}" for title, table in self._tables().items())
        return "".join(parts)


def summary(selected: Selected, *, users: int = 10, recent: int = 50, period: str = "day") -> Summary:
    """How much happened: totals, by operation, user, entity type and period, and the most recent changes.

    Args:
        selected: The log, or any part of it.
        users: How many users to list, those with the most changes first.
        recent: How many changes to list, newest first in the log's order.
        period: second, minute, hour, day, week, month or year, of the log's time zone.

    Raises:
        BadOption: no such period, or a negative count.
    """
    if period not in PERIODS:
        raise BadOption(f"no period {period!r}. There are {', '.join(map(repr, PERIODS))}.")
    if users < 0 or recent < 0:
        raise BadOption(f"users and recent count rows: {users} and {recent} cannot be.")
    rows = selected.changes()
    zone = selected.recorded.facts.zone
    entity = pl.concat_str(
        pl.col("entity_type").str.len_bytes(),
        pl.lit(":"),
        pl.col("entity_type"),
        pl.col("entity_id"),
        ignore_nulls=False,
    )
    counted = rows.with_columns(
        entity=entity,
        period=pl.col("changed_at").dt.convert_time_zone(zone).dt.truncate(PERIODS[period]).dt.convert_time_zone("UTC"),
    ).select("operation", "changed_by", "entity_type", "entity", "transaction_id", "changed_at", "period")
    dtypes = {**DTYPES, "first_change": TIME, "last_change": TIME}
    names = ("totals", "by_operation", "by_user", "by_type", "by_period")
    tables = {
        name: selected.engine.run(queries.text("analysis", f"summary_{name}"), {"changes": counted}, dtypes)
        for name in names
    }
    tables["by_user"] = tables["by_user"].head(users)
    tables["by_period"] = tables["by_period"].with_columns(pl.col("period").dt.convert_time_zone(zone))
    latest = rows.filter(pl.col("operation") != "SNAPSHOT").tail(recent).reverse().select(*CHANGES)
    return Summary(**tables, recent=latest)

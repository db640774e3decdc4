"""Summary: how much happened, by operation, user, entity type and period; changes and transactions apart."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import polars as pl

from auditlab.analytics.counted import PERIODS, counted, last_changes, snapshots_of, summed, tables_of
from auditlab.buckets.bucketed import Bucketed
from auditlab.errors import BadOption
from auditlab.printable import printable_lines
from auditlab.schema import CHANGES

if TYPE_CHECKING:
    from auditlab.selection import Selected

__all__ = ["PERIODS", "Summary", "summary"]


@dataclass(frozen=True, slots=True)
class Summary:
    """How much happened in a log, or in the selected changes. A SNAPSHOT is nobody's change and is never counted.

    Args:
        totals: One row: changes, transactions, entities, users (Int64), first_change, last_change (UTC, by the log's
            clock, as the periods are).
        by_operation: operation, changes, transactions.
        by_user: changed_by (null: no user recorded), changes, transactions, first_change, last_change.
        by_type: entity_type, changes, transactions, entities.
        by_period: period (its start, in the log's zone), changes, transactions.
        recent: The last changes, newest first, in the canonical columns.
        snapshots: How many rows are SNAPSHOT, and so not counted.
    """

    totals: pl.DataFrame
    by_operation: pl.DataFrame
    by_user: pl.DataFrame
    by_type: pl.DataFrame
    by_period: pl.DataFrame
    recent: pl.DataFrame
    snapshots: int = 0

    @property
    def not_counted(self) -> str:
        """In words, which rows the tables leave out; nothing where they leave out none."""
        rows = f"{self.snapshots:,} SNAPSHOT row{'' if self.snapshots == 1 else 's'}"
        return f"not counted: {rows}, states that were read, not changes" if self.snapshots else ""

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
            parts = [f"{title}\n{table}" for title, table in self._tables().items()]
        return printable_lines("\n".join([*parts, *filter(None, [self.not_counted])]))

    def _repr_html_(self) -> str:
        parts = (f"<h4>{escape(title)}</h4>{table._repr_html_()}" for title, table in self._tables().items())
        return "".join(parts) + (f"<p>{self.not_counted}</p>" if self.snapshots else "")


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
    selected.warn_gone(*selected.entity_types, changes=True)
    if isinstance(selected.recorded, Bucketed):
        tables, latest, snapshots = summed(selected.recorded, selected, period=period, recent=recent)
    else:
        rows = counted(selected, period)
        tables, latest, snapshots = tables_of(selected, rows), last_changes(selected, recent), snapshots_of(rows)
    zone = selected.recorded.facts.zone
    tables["by_user"] = tables["by_user"].head(users)
    tables["by_period"] = tables["by_period"].with_columns(pl.col("period").dt.convert_time_zone(zone))
    return Summary(**tables, recent=latest.select(*CHANGES), snapshots=snapshots)

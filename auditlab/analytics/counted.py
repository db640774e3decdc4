"""The counts of a summary: of a log in memory, and of one that is dealt out, whose parts are counted and summed up."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import polars as pl

from auditlab import queries
from auditlab.buckets.answers import asked
from auditlab.buckets.compartments import Compartments
from auditlab.buckets.part import ARRIVAL
from auditlab.buckets.spill import compact
from auditlab.engines.base import with_dtypes
from auditlab.schema import TIME

if TYPE_CHECKING:
    from auditlab.buckets.bucketed import Bucketed
    from auditlab.selection import Selected

__all__ = ["PERIODS", "counted", "last_changes", "snapshots_of", "summed", "tables_of"]

PERIODS = {"second": "1s", "minute": "1m", "hour": "1h", "day": "1d", "week": "1w", "month": "1mo", "year": "1y"}
"""The periods by which a summary counts: name -> Polars' duration."""

DTYPES: dict[str, pl.DataType] = {
    **{name: pl.Int64() for name in ("changes", "transactions", "entities", "users")},
    "first_change": TIME,
    "last_change": TIME,
}
TABLES = ("totals", "by_operation", "by_user", "by_type", "by_period")

_OF = {"by_operation": "operation", "by_user": "changed_by", "by_type": "entity_type", "by_period": "period"}
"""What each table has one row of."""

_AMONG = {"first_change": pl.min, "last_change": pl.max}
"""How a column of several parts becomes one, where it is not added."""


def counted(selected: Selected, period: str) -> pl.DataFrame:
    """What is looked at of each selected change: operation, changed_by, entity_type, entity, ... and its period.

    The period is by the log's clock, as in ``activity`` and in every question about a time.
    """
    zone, clock = selected.recorded.facts.zone, selected.recorded.facts.clock
    entity = pl.concat_str(
        pl.col("entity_type").str.len_bytes(),
        pl.lit(":"),
        pl.col("entity_type"),
        pl.col("entity_id"),
        ignore_nulls=False,
    )
    start = pl.col(clock).dt.convert_time_zone(zone).dt.truncate(PERIODS[period]).dt.convert_time_zone("UTC")
    rows = selected.changes().with_columns(entity=entity, period=start).with_columns(changed_at=clock)
    return rows.select("operation", "changed_by", "entity_type", "entity", "transaction_id", "changed_at", "period")


def tables_of(selected: Selected, rows: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """The tables of a summary of ``counted`` rows, by name."""
    return {
        name: selected.engine.run(queries.text("analysis", f"summary_{name}"), {"changes": rows}, DTYPES)
        for name in TABLES
    }


def snapshots_of(rows: pl.DataFrame) -> int:
    """How many of ``counted`` rows are states that were read, which no table counts."""
    return int((rows["operation"] == "SNAPSHOT").sum())


def last_changes(selected: Selected, recent: int) -> pl.DataFrame:
    """The last of the selected changes, newest first, with ``position``."""
    return selected.changes().filter(pl.col("operation") != "SNAPSHOT").tail(recent).reverse()


def summed(
    recorded: Bucketed, selected: Selected, *, period: str, recent: int
) -> tuple[dict[str, pl.DataFrame], pl.DataFrame, int]:
    """The tables of a summary, the last changes, newest first, and how many rows are SNAPSHOT, of one dealt out.

    Entities are counted in their buckets. Transactions are not in one bucket each, so the narrow rows are dealt out
    once more, by transaction; then each is counted where it is.
    """
    by_transaction = Compartments(recorded.count, room=recorded.room // 64)
    entities: list[dict[str, pl.DataFrame]] = []
    latest: list[pl.DataFrame] = []
    snapshots = 0
    for part, last in asked(recorded, selected, partial(last_changes, recent=recent)):
        keys = part.keys_of(last["position"]).rename({"id": "at"})
        latest.append(compact(last.drop("position").hstack(keys)))
        _, rows = next(asked(recorded, selected, partial(counted, period=period), [part]))
        snapshots += snapshots_of(rows)
        by_transaction.deal(rows, rows["transaction_id"].fill_null(-1).hash() % recorded.count)
        entities.append(tables_of(selected, rows))
    counts = [tables_of(selected, by_transaction.read(number)) for number in range(len(by_transaction))]
    tables = {name: _sum(name, counts, entities) for name in TABLES}
    users = len(tables["by_user"]["changed_by"].drop_nulls())
    tables["totals"] = tables["totals"].with_columns(users=pl.lit(users, dtype=pl.Int64))
    newest = pl.concat(latest).sort("at", ARRIVAL, descending=True).head(recent)
    return {name: with_dtypes(table, DTYPES) for name, table in tables.items()}, newest, snapshots


def _sum(name: str, counts: list[dict[str, pl.DataFrame]], entities: list[dict[str, pl.DataFrame]]) -> pl.DataFrame:
    """One table over all parts: entities from where those are whole, all else from where transactions are."""
    columns, key = counts[0][name].columns, _OF.get(name)
    adding = [_AMONG.get(column, pl.sum)(column) for column in columns if column not in (key, "entities")]
    every = pl.concat([tables[name] for tables in counts])
    own = pl.concat([tables[name] for tables in entities]).lazy() if "entities" in columns else None
    if key is None:
        whole = every.select(adding)
        return whole.hstack(own.select(pl.sum("entities")).collect()).select(columns) if own is not None else whole
    whole = every.group_by(key).agg(adding)
    if own is not None:
        there = own.group_by(key).agg(pl.sum("entities")).collect()
        whole = whole.join(there, on=key, how="left", nulls_equal=True)
    whole = whole.select(columns)
    if name == "by_period":
        return whole.sort(key)
    return whole.sort("changes", key, descending=[True, False], nulls_last=True)

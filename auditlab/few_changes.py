"""Types with few of a log's changes, as a log of their own: their states need not wait for the order of all."""

from __future__ import annotations

import polars as pl

from auditlab.recorded import Recorded
from auditlab.schema import CHANGES

__all__ = ["few_changes"]


def few_changes(recorded: Recorded, entity_types: tuple[str, ...]) -> Recorded:
    """What states of some types are asked of: those types alone, where that is less to put in order; else the log.

    The order of a type takes its own changes only, so its states are the same. So are its documents: they are split
    once for both. A log that is in order already, that is read from elsewhere, or that has marks, is asked itself.

    Args:
        recorded: The log.
        entity_types: The types, by name.
    """
    # ruff: noqa: SLF001 - a part is made of what the log holds
    in_memory = type(recorded) is Recorded and not isinstance(recorded._sources[0], pl.LazyFrame)
    if not in_memory or "sequence" in vars(recorded) or recorded.facts.marks or entity_types == recorded.entity_types:
        return recorded
    if entity_types not in recorded._parts:
        rows = recorded._rows.filter(pl.col("entity_type").is_in(entity_types))
        if 2 * len(rows) > len(recorded):
            return recorded
        part = Recorded(rows.select(*CHANGES), recorded.facts, entity_types=entity_types)
        vars(part)["_read"] = (rows.with_columns(row=pl.int_range(pl.len(), dtype=pl.UInt32)), recorded.malformed)
        part._documents = recorded._documents
        recorded._parts[entity_types] = recorded._within(part)
    return recorded._parts[entity_types]

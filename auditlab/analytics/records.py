"""What a log's rows say about it without their images: ids, times, transactions, and what was not loaded."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import polars as pl

from auditlab.analytics.findings import MALFORMED
from auditlab.lives import running_maximum

if TYPE_CHECKING:
    from auditlab.schema import LogFacts
    from auditlab.selection import Selected

__all__ = [
    "gaps",
    "id_faults",
    "inversions",
    "load_faults",
    "malformed_faults",
    "order_faults",
    "transaction_faults",
    "untrackable",
    "user_faults",
]

TOO_GREAT = 2**62
"""Transaction ids from here on cannot be PostgreSQL's."""

USER = "app.current_user_id"
"""Where the capture keeps a user that is no uuid (``sql/capture/context.sql``)."""

_NEGATIVE = "transaction id below 0"


def id_faults(selected: Selected) -> dict[str, pl.DataFrame]:
    """Duplicate ids (by position), and gaps of ids: ``id`` after the gap and ``previous_id`` before it."""
    recorded = selected.recorded
    changes = recorded.changes
    ids = changes.sort("row")["id"]  # by id
    repeated = (ids == ids.shift()).fill_null(value=False)
    twice = (
        changes.filter(pl.col("id").is_in(ids.filter(repeated).implode())).select("position")
        if repeated.any()
        else None
    )
    found = {"duplicate ids": twice if twice is not None else changes.clear().select("position")}
    whole = recorded.spans_its_ids and selected.entity_types == recorded.entity_types
    if whole and not recorded.facts.filters and not changes["baseline"].any():
        if recorded.malformed is not None and recorded.malformed.height:
            ids = pl.concat([ids, recorded.malformed["id"]]).sort()
        found["id gaps"] = gaps(ids)
    return found


def gaps(ids: pl.Series) -> pl.DataFrame:
    """Where some ids in their order leave others out: id after the gap, previous_id before it, and a note."""
    steps = ids.diff()
    after = (steps > 1).arg_true()
    note = pl.format("{} missing", pl.lit(steps.gather(after) - 1))
    return pl.DataFrame({"id": ids.gather(after), "previous_id": ids.gather(after - 1)}).with_columns(note=note)


def inversions(selected: Selected, links: pl.DataFrame) -> pl.DataFrame:
    """Changes that carry an earlier time than one before them in their entity: position, previous, field, old, new."""
    clock = selected.recorded.facts.clock
    times = selected.recorded.changes[clock].gather(links["position"])
    before = running_maximum(links["entity"], times)
    late = (times < before).arg_true()
    return links.select("position", "previous")[late].with_columns(
        pl.lit(clock).alias("field"),
        before.gather(late).dt.to_string("iso:strict").alias("old"),
        times.gather(late).dt.to_string("iso:strict").alias("new"),
    )


def order_faults(selected: Selected) -> dict[str, pl.DataFrame]:
    """Changes that stand elsewhere than their ids say, and those whose place the images do not tell."""
    recorded = selected.recorded
    unordered = recorded.sequence.unordered.unique().sort().rename("position").to_frame()
    elsewhere = recorded.changes.filter(pl.col("row") != pl.col("position")).select("position")
    moved = elsewhere.join(unordered, on="position", how="anti", maintain_order="left")
    return {"reordering repaired": moved, "order ambiguous": unordered}


def user_faults(selected: Selected) -> dict[str, pl.DataFrame]:
    """Changes without a user of which the capture kept another text in ``metadata``: position, field and new."""
    changes = selected.recorded.changes
    nameless = changes.select("position", "metadata").filter(changes["changed_by"].is_null())
    rows = nameless.filter(pl.col("metadata").str.contains(f'"{USER}"', literal=True))
    told = pl.Series("new", [_user(text) for text in rows["metadata"]], dtype=pl.String)
    found = rows.select("position", pl.lit("changed_by").alias("field"), pl.lit(told)).filter(
        pl.col("new").is_not_null()
    )
    return {"user is no uuid": found}


def _user(metadata: str) -> str | None:
    try:
        told = json.loads(metadata)
    except (ValueError, RecursionError):
        return None
    user = told.get(USER) if isinstance(told, dict) else None
    return user if isinstance(user, str) else None


def transaction_faults(selected: Selected) -> dict[str, pl.DataFrame]:
    """Transaction ids that no cursor can follow; a log that has none at all is another matter."""
    changes = selected.recorded.changes
    ids = changes["transaction_id"]
    none = changes.clear().select("position")
    if changes.height and ids.null_count() == changes.height:
        return {"untrackable transaction ids": none, "no transaction ids": changes.select("position")}
    if ids.null_count() == 0 and (ids.max() or 0) < TOO_GREAT:  # type: ignore[operator]  # an integer column's greatest
        return {"untrackable transaction ids": none}
    return {"untrackable transaction ids": untrackable(changes)}


def untrackable(changes: pl.DataFrame) -> pl.DataFrame:
    """Changes of a log with transaction ids that have none, or an impossible one: position and note."""
    unknown = pl.col("transaction_id").is_null() & (pl.col("operation") != "SNAPSHOT")
    return changes.filter(unknown | (pl.col("transaction_id") >= TOO_GREAT)).select(
        "position", note=pl.col("transaction_id").cast(pl.String).fill_null("no transaction id")
    )


def malformed_faults(selected: Selected) -> dict[str, pl.DataFrame]:
    """Rows that a load with ``strict=False`` set apart, by the loader's kind; they have no position."""
    aside = selected.recorded.malformed
    if aside is None or aside.is_empty():
        return {}
    if selected.entity_types != selected.recorded.entity_types:
        aside = aside.filter(pl.col("entity_type").is_in(selected.entity_types))
    kinds = {str(name): rows.drop("kind") for (name,), rows in aside.group_by("kind", maintain_order=True)}
    return {
        "untrackable transaction ids" if name == _NEGATIVE else MALFORMED + name: rows.with_columns(note=pl.lit(name))
        for name, rows in kinds.items()
    }


def load_faults(facts: LogFacts) -> dict[str, pl.DataFrame]:
    """What the load left out, one row a reason."""
    found = {"filtered load": pl.DataFrame({"note": list(facts.filters)}, schema={"note": pl.String})}
    if not facts.coverage.complete:
        found["changes only"] = pl.DataFrame({"note": [facts.coverage.why]})
    elif facts.coverage.why and facts.since is None:
        found["dropped changes"] = pl.DataFrame({"note": [facts.coverage.why]})
    return found

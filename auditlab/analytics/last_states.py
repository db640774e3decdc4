"""Where a log leaves each entity: the last state of every one, with the change that made it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from auditlab.placeholders import UNAVAILABLE

if TYPE_CHECKING:
    from auditlab.recorded import Recorded

__all__ = ["LAST_STATES", "last_states"]

LAST_STATES: dict[str, pl.DataType] = {
    "entity_id": pl.String(),
    "position": pl.UInt32(),
    "begins": pl.Int64(),
    "live": pl.Boolean(),
    "state": pl.String(),
    "unsure": pl.Boolean(),
}
"""One row an entity: its last change's position, that of its last life's first change (-1 where it was there before the
log), whether it is live after it, its state as recorded or derived (null where it is not live, or its state is not
known), and whether the order of its last transaction's changes is ambiguous."""


def last_states(recorded: Recorded, entity_type: str) -> pl.DataFrame:
    """The last state of every entity of a type: ``LAST_STATES``' columns."""
    steps = recorded.sequence.steps.filter(pl.col("entity_type") == entity_type)
    next_ = pl.any_horizontal((pl.col("entity") != pl.col("entity").shift(-1)).fill_null(value=True))
    previous = [(pl.col(name) != pl.col(name).shift()).fill_null(value=True) for name in ("entity", "life")]
    opens = steps.filter(pl.any_horizontal(previous)).select(
        "entity", begins=pl.when("unseen").then(-1).otherwise(pl.col("position").cast(pl.Int64))
    )
    last = steps.filter(next_).join(opens.unique("entity", keep="last"), on="entity", how="left", maintain_order="left")
    text = recorded.changes["after_snapshot"].gather(last["position"])
    live = ~last["ends"]
    if (live & (text.is_null() | text.str.contains(UNAVAILABLE, literal=True))).any():
        text = _derived(recorded, entity_type, last)
    return last.select(
        "entity_id",
        "position",
        "begins",
        live=~pl.col("ends"),
        state=pl.when(~pl.col("ends")).then(pl.lit(text)),
        unsure=pl.col("position").is_in(recorded.sequence.unordered.implode()),
    )


def _derived(recorded: Recorded, entity_type: str, last: pl.DataFrame) -> pl.Series:
    """The states of a log that does not have each in full: completed from what came before; null where not known."""
    shape = recorded.shape(entity_type)
    left = shape.versions.filter(pl.col("origin") != "unknown").select("entity", "turn", "doc")
    doc = last.join(left, on=["entity", "turn"], how="left", maintain_order="left")["doc"]
    return shape.documents.texts.gather(doc)

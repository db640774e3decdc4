"""Key changes: which rows got another primary key, so that one entity ended and another began, linked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from auditlab.schema import TIME

if TYPE_CHECKING:
    from auditlab.selection import Selected

__all__ = ["KEY_CHANGES", "key_changes"]

KEY_CHANGES: dict[str, pl.DataType] = {
    "entity_type": pl.String(),
    "old_entity_id": pl.String(),
    "new_entity_id": pl.String(),
    "id": pl.Int64(),
    "transaction_id": pl.Int64(),
    "changed_at": TIME,
    "changed_by": pl.String(),
}
"""One row a change of a primary key; ``id`` is the change that began the new entity."""


def key_changes(selected: Selected) -> pl.DataFrame:
    """The selected changes that gave a row another primary key, in the log's order: ``KEY_CHANGES``' columns.

    Such a change ends the old entity and begins the new one, as the one UPDATE that it was: ``as_of`` has the row under
    one key at a time, the old entity's ``history`` ends and the new one's begins with it, and ``blame`` goes back over
    it. A log may have it as one UPDATE under the new entity id, whose before image holds the old key, or as the DELETE
    and the INSERT that our capture links; ``id`` is then the INSERT's. A key is known by the field that holds the
    entity id in every image, or by the catalog's primary key. What cannot be linked without doubt raises
    ``UnlinkedKeys`` where it matters.

    Of one entity, those from and to it.

    >>> from auditlab import from_arrow
    >>> from auditlab.testing import make_log
    >>> moved = ("UPDATE", "b", {"id": "b", "n": 1}, {"before_snapshot": {"id": "a", "n": 1}})
    >>> log = from_arrow(make_log([("INSERT", "a", {"id": "a", "n": 1}), moved]))
    >>> log.key_changes().select("old_entity_id", "new_entity_id", "id").row(0)
    ('a', 'b', 2)
    """
    selected.warn_gone(*selected.entity_types, changes=True)
    recorded = selected.recorded
    links = recorded.key_changes.filter(pl.col("entity_type").is_in(selected.entity_types))
    if selected.entity_id is not None:
        links = links.filter((pl.col("old") == selected.entity_id) | (pl.col("new") == selected.entity_id))
    facts = recorded.changes.filter(~pl.col("baseline"), *selected.picks)
    facts = facts.select("position", "transaction_id", "changed_at", "changed_by")
    rows = links.join(facts, on="position", how="inner", maintain_order="left")
    answer = rows.select(
        "entity_type",
        pl.col("old").alias("old_entity_id"),
        pl.col("new").alias("new_entity_id"),
        *list(KEY_CHANGES)[3:],
    )
    return selected.in_order(answer, rows["position"])

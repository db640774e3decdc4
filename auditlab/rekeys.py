"""Changes of a primary key in a log that names only the new one: found, so that an answer can say so."""

from __future__ import annotations

import polars as pl

from auditlab.documents import raw_fields
from auditlab.values import recorded_text

__all__ = ["unlinked_keys"]

SAMPLE = 50
"""Images of a type by which a field is taken for its key."""

CHANGED_KEYS = {
    "position": pl.UInt32(),
    "id": pl.Int64(),
    "entity_type": pl.String(),
    "old": pl.String(),
    "new": pl.String(),
}


def unlinked_keys(changes: pl.DataFrame) -> pl.DataFrame:
    """The UPDATEs that gave a row another key, where the log has them under the new key alone.

    Such a change is an UPDATE whose after image holds its entity id in the type's key field and whose before image
    holds another there. A log that records the change as DELETE and INSERT has none.

    Args:
        changes: The canonical columns with ``position``.

    Returns:
        position, id, entity_type, old and new (the entity ids, String), one row such a change.
    """
    images = pl.col("before_snapshot"), pl.col("after_snapshot")
    within = [image.str.contains(pl.col("entity_id"), literal=True) for image in images]
    suspects = changes.filter((pl.col("operation") == "UPDATE") & ~within[0] & within[1])
    rows = []
    for (entity_type,), group in suspects.group_by("entity_type", maintain_order=True):
        own = changes.filter((pl.col("entity_type") == entity_type) & pl.col("after_snapshot").is_not_null())
        keys = _key_fields(own)
        for change in group.iter_rows(named=True):
            before, after = (_fields(change[name]) for name in ("before_snapshot", "after_snapshot"))
            for key in keys & before.keys() & after.keys():
                old = recorded_text(before[key])
                if old is not None and old != change["entity_id"]:
                    rows.append((change["position"], change["id"], entity_type, old, change["entity_id"]))
    return pl.DataFrame(rows, schema=CHANGED_KEYS, orient="row")


def _key_fields(own: pl.DataFrame) -> set[str]:
    """The fields that hold the entity id in every image of a sample."""
    sample = own.gather_every(max(1, len(own) // SAMPLE)).select("entity_id", "after_snapshot")
    keys: set[str] | None = None
    for entity_id, image in sample.iter_rows():
        holding = {name for name, raw in _fields(image).items() if recorded_text(raw) == entity_id}
        keys = holding if keys is None else keys & holding
    return keys or set()


def _fields(image: str) -> dict[str, str]:
    """An image's fields; none where it is no document, which the question itself then refuses by name."""
    try:
        return raw_fields(image)
    except ValueError:
        return {}

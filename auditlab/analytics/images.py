"""What the images of changes say about the log: updates that changed nothing, documents that readers disagree about."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl

from auditlab.analytics.breaks import UNREADABLE
from auditlab.analytics.listed import disagreeing
from auditlab.flags import FLAGS, repeating

if TYPE_CHECKING:
    from auditlab.selection import Selected

__all__ = ["idle_by_text", "image_faults", "missing_images"]


def idle_by_text(selected: Selected) -> pl.DataFrame:
    """UPDATEs whose two images are the same text: ``position``."""
    same = (pl.col("operation") == "UPDATE") & (pl.col("before_snapshot") == pl.col("after_snapshot"))
    return selected.recorded.changes.lazy().filter(same & ~pl.col("baseline")).select("position").collect()


def missing_images(selected: Selected) -> dict[str, pl.DataFrame]:
    """Changes without an image that they should have, and those of which no image tells what they left: position, note.

    Only of types without some after images the documents are looked into.
    """
    operation = pl.col("operation")
    bare = pl.col("before_snapshot").is_null() | pl.col("after_snapshot").is_null()
    before = operation.is_in(["UPDATE", "DELETE"]) & pl.col("before_snapshot").is_null()
    after = operation.is_in(["INSERT", "UPDATE"]) & pl.col("after_snapshot").is_null()
    which = (
        pl.when(before & after)
        .then(pl.lit("neither image"))
        .when(after)
        .then(pl.lit("no after image"))
        .otherwise(pl.lit("no before image"))
    )
    rows = selected.recorded.changes.lazy().filter(bare & ~pl.col("baseline")).collect()
    lacking = rows.filter(before | after).select("position", "entity_type", after=after, note=which)
    types = lacking.filter("after")["entity_type"].unique().to_list()
    untold = [pl.DataFrame(schema={"position": pl.UInt32})]
    for entity_type in selected.entity_types:
        if entity_type in types:
            try:
                untold.append(selected.recorded.shape(entity_type).without_image.select("position").drop_nulls())
            except UNREADABLE:
                continue  # image_faults says so
    return {"missing images": lacking.drop("after", "entity_type"), "undetermined states": pl.concat(untold)}


def image_faults(selected: Selected) -> dict[str, pl.DataFrame]:
    """What only a look into every document shows: kind -> position and more."""
    found: dict[str, list[pl.DataFrame]] = {}
    readable = []
    for entity_type in selected.entity_types:
        try:
            shape = selected.recorded.shape(entity_type)
        except UNREADABLE as exc:
            note = pl.DataFrame({"entity_type": [entity_type], "note": [str(exc)]})
            found.setdefault("unreadable documents", []).append(note)
            continue
        readable.append(entity_type)
        images = shape.images.filter(pl.col("operation") != "TRUNCATE")
        updates = images.filter(
            (pl.col("operation") == "UPDATE") & pl.col("before").is_not_null() & pl.col("after").is_not_null()
        )
        same = updates["before"] == updates["after"]
        left = updates.filter(~same)
        for column in shape.columns:
            left = left.filter(column.code.gather(left["before"]).eq_missing(column.code.gather(left["after"])))
        idle = pl.concat([updates.filter(same)["position"], left["position"]]).sort().to_frame()
        found.setdefault("no-op updates", []).append(idle)
        flags = shape.documents.flags
        inner = pl.DataFrame({"doc": repeating(shape.documents.texts)}, schema={"doc": pl.UInt32})
        flags = pl.concat([flags, inner.with_columns(flag=pl.lit("duplicate keys"))])
        for flag in FLAGS:
            docs = flags.filter(pl.col("flag") == flag)["doc"].implode()
            held = images.filter((pl.col("before").is_in(docs) | pl.col("after").is_in(docs)).fill_null(value=False))
            found.setdefault(flag, []).append(held.select("position"))
    found["changed_fields disagree"] = [disagreeing(replace(selected, entity_types=tuple(readable)))]
    return {kind: pl.concat(parts) for kind, parts in found.items()}

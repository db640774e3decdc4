"""Lives that follow one another under several keys: one row of a table, whatever its key was."""

from __future__ import annotations

import polars as pl

__all__ = ["lineage"]


def lineage(steps: pl.DataFrame) -> pl.DataFrame | None:
    """The line of each life that began or ended by a change of its key: entity, life, line and place (from 0).

    None where no key was changed. Lives that would follow themselves, as only a log in disorder has them, are left out.

    Args:
        steps: ``auditlab.lives.STEPS``' columns.
    """
    links = steps.filter(pl.col("link").is_not_null())
    if links.is_empty():
        return None
    began = links.filter(~pl.col("ends")).select("link", "entity", "life")
    ended = links.filter("ends").select("link", from_entity="entity", from_life="life")
    edges = began.join(ended, on="link", how="inner")
    lives = (
        pl.concat([edges.select("entity", "life"), edges.select(entity="from_entity", life="from_life")])
        .unique()
        .with_row_index("number")
    )
    told = edges.join(lives, on=["entity", "life"]).join(
        lives.select(from_entity="entity", from_life="life", parent="number"), on=["from_entity", "from_life"]
    )
    nodes = lives.join(told.select("number", "parent"), on="number", how="left", maintain_order="left")
    line = nodes.select(pl.coalesce("parent", "number")).to_series()
    place = nodes["parent"].is_not_null().cast(pl.Int64)
    roots = nodes["parent"].is_null()
    for _ in range(len(nodes).bit_length()):
        place, line = place + place.gather(line), line.gather(line)
    found = nodes.select("entity", "life", line=line, place=place)
    return found.filter(roots.gather(line))

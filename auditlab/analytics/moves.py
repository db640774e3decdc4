"""Rows that went on under another key or in another partition: DELETE and INSERT, and still the same row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from auditlab.rekeys import partition
from auditlab.schema import CHANGES

if TYPE_CHECKING:
    from auditlab.selection import Selected

__all__ = ["half_logged", "key_changes", "partition_moves", "replaced"]

_FACTS = (
    "position",
    "id",
    "entity_type",
    "entity_id",
    "transaction_id",
    "before_snapshot",
    "after_snapshot",
    "metadata",
    "partition",
)
_KEYS = r'"(?:[^"\\]|\\.)*" ?:'


def replaced(selected: Selected) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The DELETEs and the INSERTs of transactions that have both, by position."""
    changes = selected.recorded.changes
    left = changes.filter((pl.col("operation") == "DELETE") & pl.col("transaction_id").is_not_null()).select(_FACTS)
    both = changes["transaction_id"].is_in(left["transaction_id"].unique().implode()) if left.height else None
    came = changes.clear() if both is None else changes.filter(both & (changes["operation"] == "INSERT"))
    key = "transaction_id"
    return (
        left.join(came.select(key), on=key, how="semi", maintain_order="left"),
        came.select(_FACTS),
    )


def key_changes(selected: Selected, left: pl.DataFrame, came: pl.DataFrame) -> pl.DataFrame:
    """Changes by which a row went on under another key: position, previous (its change under the old key) and note.

    Where the log tells it, by our capture's word for it or by the key in the two images of an UPDATE; else INSERTs of a
    row deleted in the same transaction, where the images are the same but for the key's text. Takes what
    :func:`replaced` gives.
    """
    links = selected.recorded.key_changes.filter(pl.col("how") == "images")
    by_images = links.select(
        "position", previous=pl.lit(None, dtype=pl.UInt32), note=pl.format("was {}", pl.col("old"))
    )
    told = came.filter(pl.col("metadata").str.contains('"rekeyed_from"', literal=True).fill_null(value=False))
    noted = told.select(
        "position",
        previous=pl.lit(None, dtype=pl.UInt32),
        note=pl.format("was {}", pl.col("metadata").str.extract(r'"rekeyed_from": ?"([^"]*)"')),
    )
    gone = left.filter(~pl.col("metadata").str.contains('"rekeyed_to"', literal=True).fill_null(value=False))
    came = came.join(told, on="position", how="anti", maintain_order="left")
    sides = [_without_key(gone, "before_snapshot"), _without_key(came, "after_snapshot")]
    pairs = sides[1].join(sides[0], on=["entity_type", "transaction_id", "rest", "turn"], suffix="_old")
    pairs = pairs.filter(
        (pl.col("entity_id") != pl.col("entity_id_old")) & (pl.col("position") > pl.col("position_old"))
    )
    likely = pairs.select(
        "position", previous=pl.col("position_old"), note=pl.format("likely: was {}", pl.col("entity_id_old"))
    )
    return pl.concat([by_images, noted, likely]).sort("position")


def _without_key(rows: pl.DataFrame, image: str) -> pl.DataFrame:
    """The rows with ``rest`` (the image without the entity's id) and ``turn`` (its number among equal rests)."""
    rest = rows.filter(pl.col(image).str.contains(pl.col("entity_id"), literal=True)).select(
        "position",
        "entity_type",
        "entity_id",
        "transaction_id",
        rest=pl.col(image).str.split(pl.col("entity_id")).list.join("\x00"),
    )
    turn = pl.int_range(pl.len()).over("entity_type", "transaction_id", "rest")
    return rest.with_columns(turn=turn) if rest.height else rest.with_columns(turn=pl.lit(0, dtype=pl.Int64))


def partition_moves(left: pl.DataFrame, came: pl.DataFrame) -> pl.DataFrame:
    """INSERTs of a row that left another partition in the same transaction: position, previous, old and new partition.

    Partitions are entity types of their own with the same columns, or named beside them or in the metadata that our
    capture writes. There a move changes the key, which holds the partition's column: PostgreSQL fires the DELETE and
    the INSERT of a row that moves one right after the other, and so they are paired.
    """
    left, came = (rows.with_columns(place=partition()) for rows in (left, came))
    pairs = came.join(left, on=["transaction_id", "entity_id"], suffix="_old", maintain_order="left")
    pairs = pairs.filter(pl.col("position") > pl.col("position_old")).with_columns(new="place", old="place_old")
    keys = [pl.col(name).str.extract_all(_KEYS).list.sort() for name in ("after_snapshot", "before_snapshot_old")]
    elsewhere = (pl.col("entity_type") != pl.col("entity_type_old")) & (keys[0] == keys[1])
    named = pl.col("new").is_not_null() & pl.col("old").is_not_null() & (pl.col("new") != pl.col("old"))
    moved = pairs.filter(elsewhere | ((pl.col("entity_type") == pl.col("entity_type_old")) & named))
    by_id = moved.select(
        "position",
        previous=pl.col("position_old"),
        old=pl.coalesce("old", "entity_type_old"),
        new=pl.coalesce("new", "entity_type"),
    )
    both = pl.concat([left.with_columns(came=pl.lit(value=False)), came.with_columns(came=pl.lit(value=True))])
    both = both.sort("transaction_id", "position")
    follows = pl.all_horizontal(pl.col(name) == pl.col(name).shift() for name in ("transaction_id", "entity_type"))
    follows &= pl.col("came") & ~pl.col("came").shift() & (pl.col("place") != pl.col("place").shift())
    in_turn = both.with_columns(
        previous=pl.col("position").shift(), old=pl.col("place").shift(), new=pl.col("place"), follows=follows
    ).filter("follows")
    return pl.concat([by_id, in_turn.select("position", "previous", "old", "new")]).unique("position", keep="first")


def half_logged(selected: Selected, links: pl.DataFrame) -> pl.DataFrame:
    """UPDATEs that gave a row another key in a way that the log does not tell for certain: position, previous and note.

    Those whose link is in doubt, and UPDATEs that name a row by its new key and have another in their before image;
    ``previous`` is then the last change under the old key, where the row still seems to live.
    """
    doubtful = selected.recorded.unlinked_keys.filter(pl.col("entity_type").is_in(selected.entity_types))
    told = doubtful.select(
        "position", previous=pl.lit(None, dtype=pl.UInt32), note=pl.format("perhaps was {}", pl.col("old"))
    )
    return pl.concat([_half_told(selected, links), told]).unique("position", keep="first", maintain_order=True)


def _half_told(selected: Selected, links: pl.DataFrame) -> pl.DataFrame:
    updates = (pl.col("operation") == "UPDATE") & ~pl.col("ends")
    first = links.filter(pl.col("previous").is_null() & pl.col("unseen") & updates)
    changes = selected.recorded.changes
    rows = changes[first["position"].to_list()].select("position", *CHANGES)
    carries = [
        pl.col(image).str.contains(pl.col("entity_id"), literal=True).fill_null(value=default)
        for image, default in (("before_snapshot", True), ("after_snapshot", False))
    ]
    rows = rows.filter(~carries[0] & carries[1])
    if rows.is_empty():
        return rows.select("position", previous=pl.col("position"), note=pl.lit(""))
    last = links.group_by("entity").agg(pl.last("position"), pl.last("ends"))
    live = changes[last.filter(~pl.col("ends"))["position"].to_list()]
    old = live.select("entity_type", before_snapshot="after_snapshot", previous="position", was="entity_id")
    found = rows.join(old, on=["entity_type", "before_snapshot"], maintain_order="left")
    its_own = pl.col("before_snapshot").str.contains(pl.col("was"), literal=True)
    found = found.filter(its_own & (pl.col("previous") < pl.col("position")))
    return found.unique("position", keep="first", maintain_order=True).select(
        "position", "previous", note=pl.format("was {}", "was")
    )

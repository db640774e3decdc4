"""Rows that went on under another key or in another partition: DELETE and INSERT, and still the same row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from auditlab.rekeys import partition
from auditlab.schema import CHANGES

if TYPE_CHECKING:
    from auditlab.selection import Selected

__all__ = [
    "FACTS",
    "doubtful_links",
    "half_logged",
    "held_under",
    "key_changes",
    "keys_by_images",
    "last_live",
    "partition_moves",
    "replaced",
    "strangers",
]

FACTS = (
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


def replaced(changes: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The DELETEs and the INSERTs of transactions that have both, by position; ``FACTS`` of them."""
    key = "transaction_id"
    left = changes.select(FACTS).filter((changes["operation"] == "DELETE") & pl.col(key).is_not_null())
    came = changes.select(FACTS).filter(changes["operation"] == "INSERT") if left.height else left
    came = came.join(left.select(key), on=key, how="semi", maintain_order="left")
    return left.join(came.select(key), on=key, how="semi", maintain_order="left"), came


def keys_by_images(selected: Selected) -> pl.DataFrame:
    """Changes of keys that the two images of an UPDATE tell: position, previous (null) and note."""
    links = selected.recorded.key_changes.filter(pl.col("how") == "images")
    return links.select("position", previous=pl.lit(None, dtype=pl.UInt32), note=pl.format("was {}", pl.col("old")))


def key_changes(left: pl.DataFrame, came: pl.DataFrame) -> pl.DataFrame:
    """Changes by which a row went on under another key: position, previous (its change under the old key) and note.

    Where our capture wrote it down; else INSERTs of a row deleted in the same transaction, where the images are the
    same but for the key's text. Takes what :func:`replaced` gives.
    """
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
    return pl.concat([noted, likely]).sort("position")


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
    rows = strangers(selected, links)
    held = [_by_position(held_under(rows, last_live(selected, links)))] if len(rows) else []
    return pl.concat([*held, doubtful_links(selected)]).unique("position", keep="first", maintain_order=True)


def doubtful_links(selected: Selected) -> pl.DataFrame:
    """Changes of keys whose link is in doubt: position, previous (null) and note."""
    doubtful = selected.recorded.own_unlinked_keys().filter(pl.col("entity_type").is_in(selected.entity_types))
    return doubtful.select(
        "position", previous=pl.lit(None, dtype=pl.UInt32), note=pl.format("perhaps was {}", pl.col("old"))
    )


def strangers(selected: Selected, links: pl.DataFrame) -> pl.DataFrame:
    """UPDATEs that are the first of their entity, and have another in their before image: position and ``CHANGES``."""
    updates = (pl.col("operation") == "UPDATE") & ~pl.col("ends")
    first = links.filter(pl.col("previous").is_null() & pl.col("unseen") & updates)
    changes = selected.recorded.changes
    rows = changes[first["position"].to_list()].select("position", *CHANGES)
    carries = [
        pl.col(image).str.contains(pl.col("entity_id"), literal=True).fill_null(value=default)
        for image, default in (("before_snapshot", True), ("after_snapshot", False))
    ]
    return rows.filter(~carries[0] & carries[1])


def last_live(selected: Selected, links: pl.DataFrame) -> pl.DataFrame:
    """The state in which each live entity was left: entity_type, before_snapshot, previous (position) and was."""
    last = links.group_by("entity", maintain_order=True).agg(pl.last("position"), pl.last("ends"))
    live = selected.recorded.changes[last.filter(~pl.col("ends"))["position"].to_list()]
    return live.select(
        "entity_type", before_snapshot="after_snapshot", previous="position", previous_id="id", was="entity_id"
    )


def held_under(rows: pl.DataFrame, old: pl.DataFrame, earlier: pl.Expr | None = None) -> pl.DataFrame:
    """:func:`strangers` whose before image some of :func:`last_live` have, with its columns and a note.

    Args:
        rows: Strangers.
        old: Live entities.
        earlier: Whether the entity was left so before the change; by their positions, if None.
    """
    found = rows.join(old, on=["entity_type", "before_snapshot"], maintain_order="left")
    its_own = pl.col("before_snapshot").str.contains(pl.col("was"), literal=True)
    found = found.filter(its_own & (pl.col("previous") < pl.col("position") if earlier is None else earlier))
    return found.with_columns(note=pl.format("was {}", "was"))


def _by_position(held: pl.DataFrame) -> pl.DataFrame:
    return held.unique("position", keep="first", maintain_order=True).select("position", "previous", "note")

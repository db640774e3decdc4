"""Changes of a primary key: which change ended a row's old key, and which one began its new one.

A log may record such an UPDATE as one row that names the new key alone; then the images tell the old one. Our capture
records it as a DELETE and an INSERT that name each other, and a row that leaves a partition, whose columns its key must
have, likewise: as a DELETE and, right after it, an INSERT.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import polars as pl

from auditlab.keyfields import KeyFields, key_sample, shows_key
from auditlab.threads import side_by_side
from auditlab.values import recorded_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "LINKS",
    "NO_LINKS",
    "TOLD",
    "by_images",
    "image_suspects",
    "key_images",
    "links_of",
    "neighbours",
    "partition",
    "rekeys",
    "told_rows",
]

LINKS: dict[str, pl.DataType] = {
    "left": pl.UInt32(),
    "came": pl.UInt32(),
    "entity_type": pl.String(),
    "old": pl.String(),
    "new": pl.String(),
    "how": pl.String(),
    "linked": pl.Boolean(),
}
"""One row a change of a key: the slots (rows by id) of the change that ended the old one and of the one that began the
new one, the two entity ids, ``how`` it is told (``images``, ``metadata``, ``partition move``), and whether it is."""

NO_LINKS = pl.DataFrame(schema=LINKS)

BATCH = 200_000
"""Changes whose images are compared at once."""

_TEXT = r'("(?:[^"\\]|\\.)*")'


def partition() -> pl.Expr:
    """The partition in which a change was made, as the log's loader or our capture wrote it down; null for none."""
    return pl.coalesce("partition", _word("partition"))


def _word(name: str) -> pl.Expr:
    """The text that the metadata, as our capture writes it, has under a name; null for none."""
    key = f'"{name}":'
    raw = pl.col("metadata").str.extract(rf"{key} ?{_TEXT}")
    plain = raw.str.slice(1, raw.str.len_chars() - 2)
    escaped = pl.when(raw.str.contains("\\", literal=True)).then(raw)
    decoded = escaped.map_elements(recorded_text, return_dtype=pl.String)
    return pl.when(pl.col("metadata").str.contains(key, literal=True)).then(pl.coalesce(decoded, plain))


def rekeys(by_id: pl.DataFrame, met: pl.DataFrame, keys: Mapping[str, tuple[str, ...]]) -> pl.DataFrame:
    """The changes of keys in a log: ``LINKS``' columns, by ``came``.

    Args:
        by_id: The canonical columns by id; a row's number is its slot.
        met: What :func:`neighbours` says of them.
        keys: entity type -> the columns of its primary key, where the source's catalog told them.
    """

    def fields(entity_type: str) -> KeyFields:
        own = key_images(by_id, entity_type)
        return KeyFields(entity_type, key_sample(own), lambda: [own], keys.get(entity_type, ()))

    return links_of(by_images(_suspects(by_id, met), fields), told_rows(by_id))


def links_of(told_by_images: pl.DataFrame, told: pl.DataFrame) -> pl.DataFrame:
    """``LINKS``' columns, by ``came``: those that images tell, and those that ``TOLD`` rows do."""
    parts = [told_by_images, _by_metadata(told), _by_partition(told)]
    return pl.concat([part for part in parts if part is not None]).sort("came", "left")


TOLD = ("slot", "operation", "metadata", "entity_type", "entity_id", "transaction_id", "partition")
"""What is looked at of the INSERTs and DELETEs whose metadata may tell a change of a key, by ``slot``."""


def told_rows(by_id: pl.DataFrame) -> pl.DataFrame:
    """``TOLD``'s columns of the rows whose metadata may tell a change of a key."""
    halves = (pl.col("operation") == "INSERT") | (pl.col("operation") == "DELETE")
    halves &= pl.col("metadata").is_not_null()
    return by_id.lazy().select(*TOLD[1:]).with_row_index("slot").filter(halves).collect()


def key_images(by_id: pl.DataFrame, entity_type: str) -> pl.DataFrame:
    """What tells the key's fields of a type: id, entity_id and after_snapshot of its changes."""
    own = by_id.lazy().filter(pl.col("entity_type") == entity_type)
    return own.select("id", "entity_id", "after_snapshot").collect()


def neighbours(by_id: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """By slot the change before each in its entity: ``previous`` (its slot) and ``unlike``.

    ``unlike`` is whether the text of the before image is another than that of what the change before left; null where
    there are not both.

    Args:
        by_id: The canonical columns by id; a row's number is its slot.
        rows: entity and slot of each, by entity and slot.
    """
    same = pl.col("entity") == pl.col("entity").shift()
    found = rows.select(pl.when(same).then(pl.col("slot").shift())).to_series()
    previous = pl.Series("previous", [None], dtype=pl.UInt32).new_from_index(0, len(rows))
    previous = previous.scatter(rows["slot"], found)
    before, after = by_id["before_snapshot"], by_id["after_snapshot"]

    def unlike(start: int) -> pl.Series:
        return before[start : start + BATCH] != after.gather(previous[start : start + BATCH])

    told = side_by_side(unlike, range(0, len(rows), BATCH), BATCH)
    nothing = pl.Series([], dtype=pl.Boolean)
    return pl.DataFrame({"previous": previous, "unlike": pl.concat([nothing, *told])})


def image_suspects(by_id: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """UPDATEs that do not begin where the change before them in their entity ends: slot and what their images tell.

    ``begins`` is whether no change before them left their entity there: only such a one may have got the key of it.

    Args:
        by_id: The canonical columns by id; a row's number is its slot.
        rows: entity and slot of each, by entity and slot.
    """
    return _suspects(by_id, neighbours(by_id, rows))


def _suspects(by_id: pl.DataFrame, met: pl.DataFrame) -> pl.DataFrame:
    slots = ((by_id["operation"] == "UPDATE") & met["unlike"].fill_null(value=True)).arg_true()
    columns = ("entity_type", "entity_id", "before_snapshot", "after_snapshot", "metadata")
    last = by_id["operation"].gather(met["previous"].gather(slots))
    begins = last.is_null() | (last == "DELETE")
    suspects = by_id.select(columns)[slots].with_columns(slots.alias("slot"), begins.alias("begins"))
    return suspects.filter(pl.col("before_snapshot").is_not_null() & pl.col("after_snapshot").is_not_null())


def by_images(suspects: pl.DataFrame, fields_of: Callable[[str], KeyFields]) -> pl.DataFrame:
    """``LINKS``' columns of the suspects whose before image has another key, in their order."""
    found = []
    for (name,), group in suspects.group_by("entity_type", maintain_order=True):
        entity_type = str(name)
        fields = fields_of(entity_type)
        usual = fields.usual()
        if usual is not None:
            group = group.filter(~shows_key("before_snapshot", usual))  # noqa: PLW2901 - fewer of the same
        images = ("slot", "begins", "entity_id", "before_snapshot", "after_snapshot", "metadata")
        nameless: list[tuple[int, str, str]] = []
        for slot, begins, new, *told in group.select(images).iter_rows():
            old = fields.before(new, *told)
            if old is not None:
                found.append((slot, slot, entity_type, old.entity_id, new, "images", old.told))
            elif begins and fields.nameless(new, *told):
                nameless.append((slot, new, told[0]))
        others = fields.left_elsewhere([(new, before) for _, new, before in nameless])
        pairs = zip(nameless, others, strict=True)
        found += [(slot, slot, entity_type, old, new, "images", False) for (slot, new, _), old in pairs if old]
    return pl.DataFrame(found, schema=LINKS, orient="row").sort("came", maintain_order=True)


def _by_metadata(told: pl.DataFrame) -> pl.DataFrame | None:
    """DELETEs and INSERTs that our capture linked; of several alike in a transaction the first goes with the first."""
    told = told.filter(pl.col("metadata").str.contains('"rekeyed_', literal=True))
    if told.is_empty():
        return None
    sides = []
    for operation, word in (("DELETE", "rekeyed_to"), ("INSERT", "rekeyed_from")):
        side = told.with_columns(other=_word(word)).filter(
            (pl.col("operation") == operation) & pl.col("other").is_not_null()
        )
        ids = ("entity_id", "other") if operation == "DELETE" else ("other", "entity_id")
        sides.append(side.select("slot", "entity_type", "transaction_id", old=ids[0], new=ids[1]))
    key = ["entity_type", "transaction_id", "old", "new"]
    gone, came = (side.with_columns(turn=pl.int_range(pl.len()).over(key)) for side in sides)
    pairs = came.join(gone, on=[*key, "turn"], how="full", coalesce=True, nulls_equal=True, suffix="_left")
    whole = pl.col("slot").is_not_null() & pl.col("slot_left").is_not_null()
    return pairs.select(
        pl.coalesce("slot_left", "slot").alias("left"),
        pl.coalesce("slot", "slot_left").alias("came"),
        *key[:1],
        *key[2:],
        pl.lit("metadata").alias("how"),
        whole.alias("linked"),
    )


def _by_partition(told: pl.DataFrame) -> pl.DataFrame | None:
    """Rows that left a partition and came to another under a key that differs in one column, as such moves do.

    PostgreSQL fires the DELETE and the INSERT of a row that moves one right after the other.
    """
    if not told["metadata"].str.contains('"partition"', literal=True).any():
        return None
    placed = told.with_columns(place=partition()).filter(
        pl.col("place").is_not_null() & pl.col("transaction_id").is_not_null()
    )
    placed = placed.sort("entity_type", "transaction_id", "slot")
    same = pl.all_horizontal(pl.col(name) == pl.col(name).shift() for name in ("entity_type", "transaction_id"))
    moved = same & (pl.col("operation") == "INSERT") & (pl.col("operation").shift() == "DELETE")
    moved &= (pl.col("place") != pl.col("place").shift()) & (pl.col("entity_id") != pl.col("entity_id").shift())
    moved &= ~pl.any_horizontal(
        each.str.contains('"rekeyed_', literal=True) for each in (pl.col("metadata"), pl.col("metadata").shift())
    )
    pairs = placed.with_columns(
        left=pl.col("slot").shift(), old=pl.col("entity_id").shift(), was=pl.col("metadata").shift()
    ).filter(moved)
    own = [_one_column_moved(was, now) for was, now in pairs.select("was", "metadata").iter_rows()]
    return pairs.filter(pl.Series(own, dtype=pl.Boolean)).select(
        "left",
        pl.col("slot").alias("came"),
        "entity_type",
        "old",
        pl.col("entity_id").alias("new"),
        pl.lit("partition move").alias("how"),
        pl.lit(value=True).alias("linked"),
    )


def _one_column_moved(was: str, now: str) -> bool:
    """Whether the keys that two changes wrote down are of several columns and differ in one of them."""
    try:
        old, new = (json.loads(text, parse_float=str).get("key") for text in (was, now))
    except (ValueError, RecursionError):
        return False
    if not isinstance(old, dict) or not isinstance(new, dict) or old.keys() != new.keys():
        return False
    return len(old) > 1 and sum(old[name] != new[name] for name in old) == 1

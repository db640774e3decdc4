"""The one order of a log, and the life of each entity in it.

Inside an entity the order is the id's, repaired inside one transaction where the images say so (:mod:`auditlab.links`).
Time never orders changes: it is carried along, as the running maximum of the log's one clock (the effective time).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from auditlab.dictionary import hash_codes
from auditlab.linked import reordered
from auditlab.links import ABSENT, Step, canonical_document, link
from auditlab.lives import lives
from auditlab.rekeys import LINKS, NO_LINKS, neighbours, rekeys
from auditlab.rows import rows_of

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Sequence", "numbered", "sequence"]

SLOT_BITS = 32
"""Bits of a row's number, and of an entity's: two of them go into one UInt64."""


@dataclass(frozen=True, slots=True)
class Sequence:
    """A log in its order.

    Args:
        changes: The canonical columns, one row a change, in the log's order; a row's number is its position.
        steps: One row a change of one entity, by entity and turn: :data:`auditlab.lives.STEPS`. A TRUNCATE stands once
            for each entity that it ended, a change of a key in the entity that it ended and in the one that it began.
        unordered: Positions (UInt32) of changes whose order inside their transaction is ambiguous: id decided.
        links: :data:`auditlab.rekeys.LINKS`, the slots as row numbers of ``changes`` before they were put in order
            (by id), with ``position`` of the change that began the new key, and ``certain``, which is false where it is
            in doubt whether a key was free before it was taken.
        met: By position, ``previous`` (the position of the entity's change before) and ``unlike`` of
            :func:`auditlab.rekeys.neighbours`; None where images changed the order, or keys were not looked for.
    """

    changes: pl.DataFrame
    steps: pl.DataFrame
    unordered: pl.Series
    links: pl.DataFrame
    met: pl.DataFrame | None = None

    def same_text(self, positions: pl.Series) -> pl.Series | None:
        """By place in ``positions``, that of the change whose after image is the same text as this one's before image.

        UInt32; null where the order did not find one, None where it found none at all.

        Args:
            positions: Those of all changes of an entity type.
        """
        if self.met is None:
            return None
        like = self.met[positions].select(pl.when(~pl.col("unlike")).then("previous")).to_series()
        return rows_of(like, positions)


def sequence(
    changes: pl.DataFrame,
    *,
    clock: str,
    kinds: Mapping[str, Mapping[str, str]],
    keys: Mapping[str, tuple[str, ...]] | None = None,
    links: pl.DataFrame | None = None,
) -> Sequence:
    """Put ``changes`` (canonical columns, in any order) in the log's order.

    Args:
        changes: The recorded changes.
        clock: The column that dates them: ``changed_at`` or ``committed_at``.
        kinds: entity type -> field -> kind, as the source's catalog declares them.
        keys: entity type -> the columns of its primary key, as the source's catalog declares them.
        links: The changes of keys, where a larger log told them: its ``Sequence.links``, whose row numbers are then in
            the column ``row`` of ``changes``. Without it, they are looked for.
    """
    by_id = changes.sort("id", maintain_order=True)
    rows = numbered(by_id, clock)
    met = None
    if links is None:
        met = neighbours(by_id, rows)
        links = rekeys(by_id, met, keys or {})
    else:
        links = _within(links, by_id)
    told = links.with_row_index("link").filter("linked")
    if told.is_empty():
        rows, unordered = _repair(rows, by_id, kinds)
        steps, links = rows, links.with_columns(certain=pl.lit(value=True))
    else:
        steps, unordered, links = _relinked(rows, by_id, kinds, links, told)
        rows = steps.filter("own")
    unordered = pl.concat([unordered, _doubled(rows, by_id)])
    moved = not rows["slot"].equals(rows["position"])
    ordered = by_id[rows.sort("position")["slot"]] if moved else by_id
    if links.is_empty():
        links = links.with_columns(position=pl.lit(None, dtype=pl.UInt32))
    else:
        places = rows.filter(pl.col("slot").is_in(links["came"].implode())).select(came="slot", position="position")
        links = links.join(places, on="came", how="left", maintain_order="left")
    return Sequence(ordered, lives(steps, by_id, told), unordered, links, None if moved else met)


def _relinked(
    rows: pl.DataFrame,
    by_id: pl.DataFrame,
    kinds: Mapping[str, Mapping[str, str]],
    links: pl.DataFrame,
    told: pl.DataFrame,
) -> tuple[pl.DataFrame, pl.Series, pl.DataFrame]:
    """The rows with each change of a key in both its entities, positions in doubt, and the links with ``certain``."""
    names = pl.concat([told.select("entity_type", entity_id=name) for name in ("old", "new")]).unique()
    touched = rows.join(names, on=["entity_type", "entity_id"], how="semi", maintain_order="left")
    plain = rows.join(names, on=["entity_type", "entity_id"], how="anti", maintain_order="left")
    plain, unordered = _repair(plain, by_id, kinds)
    free = int(rows["entity"].max()) + 1  # type: ignore[arg-type]  # a column of whole numbers
    found = reordered(touched, by_id, told, kinds, free=free)
    moved = found.rows.filter(pl.col("slot").is_in(pl.Series(found.unordered, dtype=pl.UInt32).implode()))
    plain = plain.with_columns(
        link=pl.lit(None, dtype=pl.UInt32), leaves=pl.lit(value=False), own=pl.lit(value=True), turn="position"
    )
    steps = pl.concat([plain, found.rows.select(plain.columns)]).sort("entity", "turn")
    doubtful = pl.Series(found.doubtful, dtype=pl.UInt32).implode()
    links = links.with_columns(certain=~pl.int_range(pl.len(), dtype=pl.UInt32).is_in(doubtful))
    return steps, pl.concat([unordered, moved["position"].unique()]), links


def _within(links: pl.DataFrame, by_id: pl.DataFrame) -> pl.DataFrame:
    """The links of a larger log whose changes are all here, by their slots here."""
    if links.is_empty():
        return NO_LINKS
    slots = by_id.select("row").with_row_index("slot")
    for side in ("left", "came"):
        here = slots.rename({"row": side, "slot": f"{side}_slot"})
        links = links.join(here, on=side, how="inner", maintain_order="left").drop(side)
    return links.rename({"left_slot": "left", "came_slot": "came"}).select(*LINKS)


def numbered(by_id: pl.DataFrame, clock: str) -> pl.DataFrame:
    """The narrow columns that order needs, by entity and id; ``epoch`` counts the TRUNCATEs up to a row.

    Rows without an entity id are one entity a type.
    """
    rows = _by_entity(by_id, clock, hash_codes(_hashes(by_id))[0])
    same = pl.col("entity") == pl.col("entity").shift()
    names = (pl.col(name).ne_missing(pl.col(name).shift()) for name in ("entity_id", "entity_type"))
    if rows.select((same & pl.any_horizontal(names)).any()).item():  # two entities share a hash
        return _by_entity(by_id, clock, _entities(by_id))
    return rows


def _by_entity(by_id: pl.DataFrame, clock: str, entity: pl.Series) -> pl.DataFrame:
    """The rows of :func:`numbered`, by the number of each row's entity."""
    # Entity and slot in one integer: that one column is sorted by NumPy in a fourth of the time that Polars takes.
    key = entity.to_numpy().astype(np.uint64)
    key <<= SLOT_BITS
    key |= np.arange(len(key), dtype=np.uint64)
    key.sort()
    slot = pl.Series(key.astype(np.uint32))
    entity = pl.Series((key >> SLOT_BITS).astype(np.uint32))
    columns = ("entity_type", "entity_id", "operation", "transaction_id")
    rows = by_id.select(*columns, pl.col(clock).alias("clock"))[slot]
    epoch = pl.lit(0, dtype=pl.UInt32)
    if (by_id["operation"] == "TRUNCATE").any():
        truncates = (pl.col("operation") == "TRUNCATE").cast(pl.UInt32).cum_sum().over("entity_type")
        epoch = pl.lit(by_id.select(truncates).to_series().gather(slot))
    return rows.with_columns(epoch=epoch, entity=entity, slot=slot, position=slot)


def _hashes(by_id: pl.DataFrame) -> pl.Series:
    return by_id.select("entity_type", "entity_id").hash_rows()


def _entities(by_id: pl.DataFrame) -> pl.Series:
    """The number of each row's entity (UInt32) by its type and id themselves, which takes three times as long."""
    pairs = by_id.select("entity_type", "entity_id")
    known = pairs.unique(maintain_order=True).with_row_index("entity")
    return pairs.join(known, on=pairs.columns, how="left", nulls_equal=True, maintain_order="left")["entity"]


def _repair(
    rows: pl.DataFrame, by_id: pl.DataFrame, kinds: Mapping[str, Mapping[str, str]]
) -> tuple[pl.DataFrame, pl.Series]:
    """``rows`` with the positions of wrongly ordered transactions put right, by entity and position."""
    suspects = _suspects(rows, by_id)
    moved: dict[int, int] = {}
    unordered: list[int] = []
    last, end = -1, None
    for group in suspects.iter_rows(named=True):
        slots, declared = group["slots"], kinds.get(group["entity_type"], {})
        images = by_id.select("operation", "before_snapshot", "after_snapshot")[slots]
        steps = [_step(operation, before, after, declared) for operation, before, after in images.iter_rows()]
        if group["previous"] is None:
            start = ABSENT if group["epoch"] else None
        elif last == group["previous"]:
            start = end
        else:
            earlier = by_id.select("operation", "before_snapshot", "after_snapshot").row(group["previous"])
            start = _step(earlier[0], earlier[1], earlier[2], declared).after
        order, certain, end = link(steps, start)
        last = slots[-1]
        moved.update({slots[number]: slots[place] for place, number in enumerate(order)})
        if not certain:
            unordered += slots
    if not any(slot != place for slot, place in moved.items()):
        return rows, pl.Series("position", unordered, dtype=pl.UInt32)
    moves = pl.DataFrame(
        {"slot": list(moved), "moved": list(moved.values())},
        schema_overrides=dict.fromkeys(("slot", "moved"), pl.UInt32),
    )
    rows = rows.join(moves, on="slot", how="left", maintain_order="left").with_columns(
        position=pl.coalesce("moved", "position")
    )
    return rows.drop("moved").sort("entity", "position"), pl.Series("position", unordered, dtype=pl.UInt32)


def _doubled(rows: pl.DataFrame, by_id: pl.DataFrame) -> pl.Series:
    """Positions of different changes of one entity that have one id: which came first cannot be told."""
    if not (by_id["id"] == by_id["id"].shift()).any():
        return rows["position"].clear()
    entity = rows.filter(pl.col("entity_id").is_not_null())
    entity = entity.with_columns(id=by_id["id"].gather(entity["slot"]))
    return entity.filter(pl.struct("entity", "id").is_duplicated())["position"]


_SUSPECTS = {"entity_type": pl.String(), "epoch": pl.UInt32(), "slots": pl.List(pl.UInt32()), "previous": pl.UInt32()}
"""``slots`` are those of a group by id, ``previous`` is that of the entity's change before it."""

_NO_SUSPECTS = pl.DataFrame(schema=_SUSPECTS)


def _suspects(rows: pl.DataFrame, by_id: pl.DataFrame) -> pl.DataFrame:
    """``_SUSPECTS``: groups of one entity's changes in one transaction whose images do not link, texts compared."""
    key = ["entity", "epoch", "transaction_id"]
    same = pl.all_horizontal(pl.col(name) == pl.col(name).shift() for name in ("entity", "epoch"))
    # Where an entity's transaction ids only grow, none comes twice: only the others are worth the grouping.
    grows = (pl.col("transaction_id") > pl.col("transaction_id").shift()).fill_null(value=False)
    again = (pl.col("entity") == pl.col("entity").shift()) & pl.col("transaction_id").is_not_null() & ~grows
    entities = rows.filter(again & pl.col("entity_id").is_not_null())["entity"].unique()
    if entities.is_empty():
        return _NO_SUSPECTS
    mixed = rows.filter(pl.col("entity").is_in(entities.implode()))
    tied = mixed.filter(pl.col("transaction_id").is_not_null())
    crowded = mixed.with_columns(previous=pl.when(same).then(pl.col("slot").shift())).join(
        tied.group_by(key).len().filter(pl.col("len") > 1).drop("len"), on=key, how="semi", maintain_order="left"
    )
    if crowded.is_empty():
        return _NO_SUSPECTS
    after = by_id["after_snapshot"].gather(crowded["previous"])
    before = by_id["before_snapshot"].gather(crowded["slot"])
    begins, first = crowded["operation"] == "INSERT", crowded["previous"].is_null()
    gone = (by_id["operation"].gather(crowded["previous"]) == "DELETE").fill_null(value=False)
    gone |= first & (crowded["epoch"] > 0)  # a TRUNCATE left nothing
    unlike = before.ne_missing(after) & ~first
    linked = crowded.with_columns(broken=unlike | ((gone != begins) & ~(first & (crowded["epoch"] == 0))))
    return (
        linked.group_by(key, maintain_order=True)
        .agg(pl.first("entity_type"), pl.col("slot").alias("slots"), pl.first("previous"), pl.any("broken"))
        .filter(pl.col("broken"))
        .select("entity_type", "epoch", "slots", "previous")
    )


def _step(operation: str, before: str | None, after: str | None, kinds: Mapping[str, str]) -> Step:
    absent_before, absent_after = operation == "INSERT", operation == "DELETE"
    return Step(
        ABSENT if absent_before else canonical_document(before, kinds),
        ABSENT if absent_after else canonical_document(after, kinds),
    )

"""The order of entities whose rows got another key: a row leaves one entity and goes on as another at one change.

That change stands in both: in the entity that it ends, as a change to nothing, and in the one that it begins, as a
change from nothing. So the images order each entity's changes inside one transaction as they do everywhere, also where
a statement permutes keys: an id is free before a row takes it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from auditlab.links import ABSENT, Step, canonical_document, link, links_otherwise

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Reordered", "reordered"]

GROUP = ("entity", "epoch", "transaction_id")
IMAGES = ("before", "after", "absent_before", "absent_after")
STEP = ("item", "slot", "own", "link", "leaves", *IMAGES)


class Reordered(NamedTuple):
    """Entities with linked rows, in their order.

    Args:
        rows: The rows with ``link`` (the number of the link, UInt32), ``leaves`` (it ends its entity by that link) and
            ``turn``, the order inside of an entity. A change that stands in two entities has two rows with one slot;
            the one in the entity that it is not named after is not ``own``.
        unordered: Slots of changes whose order in their transaction is ambiguous.
        doubtful: Numbers of links of which the images do not tell whether the key was free before it was taken.
    """

    rows: pl.DataFrame
    unordered: list[int]
    doubtful: list[int]


def reordered(
    rows: pl.DataFrame,
    by_id: pl.DataFrame,
    links: pl.DataFrame,
    kinds: Mapping[str, Mapping[str, str]],
    *,
    free: int,
) -> Reordered:
    """The rows of the entities that links touch, each link's change in both of its entities, by entity and turn.

    Args:
        rows: The rows of those entities as ``auditlab.order`` makes them, by entity and slot.
        by_id: The canonical columns by id.
        links: ``auditlab.rekeys.LINKS``' columns with ``link``, those that are linked.
        kinds: entity type -> field -> kind, as the source's catalog declares them.
        free: From where on the numbers of entities are free, for those that no row is named after.
    """
    items = _items(rows, links, free).sort("entity", "slot")
    absent_before = (pl.col("operation") == "INSERT") | (pl.col("link").is_not_null() & ~pl.col("leaves"))
    absent_after = (pl.col("operation") == "DELETE") | pl.col("leaves")
    items = items.with_columns(
        before=pl.when(~absent_before).then(pl.lit(by_id["before_snapshot"].gather(items["slot"]))),
        after=pl.when(~absent_after).then(pl.lit(by_id["after_snapshot"].gather(items["slot"]))),
        absent_before=absent_before,
        absent_after=absent_after,
        follows=pl.all_horizontal(pl.col(name) == pl.col(name).shift() for name in ("entity", "epoch")).fill_null(
            value=False
        ),
    ).with_row_index("item")
    found = _repaired(items, _suspects(items), links, kinds)
    turn = position = pl.col("slot")
    if found.turns:
        turn = pl.col("item").replace_strict(found.turns, default=pl.col("slot"), return_dtype=pl.UInt32)
        position = pl.col("slot").replace_strict(found.positions, default=pl.col("slot"), return_dtype=pl.UInt32)
    items = items.with_columns(turn=turn, position=position)
    ordered = items.select(*rows.columns, "link", "leaves", "own", "turn").sort("entity", "turn")
    return Reordered(ordered, found.unordered, found.doubtful)


def _items(rows: pl.DataFrame, links: pl.DataFrame, free: int) -> pl.DataFrame:
    """The rows with ``link``, ``leaves`` and ``own``; beside them, not ``own``, the ends without a row."""
    ended = links.filter(pl.col("left") != pl.col("came")).select(slot="left", ended="link")
    own = rows.join(links.select(slot="came", begun="link"), on="slot", how="left", maintain_order="left")
    own = own.join(ended, on="slot", how="left", maintain_order="left").with_columns(
        link=pl.coalesce("begun", "ended"), leaves=pl.col("ended").is_not_null(), own=pl.lit(value=True)
    )
    own = own.drop("begun", "ended")
    alone = links.filter(pl.col("left") == pl.col("came")).select("link", slot="came", was="old")
    names = rows.select("entity_type", "entity_id", "entity").unique(maintain_order=True)
    told = alone.join(rows, on="slot", maintain_order="left").drop("entity_id", "entity").rename({"was": "entity_id"})
    new = told.select("entity_type", "entity_id").unique(maintain_order=True)
    new = new.join(names, on=["entity_type", "entity_id"], how="anti", maintain_order="left")
    names = pl.concat([names, new.with_row_index("entity", offset=free).select(names.columns)])
    told = told.join(names, on=["entity_type", "entity_id"], how="left", maintain_order="left")
    told = told.with_columns(leaves=pl.lit(value=True), own=pl.lit(value=False))
    return pl.concat([own, told.select(own.columns)])


def _suspects(items: pl.DataFrame) -> pl.DataFrame:
    """Groups of one entity's changes in one transaction that do not link as they stand, or not only so.

    One row a group, its members' columns as lists, by slot; ``previous`` is the item before the group.
    """
    gone = pl.when("follows").then(pl.col("absent_after").shift()).when(pl.col("epoch") > 0).then(pl.lit(value=True))
    unlike = pl.col("follows") & pl.col("before").ne_missing(pl.col("after").shift())
    broken = unlike | (pl.col("absent_before") != gone).fill_null(value=False)
    crowded = items.with_columns(
        broken=broken, previous=pl.when(pl.col("follows")).then(pl.col("item").shift())
    ).filter(pl.col("transaction_id").is_not_null() & (pl.len().over(GROUP) > 1))
    passing = pl.col("link").is_not_null()
    groups = crowded.group_by(GROUP, maintain_order=True).agg(
        *STEP,
        pl.first("entity_type"),
        pl.first("previous"),
        pl.any("broken"),
        both=(passing & pl.col("leaves")).any() & (passing & ~pl.col("leaves")).any(),
    )
    unknown = pl.col("previous").is_null() & (pl.col("epoch") == 0)
    return groups.filter(pl.col("broken") | (pl.col("both") & unknown))


class _Found(NamedTuple):
    turns: dict[int, int]
    positions: dict[int, int]
    unordered: list[int]
    doubtful: list[int]


def _repaired(
    items: pl.DataFrame, suspects: pl.DataFrame, links: pl.DataFrame, kinds: Mapping[str, Mapping[str, str]]
) -> _Found:
    """Of the suspects the turn by item, the position by slot, the slots out of order and the links in doubt."""
    found = _Found({}, {}, [], [])
    circles: set[int] | None = None
    last, end = -1, None
    for group in suspects.iter_rows(named=True):
        numbers, slots, declared = group["item"], group["slot"], kinds.get(group["entity_type"], {})
        steps = [_step(step, declared) for step in zip(*(group[name] for name in IMAGES), strict=True)]
        if group["previous"] is None:
            start = ABSENT if group["epoch"] else None
        elif last == group["previous"]:
            start = end
        else:
            start = _step(items.select(IMAGES).row(group["previous"]), declared).after
        order, certain, end = link(steps, start)
        last = numbers[-1]
        found.turns.update({numbers[number]: slots[place] for place, number in enumerate(order)})
        own = [number for number in order if group["own"][number]]
        found.positions.update(
            zip((slots[number] for number in own), sorted(slots[number] for number in own), strict=True)
        )
        passing = [number for number in order if group["link"][number] is not None]
        if start is None and len(passing) > 1 and links_otherwise(steps):
            circles = _circles(links, items) if circles is None else circles
            told = {group["link"][number] for number in passing}
            if group["leaves"][passing[0]] or told & circles:
                found.doubtful.extend(sorted(told))
                certain = False
        if not certain:
            found.unordered.extend(slots)
    return found


def _step(images: tuple[str | None, str | None, bool, bool], kinds: Mapping[str, str]) -> Step:
    before, after, absent_before, absent_after = images
    return Step(
        ABSENT if absent_before else canonical_document(before, kinds),
        ABSENT if absent_after else canonical_document(after, kinds),
    )


def _circles(links: pl.DataFrame, items: pl.DataFrame) -> set[int]:
    """The links that lead back, inside of one transaction, to the key that they changed (or lie between such)."""
    number = items.select(came="slot", transaction="transaction_id").unique("came", keep="any")
    told = links.join(number, on="came", how="left")
    edges = {
        row[0]: ((*row[1:3], row[3]), (*row[1:3], row[4]))
        for row in told.select("link", "entity_type", "transaction", "old", "new").iter_rows()
    }
    for here, there in ((0, 1), (1, 0)):  # what nothing leads to, or what leads nowhere, is in no circle
        leaving: dict[tuple[object, ...], list[int]] = defaultdict(list)
        arriving = Counter(edge[there] for edge in edges.values())
        for passed, edge in edges.items():
            leaving[edge[here]].append(passed)
        waiting = [place for place in leaving if not arriving[place]]
        while waiting:
            for passed in leaving.pop(waiting.pop(), ()):
                goal = edges.pop(passed)[there]
                arriving[goal] -= 1
                if not arriving[goal]:
                    waiting.append(goal)
    return set(edges)

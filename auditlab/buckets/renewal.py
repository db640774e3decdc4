"""What is kept at a position, from what was kept earlier and the rows since: the same as from the whole log."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl

from auditlab.buckets.checkpoint import MOST, Kept, Untold, last_changes
from auditlab.buckets.near import BEHIND, part_of
from auditlab.buckets.onwards import deciding
from auditlab.keyfields import key_sample
from auditlab.schema import CHANGES

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditlab.buckets.near import Near
    from auditlab.buckets.part import Part
    from auditlab.buckets.types import First, Told

__all__ = ["goes_on", "renewed"]


def goes_on(near: Near) -> str:
    """Why what was kept earlier cannot be renewed, but must be found in the whole log; '' where it can."""
    kept, name, rows = near.kept, near.kept.entity_type, near.rows
    behind = bool((rows["id"] > kept.ids[1]).all())
    doubled = bool(rows.select("id", "entity_id").is_duplicated().any())
    told = {
        "marks may tell of earlier changes, too": bool(near.facts.marks or near.before.marks),
        "it is told otherwise whether rows were there before its log began": (
            (name in near.facts.partial) != (name in near.before.partial)
        ),
        "its log had no change yet": kept.changed is None and len(rows) > 0,
        "keys were changed, or a TRUNCATE came": len(near.links) > 0 or near.touched() is None,
        "changes came that stand among those before": (
            not behind and bool(kept.truncates or kept.links or kept.transactions is None)
        ),
        "keys were changed, and changes of one entity have one id": bool(kept.links) and doubled,
    }
    return next((why for why, so in told.items() if so), "")


def renewed(
    near: Near, find: Callable[[str, list[str]], pl.DataFrame], *, take: Callable[[pl.DataFrame], None]
) -> Kept:
    """What a log tells of one entity type, as ``checkpoint.keep`` finds it; ``take`` gets the rows that are kept.

    Args:
        near: What was kept, and the rows since.
        find: As in ``onwards.onwards``.
        take: As in ``checkpoint.keep``; it is called once, when all is known.

    Raises:
        Untold: it does not follow from these, or nothing can be kept of the type.
    """
    if why := goes_on(near):
        raise Untold(why)
    kept, since = near.kept, near.rows
    deciding_rows, unseen = deciding(near, find)
    struck = pl.Series([], dtype=pl.Int64)
    part = part_of([near], deciding_rows, near.types, near.all_links(deciding_rows), near.whole(struck, unseen))
    if not part.sequence.links["certain"].all():
        raise Untold("a change of a key is in doubt")
    last = last_changes(part, kept.entity_type)
    odd = last.filter("odd")["entity_id"]
    gone = last.filter(~pl.col("odd") & pl.col("ends"))["most"]
    touched = near.touched()
    if len(odd) > MOST or touched is None:
        raise Untold(f"more than {MOST:,} of its entities have no plain history")
    others = near.left.others(touched)
    rows = pl.concat([*_rows(near, part, last, find), others]).sort("entity_id", maintain_order=True)
    if rows.is_empty():
        raise Untold("none of its rows is live")
    take(rows)
    ids = since["transaction_id"]
    numbers = [*(kept.transactions or ()), *ids.drop_nulls().bottom_k(1), *ids.drop_nulls().top_k(1)]
    stamps = since["committed_at"]
    stamped = kept.committed_at is not None and not stamps.null_count()
    spans = [*kept.ids, *since["id"].bottom_k(1), *since["id"].top_k(1)]
    return replace(
        kept,
        rows=kept.rows + len(since),
        ids=(min(spans), max(spans)),
        transactions=(min(numbers), max(numbers)) if numbers else None,
        unnumbered=kept.unnumbered + ids.null_count() + int((ids < 1).sum()),
        nulls=kept.nulls + ids.null_count(),
        changed_at=max(kept.changed_at, *since["changed_at"].top_k(1)) if len(since) else kept.changed_at,
        committed_at=max([kept.committed_at, *stamps.top_k(1)]) if stamped else None,
        fields=tuple(_placed(told, kept) for told in near.types.told(kept.entity_type)),
        unseen=unseen,
        sample=_sample(near),
        whole=tuple(sorted(odd)),
        dropped=max([kept.dropped, *gone.top_k(1).to_list()]),
    )


def _rows(
    near: Near, part: Part, last: pl.DataFrame, find: Callable[[str, list[str]], pl.DataFrame]
) -> list[pl.DataFrame]:
    """``CHANGES`` to keep of the entities that were looked at: the last of one with a plain history, all of another."""
    kept = near.kept
    odd = last.filter("odd")["entity_id"]
    live = last.filter(~pl.col("odd") & ~pl.col("ends"))["position"]
    truncate = pl.col("operation") == "TRUNCATE"
    plain = part.taken(pl.col("position").is_in(live.implode()) | truncate).select(*CHANGES)
    own = pl.col("entity_id").is_in(odd.implode())
    new = odd.filter(~odd.is_in(kept.whole)).to_list()
    known = near.left.rows(odd.filter(odd.is_in(kept.whole))).filter(own & ~pl.col("entity_id").is_in(new))
    found = [find(kept.entity_type, new).select(*CHANGES)] if new else []
    return [plain, known, *found, near.rows.filter(own).select(*CHANGES)]


def _sample(near: Near) -> tuple[tuple[int, str, str], ...]:
    """``key_sample`` of the whole: the sample of samples."""
    columns = ("id", "entity_id", "after_snapshot")
    early = pl.DataFrame(near.kept.sample, schema={name: CHANGES[name] for name in columns}, orient="row")
    return tuple(key_sample(pl.concat([early, key_sample(near.rows)])).iter_rows())


def _placed(told: Told, kept: Kept) -> Told:
    """What is told of a field, its first change numbered as it came among all."""
    name, (late, at, arrival, place), witnesses = told
    first: First = (late, at, arrival - BEHIND + kept.rows if arrival >= BEHIND else arrival, place)
    return name, first, witnesses

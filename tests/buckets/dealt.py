"""A log dealt out into buckets, and every verb that is asked of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import polars as pl

import auditlab as al
from auditlab.buckets.bucketed import Bucketed, Rows
from auditlab.buckets.dealing import AMPLIFIED, SHARE
from auditlab.changelog import ChangeLog
from auditlab.schema import CHANGES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from same_answers import Verbs

ENOUGH = 12
"""Changes that a generated log has at the least, so that several buckets have some."""


def dealt_out(log: al.ChangeLog[Any], buckets: int) -> al.ChangeLog[pl.LazyFrame]:
    """The same log, asked in so many buckets."""
    selected = log._selected  # noqa: SLF001 - what a scanned archive would be, without the archive
    recorded = selected.recorded
    rows = recorded.changes.sort("row")  # as it came: by id
    size = int(rows.estimated_size())

    def batches(entity_types: tuple[str, ...]) -> Iterator[tuple[pl.DataFrame, bool]]:
        own = rows.filter(pl.col("entity_type").is_in(entity_types))
        for early in (True, False):
            for part in own.filter(pl.col("baseline") == early).select(*CHANGES).iter_slices(7):
                yield part, early

    room = -(-size * AMPLIFIED * SHARE // buckets)
    bucketed = Bucketed(Rows(batches, len(rows), size), recorded.facts, entity_types=recorded.entity_types, room=room)
    assert -(-bucketed.needed * SHARE // room) == buckets
    return ChangeLog(replace(selected, recorded=bucketed), lazy=True)


def rows_of_evidence(log: al.ChangeLog[Any]) -> pl.DataFrame:
    """The rows behind all findings; those of one change in any order."""
    found = log.evidence()
    rows = [found.rows(kind).with_columns(kind=pl.lit(kind)) for kind in found.findings["kind"].sort()]
    return pl.concat(rows).sort(pl.all()) if rows else pl.DataFrame()


def asked_of(log: al.ChangeLog[Any]) -> Verbs:
    """Every verb that a log in buckets answers, over all types and over each of them."""
    coverage = log.facts.coverage
    assert coverage.start is not None
    assert coverage.end is not None
    start, end = coverage.start, coverage.end
    middle = start + (end - start) / 2
    rows = log._selected.recorded.changes  # noqa: SLF001 - to choose what to ask for
    ids = rows["id"].unique().sort()
    transactions = rows["transaction_id"].drop_nulls().unique().sort()
    transaction = transactions[len(transactions) // 2] if len(transactions) else 1
    mark = al.Mark(at=middle, snapshot=f"{transaction}:{transaction + 1}:{transaction}")
    user = next(iter(rows["changed_by"].drop_nulls()), None)
    spine = pl.DataFrame(
        {
            "entity_id": [*rows["entity_id"].drop_nulls().unique().sort()[:40], "nobody", None],
        }
    ).join(
        pl.DataFrame({"at": [start, middle, end, None]}, schema_overrides={"at": pl.Datetime("us", "UTC")}), how="cross"
    )
    every: Verbs = {
        "changes": lambda log: log.changes(),
        "as of": lambda log: log.as_of(),
        "as of a time": lambda log: log.as_of(middle),
        "keys as of a time": lambda log: log.as_of(middle, fields=[]),
        "as of an id": lambda log: log.as_of(id=int(ids[len(ids) // 2])),
        "as of a transaction": lambda log: log.as_of(transaction=transaction),
        "as of no transaction": lambda log: log.as_of(transaction=-7),
        "as of a mark": lambda log: log.with_marks(mark, visible_within=0).as_of(mark=mark),
        "blame as of a mark": lambda log: log.with_marks(mark, visible_within=0).blame(mark=mark),
        "compare marks": lambda log: log.with_marks(mark, visible_within=0).compare(marks=(mark, mark)),
        "as of a time with a mark": lambda log: log.with_marks(mark, visible_within=60).as_of(middle),
        "compare with a mark": lambda log: log.with_marks(mark, visible_within=60).compare(start, middle),
        "doubtful": lambda log: log.with_marks(mark, visible_within=60).doubtful(middle),
        "history": lambda log: log.history(),
        "diffs": lambda log: log.diffs(),
        "compare": lambda log: log.compare(middle, end),
        "compare steps": lambda log: log.compare(start, middle, steps=True),
        "blame": lambda log: log.blame(),
        "blame at a time": lambda log: log.blame(at=middle),
        "timeline": lambda log: log.timeline(),
        "replay": lambda log: log.replay(middle),
        "replay steps": lambda log: log.replay(steps=True),
        "key changes": lambda log: log.key_changes(),
        "fields": lambda log: log.fields(),
        "length": len,
        "repr": repr,
        "picked diffs": lambda log: log.by(user).diffs(),
        "picked changes": lambda log: log.where(operation="UPDATE").changes(),
        "picked timeline": lambda log: log.between(start, middle).timeline(),
        **{
            f"summary {name}": lambda log, name=name: getattr(log.summary(period="hour", recent=5), name)
            for name in ("totals", "by_operation", "by_user", "by_type", "by_period", "recent")
        },
        "why not an unknown one": lambda log: log.why_not("nobody", middle),
        "records": list,
        "an Arrow stream": pl.DataFrame,
        "picked records": lambda log: list(log.by(user)),
        **{
            f"activity {name}": lambda log, name=name: getattr(log.activity(), name)
            for name in ("period", "by_operation", "by_user", "by_hour", "by_entity", "by_field", "by_size")
        },
        "picked activity": lambda log: log.by(user).activity(period="hour").by_field,
        "evidence": lambda log: log.evidence().findings,
        "evidence without documents": lambda log: log.evidence(documents=False).findings,
        "changes looked at": lambda log: log.evidence(documents=False).changes,
        "evidence rows": rows_of_evidence,
        "drift": lambda log: log.drift(),
        "picked summary": lambda log: log.where(operation="UPDATE").summary().totals,
    }
    for entity_type in log.entity_types:
        entity = rows.filter(pl.col("entity_type") == entity_type)["entity_id"].drop_nulls()
        for name in ("as of a time", "history", "diffs", "blame", "compare", "replay", "replay steps", "fields"):
            every[f"{name} of {entity_type}"] = lambda log, name=name, own=entity_type: every[name](log.of(own))
        field = log.selected.recorded.shape(entity_type).columns[:1]
        every[f"a field of {entity_type}"] = lambda log, own=entity_type, field=field: log.of(own).as_of(
            middle, fields=[one.name for one in field]
        )
        every[f"join {entity_type}"] = lambda log, own=entity_type: log.of(own).pit_join(spine, outside="flag")
        every[f"evidence of {entity_type}"] = lambda log, own=entity_type: rows_of_evidence(log.of(own))
        every[f"activity of {entity_type}"] = lambda log, own=entity_type: log.of(own).activity().by_field
        if len(entity):
            every[f"evidence of one of {entity_type}"] = lambda log, own=entity_type, key=entity[0]: rows_of_evidence(
                log.of(own).entity(key)
            )
        for key in entity.unique().sort()[:3]:
            for at in (start, middle, None):
                every[f"why not {key} of {entity_type} at {at}"] = lambda log, own=entity_type, key=key, at=at: (
                    log.why_not(key, at, entity_type=own)
                )
        if len(entity):
            every[f"one of {entity_type}"] = lambda log, own=entity_type, key=entity[0]: log.of(own).history(key)
            every[f"the timeline of one of {entity_type}"] = lambda log, own=entity_type, key=entity[0]: log.of(
                own
            ).timeline(key)
    return every

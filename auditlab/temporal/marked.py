"""As of a mark: the state that a transaction snapshot saw, neither more nor less.

What a snapshot sees is no prefix of the log's order. Inside an entity it is one, because a writer waits for the row
until the transaction before it is over: there the state is the version after the last change that was seen. Where it is
none, the entity is put in order anew, from the changes that were seen alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from auditlab import queries
from auditlab.engines.base import params_frame
from auditlab.errors import BadOption, IncompleteLog, MarkMismatch, NoData
from auditlab.marks import Mark, TransactionSnapshot, named
from auditlab.visibility import same_system

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditlab.selection import Selected
    from auditlab.shape import Shape

__all__ = ["docs_seen", "live_seen", "origins_seen", "untold_seen", "view"]

UPPER = "changes before"
"""How the filter of a load that ends at a time begins, in words."""


def view(selected: Selected, mark: Mark | str | None, snapshot: str | None) -> TransactionSnapshot:
    """What a mark, or the text of a snapshot, saw: checked that this log can tell.

    Raises:
        UnknownMark: no mark of that name is beside the log, or several are.
        BadMark: the text is no snapshot.
        MarkMismatch: the mark, or the log's transaction ids, are of another system or timeline.
        IncompleteLog: changes have no transaction id, or the log does not say up to where it goes.
        NoData: the mark saw what the log does not have, or is older than what it has.
    """
    facts = selected.recorded.facts
    if isinstance(mark, str):
        mark = named(facts.marks, mark)
    elif mark is not None and not isinstance(mark, Mark):
        raise BadOption(f"mark= takes a Mark or the name of one, got {mark!r}.")
    if mark is not None:
        same_system(facts, mark)
    seen = mark.sees if mark is not None else TransactionSnapshot.of(snapshot or "")
    _known_ids(selected)
    _covered(selected, mark, seen)
    _after_baselines(selected, seen, mark)
    return seen


def live_seen(
    selected: Selected, shape: Shape, seen: TransactionSnapshot, wanted: Sequence[str] | None = None
) -> pl.DataFrame:
    """The type's versions that a snapshot saw, by entity_id; ``wanted`` as in :func:`auditlab.temporal.asof.live`."""
    parts = [_answer(selected, part, seen, keep, wanted) for part, keep in _parts(selected, shape, seen)]
    return pl.concat(parts).sort("entity_id", maintain_order=True) if len(parts) > 1 else parts[0]


def docs_seen(selected: Selected, shape: Shape, seen: TransactionSnapshot) -> pl.DataFrame:
    """The type's states that a snapshot saw: entity_id and ``doc``, the number of the document."""
    states = [
        part.versions.gather(_last(part, seen)).filter(keep).select("entity_id", "doc")
        for part, keep in _parts(selected, shape, seen)
        if len(part.versions)
    ]
    return pl.concat([pl.DataFrame(schema={"entity_id": pl.String, "doc": pl.UInt32}), *states])


def origins_seen(selected: Selected, shape: Shape, seen: TransactionSnapshot) -> pl.DataFrame:
    """Each field of the type's states that a snapshot saw: ``auditlab.origins.FIELD_ORIGINS``' columns, by entity_id.

    How long a value was held is not always among them. The origin of a field is told by what came before, so that of a
    version stands in the whole log as it stood then.
    """
    parts = []
    for part, keep in _parts(selected, shape, seen):
        versions = part.versions.select("entity_id", "version").with_row_index("row")
        versions = versions[_last(part, seen)].filter(keep) if len(versions) else versions
        if selected.engine.on_frames:
            parts.append(part.origins.of(versions["row"]))
        else:
            tables = {"field_origins": part.field_origins, "seen": versions.drop("row")}
            parts.append(selected.engine.run(queries.text("analysis", "blame_mark"), tables, {}))
    return pl.concat(parts).sort("entity_id", "place") if len(parts) > 1 else parts[0]


def untold_seen(selected: Selected, shape: Shape, seen: TransactionSnapshot) -> pl.Series:
    """The ids of the entities of which the log does not tell what the snapshot saw."""
    found = []
    for part, keep in _parts(selected, shape, seen):
        steps = part.images.filter(keep)
        last = steps.filter(seen.seen(steps["transaction_id"])).unique("entity", keep="last", maintain_order=True)
        inside = last.join(part.untold, on=["entity_id", "position"], how="semi")["entity_id"]
        early = part.untold.filter(
            keep & pl.col("position").is_null() & ~pl.col("entity_id").is_in(last["entity_id"].implode())
        )
        found += [inside, early["entity_id"]]
    return pl.concat(found).unique()


def _parts(selected: Selected, shape: Shape, seen: TransactionSnapshot) -> list[tuple[Shape, pl.Expr]]:
    """The tables to ask, and of which entities each: those whose seen changes are no prefix are put in order anew."""
    own = pl.lit(value=True) if selected.entity_id is None else pl.col("entity_id") == selected.entity_id
    if shape.emptied_unseen(seen):
        alone = selected.recorded.shape_seen(shape.entity_type, seen)
        return [(alone, own), (shape, own & ~pl.col("entity_id").is_in(alone.places["entity_id"].unique().implode()))]
    steps = shape.places
    frame = steps.select("entity", "entity_id").with_columns(vis=seen.seen(steps["transaction_id"]))
    same = pl.col("entity") == pl.col("entity").shift()
    torn = frame.filter((same & pl.col("vis") & ~pl.col("vis").shift()).fill_null(value=False)).unique("entity")
    if shape.lines is not None:  # and the rows that they were under other keys: what one was set to, it took along
        lines = shape.lines.join(torn, on="entity", how="semi").select("line").unique()
        kin = shape.lines.join(lines, on="line", how="semi").select("entity")
        torn = frame.filter("vis").join(kin, on="entity", how="semi").unique("entity").vstack(torn)
    torn = torn.filter(own)
    if torn.is_empty():
        return [(shape, own)]
    anew = pl.col("entity_id").is_in(torn["entity_id"].unique().implode())
    return [(selected.recorded.shape_seen(shape.entity_type, seen), own & anew), (shape, own & ~anew)]


def _answer(
    selected: Selected, shape: Shape, seen: TransactionSnapshot, keep: pl.Expr, wanted: Sequence[str] | None
) -> pl.DataFrame:
    """The state of each entity that is to be kept after the last of its changes that was seen."""
    if selected.engine.on_frames:
        rows = shape.versions.gather(_last(shape, seen)) if len(shape.versions) else shape.versions
        return shape.with_fields(rows.filter(keep).sort("entity_id"), wanted)
    history = shape.history if wanted is None else shape.history.select("entity_id", "certain", *wanted)
    tables = {
        "steps": shape.places.filter(keep),
        "history": history.with_columns(shape.version_places),
        "running": pl.DataFrame({"transaction_id": pl.Series(seen.running, dtype=pl.Int64)}),
        "params": params_frame(xmin=(seen.xmin, pl.Int64()), xmax=(seen.xmax, pl.Int64())),
    }
    answer = selected.engine.run(queries.text("analysis", "as_of_mark"), tables, {})
    return answer.drop("place")


def _last(shape: Shape, seen: TransactionSnapshot) -> pl.Series:
    """The rows in ``versions`` of the states after each entity's last change that was seen, or before its first."""
    places = shape.places
    vis = seen.seen(places["transaction_id"])
    frame = places.select("entity", "made", "found").with_columns(vis=vis)
    same = pl.col("entity") == pl.col("entity").shift(-1)
    last = pl.col("vis") & ~(same & pl.col("vis").shift(-1)).fill_null(value=False)
    first = (pl.col("entity") != pl.col("entity").shift()).fill_null(value=True)
    row = pl.when(last).then(pl.col("made")).when(first & ~pl.col("vis")).then(pl.col("found"))
    return frame.select(row=row)["row"].drop_nulls()


def _known_ids(selected: Selected) -> None:
    recorded = selected.recorded
    rows = recorded.changes.filter(pl.col("entity_type").is_in(selected.entity_types))
    ids = rows["transaction_id"]
    none, every = recorded.unnumbered(selected.entity_types)
    if none:
        raise IncompleteLog(
            f"a mark tells by transaction ids, and {none:,} of {every:,} changes have none. "
            "Ask as of a time or of a change (at=, id=)."
        )
    if recorded.facts.snapshot is not None:
        foreign = ids.filter(~TransactionSnapshot.of(recorded.facts.snapshot).seen(ids))
        if len(foreign):
            raise MarkMismatch(
                f"{len(foreign):,} changes have transaction ids (e.g. {foreign[0]}) that were not committed when the "
                "log was read: the ids are of another system, of which this log was restored."
            )


def _covered(selected: Selected, mark: Mark | None, seen: TransactionSnapshot) -> None:
    """Refuse where the snapshot saw, or may have seen, what the log does not have."""
    facts = selected.recorded.facts
    start, end = facts.coverage.start, facts.coverage.end
    if facts.since is not None and seen.unseen_of(facts.since.mark.sees) is not None:
        asked = f"the mark {mark}" if mark is not None else "a snapshot"
        raise NoData(f"asked for {asked} that is older than what the log has. {facts.coverage.why}.")
    if start is None or end is None:
        raise NoData("the log holds no change; asked for its state as of a mark.")
    if facts.snapshot is not None:
        missing = TransactionSnapshot.of(facts.snapshot).unseen_of(seen)
        if missing is not None:
            raise NoData(
                f"the mark is younger than the log: it may have seen transaction {missing}, which was at work when the "
                "log was read, or begun later. Load the log again."
            )
    cut = facts.snapshot is None or any(UPPER in words for words in facts.filters)
    if mark is None:
        if cut:
            raise IncompleteLog(
                "whether the log has all that this snapshot saw cannot be told: it says neither when it was taken, nor "
                "does the log say in which snapshot it was read whole. Give a Mark, which has its time, or load the "
                "log from its database without end=."
            )
        recorded = selected.recorded
        if not (recorded.saw_any(seen) or (recorded.larger is not None and recorded.larger.saw_any(seen))):
            raise NoData("the snapshot saw no change of this log: the log begins later.")
        return
    if mark.at < start or (cut and mark.at > end):
        span = f"{start.isoformat(sep=' ')} to {end.isoformat(sep=' ')}"
        raise NoData(
            f"the log covers {span}; asked for the mark {mark}. "
            "Where a file or a frame is known to be complete for longer, load it with coverage=(start, end)."
        )


def _after_baselines(selected: Selected, seen: TransactionSnapshot, mark: Mark | None) -> None:
    """Refuse where states that the log begins with were not there yet: what was there before is not in the log."""
    late = {
        name: count for name, count in selected.recorded.unseen_starts(seen).items() if name in selected.entity_types
    }
    if late:
        types = ", ".join(sorted(late))
        asked = f"the mark {mark}" if mark is not None else "this snapshot"
        raise NoData(
            f"the log of {types} begins with states (a baseline) of which {sum(late.values()):,} were not there yet as "
            f"of {asked}. What was there before is not in the log."
        )

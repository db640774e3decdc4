"""Point-in-time join: a frame of (entity, time) rows, each with the state of its entity as of its time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import polars as pl

from auditlab import queries
from auditlab.errors import BadOption, NoData, UnknownField
from auditlab.schema import TIME
from auditlab.spans import EntityCodes, found_at, meetings
from auditlab.temporal import doubt
from auditlab.temporal.spine import Spine, spine_entities, spine_frame, spine_times
from auditlab.temporal.undetermined import warn_left_out

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditlab.selection import Selected
    from auditlab.shape import Shape

__all__ = ["Spine", "pit_join"]

OWN = ("presence", "certain")
CLOCK_COLUMN = "changed_at"
"""The log's column that tells a valid time where its clock is ``committed_at``."""

MEETINGS_A_SPAN = 64
"""How many rows of a spine each span may meet, on average, before it is cheaper to sort them all by time, or, by two
clocks, to look records up: a log of few entities that change all the time would have each row look at thousands."""


def pit_join(
    selected: Selected,
    spine: Spine,
    *,
    entity: str = "entity_id",
    at: str = "at",
    known: str | None = None,
    valid: str | None = None,
    fields: Sequence[str] | None = None,
    outside: Literal["raise", "flag"] = "raise",
) -> pl.DataFrame:
    """Each row of ``spine`` with the state of its entity as of its time, inclusive: no row lost or doubled, order kept.

    Of several changes in one instant the last in the log's order counts, and nothing later than the row's time is
    seen.

    By two clocks, with ``known`` and ``valid``: what was true at ``at``, as it was known at ``known``. Of the versions
    of the entity that were recorded by ``known``, the one with the greatest valid time up to ``at`` counts, of equal
    ones the later in the log's order; nothing recorded after ``known`` is seen. A deletion withdraws all that was
    recorded of the entity before it; inserted again, it is known by what was recorded since. A version whose valid
    time is missing, null or unreadable never counts, and makes what is said of its entity from then on not certain.
    With ``valid="changed_at"`` a deletion holds from its own time on, as any change.

    Args:
        selected: The log, one entity type selected.
        spine: The rows: anything with an Arrow stream.
        entity: Its column with entity ids or keys (a struct for keys of several columns).
        at: Its column with times: Datetime of any unit (naive ones are read in the log's zone), Date (00:00), or ISO
            8601 text.
        known: Its column with the times (read as ``at``) by which the log had to know; then ``at`` is valid time.
        valid: What tells since when a version is true: a field of dates, times or ISO 8601 texts (naive ones are read
            in the log's zone, ``-infinity`` and ``infinity`` are PostgreSQL's), or ``changed_at`` in a log by
            ``committed_at``.
        fields: The fields to join; all of them if None.
        outside: What becomes of rows whose time (by two clocks: ``known``) the log does not cover: an error, or
            ``presence`` "outside".

    Returns:
        The spine's columns as they are, then ``presence`` (String), ``certain`` (Boolean, as in ``as_of``) and the
        typed fields; null where there is no state, but ``certain`` is false also where an entity that is absent may
        have been there. ``presence`` is

        - ``live``: the entity was there, the fields are its state;
        - ``deleted``: it had been there, and was deleted or truncated by then;
        - ``not yet``: it was inserted later; by two clocks: it was known, and is true from a later time on;
        - ``not known``: by two clocks: nothing of it was recorded by ``known``;
        - ``undated``: by two clocks: what was recorded of it by then has no valid time, or a later one;
        - ``not recorded``: it may have been there, but the log's first image of it is later;
        - ``unknown entity``: the log has no change of it;
        - ``outside``: the log does not cover that time (with ``outside="flag"``);
        - ``no entity``, ``no time``: the spine's cell is null.

        By two clocks ``certain`` is false, too, where a version without a valid time had been recorded by then, and
        where the entity was there before the log began: it may have had states that the log does not know.

        A field whose name is a column of the spine is ``field.<name>``; ours are ``log.presence`` and ``log.certain``
        where the spine has such columns.

    Raises:
        BadOption: not one whole entity type is selected, the spine is no table with those columns, ``known`` and
            ``valid`` do not come together, or ``valid`` names no time.
        BadTime: a time that cannot be read, or that does not exist or exists twice in the log's zone.
        NoData: rows have times outside what the log covers; the message counts them.
        UnknownField: the type never had such a field.
        IncompleteLog: the selection or the log does not hold whole histories.

    Warns:
        IncompletePopulation: entities are unknown, and rows were there before the log began that it may not know.
    """
    selected.require_states("pit_join")
    shape = _shape(selected)
    wanted = shape.places_of(fields)
    if outside not in ("raise", "flag"):
        raise BadOption(f"outside={outside!r} is neither 'raise' nor 'flag'.")
    place = _valid(selected, shape, known=known, valid=valid)
    frame = spine_frame(spine, *(name for name in (entity, at, known) if name is not None))
    entities = spine_entities(frame[entity], shape.span_index.codes, shape.entity_type)
    zone = selected.recorded.facts.zone
    when = spine_times(frame[at], zone)
    by_then = None if known is None else spine_times(frame[known], zone)
    untold = when.is_null() if by_then is None else when.is_null() | by_then.is_null()
    beyond = _beyond(selected, shape, when if by_then is None else by_then)
    if by_then is not None and place is None:
        beyond |= _beyond(selected, shape, when, after=False)
    beyond &= entities["given"] & ~untold
    if outside == "raise" and beyond.any():
        raise _not_covered(selected, shape, (when if by_then is None else by_then).filter(beyond), len(frame))
    asked = entities.with_columns(pl.when(~beyond).then(when.alias("at")).alias("at"))
    if by_then is None:
        found = _found(selected, shape, asked)
    else:
        found = _found_by_then(selected, shape, asked.with_columns(known=by_then), place)
    found = found.with_columns(
        presence=pl.when(~entities["given"])
        .then(pl.lit("no entity"))
        .when(untold)
        .then(pl.lit("no time"))
        .when(beyond)
        .then(pl.lit("outside"))
        .otherwise(pl.col("presence").fill_null("unknown entity")),
    )
    if (found["presence"] == "unknown entity").any():
        selected.warn_partial(shape.entity_type)
        _warn_set_aside(shape, frame[entity].filter(found["presence"] == "unknown entity"))
    ids = shape.span_index.codes.entity_ids.gather(asked["entity"])
    moments = asked["at"] if by_then is None else by_then.zip_with(~(beyond | untold), pl.Series([None], dtype=TIME))
    open_still = doubt.in_doubt(
        selected.recorded, shape.entity_type, pl.DataFrame({"entity_id": ids, "at": moments.rename("at")})
    )
    open_still |= _in_gap(shape, ids, moments)
    return frame.hstack(_columns(frame, shape, found, wanted, open_still))


def _in_gap(shape: Shape, ids: pl.Series, moments: pl.Series) -> pl.Series:
    """Boolean by row: whether a row that was set aside may have brought the entity, which is absent, back by then."""
    if shape.gaps.is_empty():
        return pl.repeat(value=False, n=len(ids), eager=True)
    asked = pl.DataFrame({"entity_id": ids, "at": moments}).with_row_index("row")
    own = asked.join(shape.gaps, on="entity_id")
    held = (pl.col("valid_from") <= pl.col("at")) & (pl.col("valid_to").is_null() | (pl.col("at") < pl.col("valid_to")))
    return asked["row"].is_in(own.filter(held)["row"].implode())


def _warn_set_aside(shape: Shape, keys: pl.Series) -> None:
    """Warn where all that the log has of an entity was set aside."""
    if len(shape.gaps):
        codes = EntityCodes.of(shape.gaps.filter(pl.col("position").is_null())["entity_id"].unique())
        known = spine_entities(keys, codes, shape.entity_type)["entity"].drop_nulls()
        warn_left_out({shape.entity_type: known.n_unique()})


def _shape(selected: Selected) -> Shape:
    if len(selected.entity_types) != 1 or selected.entity_id is not None:
        have = ", ".join(map(repr, selected.entity_types)) or "none"
        one = f"the entity {selected.entity_id!r} of " if selected.entity_id is not None else ""
        raise BadOption(f"pit_join() takes one whole entity type; selected is {one}{have}. Use log.of(...) to choose.")
    return selected.recorded.shape(selected.entity_types[0])


def _valid(selected: Selected, shape: Shape, *, known: str | None, valid: str | None) -> int | None:
    """The place of the field that tells the valid time; None is ``changed_at``, and where one clock alone is asked."""
    if known is None and valid is None:
        return None
    if known is None or valid is None:
        raise BadOption(
            "pit_join() by two clocks takes both: known=, the spine's column with the times by which the log had to "
            "know, and valid=, the field that tells since when a version is true."
        )
    clock = selected.recorded.facts.clock
    if valid == CLOCK_COLUMN and clock != CLOCK_COLUMN:
        return None
    names = [column.name for column in shape.columns]
    name = CLOCK_COLUMN if valid == f"field.{CLOCK_COLUMN}" else valid
    if valid == CLOCK_COLUMN or name not in names:
        told = f" The log has one clock, {clock}: known= asks it already." if valid == CLOCK_COLUMN else ""
        have = ", ".join(map(repr, names))
        raise UnknownField(f"{shape.entity_type} has no valid time {valid!r}.{told} valid= takes a field: {have}.")
    return names.index(name)


def _beyond(selected: Selected, shape: Shape, when: pl.Series, *, after: bool = True) -> pl.Series:
    """Whether each time lies outside of what the log covers of the type (only before, unless ``after``)."""
    coverage, begun = selected.recorded.facts.coverage, selected.recorded.begun.get(shape.entity_type)
    if coverage.start is None or coverage.end is None:
        return when.is_not_null()
    start = coverage.start if begun is None else max(coverage.start, begun)
    beyond = (when < start) | (when > coverage.end) if after else when < start
    return beyond.fill_null(value=False)


def _not_covered(selected: Selected, shape: Shape, times: pl.Series, total: int) -> NoData:
    begun = selected.recorded.begun.get(shape.entity_type)
    since = f", {shape.entity_type} since {begun.isoformat(sep=' ')} (its baseline)" if begun else ""
    first, last = times.dt.min(), times.dt.max()
    return NoData(
        f"{len(times):,} of {total:,} rows have times ({first} to {last}) outside of what the log has: "
        f"{selected.recorded.facts.coverage}{since}. "
        'outside="flag" keeps them, marked; a log that is known to be complete for longer is loaded with coverage=.'
    )


def _found(selected: Selected, shape: Shape, asked: pl.DataFrame) -> pl.DataFrame:
    """The presence and the version's number by row of ``asked``; null where no span is found."""
    if selected.engine.on_frames:
        return shape.span_index.find(asked["entity"], asked["at"])
    spine = asked.select("entity", pl.col("at").dt.epoch("us")).with_row_index("line")
    tables = {"spine": spine, "spans": shape.spans}
    few = meetings(shape.span_index.first, asked["entity"]) <= MEETINGS_A_SPAN * len(shape.spans)
    query = "pit_join" if few else "pit_join_sorted"
    found = selected.engine.run(queries.text("analysis", query), tables, {})
    return found_at(found["line"], found["word"], found["number"], len(asked))


def _found_by_then(selected: Selected, shape: Shape, asked: pl.DataFrame, place: int | None) -> pl.DataFrame:
    """The presence, the version's number and whether the answer is certain, by what was known by then."""
    knowledge = shape.knowledge(place, selected.recorded.facts.zone)
    many = meetings(knowledge.first, asked["entity"]) > MEETINGS_A_SPAN * len(knowledge.rows)
    if selected.engine.on_frames or many:  # by the index, as no sorting tells of two clocks
        return knowledge.find(asked["entity"], asked["at"], asked["known"])
    spine = asked.select("entity", "at", "known").with_row_index("line")
    tables = {"spine": spine, "records": knowledge.table()}
    found = selected.engine.run(queries.text("analysis", "pit_join_known"), tables, {"certain": pl.Boolean})
    return found.select("presence", "number", "certain")


def _columns(
    frame: pl.DataFrame, shape: Shape, found: pl.DataFrame, wanted: list[int], in_doubt: pl.Series
) -> list[pl.Series]:
    """The columns that the join adds, under names that the spine does not have."""
    taken = {name.casefold() for name in frame.columns}
    own = []
    for name in OWN:
        free = name
        while free in taken:
            free = f"log.{free}"
        own.append(free)
    names = shape.public_names([*frame.columns, *own])
    number = found["number"]
    certain = shape.versions["certain"].gather(number)
    if "certain" in found.columns:
        certain &= found["certain"] | number.is_null()  # null where there is no state
    doc = shape.versions["doc"].gather(number)
    return [
        found["presence"].alias(own[0]),
        certain.zip_with(~in_doubt, pl.Series([False], dtype=pl.Boolean)).alias(own[1]),
        *(shape.columns[place].typed.gather(doc).alias(names[place]) for place in wanted),
    ]

"""Point-in-time join: a frame of (entity, time) rows, each with the state of its entity as of its time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

import polars as pl

from auditlab import queries
from auditlab.clock import instant
from auditlab.engines import PolarsEngine
from auditlab.errors import BadOption, BadTime, NoData, UnknownField
from auditlab.schema import TIME
from auditlab.temporal import doubt

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from auditlab.selection import Selected
    from auditlab.shape import Shape

__all__ = ["Spine", "pit_join"]

OWN = ("presence", "certain")


class Spine(Protocol):
    """Anything that offers its rows as an Arrow stream."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """A PyCapsule that holds the stream."""


def pit_join(
    selected: Selected,
    spine: Spine,
    *,
    entity: str = "entity_id",
    at: str = "at",
    fields: Sequence[str] | None = None,
    outside: Literal["raise", "flag"] = "raise",
    key_id: Callable[[object], str] | None = None,
) -> pl.DataFrame:
    """Each row of ``spine`` with the state of its entity as of its time, inclusive: no row lost or doubled, order kept.

    Of several changes in one instant the last in the log's order counts, and nothing later than the row's time is
    seen.

    Args:
        selected: The log, one entity type selected.
        spine: The rows: anything with an Arrow stream.
        entity: Its column with entity ids or keys (a struct for keys of several columns).
        at: Its column with times: Datetime of any unit (naive ones are read in the log's zone), Date (00:00), or ISO
            8601 text.
        fields: The fields to join; all of them if None.
        outside: What becomes of rows whose time the log does not cover: an error, or ``presence`` "outside".
        key_id: Gives a key's entity id, for keys that are no entity ids themselves.

    Returns:
        The spine's columns as they are, then ``presence`` (String), ``certain`` (Boolean, as in ``as_of``) and the
        typed fields; null where there is no state, but ``certain`` is false also where an entity
        that is absent may have been there. ``presence`` is

        - ``live``: the entity was there, the fields are its state;
        - ``deleted``: it had been there, and was deleted or truncated by then;
        - ``not yet``: it was inserted later;
        - ``not recorded``: it may have been there, but the log's first image of it is later;
        - ``unknown entity``: the log has no change of it;
        - ``outside``: the log does not cover that time (with ``outside="flag"``);
        - ``no entity``, ``no time``: the spine's cell is null.

        A field whose name is a column of the spine is ``field.<name>``; ours are ``log.presence`` and ``log.certain``
        where the spine has such columns.

    Raises:
        BadOption: not one whole entity type is selected, or the spine is no table with those columns.
        BadTime: a time that cannot be read, or that does not exist or exists twice in the log's zone.
        NoData: rows have times outside what the log covers; the message counts them.
        UnknownField: the type never had such a field.
        IncompleteLog: the selection or the log does not hold whole histories.

    Warns:
        IncompletePopulation: entities are unknown, and rows were there before the log began that it may not know.
    """
    selected.require_states("pit_join")
    shape = _shape(selected)
    wanted = _fields(shape, fields)
    if outside not in ("raise", "flag"):
        raise BadOption(f"outside={outside!r} is neither 'raise' nor 'flag'.")
    frame = _frame(spine, entity, at)
    entities = _entities(frame[entity], shape, key_id)
    when = _times(frame[at], selected.recorded.facts.zone)
    beyond = _beyond(selected, shape, when) & entities["given"]
    if outside == "raise" and beyond.any():
        raise _not_covered(selected, shape, when.filter(beyond), len(frame))
    asked = entities.with_columns(at=pl.when(~pl.lit(beyond)).then(pl.lit(when)))
    found = asked.with_columns(_found(selected, shape, asked)).select(
        "number",
        presence=pl.when(~pl.col("given"))
        .then(pl.lit("no entity"))
        .when(pl.lit(when.is_null()))
        .then(pl.lit("no time"))
        .when(pl.lit(beyond))
        .then(pl.lit("outside"))
        .otherwise(pl.col("presence").fill_null("unknown entity")),
    )
    if (found["presence"] == "unknown entity").any():
        selected.warn_partial(shape.entity_type)
    open_still = doubt.in_doubt(selected.recorded, shape.entity_type, asked)
    return frame.hstack(_columns(frame, shape, found, wanted, open_still))


def _shape(selected: Selected) -> Shape:
    if len(selected.entity_types) != 1 or selected.entity_id is not None:
        have = ", ".join(map(repr, selected.entity_types)) or "none"
        one = f"the entity {selected.entity_id!r} of " if selected.entity_id is not None else ""
        raise BadOption(f"pit_join() takes one whole entity type; selected is {one}{have}. Use log.of(...) to choose.")
    return selected.recorded.shape(selected.entity_types[0])


def _fields(shape: Shape, fields: Sequence[str] | None) -> list[int]:
    names = [column.name for column in shape.columns]
    unknown = [name for name in fields or () if name not in names]
    if unknown:
        have = ", ".join(map(repr, names))
        raise UnknownField(f"{shape.entity_type} never had {', '.join(map(repr, unknown))}. It has {have}.")
    return [place for place, name in enumerate(names) if fields is None or name in fields]


def _frame(spine: Spine, entity: str, at: str) -> pl.DataFrame:
    if not hasattr(spine, "__arrow_c_stream__"):
        lazy = " Collect it first." if hasattr(spine, "collect") else ""
        raise BadOption(f"a {type(spine).__name__} has no Arrow stream (__arrow_c_stream__).{lazy}")
    try:
        frame = spine if isinstance(spine, pl.DataFrame) else pl.DataFrame(spine)
    except (pl.exceptions.PolarsError, ValueError, TypeError) as exc:
        raise BadOption(f"the {type(spine).__name__} is not a table: {exc}") from exc
    missing = [name for name in (entity, at) if name not in frame.columns]
    if missing:
        raise BadOption(
            f"the spine has no column {', '.join(map(repr, missing))}. It has {', '.join(map(repr, frame.columns))}: "
            "say by entity= and at= which hold the entity and the time."
        )
    return frame


def _entities(keys: pl.Series, shape: Shape, key_id: Callable[[object], str] | None) -> pl.DataFrame:
    """The spine's entities as the log names them: entity_id, code (null where the log has none) and given (Boolean)."""
    plain = not keys.dtype.is_nested() and keys.dtype != pl.Binary
    ids = keys.cast(pl.String) if plain else pl.Series([None] * len(keys), dtype=pl.String)
    given, codes = keys.is_not_null(), shape.span_index.codes(ids)
    unknown = given & codes.is_null()
    if key_id is not None and unknown.any():
        distinct = keys.filter(unknown).unique()
        told = pl.DataFrame({"key": distinct, "id": [key_id(key) for key in distinct.to_list()]})
        keyed = keys.rename("key").to_frame().join(told, on="key", how="left", maintain_order="left")["id"]
        found = shape.span_index.codes(keyed)
        ids = ids.zip_with(found.is_null(), keyed)
        codes = codes.zip_with(found.is_null(), found)
    return pl.DataFrame({"entity_id": ids, "code": codes, "given": given})


def _times(times: pl.Series, zone: str) -> pl.Series:
    """The spine's times in UTC; finer units are cut down to microseconds, which no change lies between."""
    dtype = times.dtype
    if isinstance(dtype, pl.String):
        distinct = times.drop_nulls().unique()
        read = pl.Series([instant(text, zone) for text in distinct], dtype=TIME)
        return times.replace_strict(distinct, read, default=None, return_dtype=TIME) if len(read) else times.cast(TIME)
    if dtype == pl.Null:
        return times.cast(TIME)
    if not isinstance(dtype, pl.Datetime | pl.Date):
        raise BadTime(f"the spine's column {times.name!r} is {dtype}. Give times: Datetime, Date or ISO 8601 text.")
    if isinstance(dtype, pl.Datetime) and dtype.time_zone is not None:
        return times.dt.convert_time_zone("UTC").cast(TIME)
    local = times.cast(pl.Datetime("us"))
    placed = local.dt.replace_time_zone(zone, ambiguous="null", non_existent="null")
    lost = local.filter(placed.is_null() & local.is_not_null())
    if len(lost):
        raise BadTime(
            f"{len(lost):,} naive times of the spine do not exist or exist twice in {zone} (the clocks change), e.g. "
            f"{lost[0].isoformat()}. Give times with an offset."
        )
    return placed.dt.convert_time_zone("UTC")


def _beyond(selected: Selected, shape: Shape, when: pl.Series) -> pl.Series:
    """Whether each time lies outside of what the log covers of the type; false where there is none."""
    coverage, begun = selected.recorded.facts.coverage, selected.recorded.begun.get(shape.entity_type)
    if coverage.start is None or coverage.end is None:
        return when.is_not_null()
    start = coverage.start if begun is None else max(coverage.start, begun)
    return ((when < start) | (when > coverage.end)).fill_null(value=False)


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
    if isinstance(selected.engine, PolarsEngine):
        index = shape.span_index
        place = index.find(asked["code"], asked["at"])
        presence = index.presence.gather(place).cast(pl.String)
        return pl.DataFrame({"presence": presence, "number": index.number.gather(place)})
    tables = {"spine": asked.select("entity_id", "at").with_row_index("line"), "spans": shape.spans}
    return selected.engine.run(queries.text("analysis", "pit_join"), tables, {}).select("presence", "number")


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
    doc = shape.versions["doc"].gather(number)
    certain = shape.versions["certain"].gather(number)
    return [
        found["presence"].alias(own[0]),
        certain.zip_with(~in_doubt, pl.Series([False], dtype=pl.Boolean)).alias(own[1]),
        *(shape.columns[place].typed.gather(doc).alias(names[place]) for place in wanted),
    ]

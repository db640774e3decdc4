"""The spine of a point-in-time join: whose state is asked for, and as of when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import polars as pl

from auditlab.clock import instant
from auditlab.errors import BadOption, BadTime
from auditlab.keys import entity_ids
from auditlab.schema import TIME

if TYPE_CHECKING:
    from auditlab.spans import EntityCodes

__all__ = ["Spine", "spine_entities", "spine_frame", "spine_times"]


class Spine(Protocol):
    """Anything that offers its rows as an Arrow stream."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """A PyCapsule that holds the stream."""


def spine_frame(spine: Spine, *wanted: str) -> pl.DataFrame:
    """The spine as a frame that has the wanted columns, else ``BadOption``."""
    if not hasattr(spine, "__arrow_c_stream__"):
        lazy = " Collect it first." if hasattr(spine, "collect") else ""
        raise BadOption(f"a {type(spine).__name__} has no Arrow stream (__arrow_c_stream__).{lazy}")
    try:
        frame = spine if isinstance(spine, pl.DataFrame) else pl.DataFrame(spine)
    except (pl.exceptions.PolarsError, ValueError, TypeError) as exc:
        raise BadOption(f"the {type(spine).__name__} is not a table: {exc}") from exc
    missing = [name for name in dict.fromkeys(wanted) if name not in frame.columns]
    if missing:
        raise BadOption(
            f"the spine has no column {', '.join(map(repr, missing))}. It has {', '.join(map(repr, frame.columns))}: "
            "say by entity=, at= (and known=) which hold the entity and the times."
        )
    return frame


def spine_entities(keys: pl.Series, index: EntityCodes, entity_type: str) -> pl.DataFrame:
    """The spine's entities as the log numbers them: entity (null where the log has none) and given (Boolean).

    Args:
        keys: Entity ids, or keys; of several columns as structs.
        index: The entities of the log.
        entity_type: Their type, by which a key that is no entity id itself tells one.
    """
    given = keys.is_not_null()
    entity = index.find(_texts(keys))
    unknown = given & entity.is_null()
    if unknown.any():
        distinct = keys.filter(unknown).unique()
        told = pl.DataFrame({"key": distinct, "id": [entity_ids(entity_type, key) for key in distinct.to_list()]})
        told = told.explode("id").with_columns(code=index.find(told["id"].explode())).drop_nulls("code")
        told = told.unique("key", keep="first", maintain_order=True)
        keyed = keys.rename("key").to_frame().join(told, on="key", how="left", maintain_order="left")["code"]
        entity = entity.zip_with(entity.is_not_null(), keyed)
    return pl.DataFrame({"entity": entity, "given": given})


def _texts(keys: pl.Series) -> pl.Series:
    """Keys of one column as text; whole numbers as such also where a column of floats holds them."""
    if keys.dtype.is_nested() or keys.dtype == pl.Binary:
        return pl.Series([None], dtype=pl.String).new_from_index(0, len(keys))
    texts = keys.cast(pl.String)
    return texts.str.strip_suffix(".0") if keys.dtype.is_float() else texts


def spine_times(times: pl.Series, zone: str) -> pl.Series:
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

"""The answers of all buckets as one: each is asked, and what they say is put in order, range by range, on disk."""

from __future__ import annotations

import warnings
from bisect import bisect_left
from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING, Any

import polars as pl
from polars.io.plugins import register_io_source

from auditlab.buckets.bucketed import Bucketed
from auditlab.buckets.compartments import Compartments
from auditlab.buckets.part import ARRIVAL
from auditlab.buckets.rowwise import is_rowwise
from auditlab.buckets.spill import compact
from auditlab.callers import warn_caller
from auditlab.errors import BadOption, EntitiesInDoubt
from auditlab.selection import PLACE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from auditlab.buckets.part import Part
    from auditlab.selection import Selected

__all__ = ["Order", "answered", "asked", "in_order", "joined", "of_its_bucket"]


class Order(Enum):
    """How an answer is sorted: by entity type and id, or in the log's order."""

    ENTITY = 1
    LOG = 2


_KEYS = ("\x00key 1", "\x00key 2", "\x00key 3")
_RANGES = 16
"""The part (1 in ...) of a question's room that one range of an answer may take."""

_WAITING = 64
"""The part (1 in ...) of a question's room that an answer may take before it is written."""


def asked(
    recorded: Bucketed,
    selected: Selected,
    verb: Callable[[Selected], pl.DataFrame],
    parts: Iterable[Part] | None = None,
) -> Iterator[tuple[Part, pl.DataFrame]]:
    """Each bucket with its answer; a warning that several give comes once, after the last.

    Args:
        recorded: The log.
        selected: What is asked about.
        verb: Answers for one bucket.
        parts: The buckets; all of them, or the one that holds the selected entity, if None.
    """
    odd = [str(pick) for pick in selected.picks if not is_rowwise(pick)]
    if odd:
        raise BadOption(
            f"where() of a log larger than memory looks at one change at a time, and {odd[0]} may look at many. "
            "Allow more memory: scan_archive(folder, memory=...)."
        )
    if parts is None:
        parts = recorded.parts() if selected.entity_id is None else [recorded.holding(selected.entity_id)]
    given: dict[str, Warning] = {}
    for part in parts:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            answer = verb(replace(selected, recorded=part))
        for message in {str(one.message): one.message for one in caught}.values():  # a question may give one twice
            _take(given, message)  # type: ignore[arg-type]  # each that we give is a warning, no text
        yield part, answer
    for message in given.values():
        warn_caller(message)


def answered(
    recorded: Bucketed, selected: Selected, verb: Callable[[Selected], pl.DataFrame], order: Order
) -> pl.LazyFrame:
    """What all buckets answer together, in the order in which the whole log would.

    Args:
        recorded: The log.
        selected: What is asked about.
        verb: Answers for one bucket.
        order: How its answers are sorted.

    Returns:
        A lazy frame over files that are kept for as long as it is.
    """
    selected = replace(selected, placed=order is Order.LOG)
    answers = asked(recorded, selected, verb)
    return _in_order(recorded, (_keyed(answer, part, selected) for part, answer in answers))


def in_order(recorded: Bucketed, frames: Iterable[pl.DataFrame], *by: pl.Expr) -> pl.LazyFrame:
    """Frames of about a bucket's size each, all of one schema, as one: a lazy frame as ``answered``'s.

    Args:
        recorded: The log that they tell of.
        frames: At least one, which may be empty; in any order.
        by: What it is sorted by, up to three keys without nulls.
    """
    keys = dict(zip(_KEYS, [*by, *[pl.lit(0)] * len(_KEYS)], strict=False))
    return _in_order(recorded, (frame.with_columns(**keys).sort(_KEYS) for frame in frames))


def _in_order(recorded: Bucketed, frames: Iterable[pl.DataFrame]) -> pl.LazyFrame:
    """Frames with ``_KEYS``, each in the order of these, as one in that order and without them."""
    ranges = Compartments(0)
    bounds: list[tuple[Any, ...]] = []
    schema = pl.Schema()
    for frame in frames:
        keyed = compact(frame)  # it may wait, and the bucket's texts must not wait with it
        schema = keyed.drop(_KEYS).schema
        if not len(ranges) and len(keyed):
            size = int(keyed.estimated_size()) * recorded.count
            count = max(1, -(-size * _RANGES // recorded.room))
            ranges = Compartments(count, room=recorded.room // _WAITING)
            bounds = _bounds(keyed, len(ranges))
        for number, rows in enumerate(_cut(keyed, bounds)):
            if len(rows):
                ranges.add(number, rows)
    return _scanned(ranges, schema)


def of_its_bucket(selected: Selected) -> Selected:
    """A selection of one entity, of a log that is dealt out in the bucket that holds it; of another log as it is."""
    recorded = selected.recorded
    if not isinstance(recorded, Bucketed) or selected.entity_id is None:
        return selected
    return replace(selected, recorded=recorded.holding(selected.entity_id))


def joined(
    recorded: Bucketed, selected: Selected, join: Callable[[Selected], pl.DataFrame], *, own: int
) -> pl.DataFrame:
    """What a point-in-time join answers: of each row of the spine, what the bucket says that knows its entity.

    Args:
        recorded: The log.
        selected: What is asked about.
        join: Joins the spine with one bucket.
        own: The place of the column with the presence, the first that the join adds.
    """
    whole: pl.DataFrame | None = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _, answer in asked(recorded, selected, join):
            if whole is None:
                whole = compact(answer)
                continue
            here = whole.to_series(own) == _UNKNOWN
            pairs = zip(whole, answer, strict=True)
            whole = compact(pl.DataFrame({old.name: old.zip_with(~here, new) for old, new in pairs}))
    unknown = whole is not None and bool((whole.to_series(own) == _UNKNOWN).any())
    for one in caught:
        if unknown or isinstance(one.message, EntitiesInDoubt):
            warn_caller(one.message)
    return pl.DataFrame() if whole is None else whole


_UNKNOWN = "unknown entity"


def _take(given: dict[str, Warning], message: Warning) -> None:
    """Keep a warning once; counts of the same in several buckets are added."""
    key = message.before if isinstance(message, EntitiesInDoubt) else str(message)
    known = given.setdefault(key, message)
    if isinstance(known, EntitiesInDoubt) and isinstance(message, EntitiesInDoubt) and known is not message:
        given[key] = known.and_also(message)


def _keyed(answer: pl.DataFrame, part: Part, selected: Selected) -> pl.DataFrame:
    """The answer with what orders its rows over all buckets."""
    entity = pl.col("entity_id").fill_null("") if "entity_id" in answer.columns else pl.lit("")
    if selected.placed:
        places = part.keys_of(answer[PLACE]).rename({"id": _KEYS[0], ARRIVAL: _KEYS[1]})
        return answer.drop(PLACE).hstack(places).with_columns(entity.alias(_KEYS[2]))
    entity_type = pl.col("entity_type") if len(selected.entity_types) > 1 else pl.lit("")
    return answer.with_columns(entity_type.alias(_KEYS[0]), entity.alias(_KEYS[1]), pl.lit(0).alias(_KEYS[2]))


def _bounds(keyed: pl.DataFrame, count: int) -> list[tuple[Any, ...]]:
    """Keys that cut the answer of a bucket, and so about that of each, into as many pieces of a size."""
    return [keyed.select(_KEYS).row(len(keyed) * number // count) for number in range(1, count)]


def _cut(keyed: pl.DataFrame, bounds: list[tuple[Any, ...]]) -> Iterator[pl.DataFrame]:
    """The rows before the first bound, between each and the next, and from the last on; they are sorted."""
    keys = [keyed[name] for name in _KEYS]

    def key(row: int) -> tuple[Any, ...]:
        return tuple(column[row] for column in keys)

    start = 0
    for bound in bounds:
        end = bisect_left(range(len(keyed)), bound, lo=start, key=key)
        yield keyed[start:end]
        start = end
    yield keyed[start:]


def _scanned(ranges: Compartments, schema: pl.Schema) -> pl.LazyFrame:
    """The ranges as a lazy frame: each is read and sorted when it is its turn."""

    def source(
        columns: list[str] | None, predicate: pl.Expr | None, rows: int | None, _: int | None
    ) -> Iterator[pl.DataFrame]:
        names = list(schema) if columns is None else columns
        needed = names if predicate is None else [*dict.fromkeys([*names, *predicate.meta.root_names()])]
        left = rows
        for number in range(len(ranges)):
            frame = ranges.read(number, [*needed, *_KEYS]).sort(_KEYS, maintain_order=True).drop(_KEYS)
            if left is not None:
                frame = frame.head(left)
                left -= len(frame)
            yield (frame if predicate is None else frame.filter(predicate))[names]  # a field may be called "*"
            if left == 0:
                return
        if not len(ranges):
            yield pl.DataFrame(schema={name: schema[name] for name in names})

    return register_io_source(source, schema=schema, validate_schema=True)

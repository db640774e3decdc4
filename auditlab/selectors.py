"""Selectors: what narrows a log to some entity types, to one entity, or to picked changes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import polars as pl

from auditlab.buckets.bucketed import Bucketed
from auditlab.callers import warn_caller
from auditlab.clock import instant
from auditlab.errors import (
    BadOption,
    IncompleteInterval,
    MarkMismatch,
    UnknownEntity,
    UnknownEntityType,
    UnknownValue,
)
from auditlab.keys import entity_ids
from auditlab.marks import Mark, in_order, read_marks
from auditlab.schema import CHANGES, TIME
from auditlab.selection import whole_number
from auditlab.set_aside import set_aside_of
from auditlab.visibility import LONGEST_TRANSACTION, same_system

if TYPE_CHECKING:
    from auditlab.clock import Moment
    from auditlab.selection import Selected

__all__ = [
    "Marks",
    "between",
    "by",
    "check_covered",
    "correlation",
    "entity",
    "entity_id",
    "inside",
    "known",
    "of",
    "transaction",
    "warn_unknown",
    "where",
    "with_marks",
]

Marks = str | Path | Mark | Iterable[Mark]
"""Marks as people have them: a file (``auditlab mark --file``), one, or several."""


def of(selected: Selected, *entity_types: str) -> Selected:
    """The histories of one entity type, or of several.

    Raises:
        UnknownEntityType: the log has no such type; the message names those it has.
        BadOption: no type is named.
    """
    have = ", ".join(map(repr, selected.entity_types)) or "none"
    unknown = [name for name in entity_types if name not in selected.entity_types]
    if unknown:
        also = selected.recorded.facts.coverage.also
        raise UnknownEntityType(f"no entity type {', '.join(map(repr, unknown))} in this log. It has {have}.{also}")
    if not entity_types:
        raise BadOption(f"of() takes an entity type. The log has {have}.")
    types = tuple(sorted(set(entity_types)))
    return replace(selected, entity_types=types, recorded=selected.recorded.part(types), chosen=True)


def entity(selected: Selected, key: object, entity_type: str | None = None) -> Selected:
    """The history of one entity.

    Args:
        selected: The log.
        key: Its entity id, or its primary key: a single value, or a mapping of the key's columns to values.
        entity_type: Its type, where the key alone does not tell.

    Raises:
        UnknownEntity: the log has no change of it.
        BadOption: several types have such an entity.
    """
    log = selected if entity_type is None else of(selected, entity_type)
    found = known(log, log.entity_types, key)
    if not found:
        types = ", ".join(map(repr, log.entity_types)) or "no types"
        hint = " A time is given by its name: at=." if _is_time(key) else ""
        also = log.recorded.facts.coverage.also
        recorded = log.recorded
        read = recorded.surveyed if isinstance(recorded, Bucketed) else recorded.unread is None
        aside = recorded.malformed if read else None  # of types for which a checkpoint answers nothing was set apart
        if own := set_aside_of(aside, log.entity_types, key):
            also += f" {own:,} rows of it were set apart, as they are no changes: log.malformed has them."
        raise UnknownEntity(f"no entity {key!r} among {types} in this log.{hint}{also}")
    if len(found) > 1:
        names = ", ".join(repr(name) for name, _ in found)
        raise BadOption(f"entity {key!r} is in several types: {names}. Say which by entity_type=.")
    return replace(selected, entity_types=(found[0][0],), entity_id=found[0][1])


def _is_time(key: object) -> bool:
    """Whether what was given for an entity's key is, or reads as, a date or a time."""
    try:
        return isinstance(key, date) or (isinstance(key, str) and bool(datetime.fromisoformat(key)))
    except ValueError:
        return False


def known(selected: Selected, entity_types: Iterable[str], key: object) -> list[tuple[str, str]]:
    """Of these types, those that have the entity, each with its entity id."""
    return [(name, found) for name in entity_types if (found := entity_id(selected, name, key)) is not None]


def entity_id(selected: Selected, entity_type: str, key: object) -> str | None:
    """The entity id that an id or a primary key names in one type; None where the log has no change of it."""
    return selected.recorded.known_id(entity_type, entity_ids(entity_type, key))


def with_marks(selected: Selected, marks: Marks, *, visible_within: float | None = None) -> Selected:
    """The same log with these marks of its database beside those that it has: for ``as_of(mark=)``, and for times.

    Args:
        selected: The log.
        marks: The path of a file of marks, a ``Mark``, or several.
        visible_within: Seconds from a change's time to the moment at which others saw it, at the most, where no mark
            tells (``LogFacts.visible_within``). None keeps the log's; a log that took its times as that moment gets an
            hour, for with marks beside it they are known not to be.

    Raises:
        BadMark: the file, or something in it, is no mark.
        MarkMismatch: a mark is of another system than the log, or than the other marks.
    """
    several = read_marks(marks) if isinstance(marks, str | Path) else marks
    given = [several] if isinstance(several, Mark) else list(several)
    odd = [one for one in given if not isinstance(one, Mark)]
    if odd:
        raise BadOption(f"with_marks() takes a file of marks, a Mark, or several, got {odd[0]!r}.")
    facts = selected.recorded.facts
    for mark in given:
        same_system(facts, mark)
    every = in_order([*facts.marks, *given])
    systems = {mark.system for mark in every if mark.system is not None}
    if len(systems) > 1:
        raise MarkMismatch(f"the marks are of several systems: {', '.join(sorted(systems))}. A log is of one.")
    within = facts.visible_within or LONGEST_TRANSACTION if visible_within is None else visible_within
    facts = replace(facts, marks=every, visible_within=within)
    return replace(selected, recorded=selected.recorded.with_facts(facts))


def by(selected: Selected, user: str | int | UUID | None) -> Selected:
    """The changes of one user; None picks those without a user.

    Raises:
        BadOption: no text, number or uuid.
    """
    user = _one(user, "by", "changed_by")
    same = pl.col("changed_by").eq_missing(pl.lit(user, dtype=pl.String))
    return _pick(selected, same, f"by {user}", f".by({user!r})", changed_by=user)


def between(selected: Selected, start: Moment, end: Moment) -> Selected:
    """The changes recorded from ``start`` up to, not including, ``end``.

    A log without any change has none in any interval.

    Raises:
        BadTime: a time cannot be read.
        BadOption: end lies before start.
        NoData: the interval lies wholly outside what the log covers.

    Warns:
        IncompleteInterval: it begins before all changes are in the log, which had earlier ones, or was loaded without.
    """
    first, last = _interval(selected, start, end)
    check_covered(selected, first, last)
    return inside(selected, first, last)


def check_covered(selected: Selected, start: Moment, end: Moment) -> None:
    """Check that a log can tell of the changes from ``start`` up to, not including, ``end``: see ``between``."""
    first, last = _interval(selected, start, end)
    coverage = selected.recorded.facts.coverage
    since = "" if first.date() == date.min else f" from {first.isoformat(sep=' ')}"
    asked = f"changes{since} {'on' if last.date() == date.max else 'up to ' + last.isoformat(sep=' ')}"
    if coverage.start is not None and coverage.end is not None and first < last:
        early = last <= min(coverage.start, coverage.cut or coverage.start)
        if (early or first > coverage.end) and not _has_any(selected, first, last):
            raise selected.not_covered(asked, early=early)
    if coverage.cut is not None and first < coverage.cut:
        warn_caller(
            f"asked for {asked}, and the log has all changes only from {coverage.cut.isoformat(sep=' ')} on."
            f"{coverage.also or ' It was loaded from then on.'}",
            IncompleteInterval,
        )


def inside(selected: Selected, start: Moment, end: Moment) -> Selected:
    """What ``between`` picks, whatever the log covers."""
    first, last = _interval(selected, start, end)
    spoken, code = f"between {first.isoformat()} and {last.isoformat()}", (first.isoformat(), last.isoformat())
    return replace(_pick(selected, _within(selected, first, last), spoken, f".between{code!r}"), within=True)


def _interval(selected: Selected, start: Moment, end: Moment) -> tuple[datetime, datetime]:
    zone = selected.recorded.facts.zone
    first, last = (instant(moment, zone, bound=True) for moment in (start, end))
    if last < first:
        raise BadOption(
            f"between() goes from the earlier to the later: {first.isoformat()} is after {last.isoformat()}."
        )
    return first, last


def _within(selected: Selected, first: datetime, last: datetime) -> pl.Expr:
    when = pl.col(selected.recorded.facts.clock)
    return (when >= pl.lit(first, dtype=TIME)) & (when < pl.lit(last, dtype=TIME))


def _has_any(selected: Selected, first: datetime, last: datetime) -> bool:
    """Whether there are changes of the selected types in an interval; as some are outside of what is known whole."""
    own = ~pl.col("baseline") & pl.col("entity_type").is_in(selected.entity_types)
    return selected.recorded.latest(own & _within(selected, first, last)) is not None


def transaction(selected: Selected, transaction_id: int) -> Selected:
    """The changes of one transaction."""
    whole_number("transaction", transaction_id)
    words, code = f"in transaction {transaction_id}", f".transaction({transaction_id})"
    same = pl.col("transaction_id") == transaction_id
    return _pick(selected, same, words, code, transaction_id=transaction_id)


def correlation(selected: Selected, correlation_id: str | int | UUID | None) -> Selected:
    """The changes of one correlation id, across services and transactions; None picks those without one.

    Raises:
        BadOption: no text, number or uuid.
    """
    correlation_id = _one(correlation_id, "correlation", "correlation_id")
    words, code = f"with correlation {correlation_id}", f".correlation({correlation_id!r})"
    same = pl.col("correlation_id").eq_missing(pl.lit(correlation_id, dtype=pl.String))
    return _pick(selected, same, words, code, correlation_id=correlation_id)


def where(selected: Selected, *predicates: pl.Expr, **equal: object) -> Selected:
    """The changes that meet every predicate over the canonical columns, e.g. ``operation="DELETE"``.

    Raises:
        BadOption: a column that the log does not have, or a value that it cannot hold.
    """
    odd = [predicate for predicate in predicates if not isinstance(predicate, pl.Expr)]
    if odd:
        raise BadOption(f"where() takes Polars expressions, e.g. pl.col('id') > 5, got {odd[0]!r}.")
    roots: list[str] = [name for predicate in predicates for name in predicate.meta.root_names()]
    unknown = [name for name in (*equal, *roots) if name not in CHANGES]
    if unknown:
        raise BadOption(f"a log has no column {', '.join(map(repr, unknown))}. It has {', '.join(CHANGES)}.")
    zone = selected.recorded.facts.zone
    picks = [*predicates, *(pl.col(name).eq_missing(_literal(name, value, zone)) for name, value in equal.items())]
    words = [str(predicate) for predicate in predicates] + [f"{name} = {value}" for name, value in equal.items()]
    if not picks:
        return selected
    told = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in equal.items()}
    code = ["..."] if predicates else []  # an expression has no text that makes it again
    code += [f"{name}={value!r}" for name, value in told.items()]
    spoken, calls = "where " + " and ".join(words), f".where({', '.join(code)})"
    return _pick(selected, pl.all_horizontal(picks), spoken, calls, **equal)


def _literal(name: str, value: Any, zone: str) -> pl.Expr:  # noqa: ANN401 - a column's value
    """A value as one of a canonical column; times are read in the log's zone."""
    dtype = CHANGES[name]
    if value is not None and dtype == TIME:
        value = instant(value, zone)
    fits = value is None or isinstance(value, {pl.Int64(): int, pl.String(): str}.get(dtype, object))
    if not fits or isinstance(value, bool):
        raise BadOption(f"where({name}=) takes a value of {dtype}, got {value!r}.")
    return pl.lit(value, dtype=dtype)


def warn_unknown(selected: Selected) -> None:
    """Warn where the picks are for a value that no change of the selected entity types has.

    An empty answer may be a name with a slip in it.
    """
    types = selected.entity_types
    of = ", ".join(types) if len(types) <= _NAMED else f"{len(types)} entity types"
    for column, value in selected.sought:
        if value is None or not isinstance(value, str | int):
            continue
        held = _held(selected, column, value)
        if not types or (held == value).any():
            continue
        if held.is_empty():
            have = "None has any."
        elif isinstance(value, str):
            texts = held.sort().head(_LOOKED_AT).to_list()
            near = get_close_matches(value, texts, n=3, cutoff=0.6) or texts[:3]
            have = f"There is {', '.join(map(repr, near))}{' and more' if len(held) > len(near) else ''}."
        else:
            have = f"There are {held.min()!r} to {held.max()!r}."
        warn_caller(f"no change of {of} has {column} {value!r}. {have}", UnknownValue)


def _held(selected: Selected, column: str, value: str | int) -> pl.Series:
    """The values that the changes of the selected types have in a column: the least, the greatest and that one."""
    recorded = selected.recorded
    found = []
    for each in recorded.parts() if isinstance(recorded, Bucketed) else (recorded,):
        own = each.changes.filter(pl.col("entity_type").is_in(selected.entity_types))[column].drop_nulls()
        values = own.unique().sort()
        found.append(pl.concat([values.head(_LOOKED_AT + 1), values.tail(1), values.filter(values == value).head(1)]))
    return pl.concat(found).unique()


_NAMED = 3
"""Entity types of which the names are given."""

_LOOKED_AT = 10_000
"""Values among which one that is near is looked for."""


def _one(value: object, verb: str, column: str) -> str | None:
    """What a log writes for a value that is asked for."""
    if value is None or (isinstance(value, str | int | UUID) and not isinstance(value, bool)):
        return None if value is None else str(value)
    raise BadOption(
        f"{verb}() takes one text, number or uuid, got {value!r}. Several: log.where(pl.col({column!r}).is_in([...]))."
    )


def _pick(selected: Selected, predicate: pl.Expr, words: str, code: str, **sought: object) -> Selected:
    return replace(
        selected,
        picks=(*selected.picks, predicate),
        words=(*selected.words, words),
        code=(*selected.code, code),
        sought=(*selected.sought, *sought.items()),
    )

"""The one shape of a log: its columns, the tables derived from it, and the facts that stand beside it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime  # noqa: TC003 - dataclass fields are read at run time by documentation tools
from typing import TYPE_CHECKING, Any

import polars as pl

from auditlab.errors import BadOption, SchemaMismatch
from auditlab.marks import Mark  # noqa: TC001 - dataclass fields are read at run time, of manifests too

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "CHANGES",
    "FIELD_CHANGES",
    "HISTORY",
    "OPERATIONS",
    "Beginning",
    "Coverage",
    "EntityChange",
    "LogFacts",
    "check_columns",
    "seconds",
]

TIME = pl.Datetime("us", "UTC")
"""System time everywhere in auditlab: microseconds, UTC."""

OPERATIONS = ("INSERT", "UPDATE", "DELETE", "TRUNCATE", "SNAPSHOT")
"""What a change can be. SNAPSHOT is a state that was read, and nobody's change."""

CHANGES: dict[str, pl.DataType] = {
    "id": pl.Int64(),
    "entity_type": pl.String(),
    "entity_id": pl.String(),
    "operation": pl.String(),
    "changed_by": pl.String(),
    "changed_at": TIME,
    "before_snapshot": pl.String(),
    "after_snapshot": pl.String(),
    "changed_fields": pl.String(),
    "metadata": pl.String(),
    "transaction_id": pl.Int64(),
    "correlation_id": pl.String(),
    "committed_at": TIME,
    "partition": pl.String(),
}
"""A change log's canonical columns: one row a change; snapshots are JSON text exactly as recorded. ``partition`` is the
leaf under whose name a change was recorded, where ``entity_type`` was folded to the partitioned table that it is of."""

REQUIRED = ("id", "entity_type", "entity_id", "operation", "changed_at", "before_snapshot", "after_snapshot")
"""Columns that every source must have; the others are null where a source has no counterpart."""

NOT_NULL = ("id", "entity_type", "operation", "changed_at")

HISTORY: dict[str, pl.DataType] = {
    "entity_id": pl.String(),
    "version": pl.Int64(),
    "life": pl.Int64(),
    "valid_from": TIME,
    "valid_to": TIME,
    "operation": pl.String(),
    "ended_by": pl.Int64(),
    "changed_by": pl.String(),
    "changed_at": TIME,
    "transaction_id": pl.Int64(),
    "id": pl.Int64(),
    "origin": pl.String(),
    "certain": pl.Boolean(),
}
"""The columns before the fields in ``history``: one row a version. ``valid_from`` is null where the state was there
before the log began (``origin`` is then ``unknown``); ``valid_to`` is null while the state still holds. ``origin`` is
``observed`` of a state that was recorded, ``derived`` of one that follows from others that were."""

FIELD_CHANGES: dict[str, pl.DataType] = {
    "id": pl.Int64(),
    "entity_type": pl.String(),
    "entity_id": pl.String(),
    "version": pl.Int64(),
    "life": pl.Int64(),
    "field": pl.String(),
    "kind": pl.String(),
    "old_present": pl.Boolean(),
    "new_present": pl.Boolean(),
    "old": pl.String(),
    "new": pl.String(),
    "changed_by": pl.String(),
    "changed_at": TIME,
    "transaction_id": pl.Int64(),
}
"""What each change did: one row a changed field; ``old`` and ``new`` are the recorded text."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """What a log holds: the span of time, and whether states can be told from it.

    Args:
        start: The first instant whose state the log can tell, UTC; None where the log holds no change.
        end: The last instant that the log knows of, UTC; None where the log holds no change.
        complete: False for a log that holds changes only (filtered, or loaded without a baseline):
            states cannot be told from it.
        why: Where it is not complete, or began earlier, why it ends there, in words for an error message.
        cut: From when on it has all changes, where there were earlier ones that are not in it; None where it begins by
            itself. Earlier than ``start`` where changes are known before states are.
        gaps: Whether changes are missing between those that it has (of another user, in another partition, dropped): no
            change can be held against the one before it.
    """

    start: datetime | None = None
    end: datetime | None = None
    complete: bool = True
    why: str = ""
    cut: datetime | None = None
    gaps: bool = False

    def __str__(self) -> str:
        if self.start is None or self.end is None:
            return f"no changes ({self.why})" if self.why else "no changes"
        span = f"{self.start:%Y-%m-%d %H:%M:%S} to {self.end:%Y-%m-%d %H:%M:%S} UTC"
        return f"{span}, complete" if self.complete else f"{span}, changes only ({self.why})"

    @property
    def also(self) -> str:
        """``why`` as a sentence behind others in a message, after a blank; empty where there is none."""
        return f" {self.why[0].upper()}{self.why[1:]}." if self.why else ""


@dataclass(frozen=True, slots=True)
class Beginning:
    """The snapshot of all entities with whose states a log begins.

    Args:
        mark: They are as this mark saw them; the log's changes are those that it did not see.
        last_id: The highest id among the changes that it saw.
        entities: How many there were, of all types.
        partial: Types of which rows were there before their log began, as changes that it saw showed.
    """

    mark: Mark
    last_id: int
    entities: int
    partial: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LogFacts:
    """The facts that stand beside a log's rows.

    Args:
        source: Where the rows came from, without any password.
        system: The database system's identifier, where the source has one.
        zone: The time zone in which naive times are read.
        clock: The one clock in use: ``changed_at`` or ``committed_at``.
        coverage: What the log holds.
        filters: What was pushed down to the source, in words.
        kinds: Per entity type and field, the kind of value as the source's catalog declares it.
        keys: Per entity type, the columns of its primary key as the source's catalog declares them.
        partial: Entity types that were tracked without a baseline: rows that no change touched are not in the log.
        snapshot: The transaction snapshot in which a database's log was read (``pg_current_snapshot()`` as text): what
            was committed then is in the log. None for other sources, and for one read on a standby.
        timeline: The database system's timeline, where the source has one.
        marks: Saved moments of the database: as of them, states are exact.
        masked: Fields whose values were masked when the log was written, as ``type.field``.
        omitted: Fields that were left out then, as ``type.field``.
        visible_within: Seconds from a change's time by the clock to the moment at which others saw it, at the most: how
            long a transaction may have been open, or a commit on its way. Where 0, recorded times are taken as that
            moment. What was recorded so shortly before a time that it may not have been visible then makes the states
            at that time uncertain, unless marks tell.
        since: The snapshot of the entities with which the log begins; None where it begins by itself.
    """

    source: str = "memory"
    system: str | None = None
    zone: str = "UTC"
    clock: str = "changed_at"
    coverage: Coverage = field(default_factory=Coverage)
    filters: tuple[str, ...] = ()
    kinds: dict[str, dict[str, str]] = field(default_factory=dict)
    partial: tuple[str, ...] = ()
    snapshot: str | None = None
    keys: dict[str, tuple[str, ...]] = field(default_factory=dict)
    timeline: int | None = None
    marks: tuple[Mark, ...] = ()
    visible_within: float = 0.0
    masked: tuple[str, ...] = ()
    omitted: tuple[str, ...] = ()
    since: Beginning | None = None

    def __post_init__(self) -> None:
        seconds("visible_within", self.visible_within)

    @property
    def spans_its_ids(self) -> bool:
        """Whether a change id above or below those loaded is outside the log: not if only some types were loaded."""
        by_type = any(words.startswith("entit") for words in self.filters)
        return not by_type or any(words.startswith("changes before") for words in self.filters)

    @property
    def from_a_start(self) -> bool:
        """Whether changes were loaded from a time on that was asked for."""
        return any(words.startswith("changes from") for words in self.filters)


@dataclass(frozen=True, slots=True)
class EntityChange:
    """One change of a log, its documents decoded exactly (numbers with a fraction are ``Decimal``)."""

    id: int
    entity_type: str
    entity_id: str | None
    operation: str
    changed_by: str | None
    changed_at: datetime
    before_snapshot: dict[str, Any] | None
    after_snapshot: dict[str, Any] | None
    changed_fields: Any
    metadata: dict[str, Any] | None
    transaction_id: int | None
    correlation_id: str | None
    committed_at: datetime | None = None
    partition: str | None = None


LONGEST = 100 * 366 * 24 * 3600
"""Seconds that a span of time may have, such as how long a transaction was open: a hundred years."""


def seconds(option: str, value: float) -> None:
    """Raise ``BadOption`` where a span of time is none, or longer than any that is meant."""
    if not 0 <= value <= LONGEST:
        raise BadOption(f"{option}={value}: give seconds, 0 or more, and at the most {LONGEST:,} (a hundred years).")


def check_columns(frame: pl.DataFrame, made: Mapping[str, Sequence[str]] | None = None) -> None:
    """Raise ``SchemaMismatch`` that names every column that is missing, mistyped or holds nulls it must not.

    ``made`` has the source's columns that a column was made of, for the message.
    """
    schema = frame.schema
    faults = [f"{name}: missing, want {dtype}" for name, dtype in CHANGES.items() if name not in schema]
    for name, dtype in CHANGES.items():
        if name not in schema:
            continue
        got = schema[name]
        if got != dtype:
            faults.append(f"{name}: is {got}, want {dtype}")
        elif name in NOT_NULL and frame[name].null_count():
            own = (made or {}).get(name, (name,))
            made_of = "" if own == (name,) else f", made of {' and '.join(map(repr, own))}"
            faults.append(f"{name}: null in {frame[name].null_count()} rows{made_of}")
    if faults:
        raise SchemaMismatch("this is not a change log: " + "; ".join(faults))

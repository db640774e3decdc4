"""What part of a log is asked for, and how the database is told: by settings, never by text glued into a query."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from auditlab.errors import BadOption, UnknownEntity, UnknownEntityType
from auditlab.queries import text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from auditlab.connection import Connection
    from auditlab.load.catalog import Leaf, LogTable
    from auditlab.load.retention import Dropped

__all__ = ["Entity", "Filters", "check_types", "compose", "narrowed", "select"]

Entity = str | int | UUID | dict[str, Any]
"""An entity as people name it: its id, its key's only value, or its key's columns and values."""

_CONDITIONAL = re.compile(r"^(?P<line>.*?)\s+-- if (?P<filter>\w+)$")


@dataclass(frozen=True, slots=True)
class Filters:
    """The part of a log that is asked for.

    Args:
        settings: Filter to the value that travels as the setting ``auditlab.<filter>``.
        words: What was asked for, in words.
        leaves: The partitions that were chosen; None for all.
        partial: Why states cannot be told from the part; empty where they can.
        gaps: Whether it picks changes, so that others are missing between them.
    """

    settings: dict[str, str] = field(default_factory=dict)
    words: tuple[str, ...] = ()
    leaves: tuple[Leaf, ...] | None = None
    partial: str = ""
    gaps: bool = False

    def tell(self, connection: Connection) -> None:
        """Set the values in a connection's transaction."""
        for name, value in self.settings.items():
            connection.set_local(f"auditlab.{name}", value)

    @property
    def types(self) -> list[str] | None:
        """The entity types that are asked for, partitions of a table too; None for all."""
        asked = self.settings.get("entity_types")
        return None if asked is None else json.loads(asked)

    @property
    def given(self) -> frozenset[str]:
        """The names of the filters that are given."""
        return frozenset(self.settings)


def select(
    log: LogTable,
    *,
    entity_types: Iterable[str] | None,
    start: datetime | None,
    end: datetime | None,
    partitions: Iterable[str] | None,
    user: str | UUID | int | None,
    baseline: bool,
    folds: Mapping[str, str],
) -> Filters:
    """The filters that options ask for; ``start`` and ``end`` are aware, the range is closed-open.

    Raises:
        BadOption: options that do not go together, or a value that the log's columns cannot hold.
    """
    settings, words, partial, leaves = {}, [], [], None
    if entity_types is not None:
        wanted = list(entity_types)
        if not wanted:
            raise BadOption("entity_types= is empty. Leave it out to load all.")
        leaf = next((name for name in wanted if name in folds), None)
        if leaf is not None:
            raise BadOption(f"{leaf} is a partition of {folds[leaf]}: ask for entity_types={folds[leaf]!r}.")
        parts = [name for name, parent in folds.items() if parent in wanted]
        settings["entity_types"] = json.dumps(wanted + parts)
        words.append(f"entity types {', '.join(wanted)}")
    if start is not None and end is not None and start >= end:
        raise BadOption(f"start= ({start.isoformat()}) is not before end= ({end.isoformat()}).")
    for name, moment, told in (("start", start, "from"), ("end", end, "before")):
        if moment is not None:
            settings[name] = moment.isoformat()
            words.append(f"changes {told} {moment.isoformat()}")
    if start is not None and not baseline:
        partial.append("loaded from a start without a baseline")
    if partitions is not None:
        leaves = log.chosen(list(partitions))
        settings["partitions"] = json.dumps([leaf.oid for leaf in leaves])
        words.append(f"partitions {', '.join(leaf.name for leaf in leaves)}")
        partial.append("loaded from some partitions")
    if user is not None:
        settings["user"] = _fitting(str(user), log.column("changed_by").type, "user=")
        words.append(f"changes by {user}")
        partial.append("loaded for one user")
    gaps = partitions is not None or user is not None
    return Filters(settings=settings, words=tuple(words), leaves=leaves, partial=" and ".join(partial), gaps=gaps)


def check_types(
    connection: Connection,
    log: LogTable,
    wanted: Iterable[str],
    *,
    folds: Mapping[str, str],
    also: Iterable[str] = (),
    dropped: Dropped | None = None,
) -> None:
    """Check that the log has each entity type that is asked for, or ``also`` has; the connection knows the filters.

    Where changes were ``dropped`` from it, the message says so.

    Raises:
        UnknownEntityType: the message names those it has.
    """
    there = {folds.get(row["name"], row["name"]) for row in connection.rows(compose("types_present", log))}
    unknown = [name for name in wanted if name not in there.union(also)]
    if unknown:
        held = sorted(
            {folds.get(row["name"], row["name"]) for row in connection.rows(compose("types", log))}.union(also)
        )
        has = ", ".join(map(repr, held)) or "none"
        more = "" if dropped is None else f" {dropped.words(sorted(dropped.entity_types.intersection(unknown)))}."
        raise UnknownEntityType(f"no entity type {', '.join(map(repr, unknown))} in {log.label}. It has {has}.{more}")


def narrowed(
    filters: Filters,
    connection: Connection,
    log: LogTable,
    entity: Entity,
    *,
    folds: Mapping[str, str],
    dropped: Dropped | None = None,
) -> Filters:
    """The filters narrowed to one entity (and its types' TRUNCATEs).

    Where changes were ``dropped`` from the log, the message says so.

    Raises:
        UnknownEntity: the log has no change of such an entity.
    """
    found: list[dict[str, str]] = []
    for name, value in _readings(log, entity):
        connection.set_local(f"auditlab.{name}", value)
        given = frozenset({name} | (filters.settings.keys() & {"entity_types"}))
        found = connection.rows(compose("entities", log, given=given))
        if found:
            break
    if not found:
        more = "" if dropped is None else f" {dropped.words()}."
        raise UnknownEntity(f"no change of an entity {entity!r} in {log.label}.{more}")
    types = {name for row in found for name in (row["entity_type"], folds.get(row["entity_type"], row["entity_type"]))}
    settings = dict(filters.settings)
    settings["entities"] = json.dumps(sorted({row["entity_id"] for row in found}))
    settings["entity_types"] = json.dumps(sorted(types))
    return replace(filters, settings=settings, words=(*filters.words, f"entity {entity}"))


def compose(
    name: str,
    log: LogTable,
    *,
    given: frozenset[str] = frozenset(),
    leaf: Leaf | None = None,
    blocks: Mapping[str, int] | None = None,
) -> str:
    """A query of ``sql/load`` for this log: its table and columns put in, the lines of filters not given left out.

    Args:
        name: The query.
        log: The log.
        given: The filters whose lines stay.
        leaf: The partition to read instead of the whole log.
        blocks: ``from_block`` and ``to_block``, where only a range of the table's blocks is read.
    """
    blocks = blocks or {}
    types = {"user": log.column("changed_by").declared, "entity": log.column("entity_id").declared}
    types["entities"] = types["entity"]
    counted = "xid8" if log.column("transaction_id").type == "xid8" else "bigint"
    lines = []
    for line in text("load", name).splitlines():
        found = _CONDITIONAL.match(line)
        if found is None:
            lines.append(line)
        elif found["filter"] in blocks:
            lines.append(found["line"].replace("(0,0)", f"({blocks[found['filter']]:d},0)"))
        elif found["filter"] in given:
            told = found["line"].replace("::uuid", f"::{types.get(found['filter'], 'uuid')}")
            lines.append(told.replace("::bigint", f"::{counted}") if found["filter"].endswith("_transaction") else told)
    query = "\n".join(line for line in lines if not line.startswith("--"))
    query = query.replace("SELECT * FROM audit.entity_change_log", log.inner(leaf))
    return query.replace("SELECT l.*\n", f"SELECT {log.outer}\n")


def _readings(log: LogTable, entity: Entity) -> list[tuple[str, str]]:
    """The ways in which a name may mean an entity, the likeliest first: as its id, then as its key."""
    readings = []
    if not isinstance(entity, dict):
        try:
            readings.append(("entity", _fitting(str(entity), log.column("entity_id").type, "entity=")))
        except BadOption:
            readings = []
    if log.column("metadata").theirs is not None:
        readings.append(
            ("key", json.dumps(entity, default=str)) if isinstance(entity, dict) else ("value", str(entity))
        )
    return readings


def _fitting(value: str, dtype: str, option: str) -> str:
    """The value, if a column of that type can hold it."""
    try:
        if dtype == "uuid":
            return str(UUID(value))
        if dtype in ("int2", "int4", "int8"):
            return str(int(value))
    except ValueError as exc:
        raise BadOption(f"{option} {value!r} is no {dtype}, and this log's column is one.") from exc
    return value

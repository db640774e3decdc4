"""What PostgreSQL's catalog says about a change log: where it is, its columns, whether it can be read whole."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from auditlab.errors import (
    AccessDenied,
    BadOption,
    DatabaseError,
    IncompleteRead,
    NoSuchTable,
    NotInstalled,
    SchemaMismatch,
    UnsafeOrder,
)
from auditlab.load.columns import source_names, taken
from auditlab.load.commit_times import COMMITTED_AT
from auditlab.marks import Mark, in_order
from auditlab.queries import quote_identifier, text
from auditlab.schema import CHANGES, REQUIRED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from auditlab.connection import Connection

__all__ = [
    "BY_QUERY",
    "DEFAULT_TABLE",
    "Column",
    "Leaf",
    "LogTable",
    "describe",
    "folds",
    "is_readable",
    "keys",
    "kinds",
    "marks",
    "tracked",
]

DEFAULT_TABLE = "audit.entity_change_log"
BY_QUERY = "A log of another layout is read by al.read_query(dsn, 'SELECT * FROM ...') or --query"
"""What reads what ``describe`` refuses."""

_WHOLE = {"int2", "int4", "int8", "oid"}
_TEXT = {"text", "varchar", "bpchar", "name", "citext", "enum"}
_COMPARED_AS_TEXT = {"enum", "citext", "bpchar"}
_DOCUMENT = {"json", "jsonb"}
_IDENTITY = {"uuid", "numeric", "int2", "int4", "int8"}
_TIME = {"timestamptz", "timestamp"}
_PLACED = ("r", "m")
"""Kinds of relations whose rows have a physical place, so that they can be read in ranges."""

_WANTED = {
    "id": "a whole number",
    "transaction_id": "a whole number",
    "changed_at": "a timestamp",
    "committed_at": "a timestamp",
    "entity_id": "uuid, text or a whole number",
    "changed_by": "uuid, text or a whole number",
    "correlation_id": "uuid, text or a whole number",
    "entity_type": "text",
    "operation": "text",
}


@dataclass(frozen=True, slots=True)
class Column:
    """A canonical column, where it stands in this log, and how it is selected.

    Args:
        name: The canonical name.
        theirs: The log's own name for it; None where the log has none.
        type: The type's name in the catalog (``enum`` for an enumeration).
        declared: The type as the table declares it.
    """

    name: str
    theirs: str | None
    type: str
    declared: str

    @property
    def inner(self) -> str:
        """The column under its canonical name, in a type that compares with what is asked for."""
        if self.theirs is None:
            return f"NULL::text AS {self.name}"
        cast = "::text" if self.type in _COMPARED_AS_TEXT else ""
        return f"{quote_identifier(self.theirs)}{cast} AS {self.name}"

    @property
    def outer(self) -> str:
        """The column in a type that the driver brings over exactly."""
        if self.type == "xid8":
            cast = "::text::bigint"
        elif self.type in _WHOLE and self.name in ("id", "transaction_id"):
            cast = "::bigint"
        else:
            cast = "" if self.type in _DOCUMENT | _TIME | {"uuid"} else "::text"
        return f"l.{self.name}{cast} AS {self.name}"


@dataclass(frozen=True, slots=True)
class Leaf:
    """One partition that holds rows."""

    oid: int
    schema: str
    name: str
    kind: str
    blocks: int
    readable: bool

    @property
    def relation(self) -> str:
        """Its name in SQL."""
        return f"{quote_identifier(self.schema)}.{quote_identifier(self.name)}"


@dataclass(frozen=True, slots=True)
class LogTable:
    """A change log in PostgreSQL."""

    oid: int
    schema: str
    name: str
    kind: str
    blocks: int
    columns: tuple[Column, ...]
    leaves: tuple[Leaf, ...] = ()
    commit_times: bool = False

    @property
    def relation(self) -> str:
        """Its name in SQL."""
        return f"{quote_identifier(self.schema)}.{quote_identifier(self.name)}"

    @property
    def label(self) -> str:
        """Its name for people."""
        return f"{self.schema}.{self.name}"

    def column(self, name: str) -> Column:
        """One canonical column."""
        return next(column for column in self.columns if column.name == name)

    def inner(self, leaf: Leaf | None = None) -> str:
        """The SELECT of all rows under canonical names, of the whole log or of one leaf."""
        kind = self.kind if leaf is None else leaf.kind
        places = ["tableoid AS leaf", "ctid AS place"] if kind in (*_PLACED, "p") else []
        places += ["xmin AS writer"] if self.stamped else []
        names = ", ".join([column.inner for column in self.columns] + places)
        return f"SELECT {names} FROM {self.relation if leaf is None else leaf.relation}"

    @property
    def outer(self) -> str:
        """The list of columns to select, those that the log does not have left out."""
        names = [column.outer for column in self.columns if column.theirs is not None]
        if self.stamped:
            number = self.column("transaction_id").outer.removesuffix(" AS transaction_id")
            names.append(COMMITTED_AT.format(transaction_id=number, short_id=f"({number} & 4294967295)::text::xid"))
        return ", ".join(names)

    @property
    def without(self) -> dict[str, None]:
        """The images that the log never recorded."""
        return {name: None for name in REQUIRED if self.column(name).theirs is None}

    @property
    def recorded(self) -> tuple[str, ...]:
        """The canonical columns that the log itself has: what it recorded."""
        have = {column.name for column in self.columns if column.theirs is not None}
        return tuple(name for name in CHANGES if name in have)

    @property
    def stamped(self) -> bool:
        """Whether the server can tell when each row was committed, and the log itself does not."""
        known = {column.name: column.type for column in self.columns if column.theirs is not None}
        tables = self.kind == "r" or (self.kind == "p" and all(leaf.kind == "r" for leaf in self.leaves))
        ours = known.get("transaction_id") in ("int8", "xid8") and known.get("changed_at") == "timestamptz"
        return self.commit_times and tables and ours and "committed_at" not in known

    def chosen(self, partitions: Sequence[str]) -> tuple[Leaf, ...]:
        """The leaves of those names (with or without their schema).

        Raises:
            BadOption: the log has no such partition; the message names those it has.
        """
        known = {
            name: leaf for leaf in self.leaves for name in (leaf.name, f"{leaf.schema}.{leaf.name}", leaf.relation)
        }
        unknown = [name for name in partitions if name not in known]
        if unknown:
            has = ", ".join(repr(leaf.name) for leaf in self.leaves) or "none"
            raise BadOption(f"no partition {', '.join(map(repr, unknown))} in {self.label}. It has {has}.")
        return tuple(dict.fromkeys(known[name] for name in partitions))

    @property
    def splits(self) -> bool:
        """Whether its leaves can be read one by one with the same rows as a read of the whole."""
        return all(leaf.readable and leaf.kind in _PLACED for leaf in self.leaves)


def describe(
    connection: Connection,
    table: str,
    *,
    columns: Mapping[str, str | None] | None = None,
    allow_unsafe_order: bool = False,
    commit_times: bool = False,
) -> LogTable:
    """The change log of that name, checked: that it is one, that this role sees all of it, that its ids tell an order.

    Args:
        connection: Where.
        table: The name as SQL writes it (``audit.entity_change_log``, ``"My Schema"."Log"``).
        columns: Canonical name to the log's own, for columns that are called otherwise; None for an image that it does
            not have.
        allow_unsafe_order: Whether a log whose ids come from a sequence that hands them out in batches is taken.
        commit_times: Whether the server tracks when transactions commit.

    Raises:
        NotInstalled, NoSuchTable: there is no such table.
        AccessDenied: the role may not read it.
        IncompleteRead: row security would hide rows from the role.
        SchemaMismatch: columns are missing or mistyped; all of them are named.
        UnsafeOrder: the order of the ids is not the order of the changes.
    """
    relation = _relation(connection, table)
    label = f"{relation['schema']}.{relation['name']}"
    if not relation["readable"]:
        raise AccessDenied(
            f"{connection.label}: role {relation['role']} may not read {label}. "
            f"Grant it: GRANT SELECT ON {label} TO {relation['role']}"
        )
    if relation["row_security"]:
        raise IncompleteRead(
            f"row security would filter {label} for role {relation['role']}: the log would be read with rows missing. "
            "Read it as the table's owner, or as a role with BYPASSRLS."
        )
    found = LogTable(
        oid=relation["oid"],
        schema=relation["schema"],
        name=relation["name"],
        kind=relation["kind"],
        blocks=relation["blocks"],
        columns=_columns(connection, relation["oid"], label, columns),
        commit_times=commit_times,
    )
    if found.kind == "p":
        leaves = connection.rows(text("load", "leaves"), (found.oid,))
        found = replace(found, leaves=tuple(Leaf(**leaf) for leaf in leaves))
    if not allow_unsafe_order:
        _check_order(connection, found)
    return found


def folds(connection: Connection) -> dict[str, str]:
    """Names of partitions of the source's tables, and the entity type that each belongs to."""
    return {row["leaf"]: row["entity_type"] for row in connection.rows(text("load", "folds"))}


def kinds(connection: Connection) -> dict[str, dict[str, str]]:
    """Per table of the source and column, the kind of value that the catalog declares."""
    found: dict[str, dict[str, str]] = {}
    for row in connection.rows(text("load", "kinds")):
        found.setdefault(row["entity_type"], {})[row["field"]] = row["kind"]
    return found


def keys(connection: Connection) -> dict[str, tuple[str, ...]]:
    """Per table of the source, the columns of its primary key, in the key's order."""
    return {row["entity_type"]: tuple(row["columns"]) for row in connection.rows(text("load", "keys"))}


def marks(connection: Connection) -> tuple[Mark, ...]:
    """The marks that our capture keeps of this system; none where there is no such table, or it cannot be read."""
    if not connection.rows(text("load", "marks_readable"))[0]["readable"]:
        return ()
    return in_order(Mark(**row) for row in connection.rows(text("load", "marks")))


def tracked(connection: Connection, log: LogTable) -> dict[str, bool]:
    """Entity types that our capture tracks, and whether their rows of before were written; none without it.

    Raises:
        AccessDenied, IncompleteRead: there is a record of it, and this role may not read all of it.
    """
    beside = f"{quote_identifier(log.schema)}.tracked_table"
    told = f"which says of which tables {log.label} lacks the rows that were there before it"
    remedy = "A log that auditlab installed gives it to the members of auditlab_auditor: GRANT auditlab_auditor"
    if not is_readable(connection, beside, told, remedy):
        return {}
    rows = connection.rows(text("load", "tracked").replace("audit.tracked_table", beside))
    return {row["name"]: row["baseline"] for row in rows}


def is_readable(connection: Connection, table: str, told: str, remedy: str) -> bool:
    """Whether there is a table that stands beside a log.

    Args:
        connection: To the log's database.
        table: Its name as SQL writes it.
        told: What it says, for the message: ``which says ...``.
        remedy: What gives the right to read it, up to ``TO`` and the role.

    Raises:
        AccessDenied, IncompleteRead: there is, and this role may not read all of it.
    """
    found = connection.rows(text("load", "relation"), (table,))
    if not found:
        return False
    role = found[0]["role"]
    if not found[0]["readable"]:
        raise AccessDenied(f"{connection.label}: role {role} may not read {table}, {told}. {remedy} TO {role}")
    if found[0]["row_security"]:
        raise IncompleteRead(f"row security would filter {table} for role {role}, {told}.")
    return True


def _relation(connection: Connection, table: str) -> dict[str, Any]:
    try:
        found = connection.rows(text("load", "relation"), (table,))
    except AccessDenied as exc:
        raise AccessDenied(
            f"{exc}. The role needs USAGE on the schema of {table} and SELECT on the table; a log that auditlab "
            "installed gives both to the members of auditlab_auditor: GRANT auditlab_auditor TO the role."
        ) from exc
    except DatabaseError as exc:
        if re.search(r"SQLSTATE 42(601|602)", str(exc)):
            raise BadOption(f'table={table!r} is no table\'s name in SQL. Quote it: \'"My Schema"."My Log"\'.') from exc
        raise
    if found:
        return found[0]
    near = ", ".join(row["name"] for row in connection.rows(text("load", "near")))
    if table == DEFAULT_TABLE:
        hint = f" There is {near}: name it by table=." if near else ""
        raise NotInstalled(f"{connection.label}: no change log {table}. Install one: auditlab init DSN.{hint}")
    hint = f" Tables that look like a change log: {near}." if near else " No table there looks like a change log."
    raise NoSuchTable(f"{connection.label}: no table {table}.{hint}")


def _columns(
    connection: Connection, oid: int, label: str, mapping: Mapping[str, str | None] | None
) -> tuple[Column, ...]:
    there = {row["name"]: row for row in connection.rows(text("load", "columns"), (oid,))}
    names = source_names(mapping)
    columns, faults = [], [*taken(mapping).values()]
    for name, theirs in names.items():
        shown = name if name == theirs else f"{name} (from {theirs!r})"
        if theirs not in there or (name == theirs == "partition" and there[theirs]["type"] not in _TEXT):
            if name in REQUIRED or name != theirs:
                faults.append(f"{shown}: missing")
            columns.append(Column(name=name, theirs=None, type="text", declared="text"))
            continue
        column = Column(name=name, theirs=theirs, type=there[theirs]["type"], declared=there[theirs]["declared"])
        if not _takes(column):
            faults.append(f"{shown}: is {column.declared}, want {_WANTED.get(name, 'jsonb, json or text')}")
        columns.append(column)
    if faults:
        raise SchemaMismatch(
            f"{label} is not a change log: {'; '.join(faults)}. It has the columns: {', '.join(there) or 'none'}. "
            "Columns with other names are given by columns={'canonical name': 'name there'}; an image that this log "
            f"never recorded is told by columns={{'before_snapshot': None}}. {BY_QUERY}."
        )
    missing = [name for name in _ALL if name not in {column.name for column in columns}]
    return (*columns, *(Column(name=name, theirs=None, type="text", declared="text") for name in missing))


_ALL = (*REQUIRED, *(name for name in CHANGES if name not in REQUIRED))


def _takes(column: Column) -> bool:
    if column.name in ("id", "transaction_id"):
        return column.type in _WHOLE | {"xid8"}
    if column.name in ("changed_at", "committed_at"):
        return column.type in _TIME
    if column.name in ("entity_id", "changed_by", "correlation_id"):
        return column.type in _TEXT | _IDENTITY
    if column.name in ("entity_type", "operation"):
        return column.type in _TEXT
    return column.type in _TEXT | _DOCUMENT


def _check_order(connection: Connection, log: LogTable) -> None:
    batched = connection.rows(text("load", "sequences"), (log.oid, log.column("id").theirs))
    if batched:
        names = "; ".join(f"sequence {row['name']} has CACHE {row['cache']}" for row in batched)
        raise UnsafeOrder(
            f"{log.label}: {names}: sessions take ids in batches, so row order cannot be trusted. "
            f"Set it: ALTER SEQUENCE {batched[0]['name']} CACHE 1. allow_unsafe_order=True loads the log as it is."
        )

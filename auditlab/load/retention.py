"""What a log no longer has: partitions that were dropped once an archive had them; and which partitions there are."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from auditlab.errors import CursorMismatch
from auditlab.load.catalog import Leaf, is_readable
from auditlab.queries import quote_identifier, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from auditlab.connection import Connection
    from auditlab.load.catalog import LogTable
    from auditlab.load.cursor import Cursor

__all__ = ["Bound", "Dropped", "bounds", "dropped", "dropped_unseen", "kept_beside", "none_since"]

_RECORD = "audit.entity_change_log_pruned"
"""What stands in the statements for the table that ``prune`` keeps beside a log."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """What was dropped from the beginning of a log.

    Args:
        until: Every change recorded before this was in a partition that was dropped, UTC.
        partitions: How many there were.
        last_id: The highest id among what was dropped; None where that was empty.
        last_transaction: The highest transaction id among it; None where it had none.
        entity_types: Of which entity types it was; of what an earlier auditlab dropped that is not known.
    """

    until: datetime
    partitions: int
    last_id: int | None
    last_transaction: int | None
    entity_types: frozenset[str] = frozenset()

    def words(self, gone: Iterable[str] = ()) -> str:
        """What was dropped, with which types as a whole (``gone``), and where it is: for a message, without a dot."""
        went = "1 partition" if self.partitions == 1 else f"{self.partitions} partitions"
        was = "was" if self.partitions == 1 else "were"
        types = ", ".join(gone)
        whole = f", and with {'it' if self.partitions == 1 else 'them'} all changes of {types}" if types else ""
        told = f"{went}, up to {self.until:%Y-%m-%d %H:%M} UTC, {was} dropped from it (auditlab prune){whole}"
        return f"{told}. Ask it together with the archive that has them: al.scan(dsn, archive)"


@dataclass(frozen=True, slots=True)
class Bound:
    """A partition of a log and the span of time that it is for.

    Args:
        leaf: The partition.
        start: The first time that it takes, UTC; None where it has no beginning.
        end: The first time after it, UTC; None where it has no end.
        bytes: Its size, with its indexes.
        why: Why it is no partition that a time can close; empty where it is one.
        foreign: Why the owner of the log may not drop it; empty where it may.
    """

    leaf: Leaf
    start: datetime | None
    end: datetime | None
    bytes: int
    why: str
    foreign: str

    @property
    def name(self) -> str:
        """Its name for people."""
        return f"{self.leaf.schema}.{self.leaf.name}"


def kept_beside(log: LogTable) -> str:
    """The SQL name of the table that says what was dropped from a log."""
    return f"{quote_identifier(log.schema)}.{quote_identifier(log.name + '_pruned')}"


def dropped(connection: Connection, log: LogTable, folds: Mapping[str, str]) -> Dropped | None:
    """What was dropped from a log after it was archived; None where nothing was. Partitions of a table are the table.

    Raises:
        AccessDenied, IncompleteRead: there is a record of it, and this role may not read all of it.
    """
    beside = kept_beside(log)
    told = f"which says what was dropped from {log.label}"
    if not is_readable(connection, beside, told, f"Grant it: GRANT SELECT ON {beside}"):
        return None
    row = connection.rows(text("load", "dropped").replace(_RECORD, beside))[0]
    if not row["partitions"]:
        return None
    types = frozenset(folds.get(name, name) for name in json.loads(row["entity_types"]))
    return Dropped(row["until"].astimezone(UTC), row["partitions"], row["last_id"], row["last_transaction"], types)


def dropped_unseen(connection: Connection, log: LogTable) -> int:
    """How many partitions were dropped with changes that the snapshot of the entities, which is set, may not have seen.

    ``dropped`` has looked whether the record of it can be read.
    """
    beside = kept_beside(log)
    if not connection.rows(text("load", "relation"), (beside,)):
        return 0
    count: int = connection.rows(text("load", "dropped_unseen").replace(_RECORD, beside))[0]["partitions"]
    return count


def none_since(cursor: Cursor, gone: Dropped | None) -> None:
    """Check that a reader who goes on from a cursor misses nothing of what was dropped.

    Raises:
        CursorMismatch: changes were dropped that came after the cursor.
    """
    if gone is None:
        return
    told = "transaction" if cursor.transaction is not None else "id"
    here, there = (
        (cursor.id, gone.last_id) if cursor.transaction is None else (cursor.transaction, gone.last_transaction)
    )
    last = here if cursor.transaction is None or here is None else here - 1
    if there is not None and (last is None or there > last):
        raise CursorMismatch(
            f"the cursor is at {told} {here}; partitions were dropped from {cursor.table} with changes up to {told} "
            f"{there}, proven against another archive. This one would have a gap. Nothing was read; go on with that "
            "one, or begin a new archive in another folder."
        )


def bounds(connection: Connection, log: LogTable) -> list[Bound]:
    """The partitions directly under a log; those without a beginning first, then by their spans, the others last."""
    theirs = log.column("changed_at").theirs
    found = []
    for row in connection.rows(text("load", "bounds"), (log.oid, theirs)):
        leaf = Leaf(**{name: row[name] for name in ("oid", "schema", "name", "kind", "blocks", "readable")})
        start, end = (None if row[side] is None else _instant(row[side]) for side in ("first", "last"))
        told = f"it belongs to {row['owner']}, and not to {row['log_owner']} as the log: {row['mend']}"
        found.append(Bound(leaf, start, end, row["bytes"], _why(row, theirs), told if row["mend"] else ""))
    return sorted(found, key=lambda one: (bool(one.why), one.end is None, one.end or one.start or _NEVER, one.name))


_NEVER = datetime.max.replace(tzinfo=UTC)


def _instant(told: str) -> datetime:
    found = datetime.fromisoformat(told)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _why(row: dict[str, object], theirs: str | None) -> str:
    if row["is_default"]:
        return "the default partition takes whatever has no other, at any time"
    if row["detaching"]:
        return "it is being detached: finish that by ALTER TABLE ... DETACH PARTITION ... FINALIZE"
    if row["kind"] != "r":
        return "it is no plain table" if row["kind"] != "p" else "it is partitioned itself"
    if not row["by_time"]:
        return f"it is no range of {theirs}: no time closes it"
    return "" if row["last"] is not None else "it has no end"

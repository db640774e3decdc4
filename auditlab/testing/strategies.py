"""Hypothesis strategies: change logs as a busy database writes them, with what makes them hard to read."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl

from auditlab.errors import MissingExtra
from auditlab.schema import CHANGES
from auditlab.testing.equality import UNAVAILABLE, read_document
from auditlab.testing.hostile import NAMES, VALID_TIMES, VALUES
from auditlab.testing.logs import json_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hypothesis.strategies import SearchStrategy

__all__ = ["histories"]

START = datetime(2024, 3, 1, tzinfo=UTC)
TYPES = ("shop.orders", "shop.items")
IDS = ("1", "b7", "é 'q\"")

Document = dict[str, str]
Entity = tuple[str, str]


def histories(
    *,
    max_steps: int = 24,
    entity_types: Sequence[str] = TYPES,
    lossy: bool = False,
    unavailable: bool = False,
    committed: bool = False,
    dated: bool = False,
    rekeyed: bool = False,
    partitioned: bool = False,
    missing: str = "",
) -> SearchStrategy[pl.DataFrame]:
    """Change logs in the canonical columns, as two interleaving writers on one database leave them.

    All operations on several entities; several changes in one transaction; no-op updates, also ones that only say a
    value in other words; ids deleted and inserted again; ``changed_at`` that disagrees with the ids because it is
    the transaction's start; ties and gaps; inner triggers that are logged before what set them off; entities that
    were there before the log began; fields that appear, vanish and are renamed; null against missing; exact numbers,
    times in several zones, hostile names. Row locks are kept: no two writers hold one entity at a time.

    Args:
        max_steps: How many times a writer acts, at most; one act can write several changes.
        entity_types: The types to write to.
        lossy: Leave rows out of the log, as where a trigger was off for a while.
        unavailable: Write the placeholder for some values that did not change.
        committed: Fill ``committed_at``.
        dated: Give every document a field ``since`` that tells a valid time: earlier, later, or none that can be read.
        rekeyed: Have rows hold their key, and change it now and then: of one row, of two that swap theirs; recorded as
            one UPDATE under the new key, or as a DELETE and an INSERT that name each other.
        partitioned: Have rows move between partitions now and then.
        missing: Images that were not recorded: ``before`` or ``after`` for all of those, ``images`` for all but those
            of INSERTs, ``all`` for every one, ``some`` for one here and there. But for ``before``, changes list what
            they changed, some of them in other ways or not at all.

    Raises:
        MissingExtra: Hypothesis is not installed.
    """
    try:
        from hypothesis import strategies as st  # noqa: PLC0415 - an optional part, imported where it is used
    except ImportError as exc:
        raise MissingExtra("generated histories need Hypothesis: pip install 'auditlab[test]'") from exc

    @st.composite
    def drawn(draw: Callable[[SearchStrategy[Any]], Any]) -> pl.DataFrame:
        database = Database(
            choose=lambda options: draw(st.sampled_from(options)),
            entity_types=tuple(entity_types),
            unavailable=unavailable,
            dates=draw(st.sampled_from(VALID_TIMES)) if dated else (),
            rekeyed=rekeyed,
            partitioned=partitioned,
        )
        database.open()
        for _ in range(draw(st.integers(1, max_steps))):
            database.act()
        database.close()
        rows = database.rows or [database.first_row()]
        if lossy:
            rows = [row for row in rows if draw(st.sampled_from((True, True, True, False)))] or rows
        rows = [knocked(row, missing, lambda options: draw(st.sampled_from(options))) for row in rows]
        if not committed:
            rows = [row | {"committed_at": None} for row in rows]
        return pl.DataFrame(rows, schema=CHANGES, orient="row")

    return drawn()


@dataclass(eq=False)
class Transaction:
    """One open transaction: its number, its start, what it has locked and written."""

    number: int | None
    start: datetime
    user: str | None
    locks: set[tuple[str, str | None]] = field(default_factory=set)
    rows: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Database:
    """A small database with a trigger on every table; each choice is drawn."""

    choose: Callable[[Sequence[Any]], Any]
    entity_types: tuple[str, ...]
    unavailable: bool
    dates: tuple[str, ...] = ()
    rekeyed: bool = False
    partitioned: bool = False
    rows: list[dict[str, Any]] = field(default_factory=list)
    leaves: dict[Entity, str] = field(default_factory=dict)
    key: str = ""
    halved: str = ""
    live: dict[Entity, Document] = field(default_factory=dict)
    fields: dict[str, str] = field(default_factory=dict)
    writers: list[Transaction | None] = field(default_factory=lambda: [None, None])
    now: datetime = START
    last_id: int = 0
    transactions: int = 700
    numbered: bool = True

    def open(self) -> None:
        """Choose the fields, and what was there before the log began."""
        kinds = tuple(VALUES)
        for _ in range(4):
            self.fields[self.choose(NAMES)] = self.choose(kinds)
        self.numbered = self.choose((True, True, True, True, True, False))
        if self.rekeyed:
            self.key, self.halved = self.choose(("id", "code")), self.choose(("", "by row", "by statement"))
            self.fields.pop(self.key, None)
            self.fields.setdefault("note", "text")
        for entity_type in self.entity_types:
            for entity_id in IDS:
                if self.choose((False, False, True)):
                    self.live[entity_type, entity_id] = self.document()

    def act(self) -> None:
        """One writer does one thing: it may begin a transaction before and commit it after."""
        self.now += timedelta(seconds=self.choose((0, 0, 1, 3600)))
        slot = self.choose((0, 0, 1))
        entity = (self.choose(self.entity_types), self.choose(IDS))
        other = self.writers[1 - slot]
        if other is not None and {entity, (entity[0], None)} & other.locks:
            return
        transaction = self.writers[slot] or self.begin()
        self.writers[slot] = transaction
        alone = other is None or all(locked[0] != entity[0] for locked in other.locks)
        self.write(transaction, entity, alone=alone)
        if self.choose((True, False)):
            self.commit(slot)

    def begin(self) -> Transaction:
        """A transaction that starts now."""
        self.transactions += 1
        number = self.transactions if self.numbered else None
        return Transaction(number, self.now, self.choose(("ann", "bob", None)))

    def write(self, transaction: Transaction, entity: Entity, *, alone: bool) -> None:
        """One statement on one entity, or on its whole table."""
        transaction.locks.add(entity)
        old = self.live.get(entity)
        if old is None:
            return self.chain(transaction, entity, "INSERT", None, self.document())
        acts = ["UPDATE"] * 8 + ["DELETE"] * 3 + ["TRUNCATE"] * alone + ["SNAPSHOT"] * (not transaction.rows)
        acts += ["REKEY"] * 6 * (self.rekeyed and alone) + ["MOVE"] * 6 * self.partitioned
        match self.choose(acts):
            case "REKEY":
                self.rekey(transaction, entity, (entity[0], self.choose(IDS)))
            case "MOVE":
                self.log(transaction, entity, "DELETE", old, None)
                del self.live[entity]
                self.chain(transaction, entity, "INSERT", None, self.changed(old))
            case "UPDATE":
                self.chain(transaction, entity, "UPDATE", old, self.changed(old))
            case "DELETE":
                self.log(transaction, entity, "DELETE", old, None)
                del self.live[entity]
            case "SNAPSHOT":
                self.log(transaction, entity, "SNAPSHOT", None, old)
                self.commit(self.writers.index(transaction))
            case "TRUNCATE":
                transaction.locks.add((entity[0], None))
                self.log(transaction, (entity[0], None), "TRUNCATE", None, None)
                self.live = {other: document for other, document in self.live.items() if other[0] != entity[0]}
        return None

    def rekey(self, transaction: Transaction, entity: Entity, other: Entity) -> None:
        """Give a row another key; where that is taken, the row that has it gets this one in the same statement."""
        transaction.locks.add(other)
        rows = [(entity, other)] + [(other, entity)] * (other in self.live)
        done = [(one, new, self.live.pop(one)) for one, new in rows] if other != entity else []
        told = [(one, new, old, self.changed(old)) for one, new, old in done]
        for _, new, _, after in told:
            self.live[new] = after
            if len(told) == 1 and self.choose((False, False, True)):  # a trigger updates it again, and is logged first
                self.live[new] = self.changed(after)
                self.log(transaction, new, "UPDATE", after, self.live[new])
        for one, new, old, after in told:
            if not self.halved:
                self.log(transaction, new, "UPDATE", old, after, was=one[1])
        for half in ("DELETE", "INSERT") if self.halved == "by statement" else ("both",) * bool(self.halved):
            for one, new, old, after in told:
                if half != "INSERT":
                    self.log(transaction, one, "DELETE", old, None, metadata={"rekeyed_to": new[1]})
                if half != "DELETE":
                    self.log(transaction, new, "INSERT", None, after, metadata={"rekeyed_from": one[1]})

    def chain(
        self, transaction: Transaction, entity: Entity, operation: str, old: Document | None, new: Document
    ) -> None:
        """A write and, now and then, what a trigger makes of it: the inner changes are logged first."""
        done = [(operation, old, new)]
        while len(done) < 3 and self.choose((False, False, False, True)):  # noqa: PLR2004 - a trigger within a trigger
            done.append(("UPDATE", done[-1][2], self.changed(done[-1][2])))
        for each in reversed(done):
            self.log(transaction, entity, *each)
        self.live[entity] = done[-1][2]

    def log(
        self,
        transaction: Transaction,
        entity: tuple[str, str | None],
        operation: str,
        before: Document | None,
        after: Document | None,
        *,
        was: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Write one row of the log; ``was`` is the key that the row had before."""
        self.last_id += self.choose((1, 1, 1, 4))
        shown = after
        if self.unavailable and operation == "UPDATE" and before is not None and after is not None:
            same = [name for name in after if before.get(name) == after[name]]
            kept = [name for name in same if self.choose((False, False, True))]
            shown = after | dict.fromkeys(kept, json_text(UNAVAILABLE))
        told = dict(metadata or {})
        leaf = None
        if self.partitioned and entity[1] is not None:
            if operation == "INSERT" or entity not in self.leaves:
                self.leaves[entity] = self.choose(("north", "south"))  # type: ignore[index]  # no TRUNCATE
            leaf = self.leaves[entity]  # type: ignore[index]  # the same
            if transaction.number is not None and transaction.number % 2:
                told["partition"], leaf = leaf, None
        row = dict.fromkeys(CHANGES) | {
            "id": self.last_id,
            "entity_type": entity[0],
            "entity_id": entity[1],
            "operation": operation,
            "changed_by": transaction.user,
            "changed_at": transaction.start,
            "before_snapshot": None if before is None else text_of(self.keyed(before, was or entity[1])),
            "after_snapshot": None if shown is None else text_of(self.keyed(shown, entity[1])),
            "transaction_id": transaction.number,
            "metadata": json_text(told) if told else None,
            "partition": leaf,
        }
        transaction.rows.append(row)
        self.rows.append(row)

    def keyed(self, document: Document, key: str | None) -> Document:
        """The document with its key in it, where rows hold theirs."""
        own = {self.key: json_text(key)}
        return own | document | own if self.key else document

    def commit(self, slot: int) -> None:
        """End a writer's transaction."""
        transaction = self.writers[slot]
        if transaction is not None:
            for row in transaction.rows:
                row["committed_at"] = self.now
        self.writers[slot] = None

    def close(self) -> None:
        """Commit what is open."""
        for slot in range(len(self.writers)):
            self.commit(slot)

    def first_row(self) -> dict[str, Any]:
        """A row for a log in which nothing happened: one that is empty covers no time."""
        transaction = self.begin()
        self.log(transaction, (self.entity_types[0], IDS[0]), "INSERT", None, self.document())
        transaction.rows[0]["committed_at"] = self.now
        return self.rows[0]

    def document(self) -> Document:
        """A new row: each field may be missing, null, or have a value of its kind."""
        names = [name for name in self.fields if self.choose((True, True, True, False))]
        return {name: self.value(name) for name in names} | self.since()

    def since(self) -> Document:
        """The field that tells a valid time, where this database has one."""
        return {"since": self.choose(self.dates)} if self.dates else {}

    def value(self, name: str) -> str:
        """A value for a field; one in eight is null."""
        groups: Sequence[tuple[str, ...]] = VALUES[self.fields[name]]
        text: str = self.choose(self.choose(groups)) if self.choose((True,) * 7 + (False,)) else "null"
        return text

    def changed(self, old: Document) -> Document:
        """What an update makes of a row: nothing, the same in other words, or one field set, gone or renamed."""
        new, name = dict(old), self.choose(tuple(self.fields))
        match self.choose(("set", "set", "set", "nothing", "reworded", "removed", "renamed")):
            case "set":
                new[name] = self.value(name)
            case "reworded":
                new = {name: self.reworded(text) for name, text in reversed(old.items())}
            case "removed":
                new.pop(name, None)
            case "renamed" if name in new:
                new[self.choose(NAMES)] = new.pop(name)
        return new | (self.since() if self.choose((True, True, False)) else {})

    def reworded(self, text: str) -> str:
        """The same value in other words, where there are any."""
        groups = [group for kind in VALUES.values() for group in kind if text in group]
        word: str = self.choose(groups[0]) if groups else text
        return word


def knocked(row: dict[str, Any], missing: str, choose: Callable[[Sequence[Any]], Any]) -> dict[str, Any]:
    """The row without the images that are missing from its log, with its changed fields listed instead."""
    if not missing or row["operation"] in ("TRUNCATE", "SNAPSHOT"):
        return row
    before, after = (None if row[side] is None else read_document(row[side]) for side in IMAGES)
    told = dict(row)
    if missing != "before" and after is not None:
        new = {name: value.text for name, value in after.items() if before is None or before.get(name) != value}
        kept = "values" if missing in ("images", "all") else choose(("values", "values", "names", "nothing"))
        lists = {"values": text_of(new) if new or before is None else None, "names": json_text(list(new))}
        told["changed_fields"] = lists.get(kept)
    gone = {"before": IMAGES[:1], "after": IMAGES[1:], "images": IMAGES, "all": IMAGES}.get(missing, ())
    if missing == "images" and row["operation"] == "INSERT":
        gone = ()
    if missing == "some":
        gone = tuple(side for side in IMAGES if choose((True, False, False)))
    return told | dict.fromkeys(gone)


IMAGES = ("before_snapshot", "after_snapshot")


def text_of(document: Document) -> str:
    """A row as JSON text."""
    return "{" + ", ".join(f"{json_text(name)}: {value}" for name, value in document.items()) + "}"

"""A loaded log with everything that is derived from it once: its order, its documents, its tables."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

import polars as pl

from auditlab import beginning, documents, malformed, order, visibility
from auditlab.assembled import written
from auditlab.changed_fields import new_values, told_fields
from auditlab.completion import completed
from auditlab.cut import Cut, cut_at
from auditlab.errors import UnknownEntityType
from auditlab.placeholders import carry_forward
from auditlab.rows import rows_of
from auditlab.schema import CHANGES, LogFacts, check_columns
from auditlab.set_aside import aside_of, nameless
from auditlab.shape import FACTS, Shape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from datetime import datetime

    from auditlab.documents import Documents, Split
    from auditlab.marks import TransactionSnapshot
    from auditlab.shortcuts import Shortcuts

__all__ = ["Recorded"]

R = TypeVar("R", bound="Recorded")


class Recorded:
    """A log as loaded. Immutable; what is derived is computed when first asked for, and kept.

    Args:
        changes: The canonical columns, one row a change, in any order; a lazy frame is read at the first question.
        facts: What stands beside the rows.
        baseline: The same columns: for each entity its last change before the log's window, for states only.
        malformed: Rows that were set apart because they are no changes.
        entity_types: Of a lazy frame, the entity types that it holds, so that it need not be read to tell.
        strict: Of a lazy frame, whether rows that are no changes are an error when it is read; else they are set apart.

    Raises:
        SchemaMismatch: columns missing or mistyped, all of them named.
    """

    def __init__(
        self,
        changes: pl.DataFrame | pl.LazyFrame,
        facts: LogFacts,
        *,
        baseline: pl.DataFrame | pl.LazyFrame | None = None,
        malformed: pl.DataFrame | None = None,
        entity_types: tuple[str, ...] | None = None,
        strict: bool = True,
    ) -> None:
        self.facts = facts
        self.spans_its_ids = facts.spans_its_ids
        self.shortcuts: Shortcuts | None = None
        self.archived: tuple[int, int] | None = None
        self.larger: Recorded | None = None
        self._sources = changes, baseline
        self._malformed = malformed
        self._entity_types = entity_types
        self._strict = strict
        self._parts: dict[tuple[str, ...], Recorded] = {}
        self._documents: dict[str, Documents] = {}
        self._shapes: dict[str, Shape] = {}
        self._doubts: dict[str, pl.DataFrame] = {}
        if isinstance(changes, pl.DataFrame):
            check_columns(changes)

    @cached_property
    def _read(self) -> tuple[pl.DataFrame, pl.DataFrame | None]:
        """All rows by id, numbered, and those set apart; a lazy source is read here, at the first question."""
        changes, baseline = self._sources
        parts = []
        aside = self._malformed
        for part, early in ((baseline, True), (changes, False)):
            if isinstance(part, pl.LazyFrame):
                rows, apart = malformed.split(part.collect(), strict=self._strict)
                aside = apart if aside is None else pl.concat([aside, apart])
            elif part is not None:
                rows = part
            else:
                continue
            check_columns(rows)
            parts.append(rows.select(*CHANGES, pl.lit(early).alias("baseline")))
        rows = pl.concat(parts).rechunk()  # a load leaves many pieces: a lookup in them costs six times as much
        by_id = rows["id"].is_sorted()
        rows = rows.set_sorted("id") if by_id else rows.sort("id", maintain_order=True)
        return rows.with_row_index("row"), aside

    @property
    def _rows(self) -> pl.DataFrame:
        return self._read[0]

    @property
    def malformed(self) -> pl.DataFrame | None:
        """Rows that are no changes, set apart by a load that is not strict, with their ``kind``."""
        return self._read[1]

    @cached_property
    def nameless(self) -> Mapping[str, int]:
        """By entity type, how many rows were set apart that do not tell whose they are; also of a part, of all."""
        return nameless(self.malformed)

    @property
    def original(self) -> Recorded:
        """The log as recorded: itself, unless this is a reading of it."""
        return self

    @property
    def readings(self) -> tuple[str, ...]:
        """How the documents are read, in words; nothing where they are read as recorded."""
        return ()

    def __len__(self) -> int:
        return len(self._rows)

    @cached_property
    def entity_types(self) -> tuple[str, ...]:
        """The entity types, by name."""
        if self._entity_types is not None:
            return self._entity_types
        return tuple(self._rows["entity_type"].unique().sort())

    def part(self, entity_types: tuple[str, ...]) -> Recorded:
        """The log of some entity types: of a lazy source that was not read yet, only those are read; else all of it."""
        changes, baseline = self._sources
        if not isinstance(changes, pl.LazyFrame) or "_read" in self.__dict__ or entity_types == self.entity_types:
            return self
        if entity_types not in self._parts:
            own = pl.col("entity_type").is_in(entity_types)
            before = baseline.lazy().filter(own) if baseline is not None else None
            told = {"baseline": before, "entity_types": entity_types, "strict": self._strict}
            self._parts[entity_types] = self._within(Recorded(changes.filter(own), self.facts, **told))  # type: ignore[arg-type]
        return self._parts[entity_types]

    room: int | None = None
    """Bytes of memory that a question may take; None of a log that is in memory."""

    @property
    def count(self) -> int:
        """How many parts there are that are asked one after the other."""
        return 1

    def parts(self) -> Iterator[Recorded]:
        """Those parts; each has whole histories, and is told what the whole log knows. Of a log in memory, itself."""
        yield self

    def _within(self, part: R) -> R:
        """A part of this log, which knows of which."""
        part.spans_its_ids, part.shortcuts = False, self.shortcuts
        part.larger = self if self.larger is None else self.larger
        return part

    @cached_property
    def sequence(self) -> order.Sequence:
        """The log in its order."""
        return self._in_order(self._rows)

    def _in_order(self, rows: pl.DataFrame, links: pl.DataFrame | None = None) -> order.Sequence:
        """Rows in their order, dated by the log's clock, and by its marks where those tell of a later time."""
        facts, clock = self.facts, self.facts.clock
        if facts.marks:
            rows, clock = visibility.dated(rows, facts), visibility.VISIBLE_FROM
        found = order.sequence(rows, clock=clock, kinds=facts.kinds, keys=facts.keys, links=links)
        return replace(found, changes=found.changes.drop(visibility.VISIBLE_FROM, strict=False))

    @cached_property
    def changes(self) -> pl.DataFrame:
        """The canonical columns with ``position``, ``row`` and ``baseline``, in the log's order."""
        return self.sequence.changes.with_row_index("position")

    @cached_property
    def echoes(self) -> pl.Series:
        """Positions (UInt32) of rows of which another part of the log tells: of a part, the TRUNCATEs that all have."""
        return pl.Series("position", [], dtype=pl.UInt32)

    @cached_property
    def struck(self) -> pl.Series:
        """Positions (UInt32) of TRUNCATEs that are known to have ended an entity, be it in another part of the log."""
        return self.echoes

    @cached_property
    def id_span(self) -> tuple[int, int] | None:
        """The least and the largest id; None of a log without changes."""
        ids = self._rows["id"]
        return (ids[0], ids[-1]) if len(ids) else None

    @property
    def held_ids(self) -> tuple[int, int] | None:
        """``id_span`` of the log that this is, or is a part of; None where it goes on around what was loaded of it."""
        if self.archived is not None or self.larger is not None:
            return self.archived if self.larger is None else self.larger.held_ids
        return (self.id_span or (0, -1)) if self.spans_its_ids else None

    @cached_property
    def begun(self) -> dict[str, datetime]:
        """Of entity types whose log begins with a baseline: when. What was there before is not in the log."""
        return beginning.begun(self.sequence.steps)

    @cached_property
    def whole(self) -> dict[str, tuple[int, int]]:
        """Of types whose log begins with states that were read: the highest id and position among those.

        They are a load's baseline, and the SNAPSHOT rows of one transaction (or one time) with which a type begins.
        Only from there on are the type's rows all known.
        """
        return beginning.whole(self.changes, self.facts, self.entity_types)

    @cached_property
    def unseen(self) -> dict[str, int]:
        """Entity types that had rows before their log began, with the number of those that a change showed."""
        seen = beginning.unseen(self.changes, self.sequence.steps, self.unlinked_keys["position"])
        return {name: seen.get(name, 0) for name in self.entity_types if name in seen or name in self.facts.partial}

    @cached_property
    def key_changes(self) -> pl.DataFrame:
        """Changes of a primary key that are linked: position, id, entity_type, old, new and how.

        Position and id are of the change that began the new key, old and new are entity ids, and how is ``images``,
        ``metadata`` or ``partition move``.
        """
        return self._keys_changed.filter("linked").drop("linked", "certain")

    @cached_property
    def unlinked_keys(self) -> pl.DataFrame:
        """Changes of a primary key that cannot be linked, or not without doubt: as ``key_changes``.

        Those of which a filter left the other half out are not meant.
        """
        return self.own_unlinked_keys()

    def own_unlinked_keys(self) -> pl.DataFrame:
        """``unlinked_keys``, of a part of a log those of its own changes."""
        told = self._keys_changed.filter(~pl.col("linked") | ~pl.col("certain")).drop("linked", "certain")
        whole = pl.col("how") == "images" if self.facts.filters else pl.lit(value=True)
        return told.filter(whole & ~self.changes["baseline"].gather(told["position"]))

    def known_id(self, entity_type: str, candidates: Iterable[str]) -> str | None:
        """The first of the candidates that is, or once was, the id of an entity of the type."""
        candidates = list(candidates)
        known = None if self.unread is None else self.unread.known(self.facts, entity_type, candidates)
        if known is not None:
            return next(iter(known), None)
        own = pl.col("entity_type") == entity_type
        ids = [self.changes.filter(own)["entity_id"]]
        if len(self.sequence.links):
            ids.append(self.key_changes.filter(own)["old"])
        return next((one for one in candidates if any((names == one).any() for names in ids)), None)

    @property
    def unread(self) -> Shortcuts | None:
        """What may answer in its place, as long as it was not read."""
        return None if "_read" in vars(self) else self.shortcuts

    @cached_property
    def _keys_changed(self) -> pl.DataFrame:
        links = self.sequence.links.with_columns(self.changes["id"][self.sequence.links["position"]])
        columns = ("position", "id", "entity_type", "old", "new", "how", "linked", "certain")
        return links.select(columns).sort("position", maintain_order=True)

    def shape(self, entity_type: str) -> Shape:
        """The derived tables of one entity type."""
        if entity_type not in self._shapes:
            self._shapes[entity_type] = self._shaped(entity_type, self.sequence, self.changes)
        return self._shapes[entity_type]

    def shape_until(self, entity_type: str, *, id: int | None = None, transaction: int | None = None) -> Shape:  # noqa: A002
        """The derived tables as they stood with the changes up to a change id, or up to a transaction's last change.

        Versions of entities that a transaction touched which goes on after that change are not ``certain``.

        Raises:
            UnknownChange: the log has no such transaction.
        """
        if id is not None:
            sequence = self._sequence_of(self._rows.filter(pl.col("id") <= id))
            return self._shaped(entity_type, sequence, sequence.changes.with_row_index("position"), pl.col("id") <= id)
        cut = self.cut(transaction)
        kept = self.changes.filter(pl.col("position") <= cut.last)
        open_still = kept.filter(pl.col("transaction_id").is_in(cut.ongoing.implode()))
        sequence = self._sequence_of(kept.drop("position"))
        changes = sequence.changes.with_row_index("position")
        touched = changes.join(
            open_still.select("entity_type", "entity_id"), on=["entity_type", "entity_id"], how="semi"
        )
        unordered = pl.concat([sequence.unordered, touched["position"]])
        return self._shaped(entity_type, replace(sequence, unordered=unordered), changes, pl.col("id") <= cut.id)

    def cut(self, transaction: int | None) -> Cut:
        """Where a transaction's last change parts the log.

        Raises:
            UnknownChange: the log has no such transaction.
        """
        return cut_at(self.changes, transaction)

    def unnumbered(self, entity_types: tuple[str, ...]) -> tuple[int, int]:
        """How many changes of some types have no transaction id (or none that PostgreSQL gives), and how many are."""
        told = ~pl.col("position").is_in(self.echoes.implode())
        ids = self.changes.filter(pl.col("entity_type").is_in(entity_types), told)["transaction_id"]
        return ids.null_count() + int((ids < 1).sum()), len(ids)

    def latest(self, own: pl.Expr) -> datetime | None:
        """The latest time by the log's clock of the changes that meet a predicate; None without any."""
        return self.changes.filter(own)[self.facts.clock].max()  # type: ignore[return-value]  # a column of times

    def saw_any(self, seen: TransactionSnapshot) -> bool:
        """Whether a transaction snapshot saw any change of the log."""
        return bool(seen.seen(self.changes["transaction_id"]).any())

    def unseen_starts(self, seen: TransactionSnapshot) -> dict[str, int]:
        """Of types whose log begins with states: how many of those a transaction snapshot did not see, where any."""
        return beginning.unseen_starts(self.changes, self.whole, seen)

    def _sequence_of(self, rows: pl.DataFrame) -> order.Sequence:
        """The order of a part of the rows."""
        return self._in_order(rows, self.sequence.links)

    def shape_seen(self, entity_type: str, seen: TransactionSnapshot) -> Shape:
        """The derived tables of a type as the changes make them that a transaction snapshot saw, and no others."""
        rows = self._rows.filter(pl.col("entity_type") == entity_type)
        sequence = self._sequence_of(rows.filter(seen.seen(rows["transaction_id"])))
        was_seen = pl.col("transaction_id").map_batches(seen.seen, return_dtype=pl.Boolean)
        return self._shaped(entity_type, sequence, sequence.changes.with_row_index("position"), was_seen)

    def doubts(self, entity_type: str) -> pl.DataFrame:
        """``visibility.DOUBTS`` of one entity type: when each change may have been visible or not."""
        if entity_type not in self._doubts:
            steps = self.shape(entity_type).images
            self._doubts[entity_type] = visibility.doubts(steps, self.changes, self.facts)
        return self._doubts[entity_type]

    def with_facts(self, facts: LogFacts) -> Recorded:
        """The same rows with other facts beside them."""
        changes, baseline = self._sources
        told = {"baseline": baseline, "malformed": self._malformed, "entity_types": self._entity_types}
        other = Recorded(changes, facts, **told, strict=self._strict)  # type: ignore[arg-type]  # as they were given
        vars(other).update({"_read": self._read} if "_read" in vars(self) else {})
        return self._alike(other)

    def _alike(self, other: R) -> R:
        """A log of the same rows, which knows the same of them."""
        other.spans_its_ids, other.shortcuts, other.archived = self.spans_its_ids, self.shortcuts, self.archived
        other.larger = None if self.larger is None else self.larger.with_facts(other.facts)
        return other

    def _shaped(
        self, entity_type: str, sequence: order.Sequence, changes: pl.DataFrame, until: pl.Expr | None = None
    ) -> Shape:
        own = changes.lazy().filter(pl.col("entity_type") == entity_type).select(FACTS).collect()
        documents_ = self._split(entity_type)
        rows = self._rows["row"].filter(self._rows["entity_type"] == entity_type)
        own = own.with_columns(rows_of(own["row"], rows))
        steps = sequence.steps.filter(pl.col("entity_type") == entity_type)
        aside = aside_of(self.malformed, entity_type, self.facts.clock, until)
        return Shape(entity_type, own, steps, documents_, sequence.unordered, self.struck, aside)

    def _split(self, entity_type: str) -> Documents:
        if entity_type not in self.entity_types:
            have = ", ".join(map(repr, self.entity_types)) or "none"
            raise UnknownEntityType(f"no entity type {entity_type!r} in this log. It has {have}.")
        if entity_type not in self._documents:
            self._documents[entity_type] = self._typed(entity_type, *self._parts_of(entity_type))
        return self._documents[entity_type]

    def _parts_of(self, entity_type: str) -> tuple[Split, pl.DataFrame, pl.DataFrame]:
        """A type's documents, split; its changes by row, and its steps."""
        own = self.changes.filter(pl.col("entity_type") == entity_type)
        own = recorded = own if own["row"].is_sorted() else own.sort("row")
        steps = self.sequence.steps.filter(pl.col("entity_type") == entity_type)
        kinds = self.facts.kinds.get(entity_type, {})
        same = self.sequence.same_text(own["position"])
        if not kinds:  # a table beside its log is logged by a trigger, which sees every value
            own = carry_forward(own, steps, same)
            same = same if own is recorded else None
        told = told_fields(own, values=self._lists_values(entity_type, recorded))
        images, faulty = (own["before_snapshot"], own["after_snapshot"]), self._faulty(entity_type)
        return documents.split(*images, own["id"], told, same, faulty), own, steps

    def _faulty(self, _: str) -> Callable[[pl.DataFrame], object] | None:
        """What is told of images of a type that are no documents (``documents.FAULTS``); None: they are an error."""
        return None

    def _lists_values(self, entity_type: str, own: pl.DataFrame) -> bool:
        """Whether a type's changes (``own``, as recorded) without an after image list the new values."""
        return entity_type in new_values(lambda: [own])

    def _typed(self, entity_type: str, parts: Split, own: pl.DataFrame, steps: pl.DataFrame) -> Documents:
        """The split documents, completed, with their types; ``own`` is the type's changes by row."""
        whole = completed(parts, own, steps)
        parts = replace(whole.parts, texts=written(whole.parts.texts, whole.parts.fields))
        return documents.typed(parts, self.facts.kinds.get(entity_type, {}), whole.derived)

"""The live log in a snapshot: all of it, or what came since a log that was loaded from it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import polars as pl

from auditlab import malformed
from auditlab.analytics.by_id import ById
from auditlab.errors import BadOption, SystemMismatch
from auditlab.load import catalog, retention
from auditlab.load.estimate import refuse_too_large
from auditlab.load.filters import check_types, compose
from auditlab.load.source import frame
from auditlab.load.stream import ChangeStream
from auditlab.recorded import Recorded
from auditlab.schema import CHANGES, LogFacts
from auditlab.selection import Selected

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    import pyarrow as pa

    from auditlab.analytics.disagreements import Disagreements
    from auditlab.load.snapshot import Snapshot

__all__ = ["Held", "LiveLog", "chunks"]

_CHUNK_BYTES = 48 << 20


@dataclass(frozen=True, slots=True)
class Held:
    """A log that is ready to be held against the tables.

    Args:
        log: It, up to the snapshot.
        entity_types: The types to look at.
        only: The entities to look at; None for all.
        named: Whether the types were asked for by name, and each wants an answer.
    """

    log: Selected
    entity_types: tuple[str, ...]
    only: pl.Series | None = None
    named: bool = False


class LiveLog:
    """The log in a database, seen in one snapshot.

    Args:
        snapshot: The snapshot.
        table: The log's name as SQL writes it.
        options: What else ``ChangeStream`` takes to read it.
    """

    def __init__(self, snapshot: Snapshot, table: str, **options: Any) -> None:  # noqa: ANN401 - ChangeStream's own
        self._snapshot, self._options = snapshot, {"table": table, **options}
        columns, unsafe = options.get("columns"), options.get("allow_unsafe_order", False)
        self.log = catalog.describe(snapshot.holder, table, columns=columns, allow_unsafe_order=unsafe)
        self.tracked = catalog.tracked(snapshot.holder, self.log)
        self.folds = catalog.folds(snapshot.holder)
        self.kinds = catalog.kinds(snapshot.holder)

    def whole(self, wanted: Sequence[str] | None, found: Disagreements, *, memory_limit: int | None = None) -> Held:
        """All of the log, or some types of it; with all of it also the types that have no change yet.

        Args:
            wanted: The types; None for all.
            found: Takes what is wrong with the log itself.
            memory_limit: Bytes that it may take in memory.

        Raises:
            UnknownEntityType: a type that neither the log nor the capture knows.
            LogTooLarge: it would not fit in memory.
        """
        types = None if wanted is None else self._present(wanted)
        changes, aside, facts = pl.DataFrame(schema=CHANGES), None, LogFacts()
        if types is None or types:
            with ChangeStream(self._snapshot, entity_types=types, **self._options) as stream:
                refuse_too_large(
                    stream.expected_bytes(), limit=memory_limit, rows=stream.expected, label=self.log.label
                )
                changes, aside = malformed.split(frame(stream), strict=False)
                facts = stream.facts
        asked = wanted if wanted is not None else {*changes["entity_type"].unique(), *self.tracked}
        asked = tuple(sorted(set(asked)))
        _set_apart(found, asked, aside)
        return Held(Selected(Recorded(changes, facts), asked), asked, named=wanted is not None)

    def since(self, selected: Selected, found: Disagreements) -> Held:
        """A log that was loaded before, with what came since; ``found`` takes what is not as it was.

        Raises:
            BadOption: some partitions of a table are selected, and others are not.
            SystemMismatch: the log is another one.
        """
        recorded, facts = selected.recorded, selected.recorded.facts
        own = self._folded(selected)
        only = _only(selected)
        narrowed = selected.entity_types != recorded.entity_types or not recorded.spans_its_ids or only is not None
        to_the_end = not narrowed and facts.snapshot is not None
        check = ById(selected, self.folds, only)
        types = None if to_the_end else self._present(own, strict=False)
        kinds: dict[str, dict[str, str]] = {}
        keys: dict[str, tuple[str, ...]] = {}
        if types is None or types:
            with ChangeStream(self._snapshot, entity_types=types, zone=facts.zone, **self._options) as stream:
                check.expect(stream.expected_bytes())
                for rows in chunks(stream):
                    check.take(rows)
                kinds, keys = stream.facts.kinds, stream.facts.keys
        check.judge(found, lambda: self._oldest)
        if check.common and not check.kin:
            raise SystemMismatch(
                f"the log was loaded from {facts.source}, and none of its changes is among those of the same ids in "
                f"{self._snapshot.holder.label} {self.log.label}: that is another log."
            )
        check.settle(check.left_out if to_the_end else ())
        asked = own
        if to_the_end:
            asked = tuple(sorted({*own, *({*check.new_types, *self.tracked} - check.left_out)}))
        _set_apart(found, asked, recorded.malformed, *check.aside)
        if check.as_it_was:
            return Held(replace(selected, entity_types=asked), asked, only, selected.chosen)
        kinds = {**kinds, **facts.kinds} if facts.kinds else {}  # a log without them may have values that were not sent
        facts = replace(facts, clock="changed_at", kinds=kinds, keys={**keys, **facts.keys})
        return Held(Selected(check.together(facts), asked), asked, only, selected.chosen)

    def oldest_id(self) -> int | None:
        """The lowest id of the live log; None where it is empty."""
        return self._oldest[0]

    @cached_property
    def _oldest(self) -> tuple[int | None, datetime | None]:
        row = self._snapshot.holder.rows(compose("oldest", self.log))[0]
        return row["id"], row["changed_at"]

    def _present(self, wanted: Iterable[str], *, strict: bool = True) -> list[str]:
        """Of the types that are asked for, those that the live log has changes of."""
        holder, wanted = self._snapshot.holder, list(wanted)
        leaves = [leaf for leaf, parent in self.folds.items() if parent in wanted]
        holder.set_local("auditlab.entity_types", json.dumps([*wanted, *leaves]))
        there = {self.folds.get(row["name"], row["name"]) for row in holder.rows(compose("types_present", self.log))}
        if strict and not there.union(self.tracked).issuperset(wanted):
            dropped = retention.dropped(holder, self.log, self.folds)
            check_types(holder, self.log, wanted, folds=self.folds, also=self.tracked, dropped=dropped)
        return [name for name in wanted if name in there]

    def _folded(self, selected: Selected) -> tuple[str, ...]:
        """The selected types, partitions as the table that they belong to."""
        parents = {self.folds[name] for name in selected.entity_types if name in self.folds}
        missing = [name for name in selected.recorded.entity_types if self.folds.get(name) in parents]
        missing = [name for name in missing if name not in selected.entity_types]
        if missing:
            raise BadOption(
                f"{', '.join(missing)} and what is selected are partitions of {', '.join(sorted(parents))}: "
                "rows move between them. Select all of them."
            )
        return tuple(sorted({self.folds.get(name, name) for name in selected.entity_types}))


def chunks(batches: Iterable[pa.RecordBatch]) -> Iterator[pl.DataFrame]:
    """Batches put together to frames of a bounded size."""
    waiting: list[pl.DataFrame] = []
    size = 0
    for batch in batches:
        waiting.append(pl.DataFrame(pl.from_arrow(batch, rechunk=False)))
        size += batch.nbytes
        if size >= _CHUNK_BYTES:
            yield pl.concat(waiting)
            waiting, size = [], 0
    if waiting:
        yield pl.concat(waiting)


def _only(selected: Selected) -> pl.Series | None:
    """The entities that a log was narrowed to; None for all."""
    if selected.entity_id is not None:
        return pl.Series("entity_id", [selected.entity_id])
    filters = selected.recorded.facts.filters
    if any(words.startswith("entity ") and not words.startswith("entity types ") for words in filters):
        ids = (part.changes["entity_id"].drop_nulls().unique() for part in selected.recorded.parts())
        return pl.concat(ids).unique()
    return None


def _set_apart(found: Disagreements, entity_types: tuple[str, ...], *aside: pl.DataFrame | None) -> None:
    """Tell of rows that are no changes, and that no state takes into account."""
    own = pl.col("entity_type").is_in(entity_types) & (pl.col("kind") != malformed.COPY)
    for rows in aside:
        if rows is not None:
            found.add("malformed change", rows.filter(own).rename({"kind": "note"}))

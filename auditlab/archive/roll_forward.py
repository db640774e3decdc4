"""Roll a checkpoint forward: over those changes since that follow plainly from what it keeps, by columns alone.

An entity's changes are plain where each begins, to the byte, where the one before it ended, the first of them where
the checkpoint left the entity, and nothing puts their order in doubt. Its state as of a moment is then the after image
of the last one up to there, and none of its images need be put together. What is not plain is left to be looked at as
documents (``buckets.near``).

A checkpoint that was rolled forward tells what was so then, and not when it came to be so.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from auditlab import visibility
from auditlab.archive.decode import recorded_rows
from auditlab.archive.form import form_of
from auditlab.archive.kinds import ENTITY, told
from auditlab.archive.plain import plainly, steps_of
from auditlab.archive.rows import opened
from auditlab.archive.tail import tail_of
from auditlab.buckets.near import out_of_turn
from auditlab.buckets.types import Types
from auditlab.keyfields import SAMPLE, KeyFields, key_sample
from auditlab.lives import running_maximum
from auditlab.marks import TransactionSnapshot
from auditlab.placeholders import UNAVAILABLE
from auditlab.schema import CHANGES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from pathlib import Path

    from auditlab.archive.kept import KeptRows
    from auditlab.archive.shredded import Shredded
    from auditlab.buckets.checkpoint import Kept
    from auditlab.buckets.types import Signature, Told
    from auditlab.schema import LogFacts
    from auditlab.shortcuts import Question

__all__ = ["Rolled", "RolledRows", "Rolling", "rolling"]

_REST = 2
"""Where more than one in so many changes is not plain, all are looked at as documents."""

_STRINGS = ("text", "uuid", "time", "entity text")
"""Kinds whose values are JSON strings."""

_SAMPLED = ("id", "entity_id", "after_snapshot")


class Rolled(NamedTuple):
    """A checkpoint of one entity type, rolled forward.

    Args:
        kept: What it tells, and what came does of fields, keys, entities that are gone, and how much there is. Else as
            it was.
        left: Its rows, and the states that plain changes left.
        rows: The changes that are not plain: ``CHANGES``, in the order in which they came.
    """

    kept: Kept
    left: RolledRows
    rows: pl.DataFrame


class RolledRows:
    """The rows of a checkpoint that was rolled forward (``buckets.near.Left``).

    Args:
        kept: The rows that the checkpoint keeps.
        gone: UInt32; those of them whose entities have others by then, or are gone.
        changed: The rows of those that have others, and ``at`` (UInt32) in whose place of the checkpoint each stands.
        begun: The rows of those that the checkpoint has not.
        unsure: String; the entities with a change of which it is in doubt whether it was visible then.
        absent: String; those of them that are gone by then, or were not there.
    """

    def __init__(
        self,
        kept: KeptRows,
        gone: pl.Series,
        changed: tuple[Shredded, pl.Series],
        begun: Shredded,
        *,
        unsure: pl.Series,
        absent: pl.Series,
    ) -> None:
        self._kept, self._gone, self._changed, self._begun, self._unsure = kept, gone, changed, begun, unsure
        self.absent = absent

    def rows(self, touched: pl.Series | None = None) -> pl.DataFrame:
        """See ``buckets.near.Left``."""
        return self._kept.rows(touched)

    def others(self, touched: pl.Series) -> pl.DataFrame:
        """See ``buckets.near.Left``; as the checkpoint keeps them."""
        return self._kept.others(touched)

    def live(self, types: Types, entity_type: str, touched: pl.Series, *, texts: bool) -> pl.DataFrame:
        """See ``buckets.near.Left``; in the order of the checkpoint, where no entity began since."""
        own = self._kept.untouched(touched).scatter(self._gone, values=False)
        found = self._kept.shredded.filter(own).states(types, entity_type, texts=texts)
        changed, at = self._changed
        if len(changed):
            turn = pl.concat([own.arg_true().rename("at"), at.rename("at")]).arg_sort()
            found = pl.concat([found, changed.states(types, entity_type, texts=texts)], rechunk=True)[turn]
        if len(self._begun):
            begun = self._begun.states(types, entity_type, texts=texts)
            if found["entity_id"].is_sorted():
                found = found.merge_sorted(begun.sort("entity_id"), key="entity_id")
            else:
                found = pl.concat([found, begun])
        if self._unsure.is_empty():
            return found
        return found.with_columns(certain=~pl.col("entity_id").is_in(self._unsure.implode()))


class Rolling:
    """What came to a checkpoint of one entity type since, by columns: it can be rolled over up to any moment.

    Args:
        kept: What the checkpoint tells, and what came does of fields and keys, and how much there is.
        rows: The rows that it keeps.
        tail: Those that came.
        plain: The changes that are plain, as ``plain.steps_of`` gives them.
        rest: The others: ``CHANGES``.
        facts: The log's facts as they are now.
    """

    def __init__(
        self, kept: Kept, rows: KeptRows, tail: Shredded, plain: pl.DataFrame, rest: pl.DataFrame, facts: LogFacts
    ) -> None:
        self._kept, self._rows, self._tail, self._plain, self._rest = kept, rows, tail, plain, rest
        self._facts = facts

    def to(self, question: Question) -> Rolled | None:
        """The checkpoint rolled forward over all that counts in a question, which is about more than what it keeps.

        None where only documents tell what counts.
        """
        plain = self._counting(question)
        if plain is None:
            return None
        last = plain.filter((pl.col("entity") != pl.col("entity").shift(-1)).fill_null(value=True))
        last = last.select("row", "at", "id", ends=pl.col("operation") == "DELETE")
        live, gone = (last.filter(pl.col("ends") == ends) for ends in (False, True))
        changed, begun = (live.filter(pl.col("at").is_null() == new) for new in (False, True))
        unsure = self._tail.ids.clear() if question.at is None else self._unsure(question.at)
        left = RolledRows(
            self._rows,
            last["at"].drop_nulls(),
            (self._states.gather(changed["row"]), changed["at"]),
            self._states.gather(begun["row"]),
            unsure=unsure,
            absent=unsure.filter(unsure.is_in(self._tail.ids.gather(gone["row"]).implode())),
        )
        return Rolled(replace(self._kept, dropped=max([self._kept.dropped, *gone["id"].top_k(1)])), left, self._rest)

    def _counting(self, question: Question) -> pl.DataFrame | None:
        """The plain changes that count in a question, of each entity the first ones; None where documents tell it."""
        if question.at is not None:
            return self._plain.filter(self._effective <= question.at)
        if question.id is not None:
            return self._plain.filter(pl.col("id") <= question.id)
        if question.seen is None:
            return self._plain
        ids, read = self._tail.cells["transaction_id"], self._facts.snapshot
        told = bool((ids >= 1).fill_null(value=False).all())
        if not told or not (read is None or TransactionSnapshot.of(read).seen(ids).all()):
            return None  # the mark says nothing of some
        seen = question.seen.seen(self._plain["transaction_id"])
        same = (self._plain["entity"] == self._plain["entity"].shift()).fill_null(value=False)
        return None if (same & seen & ~seen.shift()).any() else self._plain.filter(seen)

    @cached_property
    def _states(self) -> Shredded:
        return self._tail.after()

    @cached_property
    def _changes(self) -> pl.DataFrame:
        """The times of all that came, with ``position``, dated by the marks where there are any."""
        times = self._tail.cells.select("transaction_id", "changed_at", "committed_at").with_row_index("position")
        return visibility.dated(times, self._facts) if self._facts.marks else times

    @cached_property
    def _effective(self) -> pl.Series:
        """The effective times of the plain changes, but for that of what the checkpoint keeps: no instant is before."""
        clock = visibility.VISIBLE_FROM if self._facts.marks else self._facts.clock
        return running_maximum(self._plain["entity"], self._changes[clock].gather(self._plain["row"]))

    def _unsure(self, at: datetime) -> pl.Series:
        """The ids of the entities with a plain change of which it is in doubt whether it was visible at the instant."""
        own = self._effective <= at
        if not self._facts.marks:  # else one may be in doubt for longer
            own &= self._effective > at - timedelta(seconds=self._facts.visible_within)
        steps = self._plain.filter(own).select("id", "operation", "transaction_id", position="row")
        steps = steps.with_columns(
            self._tail.ids.gather(steps["position"]).alias("entity_id"), self._effective.filter(own).alias("effective")
        )
        found = visibility.doubts(steps, self._changes, self._facts)
        return found.filter(pl.col("until").is_null() | (pl.col("until") > at))["entity_id"].unique()


def rolling(
    kept: Kept, rows: KeptRows, files: Sequence[Path], prove: Callable[[Path], object], facts: LogFacts
) -> Rolling | None:
    """What came to a checkpoint since, to be rolled over; None where it must be looked at as documents.

    Args:
        kept: What the checkpoint tells.
        rows: The rows that it keeps.
        files: Those of the rows that came since, of this entity type alone.
        prove: Raises where a file is not what it must be; called before a row of it is used.
        facts: The log's facts as they are now.
    """
    tail = tail_of(files, prove)
    if not _may_roll(tail, kept):
        return None
    steps = steps_of(tail, rows.shredded, rows.plain, kept)
    own = plainly(steps, tail, rows.shredded)
    plain = steps if own.all() else steps.filter(own)
    sample = _sample(tail, kept)
    if len(plain) * _REST < len(steps) or not _keys_are_told_alike(sample, kept, facts):
        return None
    ids = plain["transaction_id"]
    told_by = replace(
        kept,
        rows=kept.rows + len(ids),
        unnumbered=kept.unnumbered + ids.null_count() + int((ids < 1).sum()),
        fields=_fields(tail, kept, facts),
        sample=tuple(sample.iter_rows()),
    )
    return Rolling(told_by, rows, tail, plain, _documents(files, steps, own), facts)


def _may_roll(tail: Shredded, kept: Kept) -> bool:
    """Whether nothing that came keeps the rest of the type's changes from being plain."""
    cells = tail.cells
    if not len(tail) or kept.consulted or tail.ids.null_count() or (cells["operation"] == "TRUNCATE").any():
        return False
    first: int = cells["id"].min()  # type: ignore[assignment]  # a column of whole numbers
    if out_of_turn(cells, kept) or (kept.truncates and first <= kept.ids[1]):  # a TRUNCATE may end what stands before
        return False
    early = {name for name, (late, at, *_), _ in kept.fields if not late and at < first}
    return all(one.name in early for one in tail.form.fields) and not _is_silent(tail)


def _is_silent(tail: Shredded) -> bool:
    """Whether any value may stand for one that was not sent."""
    word = UNAVAILABLE.strip('"')
    for one in tail.form.fields:
        columns = [tail.cells[f"{side}.{one.column}"] for side in ("after", "before") if one.kind in ("text", "json")]
        if one.kind == "text" and any((column == word).any() for column in columns):
            return True
        if one.kind == "json" and any(column.str.contains(UNAVAILABLE, literal=True).any() for column in columns):
            return True
    return bool((tail.ids == word).any()) or any(one.name == word for one in tail.form.fields)


def _sample(tail: Shredded, kept: Kept) -> pl.DataFrame:
    """``keyfields.key_sample`` of what was kept and what came."""
    there = tail.cells.select(
        "id", has=pl.any_horizontal(pl.col("after_layout", "after_snapshot").is_not_null())
    ).with_row_index("row")
    some = there.filter("has").bottom_k(SAMPLE, by=pl.col("id").hash())["row"]
    early = pl.DataFrame(kept.sample, schema={name: CHANGES[name] for name in _SAMPLED}, orient="row")
    return key_sample(pl.concat([early, tail.gather(some).recorded(_SAMPLED)]))


def _keys_are_told_alike(sample: pl.DataFrame, kept: Kept, facts: LogFacts) -> bool:
    primary = facts.keys.get(kept.entity_type, ())
    return KeyFields(kept.entity_type, sample, list, primary).usual() == kept.usual


def _fields(tail: Shredded, kept: Kept, facts: LogFacts) -> tuple[Told, ...]:
    """``types.Types.told`` of what was kept and of the after images that came, whose fields are all known."""
    name = kept.entity_type
    types = Types(facts.kinds)
    types.take(name, kept.fields)
    known = types.fields(name)
    for place, field in enumerate(tail.form.fields):
        column = tail.column(place)
        if field.kind in ENTITY:
            column = column.filter(tail.has(place))
        if column.null_count() < len(column):
            telling = _telling(field.kind, column, known[field.name])
            types.learn_field(name, field.name, told(field.kind, telling, telling))
    return types.told(name)


def _telling(kind: str, column: pl.Series, signature: Signature) -> pl.Series:
    """Values of a column of a kind, which has some, that tell a field with a type all that the others would."""
    wanted, _, note, strings = signature
    if wanted in ("int", "decimal") and (kind == "integer" or kind.startswith("decimal")):
        return column.gather([column.arg_min() or 0, column.arg_max() or 0])
    if (kind, wanted) == ("time", "timestamptz"):
        alike = bool(column.dt.year().is_between(1, 9999).all())
    else:
        alike = (kind, wanted) == ("boolean", "bool") or (
            strings and wanted == "text" and not note and kind in _STRINGS
        )
    if alike:
        return column.gather([column.is_not_null().arg_max() or 0])
    return column.drop_nulls().unique(maintain_order=True)


def _documents(files: Sequence[Path], steps: pl.DataFrame, own: pl.Series) -> pl.DataFrame:
    """``CHANGES`` of the rows of files that are not plain."""
    found = [pl.DataFrame(schema=CHANGES)]
    if own.all():
        return found[0]
    odd = pl.Series([False]).new_from_index(0, len(steps)).scatter(steps["row"].filter(~own), values=True)
    start = 0
    for path in files:
        with opened(path) as parquet:
            end = start + parquet.metadata.num_rows
            here = odd[start:end]
            if here.any():
                found.append(recorded_rows(parquet.read().filter(here.to_arrow()), form_of(parquet.metadata.metadata)))
            start = end
    return pl.concat(found)

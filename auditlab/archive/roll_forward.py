"""Roll a checkpoint forward: over those changes since that follow plainly from what it keeps, by columns alone.

An entity's changes are plain where each begins, to the byte, where the one before it ended, the first of them where
the checkpoint left the entity, and nothing puts their order in doubt. Its state is then the after image of the last
one, and none of its images need be put together. What is not plain is left to be looked at as documents
(``buckets.near``).

A checkpoint that was rolled forward tells what is so now, and not when it came to be so.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from auditlab.archive.decode import recorded_rows
from auditlab.archive.form import form_of
from auditlab.archive.kinds import ENTITY, told
from auditlab.archive.plain import plainly, steps_of
from auditlab.archive.rows import opened
from auditlab.archive.tail import tail_of
from auditlab.buckets.near import out_of_turn
from auditlab.buckets.types import Types
from auditlab.keyfields import SAMPLE, KeyFields, key_sample
from auditlab.placeholders import UNAVAILABLE
from auditlab.schema import CHANGES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from auditlab.archive.kept import KeptRows
    from auditlab.archive.shredded import Shredded
    from auditlab.buckets.checkpoint import Kept
    from auditlab.buckets.types import Signature, Told
    from auditlab.schema import LogFacts

__all__ = ["Rolled", "RolledRows", "rolled_forward"]

_REST = 2
"""Where more than one in so many changes is not plain, all are looked at as documents."""

_STRINGS = ("text", "uuid", "time", "entity text")
"""Kinds whose values are JSON strings."""

_SAMPLED = ("id", "entity_id", "after_snapshot")


class Rolled(NamedTuple):
    """A checkpoint of one entity type, rolled forward.

    Args:
        kept: What it tells, and the plain changes do: of fields, keys and entities that are gone. Else as it was.
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
        gone: UInt32; those of them whose entities have others by now, or are gone.
        changed: The rows of those that have others, and ``at`` (UInt32) in whose place of the checkpoint each stands.
        begun: The rows of those that the checkpoint has not.
    """

    def __init__(self, kept: KeptRows, gone: pl.Series, changed: tuple[Shredded, pl.Series], begun: Shredded) -> None:
        self._kept, self._gone, self._changed, self._begun = kept, gone, changed, begun

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
        if not len(self._begun):
            return found
        begun = self._begun.states(types, entity_type, texts=texts)
        if not found["entity_id"].is_sorted():
            return pl.concat([found, begun])
        return found.merge_sorted(begun.sort("entity_id"), key="entity_id")


def rolled_forward(
    kept: Kept, rows: KeptRows, files: Sequence[Path], prove: Callable[[Path], object], facts: LogFacts
) -> Rolled | None:
    """A checkpoint rolled forward; None where what came since must be looked at as documents.

    Args:
        kept: What it tells.
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
    last = plain.filter((pl.col("entity") != pl.col("entity").shift(-1)).fill_null(value=True))
    last = last.select("row", "at", "id", ends=pl.col("operation") == "DELETE")
    dropped = max([kept.dropped, *last.filter("ends")["id"].top_k(1)])
    now = replace(kept, fields=_fields(tail, kept, facts), sample=tuple(sample.iter_rows()), dropped=dropped)
    return Rolled(now, _rolled(rows, tail, last), _documents(files, steps, own))


def _rolled(rows: KeptRows, tail: Shredded, last: pl.DataFrame) -> RolledRows:
    """The states that the last changes left: ``row`` of the tail, ``at`` (of the checkpoint, or null) and ``ends``."""
    live, states = last.filter(~pl.col("ends")), tail.after()
    changed, begun = (live.filter(pl.col("at").is_null() == new) for new in (False, True))
    moved = states.gather(changed["row"]), changed["at"]
    return RolledRows(rows, last["at"].drop_nulls(), moved, states.gather(begun["row"]))


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

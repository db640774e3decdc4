"""The fields of a log's types and what they hold, learned bucket by bucket, to be the same in each as in the whole.

A field's type follows from all of its values. A few of them, its witnesses, give by themselves the type that all of
them give, and the type that all of them and any others would give (``_Known``). So with its witnesses beside it, each
bucket's part of a field gets the type of the whole.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from auditlab.assembled import written
from auditlab.dictionary import Coded, Texts, by_number, held
from auditlab.documents import MOST_FIELDS, Documents, refuse
from auditlab.errors import SnapshotTooLarge
from auditlab.literals import SPECIALS
from auditlab.values import Column, column, digits

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from auditlab.documents import Split

__all__ = ["First", "Signature", "Told", "Types", "firsts", "signature"]

Signature = tuple[str, pl.DataType, str, bool]
"""What of a field's column is the same in every part of the log: kind, dtype, note, and whether all are strings."""

First = tuple[int, int, int, int]
"""Where a field appears first: in an after image (0), only in a before image (1) or among the changed fields of changes
without one (2), the change's id and arrival, and its place among the fields that appear first in that document."""

Told = tuple[str, First, tuple[str, ...]]
"""A field's name, where it appears first, and its witnesses."""


_ANYWHERE: First = (0, 0, 0, 0)
"""Of a field whose order is told otherwise."""


class _Known(NamedTuple):
    """What of a field's values tells its type, whatever values are still to come.

    Args:
        signature: The type that they have.
        beside: What else of them tells the type once there are others: empty while there is no value.
    """

    signature: Signature
    beside: tuple[object, ...]


@dataclass(slots=True)
class _Field:
    first: First
    witnesses: pl.Series = field(default_factory=lambda: pl.Series("raw", [], dtype=pl.String))
    known: _Known | None = None
    """What the witnesses tell."""

    @property
    def signature(self) -> Signature | None:
        return None if self.known is None else self.known.signature


class Types:
    """The fields of each entity type, and witnesses of what they hold.

    Args:
        kinds: entity type -> field -> kind, as the source's catalog declares them.
    """

    def __init__(self, kinds: Mapping[str, Mapping[str, str]]) -> None:
        self._kinds = kinds
        self._fields: dict[str, dict[str, _Field]] = {}
        self._faults: dict[str, dict[int, pl.DataFrame]] = {}
        self._beyond: dict[str, SnapshotTooLarge] = {}

    def note(self, entity_type: str, number: int, fault: pl.DataFrame | SnapshotTooLarge) -> None:
        """Take in what is no document in a bucket (``documents.FAULTS``), or that the type has too many fields."""
        if isinstance(fault, SnapshotTooLarge):
            self._beyond[entity_type] = fault
        else:
            self._faults.setdefault(entity_type, {})[number] = fault

    def refuse(self, *entity_types: str) -> None:
        """Raise what is wrong with the documents of some types; nothing where all can be read.

        Raises:
            MalformedChange: images that are no documents, of whichever bucket.
            SnapshotTooLarge: more than 5,000 fields.
        """
        for name in entity_types:
            if name in self._beyond:
                raise self._beyond[name]
            if name in self._faults:
                refuse(pl.concat(self._faults[name].values()).sort("side", "id", maintain_order=True))

    def learn(self, entity_type: str, split: Split, firsts: Mapping[str, First] | None = None) -> list[Column]:
        """Take in the documents of a part of a type's changes; their fields, as far as the types are known then.

        Args:
            entity_type: Its name.
            split: The documents, split and completed.
            firsts: Where each field appears first, those too that none of the completed documents has any more; None
                where ``arrange`` tells their order.
        """
        known = self._fields.setdefault(entity_type, {})
        kinds = self._kinds.get(entity_type, {})
        for name in split.fields if firsts is None else ():
            known.setdefault(name, _Field(_ANYWHERE))
        for name, first in (firsts or {}).items():
            own = known.setdefault(name, _Field(first))
            own.first = min(own.first, first)
        learned = [_learned(known[name], name, held(split.fields, name), kinds.get(name)) for name in split.fields]
        if len(known) > MOST_FIELDS:
            raise SnapshotTooLarge(
                f"the snapshots of one entity type have more than {MOST_FIELDS} different fields "
                f"(e.g. {list(known)[-3:]}). Are the keys values? Move that map one level down before loading.",
            )
        return learned

    def learn_field(self, entity_type: str, name: str, raw: pl.Series) -> Column:
        """Take in a field of some documents, from its raw JSON text by document; as far as its type is known then."""
        own = self._fields.setdefault(entity_type, {}).setdefault(name, _Field(_ANYWHERE))
        return _learned(own, name, raw, self._kinds.get(entity_type, {}).get(name))

    def arrange(self, entity_type: str, names: Iterable[str]) -> None:
        """Put a type's fields in an order."""
        known = self._fields[entity_type]
        for place, name in enumerate(names):
            if name in known:
                known[name].first = (*_ANYWHERE[:-1], place)

    def fields(self, entity_type: str) -> dict[str, Signature]:
        """A type's fields in the order of the whole log, each with what tells its type."""
        fields = self._fields.get(entity_type, {})
        found = sorted(fields.items(), key=lambda item: item[1].first)
        return {name: own.signature for name, own in found if own.signature is not None}

    def nowhere(self, entity_type: str, name: str, documents: int) -> Column:
        """The column of a field that none of so many documents has."""
        witnesses = tuple(self._fields[entity_type][name].witnesses)
        kind, dtype, note, strings = _known_by(witnesses, self._kinds.get(entity_type, {}).get(name)).signature
        missing = pl.Series([None], dtype=dtype), pl.Series([None], dtype=pl.String)
        numbers = pl.zeros(documents, dtype=pl.UInt32, eager=True)
        return Column(name, kind, note, strings, missing, lambda: pl.Series([None], dtype=pl.UInt32), numbers)

    def column(self, entity_type: str, name: str, raw: pl.Series | Coded) -> Column:
        """A known field of some documents, from its raw JSON text by document, typed as in the whole."""
        own = self._fields[entity_type][name]
        values, numbers = by_number(raw)
        found = _beside(name, values, own.witnesses, self._kinds.get(entity_type, {}).get(name))
        return replace(found.head(len(values)), numbers=numbers)

    def told(self, entity_type: str) -> tuple[Told, ...]:
        """What is known of a type's fields, so that ``take`` can go on from it."""
        known = sorted(self._fields.get(entity_type, {}).items(), key=lambda item: item[1].first)
        return tuple((name, own.first, tuple(own.witnesses)) for name, own in known if own.signature is not None)

    def take(self, entity_type: str, told: Iterable[Told]) -> None:
        """Know of a type's fields what was ``told`` of other parts of its changes."""
        known, kinds = self._fields.setdefault(entity_type, {}), self._kinds.get(entity_type, {})
        for name, first, witnesses in told:
            told_by = _known_by(witnesses, kinds.get(name))
            known[name] = _Field(first, pl.Series("raw", witnesses, dtype=pl.String), told_by)

    def typed(self, entity_type: str, split: Split, derived: pl.Series) -> Documents:
        """The documents of a part of a type's changes, with all the fields of the type, typed as in the whole."""
        fields = self.fields(entity_type)
        there = {name: held(split.fields, name) for name in fields if name in split.fields}
        columns = tuple(
            self.column(entity_type, name, there[name])
            if name in there
            else self.nowhere(entity_type, name, len(split.texts))
            for name in fields
        )
        texts = written(split.texts, Texts(there))
        return Documents(texts, columns, split.flags, split.before, split.after, derived)


def firsts(split: Split, ids: pl.Series, arrivals: pl.Series) -> dict[str, First]:
    """Where each field of some documents, as they were split, appears first.

    Args:
        split: The documents.
        ids: The ids of their changes by row.
        arrivals: The numbers of the changes in the order in which they came, by row.
    """
    codes = pl.concat([split.after, split.before, split.told])
    where = codes.arg_unique()  # documents are numbered as they appear, so these are the rows of each by number
    where = where.filter(codes.gather(where).is_not_null())
    found: dict[str, First] = {}
    for place, name in enumerate(split.fields):
        raw = held(split.fields, name)
        cells = raw.numbers if isinstance(raw, Coded) else raw
        late, row = divmod(int(where[int(cells.is_not_null().arg_max() or 0)]), len(ids))
        found[name] = (late, int(ids[row]), int(arrivals[row]), place)
    return found


def signature(found: Column) -> Signature:
    """What of a column is the same in every part of the log."""
    return found.kind, found.dtype, found.note, found.strings


@lru_cache(maxsize=4 * MOST_FIELDS)
def _known_by(witnesses: tuple[str, ...], declared: str | None) -> _Known:
    """What witnesses tell; the same ones are asked for by each question that begins at a checkpoint."""
    return _known(column("", pl.Series("raw", witnesses, dtype=pl.String), declared), declared)[0]


def _known(found: Column, declared: str | None) -> tuple[_Known, list[int]]:
    """What the values of a column tell, and the rows of some that tell of it what its type does not."""
    beside, rows = _beside_type(found, declared) if found.text.null_count() < len(found.text) else ((), [])
    return _Known(signature(found), beside), rows


def _beside_type(found: Column, declared: str | None) -> tuple[tuple[object, ...], list[int]]:
    """``_Known.beside`` of a column with values, and the rows of those that tell it."""
    if found.kind in ("int", "decimal"):  # the more digits before the point, the fewer a decimal holds behind it
        ends = [row for row in (found.typed.arg_min(), found.typed.arg_max()) if row is not None]
        return (max(len(str(abs(int(found.typed[row]))).lstrip("0")) for row in ends),), ends
    if declared not in ("float", "decimal") or not (found.kind == "float" or found.strings):
        return (True,), []
    special = found.text.is_in(SPECIALS)
    if found.strings:  # beside numbers, these alone are numbers
        other = (~special).fill_null(value=False)
        return (bool(other.any()),), [int(other.arg_max() or 0)]
    return _of_floats(found.text, special.fill_null(value=False))


def _of_floats(text: pl.Series, special: pl.Series) -> tuple[tuple[object, ...], list[int]]:
    """``_beside_type`` of floats: were one of them none, they would be decimals, or texts."""
    counts = digits(text.set(special, None))
    whole, fraction = counts["whole"], counts["fraction"]
    beyond = whole.is_null() & text.is_not_null() & ~special
    rows = [whole.arg_max(), fraction.arg_max(), *(flags.arg_max() for flags in (beyond, special) if flags.any())]
    return (whole.max(), fraction.max(), beyond.any(), special.any()), [row for row in rows if row is not None]


def _beside(name: str, raw: pl.Series, witnesses: pl.Series, declared: str | None) -> Column:
    """The column of a field's values, with the witnesses behind them."""
    return column(name, pl.concat([raw.alias("raw"), witnesses]), declared)


def _learned(own: _Field, name: str, raw: pl.Series | Coded, declared: str | None) -> Column:
    """A field of a part, typed as far as is known by now; its witnesses are made to tell that type."""
    values, numbers = by_number(raw)
    found = _beside(name, values, own.witnesses, declared)
    known, rows = _known(found, declared)
    if own.known != known:
        telling = pl.concat([values.alias("raw"), own.witnesses]).gather(rows)
        distinct = pl.concat([telling, values.alias("raw")]).drop_nulls().unique(maintain_order=True)
        _widen(own, distinct, known, declared)
    return replace(found.head(len(values)), numbers=numbers)


def _widen(own: _Field, distinct: pl.Series, wanted: _Known, declared: str | None) -> None:
    """Add to a field's witnesses, until they alone tell what all its values so far tell."""

    def of(values: pl.Series) -> _Known:
        return _known(column("", values, declared), declared)[0]

    while of(own.witnesses) != wanted:
        short, enough = 0, 1
        while of(pl.concat([distinct.head(enough), own.witnesses])) != wanted:
            short, enough = enough, enough * 2
        while enough - short > 1:
            middle = (short + enough) // 2
            fits = of(pl.concat([distinct.head(middle), own.witnesses])) == wanted
            short, enough = (short, middle) if fits else (middle, enough)
        # A new text: a slice would keep all of the bucket's in memory.
        own.witnesses = pl.Series("raw", [distinct[enough - 1], *own.witnesses], dtype=pl.String)
    own.known = wanted

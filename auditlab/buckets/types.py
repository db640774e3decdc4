"""The fields of a log's types and what they hold, learned bucket by bucket, to be the same in each as in the whole.

A field's type follows from all of its values, and more values only ever make it wider. So a few of them, its witnesses,
give by themselves the type that all of them give; with its witnesses beside it, each bucket's part of a field gets the
type of the whole.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import polars as pl

from auditlab.documents import MOST_FIELDS, Documents
from auditlab.errors import SnapshotTooLarge
from auditlab.values import Column, column

if TYPE_CHECKING:
    from collections.abc import Mapping

    from auditlab.documents import Split

__all__ = ["Types"]

First = tuple[int, int, int, int]
"""Where a field appears first: in an after image (0) or only in a before image (1), the change's id and arrival, and
its place among the fields that appear first in that image."""

Signature = tuple[str, pl.DataType, str, bool]


@dataclass(slots=True)
class _Field:
    first: First
    witnesses: pl.Series = field(default_factory=lambda: pl.Series("raw", [], dtype=pl.String))


class Types:
    """The fields of each entity type, and witnesses of what they hold.

    Args:
        kinds: entity type -> field -> kind, as the source's catalog declares them.
    """

    def __init__(self, kinds: Mapping[str, Mapping[str, str]]) -> None:
        self._kinds = kinds
        self._fields: dict[str, dict[str, _Field]] = {}

    def learn(self, entity_type: str, split: Split, ids: pl.Series, arrivals: pl.Series) -> None:
        """Take in the documents of a part of a type's changes.

        Args:
            entity_type: Its name.
            split: The documents, split.
            ids: The ids of the changes by row.
            arrivals: The numbers of the changes in the order in which they came, by row.
        """
        known = self._fields.setdefault(entity_type, {})
        kinds = self._kinds.get(entity_type, {})
        codes = pl.concat([split.after, split.before])
        where = codes.arg_unique()  # documents are numbered as they appear, so these are the rows of each by number
        where = where.filter(codes.gather(where).is_not_null())
        for place, (name, raw) in enumerate(split.fields.items()):
            row = int(where[int(raw.is_not_null().arg_max() or 0)])
            late, row = divmod(row, len(ids))
            first = (late, int(ids[row]), int(arrivals[row]), place)
            own = known.setdefault(name, _Field(first))
            own.first = min(own.first, first)
            distinct = raw.drop_nulls().unique(maintain_order=True).alias("raw")
            _widen(own, distinct, name, kinds.get(name))
        if len(known) > MOST_FIELDS:
            raise SnapshotTooLarge(
                f"the snapshots of one entity type have more than {MOST_FIELDS} different fields "
                f"(e.g. {list(known)[-3:]}). Are the keys values? Move that map one level down before loading.",
            )

    def typed(self, entity_type: str, split: Split) -> Documents:
        """The documents of a part of a type's changes, with all the fields of the type, typed as in the whole."""
        kinds = self._kinds.get(entity_type, {})
        fields = self._fields.get(entity_type, {})
        nothing = pl.Series("raw", [None], dtype=pl.String).new_from_index(0, len(split.texts))
        columns = tuple(
            _beside(name, split.fields.get(name, nothing), own.witnesses, kinds.get(name))
            for name, own in sorted(fields.items(), key=lambda item: item[1].first)
        )
        recorded = pl.repeat(value=False, n=len(split.after), eager=True)
        return Documents(split.texts, columns, split.flags, split.before, split.after, recorded)


def _beside(name: str, raw: pl.Series, witnesses: pl.Series, declared: str | None) -> Column:
    """The column of a field's values, typed with the witnesses beside them."""
    return column(name, pl.concat([raw.alias("raw"), witnesses]), declared).head(len(raw))


def _widen(own: _Field, distinct: pl.Series, name: str, declared: str | None) -> None:
    """Add to a field's witnesses, until they alone give the type that all its values so far give."""
    wanted = _signature(name, pl.concat([distinct, own.witnesses]), declared)
    while _signature(name, own.witnesses, declared) != wanted:
        short, enough = 0, 1
        while _signature(name, pl.concat([distinct.head(enough), own.witnesses]), declared) != wanted:
            short, enough = enough, enough * 2
        while enough - short > 1:
            middle = (short + enough) // 2
            fits = _signature(name, pl.concat([distinct.head(middle), own.witnesses]), declared) == wanted
            short, enough = (short, middle) if fits else (middle, enough)
        # A new text: a slice would keep all of the bucket's in memory.
        own.witnesses = pl.Series("raw", [distinct[enough - 1], *own.witnesses], dtype=pl.String)


def _signature(name: str, values: pl.Series, declared: str | None) -> Signature:
    found = column(name, values, declared)
    return found.kind, found.values.typed.dtype, found.note, found.strings

"""Fields that are not to be shown: masked (that they changed is shown, not from what to what) or left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from auditlab.errors import UnknownField
from auditlab.schema import CHANGES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditlab.changelog import ChangeLog

__all__ = ["MASKED", "NOTHING", "Hidden", "hidden"]

MASKED = "[masked]"
"""What stands in the place of a masked value."""

_VALUES = ("old", "new", "value")

_OWN_NOTES = r"^(likely: |perhaps )?was |^\d+ missing$|^no transaction id$|^-?\d+$"
"""The notes of evidence that tell of entity ids and numbers alone."""


@dataclass(frozen=True, slots=True)
class Hidden:
    """Which fields are not shown.

    Args:
        masked: Fields whose values are not shown.
        omitted: Fields that are left out altogether.
        known: The fields of the log as it is read; a field of another name (evidence tells of documents as they were
            recorded, so under older names too) is masked where anything is hidden.
        recorded: The fields of the log as it was recorded; a name that is neither comes from a stored list of changed
            fields, may be a value there, and is masked itself.
    """

    masked: frozenset[str] = frozenset()
    omitted: frozenset[str] = frozenset()
    known: frozenset[str] = frozenset()
    recorded: frozenset[str] = frozenset()

    @property
    def any(self) -> bool:
        """Whether anything is hidden."""
        return bool(self.masked or self.omitted)

    @property
    def words(self) -> list[str]:
        """In words what is hidden, a sentence each."""
        told = []
        if self.masked:
            told.append(f"Masked: {', '.join(sorted(self.masked))}. Their values are replaced by {MASKED}.")
        if self.omitted:
            told.append(f"Left out: {', '.join(sorted(self.omitted))}. Nothing is told of them.")
        return told

    def rows(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Rows of one field each (with ``field``, and of ``old``, ``new`` and ``value`` some): without the hidden.

        A masked null is masked, too; only a value that was not there, as ``kind`` or ``old_present`` tell, stays so.
        """
        if not self.any:
            return frame
        odd = pl.col("field").is_not_null() & ~pl.col("field").is_in([*self.known, *CHANGES])
        covered = pl.col("field").is_in(list(self.masked)) | odd
        listed = odd & ~pl.col("field").is_in(list(self.recorded))  # what a list of changed fields holds for a name
        absent = {name: pl.lit(value=False) for name in _VALUES}
        if "old_present" in frame.columns:
            absent["old"] = ~pl.col("old_present").fill_null(value=True)
        if "kind" in frame.columns:
            absent |= {"old": pl.col("kind") == "added", "new": pl.col("kind") == "removed"}
        return (
            frame.filter(pl.col("field").is_null() | ~pl.col("field").is_in(list(self.omitted)))
            .with_columns(
                pl.when(covered & ~absent[name]).then(pl.lit(MASKED)).otherwise(name).alias(name)
                for name in _VALUES
                if name in frame.columns
            )
            .with_columns(pl.when(listed).then(pl.lit(MASKED)).otherwise("field").alias("field"))
        )

    def finding(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Rows of evidence, or of one field each: without the hidden; a note that may quote a document is masked."""
        rows = self.rows(frame)
        if not self.any or "note" not in rows.columns:
            return rows
        quotes = pl.col("field").is_null() & ~pl.col("note").str.contains(_OWN_NOTES)
        return rows.with_columns(note=pl.when(quotes).then(pl.lit(MASKED)).otherwise("note"))

    def columns(self, frame: pl.DataFrame, fields: Sequence[str]) -> pl.DataFrame:
        """Rows with a column a field; ``fields`` are the names of the fields of its last columns."""
        own = dict(zip(frame.columns[len(frame.columns) - len(fields) :], fields, strict=True))
        # Chosen by [], not drop: a column may be called "*".
        kept = frame[[column for column in frame.columns if own.get(column) not in self.omitted]]
        return kept.with_columns(
            pl.lit(MASKED).alias(column)
            for column, field in own.items()
            if field in self.masked and column in kept.columns
        )


NOTHING = Hidden()
"""Everything is shown."""


def hidden(log: ChangeLog[Any], *, mask: Sequence[str] = (), omit: Sequence[str] = ()) -> Hidden:
    """The fields of a log that are not to be shown.

    Raises:
        UnknownField: the log has no such field: a name with a slip in it would hide nothing.
    """
    names = frozenset(log.fields()["field"])
    unknown = [name for name in (*mask, *omit) if name not in names]
    if unknown:
        have = ", ".join(map(repr, sorted(names)))
        raise UnknownField(f"cannot hide {', '.join(map(repr, unknown))}: no such field. The log has {have}.")
    if not (mask or omit):
        return Hidden(known=names)
    recorded = frozenset(type(log)(log.selected.as_recorded(), lazy=log.is_lazy).fields()["field"])
    return Hidden(frozenset(mask), frozenset(omit), names, recorded)

"""The rows of one entity type that a checkpoint keeps: as they were recorded, and as the live states that they are."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import polars as pl
import pyarrow.parquet as pq

from auditlab.archive.decode import recorded_rows
from auditlab.archive.form import form_of
from auditlab.archive.rows import decoded, dictionary_columns, opened
from auditlab.archive.shredded import shredded_in
from auditlab.buckets.checkpoint import Kept
from auditlab.errors import ArchiveCorrupt
from auditlab.schema import CHANGES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pyarrow as pa

    from auditlab.archive.form import Form
    from auditlab.archive.shredded import Shredded
    from auditlab.buckets.types import Types

__all__ = ["KEPT", "KeptRows", "kept_in"]

KEPT = b"auditlab.kept"
"""The key of a file's metadata under which stands what its log tells (``buckets.checkpoint.Kept``)."""

_TELLING = ("id", "entity_id", "entity_uuid", "after_snapshot", "after_layout")


def kept_in(path: Path) -> Kept:
    """What the file of a checkpoint tells; it was proven.

    Raises:
        ArchiveCorrupt: it does not hold that.
    """
    try:
        return Kept.parse((pq.read_metadata(path).metadata or {})[KEPT])
    except (KeyError, ValueError) as exc:
        raise ArchiveCorrupt(f"{path}: does not hold what a checkpoint must ({exc}).") from exc


class KeptRows:
    """The rows in one file of a checkpoint, read once.

    Args:
        path: The file.
        prove: Raises where a file is not what it must be; called before a row of it is used.
    """

    def __init__(self, path: Path, prove: Callable[[Path], object]) -> None:
        self._path, self._prove = path, prove

    @cached_property
    def shredded(self) -> Shredded:
        """The rows by the columns that tell their states: ``id``, and those of the after images."""
        self._prove(self._path)
        return shredded_in(self._path, _TELLING, ("after",))

    @cached_property
    def plain(self) -> pl.Series:
        """Boolean; which rows are those of an entity whose image stands in columns."""
        return self.shredded.cells["after_layout"].is_not_null() & self.shredded.ids.is_not_null()

    def _whole(self) -> tuple[pa.Table, Form | None]:
        """The rows with all their columns."""
        self._prove(self._path)
        with opened(self._path) as parquet:
            repeating, form = dictionary_columns(parquet), form_of(parquet.metadata.metadata)
        with opened(self._path, read_dictionary=repeating) as parquet:
            return parquet.read(), form

    def rows(self, touched: pl.Series | None = None) -> pl.DataFrame:
        """``CHANGES`` of some entities, by their ids, and all that are no plain rows; of all if None."""
        return self._recorded(None if touched is None else self._among(touched) | ~self.plain)

    def others(self, touched: pl.Series) -> pl.DataFrame:
        """``CHANGES`` of the rows that ``rows`` leaves out: one a live entity."""
        return self._recorded(self.plain & ~self._among(touched))

    @property
    def absent(self) -> pl.Series:
        """See ``buckets.near.Left``: of what it keeps nothing is in doubt."""
        return pl.Series(dtype=pl.String)

    def live(self, types: Types, entity_type: str, touched: pl.Series, *, texts: bool) -> pl.DataFrame:
        """The entities that ``rows`` leaves out, whose one row is their state, in the order of the file.

        Args:
            types: The fields of the type.
            entity_type: Its name.
            touched: As in ``rows``.
            texts: Whether ``state``, the recorded text, is wanted; else the typed fields ``f0``, ``f1``, ...

        Returns:
            entity_id (String), certain (Boolean, true), and what is wanted.
        """
        return self.shredded.filter(self.untouched(touched)).states(types, entity_type, texts=texts)

    def untouched(self, touched: pl.Series) -> pl.Series:
        """Boolean by row of ``shredded``; which are those of ``live``."""
        return self.plain & ~self._among(touched)

    def _among(self, touched: pl.Series) -> pl.Series:
        """Boolean; which rows are of some entities."""
        if touched.is_empty():
            return pl.repeat(value=False, n=len(self.shredded), eager=True)
        return self.shredded.ids.is_in(touched.implode()).fill_null(value=False)

    def _recorded(self, own: pl.Series | None) -> pl.DataFrame:
        if own is not None and not own.any():
            return pl.DataFrame(schema=CHANGES)
        table, form = self._whole()
        return recorded_rows(decoded(table if own is None else table.filter(own.to_arrow())), form)

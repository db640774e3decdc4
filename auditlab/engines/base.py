"""What every engine offers: it runs one of our queries over frames and gives the result in its declared types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Engine", "params_frame", "with_dtypes"]


class Engine(Protocol):
    """An engine that runs the portable SQL of ``sql/analysis``."""

    name: str
    on_frames: bool
    """Whether it computes on the frames themselves: then a verb may do in a few steps on them what its query says."""

    def run(
        self, sql: str, tables: Mapping[str, pl.DataFrame], dtypes: Mapping[str, pl.DataType | type[pl.DataType]]
    ) -> pl.DataFrame:
        """The query's rows, in the order that its ORDER BY gives.

        Args:
            sql: The text of a query.
            tables: The tables that it names; parameters are a one-row table ``params``.
            dtypes: The result's column types where engines differ (sums, counts); other columns keep theirs.
        """
        ...


def params_frame(**values: tuple[Any, pl.DataType]) -> pl.DataFrame:
    """The one-row table of a query's parameters: name=(value, dtype)."""
    return pl.DataFrame({name: pl.Series([value], dtype=dtype) for name, (value, dtype) in values.items()})


def with_dtypes(frame: pl.DataFrame, dtypes: Mapping[str, pl.DataType | type[pl.DataType]]) -> pl.DataFrame:
    """``frame`` with the declared columns cast; what does not fit is an error, never a null."""
    return frame.cast({name: dtype for name, dtype in dtypes.items() if name in frame.columns})

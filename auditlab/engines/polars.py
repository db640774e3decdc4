"""Polars in memory: the queries as they stand, through ``pl.SQLContext``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from auditlab.engines.base import with_dtypes

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PolarsEngine"]


class PolarsEngine:
    """Runs queries on Polars' own SQL."""

    name = "polars"
    on_frames = True

    def run(
        self, sql: str, tables: Mapping[str, pl.DataFrame], dtypes: Mapping[str, pl.DataType | type[pl.DataType]]
    ) -> pl.DataFrame:
        """See :class:`auditlab.engines.base.Engine`."""
        with pl.SQLContext(frames=dict(tables), eager=True) as context:
            return with_dtypes(context.execute(sql), dtypes)

"""The changes of a log as Python records, their documents decoded exactly."""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from auditlab.errors import MalformedChange
from auditlab.schema import CHANGES, EntityChange

if TYPE_CHECKING:
    from collections.abc import Iterator

    import polars as pl

__all__ = ["records"]

MOST_DIGITS = 4_000
"""Whole numbers of more digits are decoded as ``Decimal``: Python refuses to make such an int."""

DOCUMENTS = ("before_snapshot", "after_snapshot", "changed_fields", "metadata")


def records(changes: pl.DataFrame) -> Iterator[EntityChange]:
    """Each row of ``changes`` (the canonical columns) as an ``EntityChange``, in their order.

    Raises:
        MalformedChange: a document that is no JSON, or that holds a number beyond what Python can hold.
    """
    for row in changes.select(*CHANGES).iter_rows(named=True):
        try:
            decoded = {name: _decoded(row[name]) for name in DOCUMENTS}
        except (ValueError, InvalidOperation, RecursionError) as exc:
            raise MalformedChange(f"change {row['id']} holds a document that cannot be decoded: {exc!r:.200}") from exc
        yield EntityChange(**{**row, **decoded})


def _decoded(text: str | None) -> Any:  # noqa: ANN401 - JSON is anything
    return None if text is None else json.loads(text, strict=False, parse_float=Decimal, parse_int=_whole)


def _whole(digits: str) -> int | Decimal:
    return int(digits) if len(digits) <= MOST_DIGITS else Decimal(digits)

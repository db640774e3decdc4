"""The changes of a log as Python records, their documents decoded exactly."""

from __future__ import annotations

from decimal import InvalidOperation
from typing import TYPE_CHECKING

from auditlab.encoding import decoded
from auditlab.errors import MalformedChange
from auditlab.schema import CHANGES, EntityChange

if TYPE_CHECKING:
    from collections.abc import Iterator

    import polars as pl

__all__ = ["records"]

DOCUMENTS = ("before_snapshot", "after_snapshot", "changed_fields", "metadata")


def records(changes: pl.DataFrame) -> Iterator[EntityChange]:
    """Each row of ``changes`` (the canonical columns) as an ``EntityChange``, in their order.

    Raises:
        MalformedChange: a document that is no JSON, or that holds a number beyond what Python can hold.
    """
    for row in changes.select(*CHANGES).iter_rows(named=True):
        try:
            read = {name: None if row[name] is None else decoded(row[name]) for name in DOCUMENTS}
        except (ValueError, InvalidOperation, RecursionError) as exc:
            raise MalformedChange(f"change {row['id']} holds a document that cannot be decoded: {exc!r:.200}") from exc
        yield EntityChange(**{**row, **read})

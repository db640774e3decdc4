"""Partitions of tables: a row trigger logs the leaf's name; its changes count under the table that it belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from auditlab.errors import BadOption, SchemaMismatch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["checked", "folded", "folding"]


def checked(partitions: Mapping[str, str] | None) -> dict[str, str]:
    """The option ``partitions``: leaf to the partitioned table.

    Raises:
        BadOption: a name that is no text or empty, or a table that is itself named as a leaf.
    """
    given = dict(partitions or {})
    odd = [name for pair in given.items() for name in pair if not isinstance(name, str) or not name]
    if odd:
        raise BadOption(f"partitions= maps names of leaves to names of tables, got {odd[0]!r}.")
    leaves = sorted(set(given.values()) & given.keys())
    if leaves:
        raise BadOption(
            f"partitions= has {', '.join(map(repr, leaves))} as a table and as a leaf. "
            "Map every leaf to the table at the top."
        )
    return given


def folded(batch: pa.RecordBatch, folds: Mapping[str, str]) -> pa.RecordBatch:
    """The canonical batch with leaves' names replaced by their table's; the leaf then stands in ``partition``."""
    if not folds:
        return batch
    coded = batch.column("entity_type").dictionary_encode()
    names = coded.dictionary.to_pylist()
    if folds.keys().isdisjoint(names):
        return batch
    tables = pa.array([folds.get(name, name) for name in names], pa.string())
    leaves = pa.array([name if name in folds else None for name in names], pa.string())
    own = batch.column("partition")
    for column, values in (
        ("entity_type", tables.take(coded.indices)),
        ("partition", pc.coalesce(leaves.take(coded.indices), own)),
    ):
        place = batch.schema.get_field_index(column)
        batch = batch.set_column(place, batch.schema.field(place), values)
    return batch


def folding(batches: Iterable[pa.RecordBatch], folds: Mapping[str, str], what: str) -> Iterator[pa.RecordBatch]:
    """Each batch ``folded``.

    Raises:
        SchemaMismatch: leaves are named, and no change is of any of them; the message names the types that there are.
    """
    seen: set[str] = set()
    for batch in batches:
        seen.update(name for name in pc.unique(batch.column("entity_type")).to_pylist() if name is not None)
        yield folded(batch, folds)
    if folds and seen and seen.isdisjoint(folds):
        leaves, have = (", ".join(map(repr, sorted(names))) for names in (folds, seen))
        raise SchemaMismatch(f"partitions= names {leaves}, and {what} has no change of any of them. It has {have}.")

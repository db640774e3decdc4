"""Keep a log: write it into an archive."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import polars as pl

from auditlab.archive import write
from auditlab.archive.checkpoint import AFTER, with_checkpoint
from auditlab.archive.seal import SigningKey
from auditlab.buckets.bucketed import Bucketed
from auditlab.errors import BadOption, IncompleteLog
from auditlab.load import source
from auditlab.masking import Masks
from auditlab.schema import CHANGES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa

    from auditlab.archive.write import ArchiveSummary
    from auditlab.recorded import Recorded
    from auditlab.selection import Selected

__all__ = ["to_archive"]


def to_archive(
    selected: Selected,
    folder: str | Path,
    *,
    sign: str | Path | None = None,
    mask_fields: Sequence[str] = (),
    omit_fields: Sequence[str] = (),
    checkpoint_after: int | None = AFTER,
) -> ArchiveSummary:
    """The log as an archive in a new folder; of a log larger than memory some rows at a time, as they come.

    Rows that were set apart as malformed go in as they are: an archive keeps what was recorded.

    Args:
        selected: The log.
        folder: A folder that is not there yet, or empty.
        sign: The file of a private key (``auditlab seal keygen``) that signs the archive.
        mask_fields: Fields whose values are masked, as ``type.field``; the archive says which.
        omit_fields: Fields that are left out of every document, as ``type.field``; the archive says which.
        checkpoint_after: Rows of an entity type from which a checkpoint of it is written behind the archive
            (``auditlab.checkpoint``); None or 0 writes none. Where that fails, the archive is whole all the same.

    Raises:
        BadKey: the file holds no such key.
        MissingExtra: ``auditlab[seal]`` is not installed.
        BadOption: single changes or one entity are selected; an archive holds whole histories.
        IncompleteLog: the log begins with a snapshot of the entities.
        ArchiveExists: the folder holds an archive, or something else.
        ArchiveError: the file system refuses; nothing is left.
    """
    if selected.words or selected.entity_id is not None:
        raise BadOption("an archive holds whole histories. Write it from the log before the pick.")
    recorded = selected.recorded
    if recorded.facts.since is not None:
        raise IncompleteLog(f"an archive begins where its log does. {recorded.facts.coverage.why}.")
    key = None if sign is None else SigningKey(sign)
    masks, facts = Masks(tuple(mask_fields), tuple(omit_fields)), recorded.facts
    if masks:
        masks.check_keys(facts.keys)
        every = (sorted({*facts.masked, *masks.masked}), sorted({*facts.omitted, *masks.omitted}))
        facts = replace(facts, masked=tuple(every[0]), omitted=tuple(every[1]))
    of = recorded.batches if isinstance(recorded, Bucketed) else partial(_sorted, recorded)
    baseline, changes = (_masked(of(selected.entity_types, early=early), masks) for early in (True, False))
    written = write.to_archive(_checked(changes, masks), folder, facts=facts, baseline=baseline, sign=key)
    return with_checkpoint(written, sign=sign, after=checkpoint_after)


def _sorted(recorded: Recorded, entity_types: tuple[str, ...], *, early: bool) -> Iterator[pl.DataFrame]:
    """The rows of some types by id, those that were set apart too: of the baseline, or the others."""
    rows = recorded.changes.select(*CHANGES, "baseline")
    if recorded.malformed is not None:
        rows = pl.concat([rows, recorded.malformed.select(*CHANGES, pl.lit(value=False).alias("baseline"))])
    if entity_types != recorded.entity_types:  # else rows stay whose type has no change at all
        rows = rows.filter(pl.col("entity_type").is_in(entity_types))
    yield rows.sort("id", maintain_order=True).filter(pl.col("baseline") == early).select(*CHANGES)


def _masked(frames: Iterable[pl.DataFrame], masks: Masks) -> Iterator[pa.RecordBatch]:
    for rows in frames:
        yield from source.batches(masks.on(rows) if masks else rows)


def _checked(batches: Iterable[pa.RecordBatch], masks: Masks) -> Iterator[pa.RecordBatch]:
    """The last rows of an archive; behind them it is known whether some row had each field that is withheld."""
    yield from batches
    masks.check_known(())

"""Keep a log that is in memory: write it into an archive."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl

from auditlab.archive import write
from auditlab.archive.seal import SigningKey
from auditlab.errors import BadOption
from auditlab.load import source
from auditlab.masking import Masks
from auditlab.schema import CHANGES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from auditlab.archive.write import ArchiveSummary
    from auditlab.selection import Selected

__all__ = ["to_archive"]


def to_archive(
    selected: Selected,
    folder: str | Path,
    *,
    sign: str | Path | None = None,
    mask_fields: Sequence[str] = (),
    omit_fields: Sequence[str] = (),
) -> ArchiveSummary:
    """The log as an archive in a new folder.

    Rows that were set apart as malformed go in as they are: an archive keeps what was recorded.

    Args:
        selected: The log.
        folder: A folder that is not there yet, or empty.
        sign: The file of a private key (``auditlab seal keygen``) that signs the archive.
        mask_fields: Fields whose values are masked, as ``type.field``; the archive says which.
        omit_fields: Fields that are left out of every document, as ``type.field``; the archive says which.

    Raises:
        BadKey: the file holds no such key.
        MissingExtra: ``auditlab[seal]`` is not installed.
        BadOption: single changes or one entity are selected; an archive holds whole histories.
        ArchiveExists: the folder holds an archive, or something else.
        ArchiveError: the file system refuses; nothing is left.
    """
    if selected.words or selected.entity_id is not None:
        raise BadOption("an archive holds whole histories. Write it from the log before the pick.")
    key = None if sign is None else SigningKey(sign)
    recorded = selected.recorded
    rows = recorded.changes.select(*CHANGES, "baseline")
    if recorded.malformed is not None:
        rows = pl.concat([rows, recorded.malformed.select(*CHANGES, pl.lit(value=False).alias("baseline"))])
    if selected.entity_types != recorded.entity_types:  # else rows stay whose type has no change at all
        rows = rows.filter(pl.col("entity_type").is_in(selected.entity_types))
    rows = rows.sort("id", maintain_order=True)
    masks, facts = Masks(tuple(mask_fields), tuple(omit_fields)), recorded.facts
    if masks:
        masks.check_keys(facts.keys)
        rows = masks.on(rows)
        masks.check_known(())
        every = (sorted({*facts.masked, *masks.masked}), sorted({*facts.omitted, *masks.omitted}))
        facts = replace(facts, masked=tuple(every[0]), omitted=tuple(every[1]))
    parts = (rows.filter(pl.col("baseline") == early).select(*CHANGES) for early in (True, False))
    baseline, changes = (source.batches(part) for part in parts)
    return write.to_archive(changes, folder, facts=facts, baseline=baseline, sign=key)

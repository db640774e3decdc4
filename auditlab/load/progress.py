"""How far a load is, on stderr."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from tqdm import tqdm

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow as pa

__all__ = ["counted"]


def counted(
    batches: Iterable[pa.RecordBatch], *, total: int, label: str, progress: bool | None, unit: str = "changes"
) -> Iterator[pa.RecordBatch]:
    """The same batches, their rows counted in a progress bar.

    Args:
        batches: What is counted.
        total: About how many rows there will be.
        label: What is being read.
        progress: Whether to show it; None shows it where stderr is a terminal.
        unit: What a row is.
    """
    shown = sys.stderr.isatty() if progress is None else progress
    with tqdm(total=total, desc=label, unit=f" {unit}", unit_scale=True, disable=not shown, leave=False) as bar:
        for batch in batches:
            bar.total = max(bar.total or 0, bar.n + batch.num_rows)
            bar.update(batch.num_rows)
            yield batch

"""Evidence: whether a log can be trusted, as findings about the log itself, each with the rows that show it."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

import polars as pl

from auditlab.analytics import records
from auditlab.analytics.breaks import classified
from auditlab.analytics.chain import chain, chain_faults
from auditlab.analytics.findings import KINDS, ROWS, as_html, as_text, findings_frame, not_found, tally, worst
from auditlab.analytics.gathered import gathered
from auditlab.analytics.images import idle_by_text, image_faults, missing_images
from auditlab.analytics.moves import half_logged, key_changes, keys_by_images, partition_moves, replaced
from auditlab.analytics.told import counted, told_rows
from auditlab.buckets.bucketed import Bucketed

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditlab.selection import Selected

__all__ = ["Evidence", "evidence"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was found about a log. A log in which nothing was found is not proven whole, only not shown broken.

    Args:
        findings: One row a kind, worst first: kind, severity (``error``, ``warning`` or ``hint``) and meaning (String),
            count (Int64, changes; of ``id gaps`` the gaps).
        changes: How many changes were looked at.
        documents: Whether every document was looked into.
    """

    findings: pl.DataFrame
    changes: int
    documents: bool
    _kinds: tuple[str, ...] = field(repr=False)
    _rows: Callable[[str], pl.DataFrame] = field(repr=False)

    @property
    def worst(self) -> str | None:
        """The worst severity found: ``error``, ``warning`` or ``hint``; None where nothing was found."""
        return worst(self.findings)

    def rows(self, kind: str) -> pl.DataFrame:
        """The rows behind a finding, in the log's order.

        Args:
            kind: A kind of finding; one that was not found has no rows. ``"malformed change"`` gives all its kinds.

        Returns:
            The change that shows it, the entity's change before it (``previous_id``), and where it is about values
            ``field``, ``old`` (what the log had) and ``new`` (what this change says), one row a field. id,
            transaction_id and previous_id are Int64, changed_at is UTC in microseconds, the others String.

        Raises:
            BadOption: there is no such kind; the message names those that were found.
        """
        chosen = [name for name in self._kinds if name == kind or name.startswith(f"{kind}: ")]
        if not chosen and kind not in KINDS:
            raise not_found(kind, self.findings)
        return pl.concat([pl.DataFrame(schema=ROWS), *map(self._rows, chosen)])

    def __repr__(self) -> str:
        return "\n".join([f"Evidence: {self._verdict()}", *as_text(self.findings)])

    def _repr_html_(self) -> str:
        return f"<p>{escape(self._verdict())}</p>{as_html(self.findings)}"

    def _verdict(self) -> str:
        depth = "" if self.documents else ", documents not looked into"
        return f"{tally(self.findings)} found in {self.changes:,} changes{depth}"


def evidence(selected: Selected, *, documents: bool = True) -> Evidence:
    """Whether the log can be trusted: what contradicts itself, what is missing, what is only unusual, each classified.

    The severities are ``error`` (the log contradicts itself or lacks a change), ``warning`` (an answer may be
    incomplete, or readers may disagree about it) and ``hint`` (normal in many logs). The log is held against itself
    alone: what no later change touched, only a comparison with the live tables can show. It is always judged as it
    was recorded, whatever renames and upcasters it is read with.

    Args:
        selected: The log, some types of it or one entity.
        documents: Look into every document: ``changed_fields`` against the images, updates that only say a value in
            other words, duplicate keys, lone surrogates and NUL. Without it only images that break a chain are split,
            which is cheap enough to do after every load.

    Raises:
        IncompleteLog: single changes are picked, here or as the log was loaded (``user=``, ``partitions=``), or some
            were dropped from between the others; what came before them is then not seen.

    Warns:
        WithheldFields: fields were masked or left out when the log was written; nothing is found of them.

    >>> from auditlab import from_arrow
    >>> from auditlab.testing import make_log
    >>> steps = [("INSERT", "a", {"x": 1}), ("UPDATE", "a", {"x": 3}, {"before_snapshot": {"x": 2}})]
    >>> log = from_arrow(make_log(steps))
    >>> found = log.evidence()
    >>> found.worst
    'error'
    >>> found.rows("unlogged change").select("id", "previous_id", "field", "old", "new").row(0)
    (2, 1, 'x', '1', '2')
    """
    selected.require_chains("evidence")
    selected.warn_withheld(*selected.entity_types)
    selected = selected.as_recorded()
    if isinstance(selected.recorded, Bucketed):
        counts, changes, found = gathered(selected.recorded, selected, documents=documents)
        return Evidence(findings_frame(counts), changes, documents, tuple(counts), found.read)
    faults = _faults(selected, documents=documents)
    log = selected.recorded.changes
    if log["baseline"].any() or selected.entity_types != selected.recorded.entity_types or selected.entity_id:
        own = selected.changes()["position"]
        faults = {
            kind: rows.filter(pl.col("position").is_in(own.implode())) if "position" in rows.columns else rows
            for kind, rows in faults.items()
        }
    counts = {kind: counted(rows) for kind, rows in faults.items()}
    return Evidence(
        findings_frame(counts),
        len(selected.changes()),
        documents,
        tuple(faults),
        lambda kind: told_rows(faults[kind], log),
    )


def _faults(selected: Selected, *, documents: bool) -> dict[str, pl.DataFrame]:
    """Every kind that was looked for, with its rows: by position, or with columns of ``ROWS`` where there is none."""
    links = chain(selected)
    faults = chain_faults(selected, links)
    faults |= classified(selected, links)
    half = half_logged(selected, links)
    for kind in ("unknown origin", "missing insert"):
        faults[kind] = faults[kind].join(half, on="position", how="anti", maintain_order="left")
    faults["half-logged key change"] = half
    pairs = replaced(selected.recorded.changes)
    faults["key change"] = pl.concat([keys_by_images(selected), key_changes(*pairs)]).sort("position")
    faults["partition move"] = partition_moves(*pairs)
    faults["time inversions"] = records.inversions(selected, links)
    faults["no-op updates"] = idle_by_text(selected)
    faults |= missing_images(selected)
    faults |= records.id_faults(selected)
    faults |= records.order_faults(selected)
    faults |= records.transaction_faults(selected)
    faults |= records.user_faults(selected)
    faults |= image_faults(selected) if documents else {}
    faults |= records.load_faults(selected.recorded.facts)
    for kind, rows in records.malformed_faults(selected).items():
        known = faults.get(kind)
        faults[kind] = rows if known is None or known.is_empty() else pl.concat([known, rows], how="diagonal")
    return faults

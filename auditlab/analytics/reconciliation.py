"""What came of a log that was held against the live tables: findings, each with the rows that show it."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

from auditlab.analytics.findings import as_html, as_text, not_found, tally, worst
from auditlab.analytics.outside import KINDS

if TYPE_CHECKING:
    from datetime import datetime

    import polars as pl

    from auditlab.analytics.disagreements import Disagreements

__all__ = ["Reconciliation"]


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What a log and the live tables disagree about, as of one snapshot of the database.

    Args:
        findings: One row a kind, worst first: kind, severity (``error``, ``warning`` or ``hint``) and meaning (String),
            count (Int64: rows of tables, or changes of the log).
        tables: One row an entity type: entity_type, how many rows the log says there are (``logged``), how many there
            are (``live``), and how many of those are as the log says (``equal``).
        at: When the snapshot was taken, UTC.
        snapshot: The snapshot as PostgreSQL names it (``pg_current_snapshot()``); None on a standby.
        source: The database, without any password.
    """

    findings: pl.DataFrame
    tables: pl.DataFrame
    at: datetime
    snapshot: str | None
    source: str
    _found: Disagreements = field(repr=False)

    @property
    def worst(self) -> str | None:
        """The worst severity found: ``error``, ``warning`` or ``hint``; None where nothing was found."""
        return worst(self.findings)

    def rows(self, kind: str) -> pl.DataFrame:
        """The rows behind a finding.

        Args:
            kind: A kind of finding; one that was not found has no rows.

        Returns:
            One row a field that differs: entity_type, entity_id, field, what the log says (``logged``), what the table
            has (``live``), the transaction that wrote the live row (``written_by``; of a savepoint its own id), a note,
            and the last change that the log has of the row: id, operation, changed_by, changed_at, transaction_id. Of a
            row that only one side has, ``field`` is null and the row stands whole, as JSON (of the first 10,000 that
            were inserted). ids are Int64, changed_at is UTC in microseconds, the others String. By entity type, entity,
            change and field.

        Raises:
            BadOption: there is no such kind; the message names those that were found.
        """
        if kind not in KINDS:
            raise not_found(kind, self.findings)
        return self._found.read(kind)

    def __repr__(self) -> str:
        return "\n".join([f"Reconciliation: {self._verdict()}", *as_text(self.findings)])

    def _repr_html_(self) -> str:
        return f"<p>{escape(self._verdict())}</p>{as_html(self.findings)}{as_html(self.tables)}"

    def _verdict(self) -> str:
        rows, types = self.tables["live"].sum(), len(self.tables)
        return (
            f"{tally(self.findings)} found in {rows:,} rows of {types} {'table' if types == 1 else 'tables'} "
            f"as of {self.at:%Y-%m-%d %H:%M:%S} UTC"
        )

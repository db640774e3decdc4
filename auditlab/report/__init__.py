"""The report of an audit: one file to hand over, with what was asked, of what, and which digests that has."""

from __future__ import annotations

from auditlab.report.report import report

__all__ = ["report"]

"""git's log, blame, diff and checkout for the rows of a database, in a notebook.

A change log goes in (:func:`read_postgres`, :func:`from_arrow`, :func:`read_parquet`, :func:`scan_archive`); a
:class:`ChangeLog` comes out, whose verbs answer exactly, or raise an error that says why they cannot.
"""

from __future__ import annotations

from auditlab import errors
from auditlab.changelog import ChangeLog
from auditlab.schema import EntityChange
from auditlab.sources import from_arrow, read_parquet, scan_archive

__all__ = ["ChangeLog", "EntityChange", "errors", "from_arrow", "read_parquet", "scan_archive"]

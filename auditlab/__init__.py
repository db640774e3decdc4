"""git's log, blame, diff and checkout for the rows of a database, in a notebook.

A change log goes in (:func:`read_postgres`, :func:`read_query`, :func:`scan_archive`, :func:`read_parquet`,
:func:`read_csv`, :func:`read_jsonl`, :func:`read_debezium`, :func:`from_arrow`); a :class:`ChangeLog` comes out, whose
verbs answer exactly, or raise an error that says why they cannot.
:func:`scan` takes a live log and its archive as one, :func:`reconcile` holds a log against the live tables.
:func:`install` and :func:`track` make a PostgreSQL database keep such a log; :func:`archive_postgres` and
:func:`verify` keep it as Parquet; :func:`head` is what to keep elsewhere, :func:`compact` merges small files,
:func:`checkpoint` spares questions what lies before it, and :func:`prune` drops from a database what is proven to be in
its archive.
"""

from __future__ import annotations

from auditlab import errors
from auditlab.archive.checkpoint import checkpoint
from auditlab.archive.compact import compact
from auditlab.archive.export import archive_postgres
from auditlab.archive.head import head
from auditlab.archive.holds import hold, holds, release
from auditlab.archive.prune import prune
from auditlab.archive.verify import prove, verify
from auditlab.capture.check import check
from auditlab.capture.install import install
from auditlab.capture.mark import mark
from auditlab.capture.partitions import create_partitions
from auditlab.capture.snapshot import snapshot
from auditlab.capture.track import track, untrack
from auditlab.changelog import ChangeLog, pit_join, reconcile
from auditlab.keys import entity_uuid
from auditlab.marks import Mark, read_marks
from auditlab.reading.upcasters import Upcasters
from auditlab.schema import EntityChange
from auditlab.sources import (
    from_arrow,
    read_csv,
    read_debezium,
    read_jsonl,
    read_parquet,
    read_postgres,
    read_query,
    scan,
    scan_archive,
)

__all__ = [
    "ChangeLog",
    "EntityChange",
    "Mark",
    "Upcasters",
    "archive_postgres",
    "check",
    "checkpoint",
    "compact",
    "create_partitions",
    "entity_uuid",
    "errors",
    "from_arrow",
    "head",
    "hold",
    "holds",
    "install",
    "mark",
    "pit_join",
    "prove",
    "prune",
    "read_csv",
    "read_debezium",
    "read_jsonl",
    "read_marks",
    "read_parquet",
    "read_postgres",
    "read_query",
    "reconcile",
    "release",
    "scan",
    "scan_archive",
    "snapshot",
    "track",
    "untrack",
    "verify",
]

"""Capture: the SQL of ``sql/capture`` brought to a database, and kept in order there."""

from __future__ import annotations

from auditlab.capture.check import Finding, check
from auditlab.capture.install import Installation, install
from auditlab.capture.mark import mark
from auditlab.capture.partitions import Partition, create_partitions
from auditlab.capture.snapshot import EntitySnapshot, snapshot
from auditlab.capture.track import Tracked, track, untrack
from auditlab.keys import entity_uuid

__all__ = [
    "EntitySnapshot",
    "Finding",
    "Installation",
    "Partition",
    "Tracked",
    "check",
    "create_partitions",
    "entity_uuid",
    "install",
    "mark",
    "snapshot",
    "track",
    "untrack",
]

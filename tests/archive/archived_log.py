"""A small log that the archive tests write, with texts that a careless writer would change; and forged manifests."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa

from auditlab.archive.manifest import MANIFESTS, read_chain
from auditlab.archive.write import ArchiveWriter
from auditlab.load.source import ARROW_CHANGES
from auditlab.schema import LogFacts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from auditlab.archive.manifest import Signer

NOON = datetime(2024, 6, 1, 12, tzinfo=UTC)
TEXTS = (
    '{"total":  1.10}',
    '{"total": 12345678901234567.89, "n": 9223372036854775809}',
    '{"b": 1, "a": 2, "a": 3}',
    '{"": "\\u0000", "\u202e": "\x1b[31m"}',
    '{"big": 123456789012345678901234567890}',
)


def a_batch(first: int, rows: int, entity_type: str = "shop.orders") -> pa.RecordBatch:
    ids = range(first, first + rows)
    columns = {
        "id": list(ids),
        "entity_type": [entity_type] * rows,
        "entity_id": [f"e{one % 7}" for one in ids],
        "operation": ["INSERT"] * rows,
        "changed_by": [None if one % 3 else "" for one in ids],
        "changed_at": [NOON + timedelta(seconds=one) for one in ids],
        "before_snapshot": [None] * rows,
        "after_snapshot": [TEXTS[one % len(TEXTS)] for one in ids],
        "changed_fields": [None] * rows,
        "metadata": ['{"k": "v"}'] * rows,
        "transaction_id": [1000 + one // 2 for one in ids],
        "correlation_id": [None] * rows,
        "committed_at": [None] * rows,
        "partition": [None if one % 5 else f"{entity_type}_{one}" for one in ids],
    }
    return pa.RecordBatch.from_pydict(columns, schema=ARROW_CHANGES)


def sealed(body: dict[str, object]) -> str:
    def text(value: dict[str, object]) -> str:
        return json.dumps(value, indent=1, sort_keys=True)

    return text({"manifest": body, "sha256": hashlib.sha256(text(body).encode()).hexdigest()}) + "\n"


def forge(archive: Path, change: Callable[[dict[str, object]], object], *, number: int = 1) -> None:
    """Change a manifest as an attacker would who also puts the hash right."""
    path = archive / MANIFESTS / f"{number:08d}.json"
    body = json.loads(path.read_text())["manifest"]
    change(body)
    path.write_text(sealed(body))


def grow(archive: Path, *batches: pa.RecordBatch, facts: LogFacts | None = None, sign: Signer | None = None) -> None:
    """Add a manifest with these rows, as a pull does."""
    with ArchiveWriter(archive, chain=read_chain(archive), sign=sign) as writer:
        for batch in batches:
            writer.write(batch)
        writer.commit(facts or LogFacts())

"""What a report was made of and with: the log, its digests, and the versions of what computed the answers."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditlab.archive.digest import digest_of_rows
from auditlab.archive.files import digest, is_url
from auditlab.archive.head import chain_of
from auditlab.connection import redact
from auditlab.errors import BadOption
from auditlab.load.source import batches
from auditlab.printable import printable
from auditlab.widgets.picks import collected

if TYPE_CHECKING:
    from auditlab.changelog import ChangeLog

__all__ = ["digests", "made_of", "made_with", "pairs"]

_PARTS = ("auditlab", "polars", "duckdb", "pyarrow")


def pairs(caption: str, rows: list[tuple[str, str]]) -> str:
    """Names and what stands to them, as a table in HTML."""
    body = "".join(
        f'<tr><th scope="row">{escape(printable(name))}</th><td>{escape(printable(told))}</td></tr>'
        for name, told in rows
    )
    return (
        f'<table class="al-table al-pairs"><caption>{escape(caption)}</caption>'
        f'<thead><tr><th scope="col">What</th><th scope="col">Is</th></tr></thead><tbody>{body}</tbody></table>'
    )


def made_of(log: ChangeLog[Any]) -> list[tuple[str, str]]:
    """What the log is: its own description, and what identifies the database that it came from."""
    told = [(line[:10].strip(), line[11:]) for line in redact(repr(log)).splitlines()]
    facts = log.facts
    known = [
        ("system", facts.system),
        ("timeline", None if facts.timeline is None else str(facts.timeline)),
        ("read in", facts.snapshot and f"the transaction snapshot {facts.snapshot}"),
    ]
    return [*told, *((name, words) for name, words in known if words)]


def digests(log: ChangeLog[Any], read_from: str | Path | None) -> list[tuple[str, str]]:
    """SHA-256 of the rows that the report is about, and of the file or archive that they were read from.

    Raises:
        BadOption: there is no such file or folder.
        ArchiveError: the folder holds no archive, or its manifests are broken; or object storage refuses.
    """
    rows = collected(log.changes())
    found = [
        ("rows", f"{digest_of_rows(batches(rows))}  of {rows.height:,} changes in the log's order (rule: rows 1)"),
    ]
    if read_from is None:
        return found
    if is_url(read_from) or Path(read_from).is_dir():
        (manifest, head) = chain_of(read_from)[-1]
        found.append(("archive", f"{head}  head of {read_from}: manifest {manifest.number}, {manifest.written_at}"))
        if manifest.cursor is not None:
            found.append(("cursor", str(manifest.cursor)))
        return found
    try:
        file, size = digest(Path(read_from).resolve())
    except OSError as exc:
        raise BadOption(f"cannot read {read_from}: {exc.strerror}.") from exc
    return [*found, ("file", f"{file}  of {read_from}, {size:,} bytes")]


def made_with(call: str) -> list[tuple[str, str]]:
    """When, by which call, and by which versions."""
    parts = ", ".join(f"{name} {version(name)}" for name in _PARTS)
    return [
        ("made at", f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC, by the clock of the machine that made it"),
        ("made by", call),
        ("versions", f"{parts}, Python {platform.python_version()}"),
    ]

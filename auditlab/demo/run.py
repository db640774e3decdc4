"""The demo, from an empty server to an archive that was read back."""

from __future__ import annotations

import time
from dataclasses import dataclass
from importlib.resources import as_file, files
from typing import TYPE_CHECKING

import polars as pl

import auditlab as al
from auditlab.demo.folder import ARCHIVE, LOG, NOTEBOOK, prepared, write_notebook
from auditlab.demo.proof import prove
from auditlab.demo.server import start_server
from auditlab.demo.tour import take_tour
from auditlab.demo.workload import TABLES, WRITERS, run_workload
from auditlab.errors import DatabaseError, MissingExtra

if TYPE_CHECKING:
    from pathlib import Path

    from auditlab.demo.proof import Proof
    from auditlab.demo.tour import Show

__all__ = ["SAMPLE", "Demonstrated", "run_demo"]

WORST = 5
"""How many differences of a table are shown."""
SAMPLE = "sample.parquet"
"""The log that the package ships, made by an earlier run of this very day; for a machine without PostgreSQL."""


@dataclass(frozen=True, slots=True)
class Demonstrated:
    """What a run of the demo came to.

    Args:
        folder: Where the log, the archive and the notebook are.
        origin: Where PostgreSQL came from, or why there was none.
        changes: The changes in the log.
        proofs: Log against live tables, one a table; empty where there was no server.
        archive_equal: Whether the archive answered as the log did.
    """

    folder: Path
    origin: str
    changes: int
    proofs: tuple[Proof, ...]
    archive_equal: bool

    @property
    def holds(self) -> bool:
        """Whether everything that was compared came out equal."""
        return self.archive_equal and not any(proof.differences for proof in self.proofs)


def run_demo(folder: str | Path, show: Show, *, server: bool = True) -> Demonstrated:
    """Run the whole demo.

    Args:
        folder: Where to leave the log, the archive and the notebook.
        show: How to speak.
        server: False runs on the log that the package ships, as on a machine without PostgreSQL.

    Raises:
        ArchiveExists: the folder holds something that no demo made.
    """
    path = prepared(folder)
    log, proofs, origin = _from_server(show) if server else _from_sample(show, "a server was not asked for")
    take_tour(log, show)
    _show_proofs(proofs, show)
    equal = _archive(log, path, show)
    write_notebook(path)
    show.heading("What is left for you")
    left = {
        path / LOG: "the log; ask it more: auditlab --help",
        path / ARCHIVE: "the archive; the same questions",
        path / NOTEBOOK: "a notebook on both, for Jupyter or an editor",
    }
    longest = max(len(str(place)) for place in left)
    for place, what in left.items():
        show.line(f"{place!s:<{longest}}   {what}")
    show.line(f"Try: auditlab diffs {path / LOG} --type orders.orders --field total")
    return Demonstrated(path, origin, len(log), tuple(proofs), equal)


def _from_server(show: Show) -> tuple[al.ChangeLog[pl.DataFrame], list[Proof], str]:
    try:
        server = start_server(settings=["fsync=off", "synchronous_commit=off"])
    except (MissingExtra, DatabaseError, OSError) as exc:
        return _from_sample(show, str(exc))
    with server:
        show.heading("A shop on a real PostgreSQL, audited")
        show.line(server.origin + ".")
        dsn = server.create_database("shop")
        begun = time.perf_counter()
        run_workload(dsn)
        show.line(
            f"{WRITERS} writers at once placed, paid, cancelled and restored orders; a bulk update, a migration, a "
            f"TRUNCATE ({time.perf_counter() - begun:.1f} s)."
        )
        show.code("log = al.read_postgres(dsn)")
        begun = time.perf_counter()
        log = al.read_postgres(dsn, progress=False)
        show.line(f"{len(log):,} changes of {len(log.entity_types)} tables ({time.perf_counter() - begun:.1f} s).")
        return log, prove(dsn, log, TABLES), server.origin


def _from_sample(show: Show, why: str) -> tuple[al.ChangeLog[pl.DataFrame], list[Proof], str]:
    show.heading("A shop's change log")
    show.line(f"No PostgreSQL ({why})")
    show.line("So this runs on a log that the package ships, recorded on a PostgreSQL by an earlier run of this demo.")
    with as_file(files("auditlab.demo") / SAMPLE) as path:
        log = al.read_parquet(path)
    show.line(f"{len(log):,} changes of {len(log.entity_types)} tables.")
    return log, [], f"no PostgreSQL: {why}"


def _show_proofs(proofs: list[Proof], show: Show) -> None:
    show.heading("Is the log the whole truth? Its latest state, compared with the live tables value by value")
    if not proofs:
        show.line("There is no live table to compare with on this machine.")
        return
    columns = {
        "table": [proof.entity_type for proof in proofs],
        "rows": [proof.rows for proof in proofs],
        "values compared": [proof.values for proof in proofs],
        "differences": [len(proof.differences) for proof in proofs],
    }
    show.table(pl.DataFrame(columns))
    for proof in proofs:
        for fault in proof.differences[:WORST]:
            show.line(f"{proof.entity_type} {fault.key} {fault.field}: table {fault.live!r}, log {fault.replayed!r}")


def _archive(log: al.ChangeLog[pl.DataFrame], path: Path, show: Show) -> bool:
    """Write the log and the archive, read the archive back, and compare its answers with the log's."""
    show.heading("Keep it: an archive of Parquet files, each with its SHA-256")
    log.changes().write_parquet(path / LOG)
    show.code('log.to_archive("archive"); al.verify("archive")')
    log.to_archive(path / ARCHIVE)
    faults = al.verify(path / ARCHIVE)
    archived = al.scan_archive(path / ARCHIVE)
    equal = not faults
    for entity_type in log.entity_types:
        mine, theirs = log.of(entity_type).history(), archived.of(entity_type).history().collect()
        equal = equal and mine.equals(theirs)
    verdict = "every file is whole, and every version read back is equal." if equal else f"NOT EQUAL. {faults}"
    show.line(f"Written, verified, read back: {verdict}")
    return equal

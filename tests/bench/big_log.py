"""A large change log for the benchmarks, made on the server by ``big_log.sql``."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from auditlab.errors import MissingExtra

if TYPE_CHECKING:
    from auditlab.demo.server import Server

ROWS = int(os.environ.get("AUDITLAB_BENCH_ROWS", "1000000"))
"""How many changes."""


def psql(server: Server) -> str:
    """The ``psql`` that fits the server, else the one on PATH."""
    found = shutil.which("psql") if server.bin is None else str(server.bin / "psql")
    if found is None:
        raise MissingExtra("the benchmarks need psql: pip install 'auditlab[demo]'")
    return found


def fill(server: Server, dsn: str, *, rows: int, width: int) -> None:
    """Make a log of so many changes with documents of about ``width`` bytes in an empty database."""
    script = Path(__file__).with_name("big_log.sql")
    options = [
        "-q",
        "-v",
        "ON_ERROR_STOP=1",
        "-v",
        f"rows={rows}",
        "-v",
        f"width={width}",
        "-d",
        dsn,
        "-f",
        str(script),
    ]
    subprocess.run([psql(server), *options], check=True, stdout=subprocess.DEVNULL)

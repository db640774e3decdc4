"""Feeds an archive from a database again and again, and is killed (SIGKILL) one step later each time.

Usage: python killed_puller.py DSN FOLDER STRIDE [SEED]. Each attempt is a child of its own that writes three rows
into the table and pulls; all feed one archive, so each goes on from what the killed ones left. Every STRIDE-th step is
taken; with a seed they are drawn: 200 where STRIDE is 1, else as many.
Prints how many attempts were killed and how many lived.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

from killed_writer import CALLS, Steps

from auditlab.archive.export import archive_postgres
from auditlab.archive.files import HashingFile
from auditlab.connection import connect

MOST_STEPS = 75
"""A few more than a pull has."""


def attempt(dsn: str, folder: Path, last: int) -> bool:
    """Write and pull in a child that dies at step ``last``; whether it lived to the end."""
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        return os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0
    code = 1
    try:
        with connect(dsn, autocommit=True) as connection:
            connection.execute("INSERT INTO s.t (v) VALUES (1), (2), (3)")
        steps = Steps(last)
        for name in CALLS:
            setattr(os, name, steps.before(getattr(os, name)))
        HashingFile.write = steps.tearing(HashingFile.write)  # type: ignore[method-assign]  # that is the fault
        archive_postgres(dsn, folder, progress=False)
        code = 0
    finally:
        os._exit(code)


def main() -> None:
    """Kill at each step in turn, or at drawn ones."""
    dsn, folder, stride = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    steps = list(range(1, MOST_STEPS, stride))
    if sys.argv[4:]:
        drawn = random.Random(sys.argv[4])  # noqa: S311 - no secret
        steps = [drawn.randrange(1, MOST_STEPS) for _ in range(200 if stride == 1 else len(steps))]
    lived = sum(attempt(dsn, folder, step) for step in steps)
    sys.stdout.write(f"{len(steps) - lived} {lived}\n")


if __name__ == "__main__":
    main()

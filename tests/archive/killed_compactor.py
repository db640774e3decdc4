"""Compacts copies of an archive, and is killed (SIGKILL) one step later each time.

Usage: python killed_compactor.py ARCHIVE FOLDER [checkpoint]. The attempt killed at step n leaves its work in FOLDER/n;
replaced files are removed at once, so that those steps are among them. Prints the number of steps. The last word has it
write a checkpoint instead.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from killed_writer import CALLS, Steps

from auditlab.archive.checkpoint import checkpoint
from auditlab.archive.compact import compact
from auditlab.archive.files import HashingFile


def attempt(folder: Path, last: int) -> bool:
    """Compact in a child that dies at step ``last``; whether it lived to the end."""
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        return os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0
    code = 1
    try:
        steps = Steps(last)
        for name in CALLS:
            setattr(os, name, steps.before(getattr(os, name)))
        HashingFile.write = steps.tearing(HashingFile.write)  # type: ignore[method-assign]  # that is the fault
        if sys.argv[3:] == ["checkpoint"]:
            checkpoint(folder)
        else:
            compact(folder, grace=0)
        code = 0
    finally:
        os._exit(code)


def main() -> None:
    """Kill at every step, until one attempt lives."""
    archive, root, last = Path(sys.argv[1]), Path(sys.argv[2]), 1
    while True:
        shutil.copytree(archive, root / str(last))
        if attempt(root / str(last), last):
            break
        last += 1
    sys.stdout.write(f"{last}\n")


if __name__ == "__main__":
    main()

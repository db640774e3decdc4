"""Writes an archive again and again, and is killed (SIGKILL) one step later each time, or at random moments.

Usage: python killed_writer.py FOLDER [ATTEMPTS]. Each attempt is a child process of its own, forked before any of the
libraries has started a thread. The steps are the calls that change the file system, and the writes, a killed one of
which is torn. With ATTEMPTS, so many are killed at moments drawn from the time that one takes, wherever it is then.
Prints the number of steps, or of those that were killed; attempt n leaves its work in FOLDER/n.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archived_log import a_batch

from auditlab.archive.files import HashingFile
from auditlab.archive.write import to_archive
from auditlab.schema import LogFacts

if TYPE_CHECKING:
    from collections.abc import Callable

NEVER = -1
CALLS = ("mkdir", "fsync", "replace", "link", "unlink")


class Steps:
    """Counts steps, and kills the process at one of them."""

    def __init__(self, last: int) -> None:
        self.left = last

    def kills(self) -> bool:
        """Whether this step is the last."""
        self.left -= 1
        return self.left == 0

    def before(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """The call, unless this is the step."""

        def counted(*args: Any, **options: Any) -> Any:  # noqa: ANN401 - any call of the operating system
            if self.kills():
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **options)

        return counted

    def tearing(self, write: Callable[[HashingFile, bytes], int]) -> Callable[[HashingFile, bytes], int]:
        """The write, of which only half reaches the disk if this is the step."""

        def counted(self_: HashingFile, data: bytes) -> int:
            if self.kills():
                write(self_, memoryview(data)[: len(data) // 2])
                self_.flush()
                os.kill(os.getpid(), signal.SIGKILL)
            return write(self_, data)

        return counted


def attempt(folder: Path, last: int, seconds: float | None = None) -> bool:
    """Write the archive in a child that dies at step ``last``, or after so many seconds; whether it lived on."""
    child = os.fork()
    if child:
        if seconds is not None:
            time.sleep(seconds)
            os.kill(child, signal.SIGKILL)  # one that has ended is not waited for yet: nobody else has its number
        _, status = os.waitpid(child, 0)
        return os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0
    steps = Steps(last)
    for name in CALLS:
        setattr(os, name, steps.before(getattr(os, name)))
    HashingFile.write = steps.tearing(HashingFile.write)  # type: ignore[method-assign]  # that is the fault
    code = 1
    try:
        to_archive([a_batch(1, 20), a_batch(21, 20, "shop.order_items"), a_batch(41, 20)], folder, facts=LogFacts())
        code = 0
    finally:
        os._exit(code)


def at_random(root: Path, attempts: int) -> int:
    """Kill so many attempts at random moments; how many did not live to the end."""
    choose, begun = random.Random(11), time.monotonic()  # noqa: S311 - moments, not a secret
    attempt(root / "0", NEVER)
    whole = time.monotonic() - begun
    return sum(not attempt(root / str(number), NEVER, choose.random() * whole) for number in range(1, attempts + 1))


def main() -> None:
    """Kill at every step, until one attempt lives."""
    root, last = Path(sys.argv[1]), 1
    if len(sys.argv) > 2:
        sys.stdout.write(f"{at_random(root, int(sys.argv[2]))}\n")
        return
    while not attempt(root / str(last), last):
        last += 1
    sys.stdout.write(f"{last}\n")


if __name__ == "__main__":
    main()

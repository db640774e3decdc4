"""Signals that end a command as Ctrl-C does: what it has begun is cleaned up."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["interrupted_by"]


@contextmanager
def interrupted_by(*numbers: signal.Signals) -> Iterator[None]:
    """Let signals end the work as Ctrl-C does: what is unfinished is removed. One that is ignored stays so (nohup)."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in numbers}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""How long a piece of work takes, by the clock."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["best_of", "timed"]

T = TypeVar("T")

ROUNDS = 3


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """What it gives, and the seconds that it took."""
    begin = time.perf_counter()
    done = work()
    return done, time.perf_counter() - begin


def best_of(work: Callable[[], T], rounds: int = ROUNDS) -> tuple[T, float]:
    """The same of the fastest of several rounds."""
    return min((timed(work) for _ in range(rounds)), key=lambda one: one[1])

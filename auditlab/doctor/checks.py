"""One thing that was looked at: how it is, and what to do about it."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Check", "State", "answer", "numbers"]

_PATIENCE = 30.0


class State(StrEnum):
    """How something is: well, worth knowing, or in the way of something that should work."""

    FINE = "fine"
    NOTE = "note"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at.

    Args:
        part: What, in a few words.
        state: How it is.
        found: What was found.
        advice: What to do; empty where it is fine.
    """

    part: str
    state: State
    found: str
    advice: str = ""


def answer(command: Sequence[str]) -> str | None:
    """What a program of this machine says on standard output; None where it is not there, fails or hangs."""
    try:
        done = subprocess.run(  # noqa: S603 - the programs of the user's own environment
            list(command), capture_output=True, text=True, check=False, timeout=_PATIENCE, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version, to compare.

    >>> numbers("8.1.9rc1"), numbers("unknown")
    ((8, 1, 9), ())
    """
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(map(int, found[0].split("."))) if found else ()

"""How much memory a question may take."""

from __future__ import annotations

import re

from auditlab.errors import BadOption

__all__ = ["LEAST", "USUAL", "memory_bytes"]

LEAST = 4_000
"""Bytes that a change takes at the least while it is asked about."""
USUAL = 10_000
"""Bytes that a change takes while everything is asked about it, if it is no large one: a log that fits so is not
measured."""

_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_UNITS |= {"kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}
_SIZE = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)\s*", re.IGNORECASE)
_UNTOLD = 8 * 10**9
"""Bytes that are taken to be free where the system does not say."""


def memory_bytes(memory: str | int | None, *, free: int | None = None) -> int:
    """A size in bytes, from a number or a text such as ``"1GB"``; None is half of what is free.

    Raises:
        BadOption: it is no size.

    >>> memory_bytes("1.5 GB"), memory_bytes("1GiB"), memory_bytes(None, free=100)
    (1500000000, 1073741824, 50)
    """
    if memory is None:
        return (_UNTOLD if free is None else free) // 2
    if isinstance(memory, int) and not isinstance(memory, bool):
        size = float(memory)
    else:
        found = _SIZE.fullmatch(str(memory))
        unit = _UNITS.get(found[2].lower()) if found else None
        size = float(found[1]) * unit if found and unit else 0.0
    if size < 1:
        raise BadOption(f'memory={memory!r} is no size. Give bytes, or e.g. memory="1GB".')
    return int(size)

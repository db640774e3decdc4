"""The peak memory of a program that a test starts, as the program itself reads it."""

from __future__ import annotations

__all__ = ["AT_ONCE", "PEAK"]

PEAK = '''
import resource, pathlib

def peak():
    """Kilobytes that this program took at the most: where the system tells, without what started it took before."""
    status = pathlib.Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
'''
"""What such a program begins with; ``ru_maxrss`` alone begins with the peak of the process that started it."""

AT_ONCE = {"_RJEM_MALLOC_CONF": "dirty_decay_ms:0,muzzy_decay_ms:0", "MIMALLOC_PURGE_DELAY": "0"}
"""The environment in which Polars and Arrow give memory back once it is free, and not only when another needs it."""

"""The peak memory of a program that a test starts, as the program itself reads it."""

from __future__ import annotations

__all__ = ["PEAK"]

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

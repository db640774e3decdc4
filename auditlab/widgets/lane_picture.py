"""The picture of a timeline as SVG: lanes, marks by operation, and where there are many, how many."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from html import escape
from math import ceil, log1p
from typing import TYPE_CHECKING, Any

import polars as pl

from auditlab.clock import zone as zone_named
from auditlab.printable import printable
from auditlab.schema import OPERATIONS as NAMES
from auditlab.widgets.palette import OPERATIONS

if TYPE_CHECKING:
    from datetime import datetime

    from auditlab.widgets.lanes import Lanes
    from auditlab.widgets.points import Points

__all__ = ["Shown", "picture"]

WIDTH, LEFT, RIGHT, TOP, LANE = 980, 210, 18, 44, 36
MARK = 26
"""The room of a mark with its number."""
MOST_MARKS = 1_500
"""Up to so many filled pixel columns, over all lanes and operations, there are marks; beyond, densities."""

INK, FAINT, PAPER, LINE = (
    "var(--al-ink, #1b1f24)", "var(--al-faint, #57606a)", "var(--al-paper, #ffffff)", "var(--al-line, #c4cad1)",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Shown:
    """What of a timeline is shown.

    Args:
        start: Its first instant.
        end: Its last.
        cursor: The time of the change under the cursor.
        brush: The instants of the brush.
    """

    start: datetime
    end: datetime
    cursor: datetime | None = None
    brush: tuple[datetime, datetime] | None = None

    @classmethod
    def of(
        cls,
        rows: pl.DataFrame,
        cursor: int | None,
        zoom: tuple[datetime, datetime] | None = None,
        brush: tuple[datetime, datetime] | None = None,
    ) -> Shown | None:
        """What is shown of points: their whole span, or the zoom; of one instant alone a second on both sides of it.

        Args:
            rows: The points, their times in ``at``.
            cursor: The number of the point under the cursor.
            zoom: The instants that are zoomed to.
            brush: The instants of the brush.
        """
        if rows.is_empty():
            return None
        times: Any = rows["at"]
        start, end = zoom or (times.min(), times.max())
        around = timedelta(seconds=0 if start < end else 1)
        return cls(start - around, end + around, None if cursor is None else times[cursor], brush)


def picture(title: str, points: Points, own: Lanes, kept: pl.Series, shown: Shown | None) -> str:
    """One ``<svg>`` element.

    Args:
        title: What it shows, in words.
        points: The points.
        own: Their lanes.
        kept: The numbers of the points that filters leave.
        shown: The part of time to show; None where there is no change.
    """
    height = TOP + LANE * max(len(own.names), 1) + 62
    parts = [f'<rect width="{WIDTH}" height="{height}" fill="{PAPER}"/>']
    parts.append(_text(12, 20, title, weight=600, room=WIDTH - 24))
    note, days = "No change is shown.", ""
    if shown is not None:
        days = _days(shown, points.zone)
        cells, note = _cells(points, own, kept, shown)
        parts += [*_ground(own), *_axis(shown, points.zone, height), *_marks(cells), *_pointers(shown, height)]
    parts.append(_text(12, height - 30, f"{note} Times are {points.zone}{days}.", colour=FAINT, room=WIDTH - 24))
    parts += _legend(height - 10)
    label = escape(printable(title))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" aria-label="{label}" font-family="system-ui, sans-serif" font-size="12"'
        f"><title>{label}</title>{''.join(parts)}</svg>"
    )


def _cells(points: Points, own: Lanes, kept: pl.Series, shown: Shown) -> tuple[pl.DataFrame, str]:
    """What to draw: ``lane``, ``operation``, ``x``, ``count``, ``certain`` and ``many``; and what to say under it."""
    rows = points.rows.select("row", "at", "operation", "certain").filter(
        pl.col("at").is_between(shown.start, shown.end)
    )
    if kept.len() < points.rows.height:
        rows = rows.filter(pl.col("row").is_in(kept.implode()))
    span = max((shown.end - shown.start).total_seconds(), 1e-6)
    room = WIDTH - LEFT - RIGHT - 12
    away = (pl.col("at") - pl.lit(shown.start)).dt.total_microseconds() / 1e6
    placed = rows.with_columns(x=away / span * room)
    placed = placed.join(own.rows, on="row", how="inner")
    columns = placed.select("lane", "operation", pl.col("x") // 1).n_unique()
    many = columns > MOST_MARKS
    cells = (
        placed.group_by("lane", "operation", column=(pl.col("x") // (1 if many else MARK)))
        .agg(pl.col("x").min(), pl.col("certain").all(), count=pl.len())
        .sort("lane", "operation", "column")
        .with_columns(pl.col("x") + LEFT + 6, many=pl.lit(many))
    )
    total = points.rows.height
    told = f"{rows.height:,} of {total:,} changes" if rows.height != total else f"{total:,} change{'s'[total == 1 :]}"
    most: int = cells["count"].max() if cells.height else 0  # type: ignore[assignment]  # a column of counts
    unsure = rows.height - int(rows["certain"].sum())
    told += f", {unsure:,} of them not certain" if unsure else ""
    words = (
        f"{told}, by density: the tallest bar stands for {most:,}."
        if many
        else f"{told}. A mark with a number stands for so many."
    )
    return cells, words


def _ground(own: Lanes) -> list[str]:
    parts = []
    for place, name in enumerate(own.names):
        y = TOP + LANE * place
        parts.append(f'<line x1="12" x2="{WIDTH - RIGHT}" y1="{y + LANE}" y2="{y + LANE}" stroke="{LINE}"/>')
        parts.append(_text(LEFT - 10, y + LANE / 2 + 4, name, anchor="end", room=LEFT - 24))
    return parts


def _axis(shown: Shown, zone: str, height: int) -> list[str]:
    local = zone_named(zone)
    count = 5
    parts = []
    span = shown.end - shown.start
    for place in range(count):
        at = (shown.start + span * place / (count - 1)).astimezone(local)
        x = LEFT + 6 + (WIDTH - LEFT - RIGHT - 12) * place / (count - 1)
        anchor = "start" if place == 0 else "end" if place == count - 1 else "middle"
        line = f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 4}" y2="{height - 60}" stroke="{LINE}" '
        parts.append(f'{line}stroke-dasharray="2 4"/>')
        parts.append(_text(x, TOP - 8, _tick(at, span.total_seconds()), anchor=anchor, colour=FAINT))
    return parts


def _days(shown: Shown, zone: str) -> str:
    """The day, or the two, of times that stand without one."""
    first, last = (at.astimezone(zone_named(zone)) for at in (shown.start, shown.end))
    if last - first > timedelta(hours=1):
        return ""
    return f", of {first:%Y-%m-%d}" + (f" and {last:%Y-%m-%d}" if last.date() != first.date() else "")


def _tick(at: datetime, seconds: float) -> str:
    day, hour = 86400, 3600
    if seconds > 8 * day:
        return f"{at:%Y-%m-%d}"
    if seconds > hour:
        return f"{at:%Y-%m-%d %H:%M}"
    return f"{at:%H:%M:%S}" if seconds > 8 else f"{at:%H:%M:%S.%f}"  # noqa: PLR2004 - seconds on a watch


def _marks(cells: pl.DataFrame) -> list[str]:
    most: int = cells["count"].max() if cells.height else 1  # type: ignore[assignment]  # a column of counts
    bands = {"INSERT": 0, "UPDATE": 1, "DELETE": 2, "TRUNCATE": 2, "SNAPSHOT": 0}
    parts = []
    columns = ("lane", "operation", "x", "count", "certain", "many")
    for lane, operation, x, count, certain, many in cells.select(columns).iter_rows():
        mark, third = OPERATIONS[operation], LANE / 3
        top = TOP + LANE * lane + bands[operation] * third
        if many:
            tall = max(3.0, (third - 2) * log1p(count) / log1p(most))
            y = top + third - tall - 0.5
            parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="1" height="{tall:.1f}" fill="{mark.colour}"/>')
            continue
        parts.append(shape(mark.shape, mark.colour, x, top + third / 2, 4.5))
        if not certain:
            parts.append(_dashed(x, top + third / 2))
        if count > 1:
            parts.append(_text(x + 6, top + third / 2 + 3.5, f"{count:,}", size=9))
    return parts


def _dashed(x: float, y: float) -> str:
    """What stands around a mark that is not certain."""
    corner = f'x="{x - 6:.1f}" y="{y - 6:.1f}" width="12" height="12"'
    return f'<rect {corner} fill="none" stroke="{INK}" stroke-dasharray="2 2"/>'


def shape(name: str, colour: str, x: float, y: float, r: float) -> str:
    """One mark."""
    if name == "ring":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r * 0.8:.1f}" fill="none" stroke="{colour}" stroke-width="2"/>'
    if name == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r * 0.9:.1f}" fill="{colour}"/>'
    corners = {
        "triangle": ((0, -r), (r, r * 0.8), (-r, r * 0.8)),
        "square": ((-r * 0.85, -r * 0.85), (r * 0.85, -r * 0.85), (r * 0.85, r * 0.85), (-r * 0.85, r * 0.85)),
        "diamond": ((0, -r), (r, 0), (0, r), (-r, 0)),
    }[name]
    told = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners)
    return f'<polygon points="{told}" fill="{colour}"/>'


def _pointers(shown: Shown, height: int) -> list[str]:
    span = max((shown.end - shown.start).total_seconds(), 1e-6)

    def place(at: datetime) -> float:
        return LEFT + 6 + (at - shown.start).total_seconds() / span * (WIDTH - LEFT - RIGHT - 12)

    parts = []
    if shown.brush is not None:
        first, last = (min(max(place(at), LEFT), WIDTH - RIGHT) for at in shown.brush)
        parts.append(
            f'<rect x="{first:.1f}" y="{TOP}" width="{max(last - first, 1):.1f}" height="{height - TOP - 62}" '
            f'fill="{INK}" fill-opacity="0.08" stroke="{INK}" stroke-opacity="0.5"/>'
        )
    if shown.cursor is not None and shown.start <= shown.cursor <= shown.end:
        x = place(shown.cursor)
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 4}" y2="{height - 60}" stroke="{INK}" stroke-width="2"/>'
        )
    return parts


def _legend(y: float) -> list[str]:
    parts, x = [], 18.0
    for name in NAMES:
        mark = OPERATIONS[name]
        parts += [shape(mark.shape, mark.colour, x, y - 4, 5), _text(x + 10, y, name, colour=INK)]
        x += 34 + 8 * len(name)
    return [*parts, _dashed(x, y - 4), _text(x + 12, y, "dashed: not certain", colour=INK)]


def _text(
    x: float, y: float, words: str, *, anchor: str = "start", colour: str = INK, weight: int = 400, size: int = 12,
    room: float | None = None,
) -> str:  # fmt: skip
    """A text, cut where it has no room, with an ellipsis that says so."""
    told = printable(words)
    if room is not None:
        fits = ceil(room / (size * 0.56))
        part = (fits - 1) // 2  # names of a system often begin alike: cut in the middle
        told = told if len(told) <= fits else f"{told[:part]}…{told[-part:]}"
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" font-size="{size}" '
        f'font-weight="{weight}">{escape(told)}</text>'
    )

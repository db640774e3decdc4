"""Pictures of counts as SVG: lanes over time, bars, a week by its hours. Every mark in them can be pointed at.

They have no style of their own: ink is ``currentColor``, so they are readable on light and on dark pages, and under a
content security policy that allows no style inside them.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log10
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from auditlab.widgets.drawing import SMALL, TINY, Node, breadth, element, line, rect, render, text
from auditlab.widgets.ticks import ticks

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

__all__ = ["WIDTH", "Bar", "Cell", "Lane", "Picture", "Span", "bars", "lanes", "sheet", "short", "week"]

WIDTH = 440
"""How wide a picture is, in pixels where it is not scaled."""

BLUE = "#0072B2"
QUIET = 0.72

_ROW, _GAP, _AXIS, _BAR = 26, 6, 22, 34
_LABEL, _COUNT = 118, 54
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_UNITS = (("", 1), ("k", 10**3), ("M", 10**6), ("G", 10**9))
_SHADES = (0.14, 0.28, 0.42, 0.56, 1.0)


@dataclass(frozen=True, slots=True)
class Span:
    """A mark of a lane: a number over a span of time; ``mark`` is its name, ``words`` says it."""

    start: datetime
    end: datetime
    number: int
    mark: str
    words: str


@dataclass(frozen=True, slots=True)
class Lane:
    """One row of marks over time, of one colour; ``several`` where it is the sum of more than one user, say."""

    label: str
    colour: str
    spans: Sequence[Span]
    several: bool = False


@dataclass(frozen=True, slots=True)
class Bar:
    """A mark of a bar picture."""

    label: str
    number: int
    mark: str
    words: str
    colour: str = BLUE
    note: str = ""


@dataclass(frozen=True, slots=True)
class Cell:
    """A mark of a week: an hour of a weekday (1 is Monday)."""

    weekday: int
    hour: int
    number: int
    mark: str
    words: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawn picture: what stands in an SVG of this size."""

    title: str
    width: int
    height: int
    nodes: tuple[Node, ...]


def lanes(title: str, rows: Sequence[Lane], zone: str) -> Picture:
    """Numbers over time, a lane each; all lanes have one scale. At the right stands each lane's sum.

    A sum of several would flatten the lanes of single ones: it is cut where these end, and its label says so.
    """
    spans = [span for row in rows for span in row.spans]
    if not spans:
        return _nothing(title)
    start, end = min(span.start for span in spans), max(span.end for span in spans)
    most = max(span.number for row in rows if not row.several for span in row.spans)
    left, right, length = _LABEL, WIDTH - _COUNT, (end - start).total_seconds()

    def x(when: datetime) -> float:
        return left + (right - left) * (when - start).total_seconds() / length

    drawn: list[Node] = []
    for place, row in enumerate(rows):
        foot = (place + 1) * (_ROW + _GAP)
        cut = ", cut" if any(span.number > most for span in row.spans) else ""
        drawn.append(text(f"{row.label}{cut}", left - 8, foot - 8, _LABEL - 10, anchor="end"))
        drawn.append(text(short(sum(span.number for span in row.spans)), WIDTH, foot - 8, _COUNT, anchor="end"))
        drawn.append(line(left, foot, right, foot))
        for span in row.spans:
            wide = max(x(span.end) - x(span.start) - 0.8, 1.2)
            tall = max(_ROW * min(span.number / most, 1), 2)
            bar = rect(x(span.start), foot - tall, wide, tall, fill=row.colour)
            hit = rect(x(span.start), foot - _ROW, wide, _ROW, fill="transparent", class_="al-hit")
            drawn.append(_mark(span.mark, span.words, bar, hit, row=place, column=x(span.start)))
    return Picture(title, WIDTH, len(rows) * (_ROW + _GAP) + _AXIS, (*drawn, *_axis(start, end, zone, len(rows))))


def _axis(start: datetime, end: datetime, zone: str, rows: int) -> list[Node]:
    """The time under the lanes; a label that has no room is left out."""
    left, right, foot = _LABEL, WIDTH - _COUNT, rows * (_ROW + _GAP)
    drawn, taken = [], 0.0
    for when, label in ticks(start, end, ZoneInfo(zone), most=4):
        x = left + (right - left) * ((when - start) / (end - start))
        half = breadth(label, SMALL) / 2
        at = max(x, half)
        if at - half < taken or at + half > WIDTH:
            continue
        taken = at + half + 8
        drawn.append(line(x, foot, x, foot + 4))
        drawn.append(text(label, at, foot + 17, WIDTH, anchor="middle", size=SMALL, fill_opacity=QUIET))
    return drawn


def bars(title: str, rows: Sequence[Bar]) -> Picture:
    """Numbers as bars under each other, each with its label over it."""
    if not rows:
        return _nothing(title)
    most = max(bar.number for bar in rows)
    drawn = []
    for place, bar in enumerate(rows):
        top = place * _BAR
        wide = max((WIDTH - _COUNT - 8) * bar.number / most, 2)
        room = WIDTH - breadth(bar.note, SMALL) - 10 if bar.note else WIDTH
        room = max(room, WIDTH / 2)
        shown = [
            text(bar.label, 0, top + 12, room),
            rect(0, top + 17, wide, 10, fill=bar.colour),
            text(f"{bar.number:,}", wide + 6, top + 26, _COUNT + 20, size=SMALL, fill_opacity=QUIET),
        ]
        if bar.note:
            rest = WIDTH - min(room, breadth(bar.label)) - 10
            shown.append(text(bar.note, WIDTH, top + 12, rest, anchor="end", size=SMALL, fill_opacity=QUIET))
        hit = rect(0, top, WIDTH, _BAR - 4, fill="transparent", class_="al-hit")
        drawn.append(_mark(bar.mark, bar.words, *shown, hit, row=place, column=0))
    return Picture(title, WIDTH, len(rows) * _BAR, tuple(drawn))


def week(title: str, cells: Iterable[Cell]) -> Picture:
    """A week by its hours: the fuller the colour, and the larger the number, the more. Empty hours are left blank."""
    found = list(cells)
    if not found:
        return _nothing(title)
    least, most = (pick(cell.number for cell in found) for pick in (min, max))
    left, size, tall = 32, (WIDTH - 32) / 24, 24
    drawn = [text(name, 0, 16 + row * tall, 30) for row, name in enumerate(_DAYS)]
    drawn += [
        text(f"{hour:02}", left + (hour + 0.5) * size, 7 * tall + 13, 30, anchor="middle", size=SMALL)
        for hour in range(0, 24, 3)
    ]
    drawn += [line(left, row * tall, WIDTH, row * tall) for row in range(8)]
    for cell in found:
        shade = _shade(cell.number, least, most)
        x, y = left + cell.hour * size, (cell.weekday - 1) * tall
        box = rect(x + 0.5, y + 0.5, size - 1, tall - 1, fill=BLUE, fill_opacity=_SHADES[shade], class_="al-hit")
        number = text(_in_cell(cell.number), x + size / 2, y + 15, size + 5, anchor="middle", size=TINY)
        if shade == len(_SHADES) - 1:
            number[1]["fill"] = "#ffffff"
        drawn.append(_mark(cell.mark, cell.words, box, number, row=cell.weekday, column=cell.hour))
    return Picture(title, WIDTH, 7 * tall + 18, tuple(drawn))


def sheet(pictures: Sequence[Picture], *, title: str, notes: Sequence[str] = (), columns: int = 2) -> str:
    """Pictures with their titles as one ``<svg>`` element.

    Args:
        pictures: The pictures.
        title: What they are about; it stands over them.
        notes: Lines under the title.
        columns: How many pictures stand beside each other.
    """
    space = 24
    head = space + 12 + 18 * len(notes)
    feet, placed = [head] * columns, []
    for picture in pictures:
        column = feet.index(min(feet))
        x, y = column * (WIDTH + space), feet[column]
        feet[column] += picture.height + 30 + space
        placed.append(text(picture.title, x, y + 16, WIDTH, size=13, font_weight="600"))
        placed.append(element("g", *picture.nodes, transform=f"translate({x} {y + 30})"))
    width, height = columns * (WIDTH + space) - space, max(feet) - space
    said = [text(title, 0, 16, width, size=15, font_weight="600")]
    said += [text(note, 0, 36 + 18 * place, width, fill_opacity=QUIET) for place, note in enumerate(notes)]
    drawn = element(
        "svg", *said, *placed, xmlns="http://www.w3.org/2000/svg", role="img", aria_label=title, width=width,
        height=height, viewBox=f"0 0 {width} {height}", font_family="system-ui, sans-serif",
    )  # fmt: skip
    return render(drawn)


def short(number: int) -> str:
    """A number in the seven characters that stand beside a lane: exact up to six digits, else rounded half up.

    >>> short(1_288), short(999_999), short(1_250_000), short(19_999_999)
    ('1,288', '999,999', '1.3M', '20M')
    """
    return f"{number:,}" if number < 10**6 else _rounded(number, tenths=True)


def _in_cell(number: int) -> str:
    """A number in the few characters that a cell has room for; the whole of it is in the mark's words."""
    return _rounded(number, tenths=False)


def _rounded(number: int, *, tenths: bool) -> str:
    """A number of at most three digits and a unit, rounded half up; with tenths where it has one digit alone."""
    unit, size = next((one for one in _UNITS if number < 999.5 * one[1]), _UNITS[-1])
    part = (number * 20 + size) // (size * 2)
    if tenths and part < 100:  # noqa: PLR2004 - one digit and its tenths
        return f"{part / 10:g}{unit}"
    return f"{(number * 2 + size) // (size * 2):,}{unit}"


def _shade(number: int, least: int, most: int) -> int:
    """The place of a number among the shades, by its logarithm, so that one busy hour does not blank the others.

    The palest is that of the least hour with a change, so that hours of much the same work are told apart, too.
    """
    last = len(_SHADES) - 1
    if least == most:
        return 1 if most == 1 else last
    return min(last, int(last * log10(number / least) / log10(most / least) + 1e-9))


def _mark(name: str, words: str, *drawn: Node, row: int, column: float) -> Node:
    """A thing to point at: what it says is its tooltip; a page's script makes it answer."""
    return element(
        "g", element("title", words), *drawn, class_="al-mark", data_mark=name, data_row=row, data_column=column
    )


def _nothing(title: str) -> Picture:
    return Picture(title, WIDTH, 24, (text("None.", 0, 16, WIDTH, size=SMALL),))

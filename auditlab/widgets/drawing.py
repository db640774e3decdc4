"""SVG as a tree of elements: written out as text here, and built element by element in a page, from the same tree."""

from __future__ import annotations

from base64 import b64encode
from html import escape
from typing import Any
from unicodedata import east_asian_width

from auditlab.printable import printable

__all__ = ["Node", "breadth", "cut", "element", "image", "line", "rect", "render", "text"]

Node = list[Any]
"""``[tag, {attribute: value}, [children]]``; a child is a node, or a text. Nothing in it is markup."""

SIZE, SMALL, TINY = 12.0, 11.0, 8.5
"""The sizes of text, in pixels."""

_WIDE, _LETTER = 1.65, 0.62


def element(tag: str, *children: Node | str, **attributes: str | float) -> Node:
    """A node; ``_`` in an attribute's name is ``-``, and a ``_`` at its end falls away (``class_``)."""
    named = {name.rstrip("_").replace("_", "-"): _told(value) for name, value in attributes.items()}
    return [tag, named, list(children)]


def rect(x: float, y: float, width: float, height: float, **attributes: str | float) -> Node:
    """A rectangle."""
    return element("rect", x=x, y=y, width=width, height=height, **attributes)


def line(x1: float, y1: float, x2: float, y2: float) -> Node:
    """A quiet line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, stroke="currentColor", stroke_opacity=0.25)


def text(
    words: str, x: float, y: float, room: float, *, anchor: str = "start", size: float = SIZE, **attributes: str | float
) -> Node:
    """A text, cut in its middle where it is wider than ``room``; the whole of it is then its tooltip."""
    whole = printable(words)
    told = cut(whole, room, size)
    more = [element("title", whole)] if told != whole else []
    if anchor != "start":
        attributes["text_anchor"] = anchor
    return element("text", told, *more, x=x, y=y, font_size=size, fill="currentColor", **attributes)


def cut(words: str, room: float, size: float = SIZE) -> str:
    """The text where it has room; else its ends with a sign of the cut between them, for ids differ at their ends."""
    if breadth(words, size) <= room:
        return words
    kept = len(words)
    while kept > 1:
        kept -= 1
        told = words[: (kept + 1) // 2] + "…" + words[len(words) - kept // 2 :]
        if breadth(told, size) <= room:
            return told
    return "…"


def breadth(words: str, size: float = SIZE) -> float:
    """About how wide a text is, in pixels."""
    return sum(_WIDE if east_asian_width(char) in "WF" else 1 for char in words) * _LETTER * size


def render(node: Node | str) -> str:
    """The node as SVG text; every text and every value is escaped, and holds no character that XML does not have."""
    if isinstance(node, str):
        return escape(printable(node))
    tag, attributes, children = node
    told = "".join(f' {name}="{escape(printable(value))}"' for name, value in attributes.items())
    return f"<{tag}{told}>{''.join(map(render, children))}</{tag}>"


def image(svg: str, title: str) -> str:
    """An ``<svg>`` element as an ``<img>``, on paper of its own: in it neither a page's ink nor its paper is known."""
    drawn = svg.replace("<svg ", '<svg style="background:#ffffff;color:#1b1f24" ', 1)
    data = b64encode(drawn.encode()).decode("ascii")
    return f'<img alt="{escape(printable(title))}" src="data:image/svg+xml;base64,{data}">'


def _told(value: str | float) -> str:
    return value if isinstance(value, str) else f"{round(value, 2):g}"

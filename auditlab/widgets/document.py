"""A document on its own: one HTML file that opens anywhere, with neither kernel nor network.

It holds the views' own scripts, a stand-in for the kernel, and the data. Its content security policy names the one
script and the styles by their digests and allows nothing else: whatever the data says, nothing of it runs, and
nothing is asked of any other place.
"""

from __future__ import annotations

import base64
from hashlib import sha256
from html import escape
from itertools import count
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from auditlab.printable import printable
from auditlab.widgets import script
from auditlab.widgets.embedding import packed

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Embedded", "document"]


class Embedded(Protocol):
    """What a document asks of a view."""

    scripts: ClassVar[tuple[str, ...]]
    styles: ClassVar[tuple[str, ...]]

    @property
    def title(self) -> str:
        """What is shown."""

    def embedded(self) -> dict[str, Any]:
        """The model of the view for a page without a kernel: ``data``, ``state``, ``title`` and so on."""

    def static_html(self) -> str:
        """What is shown where no script runs."""


def document(title: str, parts: Sequence[str | Embedded], *, style: str = "") -> str:
    """A whole HTML document.

    Args:
        title: Its title and heading.
        parts: What stands in it, in this order: HTML that is safe already, and views.
        style: More style rules.

    The views come alive by scripts inside the document; where scripts do not run, each shows its static picture.
    """
    views = [part for part in parts if not isinstance(part, str)]
    numbers = count(1)
    body = "\n".join(part if isinstance(part, str) else _place(part, next(numbers)) for part in parts)
    code = _script(views)
    rules = script.style([name for view in views for name in view.styles]) + style
    shared = script.style(())  # the static form of each view brings it along
    policy = (
        f"default-src 'none'; style-src {_digest(rules)} {_digest(shared)}; script-src {_digest(code)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    name = escape(printable(title))
    # a browser takes the text between the tags to its digest, so no character may stand beside it
    run = f'<script type="module">{code}</script>' if views else ""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{name}</title>\n<style>{rules}</style>\n</head>\n"
        f'<body class="al-document">\n<main>\n<h1>{name}</h1>\n{body}\n</main>\n{run}\n</body>\n</html>\n'
    )


def _place(view: Embedded, number: int) -> str:
    """Where a view comes alive: its static form until then, and its data."""
    model = packed(view.embedded())
    return (
        f'<div class="al-place" data-view="{"+".join(view.scripts)}" data-model="model-{number}">'
        f"{view.static_html()}</div>\n"
        f'<script type="application/octet-stream" id="model-{number}">{model}</script>'
    )


def _script(views: Sequence[Embedded]) -> str:
    """One script for all views: the shared files once, each kind of view in a block of its own."""
    kinds = dict.fromkeys(view.scripts for view in views)
    shared = script.parts(())
    blocks = []
    for scripts in kinds:
        own = "\n".join(script.parts(scripts)[len(shared) :])
        blocks.append(f'{{\n{own}\nstand("{"+".join(scripts)}", view);\n}}')
    return "\n".join([*shared, *blocks])


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(sha256(text.encode()).digest()).decode('ascii')}'"

"""The scripts and styles of the views: files in ``static/``, put one behind the other.

A widget's module cannot import another by a relative path, and a document on its own has none beside it. So what the
views share (``clock.js``, ``page.js``, ``model.js``) is put in front of each view's own files, and all of it is one
scope: a name at the top of a file is known in those behind it.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["module", "parts", "style"]

SHARED = ("clock", "page", "model")


@cache
def _text(name: str) -> str:
    """The text of a file in ``static/``."""
    return files("auditlab.widgets").joinpath("static", name).read_text(encoding="utf-8")


def parts(scripts: Sequence[str]) -> list[str]:
    """The texts of the shared scripts and of these, in their order; each stands once."""
    return [_text(f"{name}.js") for name in dict.fromkeys((*SHARED, *scripts))]


def module(scripts: Sequence[str]) -> str:
    """The ES module of a widget: the last script's ``view`` as anywidget takes it."""
    return "\n".join([*parts(scripts), "export default widget(view);\n"])


def style(styles: Sequence[str]) -> str:
    """The style sheet: what all views share and these, each once."""
    return "\n".join(_text(f"{name}.css") for name in dict.fromkeys(("page", *styles)))

"""The views of a log: the one place that opens a widget, and what every view can do.

``auditlab.widgets`` lies above this module and loads ipywidgets; it is loaded when the first view is opened.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

__all__ = ["View", "Viewing"]


class View(Protocol):
    """What is shown of a log: a widget in a notebook, a table anywhere else, and a file to hand over."""

    @property
    def frame(self) -> pl.DataFrame:
        """The rows behind the picture."""

    @property
    def selection(self) -> dict[str, object]:
        """What is selected in it, as plain Python values."""

    @property
    def code(self) -> str:
        """The Python code that shows the same again."""

    def to_html(self, path: str | Path | None = None) -> str:
        """One HTML document that needs neither kernel nor network; also written to ``path`` where one is given."""

    def to_svg(self, path: str | Path | None = None) -> str:
        """The picture as SVG; also written to ``path`` where one is given."""

    def to_csv(self, path: str | Path | None = None) -> str:
        """The rows behind the picture as CSV; also written to ``path`` where one is given."""


class Viewing:
    """The views that a log opens."""

    __slots__ = ()

    def _open(self, name: str, **options: object) -> View:
        """The view ``auditlab.widgets.<name>.<name>(log, **options)``."""
        opened = getattr(import_module(f"auditlab.widgets.{name}"), name)
        return cast("View", opened(self, **options))

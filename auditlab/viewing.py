"""The views of a log: the one place that opens a widget, and what every view can do.

``auditlab.widgets`` lies above this module and loads ipywidgets; it is loaded when the first view is opened.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

__all__ = ["MarkedView", "View", "Viewing"]


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


class MarkedView(View, Protocol):
    """A view whose marks (bars, cells, rows) stand for rows of the log."""

    def rows(self) -> pl.DataFrame:
        """The rows behind the selected mark; all of them where none is selected."""

    def select(self, name: str) -> None:
        """Select the mark of that name; the empty text selects nothing."""


class Viewing:
    """The views that a log opens."""

    __slots__ = ()

    def dashboard(
        self, *, period: str | None = None, top: int = 6, rows: int = 25, documents: bool = True
    ) -> MarkedView:
        """``auditlab.widgets.dashboard.dashboard``: activity and evidence as pictures; each mark leads to its rows."""
        view = self._open("dashboard", period=period, top=top, rows=rows, documents=documents)
        return cast("MarkedView", view)

    def _open(self, name: str, **options: object) -> View:
        """The view ``auditlab.widgets.<name>.<name>(log, **options)``."""
        opened = getattr(import_module(f"auditlab.widgets.{name}"), name)
        return cast("View", opened(self, **options))

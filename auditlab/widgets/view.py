"""What every view of a log is: a widget in a notebook, a table anywhere else, a file to hand over."""

from __future__ import annotations

import os
import warnings
from abc import ABC, abstractmethod
from functools import cached_property, partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, overload
from uuid import uuid4

import anywidget
import traitlets
from IPython.display import publish_display_data

from auditlab.cells import csv_lines
from auditlab.errors import AuditlabError, BadOption
from auditlab.printable import printable
from auditlab.widgets import script
from auditlab.widgets.document import document
from auditlab.widgets.drawing import image
from auditlab.widgets.embedding import checked
from auditlab.written import whole

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl

__all__ = ["ViewWidget", "WidgetView", "is_static"]


def is_static() -> bool:
    """Whether views emit HTML only (``AUDITLAB_STATIC=1``): for notebooks that are committed or turned into pages."""
    return os.environ.get("AUDITLAB_STATIC", "") not in ("", "0")


class ViewWidget(anywidget.AnyWidget):
    """The widget of a view: five traits, whatever it shows.

    ``data`` is what is shown (JSON values and bytes), ``state`` what is selected in it (both sides set it), ``title``
    its name, ``error`` what went wrong, which the page shows under the widget, and ``still`` the name of the still
    above it, which the page hides.
    """

    _esm = traitlets.Unicode().tag(sync=True)
    _css = traitlets.Unicode().tag(sync=True)
    data = traitlets.Dict().tag(sync=True)
    state = traitlets.Dict().tag(sync=True)
    title = traitlets.Unicode().tag(sync=True)
    error = traitlets.Unicode().tag(sync=True)
    still = traitlets.Unicode().tag(sync=True)


class WidgetView(ABC):
    """One view of a log. It keeps :class:`auditlab.viewing.View`, and a subclass says the rest.

    A subclass names its files in ``static/``: ``scripts`` (the last of them defines ``view``, see ``model.js``) and
    ``styles``, without their endings. It gives ``data`` (what its page shows) and ``state`` (what is selected in the
    page, at first), both of JSON values and bytes alone, whole numbers beyond 2**53 as texts; and it has ``frame``,
    ``selection``, ``code``, ``picture`` and, where its page asks for more (``ask`` in ``model.js``), ``answer``, with
    ``embedded_data`` for a page without a kernel, whose own ``answer`` finds the same in that.

    Args:
        title: What is shown, in words.
        data: What the page shows.
        state: What is selected in it.
    """

    scripts: ClassVar[tuple[str, ...]]
    styles: ClassVar[tuple[str, ...]] = ()

    def __init__(self, title: str, data: dict[str, Any], state: dict[str, Any]) -> None:
        self._title = title
        self._data: dict[str, Any] = checked(data)
        self._state: dict[str, Any] = checked(state, "state")
        self._errors: dict[str, str] = {}
        self._still = uuid4().hex
        self._watchers: list[Callable[[dict[str, object]], object]] = []

    # what a subclass has

    @property
    @abstractmethod
    def frame(self) -> pl.DataFrame:
        """The rows behind the picture."""

    @property
    @abstractmethod
    def selection(self) -> dict[str, object]:
        """What is selected in it, as plain Python values."""

    @property
    @abstractmethod
    def code(self) -> str:
        """The Python code that shows the same again."""

    @abstractmethod
    def picture(self) -> str:
        """The picture as one ``<svg>`` element, its colours those of :mod:`auditlab.widgets.palette`."""

    @abstractmethod
    def table_html(self) -> str:
        """The rows behind the picture as a table (:func:`auditlab.widgets.tables.table`), cut with a visible note."""

    def answer(self, question: dict[str, Any]) -> dict[str, Any]:
        """What the page asked for (JSON values); an error of ours is shown under the widget.

        Raises:
            BadOption: there is no such question.
        """
        raise BadOption(f"{type(self).__name__} answers nothing; asked for {question!r}.")

    def embedded_data(self) -> dict[str, Any]:
        """``data`` with what ``answer`` would find, for a page without a kernel."""
        return self._data

    # what every view does

    @property
    def title(self) -> str:
        """What is shown, in words."""
        return self._title

    @property
    def state(self) -> dict[str, Any]:
        """The state that the page and Python share."""
        return dict(self._state)

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self._state = checked(state, "state")
        if self._made:
            self.widget.state = self._state
        self._changed()

    @property
    def error(self) -> str:
        """What went wrong in the last call of each callback, and in the last answer; it stands under the widget."""
        return "\n".join(dict.fromkeys(filter(None, self._errors.values())))

    @cached_property
    def widget(self) -> ViewWidget:
        """The ipywidgets widget, to put beside others; it is made when it is first asked for."""
        made = ViewWidget(
            still=self._still,
            data=self._data,
            state=self._state,
            title=self._title,
            error=self.error,
            _esm=script.module(self.scripts),
            _css=script.style(self.styles),
            _anywidget_id=f"auditlab.{'+'.join(self.scripts)}",
        )
        made.observe(self._of_page, "state")
        made.on_msg(self._asked)
        return made

    @property
    def _made(self) -> bool:
        return "widget" in self.__dict__

    def on_selection(self, callback: Callable[[dict[str, object]], object]) -> None:
        """Call ``callback(view.selection)`` whenever something else is selected; its errors show under the widget."""
        self._watchers.append(callback)

    def static_html(self) -> str:
        """What is shown where no script runs: the picture, and the rows behind it as a table."""
        return (
            f'<section class="auditlab al-static" aria-label="{escape(printable(self._title))}">'
            f"{self.picture()}{self.table_html()}</section>"
        )

    def embedded(self) -> dict[str, Any]:
        """The model for a page without a kernel."""
        return {"data": self.embedded_data(), "state": self._state, "title": self._title, "error": ""}

    @overload
    def to_html(self, path: None = None) -> str: ...
    @overload
    def to_html(self, path: str | Path) -> Path: ...
    def to_html(self, path: str | Path | None = None) -> str | Path:
        """One HTML document that needs neither kernel nor network; with ``path``, the file that now holds it.

        Raises:
            BadOption: it cannot be written there.
        """
        return _kept(document(self._title, [self]), path)

    @overload
    def to_svg(self, path: None = None) -> str: ...
    @overload
    def to_svg(self, path: str | Path) -> Path: ...
    def to_svg(self, path: str | Path | None = None) -> str | Path:
        """The picture as SVG; with ``path``, the file that now holds it."""
        return _kept(self.picture(), path)

    @overload
    def to_csv(self, path: None = None) -> str: ...
    @overload
    def to_csv(self, path: str | Path) -> Path: ...
    def to_csv(self, path: str | Path | None = None) -> str | Path:
        """The rows behind the picture as CSV; with ``path``, the file that now holds it.

        What a spreadsheet would run as a formula has an apostrophe in front; ``frame`` has the values as they are.
        """
        return _kept("".join(f"{line}\n" for line in csv_lines(self.frame)), path)

    def __repr__(self) -> str:
        count = len(self.frame)
        return printable(f"{type(self).__name__}: {self._title}, {count:,} {'row' if count == 1 else 'rows'}")

    def _ipython_display_(self) -> None:
        """What a cell shows: a still, and as an output of its own the widget, which hides the still while it lives.

        Of one output a front end shows one form alone: of a widget whose kernel has gone JupyterLab says ``model not
        found``, whatever stands beside it.
        """
        outputs: list[dict[str, Any]] = [{"text/plain": repr(self), "text/html": self._still_html()}]
        if not is_static():
            outputs.append({"text/html": "", **self._widget_bundle()})
        for output in outputs:
            publish_display_data(output)  # type: ignore[no-untyped-call]

    def _still_html(self) -> str:
        """A still for a notebook: the picture as an image, since front ends strip ``<svg>`` of those not trusted."""
        words = (
            "" if is_static() else '<p class="al-note">A still picture of this view: run its cell to work with it.</p>'
        )
        return (
            f'<style>{script.style(())}</style><div class="auditlab al-still" data-still="{self._still}">'
            f"{image(self.picture(), self._title)}{self.table_html()}{words}</div>"
        )

    def _repr_mimebundle_(self, **_: object) -> dict[str, Any]:
        """The widget, and beside it what is shown where it does not run: for who takes one output."""
        shown = f"<style>{script.style(())}</style>{self.static_html()}"
        bundle: dict[str, Any] = {"text/plain": repr(self), "text/html": shown}
        return bundle if is_static() else bundle | self._widget_bundle()

    def _widget_bundle(self) -> dict[str, Any]:
        view = {"version_major": 2, "version_minor": 0, "model_id": self.widget.model_id}
        return {"application/vnd.jupyter.widget-view+json": view}

    # what the page tells

    def _of_page(self, change: dict[str, Any]) -> None:
        if change["new"] != self._state:
            self._state = change["new"]
            self._changed()

    def _changed(self) -> None:
        for number, watcher in enumerate(self._watchers):
            self._guarded(f"callback {number}", partial(self._tell, watcher))

    def _tell(self, watcher: Callable[[dict[str, object]], object]) -> None:
        watcher(self.selection)

    def _asked(self, _: object, content: object, __: object) -> None:
        """Answer one question of the page: ``{"ask": number, "question": {...}}``."""
        if not isinstance(content, dict) or "ask" not in content:
            return
        reply: dict[str, Any] = {"answer": content["ask"], "found": None, "error": ""}
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            reply["found"] = self._guarded("answer", lambda: checked(self.answer(content["question"]), "answer"))
        reply["error"] = self._errors["answer"] if reply["found"] is None else ""
        words = (str(one.message) for one in told if issubclass(one.category, UserWarning))
        reply["warnings"] = list(dict.fromkeys(words))
        self.widget.send(reply)

    def _guarded(self, about: str, call: Callable[[], Any]) -> Any:  # noqa: ANN401 - what the call gives
        """Call it; what it raises is shown under the widget, where people see it, and not lost in a kernel's log.

        It stands there until a call about the same succeeds.
        """
        try:
            found = call()
        except AuditlabError as exc:
            self._fail(about, str(exc))
        except Exception as exc:  # noqa: BLE001 - a callback of a widget has nobody above it who would see the error
            self._fail(about, f"{type(exc).__name__}: {exc}")
        else:
            self._fail(about, "")
            return found
        return None

    def _fail(self, about: str, words: str) -> None:
        self._errors[about] = words
        if self._made:
            self.widget.error = self.error


def _kept(text: str, path: str | Path | None) -> str | Path:
    if path is None:
        return text
    with whole(Path(path)) as file:
        file.write_text(text, encoding="utf-8", newline="")
    return Path(path)
